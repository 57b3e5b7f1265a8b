// Package duty knows which recorders are on duty: each asks the server, again and again, whether there is something for it to do, and says
// meanwhile how it is. Nothing of it outlives the server but what was commanded, and what came of it: that stands in the log.
package duty

import (
	"bytes"
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/casework"
)

const (
	grace  = 5 * time.Second // between two requests of a recorder, in which it counts as on duty
	breath = time.Second     // before a recorder is told again what it was told already
)

// Book writes custody events.
type Book interface {
	Record(ctx context.Context, a casework.Act) (casework.Recorded, error)
}

// Config says what a Board works with. All members must be set.
type Config struct {
	Book Book
	Past func(ctx context.Context, id evidence.DeviceID) ([]evidence.CustodyEvent, error) // about commands to a device, as far as they matter, the newest first
	Now  func() time.Time
	Slog *slog.Logger
}

// Recorder is a device that was on duty since this server began.
type Recorder struct {
	Device  evidence.DeviceID
	Report  transport.Report // its newest one, bounded and fit to be shown; without results
	At      time.Time        // when that came
	Online  bool             // a request of it is under way, or ended a moment ago
	Watched int              // people who watch it live, as this server counts them
}

// Board holds the recorders on duty and what they are to do. It is safe for concurrent use.
type Board struct {
	Config
	ctx  context.Context // ends with the board
	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	devices  map[evidence.DeviceID]*recorder
	watching map[evidence.DeviceID]int // of live streams that somebody watches; others have no entry
	changed  chan struct{}
}

// recorder is what is known of one device.
type recorder struct {
	id     evidence.DeviceID
	report transport.Report
	at     time.Time
	poll   *poll // the request under way; nil: none
	ended  time.Time
	orders []*order // in the order of their numbers
	given  uint64   // the greatest number ever given

	told  transport.Orders // the newest answer, and when that was
	since time.Time
}

// poll is a request that waits.
type poll struct {
	wake chan struct{} // holds a token when there may be something to say
	over chan struct{} // closed when a newer request replaces it
}

// New makes a Board that knows nobody.
func New(c Config) *Board {
	b := &Board{Config: c, devices: map[evidence.DeviceID]*recorder{}, watching: map[evidence.DeviceID]int{}, changed: make(chan struct{})}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// Close answers all requests, writes down that nothing came of commands without a result, and returns when that is done. Calling it again does
// nothing more.
func (b *Board) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	b.work.Wait()
}

// Changed returns a channel that is closed when something that Recorders tells is another. Ask for it before asking for the recorders.
func (b *Board) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// change wakes those who look. The board is locked.
func (b *Board) change() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Recorders returns all devices that were on duty since the server began, in the order of their ids.
func (b *Board) Recorders() []Recorder {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Recorder, 0, len(b.devices))
	for _, r := range b.devices {
		out = append(out, b.told(r))
	}
	slices.SortFunc(out, func(x, y Recorder) int { return bytes.Compare(x.Device[:], y.Device[:]) })
	return out
}

// Recorder returns one device, and whether it was on duty since the server began.
func (b *Board) Recorder(id evidence.DeviceID) (Recorder, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.devices[id]
	if r == nil {
		return Recorder{}, false
	}
	return b.told(r), true
}

// told is a recorder as others see it. The board is locked.
func (b *Board) told(r *recorder) Recorder {
	return Recorder{Device: r.id, Report: r.report, At: r.at, Online: b.online(r), Watched: b.watching[r.id]}
}

func (b *Board) online(r *recorder) bool { return r.poll != nil || b.Now().Sub(r.ended) < grace }

// Watching says how many people watch a device live; the device is told at once.
func (b *Board) Watching(id evidence.DeviceID, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n == b.watching[id] {
		return
	}
	if n > 0 {
		b.watching[id] = n
	} else {
		delete(b.watching, id)
	}
	if r := b.devices[id]; r != nil {
		r.nudge()
		b.change()
	}
}

// nudge has the request under way look whether there is something to say. The board is locked.
func (r *recorder) nudge() {
	if r.poll == nil {
		return
	}
	select {
	case r.poll.wake <- struct{}{}:
	default:
	}
}

