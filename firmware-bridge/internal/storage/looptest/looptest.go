// Package looptest makes disk images and plugs them in as loop devices, for tests. It needs root. It must not be imported by programs.
package looptest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Do runs a program, which must succeed, and returns what it printed.
func Do(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Tree writes files into a new folder.
func Tree(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Image makes an ext4 image of 16 MiB with the files of a folder. uuid may be empty.
func Image(t testing.TB, dir, uuid string, options ...string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	args := append([]string{"-q", "-d", dir, "-b", "4096"}, options...)
	if uuid != "" {
		args = append(args, "-U", uuid)
	}
	Do(t, "mkfs.ext4", append(args, image, "16M")...)
	return image
}

// Attach plugs an image in and returns the loop device's name, such as loop3. It is pulled out when the test ends.
func Attach(t testing.TB, image string, options ...string) string {
	t.Helper()
	device := Do(t, "losetup", append(options, "--find", "--show", image)...)
	t.Cleanup(func() { restore(device) })
	return filepath.Base(device)
}

// restore gives a loop device back as it was. That it forbids writing would stay with it, whatever is plugged in next.
func restore(device string) {
	_ = exec.Command("blockdev", "--setrw", device).Run()
	_ = exec.Command("losetup", "-d", device).Run() // most tests did it before
}

// Free returns the name of a loop device that is free now.
func Free(t testing.TB) string {
	t.Helper()
	return filepath.Base(Do(t, "losetup", "--find"))
}

// Plug plugs an image into this loop device.
func Plug(t testing.TB, name, image string, options ...string) {
	t.Helper()
	Do(t, "losetup", append(options, "/dev/"+name, image)...)
	t.Cleanup(func() { restore("/dev/" + name) })
}

// Pull pulls a loop device out. While something is mounted from it the kernel only notes that.
func Pull(t testing.TB, name string) {
	t.Helper()
	Do(t, "losetup", "-d", "/dev/"+name)
}

// Change puts another image of the same size into a loop device that was plugged in with --read-only, at one stroke.
func Change(t testing.TB, name, image string) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dev, err := os.Open("/dev/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	const changeFD = 0x4c06 // LOOP_CHANGE_FD of linux/loop.h
	if err := unix.IoctlSetInt(int(dev.Fd()), changeFD, int(f.Fd())); err != nil {
		t.Fatal(err)
	}
}

// Seq returns the number of the medium in a device.
func Seq(t testing.TB, name string) (n uint64) {
	t.Helper()
	raw, err := os.ReadFile("/sys/class/block/" + name + "/diskseq")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range strings.TrimSpace(string(raw)) {
		n = n*10 + uint64(c-'0')
	}
	return n
}

// Root fails the test unless it runs as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test attaches loop devices and mounts: run it as root")
	}
}
