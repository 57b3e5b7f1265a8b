package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func run(t *testing.T, b Box, c Command) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := b.Run(t.Context(), c, func(r io.Reader) error {
		_, err := out.ReadFrom(r)
		return err
	})
	return out.String(), err
}

func sh(script string) Command { return Command{Name: "sh", Args: []string{"-c", script}} }

func TestDataAndInputAreHandedIn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "footage")
	if err := os.WriteFile(name, []byte("footage"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := run(t, Box{}, Command{Name: "cat", Args: []string{Path(1), Path(0), "/proc/self/fd/0"}, In: f, Data: [][]byte{[]byte("one "), []byte("two ")}})
	if err != nil || got != "two one footage" {
		t.Errorf("%q %v", got, err)
	}
}

// TestNothingElseIsThere: no file of the machine, no process, no network, no environment.
func TestNothingElseIsThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	connect := "exec 3<>/dev/tcp/" + host + "/" + port
	if out, err := exec.Command("bash", "-c", connect).CombinedOutput(); err != nil {
		t.Fatalf("outside of the sandbox: %s %v", out, err)
	}
	t.Setenv("CAMSEAL_SECRET", "secret")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Command{
		{Name: "cat", Args: []string{filepath.Join(dir, "secret")}},
		{Name: "cat", Args: []string{"/etc/passwd"}},
		{Name: "cat", Args: []string{"/proc/1/root" + dir + "/secret"}},
		{Name: "bash", Args: []string{"-c", connect}},
		{Name: "unshare", Args: []string{"-U", "true"}},
	} {
		var failed *Failed
		if got, err := run(t, Box{}, c); !errors.As(err, &failed) {
			t.Errorf("%s %s gave %q, %v", c.Name, c.Args, got, err)
		}
	}
	got, err := run(t, Box{}, Command{Name: "env"})
	if err != nil || strings.Contains(got, "secret") {
		t.Errorf("environment %q, %v", got, err)
	}
	got, err = run(t, Box{}, sh("echo $$ /proc/[0-9]* /*"))
	if err != nil || got != "2 /proc/1 /proc/2 /dev /etc /lib /lib64 /proc /usr\n" {
		t.Errorf("processes and files: %q, %v", got, err)
	}
}

// TestFootageCantBeChanged: the descriptor of a file that the program's user owns leads to no way of writing to it or of changing its attributes.
func TestFootageCantBeChanged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "footage")
	if err := os.WriteFile(name, []byte("footage"), 0o666); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Command{
		{Name: "sh", Args: []string{"-c", "echo x > /proc/self/fd/0"}},
		{Name: "sh", Args: []string{"-c", "echo x >> /proc/self/fd/0"}},
		{Name: "sh", Args: []string{"-c", "echo x <> /proc/self/fd/0 1>&0"}},
		{Name: "truncate", Args: []string{"-s", "0", "/proc/self/fd/0"}},
		{Name: "chmod", Args: []string{"600", "/proc/self/fd/0"}},
		{Name: "touch", Args: []string{"-c", "-d", "2001-01-01", "/proc/self/fd/0"}},
		{Name: "dd", Args: []string{"if=/dev/zero", "of=/proc/self/fd/0", "count=1", "conv=notrunc"}},
	} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		c.In = f
		var failed *Failed
		if got, err := run(t, Box{}, c); !errors.As(err, &failed) {
			t.Errorf("%s %s gave %q, %v", c.Name, c.Args, got, err)
		}
		f.Close()
	}
	after, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(name); err != nil || string(content) != "footage" || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("%q, %v %v before, %v %v after; %v", content, before.Mode(), before.ModTime(), after.Mode(), after.ModTime(), err)
	}
}

func TestNoProcessIsMade(t *testing.T) {
	got, err := run(t, Box{}, sh("ls /; echo after"))
	if err == nil || strings.Contains(got, "usr") {
		t.Errorf("a process was made: %q, %v", got, err)
	}
}

