package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"camseal/pkg/transport"
)

const (
	stalled    = time.Minute // a connection that takes no byte of a chunk for so long is given up, however long a chunk takes
	smallWrite = 4 << 10     // bytes written at once where it is not just all of them
)

// DialContext makes a connection.
type DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer is DialContext of net, with probes that find a dead link.
func dialer() DialContext {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: transport.DeadAfter / 2, Interval: transport.DeadAfter / 6, Count: 3}}
	return d.DialContext
}

// lively has dial's connections made for links that lose much, or everything.
func lively(dial DialContext) DialContext {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if err := transport.Lively(c); err != nil {
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
		b.given = time.AfterFunc(stalled, func() { _ = c.Close() }) // its error is nobody's: Write's says that it is closed
		b.given.Stop()
		if err := b.fit(); err != nil {
			return nil, errors.Join(err, b.Close())
		}
		l.has(b, true)
		return b, nil
	}
}

// bulkConn is a connection for chunks. One goroutine at a time writes.
type bulkConn struct {
	net.Conn
	link          *link
	ctx           context.Context // ends when it is closed
	stop          context.CancelFunc
	given         *time.Timer // ends it when a write takes too long
	unsent, queue int         // as the kernel was told

	mu             sync.Mutex
	written, acked int64 // bytes
}

// fit tells the kernel how much to hold.
func (b *bulkConn) fit() error {
	unsent, queue := b.link.buffers()
	if unsent != b.unsent {
		if err := transport.SetOption(b.Conn, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent); err != nil {
			return err
		}
	}
	if queue != b.queue && queue > 0 {
		if err := transport.SetOption(b.Conn, unix.SOL_SOCKET, unix.SO_SNDBUF, queue); err != nil {
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
	b.given.Reset(stalled)
	n, err := b.Conn.Write(p)
	b.link.arrived(b.arrived(n))
	if !b.given.Stop() && err != nil {
		err = fmt.Errorf("nothing was taken for %s: %w", stalled, err)
	}
	return n, err
}

// arrived returns how many bytes more were acknowledged, after so many more were written.
func (b *bulkConn) arrived(n int) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written += int64(n)
	more := max(0, b.written-waiting(b.Conn)-b.acked)
	b.acked += more
	return more
}

// used returns a context for a request, and a function that is to be called when it was answered, so that all of it counts as arrived.
func used(ctx context.Context) (_ context.Context, answered func()) {
	var conn *bulkConn
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if c, ok := i.Conn.(*tls.Conn); ok {
			conn, _ = c.NetConn().(*bulkConn)
		}
	}})
	return ctx, func() {
		if conn != nil {
			conn.link.arrived(conn.arrived(0))
		}
	}
}

// Close implements net.Conn.
func (b *bulkConn) Close() error {
	b.stop()
	b.link.has(b, false)
	return b.Conn.Close()
}

// waiting returns how many bytes that were written to a socket are not acknowledged; of what is no socket, or is closed, none are.
func waiting(c net.Conn) int64 {
	var n int
	if err := transport.Control(c, func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.SIOCOUTQ) }); err != nil {
		return 0
	}
	return int64(n)
}
