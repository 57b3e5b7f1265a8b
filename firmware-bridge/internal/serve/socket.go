package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Listen makes the socket at path, which root, this process's user and uid may use, and nobody else: by its mode (root:gid 0660), and by
// what the kernel says of each peer. A socket that lies there is replaced: whoever calls this holds a lock that no other bridge has.
func Listen(path string, uid, gid int, log *slog.Logger) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	old := unix.Umask(0o177) // nobody else can connect before the mode is set
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if os.Geteuid() == 0 {
		err = os.Chown(path, 0, gid)
	}
	if err := errors.Join(err, os.Chmod(path, 0o660)); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), l.Close())
	}
	return &guarded{l, []uint32{0, uint32(os.Geteuid()), uint32(uid)}, log}, nil
}

// guarded accepts known users only.
type guarded struct {
	*net.UnixListener
	uids []uint32
	log  *slog.Logger
}

// Accept implements net.Listener.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.AcceptUnix()
		if err != nil {
			return nil, err
		}
		cred, err := peer(c)
		if err == nil && slices.Contains(g.uids, cred.Uid) {
			return c, nil
		}
		attr := slog.Any("error", err)
		if err == nil {
			attr = slog.Uint64("uid", uint64(cred.Uid))
		}
		g.log.Warn("a stranger at the socket was turned away", attr)
		_ = c.Close() // it was told nothing
	}
}

func peer(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return nil, e
	}
	return cred, err
}

// Run answers on l until ctx ends; then it ends all answers, and returns once none is being written any more.
func Run(ctx context.Context, l net.Listener, h http.Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	err := srv.Shutdown(late) // each request's context has ended with ctx
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	return err
}
