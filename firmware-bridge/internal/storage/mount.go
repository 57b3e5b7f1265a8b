package storage

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Reader is who may read what is mounted, besides root.
type Reader struct{ UID, GID int }

// ErrNoDriver says that this kernel does not know the file system.
var ErrNoDriver = errors.New("this kernel has no driver for the file system")

const mountFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NOSYMFOLLOW

// Driver is the kernel's name for a file system.
func (s System) Driver() string {
	switch s.Type {
	case "ext2", "ext3":
		return "ext4"
	case "ntfs":
		return "ntfs3"
	}
	return s.Type
}

// options are chosen so that no name is lost and no hostile superblock decides what the kernel does on an error: ext4 can ask for a panic.
//
// FAT: code page 437 has a character for every byte, so short names in GBK survive as what can be turned back; long names are UTF-16 and come
// as UTF-8. Names are told apart by case, so that of two that differ in nothing else each can be opened. Times are taken as UTC: a FAT holds
// the recorder's clock and no zone.
func (s System) options(r Reader) string {
	owner := fmt.Sprintf("uid=%d,gid=%d,", r.UID, r.GID)
	switch s.Driver() {
	case "vfat":
		return owner + "umask=0277,codepage=437,utf8=1,check=s,tz=UTC,errors=remount-ro"
	case "exfat":
		return owner + "umask=0277,iocharset=utf8,keep_last_dots,errors=remount-ro"
	case "ntfs3":
		return owner + "umask=0277,iocharset=utf8"
	}
	if s.Unclean {
		return "errors=remount-ro,noload" // working the journal off would write
	}
	return "errors=remount-ro"
}

// Mount mounts the device at the folder at, read-only, and so that nothing on it is run, followed as a link, or taken for a device.
// The caller has set the device itself read-only. Errors: ErrNoDriver, and the kernel's.
func Mount(device, at string, s System, r Reader) error {
	err := unix.Mount(device, at, s.Driver(), mountFlags, s.options(r))
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%s: %w", s.Type, ErrNoDriver)
	}
	if err != nil {
		return &os.PathError{Op: "mount " + s.Driver(), Path: device, Err: err}
	}
	return nil
}

// Unmount takes a mount away, whoever still reads there, and removes its folder. One that is not there is no error.
func Unmount(at string) error {
	err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "unmount", Path: at, Err: err}
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Clean takes away whatever a bridge that was killed left mounted in dir, after making it read-only, and the folders. A file system that somebody
// still reads lives on until he is done; it can be mounted beside that again.
func Clean(dir string) error {
	all, err := Mounts()
	if err != nil {
		return err
	}
	slices.Reverse(all) // what was mounted last lies on top
	for _, m := range all {
		if filepath.Dir(m.At) != dir {
			continue
		}
		err = errors.Join(err, reconfigure(m.At, "ro"), Unmount(m.At))
	}
	if err != nil {
		return err
	}
	left, err := os.ReadDir(dir)
	for _, d := range left {
		err = errors.Join(err, os.Remove(filepath.Join(dir, d.Name())))
	}
	return err
}

// Mounted is one line of mountinfo.
type Mounted struct {
	Dev string // major:minor
	At  string
}

// Mounts lists what is mounted in this namespace, in order.
func Mounts() ([]Mounted, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Mounted
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			all = append(all, Mounted{fields[2], unescape(fields[4])})
		}
	}
	return all, lines.Err()
}

// unescape reads the octal escapes of mountinfo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// reconfigure makes the file system that is mounted at a path "ro" or "rw" as a whole. A mount that is read-only itself stays so.
func reconfigure(at, flag string) error {
	fd, err := unix.Fspick(unix.AT_FDCWD, at, unix.FSPICK_CLOEXEC|unix.FSPICK_SYMLINK_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "fspick", Path: at, Err: err}
	}
	defer closeFD(fd)
	return reconfigureFD(fd, flag)
}

func reconfigureFD(fd int, flag string) error {
	if err := unix.FsconfigSetFlag(fd, flag); err != nil {
		return os.NewSyscallError("fsconfig "+flag, err)
	}
	return os.NewSyscallError("make "+flag, unix.FsconfigReconfigure(fd))
}

// closeFD closes what only names a mount: nothing can be lost.
func closeFD(fd int) { _ = unix.Close(fd) }
