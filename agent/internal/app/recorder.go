package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"camseal/agent/internal/capture"
	"camseal/agent/internal/dock"
	"camseal/agent/internal/duty"
	"camseal/agent/internal/duty/page"
	"camseal/agent/internal/feed"
	"camseal/agent/internal/live"
	"camseal/agent/internal/uplink"
	"camseal/pkg/evidence"
)

// capturer is an agent on a recorder: its camera's feed goes to capture and to live viewing, and duty controls both.
type capturer struct {
	n       *node
	source  *feed.Source
	capture *capture.Recorder
	live    *live.Publisher // nil: switched off
	duty    *duty.Duty
	book    *dock.Book // nil: the dock has one
	page    *http.Server
	serving sync.WaitGroup
	sinks   feed.Sinks

	mu      sync.Mutex
	trouble string // of the capture
	since   time.Time
}

// captureConfig is what capture works with. It serves without a camera too: to end what an earlier run left.
func (n *node) captureConfig() capture.Config {
	s := n.set
	return capture.Config{Spool: n.spool, Found: n.found, Counted: n.counted, Anchor: n.uplink.Anchor, Now: now, Log: n.log, Serial: s.Recorder,
		Buffer: s.PreEvent, BufferBytes: int(s.PreEventMax), SegmentMin: s.Segment, SegmentCap: max(8*time.Second, 2*s.Segment), Length: s.CaptureLength,
		HeaderMax: s.HeaderMax}
}

// newRecorder puts a recorder together; nothing runs yet but its page. nil: this agent has no camera.
func (n *node) newRecorder() (*capturer, error) {
	if !n.set.captures() {
		return nil, nil
	}
	r := &capturer{n: n}
	if err := r.assemble(); err != nil {
		return nil, err
	}
	if err := r.serve(); err != nil {
		return nil, err
	}
	n.recorderMu.Lock()
	n.recorder = r
	n.recorderMu.Unlock()
	return r, nil
}

func (r *capturer) assemble() error {
	n, s := r.n, r.n.set
	url, path, err := s.camera()
	if err != nil {
		return err
	}
	if r.source, err = feed.New(feed.Config{URL: url, UDP: s.CameraUDP, Path: path, Now: now}); err != nil {
		return usagef("camera: %w", err)
	}
	c := n.captureConfig()
	if l, err := n.newListener(); err != nil {
		return err
	} else if l != nil {
		c.Listen = l
	}
	if n.dock != nil {
		c.Register = n.dock.Register
	} else {
		if r.book, err = dock.OpenBook(n.spool, n.client, n.log); err != nil {
			return err
		}
		c.Register = r.book.Register
	}
	if r.capture, err = capture.New(c); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	d := duty.Config{Station: cmp.Or(s.Station, s.Recorder, host), Capture: r.capture, Server: n.client, Health: n.recorderHealth, Prefer: n.uplink.Prefer,
		SetLink: n.uplink.SetLink, Journal: s.path("commands.jsonl"), Now: now, Log: n.log, Always: s.CaptureAlways, Resume: n.cutOff(), Schedule: s.schedule, Link: s.Link,
		Keys: duty.Keys{Path: s.KeyEvents, Toggle: s.KeyCode, Mark: s.KeyMark, Header: s.KeyHeader}, Position: s.Position, Indicator: s.Indicator}
	if s.Live {
		r.live = live.New(live.Config{Send: n.client.Send, Now: now, Log: n.log, Rate: func() int { return int(8 * n.uplink.Rate()) }})
		d.Live = publishing{r.live}
	}
	if r.duty, err = duty.New(d); err != nil {
		return err
	}
	r.sinks = feed.Sinks{r.duty.Feed(), r.capture}
	if r.live != nil {
		r.sinks = append(r.sinks, r.live)
	}
	return nil
}

// cutOff reports whether an earlier run was recording when it died, a short while ago by this machine's clock.
func (n *node) cutOff() bool {
	for _, id := range n.found.Open {
		rec, err := n.spool.Recording(id)
		if err != nil || !rec.Live || rec.Closed {
			continue
		}
		line, err := n.spool.Statement(rec.Last)
		if err != nil {
			continue
		}
		last, _, err := evidence.ParseUnverified(line)
		if err != nil {
			continue
		}
		if ago := now().UnixMilli() - int64(last.At); ago >= 0 && ago <= n.set.CaptureResume.Milliseconds() && n.set.CaptureResume > 0 {
			return true
		}
	}
	return false
}

// publishing is live viewing as duty sees it.
type publishing struct{ *live.Publisher }

