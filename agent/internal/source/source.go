// Package source takes files in: it finds them, waits until they have stopped growing, recognises those it knows, and reads each
// into chunks, statements and the spool. It never follows a symbolic link, never opens what is not a regular file, and
// reads each byte once. Whatever happens to a file while it is read, what was read is kept and the chain says what happened.
package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// EventKind says what an Event is about.
type EventKind string

// The kinds of event. Each file given ends with exactly one of taken, known, faulty, failed or skipped.
const (
	EventFound   EventKind = "found"   // it is there, and its turn will come
	EventWaiting EventKind = "waiting" // it is still growing, or the spool is full: Text says which
	EventReading EventKind = "reading" // Bytes of Size are in the spool
	EventTaken   EventKind = "taken"   // all of it is in the spool, as recording Rec
	EventKnown   EventKind = "known"   // it is recording Rec already
	EventFaulty  EventKind = "faulty"  // it was taken in as Rec as far as it could be read; Text says what happened
	EventFailed  EventKind = "failed"  // it could not be taken in; nothing of it is in the chain
	EventSkipped EventKind = "skipped" // it is no regular file
)

// Event is what happens to one file.
type Event struct {
	Kind  EventKind            `json:"kind"`
	Path  []byte               `json:"path"` // raw bytes
	Rec   evidence.RecordingID `json:"rec"`
	Bytes uint64               `json:"bytes"`
	Size  uint64               `json:"size"`
	Text  string               `json:"text,omitempty"`
}

// Taker takes files into a spool.
type Taker struct {
	Spool     *spool.Spool
	ChunkSize int64         // bytes of a chunk
	Settle    time.Duration // how long size and time of a file must not have changed
	Readers   int           // files read at once
	Now       func() time.Time
	Log       *slog.Logger

	// Anchor is called before each intake, and does not keep it waiting when the server is away; nil: nothing is.
	Anchor func(context.Context)
	// Counted has say append one statement that goes with the TPM's counter and names its next value; nil: there is no counter.
	Counted func(ctx context.Context, say func(value string) error) error

	busyMu sync.Mutex
	busy   map[[32]byte]chan struct{} // identities being taken in

	full fullness
}

// fullness counts readers that wait for room.
type fullness struct {
	mu    sync.Mutex
	count int
	since time.Time
}

// Full returns since when readers have been waiting for room in the spool; zero if none is.
func (t *Taker) Full() time.Time {
	t.full.mu.Lock()
	defer t.full.mu.Unlock()
	if t.full.count == 0 {
		return time.Time{}
	}
	return t.full.since
}

// Options are about one run.
type Options struct {
	Serial string                  // of the recorder; empty if it has none
	Slot   string                  // for the intake statement; empty: "import"
	Except string                  // a folder that is passed over: the agent's own
	Ready  bool                    // the caller has seen to it that the files have stopped growing
	Retry  bool                    // take a file in again that was closed as faulty and has not changed since
	Report func(Event)             // called from several goroutines, one at a time
	Skip   func(spool.Origin) bool // nil, or says that a file is not even looked at

	Volume *Volume                                                 // nil: the files lie on this machine
	Find   func(ctx context.Context, emit func(Found) error) error // finds the files, in the order in which they are to be read; nil: the paths are walked
	Gate   *Gate                                                   // whose turn it is to read; nil: everybody's
	Prior  func(Found) int                                         // with Gate: higher goes first; asked again at each chunk
}

// Volume is a docked recorder's volume. What it holds is recognised by serial, volume, path, size and time, wherever and whenever it is mounted.
type Volume struct {
	Root        string           // absolute path of where it is mounted
	ID          string           // file-system UUID
	Firmware    string           // of the recorder
	Officer     string           // officer's number that the recorder is set to
	ClockOffset *evidence.Signed // the recorder's clock minus ours, milliseconds; nil: not known
	Gone        <-chan struct{}  // closed when the recorder is pulled out: what is being read stays open, and is gone on with when it is back
}

// Found is a file to be taken in.
type Found struct {
	Path      string        // absolute
	Docked    *spool.Docked // what the dock knows of it; nil: nothing
	Elsewhere string        // not empty: it is stored already, and where, in words; it is not read
}

// Run is one import run.
type run struct {
	*Taker
	Options
	mu     sync.Mutex // guards report and intake
	intake uint64     // seq of this run's intake; 0: not made yet
	branch int        // the spool's, when it was made
	seen   map[[16]byte]struct{}
	odd    atomic.Bool // a file of the volume could not be read, and the recorder was not gone
}

// Take takes in the files, and all files in the folders, and returns when each has had its last event. Errors are about the run
// as a whole (the context, the spool); what is wrong with a file is in its events. What was begun stays in the spool, and is gone
// on with at the next Take or Resume.
func (t *Taker) Take(ctx context.Context, paths []string, o Options) error {
	if o.Slot == "" {
		o.Slot = "import"
	}
	r := &run{Taker: t, Options: o, seen: map[[16]byte]struct{}{}}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	found := make(chan item, 1024)
	var readers sync.WaitGroup
	for range max(1, t.Readers) {
		readers.Go(func() {
			for it := range found {
				if ctx.Err() != nil {
					continue
				}
				if err := r.take(ctx, it); err != nil {
					stop(err)
				}
			}
		})
	}
	if o.Find != nil {
		if err := o.Find(ctx, func(f Found) error { return r.found(ctx, f, found) }); err != nil {
			stop(err)
		}
	}
	for _, p := range paths {
		r.walk(ctx, p, found)
	}
	close(found)
	readers.Wait()
	return context.Cause(ctx)
}

