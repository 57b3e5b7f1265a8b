package sandbox

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Why a filter, when there is nothing to write to: the footage on standard input may lie on a disk that can be written, and its descriptor leads
// back to the file through /proc. What opens for writing, changes names, modes or attributes, makes processes or reaches for the kernel's
// rarer doors is refused.

// refused are system calls that get EPERM on every machine; more are in refusedHere.
var refused = []uint32{
	unix.SYS_TRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT,
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
	unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_MKNODAT,
	unix.SYS_IOCTL, unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSCONFIG,
	unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_KEYCTL, unix.SYS_ADD_KEY,
	unix.SYS_REQUEST_KEY, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_MEMFD_CREATE, unix.SYS_QUOTACTL, unix.SYS_SWAPON,
}

// The offsets in struct seccomp_data.
const (
	atNumber   = 0
	atArch     = 4
	atArgument = 16 // low halves, 8 bytes apart, on little-endian machines
)

const (
	kill   = unix.SECCOMP_RET_KILL_PROCESS
	allow  = unix.SECCOMP_RET_ALLOW
	eperm  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

type program []unix.SockFilter

func (p *program) add(code uint16, jt, jf uint8, k uint32) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *program) load(at uint32)     { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, at) }
func (p *program) answer(what uint32) { p.add(unix.BPF_RET|unix.BPF_K, 0, 0, what) }

// when answers if the loaded value is number.
func (p *program) when(number, what uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, number)
	p.answer(what)
}

// bits answers EPERM if an argument of a system call has any bit of mask set, or none of them.
func (p *program) bits(number, argument, mask uint32, set bool) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 4, number)
	p.load(atArgument + 8*argument)
	if set {
		p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, 0, 1, mask)
	} else {
		p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, 1, 0, mask)
	}
	p.answer(eperm)
	p.load(atNumber)
}

// newest is the first number of a system call that no program here needs; the numbers from 424 on are the same on all machines.
const newest = 440

// filter is the BPF program for bubblewrap's --seccomp.
func filter(toPath bool) []byte {
	var p program
	p.load(atArch)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, arch)
	p.answer(kill)
	p.load(atNumber)
	p.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, 0, 1, newest)
	p.answer(enosys)
	p.when(unix.SYS_CLONE3, enosys) // its flags can't be seen; libc falls back to clone
	p.when(unix.SYS_OPENAT2, enosys)
	p.bits(unix.SYS_CLONE, 0, unix.CLONE_THREAD, false)
	const writes = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC
	if !toPath {
		p.bits(unix.SYS_OPENAT, 2, writes, true)
	}
	filterHere(&p, toPath, writes)
	for _, number := range append(refused, refusedHere...) {
		p.when(number, eperm)
	}
	p.answer(allow)
	var b bytes.Buffer
	for _, f := range p {
		b.Write(binary.NativeEndian.AppendUint16(nil, f.Code))
		b.Write([]byte{f.Jt, f.Jf})
		b.Write(binary.NativeEndian.AppendUint32(nil, f.K))
	}
	return b.Bytes()
}
