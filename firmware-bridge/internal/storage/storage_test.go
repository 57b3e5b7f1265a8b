package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"camseal/firmware-bridge/internal/storage"
	"camseal/firmware-bridge/internal/storage/looptest"
	"camseal/pkg/evidence"
)

// formats are made by the tools of each file system.
func formats(t testing.TB) map[string]string {
	dir := t.TempDir()
	list := map[string]string{}
	for name, c := range map[string][]string{
		"fat12":           {"2M", "mkfs.vfat", "-F", "12"},
		"fat16":           {"32M", "mkfs.vfat", "-F", "16", "-i", "00ABCDEF"},
		"fat32":           {"64M", "mkfs.vfat", "-F", "32", "-n", "DCIM"},
		"fat32 of 4 KiB":  {"600M", "mkfs.vfat", "-F", "32", "-S", "4096"},
		"fat without id":  {"32M", "mkfs.vfat", "-i", "00000000"},
		"exfat":           {"32M", "mkfs.exfat"},
		"ext2":            {"8M", "mkfs.ext2", "-q"},
		"ext3":            {"16M", "mkfs.ext3", "-q"},
		"ext4":            {"16M", "mkfs.ext4", "-q"},
		"ext4 of 1 KiB":   {"16M", "mkfs.ext4", "-q", "-b", "1024"},
		"ext4 no journal": {"16M", "mkfs.ext4", "-q", "-O", "^has_journal"},
		"ntfs":            {"16M", "mkfs.ntfs", "-q", "-F"},
	} {
		at := filepath.Join(dir, name)
		looptest.Do(t, "truncate", "-s", c[0], at)
		looptest.Do(t, c[1], append(c[2:], at)...)
		list[name] = at
	}
	return list
}

