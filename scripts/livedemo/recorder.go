package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"camseal/scripts/netns"
)

// program is something that runs in the recorder's network.
type program struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	log  *os.File
}

// start starts a program of the demonstration in the recorder's network, until the end.
func (d *demo) start(ctx context.Context, name string, args ...string) (*program, error) {
	log, err := os.Create(d.path(name + ".log"))
	if err != nil {
		return nil, err
	}
	p := &program{name: name, cmd: d.net.Command(context.WithoutCancel(ctx), d.path("bin/"+name), args...), done: make(chan struct{}), log: log}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() {
		_ = p.cmd.Wait() // its log says why it ended
		close(p.done)
	}()
	d.programs = append(d.programs, p)
	return p, nil
}

// close ends all programs, the newest first.
func (d *demo) close() error {
	if d.page != nil {
		d.page.close()
	}
	var errs []error
	for i := len(d.programs) - 1; i >= 0; i-- {
		p := d.programs[i]
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			errs = append(errs, fmt.Errorf("%s did not end when it was told to; it was killed", p.name), p.cmd.Process.Kill())
		}
		errs = append(errs, p.log.Close())
	}
	return errors.Join(errs...)
}

// recorder is the agent's own page, which only its machine reaches.
type recorder struct{ http *http.Client }

// state is what is read of the recorder's state.
type state struct {
	Video, Audio  string
	Width, Height int
	Recording     string
	Segments      uint64
	Buffered      float64 `json:"buffered_seconds"`
	Watched       int
	Orders        bool
	Behind        int
	Publishing    bool
}

func newRecorder(n *netns.Namespace) *recorder {
	return &recorder{&http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}, Timeout: 40 * time.Second}}
}

const at = "http://127.0.0.1:8091/"

func (r *recorder) do(ctx context.Context, method, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, at+path, bytes.NewReader([]byte("{}")))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the recorder answers %s to %s: %s", resp.Status, path, raw)
	}
	return json.Unmarshal(raw, answer)
}

func (r *recorder) state(ctx context.Context) (s state, err error) {
	err = r.do(ctx, http.MethodGet, "state", &s)
	return s, err
}

// post has the recorder do something, and returns the recording that it was about.
func (r *recorder) post(ctx context.Context, what string) (rec string, err error) {
	var did struct{ Recording string }
	err = r.do(ctx, http.MethodPost, what, &did)
	return did.Recording, err
}

// until waits for a state of the recorder.
func (r *recorder) until(ctx context.Context, what string, holds func(state) bool) (s state, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		if s, err = r.state(ctx); err == nil && holds(s) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("waited for %s; the recorder's state is %+v, error %v; camseal-agent.log and camera.log say more", what, s, err)
		case <-look.C:
		}
	}
}
