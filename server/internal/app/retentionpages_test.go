package app

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
)

// submit sends a form as somebody with a role.
func (r *rig) submit(role auth.Role, path string, form url.Values) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest("POST", r.page+path, strings.NewReader(form.Encode()))
	check(r.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", r.page)
	resp, err := r.as(role).Do(req)
	check(r.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(r.t, err)
	return resp.StatusCode, string(body)
}

// TestRetentionPages: every act asks once more before it is done; what is refused is said in words; the tombstone shows who, when and what, and nothing
// of the footage or its words; who sees only a part sees no tombstone.
func TestRetentionPages(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	d := r.register("one")
	rec := d.take("gone.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk, 1))
	d.say(rec, &evidence.Header{Cause: "unlicensed sale", Department: "城管", Confirmed: "x", Companions: []string{}, Officers: []evidence.Officer{}, Further: []evidence.FurtherField{}})
	d.seal()
	stays := d.take("stays.mp4", "video/mp4", evidence.WhyComplete, content(2*testChunk, 2))
	r.stored(d, 0, rec, stays)
	path := "/recordings/" + rec.String()
	class := url.Values{"name": {"案卷 two days"}, "days": {"2"}}
	if status, body := r.submit(auth.Custodian, "/retention/classes", class); status != 200 || !strings.Contains(body, `value="案卷 two days"`) {
		t.Errorf("%d: no question before the act", status)
	}
	class.Set("sure", "yes")
	if _, body := r.submit(auth.Custodian, "/retention/classes", class); !strings.Contains(body, "案卷 two days") {
		t.Errorf("the class is not there:\n%s", body)
	}
	r.submit(auth.Custodian, "/recordings/"+stays.String()+"/retention/class", url.Values{"class": {"案卷 two days"}, "sure": {"yes"}})
	check(t, r.core.keeping.Sweep(ctx))
	if body := r.body("/recordings/" + stays.String() + "/retention?lang=en"); !strings.Contains(body, "locks follow: 4 of 4 objects") {
		t.Errorf("the page does not say how far the locks are:\n%s", body)
	}
	if status, _ := r.submit(auth.Custodian, path+"/retention/propose", url.Values{"reason": {"x"}, "sure": {"yes"}}); status != 409 {
		t.Errorf("proposed early: %d", status)
	}
	for _, role := range []auth.Role{auth.Officer, auth.Reviewer, auth.Leader, auth.Supervisor, auth.Administrator} {
		if status, _ := r.submit(role, path+"/retention/propose", url.Values{"reason": {"x"}, "sure": {"yes"}}); status != 403 && status != 404 {
			t.Errorf("%s may propose: %d", role, status)
		}
	}
	r.pass(25 * time.Hour)
	r.signIn(auth.Custodian)
	if body := r.body("/retention?lang=en"); !strings.Contains(body, "gone.mp4") || strings.Count(body, "nothing keeps it") != 1 {
		t.Error("what is due is not listed")
	}
	check(t, r.core.keeping.Propose(ctx, keeper, rec, "retention <i>ended</i>"))
	if body := r.body(path + "/retention?lang=en"); !strings.Contains(body, "retention &lt;i&gt;ended&lt;/i&gt;") || !strings.Contains(body, "Confirm the disposal") {
		t.Error("the proposal is not there")
	}
	if status, body := r.submit(auth.Custodian, path+"/retention/confirm", nil); status != 200 || !strings.Contains(body, "gone.mp4") {
		t.Errorf("%d: no question before the disposal", status)
	}
	r.submit(auth.Custodian, path+"/retention/confirm", url.Values{"sure": {"yes"}})
	check(t, r.core.keeping.Sweep(ctx))
	tomb := r.body(path + "?lang=en")
	for _, want := range []string{"Disposed of on", "keeper (keeper, custodian)", "the-custodian", "gone.mp4", "retention &lt;i&gt;ended&lt;/i&gt;", "3 objects", "objects with statements"} {
		if !strings.Contains(tomb, want) {
			t.Errorf("the tombstone does not say %q", want)
		}
	}
	life := r.body(path + "/custody?lang=en")
	for _, want := range []string{"disposal proposed", "confirmed by a second person", "removed from the vault", "Stored: 3 chunks", "Seen:"} {
		if !strings.Contains(life, want) {
			t.Errorf("the chain of custody does not say %q", want)
		}
	}
	if strings.Contains(tomb+life, "unlicensed sale") || strings.Contains(tomb, "<video") {
		t.Error("the tombstone shows what was disposed of")
	}
	for _, p := range []string{path + "/original", path + "/retention"} {
		if status, _, body, err := r.get(p + "?lang=en"); err != nil || status != 410 || !strings.Contains(string(body), "was disposed of") {
			t.Errorf("%s: %d, %v", p, status, err)
		}
	}
	if status, body := r.submit(auth.Custodian, path+"/bundle", nil); status != 410 || !strings.Contains(body, "disposed of") && !strings.Contains(body, "已销毁") {
		t.Errorf("export of what was disposed of: %d", status)
	}
	if !strings.Contains(r.body("/retention/disposed"), "gone.mp4") || strings.Contains(r.body("/"), "gone.mp4") {
		t.Error("the lists are not right")
	}
	req, err := http.NewRequest("GET", r.page+path, nil)
	check(t, err)
	r.signIn(auth.Officer)
	resp, err := r.as(auth.Officer).Do(req)
	check(t, err)
	if resp.Body.Close(); resp.StatusCode != 404 {
		t.Errorf("an officer sees a tombstone: %d", resp.StatusCode)
	}
}
