package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const socketName = "agent.sock"

// socketPath returns a short name for the socket, since the system allows 108 bytes for it, and what keeps it valid.
func socketPath(state string) (string, io.Closer, error) {
	dir, err := os.Open(state)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", fmt.Sprint(dir.Fd()), socketName), dir, nil
}

// serve answers on the socket. Only this user may use it.
func (n *node) serve() error {
	path, dir, err := socketPath(n.set.State)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of an agent that was killed: the spool's lock is ours
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", n.serveStatus)
	mux.HandleFunc("POST /import", n.serveImport)
	mux.HandleFunc("POST /prove", n.serveProve)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	n.socket = closeBoth{srv, filepath.Join(n.set.State, socketName)}
	n.serving.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("control socket: " + err.Error())
		}
	})
	return nil
}

// closeBoth ends the server and removes its socket.
type closeBoth struct {
	srv  *http.Server
	path string
}

func (c closeBoth) Close() error {
	return errors.Join(c.srv.Close(), os.Remove(c.path))
}

func (n *node) serveStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(n.status(r.Context())) // who asked is gone if this fails
}

// serveImport runs an import to its end, whether or not the one who asked stays.
func (n *node) serveImport(w http.ResponseWriter, r *http.Request) {
	var req importRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 64<<20)).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	flush := http.NewResponseController(w)
	out := json.NewEncoder(w)
	var mu sync.Mutex
	gone := false
	runJob(n.ctx, n, req, func(p progress) {
		mu.Lock()
		defer mu.Unlock()
		if gone {
			return
		}
		gone = out.Encode(p) != nil || flush.Flush() != nil
	})
}

// client talks to a running agent.
type client struct{ http.Client }

// dial returns a client of the agent that runs on the state folder; nil if none does.
func dial(ctx context.Context, state string) *client {
	path, dir, err := socketPath(state)
	if err != nil {
		return nil
	}
	defer dir.Close()
	probe, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil
	}
	_ = probe.Close() // it was only to see that somebody answers
	return &client{http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		path, dir, err := socketPath(state)
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}}
}

func (c *client) request(ctx context.Context, method, path string, body any) (*http.Response, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the running agent: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, fmt.Errorf("ask the running agent: %s: %s", resp.Status, text)
	}
	return resp, nil
}
