package uplink

import (
	"context"
	"time"

	"camseal/pkg/evidence"
)

// A recording that grows is asked for in turns: not sooner than askAtLeast after the last time, nor than a part of its time so far, so that the
// receipts, each of which is about all of it, stay few.
const (
	askAtLeast = 10 * time.Second
	askPart    = 60
)

// turn is when a recording that grows is asked for.
type turn struct {
	begun, asked time.Time // when it came up here first, when it was asked for last
	waits        bool      // somebody sees to its next turn
}

// turn returns how long it is until the recording's next turn. If that is now, it counts as taken; if not, mine says that the caller is to come
// back then.
func (q *queue) turn(rec evidence.RecordingID, now time.Time) (wait time.Duration, mine bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := q.of(rec)
	if st.begun.IsZero() {
		st.begun, st.asked = now, now
	}
	if wait = max(askAtLeast, now.Sub(st.begun)/askPart) - now.Sub(st.asked); wait <= 0 {
		st.asked = now
		return 0, false
	}
	mine = !st.waits
	st.waits = true
	return wait, mine
}

// turned notes that the caller came back.
func (q *queue) turned(rec evidence.RecordingID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.of(rec).waits = false
}

// standing is how far a recording is.
func (q *queue) standing(rec evidence.RecordingID) state {
	q.mu.Lock()
	defer q.mu.Unlock()
	if st := q.recs[rec]; st != nil {
		return *st
	}
	return state{}
}

// wantsMore notes that the server said only a part of what it wants of a recording, or that it is asked for the rest.
func (q *queue) wantsMore(rec evidence.RecordingID, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.of(rec).cut = more
}

// ask queues a request for a stored receipt.
func (q *queue) ask(rec evidence.RecordingID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.asking[rec]; ok {
		q.more[rec] = struct{}{}
		return
	}
	q.asking[rec] = struct{}{}
	q.asks = append(q.asks, rec)
	q.wake()
}

// nextAsk returns the next recording to ask for.
func (q *queue) nextAsk(ctx context.Context) (evidence.RecordingID, error) {
	for {
		q.mu.Lock()
		if len(q.asks) > 0 && q.out < q.mostOut {
			r := q.asks[0]
			q.asks = q.asks[1:]
			q.out++
			delete(q.more, r)
			q.mu.Unlock()
			return r, nil
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return evidence.RecordingID{}, ctx.Err()
		case <-changed:
		}
	}
}

// asked notes that a request was answered. It returns whether to ask once more.
func (q *queue) asked(rec evidence.RecordingID, stored bool) (again bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.out--
	delete(q.asking, rec)
	if st := q.recs[rec]; stored && st != nil {
		st.bytes = 0
	}
	_, again = q.more[rec]
	delete(q.more, rec)
	q.wake()
	return again
}
