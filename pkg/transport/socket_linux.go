package transport

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// DeadAfter is how long what was sent on a connection may stay unacknowledged: a dead link is noticed then, a lossy one is not given up.
const DeadAfter = 30 * time.Second

const (
	repeatAtMost = 3 * time.Second // between two tries to get a lost packet through; the kernel's own limit is two minutes
	tcpRTOMax    = 44              // TCP_RTO_MAX_MS, since Linux 6.15
)

// Lively has a connection between agent and server given up when the other end gives no sign of life for DeadAfter, and lost packets repeated without
// ever longer waits, which on a lossy link cost more than anything else where little is said. What is no socket stays as it is.
func Lively(c net.Conn) error {
	err := errors.Join(
		SetOption(c, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(DeadAfter.Milliseconds())),
		SetOption(c, unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1))
	if late := SetOption(c, unix.IPPROTO_TCP, tcpRTOMax, int(repeatAtMost.Milliseconds())); !errors.Is(late, unix.ENOPROTOOPT) { // an older kernel does without
		err = errors.Join(err, late)
	}
	return err
}

// SetOption sets a socket's option. What is no socket has none.
func SetOption(c net.Conn, level, option, value int) error {
	var set error
	err := Control(c, func(fd int) { set = unix.SetsockoptInt(fd, level, option, value) })
	if err == nil && set != nil {
		err = fmt.Errorf("option %d of a connection: %w", option, set)
	}
	return err
}

// Control calls f with a socket's descriptor, which is valid only there. For what is no socket it does nothing.
func Control(c net.Conn, f func(fd int)) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}
