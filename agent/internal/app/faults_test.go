package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/transport"
)

// TestMain also plays the agent as a process of its own, and what connects tpm2-tools with a software TPM.
func TestMain(m *testing.M) {
	if to := os.Getenv("CAMSEAL_TEST_RELAY"); to != "" {
		os.Exit(relay(to))
	}
	if os.Getenv("CAMSEAL_TEST_AGENT") != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// process prepares the agent as a process of its own.
func (s *site) process(command string, args ...string) *exec.Cmd {
	all := append([]string{command, "--state", s.state, "--tpm", s.tpm, "--server", s.server.URL, "--chunk-size", "4KiB", "--settle", "0s", "--gather", "5ms"}, s.extra...)
	cmd := exec.Command(os.Args[0], append(all, args...)...)
	cmd.Env = append(os.Environ(), "CAMSEAL_TEST_AGENT=1")
	return cmd
}

// TestKilledAtAnyMoment kills the agent again and again during an import, and lets the last one finish.
func TestKilledAtAnyMoment(t *testing.T) {
	for _, tpm := range []string{"swtpm", "software"} {
		t.Run(tpm, func(t *testing.T) {
			path := tpm
			if tpm == "swtpm" {
				path = swtpmtest.Start(t).Path()
			}
			s := newSite(t, path)
			files := map[string][]byte{"empty": {}, "big.mp4": noise(3_000_000, 1), "mid.mp4": noise(400_000, 2)}
			for i := range 10 {
				files[fmt.Sprintf("%d.jpg", i)] = noise(i*1500, uint64(10+i))
			}
			for name, content := range files {
				s.file(name, content)
			}
			random := rand.New(rand.NewPCG(7, uint64(len(tpm))))
			killed := 0
			for range 12 {
				cmd := s.process("import", s.footage)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				timer := time.AfterFunc(time.Duration(20+random.IntN(300))*time.Millisecond, func() { cmd.Process.Kill() })
				if cmd.Wait() != nil {
					killed++
				}
				timer.Stop()
			}
			if killed < 3 {
				t.Errorf("killed only %d times", killed)
			}
			if out, err := s.process("import", s.footage).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			s.same(files)
			s.empty()
		})
	}
}

func TestInterruptKeepsAndSaysSo(t *testing.T) {
	s := newSite(t, "software")
	s.file("a.mp4", noise(50_000, 1))
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		uplinktest.Refuse(w, 503, transport.CodeUnavailable)
		return true
	})
	cmd := s.process("import", s.footage)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(text.String(), "sealed  ") {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatal(text.String(), err)
		}
		text.Write(buf[:n])
	}
	cmd.Process.Signal(os.Interrupt)
	io.Copy(&text, out)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(text.String(), "run the same command again to go on") {
		t.Errorf("%v %s", err, text.String())
	}
	s.server.Intercept(nil)
	if code, out, _ := s.run("import", s.footage); code != 0 {
		t.Error(out)
	}
	s.same(map[string][]byte{"a.mp4": noise(50_000, 1)})
}

// TestServerTrouble: the server answers wrongly for a while; then all arrives, once.
func TestServerTrouble(t *testing.T) {
	cut := func(w http.ResponseWriter) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			c.Close()
		}
	}
	for name, before := range map[string]func(n int64, w http.ResponseWriter, r *http.Request) bool{
		"500 in plain text": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n%3 == 0 {
				http.Error(w, "proxy error", 500)
			}
			return n%3 == 0
		},
		"503": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n%4 == 0 {
				uplinktest.Refuse(w, 503, transport.CodeUnavailable)
			}
			return n%4 == 0
		},
		"vault full": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut && n < 12 {
				uplinktest.Refuse(w, 507, transport.CodeVaultFull)
				return true
			}
			return false
		},
		"cut in the middle of a chunk": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || n%4 != 0 {
				return false
			}
			io.CopyN(io.Discard, r.Body, 1000)
			cut(w)
			return true
		},
		"cut before the answer": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n%5 == 0 {
				cut(w)
			}
			return n%5 == 0
		},
		"garbage": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 || n == 5 {
				io.WriteString(w, "{")
			}
			return n == 2 || n == 5
		},
		"statements forgotten": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n == 6 {
				uplinktest.Refuse(w, 404, transport.CodeUnknownChunk)
			}
			return n == 6
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "software")
			files := map[string][]byte{"a.mp4": noise(40_000, 1), "b.mp4": noise(4096, 2), "c": {}}
			for name, content := range files {
				s.file(name, content)
			}
			var n atomic.Int64
			s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool { return before(n.Add(1), w, r) })
			if code, out, _ := s.run("import", s.footage); code != 0 {
				t.Errorf("exit %d\n%s", code, out)
			}
			s.same(files)
			s.empty()
		})
	}
}

