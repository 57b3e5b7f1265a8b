package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/archive/archivetest"
)

var until = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func open(t testing.TB, dir string, opts archive.FolderOptions) *archive.Folder {
	t.Helper()
	f, err := archive.OpenFolder(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func object(name string, b []byte) archive.Object {
	h := evidence.Sum(b)
	return archive.Object{Key: name + "-" + h.String(), Size: int64(len(b)), Hash: h, Until: until}
}

func put(t testing.TB, v archive.Vault, name string, b []byte) archive.Held {
	t.Helper()
	h, err := v.Put(t.Context(), object(name, b), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// files lists all files below dir.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFolder(t *testing.T) {
	archivetest.Run(t, func(t testing.TB) archive.Vault { return open(t, t.TempDir(), archive.FolderOptions{}) })
}

func TestFolderKeepsItsIDAndItsObjects(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "vault")
	f := open(t, dir, archive.FolderOptions{})
	h := put(t, f, "a/b", []byte("kept"))
	beside := open(t, dir, archive.FolderOptions{}) // a second process may use it at the same time
	if beside.ID() != f.ID() {
		t.Fatalf("ids %s and %s", f.ID(), beside.ID())
	}
	got, err := archive.Read(t.Context(), beside, h.Ref(), 100)
	if err != nil || string(got) != "kept" {
		t.Fatalf("%q, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(dir, "objects", h.Key))
	if err != nil || info.Mode() != 0o444 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Remove(filepath.Join(dir, "ID")); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.OpenFolder(dir, archive.FolderOptions{}); !errors.Is(err, archive.ErrRefused) {
		t.Fatalf("opened without its ID: %v", err)
	}
}

func TestFolderRoundsRetentionUp(t *testing.T) {
	f := open(t, t.TempDir(), archive.FolderOptions{})
	o := object("a/b", []byte("x"))
	o.Until = until.Add(time.Nanosecond).In(time.FixedZone("east", 3600))
	h, err := f.Put(t.Context(), o, strings.NewReader("x"))
	if err != nil || h.Until != until.Add(time.Second) {
		t.Fatalf("%+v, %v", h, err)
	}
}

func TestFolderFindsChangedBytes(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, archive.FolderOptions{})
	for name, damage := range map[string]func(path string) error{
		"changed": func(p string) error { return os.WriteFile(p, []byte("evidencE"), 0o444) },
		"cut":     func(p string) error { return os.Truncate(p, 3) },
		"grown":   func(p string) error { return os.WriteFile(p, []byte("evidence!"), 0o444) },
	} {
		b := []byte("evidence")
		h := put(t, f, name+"/a", b)
		path := filepath.Join(dir, "objects", h.Key)
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := damage(path); err != nil {
			t.Fatal(err)
		}
		var wrong *archive.WrongBytes
		if _, err := archive.Read(t.Context(), f, h.Ref(), 100); !errors.As(err, &wrong) {
			t.Errorf("%s: read: %v", name, err)
		}
		if _, err := f.Stat(t.Context(), h.Ref()); !errors.As(err, &wrong) {
			t.Errorf("%s: stat: %v", name, err)
		}
		if _, err := f.Put(t.Context(), object(name+"/a", b), bytes.NewReader(b)); !errors.Is(err, archive.ErrExists) {
			t.Errorf("%s: put again: %v", name, err)
		}
	}
	h := put(t, f, "writable/a", []byte("evidence"))
	if err := os.Chmod(filepath.Join(dir, "objects", h.Key), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Stat(t.Context(), h.Ref()); !errors.Is(err, archive.ErrRefused) {
		t.Errorf("stat of an object that can be written: %v", err)
	}
}

// TestFolderFull fills a file system of 1 MiB and finds the vault as it was, and usable when there is space again.
func TestFolderFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test mounts a small tmpfs and needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	f, err := archive.OpenFolder(dir, archive.FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first := put(t, f, "a/first", bytes.Repeat([]byte("1"), 600<<10))
	big := bytes.Repeat([]byte("2"), 600<<10)
	before := files(t, dir)
	_, err = f.Put(t.Context(), object("a/second", big), bytes.NewReader(big))
	if !errors.Is(err, archive.ErrFull) || !archive.Retryable(err) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if after := files(t, dir); !slices.Equal(after, before) {
		t.Fatalf("left behind: %q", after)
	}
	if _, err := f.Stat(t.Context(), first.Ref()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=2m"); err != nil {
		t.Fatal(err)
	}
	put(t, f, "a/second", big)
}

func TestFolderListsManyInPages(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, archive.FolderOptions{})
	const n = 40_000 // more than two pages; made by hand, since a Put is durable and so takes its time
	folder := filepath.Join(dir, "objects", "many")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	hash := evidence.Sum(nil)
	for i := range n {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%012d-%s", (i*7919)%n, hash)), nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	next := uint64(0)
	for h, err := range f.List(t.Context(), "many/") {
		if err != nil {
			t.Fatal(err)
		}
		if got, err := archive.NumberOf(h.Key); err != nil || got != next {
			t.Fatalf("%s, want number %d, %v", h.Key, next, err)
		}
		next++
	}
	if next != n {
		t.Fatalf("listed %d of %d", next, n)
	}
	for _, v := range []archive.Vault{f, struct{ archive.Vault }{f}} { // with and without the short way
		if last, err := archive.Last(t.Context(), v, "many/", 12); err != nil || !strings.HasPrefix(last.Key, "many/000000039999-") {
			t.Fatalf("last %q, %v", last.Key, err)
		}
		for _, from := range []uint64{0, 9, 10, 12345, 29999, 39999} {
			if first, err := archive.First(t.Context(), v, "many/", 12, from); err != nil || !strings.HasPrefix(first.Key, fmt.Sprintf("many/%012d-", from)) {
				t.Fatalf("first from %d on: %q, %v", from, first.Key, err)
			}
		}
		if _, err := archive.First(t.Context(), v, "many/", 12, 40000); !errors.Is(err, archive.ErrNotFound) {
			t.Fatalf("first from the end on: %v", err)
		}
	}
}

// crashVar tells the test binary to be the process that is killed: "<step> <vault folder>".
const crashVar = "CAMSEAL_TEST_CRASH"

func TestMain(m *testing.M) {
	if v := os.Getenv(crashVar); v != "" {
		step, dir, _ := strings.Cut(v, " ")
		f, err := archive.OpenFolder(dir, archive.FolderOptions{Step: func(name string) {
			if name == step {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}})
		if err == nil {
			_, err = f.Put(context.Background(), object("a/b/crash", crashBytes), bytes.NewReader(crashBytes))
		}
		fmt.Fprintln(os.Stderr, "not killed:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var crashBytes = bytes.Repeat([]byte("crash "), 100_000)

func TestFolderKilledAtEachStep(t *testing.T) {
	for _, step := range archive.FolderSteps {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), crashVar+"="+step+" "+dir)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("%v: %s", err, out)
			}
			f := open(t, dir, archive.FolderOptions{})
			if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 1 {
				t.Fatalf("leftovers: %v, %v", left, err)
			}
			// What is visible is whole and locked; and the same Put completes what was begun.
			o := object("a/b/crash", crashBytes)
			for h, err := range f.List(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				if stat, err := f.Stat(t.Context(), h.Ref()); err != nil || !stat.Until.Equal(until) {
					t.Fatalf("visible after the crash: %+v, %v", stat, err)
				}
			}
			h, err := f.Put(t.Context(), o, bytes.NewReader(crashBytes))
			if err != nil || h.Hash != o.Hash || !h.Until.Equal(until) {
				t.Fatalf("%+v, %v", h, err)
			}
			if got := files(t, dir); len(got) != 3 {
				t.Fatalf("files: %q", got)
			}
		})
	}
}

func TestFolderKeepsOthersTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, archive.FolderOptions{})
	b := bytes.Repeat([]byte("slow "), 1000)
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := f.Put(t.Context(), object("a/slow", b), r)
		done <- err
	}()
	if _, err := w.Write(b[:100]); err != nil {
		t.Fatal(err)
	}
	open(t, dir, archive.FolderOptions{}) // must not clear away what is being written
	if _, err := w.Write(b[100:]); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), <-done); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkFolderPut(b *testing.B) {
	for _, size := range []int{1 << 10, 256 << 10, 8 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := open(b, b.TempDir(), archive.FolderOptions{})
			buf := bytes.Repeat([]byte("x"), size)
			b.SetBytes(int64(size))
			for i := range b.N {
				copy(buf, fmt.Sprint(i, "!"))
				put(b, f, "a/b", buf)
			}
		})
	}
}