// Poll takes a device's report and answers as soon as there is something new to say, after transport.OrdersWait, or when the device asks anew.
// Results are on record before it answers. Who comes on duty is answered at once, and so knows that it is heard. Errors: *transport.Error for a report that says what it must not.
func (b *Board) Poll(ctx context.Context, id evidence.DeviceID, report transport.Report) (transport.Orders, error) {
	if err := tidy(&report); err != nil {
		return transport.Orders{}, err
	}
	results := report.Results
	report.Results = nil
	if err := b.remember(ctx, id); err != nil {
		return transport.Orders{}, err
	}
	r, p, fresh := b.enter(id, report)
	if p == nil {
		return nothing(report), nil
	}
	defer b.leave(r, p)
	for _, res := range results {
		if err := b.result(ctx, r, res); err != nil {
			return transport.Orders{}, err
		}
	}
	if fresh {
		out, _, _ := b.say(r, p, report)
		return out, nil
	}
	return b.await(ctx, r, p, report), nil
}

// nothing is an answer that changes nothing.
func nothing(r transport.Report) transport.Orders {
	return transport.Orders{Commands: []transport.Command{}, Watched: r.Watched}
}

// enter makes this the device's request under way, in place of an older one; nil: the board is closed. fresh says that the device was not on duty.
func (b *Board) enter(id evidence.DeviceID, report transport.Report) (r *recorder, p *poll, fresh bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, false
	}
	r = b.devices[id]
	if r.poll != nil {
		close(r.poll.over)
	}
	fresh = r.at.IsZero() || !b.online(r)
	news := fresh || !reflect.DeepEqual(r.report, report)
	p = &poll{wake: make(chan struct{}, 1), over: make(chan struct{})}
	r.poll, r.report, r.at, r.given = p, report, b.Now(), max(r.given, report.Known)
	if news {
		b.change()
	}
	return r, p, fresh
}

// leave ends a request. If none follows, the device is off duty after a while, and those who look are told.
func (b *Board) leave(r *recorder, p *poll) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.poll != p {
		return
	}
	r.poll, r.ended = nil, b.Now()
	if b.closed {
		return
	}
	b.work.Go(func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
		case <-b.ctx.Done():
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if r.poll == nil && !b.online(r) {
			b.change()
		}
	})
}

// await waits until there is something to say.
func (b *Board) await(ctx context.Context, r *recorder, p *poll, report transport.Report) transport.Orders {
	end := time.NewTimer(transport.OrdersWait)
	defer end.Stop()
	for {
		out, ready, wait := b.say(r, p, report)
		if ready && wait <= 0 {
			return out
		}
		again := time.NewTimer(max(wait, 0))
		if wait <= 0 {
			again.Stop()
		}
		select {
		case <-p.wake:
		case <-again.C:
		case <-end.C:
			return out
		case <-p.over:
			return nothing(report)
		case <-ctx.Done():
			return out
		case <-b.ctx.Done():
			return out
		}
		again.Stop()
	}
}

// say is what there is to say now, whether any of it is news to the device, and how long to wait before saying it: what it was told just now
// and does not seem to have heard is not repeated without end.
func (b *Board) say(r *recorder, p *poll, report transport.Report) (out transport.Orders, ready bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.Now()
	if r.poll != p {
		return nothing(report), true, 0
	}
	out = nothing(report)
	out.Watched = b.watching[r.id]
	for _, o := range r.orders {
		if o.recording {
			break // those behind it wait: a device takes commands in the order of their numbers
		}
		if o.Number > report.Known && o.until().After(now) && len(out.Commands) < transport.MaxCommands {
			out.Commands = append(out.Commands, o.Command)
		}
	}
	ready = len(out.Commands) > 0 || out.Watched != report.Watched
	if !ready {
		return out, false, 0
	}
	if reflect.DeepEqual(out, r.told) {
		if wait = breath - now.Sub(r.since); wait > 0 {
			return out, ready, wait
		}
	}
	r.told, r.since = out, now
	return out, ready, 0
}
