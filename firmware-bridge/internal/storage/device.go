package storage

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Device is an open block device, known by the number that the kernel gives each medium (diskseq): while it is open, no other recorder
// can get its name.
type Device struct {
	f   *os.File
	Dev uint64 // device number, as in stat's st_rdev
}

// OpenDevice opens a block device for reading if it holds the medium with this number still. Errors: *SwappedError, and the kernel's.
func OpenDevice(path string, seq uint64) (*Device, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	d := &Device{f: f}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFBLK {
		err = fmt.Errorf("%s is no block device", path)
	}
	d.Dev = uint64(st.Rdev)
	if err == nil {
		err = d.Is(seq)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return d, nil
}

// SwappedError says that another medium lies in the device than was meant.
type SwappedError struct{ Want, Got uint64 }

func (e *SwappedError) Error() string {
	return fmt.Sprintf("the medium was changed: it is number %d, and %d was meant", e.Got, e.Want)
}

// Is checks that the device holds the medium with this number. Errors: *SwappedError, and the kernel's.
func (d *Device) Is(seq uint64) error {
	var got uint64
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, d.f.Fd(), unix.BLKGETDISKSEQ, uintptr(unsafe.Pointer(&got))); e != 0 {
		return os.NewSyscallError("number of the medium (Linux 5.15 or newer is needed)", e)
	}
	if got != seq {
		return &SwappedError{seq, got}
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (d *Device) ReadAt(b []byte, at int64) (int, error) { return d.f.ReadAt(b, at) }

// ReadOnly forbids or allows writing to the device, for everybody.
func (d *Device) ReadOnly(on bool) error {
	value := 0
	if on {
		value = 1
	}
	return os.NewSyscallError("set the device read-only or writable", unix.IoctlSetPointerInt(int(d.f.Fd()), unix.BLKROSET, value))
}

// IsReadOnly says whether writing to the device is forbidden: by ReadOnly, by its own switch, or by how it was plugged in.
func (d *Device) IsReadOnly() (bool, error) {
	n, err := unix.IoctlGetInt(int(d.f.Fd()), unix.BLKROGET)
	return n != 0, os.NewSyscallError("ask whether the device is read-only", err)
}

// Close closes the device. What is mounted from it stays.
func (d *Device) Close() error { return d.f.Close() }
