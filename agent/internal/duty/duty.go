// Package duty is what a recorder does while it is on duty, besides capturing itself: it begins and ends recordings when a button, a key, a
// schedule, the page on the recorder or somebody at the server wants it, tells the server how it is, carries out the server's commands once
// each, and shows whether somebody watches. Whatever of that does not work, the capture goes on.
package duty

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"camseal/agent/internal/capture"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// Who wants something, as it is said in statements and logs; of a command it is the person at the server.
const (
	ByButton   = "button"                   // a program on the recorder, by HTTP
	ByKey      = "key"                      // the key-event file
	BySchedule = "schedule"                 // the configured times
	ByAlways   = "configuration"            // capture-always
	ByRestart  = "restart of the agent"     // that died while it recorded
	ByPage     = "web page on the recorder" // a person at its display
)

// Capture makes recordings. Its methods are safe for concurrent use. *capture.Recorder is one.
type Capture interface {
	Start(ctx context.Context, by string) (evidence.RecordingID, error)
	Stop(ctx context.Context, by string) (evidence.RecordingID, error)
	Mark(ctx context.Context, by, text string) (evidence.RecordingID, error)
	EndHeader(ctx context.Context, by string) error
	State() capture.State
	Changed() <-chan struct{} // closed at the next change
}

// Publishing is how live viewing is.
type Publishing struct {
	Wanted, Publishing bool
	Trouble            string
}

// Live publishes the camera's stream.
type Live interface {
	Start(ctx context.Context) error // it goes on until Stop, whatever ctx does
	Stop(ctx context.Context)
	State() Publishing
	Changed() <-chan struct{}
}

// Server is the way to the server.
type Server interface {
	Orders(ctx context.Context, r transport.Report) (transport.Orders, error)
	// Clock returns the server's clock; false: it has not been heard yet.
	Clock() (time.Time, bool)
}

// Health is what the agent says of itself.
type Health struct {
	Online   bool          `json:"online"`        // the server answers
	Class    string        `json:"class"`         // of the device's key: tpm, software …
	TPM      string        `json:"tpm,omitempty"` // what is wrong with sealing; empty: nothing
	Unsealed uint64        `json:"unsealed"`      // statements
	Age      time.Duration `json:"-"`             // of the oldest of them
	Behind   int           `json:"behind"`        // chunks that wait to be sent
	Full     int           `json:"full"`          // per cent of the spool that are taken
	Alarms   []string      `json:"alarms,omitempty"`
}

// Config says what a Duty works with. What may be nil or empty says so.
type Config struct {
	Station  string // its name, for people
	Capture  Capture
	Live     Live // nil: switched off
	Server   Server
	Health   func(context.Context) Health
	Prefer   func(rec evidence.RecordingID, index uint64) error // sends that chunk ahead of all others
	SetLink  func(kind string)                                  // tells the uplink which link is used
	Journal  string                                             // path of the journal of commands
	Now      func() time.Time
	Log      *slog.Logger
	Always   bool     // record whenever the agent runs
	Resume   bool     // an earlier run died while it recorded: record again, once
	Schedule Schedule // record at these times; nil: none

	Link      string // wifi, mobile, dock, or auto:FILE
	Keys      Keys
	Position  string // file, FIFO or device of NMEA lines, or gpsd://host:port; empty: none
	Indicator string // file that holds 1 while somebody watches, else 0; empty: none
}

// Duty is a recorder on duty. Its methods are safe for concurrent use.
type Duty struct {
	Config
	journal *journal
	work    chan struct{}             // has a value when a command came
	lastly  atomic.Pointer[time.Time] // when the camera sent something last; nil: Feed is not used

	mu       sync.Mutex
	changed  chan struct{}     // closed at the next change
	troubles map[string]string // by what has it
	online   bool              // the server answered the last report
	watched  int
	wanted   string // who wants a recording, and nobody has ended it: ByAlways, BySchedule, ByRestart; empty: none of them
	begunBy  string // who began the recording
	link     string
	gone     time.Time // since when the camera has sent nothing; zero: it sends
	position *transport.Position
	place    *transport.Position // as it was when it last moved far enough to be told at once
}

