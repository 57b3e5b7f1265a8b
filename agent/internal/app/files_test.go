package app

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"camseal/pkg/evidence"
)

// TestSpoolFull: the way to the server is shut, the spool fills up, intake waits, and goes on when the server is back.
func TestSpoolFull(t *testing.T) {
	s := newSite(t, "software")
	s.extra = []string{"--spool-max", "64KiB"}
	files := map[string][]byte{"a.mp4": noise(300_000, 1), "b.mp4": noise(200_000, 2)}
	for name, content := range files {
		s.file(name, content)
	}
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "", http.StatusServiceUnavailable)
		return true
	})
	s.untilAlarm("intake stands still")
	if code, out, _ := s.run("status"); code != 0 || !strings.Contains(out, "64.0 KiB, room for 0 bytes more") {
		t.Errorf("%s", out)
	}
	s.server.Intercept(nil)
	if code, out, _ := s.run("import", s.footage); code != 0 {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.same(files)
	s.empty()
}

// TestDamagedSpool: a chunk is damaged on the agent's disk; the chain says so, and the rest arrives.
func TestDamagedSpool(t *testing.T) {
	s := newSite(t, "software")
	s.file("a.mp4", noise(20_000, 1))
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "", http.StatusServiceUnavailable)
		return true
	})
	if code, out, _ := s.run("import", s.footage, "--sealed-only"); code != 0 {
		t.Fatal(out)
	}
	s.server.Intercept(nil)
	chunks, err := filepath.Glob(filepath.Join(s.state, "spool", "chunks", "*"))
	if err != nil || len(chunks) != 5 {
		t.Fatal(chunks, err)
	}
	write(t, chunks[2], noise(4096, 99))
	if err := os.Remove(chunks[4]); err != nil {
		t.Fatal(err)
	}
	// The recorder still has it: it is taken in again, as another recording.
	code, out, _ := s.run("import", s.footage)
	if code != 0 || !strings.Contains(out, "1 taken in") {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.runUntil(func() bool {
		damaged := 0
		for _, r := range s.server.Recordings {
			if len(r.Faults) == 2 && len(r.Bytes) == 3 && r.Stored > 0 {
				damaged++
			}
		}
		left, err := filepath.Glob(filepath.Join(s.state, "spool", "chunks", "*"))
		return damaged == 1 && len(s.server.Recordings) == 2 && err == nil && len(left) == 0
	})
	s.empty()
	aside, err := os.ReadDir(filepath.Join(s.state, "spool", "quarantine"))
	if err != nil || len(aside) != 1 {
		t.Errorf("%d damaged files are kept, %v", len(aside), err)
	}
}

// runUntil lets the agent run until the server sees that it is true, and ends it.
func (s *site) runUntil(true func() bool) {
	s.t.Helper()
	cmd := s.process("run")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	tick, guard := time.NewTicker(20*time.Millisecond), time.After(60*time.Second)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
		case <-guard:
			cmd.Process.Kill()
			cmd.Wait()
			s.t.Fatal(errs.String())
		}
		if _, err := os.Stat(filepath.Join(s.state, socketName)); err != nil {
			continue // it is still starting, and does not hear a signal yet
		}
		s.server.With(func() { done = true() })
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		s.t.Errorf("%v %s", err, errs.String())
	}
}

