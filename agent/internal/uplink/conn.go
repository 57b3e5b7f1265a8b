package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	deadAfter  = 30 * time.Second // without a sign of life a connection is given up
	stalled    = time.Minute      // a connection that takes no byte of a chunk for so long is given up, however long a chunk takes
	smallWrite = 4 << 10          // bytes written at once where it is not just all of them
)

// DialContext makes a connection.
type DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer is DialContext of net, with probes that find a dead link.
func dialer() DialContext {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadAfter / 2, Interval: deadAfter / 6, Count: 3}}
	return d.DialContext
}

// lively has dial's connections given up when what was sent is not acknowledged for deadAfter.
func lively(dial DialContext) DialContext {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if err := setOption(c, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds())); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return c, nil
	}
}

// bulk has dial's connections carry chunks as the link wants it.
func (l *link) bulk(dial DialContext) DialContext {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		b := &bulkConn{Conn: c, link: l}
		b.ctx, b.stop = context.WithCancel(context.Background())
		if err := b.fit(); err != nil {
			return nil, errors.Join(err, b.Close())
		}
		return b, nil
	}
}

// bulkConn is a connection for chunks. One goroutine at a time writes.
type bulkConn struct {
	net.Conn
	link          *link
	ctx           context.Context // ends when it is closed
	stop          context.CancelFunc
	unsent, queue int // as the kernel was told
}

// fit tells the kernel how much to hold.
func (b *bulkConn) fit() error {
	unsent, queue := b.link.buffers()
	if unsent != b.unsent {
		if err := setOption(b.Conn, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent); err != nil {
			return err
		}
	}
	if queue != b.queue && queue > 0 {
		if err := setOption(b.Conn, unix.SOL_SOCKET, unix.SO_SNDBUF, queue); err != nil {
			return err
		}
	}
	b.unsent, b.queue = unsent, queue
	return nil
}

// Write implements net.Conn. It goes at the link's pace, and fails when nothing moves for a time.
func (b *bulkConn) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		size := len(p)
		if _, limit, narrow := b.link.how(); limit > 0 || narrow {
			size = min(size, smallWrite)
		}
		var done int
		done, err = b.write(p[:size])
		n, p = n+done, p[done:]
	}
	return n, err
}

func (b *bulkConn) write(p []byte) (int, error) {
	b.link.yield(b.ctx.Done())
	for wait := len(p); wait > 0; wait -= leastQueue { // more than the bucket holds comes before a limit was set
		if err := b.link.limit.WaitN(b.ctx, min(wait, leastQueue)); err != nil {
			return 0, net.ErrClosed
		}
	}
	if err := b.fit(); err != nil {
		return 0, err
	}
	given := time.AfterFunc(stalled, func() { _ = b.Conn.Close() }) // its error is nobody's: Write's says that it is closed
	b.link.begin()
	n, err := b.Conn.Write(p)
	b.link.end(n)
	if !given.Stop() && err != nil {
		err = fmt.Errorf("nothing was taken for %s: %w", stalled, err)
	}
	return n, err
}

// Close implements net.Conn.
func (b *bulkConn) Close() error {
	b.stop()
	return b.Conn.Close()
}

// setOption sets a socket's option. What is no socket (a test's pipe) has none.
func setOption(c net.Conn, level, option, value int) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), level, option, value) }); err != nil {
		return err
	}
	if set != nil {
		return fmt.Errorf("set option %d of the connection to the server: %w", option, set)
	}
	return nil
}
