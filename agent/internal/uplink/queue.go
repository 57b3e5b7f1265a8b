package uplink

import (
	"context"
	"sync"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// piece is one chunk to be sent.
type piece struct {
	rec   evidence.RecordingID
	index uint64
}

// queue holds what the server wants, in the order in which it said so, and which recordings to ask receipts for.
type queue struct {
	mu      sync.Mutex
	urgent  func(evidence.RecordingID) bool // its chunks go before others
	first   []transport.Wanted              // urgent ones
	wanted  []transport.Wanted
	known   map[piece]struct{}                // queued or being sent
	count   map[evidence.RecordingID]int      // of known, by recording
	sent    map[evidence.RecordingID]int64    // bytes sent since the last receipt
	asks    []evidence.RecordingID            // to ask for, in order
	asking  map[evidence.RecordingID]struct{} // queued in asks, or being asked
	more    map[evidence.RecordingID]struct{} // ask once more when the present ask is answered
	changed chan struct{}
}

func newQueue(urgent func(evidence.RecordingID) bool) *queue {
	return &queue{urgent: urgent, known: map[piece]struct{}{}, count: map[evidence.RecordingID]int{}, sent: map[evidence.RecordingID]int64{},
		asking: map[evidence.RecordingID]struct{}{}, more: map[evidence.RecordingID]struct{}{}, changed: make(chan struct{})}
}

// wake tells waiters; q.mu is held.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// poke makes waiters look again.
func (q *queue) poke() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake()
}

// want queues what is not queued yet.
func (q *queue) want(list []transport.Wanted) {
	urgent := map[evidence.RecordingID]bool{}
	for _, w := range list {
		if _, ok := urgent[w.Rec]; !ok {
			urgent[w.Rec] = q.urgent(w.Rec)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range list {
		p := piece{w.Rec, w.Index}
		if _, ok := q.known[p]; ok {
			continue
		}
		q.known[p] = struct{}{}
		q.count[w.Rec]++
		if urgent[w.Rec] {
			q.first = append(q.first, w)
		} else {
			q.wanted = append(q.wanted, w)
		}
	}
	q.wake()
}

// again queues a piece that could not be sent.
func (q *queue) again(w transport.Wanted) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wanted = append(q.wanted, w)
	q.wake()
}

// done notes that a piece is sent, or will not be. It returns the recording's bytes since the last receipt and whether nothing of it
// is queued any more.
func (q *queue) done(w transport.Wanted, size int64) (sent int64, drained bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.known, piece{w.Rec, w.Index})
	q.sent[w.Rec] += size
	if q.count[w.Rec]--; q.count[w.Rec] <= 0 {
		delete(q.count, w.Rec)
		drained = true
	}
	q.wake()
	return q.sent[w.Rec], drained
}

// drop forgets what is queued of a recording, to be asked for again later.
func (q *queue) drop(rec evidence.RecordingID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, list := range []*[]transport.Wanted{&q.first, &q.wanted} {
		rest := (*list)[:0]
		for _, w := range *list {
			if w.Rec != rec {
				rest = append(rest, w)
				continue
			}
			delete(q.known, piece{w.Rec, w.Index})
			if q.count[rec]--; q.count[rec] <= 0 {
				delete(q.count, rec)
			}
		}
		*list = rest
	}
	q.wake()
}

// next returns the next piece to send.
func (q *queue) next(ctx context.Context) (transport.Wanted, error) {
	for {
		q.mu.Lock()
		for _, list := range []*[]transport.Wanted{&q.first, &q.wanted} {
			if len(*list) > 0 {
				w := (*list)[0]
				*list = (*list)[1:]
				q.mu.Unlock()
				return w, nil
			}
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return transport.Wanted{}, ctx.Err()
		case <-changed:
		}
	}
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
		if len(q.asks) > 0 {
			r := q.asks[0]
			q.asks = q.asks[1:]
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
	delete(q.asking, rec)
	if stored {
		delete(q.sent, rec)
	}
	_, again = q.more[rec]
	delete(q.more, rec)
	q.wake()
	return again
}

// idle reports whether nothing is queued or on its way, and otherwise gives a channel to wait on.
func (q *queue) idle() (bool, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.known) == 0 && len(q.asking) == 0, q.changed
}
