package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"camseal/pkg/evidence"
)

// ChangedError says that a file is not what it is said to be.
type ChangedError struct{ What string }

func (e *ChangedError) Error() string { return e.What }

// File is an open regular file with no other name, below a mount. It is not safe for concurrent use.
type File struct {
	f    *os.File
	path string // below the mount, relative
	was  unix.Stat_t
}

// beneath finds what lies below a folder: never through a link, a magic link or another mount.
func beneath(dir int, name string, flags uint64) (*os.File, error) {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// OpenFile opens the file at a path from the mount's root (raw bytes, beginning with "/"), for reading past the cache. Errors:
// fs.ErrNotExist, *ChangedError (a link, a folder, a file with two names), and the kernel's.
func OpenFile(mount string, raw []byte, size uint64) (*File, error) {
	if len(raw) < 2 || raw[0] != '/' || path.Clean(string(raw)) != string(raw) || bytes.IndexByte(raw, 0) >= 0 {
		return nil, &ChangedError{fmt.Sprintf("%q is no path on a volume", raw)}
	}
	root, err := os.OpenFile(mount, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := regular(int(root.Fd()), string(raw[1:])); err != nil {
		return nil, err
	}
	f, err := beneath(int(root.Fd()), string(raw[1:]), unix.O_RDONLY|unix.O_DIRECT|unix.O_NONBLOCK)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, fmt.Errorf("the file can't be read past the cache: %w", err)
	}
	if err != nil {
		return nil, err
	}
	file := &File{f: f, path: string(raw[1:])}
	if err := file.look(int(root.Fd()), size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return file, nil
}

// regular looks at what stands at a path, before it is opened: a pipe would wait.
func regular(root int, path string) error {
	f, err := beneath(root, path, unix.O_PATH)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EXDEV) {
		return &ChangedError{"a symbolic link, or another mount, stands in its path"}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("stat", err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFLNK: // O_PATH opens links themselves
		return &ChangedError{"a symbolic link stands in its place"}
	}
	return &ChangedError{"it is no regular file"}
}

func (f *File) look(root int, size uint64) error {
	if err := unix.Fstat(int(f.f.Fd()), &f.was); err != nil {
		return os.NewSyscallError("stat", err)
	}
	var top unix.Stat_t
	if err := unix.Fstat(root, &top); err != nil {
		return os.NewSyscallError("stat", err)
	}
	var x unix.Statx_t
	if err := unix.Statx(int(f.f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &x); err != nil {
		return os.NewSyscallError("statx", err)
	}
	switch {
	case f.was.Mode&unix.S_IFMT != unix.S_IFREG:
		return &ChangedError{"it is no regular file"}
	case f.was.Nlink != 1:
		return &ChangedError{fmt.Sprintf("the file has %d names on the recorder, so removing one would not remove it", f.was.Nlink)}
	case uint64(f.was.Size) != size:
		return &ChangedError{fmt.Sprintf("it has %d bytes, %d were sealed", f.was.Size, size)}
	case f.was.Dev != top.Dev:
		return &ChangedError{"it lies on another volume"}
	case x.Mask&unix.STATX_DIOALIGN != 0 && x.Dio_offset_align == 0: // the kernel would quietly read from its cache
		return errors.New("the file can't be read past the cache")
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

const readAtOnce = 1 << 20 // bytes; O_DIRECT wants a multiple of the sector size

// Hash reads the whole file from the medium, past the page cache (open(2), O_DIRECT), and returns its SHA-256. Errors: *ChangedError
// when it ends elsewhere than it began, ctx's, and the medium's.
func (f *File) Hash(ctx context.Context) (evidence.Digest, error) {
	buf, err := unix.Mmap(-1, 0, readAtOnce, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // page-aligned
	if err != nil {
		return evidence.Digest{}, os.NewSyscallError("mmap", err)
	}
	defer func() { _ = unix.Munmap(buf) }() // it is ours
	h := sha256.New()
	for done := int64(0); done < f.was.Size; {
		if err := ctx.Err(); err != nil {
			return evidence.Digest{}, err
		}
		n, err := unix.Pread(int(f.f.Fd()), buf, done)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return evidence.Digest{}, &os.PathError{Op: fmt.Sprintf("read at byte %d of", done), Path: f.path, Err: err}
		}
		done += int64(n)
		if n == 0 || done > f.was.Size {
			return evidence.Digest{}, &ChangedError{fmt.Sprintf("its end was found at byte %d, %d were sealed", done, f.was.Size)}
		}
		h.Write(buf[:n])
	}
	return evidence.Digest(h.Sum(nil)), f.same(int(f.f.Fd()), "")
}

// same checks that what stands at a name is the file that was opened, as it was then.
func (f *File) same(dir int, name string) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var now unix.Stat_t
	if err := unix.Fstatat(dir, name, &now, flags); err != nil {
		return os.NewSyscallError("stat", err)
	}
	was := &f.was
	if now.Ino != was.Ino || now.Dev != was.Dev || now.Size != was.Size || now.Mtim != was.Mtim || now.Ctim != was.Ctim || now.Nlink != was.Nlink || now.Mode != was.Mode {
		return &ChangedError{"it changed while it was read"}
	}
	return nil
}
