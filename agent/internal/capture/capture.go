// Package capture makes recordings of a camera's feed while it runs: it keeps the last seconds in memory, and once it is told to record, writes
// segments of fragmented MP4 into the spool, each with the statement that seals it. One recording is one chain of statements and one file.
//
// The camera never stops. While the TPM does not answer, the footage is written as an import, which is less, and says so; while there is
// no room, what is left out is said. Nothing that is under a statement is ever touched again.
//
// Where to look: cutter.go makes segments of units, take.go is the way of one recording, write.go puts it into the spool, open.go opens
// it, spoken.go listens to the case header, recover.go ends what an earlier run left.
package capture

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"camseal/agent/internal/feed"
	"camseal/agent/internal/header"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// Errors to decide on.
var (
	ErrRecording = errors.New("a recording runs already; it goes on; stop it first if another is wanted")
	ErrIdle      = errors.New("nothing is being recorded; nothing was changed; start a recording first")
	ErrNoCamera  = errors.New("no camera is there to record; nothing was changed; look at the camera and its address")
	errEnded     = errors.New("the recorder has ended; what was recorded is kept")
)

// Listener finds and understands a spoken case header. *header.Listener is one.
type Listener interface {
	// Listen reads the beginning of a recording's sound. Errors are of the machine, not of the recording.
	Listen(ctx context.Context, f *os.File, reg *transport.Register) (h header.Heard, wav []byte, err error)
}

// Config says what a recorder works with. Zero durations and sizes are the defaults, but for Buffer.
type Config struct {
	Spool   *spool.Spool
	Found   spool.Recovery // what spool.Open found: recordings that an earlier run left open are ended
	Counted func(ctx context.Context, say func(value string) error) error
	Anchor  func(context.Context) // nil: no anchors
	Now     func() time.Time
	Log     *slog.Logger

	Serial   string // of the recorder
	Firmware string
	Officer  string // number that the recorder is set to
	Volume   string // where the footage comes from; "": camera

	Buffer       time.Duration // kept in memory before a start; 0: nothing is
	BufferBytes  int           // of it at most; default 32 MiB
	SegmentMin   time.Duration // a segment ends at the first key picture after it; default 2 s
	SegmentCap   time.Duration // and after this wherever it is; default 8 s
	Length       time.Duration // after which a recording is ended and gone on with in another; default 30 min
	ImportLength time.Duration // the same for one in import mode, so that the next may be a capture again; default 5 min
	LongGap      time.Duration // a camera that was away longer goes on in another recording; default 1 min
	CountWait    time.Duration // how long an opening waits for the TPM; default 10 s
	BeatEvery    time.Duration // default 9 s: a beat comes at least every 10

	HeaderMax   time.Duration // of the spoken header; default 60 s
	ListenEvery time.Duration // how often the header is listened to for its end; default 15 s
	Listen      Listener      // nil: headers are typed only
	Register    func(context.Context) *transport.Register
}

