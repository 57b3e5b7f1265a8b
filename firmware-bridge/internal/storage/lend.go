package storage

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Lend shows what root owns on a mounted ext4 as the reader's own, so that he can read what a recorder wrote for root alone (mount_setattr(2), ID-mapped
// mounts); FAT and the like know no owners and are mounted as his. What other users of the recorder own stays theirs. When it fails, the mount stays as it
// was, or in the worst case is gone.
func Lend(at string, r Reader) error {
	if r.UID == 0 {
		return nil
	}
	owners, err := owners(r)
	if err != nil {
		return err
	}
	defer owners.Close()
	fd, err := unix.OpenTree(unix.AT_FDCWD, at, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "open_tree", Path: at, Err: err}
	}
	defer closeFD(fd)
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(owners.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	if err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return os.NewSyscallError("umount", err)
	}
	return os.NewSyscallError("move_mount", unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// owners makes a user namespace that says who owns what: root's is the reader's, the reader's is nobody's, all else stays. A namespace is begun by
// a process, which only has to be there until it is open.
func owners(r Reader) (f *os.File, err error) {
	cmd := exec.Command("/bin/cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: owned(r.UID), GidMappings: owned(r.GID)}
	waits, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, waits.Close(), cmd.Wait()) }()
	return os.Open("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/user")
}

func owned(id int) []syscall.SysProcIDMap {
	const nobody = math.MaxUint32 - 2
	list := []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}, {ContainerID: id, HostID: nobody, Size: 1}, {ContainerID: id + 1, HostID: id + 1, Size: nobody - id - 1}}
	if id > 1 {
		list = append(list, syscall.SysProcIDMap{ContainerID: 1, HostID: 1, Size: id - 1})
	}
	return list
}
