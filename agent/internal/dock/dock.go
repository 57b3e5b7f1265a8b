package dock

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/agent/internal/source"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/transport"
)

// Server is what a dock asks the server. *uplink.Client is one.
type Server interface {
	Register(ctx context.Context, version evidence.Digest) (transport.Register, error)
	Known(ctx context.Context, req transport.KnownRequest) (transport.KnownAnswer, error)
	AskStored(ctx context.Context, rec evidence.RecordingID) (transport.Stored, error)
}

// Listener finds and understands a spoken case header. *header.Listener is one.
type Listener interface {
	// Listen reads the beginning of a recording's sound. wav is the spoken span; nil if there is none. Errors are of the machine, not of the
	// recording.
	Listen(ctx context.Context, f *os.File, reg *transport.Register) (h Heard, wav []byte, err error)
}

// Health is what the agent says of itself.
type Health struct {
	Online bool
	TPM    string // empty: it answers
	Class  string
	Alarms []string
}

// Config says what a dock works with.
type Config struct {
	Station  string   // its name
	Bridges  []string // sockets
	Slots    []string // all that the station has, in the order of its tiles
	Spool    *spool.Spool
	Taker    *source.Taker
	Server   Server
	Log      note.Verifier // of the home log
	Listener Listener      // nil: headers are typed only
	Health   func(context.Context) Health
	Online   func() bool

	SequenceGap    time.Duration // between the end of a file and the beginning of the next of its sequence
	HeaderDeadline time.Duration // from the begin of taking in to the case header
	ExportDeadline time.Duration // from filming to taking in (R6)
	ReadAtOnce     int           // chunks
	Except         string        // the agent's own folder
	Now            func() time.Time
	Logger         *slog.Logger
}

// Dock is a docking station. Run works until its context ends; the other methods are safe for concurrent use.
type Dock struct {
	Config
	gate *source.Gate

	mu       sync.Mutex
	dockings map[string]*docking // by id
	first    map[string]uint64   // slots that an officer wants first, and in which order that was said
	bridges  map[string]string   // what is wrong with one; "": it answers
	sounds   sounds
	version  uint64
	changed  chan struct{}
	asked    uint64 // how often somebody was put first

	book       *Book
	registerMu sync.Mutex  // guards attempts
	attempts   []time.Time // sign-ins that failed

	sayMu     sync.Mutex // one officer's word at a time
	releaseMu sync.Mutex // one release's word at a time
}

// New returns a dock that does nothing yet. It knows the register that was kept.
func New(c Config) (*Dock, error) {
	d := &Dock{Config: c, gate: source.NewGate(max(1, c.ReadAtOnce)), dockings: map[string]*docking{}, first: map[string]uint64{},
		bridges: map[string]string{}, changed: make(chan struct{})}
	for _, b := range c.Bridges {
		d.bridges[b] = "it has not answered yet"
	}
	var err error
	if d.book, err = OpenBook(c.Spool, c.Server, c.Logger); err != nil {
		return nil, err
	}
	d.book.told = d.changedNow
	return d, nil
}

// Run follows the bridges. It returns when the context has ended and nothing is being read any more; what was begun is gone on with later.
func (d *Dock) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, socket := range d.Bridges {
		all.Go(func() { d.followBridge(ctx, socket) })
	}
	if d.Server != nil {
		all.Go(func() { d.book.Follow(ctx) })
	}
	all.Go(func() { d.followSpool(ctx) })
	all.Go(func() { d.followHealth(ctx) })
	all.Wait()
}

const bridgeAgain = 2 * time.Second

