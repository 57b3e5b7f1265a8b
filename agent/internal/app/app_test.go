package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
)

// site is an agent's state folder with its server and some footage.
type site struct {
	t                   *testing.T
	state, footage, tpm string
	server              *uplinktest.Server
	extra               []string
}

func newSite(t *testing.T, tpm string) *site {
	s := &site{t: t, state: filepath.Join(t.TempDir(), "state"), footage: t.TempDir(), tpm: tpm, server: uplinktest.Start(t)}
	s.enrol()
	return s
}

func (s *site) enrol() {
	s.t.Helper()
	key, ca := filepath.Join(s.t.TempDir(), "log.vkey"), filepath.Join(s.t.TempDir(), "ca.pem")
	write(s.t, key, []byte(s.server.VKey+"\n"))
	write(s.t, ca, s.server.CA)
	if code, out, errs := s.run("enrol", "--token", s.server.Token(), "--log-key", key, "--ca", ca); code != 0 || !strings.Contains(out, "enrolled as device") {
		s.t.Fatalf("enrol: %d %s %s", code, out, errs)
	}
}

// run calls the program as a user does.
func (s *site) run(command string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	all := append([]string{command, "--state", s.state, "--tpm", s.tpm, "--server", s.server.URL, "--chunk-size", "4KiB", "--settle", "0s", "--gather", "5ms"}, s.extra...)
	code = Main(append(all, args...), &o, &e)
	return code, o.String(), e.String()
}

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// file writes footage and returns its path.
func (s *site) file(name string, content []byte) string {
	return write(s.t, filepath.Join(s.footage, name), content)
}

// same holds that the server has exactly these files, each once, whole and with the right hash.
func (s *site) same(files map[string][]byte) {
	s.t.Helper()
	s.server.With(func() {
		got := map[string]int{}
		for id, r := range s.server.Recordings {
			name := string(r.Source.RawName())
			got[name]++
			want, ok := files[name]
			switch {
			case !ok:
				s.t.Errorf("recording %s of %q was not expected", id, name)
			case r.Close == nil:
				s.t.Errorf("%q is not closed", name)
			case !bytes.Equal(r.Whole(), want) || r.Close.Hash != evidence.Digest(sha256.Sum256(want)) || r.Close.Size != uint64(len(want)):
				s.t.Errorf("%q arrived with other bytes", name)
			case r.Stored == 0:
				s.t.Errorf("%q has no stored receipt", name)
			case r.Close.Why != evidence.WhyComplete:
				s.t.Errorf("%q is closed as %s", name, r.Close.Why)
			}
		}
		for name := range files {
			if got[name] != 1 {
				s.t.Errorf("%q is %d recordings", name, got[name])
			}
		}
	})
}

// held holds that no chunk is left in the spool.
func (s *site) empty() {
	s.t.Helper()
	left, err := os.ReadDir(filepath.Join(s.state, "spool", "chunks"))
	if err != nil || len(left) != 0 {
		s.t.Errorf("%d chunk files are left, %v", len(left), err)
	}
}

func TestImportStored(t *testing.T) {
	for _, tpm := range []string{"swtpm", "software"} {
		t.Run(tpm, func(t *testing.T) {
			path := tpm
			if tpm == "swtpm" {
				path = swtpmtest.Start(t).Path()
			}
			s := newSite(t, path)
			files := map[string][]byte{
				"empty.mp4": {}, "one.mp4": noise(4096, 1), "two.mp4": noise(8192, 2), "more.mov": noise(9000, 3), "tiny.wav": {1},
				"记录 仪.mp4": noise(5000, 4), "a 'quoted\" name.jpg": noise(10, 5), "line\nfeed.txt": noise(11, 6), "not \xff utf-8.bin": noise(12, 7),
				"..mp4": noise(13, 8), "%2e%2e%2f": noise(14, 9), "big.ts": noise(300_000, 10),
			}
			for name, content := range files {
				s.file(name, content)
			}
			code, out, errs := s.run("import", s.footage)
			if code != 0 {
				t.Fatalf("exit %d\n%s\n%s", code, out, errs)
			}
			last := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
			if !strings.Contains(last, fmt.Sprintf("%d taken in", len(files))) || !strings.Contains(last, fmt.Sprintf("%d stored; recordings: ", len(files))) {
				t.Errorf("last line: %s", last)
			}
			s.same(files)
			s.empty()
			// Again, the same: nothing new.
			code, out, _ = s.run("import", s.footage, "--json")
			if code != 0 || !strings.Contains(out, fmt.Sprintf(`"known":%d`, len(files))) {
				t.Errorf("second import: exit %d\n%s", code, out)
			}
			s.same(files)
			code, out, _ = s.run("status", "--json")
			var st agentStatus
			if err := json.Unmarshal([]byte(out), &st); err != nil || code != 0 {
				t.Fatal(err, code)
			}
			if st.Spool.Stored != uint64(len(files)) || st.Spool.Held != 0 || st.Spool.Sealed != st.Spool.Statements {
				t.Errorf("status %+v", st.Spool)
			}
		})
	}
}

