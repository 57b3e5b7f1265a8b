package recordertest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Terminal is the recorder's end of a serial line.
type Terminal struct {
	*os.File
	Path string // at which vendors.Dial finds the other end

	other *os.File // held open, or reading would fail whenever nobody else holds it
}

// OpenTerminal opens a line.
func OpenTerminal() (*Terminal, error) {
	f, err := os.OpenFile("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	var n int
	var failed error
	err = c.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			n, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	path := "/dev/pts/" + strconv.Itoa(n)
	var other *os.File
	if err = errors.Join(err, failed); err == nil {
		other, err = os.OpenFile(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", errors.Join(err, f.Close()))
	}
	return &Terminal{f, path, other}, nil
}

// Close ends the line.
func (t *Terminal) Close() error { return errors.Join(t.other.Close(), t.File.Close()) }

// StartTTY serves on a terminal until the test ends, and returns its address for vendors.Dial.
func (r *Recorder) StartTTY(t testing.TB) string {
	t.Helper()
	line, err := OpenTerminal()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = r.Serve(line) // ends with the line
	}()
	t.Cleanup(func() {
		if err := line.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return line.Path
}