// untilAlarm imports until the output has all the texts, then stops the import, and returns what was said.
func (s *site) untilAlarm(texts ...string) string {
	s.t.Helper()
	cmd := s.process("import", s.footage)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	guard := time.AfterFunc(60*time.Second, func() { cmd.Process.Kill() })
	defer guard.Stop()
	var all bytes.Buffer
	buf := make([]byte, 4096)
	missing := func(text string) bool { return !strings.Contains(all.String(), text) }
	for slices.ContainsFunc(texts, missing) {
		n, err := out.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			s.t.Fatalf("%q was not said:\n%s", texts, all.String())
		}
	}
	cmd.Process.Signal(os.Interrupt)
	io.Copy(&all, out)
	cmd.Wait()
	return all.String()
}

// TestNotOurServer: nothing is sent to a server that is not the configured one, nor believed from it, and nothing is lost.
func TestNotOurServer(t *testing.T) {
	ours := uplinktest.NewAuthority(t)
	good := ours.Certificate(t, time.Unix(0, 0), time.Unix(1<<33, 0))
	for name, c := range map[string]struct {
		server func(t *testing.T, s *uplinktest.Server) *uplinktest.Server
		alarm  string
	}{
		"another authority": {func(t *testing.T, _ *uplinktest.Server) *uplinktest.Server { return uplinktest.Start(t) }, "is not our server: its certificate is not from the configured authority"},
		"expired": {func(t *testing.T, _ *uplinktest.Server) *uplinktest.Server {
			return uplinktest.StartWith(t, ours, ours.Certificate(t, time.Unix(0, 0), time.Unix(1000, 0)))
		}, "look at this machine's clock"},
		"another log key": {func(t *testing.T, _ *uplinktest.Server) *uplinktest.Server {
			return uplinktest.StartWith(t, ours, good)
		}, "the server's receipt does not hold"},
		"not registered": {func(t *testing.T, s *uplinktest.Server) *uplinktest.Server {
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				uplinktest.Refuse(w, 403, transport.CodeUnknownDevice)
				return true
			})
			return s
		}, "unknown-device"},
		"another chain": {func(t *testing.T, s *uplinktest.Server) *uplinktest.Server {
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v1/head" {
					fmt.Fprintf(w, `{"seq":1,"head":"%064d"}`, 7)
				}
				return r.URL.Path == "/v1/head"
			})
			return s
		}, "another chain of this device"},
		"right bytes called wrong": {func(t *testing.T, s *uplinktest.Server) *uplinktest.Server {
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					uplinktest.Refuse(w, 422, transport.CodeWrongBytes)
				}
				return r.Method == http.MethodPut
			})
			return s
		}, "wrong-bytes"},
		"receipts that end too early": {func(t *testing.T, s *uplinktest.Server) *uplinktest.Server {
			s.With(func() { s.Until = time.Now().Add(-time.Hour) })
			return s
		}, "is the clock right?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			right := uplinktest.StartWith(t, ours, good)
			s := &site{t: t, state: filepath.Join(t.TempDir(), "state"), footage: t.TempDir(), tpm: "software", server: right}
			s.enrol()
			s.file("a.mp4", noise(20_000, 1))
			s.server = c.server(t, right)
			said := s.untilAlarm(c.alarm, "sealed  ")
			if strings.Count(said, "ALARM") > 3 {
				t.Errorf("it is said again and again:\n%s", said)
			}
			left, err := os.ReadDir(filepath.Join(s.state, "spool", "chunks"))
			if err != nil || len(left) != 5 {
				t.Errorf("%d chunks are kept of 5, %v", len(left), err)
			}
			s.server = right
			right.Intercept(nil)
			right.With(func() { right.Until = time.Now().Add(time.Hour) })
			if code, out, _ := s.run("import", s.footage); code != 0 {
				t.Errorf("exit %d\n%s", code, out)
			}
			s.same(map[string][]byte{"a.mp4": noise(20_000, 1)})
			s.empty()
		})
	}
}