// New reads the journal; nothing runs yet.
func New(c Config) (*Duty, error) {
	j, err := openJournal(c.Journal, c.Now, c.Log)
	if err != nil {
		return nil, err
	}
	return &Duty{Config: c, journal: j, work: make(chan struct{}, 1), changed: make(chan struct{}), troubles: map[string]string{}}, nil
}

// Run works until ctx ends, and returns when nothing is on its way any more.
func (d *Duty) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, part := range []func(context.Context){d.follow, d.watch, d.orders, d.carry, d.keep, d.keys, d.locate, d.links, d.indicate} {
		all.Go(func() { part(ctx) })
	}
	all.Wait()
	return d.journal.close()
}

// Changed returns a channel that is closed when State may say something else.
func (d *Duty) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// update changes what stands behind d.mu and tells those who wait.
func (d *Duty) update(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *Duty) poke() { d.update(func() {}) }

// trouble notes what is wrong with one part, and logs it when it is new; empty: nothing is.
func (d *Duty) trouble(part, text string) {
	d.mu.Lock()
	old := d.troubles[part]
	d.mu.Unlock()
	if old == text {
		return
	}
	d.update(func() {
		if text == "" {
			delete(d.troubles, part)
		} else {
			d.troubles[part] = text
		}
	})
	if text != "" {
		d.Log.Warn("on duty", slog.String("part", part), slog.String("trouble", text))
	} else {
		d.Log.Info("on duty: that is over", slog.String("part", part), slog.String("trouble", old))
	}
}

// follow tells of changes of the capture and of live viewing.
func (d *Duty) follow(ctx context.Context) {
	for {
		capture, live := d.Capture.Changed(), (<-chan struct{})(nil)
		if d.Live != nil {
			live = d.Live.Changed()
		}
		d.poke()
		select {
		case <-ctx.Done():
			return
		case <-capture:
		case <-live:
		}
	}
}

// Limits of what is said by others, in characters.
const (
	maxBy   = 200
	maxText = 500
)

// clean makes a text fit for statements and logs: valid, one line, at most so many characters.
func clean(s string, most int) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " ")))
	return strings.TrimSpace(string(runes[:min(len(runes), most)]))
}

// Start begins a recording.
func (d *Duty) Start(ctx context.Context, by string) (evidence.RecordingID, error) {
	by = clean(by, maxBy)
	rec, err := d.Capture.Start(ctx, by)
	if err != nil {
		return rec, err
	}
	d.update(func() { d.begunBy = by })
	return rec, nil
}

// Stop ends the recording. A schedule does not begin another one before its next turn.
func (d *Duty) Stop(ctx context.Context, by string) (evidence.RecordingID, error) {
	by = clean(by, maxBy)
	d.mu.Lock()
	waited := d.wanted
	d.wanted = ""
	d.mu.Unlock()
	rec, err := d.Capture.Stop(ctx, by)
	if err != nil {
		if !errors.Is(err, capture.ErrIdle) {
			d.mu.Lock()
			d.wanted = waited
			d.mu.Unlock()
		}
		return rec, err
	}
	d.update(func() { d.begunBy = "" })
	return rec, nil
}

// Mark marks this moment of the recording as important.
func (d *Duty) Mark(ctx context.Context, by, text string) (evidence.RecordingID, error) {
	by, text = clean(by, maxBy), clean(text, maxText)
	rec, err := d.Capture.Mark(ctx, by, text)
	if err == nil {
		d.poke()
		d.Log.InfoContext(ctx, "moment marked", slog.String("rec", rec.String()), slog.String("by", by), slog.String("text", text))
	}
	return rec, err
}

// EndHeader says that the spoken header is finished.
func (d *Duty) EndHeader(ctx context.Context, by string) error {
	err := d.Capture.EndHeader(ctx, clean(by, maxBy))
	if err == nil {
		d.poke()
	}
	return err
}

// Toggle is what one button does: it begins a recording; finishes its spoken header; ends it.
func (d *Duty) Toggle(ctx context.Context, by string) error {
	st := d.Capture.State()
	var err error
	switch {
	case st.Recording == nil:
		_, err = d.Start(ctx, by)
	case st.InHeader:
		err = d.EndHeader(ctx, by)
	default:
		_, err = d.Stop(ctx, by)
	}
	return err
}