// TestChangedWhileRead: the reader is held up by a full spool while the file is changed; the recording says so.
func TestChangedWhileRead(t *testing.T) {
	for name, c := range map[string]struct {
		change func(path string) error
		why    string
	}{
		"grew": {func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		}, evidence.WhyChanged},
		"cut":         {func(p string) error { return os.Truncate(p, 50_000) }, evidence.WhyChanged},
		"cut to none": {func(p string) error { return os.Truncate(p, 0) }, evidence.WhyChanged},
		"overwritten": {func(p string) error { return os.WriteFile(p, noise(100_000, 9), 0o600) }, evidence.WhyChanged},
		"deleted":     {os.Remove, evidence.WhyVanished},
		"moved":       {func(p string) error { return os.Rename(p, p+"x") }, evidence.WhyVanished},
		"replaced": {func(p string) error {
			if err := os.WriteFile(p+"x", noise(100_000, 9), 0o600); err != nil {
				return err
			}
			return os.Rename(p+"x", p)
		}, evidence.WhyChanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "software")
			s.extra = []string{"--spool-max", "32KiB"}
			p := s.file("a.mp4", noise(100_000, 1))
			open := make(chan struct{})
			s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool { <-open; return false })
			cmd := s.process("import", "--json", p)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var all bytes.Buffer
			buf := make([]byte, 4096)
			for changed := false; ; {
				n, err := out.Read(buf)
				all.Write(buf[:n])
				if !changed && strings.Contains(all.String(), "waiting for room") {
					changed = true
					if err := c.change(p); err != nil {
						t.Fatal(err)
					}
					close(open)
				}
				if err != nil {
					break
				}
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(all.String(), `"faulty":1`) {
				t.Errorf("exit %d\n%s", code, all.String())
			}
			s.server.With(func() {
				for _, r := range s.server.Recordings {
					if r.Close == nil || r.Close.Why != c.why || len(r.Faults) != 1 || r.Faults[0].Why != c.why || r.Stored == 0 {
						t.Errorf("closed as %+v, faults %+v, %d receipts", r.Close, r.Faults, r.Stored)
					}
					if r.Close != nil && (r.Close.Hash != evidence.Sum(r.Whole()) || r.Close.Size < 32_000) {
						t.Errorf("what was read is not what is closed: %+v", r.Close)
					}
				}
				if len(s.server.Recordings) != 1 {
					t.Errorf("%d recordings", len(s.server.Recordings))
				}
			})
		})
	}
}

// TestChangedBetweenRuns: an import is interrupted, and the file is not the same when it goes on.
func TestChangedBetweenRuns(t *testing.T) {
	for name, change := range map[string]func(string) error{"changed": func(p string) error { return os.WriteFile(p, noise(90_000, 3), 0o600) }, "gone": os.Remove} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "software")
			s.extra = []string{"--spool-max", "32KiB"}
			p := s.file("a.mp4", noise(100_000, 1))
			s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				http.Error(w, "", http.StatusServiceUnavailable)
				return true
			})
			s.untilAlarm("intake stands still")
			if err := change(p); err != nil {
				t.Fatal(err)
			}
			s.server.Intercept(nil)
			b := s.file("b.mp4", noise(4000, 2))
			code, out, _ := s.run("import", b)
			if code != 1 || !strings.Contains(out, "FAULTY") || !strings.Contains(out, "1 taken in") {
				t.Errorf("exit %d\n%s", code, out)
			}
		})
	}
}

// TestUnreadable runs the agent as a user who may not read a file.
func TestUnreadable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("changing the user needs root")
	}
	s := newSite(t, "software")
	s.file("good.mp4", noise(5000, 1))
	bad := s.file("bad.mp4", noise(5000, 2))
	if err := os.Mkdir(filepath.Join(s.footage, "dir"), 0); err != nil {
		t.Fatal(err)
	}
	for dir := s.footage; dir != "/"; dir = filepath.Dir(dir) {
		if dir != os.TempDir() {
			os.Chmod(dir, 0o755)
		}
	}
	for dir := s.state; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	program := filepath.Join(t.TempDir(), "agent")
	raw, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(program); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	err = filepath.Walk(s.state, func(p string, _ os.FileInfo, _ error) error { return os.Chown(p, 65534, 65534) })
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(s.footage, "good.mp4"), 0o644)
	cmd := s.process("import", s.footage)
	cmd.Path = program
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "FAILED  "+bad+": this user may not read it") ||
		!strings.Contains(string(out), filepath.Join(s.footage, "dir")+": this user may not") {
		t.Errorf("%v %s", err, out)
	}
	s.same(map[string][]byte{"good.mp4": noise(5000, 1)})
}

// TestWatch: run takes in what appears, waits while it grows, and ends cleanly.
func TestWatch(t *testing.T) {
	s := newSite(t, "software")
	s.extra = []string{"--folders", s.footage, "--poll", "50ms", "--settle", "300ms"}
	cmd := s.process("run")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(s.footage, "grows.mp4")
	f, err := os.Create(p)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	want := noise(40_000, 1)
	for i := 0; i < len(want); i += 2000 {
		f.Write(want[i : i+2000])
		<-tick.C
	}
	f.Close()
	guard := time.After(60 * time.Second)
	for stored := false; !stored; {
		select {
		case <-tick.C:
		case <-guard:
			t.Fatal(errs.String())
		}
		s.server.With(func() {
			for _, r := range s.server.Recordings {
				stored = stored || r.Close != nil && r.Stored > 0
			}
		})
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v %s", err, errs.String())
	}
	s.same(map[string][]byte{"grows.mp4": want})
}