// found passes on what the caller found.
func (r *run) found(ctx context.Context, f Found, to chan<- item) error {
	info, err := os.Lstat(f.Path)
	switch {
	case err != nil:
		return r.failed(ctx, f.Path, err)
	case !info.Mode().IsRegular():
		r.report(Event{Kind: EventSkipped, Path: []byte(f.Path), Text: kindOf(info.Mode()) + " is not taken in"})
		return nil
	}
	it := item{Found: f, stat: r.origin(f.Path, info), seen: r.Now()}
	select {
	case to <- it:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// claim waits until nobody else is at work on the same file of the same volume: it may be mounted a second time elsewhere, or be taken
// in again from the spool.
func (t *Taker) claim(ctx context.Context, id [32]byte) (release func(), err error) {
	for {
		release, other := t.tryClaim(id)
		if other == nil {
			return release, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-other:
		}
	}
}

// tryClaim returns what gives the claim back, or, if it is another's, a channel that is closed when that is given back.
func (t *Taker) tryClaim(id [32]byte) (release func(), other <-chan struct{}) {
	t.busyMu.Lock()
	defer t.busyMu.Unlock()
	if other := t.busy[id]; other != nil {
		return nil, other
	}
	mine := make(chan struct{})
	if t.busy == nil {
		t.busy = map[[32]byte]chan struct{}{}
	}
	t.busy[id] = mine
	return func() {
		t.busyMu.Lock()
		defer t.busyMu.Unlock()
		delete(t.busy, id)
		close(mine)
	}, nil
}

func (r *run) report(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Report != nil {
		r.Report(e)
	}
}

// intakeSeq returns the seq of this run's intake statement, and makes it when the first new file needs it, or when the chain went on
// elsewhere since.
func (r *run) intakeSeq(ctx context.Context) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.intake != 0 && r.branch == r.Spool.Branch() {
		return r.intake, nil
	}
	if r.Anchor != nil {
		r.Anchor(ctx)
	}
	branch := r.Spool.Branch()
	body := evidence.Intake{Recorder: r.Serial, Slot: r.Slot}
	if r.Volume != nil {
		body.ClockOffset = r.Volume.ClockOffset
	}
	seq, err := r.takeCount(ctx, body)
	if err != nil {
		return 0, err
	}
	r.intake, r.branch = seq, branch
	return seq, nil
}

// countWait is how long an intake waits for the TPM's word about the one before.
const countWait = 10 * time.Second

// takeCount says an intake. While the TPM does not answer, the newest one of the chain stands for it, so that taking in goes on.
func (t *Taker) takeCount(ctx context.Context, body evidence.Intake) (seq uint64, err error) {
	say := func(value string) error {
		body.Counter = value
		said, err := t.append(ctx, spool.Entry{Body: &body})
		if err == nil {
			seq = said[0].Seq
		}
		return err
	}
	if t.Counted == nil {
		err = say("")
		return seq, err
	}
	last := t.Spool.LastIntake()
	wait, cancel := ctx, context.CancelFunc(func() {})
	if last != 0 {
		wait, cancel = context.WithTimeout(ctx, countWait)
	}
	defer cancel()
	err = t.Counted(wait, say)
	if seq == 0 && ctx.Err() == nil && wait.Err() != nil {
		t.Log.WarnContext(ctx, "the TPM does not answer: what is taken in now belongs to the intake before", slog.Uint64("intake", last))
		return last, nil
	}
	return seq, err
}

// append waits for room as long as it takes, and appends.
func (t *Taker) append(ctx context.Context, entries ...spool.Entry) ([]spool.Said, error) {
	for {
		said, err := t.Spool.Append(ctx, entries...)
		if !errors.Is(err, spool.ErrFull) {
			return said, err
		}
		if err := t.waitRoom(ctx, 0, err); err != nil {
			return nil, err
		}
	}
}

// waitRoom waits until n bytes can be taken in; why is the spool's refusal.
func (t *Taker) waitRoom(ctx context.Context, n int64, why error) error {
	t.full.mu.Lock()
	if t.full.count == 0 {
		t.full.since = t.Now()
		t.Log.WarnContext(ctx, "intake stops: no room; everything taken in is kept; it goes on by itself when the server has stored some of it, or the disk has room",
			slog.Any("error", why))
	}
	t.full.count++
	t.full.mu.Unlock()
	err := t.Spool.WaitRoom(ctx, n)
	t.full.mu.Lock()
	t.full.count--
	if t.full.count == 0 && err == nil {
		t.Log.InfoContext(ctx, "intake goes on: there is room again")
	}
	t.full.mu.Unlock()
	if err != nil {
		return fmt.Errorf("wait for room: %w", err)
	}
	return nil
}
