package app

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// copyState copies an agent's state folder as it is now, and returns the copy as a site of its own.
func (s *site) copyState() *site {
	s.t.Helper()
	other := *s
	other.state, other.footage = filepath.Join(s.t.TempDir(), "state"), s.t.TempDir()
	if out, err := exec.Command("cp", "-a", s.state, other.state).CombinedOutput(); err != nil {
		s.t.Fatalf("%v %s", err, out)
	}
	return &other
}

func (s *site) mustImport(path ...string) string {
	s.t.Helper()
	code, out, errs := s.run("import", path...)
	if code != 0 {
		s.t.Fatalf("import: exit %d\n%s\n%s", code, out, errs)
	}
	return out
}

// TestOldCopyPutBack: the state folder is put back to a copy from some recordings ago, and takes in more before it meets the server.
func TestOldCopyPutBack(t *testing.T) {
	for _, tpm := range []string{"swtpm", "software"} {
		t.Run(tpm, func(t *testing.T) {
			path := tpm
			if tpm == "swtpm" {
				path = swtpmtest.Start(t).Path()
			}
			s := newSite(t, path)
			files := map[string][]byte{}
			film := func(s *site, name string, size int) string {
				files[name] = noise(size, uint64(len(files)+1))
				return s.file(name, files[name])
			}
			s.mustImport(film(s, "first.mp4", 9000))
			old := s.copyState()
			for i := range 5 {
				s.mustImport(film(s, fmt.Sprintf("lost-%d.mp4", i), 9000))
			}
			away := func(w http.ResponseWriter, r *http.Request) bool {
				uplinktest.Refuse(w, 503, transport.CodeUnavailable)
				return true
			}
			s.server.Intercept(away)
			film(old, "conflict-a.mp4", 20_000)
			film(old, "conflict-b.mp4", 0)
			old.mustImport("--sealed-only", old.footage)
			s.server.Intercept(nil)
			old.mustImport(film(old, "after.mp4", 9000))
			old.mustImport(old.footage)
			s.same(files)
			old.empty()
			s.server.With(func() {
				var last []uint64
				for _, b := range s.server.Boots {
					if b.Last != nil {
						last = append(last, *b.Last)
					}
				}
				if len(last) != 1 {
					t.Errorf("boots that name a last statement: %v", last)
				}
			})
			code, out, _ := old.run("status")
			if code != 0 || !strings.Contains(out, "forks       the chain went on elsewhere 1 times") || !strings.Contains(out, "quarantine  fork-") {
				t.Errorf("status: %d\n%s", code, out)
			}
			if code, out, _ := old.run("import", old.footage); code != 0 || !strings.Contains(out, "3 known already") {
				t.Errorf("again: %d %s", code, out)
			}
		})
	}
}

// TestTwoAgentsOnCopies: two agents run in turn on copies of one state, with one TPM; all bytes of both arrive.
func TestTwoAgentsOnCopies(t *testing.T) {
	tpm := swtpmtest.Start(t)
	a := newSite(t, tpm.Path())
	files := map[string][]byte{"0.mp4": noise(9000, 1)}
	a.mustImport(a.file("0.mp4", files["0.mp4"]))
	b := a.copyState()
	for i := range 3 {
		for who, s := range map[string]*site{"a": a, "b": b} {
			name := fmt.Sprintf("%s-%d.mp4", who, i)
			files[name] = noise(30_000, uint64(10*i)+uint64(who[0]))
			s.mustImport(s.file(name, files[name]))
		}
	}
	a.same(files)
	a.empty()
	b.empty()
	a.server.With(func() {
		forks := 0
		for _, boot := range a.server.Boots {
			if boot.Last != nil {
				forks++
			}
		}
		if forks < 3 {
			t.Errorf("%d forks are on record", forks)
		}
	})
}

// TestTwoAgentsAtOnce: the same, with both running at the same time. No two may use one TPM at once without the kernel's resource
// manager, so that keys in files stand in.
func TestTwoAgentsAtOnce(t *testing.T) {
	a := newSite(t, "software")
	files := map[string][]byte{"0.mp4": noise(9000, 1)}
	a.mustImport(a.file("0.mp4", files["0.mp4"]))
	b := a.copyState()
	var both sync.WaitGroup
	for who, s := range map[string]*site{"a": a, "b": b} {
		for i := range 6 {
			name := fmt.Sprintf("%s-%d.mp4", who, i)
			files[name] = noise(100_000, uint64(10*i)+uint64(who[0]))
			s.file(name, files[name])
		}
		both.Go(func() {
			if out, err := s.process("import", s.footage).CombinedOutput(); err != nil {
				t.Errorf("%s: %v %s", who, err, out)
			}
		})
	}
	both.Wait()
	a.arrived(files)
}

// arrived holds that all files are there whole, whatever else is.
func (s *site) arrived(files map[string][]byte) {
	s.t.Helper()
	s.server.With(func() {
		whole := map[string]bool{}
		for _, r := range s.server.Recordings {
			name := string(r.Source.RawName())
			whole[name] = whole[name] || r.Close != nil && r.Close.Why == evidence.WhyComplete && r.Stored > 0 && bytes.Equal(r.Whole(), files[name])
		}
		for name := range files {
			if !whole[name] {
				s.t.Errorf("%q did not arrive whole", name)
			}
		}
	})
}

// TestForkKilledAtAnyMoment kills an agent again and again while it goes on elsewhere and takes its footage in again.
func TestForkKilledAtAnyMoment(t *testing.T) {
	s := newSite(t, swtpmtest.Start(t).Path())
	files := map[string][]byte{"first.mp4": noise(9000, 1), "lost.mp4": noise(9000, 2)}
	s.mustImport(s.file("first.mp4", files["first.mp4"]))
	old := s.copyState()
	s.mustImport(s.file("lost.mp4", files["lost.mp4"]))
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		uplinktest.Refuse(w, 503, transport.CodeUnavailable)
		return true
	})
	for i := range 6 {
		name := fmt.Sprintf("conflict-%d.mp4", i)
		files[name] = noise(60_000, uint64(10+i))
		old.file(name, files[name])
	}
	old.mustImport("--sealed-only", old.footage)
	s.server.Intercept(nil)
	random := rand.New(rand.NewPCG(11, 3))
	killed := 0
	for range 15 {
		cmd := old.process("import", old.footage)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(30+random.IntN(250))*time.Millisecond, func() { cmd.Process.Kill() })
		if cmd.Wait() != nil {
			killed++
		}
		timer.Stop()
	}
	if killed < 3 {
		t.Errorf("killed only %d times", killed)
	}
	old.mustImport(old.footage)
	old.same(files)
	old.empty()
}

// TestUnprovenHeadIsNotBelieved: a server that shows a head without the home log's receipt for it moves nothing.
func TestUnprovenHeadIsNotBelieved(t *testing.T) {
	s := newSite(t, "software")
	files := map[string][]byte{"a.mp4": noise(9000, 1), "b.mp4": noise(9000, 2)}
	s.mustImport(s.file("a.mp4", files["a.mp4"]))
	old := s.copyState()
	s.mustImport(s.file("b.mp4", files["b.mp4"]))
	s.server.With(func() { s.server.Unproven = true })
	files["c.mp4"] = noise(9000, 3)
	old.file("c.mp4", files["c.mp4"])
	old.untilAlarm("and does not prove it", "sealed  ")
	if code, out, _ := old.run("status"); code != 0 || strings.Contains(out, "forks") {
		t.Errorf("%d %s", code, out)
	}
	s.server.With(func() { s.server.Unproven = false })
	old.mustImport(old.footage)
	s.same(files)
}
