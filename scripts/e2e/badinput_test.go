package e2e_test

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestOddFiles: whatever a file is called and whatever is in it, it comes back bit-exact.
func TestOddFiles(t *testing.T) {
	s := newSystem(t)
	files := map[string][]byte{}
	for name, size := range map[string]int{
		"empty.mp4": 0, "one byte.mp4": 1, "one chunk.mp4": 64 << 10, "two chunks.mp4": 128 << 10, "one more.mp4": 128<<10 + 1,
		"市场检查 现场.mp4": 70_000, `quo"te's.mp4`: 300, "new\nline.mp4": 300, "..hidden": 300, "-rf": 300, "not a video.exe": 70_000,
	} {
		s.film(name, size)
		files[name] = footage(name, size)
	}
	film, err := os.ReadFile(filepath.Join(samples, "movie1/VID_20191220_170832.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	photo, err := os.ReadFile(filepath.Join(samples, "pic1/IMG_1054.JPG"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"truncated.mp4": film[:1_000_000], "IMG_1054.JPG": photo} {
		if err := os.WriteFile(filepath.Join(s.recorder, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	if err := os.WriteFile(filepath.Join(s.recorder, "gbk \xca\xd3\xc6\xb5.mp4"), photo[:100], 0o644); err != nil {
		t.Fatal(err)
	}
	files["gbk \uFFFDƵ.mp4"] = photo[:100] // as it is displayed: CA is no UTF-8, D3 C6 and B5 neither
	if err := os.Symlink("/etc/passwd", filepath.Join(s.recorder, "link.mp4")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(s.recorder, "pipe.mp4")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	mustRun(t, "camseal-agent", s.importing()...)
	list := s.recordings()
	for _, r := range list {
		if strings.HasPrefix(r.Name, "gbk ") {
			files[r.Name] = photo[:100]
			if r.Name != "gbk \uFFFDƵ.mp4" {
				delete(files, "gbk \uFFFDƵ.mp4")
			}
		}
	}
	s.allSound(files)
}

// TestServerDown: with no server the import seals and waits; when the server comes, it ends.
func TestServerDown(t *testing.T) {
	s := newSystem(t)
	s.film("a.mp4", 500_000)
	s.server.kill()
	mustRun(t, "camseal-agent", s.importing("--sealed-only")...)
	agent := start(t, "camseal-agent", s.importing()...)
	s.startServer()
	waitFor(t, agent, time.Minute)
	s.allSound(map[string][]byte{"a.mp4": footage("a.mp4", 500_000)})
}

func waitFor(t *testing.T, p *process, limit time.Duration) {
	t.Helper()
	select {
	case <-p.done:
		if p.err != nil {
			t.Fatalf("%v\n%s", p.err, &p.out)
		}
	case <-time.After(limit):
		p.kill()
		t.Fatalf("not done within %s\n%s", limit, &p.out)
	}
}

// proxy puts itself before the server; carry moves the bytes of one connection from the agent to the server.
func proxy(t *testing.T, s *system, carry func(to io.Writer, from io.Reader)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s.via = l.Addr().String()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", s.api)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(in, out) }() // ends when either side is cut
				carry(out, in)
			}()
		}
	}()
}

// TestConnectionCut cuts every connection after some bytes, in the middle of chunks too.
func TestConnectionCut(t *testing.T) {
	s := newSystem(t)
	cuts, limit := atomic.Int64{}, atomic.Int64{}
	limit.Store(20_000)
	proxy(t, s, func(to io.Writer, from io.Reader) {
		cuts.Add(1)
		n := limit.Load()
		limit.Store(n*5/4 + 3000)
		_, _ = io.CopyN(to, from, n) // and then the connection ends
	})
	s.film("a.mp4", 3_000_000)
	waitFor(t, start(t, "camseal-agent", s.importing()...), 3*time.Minute)
	if cuts.Load() < 5 {
		t.Errorf("only %d connections", cuts.Load())
	}
	s.allSound(map[string][]byte{"a.mp4": footage("a.mp4", 3_000_000)})
}

// TestSlowServer lets 16 KiB through every 20 ms.
func TestSlowServer(t *testing.T) {
	s := newSystem(t)
	proxy(t, s, func(to io.Writer, from io.Reader) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	})
	s.film("a.mp4", 2_000_000)
	waitFor(t, start(t, "camseal-agent", s.importing()...), time.Minute)
	s.allSound(map[string][]byte{"a.mp4": footage("a.mp4", 2_000_000)})
}

// TestWrongServer: an agent that trusts another authority refuses the server, keeps everything, and says so.
func TestWrongServer(t *testing.T) {
	s, other := newSystem(t), newSystem(t)
	s.film("a.mp4", 500_000)
	args := s.importing()
	for i := range args {
		if args[i] == s.path("server/ca.pem") {
			args[i] = other.path("server/ca.pem")
		}
	}
	agent := start(t, "camseal-agent", args...)
	untilStatus(t, agent, s.path("agent"), "certificate")
	agent.kill()
	if len(s.recordings()) != 0 {
		t.Error("footage went to a server that the agent does not trust")
	}
	mustRun(t, "camseal-agent", s.importing()...)
	s.allSound(map[string][]byte{"a.mp4": footage("a.mp4", 500_000)})
}

// untilStatus waits until the running agent's status has the word. An agent that is just starting has none yet.
func untilStatus(t *testing.T, agent *process, state, word string) {
	t.Helper()
	eventually(t, "the agent's status to say "+word, func() bool {
		select {
		case <-agent.done:
			t.Fatalf("the agent ended: %v\n%s", agent.err, &agent.out)
		default:
		}
		code, out := run(t, "camseal-agent", "status", "--state", state)
		return code == 0 && strings.Contains(out, word)
	})
}

// TestUnknownDevice: what is enrolled elsewhere is refused here, and nothing of it is archived.
func TestUnknownDevice(t *testing.T) {
	s, stranger := newSystem(t), newSystem(t)
	stranger.film("a.mp4", 100_000)
	stranger.via = s.api
	args := stranger.importing()
	for i := range args {
		if args[i] == stranger.path("server/ca.pem") {
			args[i] = s.path("server/ca.pem")
		}
	}
	agent := start(t, "camseal-agent", args...)
	untilStatus(t, agent, stranger.path("agent"), "unknown-device")
	agent.kill()
	if len(s.recordings()) != 0 {
		t.Error("an unknown device's footage was taken")
	}
}

// small mounts a tmpfs of so many MiB; tests run as root.
func small(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// TestVaultFull: the server's disk is full; nothing is lost, and when there is room again the import ends.
func TestVaultFull(t *testing.T) {
	dir := t.TempDir()
	small(t, dir, "6m")
	s := newSystem(t, "--vault", filepath.Join(dir, "vault"))
	s.film("a.mp4", 12_000_000)
	agent := start(t, "camseal-agent", s.importing()...)
	untilStatus(t, agent, s.path("agent"), "full")
	mustRun(t, "mount", "-o", "remount,size=200m", dir)
	waitFor(t, agent, 2*time.Minute)
	s.allSound(map[string][]byte{"a.mp4": footage("a.mp4", 12_000_000)})
}

// TestSpoolFull: the agent's disk is smaller than the footage; it waits for receipts, releases, and goes on.
func TestSpoolFull(t *testing.T) {
	s := newSystem(t)
	dir := t.TempDir()
	small(t, dir, "140m")
	s.film("a.mp4", 120_000_000)
	args := s.importing("--spool-reserve", "1MiB")
	for i := range args {
		if args[i] == s.path("agent") {
			args[i] = filepath.Join(dir, "agent")
		}
	}
	mustRun(t, "cp", "-a", s.path("agent"), filepath.Join(dir, "agent"))
	agent := start(t, "camseal-agent", args...)
	waitFor(t, agent, 3*time.Minute)
	s.allSound(map[string][]byte{"a.mp4": footage("a.mp4", 120_000_000)})
}
