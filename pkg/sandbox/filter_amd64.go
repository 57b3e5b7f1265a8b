package sandbox

import "golang.org/x/sys/unix"

const arch = unix.AUDIT_ARCH_X86_64

var refusedHere = []uint32{
	unix.SYS_CREAT, unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_UTIME, unix.SYS_UTIMES, unix.SYS_FUTIMESAT,
	unix.SYS_RENAME, unix.SYS_RENAMEAT, unix.SYS_LINK, unix.SYS_SYMLINK, unix.SYS_UNLINK, unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_MKNOD,
}

// filterHere adds what only this machine has. The numbers of the x32 interface begin at 1<<30 and are refused as too new.
func filterHere(p *program, toPath bool, writes uint32) {
	if !toPath {
		p.bits(unix.SYS_OPEN, 1, writes, true)
	}
}
