package storage

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Writing is a way to write to a file system that everybody else sees read-only: a mount of its own that has no place in any tree.
type Writing struct {
	mount   *os.File
	devices []*Device
}

// OpenWriting makes the devices (the volume, and the disk that it is a part of) and the file system mounted at a path writable, and the mount at that
// path stays read-only. When it fails, what it did is undone. The caller calls Close in any case that it did not fail.
func OpenWriting(at string, devices ...*Device) (*Writing, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, at, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: at, Err: err}
	}
	w := &Writing{os.NewFile(uintptr(fd), at), devices}
	if err := w.open(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *Writing) open() error {
	for _, d := range w.devices {
		if err := d.ReadOnly(false); err != nil {
			return err
		}
	}
	fd := int(w.mount.Fd())
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	return w.reconfigure("rw")
}

func (w *Writing) reconfigure(flag string) error {
	fd, err := unix.Fspick(int(w.mount.Fd()), "", unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH)
	if err != nil {
		return os.NewSyscallError("fspick", err)
	}
	defer closeFD(fd)
	return reconfigureFD(fd, flag)
}

// ErrUncertain says that a file was removed, and that it is not certain that the medium knows.
var ErrUncertain = errors.New("the file was removed, and the medium gave an error when it was told to keep that")

// Remove removes f if it still stands in its place as it was when it was opened, and returns once the medium holds that. It closes f. Errors:
// *ChangedError and the kernel's, with which nothing was removed; and what wraps ErrUncertain.
func (w *Writing) Remove(f *File) error {
	dir, err := beneath(int(w.mount.Fd()), path.Dir(f.path), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer dir.Close()
	name := path.Base(f.path)
	err = f.same(int(dir.Fd()), name)
	if err := errors.Join(err, f.Close()); err != nil { // closed first: a removed file that is open keeps the file system writable
		return err
	}
	if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil {
		return &os.PathError{Op: "unlink", Path: f.path, Err: err}
	}
	if err := errors.Join(dir.Sync(), unix.Syncfs(int(dir.Fd()))); err != nil {
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	return nil
}

// Close makes the file system and the devices read-only again.
func (w *Writing) Close() error {
	err := w.reconfigure("ro")
	for _, d := range w.devices {
		err = errors.Join(err, d.ReadOnly(true))
	}
	return errors.Join(err, w.mount.Close())
}

// Sync brings to the medium whatever was changed on the file system mounted at a path.
func Sync(at string) error {
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