// State implements duty.Live.
func (p publishing) State() duty.Publishing {
	st := p.Publisher.State()
	return duty.Publishing{Wanted: st.Wanted, Publishing: st.Publishing, Trouble: st.Trouble}
}

// serve serves the page on the recorder, if it is wanted.
func (r *capturer) serve() error {
	set := r.n.set
	if set.CaptureListen == "" {
		return nil
	}
	handler, err := page.New(page.Config{Recorder: r.duty, Now: now, Log: r.n.log, Lang: set.Lang})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", set.CaptureListen)
	if err != nil {
		return usagef("capture-listen: %w; give another address, or end what uses this one", err)
	}
	r.page = &http.Server{Handler: handler, ReadHeaderTimeout: headerWait, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(r.n.log.Handler(), slog.LevelDebug)}
	r.serving.Go(func() {
		if err := r.page.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			r.n.log.Error("the recorder's page: " + err.Error())
		}
	})
	r.n.log.Info("the recorder's page", slog.String("address", "http://"+l.Addr().String()))
	return nil
}

// liveEnd is how long the server is waited for when live viewing ends with the agent.
const liveEnd = 2 * time.Second

// run captures until ctx ends. First nothing more is taken from outside, then the recording is closed, durably, and live viewing ends.
func (r *capturer) run(ctx context.Context) error {
	var recording, rest sync.WaitGroup
	capturing, endCapture := context.WithCancel(context.WithoutCancel(ctx))
	ctx, stop := context.WithCancel(ctx)
	defer endCapture()
	defer stop()
	var errCapture, errDuty, errFeed error
	recording.Go(func() {
		errCapture = r.capture.Run(capturing)
		stop() // without it nothing else is of use
	})
	rest.Go(func() { errFeed = r.source.Run(ctx, r.sinks) })
	rest.Go(func() { errDuty = r.duty.Run(ctx) })
	if r.book != nil {
		rest.Go(func() { r.book.Follow(ctx) })
	}
	rest.Wait()
	endCapture()
	recording.Wait()
	if r.live != nil {
		last, done := context.WithTimeout(context.WithoutCancel(ctx), liveEnd)
		r.live.Stop(last)
		done()
	}
	return errors.Join(errCapture, errDuty, errFeed, r.close())
}

// close ends the page.
func (r *capturer) close() error {
	if r.page == nil {
		return nil
	}
	err := r.page.Close()
	r.serving.Wait()
	return err
}

// endLeft ends what an earlier run, which had a camera, left open.
func (n *node) endLeft(ctx context.Context) {
	if err := capture.Recover(ctx, n.captureConfig()); err != nil && ctx.Err() == nil {
		n.log.ErrorContext(ctx, "recordings of an earlier run can't be ended yet; they are kept, and it is tried at the next start", slog.Any("error", err))
	}
}

// recorderHealth is what the recorder's page and its reports say of the agent.
func (n *node) recorderHealth(ctx context.Context) duty.Health {
	st, sealing := n.uplink.Status(), n.currentSealer().Status(ctx)
	h := duty.Health{Online: n.uplink.Online(), Class: string(n.tpm.Key().Class()), Unsealed: sealing.Unsealed, Age: sealing.Age, Behind: st.Behind}
	if sealing.Err != nil {
		h.TPM = sealing.Err.Error()
	} else if sealing.Alarm {
		h.TPM = "it is slow: nothing was sealed for " + sealing.Age.Round(time.Second).String()
	}
	if sp, err := n.spool.Status(); err == nil && sp.Held+sp.Free > 0 {
		h.Full = int(sp.Held * 100 / (sp.Held + sp.Free))
	}
	for _, a := range n.agentAlarms(ctx) {
		h.Alarms = append(h.Alarms, a.String())
	}
	return h
}

// alarms are what a person should know of the camera and the capture.
func (r *capturer) alarms() (out []uplink.Alarm) {
	if gone := r.duty.Gone(); !gone.IsZero() {
		out = append(out, uplink.Alarm{Key: "camera", Since: gone, What: "the camera sends nothing", Kept: "everything recorded so far is kept",
			Do: "look at the camera, its cable and its address; it is asked again by itself"})
	}
	text := r.capture.State().Trouble
	r.mu.Lock()
	defer r.mu.Unlock()
	if text != r.trouble {
		r.trouble, r.since = text, now()
	}
	if text != "" {
		out = append(out, uplink.Alarm{Key: "capture", Since: r.since, What: text, Kept: "everything recorded so far is kept", Do: "see the recorder's page; the agent goes on by itself"})
	}
	return out
}
