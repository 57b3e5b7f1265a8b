package duty

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/casework"
)

// Why there is no result of a command.
var (
	ErrOffDuty  = errors.New("the recorder is not on duty; nothing was sent; try again when it is")
	ErrBusy     = errors.New("too many commands wait for this recorder; nothing was sent; try again when it has answered")
	ErrCommand  = errors.New("the command is not one that a recorder knows; nothing was sent")
	ErrNoResult = errors.New("the recorder has not answered yet; the command stands until its time is over, and what comes of it is recorded")
)

const (
	usualLife  = 30 * time.Second // of a command that does not say
	maxLife    = 10 * time.Minute
	afterUntil = 30 * time.Second // in which the result of a command that was begun in time may still come
	patience   = 20 * time.Second // how long Order waits for a result
	recordWait = 2 * time.Minute  // for vault and log
	maxText    = 4096             // bytes
)

// Members of events' details, beside casework.DetailCommand.
const (
	detailNumber = "number"
	detailPart   = "part"
)

// order is a command on its way.
type order struct {
	transport.Command
	actor     string // empty: nobody in person, and no custody event
	rec       evidence.RecordingID
	recording bool // its custody event is being written: it is not handed out yet
	expired   bool // its time was over without a result, and that is on record

	turn   chan struct{}    // holds one token: for who writes down what came of it
	done   chan struct{}    // closed once there is a result
	result transport.Result // then
}

func (o *order) until() time.Time { return time.UnixMilli(o.Until) }

// Order has a recorder do something, for somebody: that is on record before the recorder hears of it, and what comes of it is before Order
// returns. The number and By are filled in, and Until if it is not set. Errors: ErrOffDuty, ErrBusy, ErrCommand, and ErrNoResult if the recorder
// does not answer for some seconds: the command stands then, and its result is recorded when it comes.
func (b *Board) Order(ctx context.Context, actor string, id evidence.DeviceID, c transport.Command) (transport.Result, error) {
	o, r, err := b.place(actor, id, c)
	if err != nil {
		return transport.Result{}, err
	}
	settled, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWait)
	defer cancel()
	_, err = b.Book.Record(settled, o.act(casework.ActCommanded, r.id, o.rec, nil))
	b.mu.Lock()
	o.recording = false
	if err != nil {
		b.drop(r, o)
	} else if o.until().Before(b.Now()) {
		o.Until = b.Now().UnixMilli() // it is never handed out
	}
	r.nudge()
	b.mu.Unlock()
	if err != nil {
		b.work.Done()
		return transport.Result{}, fmt.Errorf("command %s to %s: %w", c.Kind, id.Short(), err)
	}
	go func() {
		defer b.work.Done()
		b.follow(r, o)
	}()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-o.done:
		return o.result, nil
	case <-t.C:
	case <-ctx.Done():
	case <-b.ctx.Done():
	}
	return transport.Result{}, ErrNoResult
}

// Ask has a recorder do something that nobody in person wants, such as publish because somebody watches: it is not on record by itself. It
// returns at once. The same thing asked again while it waits is asked once. Errors: ErrOffDuty, ErrBusy, ErrCommand.
func (b *Board) Ask(id evidence.DeviceID, c transport.Command) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.Now()
	if r := b.devices[id]; r != nil && slices.ContainsFunc(r.orders, func(o *order) bool {
		return o.actor == "" && o.Kind == c.Kind && o.Number > r.report.Known && o.until().After(now)
	}) {
		return nil
	}
	o, r, err := b.placeLocked("", id, c)
	if err != nil {
		return err
	}
	o.recording = false
	r.nudge()
	b.work.Go(func() { b.follow(r, o) })
	b.work.Done()
	return nil
}