func (c *Config) defaults() {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.SegmentMin, 2*time.Second)
	set(&c.SegmentCap, 8*time.Second)
	set(&c.Length, 30*time.Minute)
	set(&c.ImportLength, 5*time.Minute)
	set(&c.LongGap, time.Minute)
	set(&c.CountWait, 10*time.Second)
	set(&c.BeatEvery, 9*time.Second)
	set(&c.HeaderMax, time.Minute)
	set(&c.ListenEvery, 15*time.Second)
	if c.BufferBytes <= 0 {
		c.BufferBytes = 32 << 20
	}
	if c.Volume == "" {
		c.Volume = "camera"
	}
	if c.Counted == nil {
		c.Counted = func(_ context.Context, say func(string) error) error { return say("") }
	}
	if c.Anchor == nil {
		c.Anchor = func(context.Context) {}
	}
	if c.Register == nil {
		c.Register = func(context.Context) *transport.Register { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// State is what a recorder is at.
type State struct {
	Recording *evidence.RecordingID // nil: none runs
	Since     time.Time             // when it began, what was in memory included, by this machine's clock
	Tracks    []feed.Track          // of the camera; none: there was no camera yet
	BFrames   bool                  // its pictures are coded out of their order
	InHeader  bool                  // the spoken header is going on
	Buffered  time.Duration         // held in memory before a start
	Segments  uint64                // of the recording, under a statement
	Trouble   string                // what is wrong, in words; empty: nothing is known
}

// Recorder records one camera. It is a feed.Sink. Run does the work; the other methods are safe for concurrent use.
type Recorder struct {
	*inbox
	config Config
	do     chan func()
	ended  chan struct{}
	begun  time.Time // when Run began: the elapsed time is measured from it
	work   sync.WaitGroup

	// Only Run's goroutine uses these.
	run      context.Context // Run's
	tracks   []feed.Track
	unfit    string // why the camera's stream can't be stored; "": it can
	cut      *cutter
	ring     []*segment // before a start
	takes    []*take    // being opened and written, in order; the last one may still grow
	newest   time.Duration
	lastUnit time.Duration // elapsed, when it came
	intaking bool
	voice    *voice // the spoken header under way
	clock    clock
	troubles troubles
	feedSays string // newest trouble of the feed
	spoolIs  string // trouble with the spool
	tpmIs    string

	mu      sync.Mutex
	state   State
	changed chan struct{}
}

var _ feed.Sink = (*Recorder)(nil)

// inboxLimit is how many bytes of a feed wait while the disk stands still.
const inboxLimit = 16 << 20

// New returns a recorder that does nothing yet but keep what a feed gives it.
func New(c Config) (*Recorder, error) {
	if c.Spool == nil || c.Now == nil {
		return nil, errors.New("capture: a spool and a clock are needed")
	}
	c.defaults()
	return &Recorder{inbox: newInbox(inboxLimit), config: c, do: make(chan func()), ended: make(chan struct{}), changed: make(chan struct{})}, nil
}

// State returns what the recorder is at.
func (r *Recorder) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Changed returns a channel that is closed when State is another; Buffered alone does not count.
func (r *Recorder) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// call has Run's goroutine do something.
func (r *Recorder) call(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	select {
	case r.do <- func() { done <- f() }:
		return <-done
	case <-r.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// post is call for what works for the recorder, without an answer.
func (r *Recorder) post(f func()) {
	select {
	case r.do <- f:
	case <-r.ended:
	}
}

// Start begins a recording, with what is in memory, and returns its id; the statement that opens it follows as soon as the TPM has counted it,
// and nothing is lost meanwhile. by is who wants it, for the log. Errors: ErrRecording, ErrNoCamera.
func (r *Recorder) Start(ctx context.Context, by string) (id evidence.RecordingID, err error) {
	err = r.call(ctx, func() error {
		if t := r.current(); t != nil {
			id = t.id
			return ErrRecording
		}
		if len(r.tracks) == 0 || r.unfit != "" {
			return ErrNoCamera
		}
		t, err := r.newTake(nil)
		if err != nil {
			return err
		}
		id = t.id
		t.ahead, r.ring = r.ring, nil
		if r.cut.seg != nil && len(t.ahead) > 0 {
			t.begun = t.begun.Add(-max(0, r.newest-t.ahead[0].start+r.elapsed()-r.lastUnit))
		}
		r.hear(t)
		r.config.Log.InfoContext(ctx, "recording starts", slog.String("rec", id.String()), slog.String("by", by))
		r.pump()
		r.publish()
		return nil
	})
	return id, err
}

// Stop ends the recording and returns once its close statement is durable. by is who wants it, for the log. Errors: ErrIdle; the context's, and the
// recording ends all the same.
func (r *Recorder) Stop(ctx context.Context, by string) (id evidence.RecordingID, err error) {
	var t *take
	err = r.call(ctx, func() error {
		if t = r.current(); t == nil {
			return ErrIdle
		}
		id = t.id
		r.config.Log.InfoContext(ctx, "recording stops", slog.String("rec", id.String()), slog.String("by", by))
		r.finish(t, evidence.WhyComplete)
		r.publish()
		return nil
	})
	if err != nil {
		return id, err
	}
	select {
	case <-t.closed:
		return id, nil
	case <-r.ended:
		return id, errEnded
	case <-ctx.Done():
		return id, ctx.Err()
	}
}

// Mark says that this moment matters. Durable, unless the recording is not open yet. Errors: ErrIdle.
func (r *Recorder) Mark(ctx context.Context, by, text string) (id evidence.RecordingID, err error) {
	err = r.call(ctx, func() error {
		t := r.current()
		if t == nil {
			return ErrIdle
		}
		id = t.id
		return r.say(t, &evidence.Mark{Moment: millis(r.newest - t.from()), Text: words(text, by)})
	})
	return id, err
}

// EndHeader ends the spoken header: the button was pressed. Errors: ErrIdle when none is going on.
func (r *Recorder) EndHeader(ctx context.Context, by string) error {
	return r.call(ctx, func() error {
		if r.voice == nil || r.voice.over {
			return ErrIdle
		}
		r.config.Log.InfoContext(ctx, "the spoken header ends", slog.String("rec", r.voice.take.id.String()), slog.String("by", by))
		r.endHeader()
		r.publish()
		return nil
	})
}
