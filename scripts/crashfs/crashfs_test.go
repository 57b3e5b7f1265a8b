package crashfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func disk(t *testing.T, journal bool) (*FS, func(...string) string) {
	t.Helper()
	dir := t.TempDir()
	f, err := New(dir, journal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, func(p ...string) string { return filepath.Join(append([]string{dir}, p...)...) }
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string, sync bool) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	must(t, err)
	_, err = file.WriteString(text)
	must(t, err)
	if sync {
		must(t, file.Sync())
	}
	must(t, file.Close())
}

func syncDir(t *testing.T, path string) {
	t.Helper()
	d, err := os.Open(path)
	must(t, err)
	must(t, d.Sync(), d.Close())
}

func read(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// What was synced is there after the power cut, and nothing else.
func TestUnsyncedIsGone(t *testing.T) {
	f, at := disk(t, false)
	must(t, os.Mkdir(at("d"), 0o700))
	syncDir(t, at())
	write(t, at("d", "a"), "old", true)
	write(t, at("d", "nameless"), "renamed away", true)
	must(t, os.Remove(at("d", "nameless")))
	syncDir(t, at("d"))
	write(t, at("d", "a"), "new", false)
	write(t, at("d", "b"), "not synced", false)
	write(t, at("d", "f"), "synced, and so its name", true)
	must(t, os.Rename(at("d", "a"), at("d", "c")))
	if got := read(at("d", "c")); got != "new" {
		t.Fatal(got)
	}
	must(t, f.Restore())
	if got := read(at("d", "a")); got != "old" {
		t.Errorf("a: %s", got)
	}
	if got := read(at("d", "f")); got != "synced, and so its name" {
		t.Errorf("f: %s", got)
	}
	for _, gone := range []string{"b", "c", "nameless"} {
		if _, err := os.Stat(at("d", gone)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	write(t, at("d", "b"), "again", true)
	must(t, os.Link(at("d", "b"), at("d", "e")))
	must(t, os.Rename(at("d", "b"), at("d", "a")))
	syncDir(t, at("d"))
	must(t, f.Restore())
	if read(at("d", "a")) != "again" || read(at("d", "e")) != "again" {
		t.Errorf("after rename and link: %q, %q", read(at("d", "a")), read(at("d", "e")))
	}
}

// Mapped files are durable by msync.
func TestMapped(t *testing.T) {
	f, at := disk(t, false)
	write(t, at("m"), "0123456789", true)
	syncDir(t, at())
	file, err := os.OpenFile(at("m"), os.O_RDWR, 0)
	must(t, err)
	m, err := unix.Mmap(int(file.Fd()), 0, 10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	copy(m, "synced")
	must(t, unix.Msync(m, unix.MS_SYNC))
	copy(m, "lost")
	must(t, unix.Munmap(m))
	must(t, f.Restore())
	_ = file.Close() // it was open when the power went
	if got := read(at("m")); got != "synced6789" {
		t.Errorf("%q", got)
	}
}

// The power goes at a given change.
func TestCutAt(t *testing.T) {
	f, at := disk(t, false)
	write(t, at("a"), "a", true)
	syncDir(t, at())
	cut := f.CutAt(f.Steps() + 2)
	file, err := os.OpenFile(at("a"), os.O_WRONLY, 0)
	must(t, err)
	_, err = file.WriteString("b")
	must(t, err)
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync without power: %v", err)
	}
	<-cut
	_ = file.Close() // it was open when the power went
	must(t, f.Restore())
	if got := read(at("a")); got != "a" {
		t.Errorf("%q", got)
	}
}

// With a journal any fsync keeps all names.
func TestJournal(t *testing.T) {
	f, at := disk(t, true)
	must(t, os.Mkdir(at("d"), 0o700))
	write(t, at("d", "a"), "a", false)
	write(t, at("b"), "b", true)
	write(t, at("c"), "c", false)
	must(t, f.Restore())
	if read(at("d", "a")) != "" || read(at("b")) != "b" {
		t.Errorf("%q %q", read(at("d", "a")), read(at("b")))
	}
	if _, err := os.Stat(at("c")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("c: %v", err)
	}
}
