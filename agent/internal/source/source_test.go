package source

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`/a\040b`: "/a b", `/\134`: `/\`, `/x\`: `/x\`, `/\999`: `/\999`, `/记`: "/记"} {
		if got := unescape(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

// TestSameFileWhereverMounted: a volume mounted at another place has the same id and the same paths.
func TestSameFileWhereverMounted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	a, b := t.TempDir(), t.TempDir()
	if err := syscall.Mount("tmpfs", a, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(a, syscall.MNT_DETACH) })
	if err := os.MkdirAll(filepath.Join(a, "DCIM"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a, "DCIM", "1.mp4"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(a, b, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(b, syscall.MNT_DETACH) })
	where := func(root string) (string, string) {
		f, o, err := new(run).openFile(filepath.Join(root, "DCIM", "1.mp4"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return locate(string(o.Path), o.Device)
	}
	v1, p1 := where(a)
	v2, p2 := where(b)
	if v1 != v2 || p1 != p2 || p1 != "/DCIM/1.mp4" {
		t.Errorf("%s %s, and %s %s", v1, p1, v2, p2)
	}
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{fifo, link, dir, "/dev/null"} {
		if f, _, err := new(run).openFile(p); err == nil {
			f.Close()
			t.Errorf("%s was opened", p)
		}
	}
}

func TestClaimIsExclusive(t *testing.T) {
	r := &Taker{}
	release, err := r.claim(t.Context(), [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if other, err := r.claim(t.Context(), [32]byte{2}); err != nil {
		t.Fatal(err)
	} else {
		other()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.claim(ctx, [32]byte{1}); err == nil {
		t.Error("claimed twice")
	}
	release()
	if again, err := r.claim(t.Context(), [32]byte{1}); err != nil {
		t.Error(err)
	} else {
		again()
	}
}
