package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"camseal/pkg/transport"
	"camseal/server/internal/web"
)

type runCommand struct{}

const (
	headerWait   = 15 * time.Second
	deviceWait   = 45 * time.Second // for a device's handshake and headers, over a narrow link
	idleWait     = 2 * time.Minute
	requestWait  = 20 * time.Minute // of a device, body and answer
	shutdownWait = 20 * time.Second
	maxHeader    = 32 << 10
)

// Run serves until the context ends.
func (runCommand) Run(e *env) error {
	cert, err := ensureServerCert(e.settings, e.now())
	if err != nil {
		return err
	}
	c, err := openCore(e)
	if err != nil {
		return err
	}
	return errors.Join(serve(e, c, cert), c.close())
}

// server is one listening address.
type server struct {
	name string
	http *http.Server
	on   net.Listener
}

func serve(e *env, c *core, cert tls.Certificate) error {
	servers, err := listen(e, c, cert)
	if err != nil {
		for _, s := range servers {
			err = errors.Join(err, s.on.Close())
		}
		return err
	}
	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failed <- s.http.Serve(s.on) }()
		e.log.InfoContext(e.ctx, "listening", slog.String("for", s.name), slog.String("address", s.on.Addr().String()))
	}
	fmt.Fprintf(e.out, "agents: https://%s\nweb page: %s\n", servers[0].on.Addr(), c.origin)
	ctx, done := context.WithCancel(e.ctx)
	defer done()
	c.work.Go(func() {
		if err := firstAdministrator(ctx, e, c); err != nil {
			e.log.ErrorContext(e.ctx, "no link for the first administrator; use `camseal-server account add`", slog.Any("error", err))
		}
	})
	select {
	case <-e.ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, stop(servers))
}

// stop lets requests under way end, for a while.
func stop(servers []server) error {
	ctx, done := context.WithTimeout(context.Background(), shutdownWait)
	defer done()
	var wg sync.WaitGroup
	errs := make([]error, len(servers))
	for i, s := range servers {
		wg.Go(func() {
			if err := s.http.Shutdown(ctx); err != nil {
				errs[i] = s.http.Close()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func listen(e *env, c *core, cert tls.Certificate) (out []server, err error) {
	onWeb, err := listenWeb(e.settings)
	if err != nil {
		return nil, fmt.Errorf("listen for the web page: %w", err)
	}
	c.origin = e.settings.origin(onWeb.Addr().String())
	config, err := webConfig(e, c)
	if err != nil {
		return nil, errors.Join(err, onWeb.Close())
	}
	page, err := web.New(config)
	if err != nil {
		return nil, errors.Join(err, onWeb.Close())
	}
	c.page = page
	errorLog := slog.NewLogLogger(e.log.Handler(), slog.LevelDebug)
	add := func(name string, h http.Handler, open func() (net.Listener, error)) error {
		on, err := open()
		if err != nil {
			return fmt.Errorf("listen for %s: %w", name, err)
		}
		out = append(out, server{name: name, on: on, http: &http.Server{Handler: h, ReadHeaderTimeout: headerWait, IdleTimeout: idleWait,
			MaxHeaderBytes: maxHeader, ErrorLog: errorLog}})
		return nil
	}
	err = add("agents", c.ingest.Handler(c.registry), func() (net.Listener, error) { return listenTLS(e.settings, cert) })
	if err != nil {
		return out, errors.Join(err, onWeb.Close())
	}
	out[0].http.ReadHeaderTimeout, out[0].http.ReadTimeout, out[0].http.WriteTimeout = deviceWait, requestWait, requestWait
	out[0].http.RegisterOnShutdown(c.duty.Close) // recorders on duty need not be waited for
	err = add("the web page", page, func() (net.Listener, error) { return onWeb, nil })
	if err == nil {
		err = add("the administrator", adminHandler(local{c}), func() (net.Listener, error) { return listenAdmin(e.settings) })
	}
	return out, err
}

// listenTLS serves HTTP/1.1 only: one chunk a connection, with a deadline of its own.
func listenTLS(s *settings, cert tls.Certificate) (net.Listener, error) {
	l, err := listenTCP(s.Listen, s.MaxConnections)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(lively{l}, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert,
		NextProtos: []string{"http/1.1"}}), nil
}

// lively accepts connections that are made for links that lose much, or everything.
type lively struct{ net.Listener }

// Accept implements net.Listener.
func (l lively) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if limited, ok := conn.(*limitedConn); ok {
		_ = transport.Lively(limited.Conn) // of one that is gone already, the next read says so
	}
	return conn, nil
}

func listenTCP(addr string, max int) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &limited{Listener: l, slots: make(chan struct{}, max), closed: make(chan struct{})}, nil
}

// limited accepts a bounded number of connections at once; more wait in the kernel's queue.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, free: func() { <-l.slots }}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	once sync.Once
	free func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.once.Do(c.free)
	return c.Conn.Close()
}
