package app

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
)

// A part that is changed or missing in the vault is written down once when a reader's browser meets it, stands on the pages of those who answer for
// it, and goes from there when the part is right again; what is handed out afterwards verifies, with the whole story in it.
func TestDamageIsWrittenDown(t *testing.T) {
	r, d, rec := rigWithRecording(t)
	found, err := filepath.Glob(filepath.Join(r.env.settings.path("vault"), "objects", archive.RecordingPrefix(d.id(), rec), "chunks", "00000000-*"))
	check(t, err)
	if len(found) != 1 {
		t.Fatalf("%q", found)
	}
	was := read(t, found[0])
	at := "/recordings/" + rec.String()
	looks := func() (sound bool) {
		t.Helper()
		status, _, body := r.post(at+"/parts/0/check", nil)
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		return strings.Contains(body, "true")
	}
	acts := func() (n int) {
		rows, err := r.core.catalog.Custody(context.Background(), d.id(), rec)
		check(t, err)
		for _, c := range rows {
			if c.Act == catalog.ActFoundDamaged || c.Act == catalog.ActFoundSound {
				n++
			}
		}
		return n
	}
	if !looks() || acts() != 0 {
		t.Fatal("a part that is right is no news")
	}
	changed := append([]byte(nil), was...)
	changed[len(changed)/2] ^= 1
	check(t, os.Chmod(found[0], 0o600))
	check(t, os.WriteFile(found[0], changed, 0o600))
	if first, again := looks(), looks(); first || again || acts() != 1 {
		t.Errorf("a changed part: %v, %v, %d events", first, again, acts())
	}
	says(t, r.text(rec.String(), "en"), "The vault no longer holds what was sealed", "Part 1 was found changed on")
	says(t, r.by(keeper).sees("/", 200), "part 1 in the vault is not what was sealed", at)
	says(t, r.by(administer).sees("/", 200), "part 1 in the vault is not what was sealed")
	saysNot(t, r.by(administer).sees("/", 200), at)
	says(t, r.text("", "en"), "not as sealed in the vault")
	r.reindexed()
	r.callers = nil
	says(t, r.text(rec.String(), "en"), "Part 1 was found changed on")
	if looks() || acts() != 1 {
		t.Errorf("after reindex: %d events", acts())
	}
	check(t, os.Remove(found[0]))
	if looks() || acts() != 1 {
		t.Errorf("gone after it was changed: %d events", acts())
	}
	check(t, os.WriteFile(found[0], was, 0o400))
	status, to, _ := r.post(at+"/check", nil)
	if first, again := looks(), looks(); status != http.StatusSeeOther || to != at || !first || !again || acts() != 2 {
		t.Errorf("right again: %d %s, %v, %v, %d events", status, to, first, again, acts())
	}
	saysNot(t, r.text(rec.String(), "en"), "The vault no longer holds")
	path, err := r.export(rec, true)
	check(t, err)
	r.verified(path, verify.Verified)
	for _, bad := range []string{"/parts/1000000/check", "/parts/-1/check", "/parts/x/check"} {
		if status, _, _ := r.post(at+bad, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", bad, status)
		}
	}
}
