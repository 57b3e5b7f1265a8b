package block

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Events hears of devices that come, go and change, from the kernel itself: any program may send on the group of udev, and none on the
// kernel's.
type Events struct {
	f *os.File
}

// Listen begins to hear. What comes while nobody calls Next waits.
func Listen() (*Events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, os.NewSyscallError("netlink socket", err)
	}
	const fromKernel = 1
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: fromKernel}); err != nil {
		return nil, errors.Join(os.NewSyscallError("netlink bind", err), unix.Close(fd))
	}
	return &Events{os.NewFile(uintptr(fd), "uevents")}, nil
}

// Next returns once a block device or a terminal came, went or changed, or events were lost since there were too many, and when wait is over. Whoever
// gets an answer looks at everything anew: that makes it the same whether an event was heard or lost.
func (e *Events) Next(ctx context.Context, wait time.Time) error {
	if err := e.f.SetReadDeadline(wait); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = e.f.SetReadDeadline(time.Unix(1, 0)) }) // ends the read below
	defer stop()
	conn, err := e.f.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			n, from, failed = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
		})
		if err == nil {
			err = failed
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ENOBUFS):
			return nil
		case err != nil:
			return os.NewSyscallError("read uevents", err)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 && concerns(buf[:n]) {
			return nil
		}
	}
}

// concerns reads one event: "ACTION@DEVPATH", then KEY=VALUE, each ended by a zero byte.
func concerns(event []byte) bool {
	return bytes.Contains(event, []byte("\x00SUBSYSTEM=block\x00")) || bytes.Contains(event, []byte("\x00SUBSYSTEM=tty\x00"))
}

// Close stops hearing. Next must not be running.
func (e *Events) Close() error { return e.f.Close() }
