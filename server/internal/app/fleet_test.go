package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
)

// pageOf reads a page as somebody with a role.
func (r *rig) pageOf(role auth.Role, path string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest("GET", r.page+path, nil)
	check(r.t, err)
	resp, err := r.as(role).Do(req)
	check(r.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(r.t, err)
	return resp.StatusCode, string(body)
}

// TestFleetPages: devices are listed with what is late of them, one's page says it in full; R16's figure is there for those who supervise; the
// administrator sees devices and no footage's names; a made-up device is refused in words.
func TestFleetPages(t *testing.T) {
	r := newRig(t)
	d, quiet := r.register("one"), r.register("two")
	late := uint64(time.Date(2026, 9, 11, 8, 0, 0, 0, time.UTC).UnixMilli()) // ten days ahead of what the test's devices call now
	rec := d.takeFrom(source("DCIM/<i>late.mp4", late, content(testChunk, 1)), nil, "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	r.stored(d, 0, rec)
	row, err := r.core.catalog.FindRecording(t.Context(), rec)
	check(t, err)
	if ahead := time.UnixMilli(row.OpenedAt).Add(24 * time.Hour).Sub(r.now()); ahead > 0 || ahead < -25*24*time.Hour {
		r.pass(ahead) // so that the recording is of the last 30 days
	}
	for _, role := range []auth.Role{auth.Custodian, auth.Supervisor, auth.Administrator} {
		r.as(role)
		r.signIn(role)
		status, body := r.pageOf(role, "/fleet?lang=en")
		if status != 200 || !strings.Contains(body, "2 devices") || !strings.Contains(body, "/fleet/"+quiet.id().String()) || !strings.Contains(body, "free of") {
			t.Errorf("%s: %d\n%s", role, status, body)
		}
		if strings.Index(body, quiet.id().String()) > strings.Index(body, d.id().String()) {
			t.Error("the device not heard of for longest does not come first")
		}
		status, body = r.pageOf(role, "/fleet/"+d.id().String()+"?lang=en")
		if status != 200 || strings.Contains(body, "<i>late") || strings.Contains(body, "&lt;i&gt;late") == (role == auth.Administrator) {
			t.Errorf("%s: %d, the late recording is not as it should be\n%s", role, status, body)
		}
	}
	if _, body := r.pageOf(auth.Custodian, "/fleet?lang=en"); !strings.Contains(body, "late exports: 1") || !strings.Contains(body, "late headers: 1") {
		t.Errorf("what is late is not said\n%s", body)
	}
	for _, role := range []auth.Role{auth.Officer, auth.Reviewer, auth.Leader} {
		r.as(role)
		r.signIn(role)
		if status, _ := r.pageOf(role, "/fleet"); status != 403 {
			t.Errorf("%s sees the fleet: %d", role, status)
		}
	}
	for _, bad := range []string{"/fleet/x", "/fleet/" + strings.Repeat("0", 68), "/fleet?before=x"} {
		if status, _ := r.pageOf(auth.Custodian, bad); status != 404 && status != 400 {
			t.Errorf("%s: %d", bad, status)
		}
	}
}
