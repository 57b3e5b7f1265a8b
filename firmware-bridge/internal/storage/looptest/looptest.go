// Package looptest makes disk images and plugs them in as loop devices, for tests. It needs root. It must not be imported by programs.
package looptest

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

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

// Attach plugs an image into a loop device of its own and returns that one's name, such as loop4711. It is pulled out when the test ends.
func Attach(t testing.TB, image string, options ...string) string {
	t.Helper()
	name := Free(t)
	Plug(t, name, image, options...)
	return name
}

// Free makes a loop device that nobody else uses, and returns its name. It goes when the test ends.
func Free(t testing.TB) string {
	t.Helper()
	Root(t)
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	const add, remove = 0x4c80, 0x4c81 // LOOP_CTL_ADD, LOOP_CTL_REMOVE of linux/loop.h
	for {
		number := 1000 + rand.IntN(1<<16)
		err := unix.IoctlSetInt(int(control.Fd()), add, number)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		name := "loop" + strconv.Itoa(number)
		t.Cleanup(func() {
			_ = exec.Command("losetup", "-d", "/dev/"+name).Run() // most tests did it before
			control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for range 100 { // while it is still being let go of
				if err = unix.IoctlSetInt(int(control.Fd()), remove, number); !errors.Is(err, unix.EBUSY) {
					break
				}
				<-time.After(20 * time.Millisecond)
			}
			if err := errors.Join(err, control.Close()); err != nil {
				t.Errorf("%s is left behind: %v", name, err)
			}
		})
		return name
	}
}

// Plug plugs an image into this loop device, once what was pulled out of it is let go of.
func Plug(t testing.TB, name, image string, options ...string) {
	t.Helper()
	for range 500 {
		if _, err := os.Stat("/sys/class/block/" + name + "/loop"); err != nil {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	Do(t, "losetup", append(options, "/dev/"+name, image)...)
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

// Background runs a program until the test ends; then stop, with its arguments, is run, and the program is waited for.
func Background(t testing.TB, stop string, stopArgs []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command(stop, stopArgs...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", stop, err, out)
		}
		_ = cmd.Process.Kill() // unless it ended by that
		_ = cmd.Wait()
	})
}
