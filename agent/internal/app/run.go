package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"camseal/agent/internal/source"
	"camseal/agent/internal/spool"
)

type runCmd struct{}

// failAgain is how long a file that could not be taken in is left alone, unless it changes.
const failAgain = time.Minute

// Run watches, seals and sends until the context ends.
func (runCmd) Run(ctx context.Context, set *settings, con *console) error {
	log := newLog(con.err, set.LogLevel)
	n, err := start(ctx, set, log)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "the agent runs", slog.String("version", software()), slog.String("device", n.tpm.Key().Name().String()),
		slog.String("class", string(n.tpm.Key().Class())), slog.Any("folders", set.Folders))
	rec, err := n.newRecorder()
	if err != nil {
		return errors.Join(err, n.close())
	}
	working, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	var errCapture error
	switch {
	case rec == nil:
		work.Go(func() { n.endLeft(working) })
	default:
		work.Go(func() {
			errCapture = rec.run(working)
			stop()
		})
	}
	if n.dock != nil {
		work.Go(func() { n.dock.Run(working) })
	}
	w := &watch{log: log, settle: set.Settle, seen: map[string]*sight{}}
	err = w.run(working, n)
	stop()
	work.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err = errors.Join(err, errCapture); ctx.Err() != nil && errCapture == nil {
		err = nil
		log.Info("the agent ends; everything is kept, and goes on at the next start")
	}
	return errors.Join(err, n.close())
}

// sight is a watched file as it was seen last.
type sight struct {
	origin spool.Origin
	since  time.Time // it has been like this
	sweep  uint64    // the last one in which it was there
	dealt  bool      // it was given to a reader as it is
	failed string    // why that failed
	at     time.Time // when
}

// watch takes in what appears in the watched folders. A file that still grows holds up no other.
type watch struct {
	log    *slog.Logger
	settle time.Duration
	mu     sync.Mutex
	seen   map[string]*sight
	sweep  uint64
}

func (w *watch) run(ctx context.Context, n *node) error {
	o := source.Options{Serial: n.set.Recorder, Slot: "watch", Except: n.own(), Ready: true, Report: func(e source.Event) { w.report(ctx, e) }, Skip: w.skip}
	if err := n.taker.Resume(ctx, n.takeOpen(), o); err != nil {
		return err
	}
	tick := time.NewTicker(n.set.Poll)
	defer tick.Stop()
	for {
		if err := n.taker.Take(ctx, n.set.Folders, o); err != nil {
			return err
		}
		w.forget()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// skip passes over files that still grow, and those that were dealt with and have not changed since.
func (w *watch) skip(o spool.Origin) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := now()
	s := w.seen[string(o.Path)]
	if s == nil || !s.origin.Same(o) {
		s = &sight{origin: o, since: t}
		w.seen[string(o.Path)] = s
	}
	s.sweep = w.sweep
	if t.Sub(time.Unix(0, o.Mtime)) < w.settle && t.Sub(s.since) < w.settle {
		return true
	}
	if s.dealt && (s.failed == "" || t.Sub(s.at) < failAgain) {
		return true
	}
	s.dealt = true
	return false
}

// forget drops files that are gone, and begins the next sweep.
func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path, s := range w.seen {
		if s.sweep != w.sweep {
			delete(w.seen, path)
		}
	}
	w.sweep++
}

func (w *watch) report(ctx context.Context, e source.Event) {
	path := slog.String("path", string(e.Path))
	switch e.Kind {
	case source.EventTaken:
		w.log.InfoContext(ctx, "taken in", path, slog.String("rec", e.Rec.String()), slog.Uint64("bytes", e.Bytes))
	case source.EventFailed, source.EventSkipped:
		if w.news(e) {
			w.log.WarnContext(ctx, "not taken in: "+e.Text, path)
		}
	default:
		w.log.DebugContext(ctx, string(e.Kind), path, slog.String("text", e.Text))
	}
}

// news notes a failure and reports whether it has not been told yet.
func (w *watch) news(e source.Event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seen[string(e.Path)]
	if s == nil { // a folder, or what is no file
		s = &sight{}
		w.seen[string(e.Path)] = s
	}
	told := s.failed
	s.failed, s.at, s.sweep = e.Text, now(), w.sweep
	return told != e.Text
}
