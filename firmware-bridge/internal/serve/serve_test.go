package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"camseal/firmware-bridge/internal/permit"
	"camseal/firmware-bridge/internal/serve"
	"camseal/pkg/handoff"
)

// source says what it was told to.
type source struct {
	watch func(context.Context, func(handoff.Docking) error) error
	files func(emit func(handoff.File) error) error
	erase func(permit.Permit) (handoff.Erased, error)
}

func (s source) Watch(ctx context.Context, emit func(handoff.Docking) error) error {
	return s.watch(ctx, emit)
}
func (s source) Files(_ context.Context, _ string, emit func(handoff.File) error) error {
	return s.files(emit)
}
func (s source) Erase(_ context.Context, p permit.Permit) (handoff.Erased, error) { return s.erase(p) }

// start serves on a real socket, and returns a client for it.
func start(t *testing.T, src serve.Source, check serve.Check) *http.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // as one that a killed bridge left
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	l, err := serve.Listen(path, os.Getuid(), os.Getgid(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- serve.Run(ctx, l, serve.New(serve.Config{Source: src, Check: check, Log: log, Now: time.Now}))
	}()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(func() {
		cancel()
		transport.CloseIdleConnections()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &http.Client{Transport: transport}
}

func get(t *testing.T, c *http.Client, path string) *http.Response {
	t.Helper()
	resp, err := c.Get("http://bridge" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func refusal(t *testing.T, resp *http.Response) handoff.Error {
	t.Helper()
	var e handoff.Error
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Status != resp.StatusCode || e.Message == "" || e.Kept == "" || e.Do == "" {
		t.Errorf("%d %+v %v", resp.StatusCode, e, err)
	}
	return e
}

func TestDockingsAreToldAtOnceAndUntilTheBridgeEnds(t *testing.T) {
	more := make(chan handoff.Docking)
	c := start(t, source{watch: func(ctx context.Context, emit func(handoff.Docking) error) error {
		for {
			select {
			case d := <-more:
				if err := emit(d); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}, nil)
	lines := bufio.NewScanner(get(t, c, "/v1/dockings").Body)
	if !lines.Scan() || lines.Text() != "" {
		t.Errorf("the first line %q does not show that the bridge lives", lines.Text())
	}
	for _, id := range []string{"one", "two"} {
		more <- handoff.Docking{ID: id, Root: []byte("/x\xff"), State: handoff.StateReady}
		var d handoff.Docking
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil || d.ID != id || string(d.Root) != "/x\xff" {
			t.Errorf("%s: %v", lines.Text(), err)
		}
	}
}

// TestAnEmptyLineEveryTenSeconds plays in a bubble of its own time.
func TestAnEmptyLineEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		h := serve.New(serve.Config{Source: source{watch: func(ctx context.Context, _ func(handoff.Docking) error) error { <-ctx.Done(); return ctx.Err() }},
			Log: slog.New(slog.DiscardHandler), Now: time.Now})
		l := &one{conns: make(chan net.Conn, 1)}
		l.conns <- ours
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- serve.Run(ctx, l, h) }()
		if _, err := io.WriteString(theirs, "GET /v1/dockings HTTP/1.1\r\nHost: bridge\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(theirs), nil)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		body := bufio.NewReader(resp.Body)
		for i := range 4 {
			if line, err := body.ReadString('\n'); err != nil || line != "\n" {
				t.Fatalf("%q %v", line, err)
			}
			if passed := time.Since(begun); passed != time.Duration(i)*10*time.Second {
				t.Errorf("line %d came after %s", i, passed)
			}
		}
		if err := theirs.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// one is a listener with what is put in.
type one struct{ conns chan net.Conn }

func (l *one) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *one) Close() error   { close(l.conns); return nil }
func (l *one) Addr() net.Addr { return &net.UnixAddr{} }

func TestListOfFilesEndsWithItsEnd(t *testing.T) {
	c := start(t, source{files: func(emit func(handoff.File) error) error {
		return errors.Join(emit(handoff.File{Path: []byte("/a\n\xff"), Size: 3}), emit(handoff.File{Path: []byte("/b"), End: true}))
	}}, nil)
	resp := get(t, c, "/v1/dockings/x/files")
	var got []handoff.File
	for dec := json.NewDecoder(resp.Body); dec.More(); {
		var f handoff.File
		if err := dec.Decode(&f); err != nil {
			t.Fatal(err)
		}
		got = append(got, f)
	}
	if len(got) != 3 || string(got[0].Path) != "/a\n\xff" || got[1].End || !got[2].End {
		t.Errorf("%+v", got)
	}
}

// TestListThatIsCutOffShowsIt: the recorder is pulled out in the middle of it.
func TestListThatIsCutOffShowsIt(t *testing.T) {
	c := start(t, source{files: func(emit func(handoff.File) error) error {
		for range 1000 {
			if err := emit(handoff.File{Path: []byte("/a")}); err != nil {
				return err
			}
		}
		return &handoff.Error{Status: 404, Code: handoff.CodeNoDocking}
	}}, nil)
	raw, err := io.ReadAll(get(t, c, "/v1/dockings/x/files").Body)
	if err == nil || bytes.Contains(raw, []byte(`"end"`)) {
		t.Errorf("%s %v", raw, err)
	}
	before := start(t, source{files: func(func(handoff.File) error) error { return errors.New("the disk of the dock is broken") }}, nil)
	if e := refusal(t, get(t, before, "/v1/dockings/x/files")); e.Code != handoff.CodeInternal || !strings.Contains(e.Message, "broken") {
		t.Errorf("%+v", e)
	}
}

func TestErasingIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	erased := 0
	src := source{erase: func(permit.Permit) (handoff.Erased, error) { erased++; return handoff.Erased{Before: true}, nil }}
	bad := &handoff.Error{Status: 422, Code: handoff.CodeBadPermit, Message: "m", Kept: "k", Do: "d"}
	post := func(c *http.Client) *http.Response {
		resp, err := c.Post("http://bridge/v1/erase", "application/jsonl", strings.NewReader("permit\n"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	if e := refusal(t, post(start(t, src, nil))); e.Code != handoff.CodeNotAllowed {
		t.Errorf("%+v", e)
	}
	check := func(r io.Reader) (permit.Permit, error) { return permit.Permit{}, bad }
	if e := refusal(t, post(start(t, src, check))); e != *bad || erased != 0 {
		t.Errorf("%+v", e)
	}
	check = func(r io.Reader) (permit.Permit, error) {
		raw, err := io.ReadAll(r)
		if string(raw) != "permit\n" {
			t.Errorf("%q", raw)
		}
		return permit.Permit{}, err
	}
	var done handoff.Erased
	if resp := post(start(t, src, check)); json.NewDecoder(resp.Body).Decode(&done) != nil || !done.Before || erased != 1 {
		t.Errorf("%+v", done)
	}
}