func TestHangingProgramIsEnded(t *testing.T) {
	for _, script := range []string{"kill -STOP $$", "while :; do :; done", "exec sleep 100", "trap '' TERM INT HUP; exec sleep 100", "exec >&- 2>&-; exec sleep 100"} {
		begin := time.Now()
		if got, err := run(t, Box{Time: 300 * time.Millisecond}, sh(script)); !errors.Is(err, ErrTime) {
			t.Errorf("%s: %q, %v", script, got, err)
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("%s: ended after %v", script, d)
		}
	}
	if left := kin(t, "sleep\x00100"); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// kin are the processes whose command line begins so.
func kin(t *testing.T, begin string) (pids []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if b, err := os.ReadFile(l); err == nil && strings.HasPrefix(string(b), begin) {
			pids = append(pids, l)
		}
	}
	return pids
}

func TestFloodIsEnded(t *testing.T) {
	if got, err := run(t, Box{Output: 1 << 20}, Command{Name: "yes"}); !errors.Is(err, ErrFlood) || len(got) != 1<<20 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_, err := run(t, Box{Time: time.Second}, sh("while :; do echo flood >&2; done"))
	if !errors.Is(err, ErrTime) {
		t.Error(err)
	}
	var failed *Failed
	if _, err := run(t, Box{}, sh("i=0; while [ $i -lt 9999 ]; do echo flood >&2; i=$((i+1)); done; exit 3")); !errors.As(err, &failed) || failed.Status != "exit status 3" || len(failed.Said) > said {
		t.Errorf("%.100v", err)
	}
}

// TestAFileIsWrittenInAnyOrder: a program may write its output at any place and read it back, and no further than it may.
func TestAFileIsWrittenInAnyOrder(t *testing.T) {
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	nothing := func(io.Reader) error { return nil }
	c := Command{Name: "dd", Args: []string{"if=" + Path(0), "of=" + OutPath, "bs=1", "seek=3", "conv=notrunc"}, Data: [][]byte{[]byte("later")}, ToPath: true, Out: out}
	if err := (Box{Output: 8, Nice: 5}).Run(t.Context(), c, nothing); err != nil {
		t.Error(err)
	}
	c.Args[3] = "seek=4"
	if err := (Box{Output: 8}).Run(t.Context(), c, nothing); !errors.Is(err, ErrFlood) {
		t.Error(err)
	}
	if got, err := os.ReadFile(out.Name()); err != nil || string(got) != "\x00\x00\x00llate" {
		t.Errorf("%q %v", got, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var failed *Failed
	if _, err := run(t, Box{Memory: 128 << 20}, Command{Name: "dd", Args: []string{"if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"}, ToPath: true}); !errors.As(err, &failed) || !strings.Contains(failed.Said, "memory") {
		t.Error(err)
	}
}

func TestReaderThatHasEnoughEndsTheProgram(t *testing.T) {
	begin := time.Now()
	err := Box{}.Run(t.Context(), Command{Name: "yes"}, func(r io.Reader) error {
		_, err := io.ReadFull(r, make([]byte, 100))
		return err
	})
	if err != nil || time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

func TestOwnErrorsComeBack(t *testing.T) {
	mine := errors.New("mine")
	if err := (Box{}).Run(t.Context(), Command{Name: "yes"}, func(io.Reader) error { return mine }); !errors.Is(err, mine) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Box{}).Run(ctx, sh("exec sleep 100"), func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	var failed *Failed
	if _, err := run(t, Box{}, Command{Name: "there-is-no-such-program"}); !errors.As(err, &failed) || !strings.Contains(failed.Said, "No such file") {
		t.Error(err)
	}
}

func TestWhatAProgramSaysIsOneLine(t *testing.T) {
	if got := printable([]byte("a\nb\x1b[31m\xff c\u202e")); got != "a b [31m? c" {
		t.Errorf("%q", got)
	}
}