// followBridge follows one bridge as long as it is there, and tries again when it is not.
func (d *Dock) followBridge(ctx context.Context, socket string) {
	b := newBridge(socket)
	defer b.http.CloseIdleConnections()
	for ctx.Err() == nil {
		var all sync.WaitGroup
		mine := map[string]*docking{}
		finish, stop := context.WithCancel(ctx)
		all.Go(func() { d.finishErasing(finish, b) })
		err := b.follow(ctx, func(g handoff.Docking) {
			d.bridgeIs(socket, "")
			d.docked(ctx, b, g, mine, &all)
		})
		stop()
		for _, k := range mine { // the bridge lives no more, or did not for a while: it tells of them anew
			k.leave()
		}
		all.Wait()
		if ctx.Err() != nil {
			return
		}
		what := "it ended"
		if err != nil {
			what = err.Error()
		}
		if d.bridgeIs(socket, what) {
			d.Logger.ErrorContext(ctx, "a bridge does not answer; recorders are not taken in until it does, and lose nothing", slog.String("bridge", socket), slog.String("error", what))
		}
		timer := time.NewTimer(bridgeAgain)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// bridgeIs notes what is wrong with a bridge, and reports whether that is new.
func (d *Dock) bridgeIs(socket, what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bridges[socket] == what {
		return false
	}
	d.bridges[socket] = what
	d.change()
	return true
}

// docked acts on what a bridge says of a docking.
func (d *Dock) docked(ctx context.Context, b *bridge, g handoff.Docking, mine map[string]*docking, all *sync.WaitGroup) {
	k := mine[g.ID]
	switch {
	case k == nil && g.State == handoff.StateGone:
		return
	case k == nil:
		k = newDocking(ctx, d, b, g)
		mine[g.ID] = k
		d.mu.Lock()
		d.dockings[g.ID] = k
		d.mu.Unlock()
		d.Logger.InfoContext(ctx, "recorder docked", slog.String("slot", g.Slot), slog.String("recorder", g.Serial), slog.String("volume", g.Volume))
	}
	d.mu.Lock()
	k.is = g
	begin := g.State == handoff.StateReady && !k.begun && !k.gone
	k.begun = k.begun || begin
	d.change()
	d.mu.Unlock()
	if g.State == handoff.StateGone {
		k.leave()
		delete(mine, g.ID)
	}
	if begin {
		all.Go(k.run)
	}
}

// change tells who waits that something is different; d.mu is held.
func (d *Dock) change() {
	d.version++
	close(d.changed)
	d.changed = make(chan struct{})
}

// changedNow is change for who does not hold d.mu.
func (d *Dock) changedNow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.change()
}

// Wait returns when the snapshot's version is above after.
func (d *Dock) Wait(ctx context.Context, after uint64) error {
	for {
		d.mu.Lock()
		version, changed := d.version, d.changed
		d.mu.Unlock()
		if version > after {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// First has a slot's recorder read before the others.
func (d *Dock) First(_ context.Context, slot string, by Officer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.dockings {
		if k.is.Slot == slot {
			d.asked++
			d.first[slot] = d.asked
			d.Logger.Info("an officer wants a slot first", slog.String("slot", slot), slog.String("certificate", by.Certificate))
			d.change()
			return nil
		}
	}
	return ErrNoSlot
}

// spoolEvery is how often what became of recordings is looked at, at most.
const spoolEvery = 500 * time.Millisecond

// followSpool counts what is sealed, stored and released.
func (d *Dock) followSpool(ctx context.Context) {
	tick := time.NewTicker(spoolEvery)
	defer tick.Stop()
	for {
		spooled := d.Spool.Changed()
		d.mu.Lock()
		changed := d.changed
		all := make([]*docking, 0, len(d.dockings))
		for _, k := range d.dockings {
			all = append(all, k)
		}
		d.mu.Unlock()
		for _, k := range all {
			k.look(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-spooled:
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

const healthEvery = time.Second

// followHealth tells who waits when the agent's own state is another: online, the TPM, alarms; and when a header becomes late.
func (d *Dock) followHealth(ctx context.Context) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	var last string
	for {
		var h Health
		if d.Health != nil {
			h = d.Health(ctx)
		}
		late := 0
		waiting, err := d.waiting()
		for _, due := range waiting {
			if d.Now().After(due) {
				late++
			}
		}
		if now := fmt.Sprint(h, late, err); now != last {
			last = now
			d.changedNow()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