// TestProbeAgreesWithBlkid compares type and UUID with what blkid(8) says of real file systems.
func TestProbeAgreesWithBlkid(t *testing.T) {
	for name, at := range formats(t) {
		f, err := os.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		got, err := storage.Probe(f)
		if err != nil || got.Unclean {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		out, err := exec.Command("blkid", "-p", "-o", "export", at).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, line := range strings.Split(string(out), "\n") {
			if k, v, ok := strings.Cut(line, "="); ok {
				want[k] = v
			}
		}
		if got.Type != want["TYPE"] || got.UUID != want["UUID"] {
			t.Errorf("%s: %+v, blkid says %s %s", name, got, want["TYPE"], want["UUID"])
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsNoKnownFileSystemIsSaidInWords(t *testing.T) {
	for magic, words := range map[string]string{"LUKS\xba\xbe": "LUKS", "XFSB": "XFS", "\xeb\x58\x90-FVE-FS-": "BitLocker", "": "blank", "\x01noise": "known here"} {
		b := append([]byte(magic), make([]byte, 4096)...)
		_, err := storage.Probe(bytes.NewReader(b))
		var unknown *storage.UnknownError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", magic, err)
		}
	}
	if _, err := storage.Probe(bytes.NewReader([]byte("short"))); err == nil {
		t.Error("five bytes are a file system")
	}
	if _, err := storage.Probe(failing{}); !errors.Is(err, unix.EIO) {
		t.Errorf("a medium that can't be read: %v", err)
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, unix.EIO }

// FuzzProbe: whatever lies there, the answer is a known file system with a UUID in its form, or an error.
func FuzzProbe(f *testing.F) {
	for _, at := range formats(f) {
		image, err := os.Open(at)
		if err != nil {
			f.Fatal(err)
		}
		start := make([]byte, 4096)
		_, err = image.ReadAt(start, 0)
		if err := errors.Join(err, image.Close()); err != nil {
			f.Fatal(err)
		}
		f.Add(start)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := storage.Probe(bytes.NewReader(b))
		if err != nil {
			return
		}
		length := map[string]int{"vfat": 9, "exfat": 9, "ntfs": 16, "ext2": 36, "ext3": 36, "ext4": 36}[s.Type]
		if length == 0 || len(s.UUID) != length && s.UUID != "" {
			t.Fatalf("%+v", s)
		}
	})
}

// plugged is an ext4 image that is mounted as the bridge does.
type plugged struct {
	image, name, at string
	device          *storage.Device
}

func plug(t *testing.T, files map[string][]byte, options ...string) plugged {
	t.Helper()
	looptest.Root(t)
	p := plugged{image: looptest.Image(t, looptest.Tree(t, files), "", options...), at: filepath.Join(t.TempDir(), "at")}
	p.name = looptest.Attach(t, p.image)
	if err := os.Mkdir(p.at, 0o700); err != nil {
		t.Fatal(err)
	}
	p.mount(t)
	return p
}

func (p *plugged) mount(t *testing.T) {
	t.Helper()
	var err error
	if p.device, err = storage.OpenDevice("/dev/"+p.name, looptest.Seq(t, p.name)); err != nil {
		t.Fatal(err)
	}
	s, err := storage.Probe(p.device)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.device.ReadOnly(true), storage.Mount("/dev/"+p.name, p.at, s, storage.Reader{})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(p.device.Close(), storage.Unmount(p.at)); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingOnAMountCanChangeRunOrLead(t *testing.T) {
	p := plug(t, map[string][]byte{"tool": []byte("#!/bin/sh\necho ran\n"), "a": []byte("a")})
	looptest.Do(t, "debugfs", "-w", "-R", "symlink link /etc/passwd", p.image) // under the mount: shown after the next one
	looptest.Do(t, "debugfs", "-w", "-R", "mknod null c 1 3", p.image)
	if err := storage.Unmount(p.at); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.at, 0o700); err != nil {
		t.Fatal(err)
	}
	p.mount(t)
	if err := os.WriteFile(filepath.Join(p.at, "new"), nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("written: %v", err)
	}
	if err := os.Chmod(filepath.Join(p.at, "tool"), 0o755); !errors.Is(err, unix.EROFS) {
		t.Errorf("changed: %v", err)
	}
	if _, err := os.ReadFile(filepath.Join(p.at, "link")); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link was followed: %v", err)
	}
	if _, err := os.Open(filepath.Join(p.at, "null")); !errors.Is(err, unix.EACCES) {
		t.Errorf("a device was opened: %v", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(p.at, &st); err != nil {
		t.Fatal(err)
	}
	const flags = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC | unix.ST_NOATIME
	if st.Flags&flags != flags {
		t.Errorf("flags %x", st.Flags)
	}
	if err := os.WriteFile("/dev/"+p.name, make([]byte, 512), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("the device can be written to: %v", err)
	}
}

// TestHashReadsPastTheCache: a byte changes on the medium while the page cache holds the old one; the cache's reader does not see it, and the
// hash does.
func TestHashReadsPastTheCache(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 100_001) // its end lies in the middle of a sector
	p := plug(t, map[string][]byte{"v.mp4": content})
	at := filepath.Join(p.at, "v.mp4")
	hash := func() evidence.Digest {
		t.Helper()
		f, err := storage.OpenFile(p.at, []byte("/v.mp4"), uint64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		d, err := f.Hash(t.Context())
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		return d
	}
	if got := hash(); got != evidence.Sum(content) {
		t.Fatalf("%s", got)
	}
	if got, err := os.ReadFile(at); err != nil || !bytes.Equal(got, content) { // now it is in the cache
		t.Fatal(err)
	}
	raw, err := os.ReadFile(p.image)
	if err != nil {
		t.Fatal(err)
	}
	offset := bytes.Index(raw, content[:4096]) + 777_777
	medium, err := os.OpenFile(p.image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = medium.WriteAt([]byte{'X'}, int64(offset))
	if err := errors.Join(err, medium.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(at); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("the cache was not warm, so this test shows nothing: %v", err)
	}
	if got := hash(); got == evidence.Sum(content) {
		t.Error("the hash is that of the cache")
	}
}

func TestFilesThatAreNotWhatWasSealedAreNotOpened(t *testing.T) {
	p := plug(t, map[string][]byte{"d/v.mp4": []byte("footage"), "two": []byte("footage")})
	for _, change := range []string{"symlink d/link v.mp4", "symlink l d", "ln two three", "set_inode_field two links_count 2", "mknod pipe p"} {
		looptest.Do(t, "debugfs", "-w", "-R", change, p.image)
	}
	if err := storage.Unmount(p.at); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.at, 0o700); err != nil {
		t.Fatal(err)
	}
	p.mount(t)
	var changed *storage.ChangedError
	for path, says := range map[string]string{"/d/link": "link", "/l/v.mp4": "link", "/two": "2 names", "/pipe": "no regular file", "/d": "no regular file",
		"/../etc/passwd": "no path", "//d/v.mp4": "no path", "/": "no path", "d/v.mp4": "no path", "/d/./v.mp4": "no path", "/d\x00": "no path"} {
		_, err := storage.OpenFile(p.at, []byte(path), 7)
		if !errors.As(err, &changed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if _, err := storage.OpenFile(p.at, []byte("/d/v.mp4"), 8); !errors.As(err, &changed) || !strings.Contains(err.Error(), "7 bytes, 8 were sealed") {
		t.Errorf("another size: %v", err)
	}
	if _, err := storage.OpenFile(p.at, []byte("/d/none"), 7); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not there: %v", err)
	}
	f, err := storage.OpenFile(p.at, []byte("/d/v.mp4"), 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Hash(canceled()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestWhileOneFileIsRemovedTheOthersMountStaysReadOnly also shows that device and file system are read-only again afterwards, and that nothing
// but the file went.
func TestWhileOneFileIsRemovedTheOthersMountStaysReadOnly(t *testing.T) {
	p := plug(t, map[string][]byte{"d/v.mp4": []byte("footage"), "d/w.mp4": []byte("more")})
	f, err := storage.OpenFile(p.at, []byte("/d/v.mp4"), 7)
	if err != nil {
		t.Fatal(err)
	}
	w, err := storage.OpenWriting(p.at, p.device)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.at, "new"), nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("the agent's mount became writable: %v", err)
	}
	if err := w.Remove(f); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if out := looptest.Do(t, "cat", "/sys/class/block/"+p.name+"/ro"); out != "1" {
		t.Errorf("the device stayed writable: %s", out)
	}
	if _, err := os.Stat(filepath.Join(p.at, "d/v.mp4")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if got, err := os.ReadFile(filepath.Join(p.at, "d/w.mp4")); err != nil || string(got) != "more" {
		t.Errorf("%q %v", got, err)
	}
	looptest.Do(t, "e2fsck", "-fn", p.image)
}

// TestWhatChangesAfterItWasReadStays: the file grows, or another takes its place, between hash and removal.
func TestWhatChangesAfterItWasReadStays(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, at string){
		"grown": func(t *testing.T, at string) {
			looptest.Do(t, "sh", "-c", fmt.Sprintf("echo more >> %s", at))
		},
		"replaced": func(t *testing.T, at string) {
			looptest.Do(t, "sh", "-c", fmt.Sprintf("mv %s %s.old && printf footage > %s", at, at, at))
		},
		"linked": func(t *testing.T, at string) {
			looptest.Do(t, "ln", at, at+".too")
		},
		"touched": func(t *testing.T, at string) { looptest.Do(t, "touch", at) },
	} {
		t.Run(name, func(t *testing.T) {
			p := plug(t, map[string][]byte{"v.mp4": []byte("footage")})
			f, err := storage.OpenFile(p.at, []byte("/v.mp4"), 7)
			if err != nil {
				t.Fatal(err)
			}
			w, err := storage.OpenWriting(p.at, p.device)
			if err != nil {
				t.Fatal(err)
			}
			other := t.TempDir() // another mount of the same file system, as something that writes behind the bridge's back
			looptest.Do(t, "mount", "/dev/"+p.name, other)
			defer looptest.Do(t, "umount", other)
			change(t, filepath.Join(other, "v.mp4"))
			var changed *storage.ChangedError
			if err := w.Remove(f); !errors.As(err, &changed) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(filepath.Join(p.at, "v.mp4")); err != nil {
				t.Errorf("it is gone: %v", err)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestJournalThatWasNotWorkedOffIsLeftAlone: such a volume is mounted without writing to it.
func TestJournalThatWasNotWorkedOffIsLeftAlone(t *testing.T) {
	looptest.Root(t)
	image := looptest.Image(t, looptest.Tree(t, map[string][]byte{"v.mp4": []byte("footage")}), "")
	name, at := looptest.Attach(t, image), t.TempDir()
	looptest.Do(t, "mount", "/dev/"+name, at)
	looptest.Do(t, "touch", filepath.Join(at, "x"))
	looptest.Do(t, "sync", "-f", at)
	cut := filepath.Join(t.TempDir(), "cut")
	looptest.Do(t, "cp", image, cut) // as after a power cut
	looptest.Do(t, "umount", at)
	before, err := os.ReadFile(cut)
	if err != nil {
		t.Fatal(err)
	}
	p := plugged{image: cut, name: looptest.Attach(t, cut), at: filepath.Join(t.TempDir(), "at")}
	if err := os.Mkdir(p.at, 0o700); err != nil {
		t.Fatal(err)
	}
	p.mount(t)
	if s, err := storage.Probe(p.device); err != nil || !s.Unclean {
		t.Fatalf("%+v %v", s, err)
	}
	if got, err := os.ReadFile(filepath.Join(p.at, "v.mp4")); err != nil || string(got) != "footage" {
		t.Errorf("%q %v", got, err)
	}
	if after, err := os.ReadFile(cut); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the medium changed: %v", err)
	}
}

// TestDeviceKnowsItsMedium: another medium under the same name is not taken for the one that was meant.
func TestDeviceKnowsItsMedium(t *testing.T) {
	looptest.Root(t)
	one, two := looptest.Image(t, t.TempDir(), ""), looptest.Image(t, t.TempDir(), "")
	name := looptest.Attach(t, one, "--read-only")
	seq := looptest.Seq(t, name)
	d, err := storage.OpenDevice("/dev/"+name, seq)
	if err != nil {
		t.Fatal(err)
	}
	looptest.Change(t, name, two)
	var swapped *storage.SwappedError
	if err := d.Is(seq); !errors.As(err, &swapped) {
		t.Errorf("%v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := storage.OpenDevice("/dev/"+name, seq); !errors.As(err, &swapped) {
		t.Errorf("%v", err)
	}
	if _, err := storage.OpenDevice("/dev/null", seq); err == nil {
		t.Error("that is no block device")
	}
}
