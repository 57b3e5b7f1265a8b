package duty

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"camseal/agent/internal/capture"
	"camseal/agent/internal/feed"
	"camseal/agent/internal/uplink"
	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// fakeCapture records nothing; it notes what was asked of it.
type fakeCapture struct {
	mu      sync.Mutex
	st      capture.State
	asked   []string
	changed chan struct{}
	hold    chan struct{} // not nil: Start waits for it
}

func newFakeCapture(camera bool) *fakeCapture {
	f := &fakeCapture{changed: make(chan struct{})}
	f.camera(camera)
	return f
}

func (f *fakeCapture) set(g func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeCapture) camera(on bool) {
	f.set(func() {
		f.st.Tracks = nil
		if on {
			f.st.Tracks = []feed.Track{{Codec: feed.H264, Width: 1280, Height: 720}, {Codec: feed.PCMA}}
		}
	})
}

func (f *fakeCapture) do(what, by string, g func() error) (id evidence.RecordingID, err error) {
	f.set(func() {
		f.asked = append(f.asked, what+" "+by)
		if err = g(); err == nil && f.st.Recording != nil {
			id = *f.st.Recording
		}
	})
	return id, err
}

func (f *fakeCapture) Start(ctx context.Context, by string) (evidence.RecordingID, error) {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return evidence.RecordingID{}, ctx.Err()
		}
	}
	return f.do("start", by, func() error {
		switch {
		case f.st.Recording != nil:
			return capture.ErrRecording
		case f.st.Tracks == nil:
			return capture.ErrNoCamera
		}
		f.st.Recording, f.st.InHeader, f.st.Since = &evidence.RecordingID{byte(len(f.asked))}, true, time.Now()
		return nil
	})
}

func (f *fakeCapture) idle() error {
	if f.st.Recording == nil {
		return capture.ErrIdle
	}
	return nil
}

func (f *fakeCapture) Stop(_ context.Context, by string) (id evidence.RecordingID, err error) {
	f.set(func() {
		f.asked = append(f.asked, "stop "+by)
		if err = f.idle(); err == nil {
			id, f.st.Recording, f.st.InHeader = *f.st.Recording, nil, false
		}
	})
	return id, err
}

func (f *fakeCapture) Mark(_ context.Context, by, text string) (evidence.RecordingID, error) {
	return f.do("mark "+text, by, f.idle)
}

func (f *fakeCapture) EndHeader(_ context.Context, by string) error {
	_, err := f.do("header-end", by, func() error { f.st.InHeader = false; return f.idle() })
	return err
}

func (f *fakeCapture) State() capture.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.st
}

func (f *fakeCapture) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *fakeCapture) calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// fakeLive publishes nothing.
type fakeLive struct{ fakeCapture }

func (f *fakeLive) Start(context.Context) error {
	f.set(func() { f.asked = append(f.asked, "on") })
	return nil
}
func (f *fakeLive) Stop(context.Context)  { f.set(func() { f.asked = append(f.asked, "off") }) }
func (f *fakeLive) State() (p Publishing) { return p }

// board is the server's side: a report waits until there is something to say, or a newer one comes.
type board struct {
	t *testing.T
	*uplinktest.Server
	client *uplink.Client

	mu       sync.Mutex
	reports  []transport.Report
	commands []transport.Command // said in every answer, known or not
	watched  int
	refuse   int           // status of every answer; 0: none
	changed  chan struct{} // closed at the next change, and when a report comes
}

func newBoard(t *testing.T) *board {
	b := &board{t: t, Server: uplinktest.Start(t), changed: make(chan struct{})}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b.CA)
	var err error
	if b.client, err = uplink.NewClient(uplink.ClientConfig{Server: b.URL, CA: pool, Now: time.Now,
		Device: uplinktest.NewAuthority(t).Certificate(t, time.Unix(0, 0), time.Unix(1<<33, 0))}); err != nil {
		t.Fatal(err)
	}
	b.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/orders" {
			b.poll(w, r)
		}
		return r.URL.Path == "/v1/orders"
	})
	return b
}

func (b *board) with(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *board) poll(w http.ResponseWriter, r *http.Request) {
	var rep transport.Report
	if err := json.NewDecoder(r.Body).Decode(&rep); err != nil {
		b.t.Errorf("report: %v", err)
	}
	var refuse int
	var changed chan struct{}
	news := func() bool {
		changed, refuse = b.changed, b.refuse
		return b.watched != rep.Watched || refuse != 0 || slices.ContainsFunc(b.commands, func(c transport.Command) bool { return c.Number > rep.Known })
	}
	mine := 0
	b.with(func() { b.reports = append(b.reports, rep); mine = len(b.reports) })
	for {
		b.mu.Lock()
		said, newest := news(), mine == len(b.reports)
		o := transport.Orders{Commands: slices.Clone(b.commands), Watched: b.watched}
		b.mu.Unlock()
		if said || !newest || r.Context().Err() != nil {
			if refuse != 0 {
				uplinktest.Refuse(w, refuse, transport.CodeUnavailable)
				return
			}
			_ = json.NewEncoder(w).Encode(o)
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
		}
	}
}

func (b *board) seen() []transport.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.reports)
}

// rig is a duty in a folder, with a board.
type rig struct {
	*Duty
	t       *testing.T
	capture *fakeCapture
	live    *fakeLive
	chunks  []string
	end     func()
}

func newRig(t *testing.T, b *board, journal string, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, capture: newFakeCapture(true), live: &fakeLive{*newFakeCapture(true)}}
	c := Config{Station: "car 7", Capture: r.capture, Live: r.live, Journal: journal, Now: time.Now, Log: slog.New(slog.DiscardHandler), Link: "wifi",
		Health: func(context.Context) Health { return Health{Online: true, Behind: 3} }, SetLink: func(string) {},
		Prefer: func(rec evidence.RecordingID, index uint64) error {
			r.chunks = append(r.chunks, rec.String())
			return nil
		}}
	if b != nil {
		c.Server = b.client
	}
	if change != nil {
		change(&c)
	}
	var err error
	if r.Duty, err = New(c); err != nil {
		t.Fatal(err)
	}
	return r
}

// run sets it to work; end ends it.
func (r *rig) run() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.end = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(r.end)
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func journalPath(t *testing.T) string { return filepath.Join(t.TempDir(), "commands.jsonl") }
