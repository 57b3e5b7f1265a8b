package axis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of connections.
const (
	maxConnections = 256
	maxHeader      = 64 << 10 // bytes of a request's headers
)

// Listen listens for body-worn systems: with TLS, or without it on this machine's own addresses only. certificate and key are PEM files; both empty: no TLS.
func Listen(address, certificate, key string) (net.Listener, error) {
	var config *tls.Config
	switch {
	case certificate != "" && key != "":
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	case certificate != "" || key != "":
		return nil, errors.New("certificate and key go together; give both")
	case !loopback(address):
		return nil, fmt.Errorf("without a certificate, footage and keys would go over the network for everybody to read: nothing listens at %s. "+
			"Give certificate and key, or listen at 127.0.0.1 behind a proxy that has them", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	l = netutil.LimitListener(l, maxConnections)
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return l, nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Serve answers on l until ctx ends; then it refuses what is new with 503, and returns when what was being received is stored, or cut off after patience.
func (d *Destination) Serve(ctx context.Context, l net.Listener, patience time.Duration) error {
	srv := &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug)}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	d.Drain()
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer stop()
	err := srv.Shutdown(late)
	if errors.Is(err, context.DeadlineExceeded) {
		d.Log.Warn("an upload that was still running is cut off; its sender has to send it again")
		err = srv.Close()
	}
	return err
}
