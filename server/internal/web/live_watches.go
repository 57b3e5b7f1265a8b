package web

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/casework"
)

// Custody events of watching live.
const (
	actWatched    = "watched-live"
	actWatchedEnd = "watched-live-end"

	detailWatch  = "watch"  // pairs the two
	detailLength = "length" // milliseconds, from the first picture's connection to the end of the last
	detailStream = "stream" // of a guest; a recorder's is its device
)

const (
	lingering   = 30 * time.Second // after which a watch whose connection is gone is over; one that connects again before goes on
	stillEvery  = 30 * time.Second // how often a watcher's right to watch is looked at again
	recordWatch = 2 * time.Minute  // for vault and log
)

// watchKey says who watches what.
type watchKey struct{ viewer, stream string }

// watch is one person's watching of one stream: one custody event when it begins, one when it ends, however often it connects between.
type watch struct {
	key      watchKey
	act      casework.Act
	recorded chan struct{} // closed when its begin is on record, or is not
	err      error         // then
	asking   int           // offers that were not answered yet
	sessions map[string]bool
	first    time.Time // of its connections
	last     time.Time
	timer    *time.Timer // ends it, unless it goes on
}

func (w *watch) idle() bool { return w.asking == 0 && len(w.sessions) == 0 }

// watches are those under way. It is safe for concurrent use.
type watches struct {
	record func(ctx context.Context, a casework.Act) error
	now    func() time.Time
	slog   *slog.Logger

	closing chan struct{}
	work    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	check  chan struct{} // closed when everybody's right is to be looked at again
	of     map[watchKey]*watch
}

func newWatches(c Config) *watches {
	return &watches{now: c.Now, slog: c.Slog, closing: make(chan struct{}), check: make(chan struct{}), of: map[watchKey]*watch{},
		record: func(ctx context.Context, a casework.Act) error {
			_, err := c.Exporter.Book.Record(ctx, a)
			return err
		}}
}

// join begins a watch, or goes on with one, and counts an offer of it; nil: the server ends. What it is about is recorded when it begins.
func (l *watches) join(key watchKey, act casework.Act) *watch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	w := l.of[key]
	if w == nil {
		act.Detail[detailWatch] = rand.Text()
		w = &watch{key: key, act: act, recorded: make(chan struct{}), sessions: map[string]bool{}}
		l.of[key] = w
		l.work.Go(func() { l.begin(w) })
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.asking++
	return w
}

func (l *watches) begin(w *watch) {
	ctx, cancel := context.WithTimeout(context.Background(), recordWatch)
	defer cancel()
	w.err = l.record(ctx, w.act)
	close(w.recorded)
	if w.err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.forget(w)
	}
}

// forget takes a watch off the list. It is locked.
func (l *watches) forget(w *watch) {
	if l.of[w.key] == w {
		delete(l.of, w.key)
	}
}

// answered ends an offer, with the session that came of it or none. Of a session, ended is closed when it is over; still reports whether the
// watcher may go on, and hangUp ends it.
func (l *watches) answered(w *watch, session string, ended <-chan struct{}, still func(context.Context) bool, hangUp func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.asking--
	if session == "" {
		l.maybeOver(w)
		return
	}
	w.sessions[session] = true
	if w.last = l.now(); w.first.IsZero() {
		w.first = w.last
	}
	l.work.Go(func() {
		l.follow(ended, still, hangUp)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(w.sessions, session)
		w.last = l.now()
		l.maybeOver(w)
	})
}

// follow waits until a session is over, and ends it when the watcher may not watch any more.
func (l *watches) follow(ended <-chan struct{}, still func(context.Context) bool, hangUp func()) {
	t := time.NewTicker(stillEvery)
	defer t.Stop()
	for {
		l.mu.Lock()
		check := l.check
		l.mu.Unlock()
		select {
		case <-ended:
			return
		case <-l.closing:
			hangUp()
			return
		case <-check:
		case <-t.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), recordWatch)
		ok := still(ctx)
		cancel()
		if !ok {
			hangUp()
			return
		}
	}
}

// recheck has the right of everybody who watches looked at now.
func (l *watches) recheck() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.check)
	l.check = make(chan struct{})
}

// maybeOver ends a watch after a while, if nothing goes on. It is locked.
func (l *watches) maybeOver(w *watch) {
	if !w.idle() || l.closed || l.of[w.key] != w {
		return
	}
	w.timer = time.AfterFunc(lingering, func() {
		l.mu.Lock()
		over := w.idle() && !l.closed && l.of[w.key] == w
		if over {
			l.forget(w)
			l.work.Add(1)
		}
		l.mu.Unlock()
		if over {
			defer l.work.Done()
			l.end(w)
		}
	})
}

// end records that a watch is over.
func (l *watches) end(w *watch) {
	if <-w.recorded; w.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordWatch)
	defer cancel()
	a := w.act
	a.Name, a.Detail = actWatchedEnd, maps.Clone(a.Detail)
	a.Detail[detailLength] = strconv.FormatInt(max(0, w.last.Sub(w.first).Milliseconds()), 10)
	if err := l.record(ctx, a); err != nil {
		l.slog.ErrorContext(ctx, "the end of a watch is not on record", slog.String("stream", w.key.stream), slog.Any("error", err))
	}
}

// owns reports whether a session is this viewer's.
func (l *watches) owns(key watchKey, session string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.of[key]
	return w != nil && w.sessions[session]
}

// close ends all sessions and records the ends.
func (l *watches) close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.closing)
	l.mu.Unlock()
	l.work.Wait()
	for _, w := range l.of {
		l.end(w)
	}
}

// aboutDevice completes an act with the device and recording that it is about.
func aboutDevice(a casework.Act, id evidence.DeviceID, rec evidence.RecordingID) casework.Act {
	a.Device, a.Rec = &id, rec
	return a
}