func TestTouchedAndMovedFilesAreRecognised(t *testing.T) {
	s := newSite(t, "software")
	p := s.file("a.mp4", noise(10_000, 1))
	if code, out, _ := s.run("import", p); code != 0 {
		t.Fatal(out)
	}
	later := time.Now().Add(-time.Hour)
	if err := os.Chtimes(p, later, later); err != nil {
		t.Fatal(err)
	}
	code, out, _ := s.run("import", p)
	if code != 0 || !strings.Contains(out, "1 known") {
		t.Fatalf("touched: %d %s", code, out)
	}
	s.file("a.mp4", noise(10_000, 2)) // other bytes, same name and size: another recording
	if code, out, _ = s.run("import", p); code != 0 || !strings.Contains(out, "1 taken in") {
		t.Fatalf("replaced: %d %s", code, out)
	}
	if code, out, _ = s.run("import", p, "--recorder", "BZ1"); code != 0 || !strings.Contains(out, "1 taken in") {
		t.Fatalf("other recorder: %d %s", code, out)
	}
	s.server.With(func() {
		if len(s.server.Recordings) != 3 {
			t.Errorf("%d recordings", len(s.server.Recordings))
		}
	})
}

func TestWhatCannotBeTakenInIsNamed(t *testing.T) {
	s := newSite(t, "software")
	s.file("good.mp4", noise(5000, 1))
	if err := os.Symlink("good.mp4", filepath.Join(s.footage, "link")); err != nil {
		t.Fatal(err)
	}
	code, out, _ := s.run("import", s.footage, filepath.Join(s.footage, "absent.mp4"), filepath.Join(s.footage, "link"))
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"FAILED  " + filepath.Join(s.footage, "absent.mp4") + ": it is not there", "a symbolic link is not taken in; give the file itself", "1 taken in, 2 FAILED"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	s.same(map[string][]byte{"good.mp4": noise(5000, 1)})
}

func TestWithoutTPM(t *testing.T) {
	if _, err := os.Stat("/dev/tpmrm0"); err == nil {
		t.Skip("there is a TPM")
	}
	s := &site{t: t, state: t.TempDir(), server: uplinktest.Start(t)}
	code, _, errs := s.run("enrol", "--token", "x")
	if code != 2 || !strings.Contains(errs, "software if you want a trial without one") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestUsageErrors(t *testing.T) {
	conf := write(t, filepath.Join(t.TempDir(), "agent.yaml"), []byte("chunk-size: 8MiB\nchunksize: 3\n"))
	good := write(t, filepath.Join(t.TempDir(), "agent.yaml"), []byte("# comment\nchunk-size: 8192\nfolders: [/a, /b]\nreaders: 3\nsettle: 1s\nlock: [compliance]\n"))
	shipped, err := os.ReadFile("../../../deploy/agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := write(t, filepath.Join(t.TempDir(), "agent.yaml"), regexp.MustCompile(`(?m)^#([a-z-]+:)`).ReplaceAll(shipped, []byte("$1")))
	for _, c := range []struct {
		args []string
		want int
		text string
	}{
		{[]string{"nonsense"}, 2, "unexpected"}, {[]string{"import"}, 2, "path"}, {[]string{"version", "--config", conf}, 2, `no key "chunksize"`},
		{[]string{"version", "--config", good}, 0, ""}, {[]string{"version", "--config", all}, 0, ""}, {[]string{"import", "--chunk-size", "3", "x"}, 2, "chunk-size"}, {[]string{"--help"}, 0, ""},
		{[]string{"import", "--chunk-size", "big", "x"}, 2, "big"}, {[]string{"import", "--lock", "none", "x"}, 2, "compliance"},
		{[]string{"import", "--state", t.TempDir(), "--tpm", "software", "x"}, 1, "enrol"},
	} {
		var out, errs bytes.Buffer
		if code := Main(c.args, &out, &errs); code != c.want || !strings.Contains(errs.String(), c.text) {
			t.Errorf("%v: exit %d, %s", c.args, code, errs.String())
		}
	}
}

func TestTwoAgentsOnOneState(t *testing.T) {
	s := newSite(t, "software")
	p := s.file("a.mp4", noise(100_000, 1))
	release := make(chan struct{})
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool { <-release; return false })
	first := make(chan string)
	go func() {
		_, out, _ := s.run("import", p)
		first <- out
	}()
	for dial(t.Context(), s.state) == nil {
		select {
		case out := <-first:
			t.Fatal(out)
		case <-time.After(10 * time.Millisecond):
		}
	}
	// The second goes by the first's socket.
	p2 := s.file("b.mp4", noise(10_000, 2))
	code, out, errs := s.run("import", p2, "--sealed-only")
	if code != 0 || !strings.Contains(out, "1 sealed, 0 stored") {
		t.Errorf("second: %d %s %s", code, out, errs)
	}
	if code, out, _ = s.run("status"); code != 0 || !strings.Contains(out, "running") {
		t.Errorf("status: %s", out)
	}
	if code, _, errs = s.run("enrol", "--token", "x"); code != 1 || !strings.Contains(errs, "another agent is using this state folder") {
		t.Errorf("enrol meanwhile: %d %s", code, errs)
	}
	close(release)
	<-first
	s.run("import", s.footage)
	s.same(map[string][]byte{"a.mp4": noise(100_000, 1), "b.mp4": noise(10_000, 2)})
}

func TestRecordingIDsInJSON(t *testing.T) {
	s := newSite(t, "software")
	code, out, _ := s.run("import", "--json", s.file("a.mp4", noise(5000, 1)))
	if code != 0 {
		t.Fatal(out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var last progress
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Summary == nil || len(last.Summary.Recordings) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := hex.DecodeString(last.Summary.Recordings[0]); err != nil {
		t.Error(err)
	}
}