func (b *Board) place(actor string, id evidence.DeviceID, c transport.Command) (*order, *recorder, error) {
	if actor == "" {
		return nil, nil, fmt.Errorf("%w: nobody ordered it", ErrCommand)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.placeLocked(actor, id, c)
}

// placeLocked gives a command its number and its place. It is not handed out yet. The caller calls work.Done.
func (b *Board) placeLocked(actor string, id evidence.DeviceID, c transport.Command) (*order, *recorder, error) {
	now := b.Now()
	if err := fit(&c, now); err != nil {
		return nil, nil, err
	}
	r := b.devices[id]
	if b.closed || r == nil || !b.online(r) {
		return nil, nil, ErrOffDuty
	}
	waiting := 0
	for _, o := range r.orders {
		if !o.expired {
			waiting++
		}
	}
	if waiting >= transport.MaxCommands {
		return nil, nil, ErrBusy
	}
	r.given++
	c.Number = r.given
	if c.By = cut(actor, maxName); actor == "" {
		c.By = "camseal-server"
	}
	o := newOrder(actor, c)
	o.recording = true
	switch {
	case c.Rec != nil:
		o.rec = *c.Rec
	case c.Kind != transport.CommandStart && r.report.Recording != nil:
		o.rec = *r.report.Recording
	}
	r.orders = append(r.orders, o)
	b.work.Add(1)
	return o, r, nil
}

func newOrder(actor string, c transport.Command) *order {
	o := &order{Command: c, actor: actor, turn: make(chan struct{}, 1), done: make(chan struct{})}
	o.turn <- struct{}{}
	return o
}

// fit bounds a command.
func fit(c *transport.Command, now time.Time) error {
	switch c.Kind {
	case transport.CommandStart, transport.CommandStop, transport.CommandMark, transport.CommandLive, transport.CommandLiveEnd:
	case transport.CommandChunk:
		if c.Rec == nil || c.Index > evidence.MaxInt {
			return fmt.Errorf("%w: which chunk?", ErrCommand)
		}
	default:
		return ErrCommand
	}
	c.Text = cut(c.Text, maxText)
	if c.Until == 0 {
		c.Until = now.Add(usualLife).UnixMilli()
	}
	if last := now.Add(maxLife).UnixMilli(); c.Until > last {
		c.Until = last
	}
	if c.Until <= now.UnixMilli() {
		return fmt.Errorf("%w: its time is over", ErrCommand)
	}
	return nil
}

// drop forgets an order. The board is locked.
func (b *Board) drop(r *recorder, o *order) {
	r.orders = slices.DeleteFunc(r.orders, func(x *order) bool { return x == o })
}

// act is a custody event about an order.
func (o *order) act(name string, id evidence.DeviceID, rec evidence.RecordingID, more evidence.Detail) casework.Act {
	actor := o.actor
	d := evidence.Detail{casework.DetailCommand: string(o.Kind), detailNumber: strconv.FormatUint(o.Number, 10)}
	if name != casework.ActCommanded {
		d["by"], actor = o.actor, "camseal-server"
	}
	if o.Text != "" && name == casework.ActCommanded {
		d["text"] = o.Text
	}
	if o.Kind == transport.CommandChunk {
		d[detailPart] = strconv.FormatUint(o.Index, 10)
	}
	for k, v := range more {
		if v != "" {
			d[k] = v
		}
	}
	return casework.Act{Name: name, Actor: actor, Device: &id, Rec: rec, Detail: d}
}

// result writes down what a recorder says that came of a command, once. Commands that the board does not know are passed over.
func (b *Board) result(ctx context.Context, r *recorder, res transport.Result) error {
	b.mu.Lock()
	i := slices.IndexFunc(r.orders, func(o *order) bool { return o.Number == res.Number && !o.recording })
	if i < 0 {
		b.mu.Unlock()
		return nil
	}
	o := r.orders[i]
	b.mu.Unlock()
	select {
	case <-o.turn:
		defer func() { o.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-o.done:
		return nil // said twice
	default:
	}
	if o.actor != "" {
		name, rec := casework.ActCommandDone, o.rec
		if !res.Done {
			name = casework.ActCommandRefused
		}
		if res.Rec != nil {
			rec = *res.Rec
		}
		settled, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWait)
		defer cancel()
		if _, err := b.Book.Record(settled, o.act(name, r.id, rec, evidence.Detail{"text": res.Text})); err != nil {
			return fmt.Errorf("result of command %d to %s: %w", o.Number, r.id.Short(), err)
		}
	}
	o.result = res
	close(o.done)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(r, o)
	return nil
}

// follow waits for a command's result as long as one may come, and writes down that none did. A result that comes later still is recorded too.
func (b *Board) follow(r *recorder, o *order) {
	t := time.NewTimer(o.until().Add(afterUntil).Sub(b.Now()))
	defer t.Stop()
	select {
	case <-o.done:
		return
	case <-t.C:
	case <-b.ctx.Done():
	}
	<-o.turn
	defer func() { o.turn <- struct{}{} }()
	select {
	case <-o.done:
		return
	default:
	}
	if o.actor == "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.drop(r, o)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordWait)
	defer cancel()
	if _, err := b.Book.Record(ctx, o.act(casework.ActCommandExpired, r.id, o.rec, nil)); err != nil {
		b.Slog.ErrorContext(ctx, "that a command had no result is not on record", slog.String("device", r.id.Short()), slog.Uint64("number", o.Number),
			slog.Any("error", err))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o.expired = true
	expired := slices.DeleteFunc(slices.Clone(r.orders), func(x *order) bool { return !x.expired })
	if len(expired) > transport.MaxCommands {
		b.drop(r, expired[0])
	}
}
