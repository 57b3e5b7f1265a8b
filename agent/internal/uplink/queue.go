package uplink

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"net/http"
	"sync"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// piece is one chunk to be sent.
type piece struct {
	rec   evidence.RecordingID
	index uint64
}

// place is where a piece stands in the queue: by class, then by the other two.
type place struct {
	class        int
	major, minor uint64
}

// The classes, first ones first.
const (
	classPreferred = iota // somebody asked for it, in the order of asking
	classHead             // the head of what goes from its end back: without it nothing of it plays
	classImportant        // of an important recording
	classPlain            // oldest first
)

// about is what the queue must know of a recording.
type about struct {
	opened    uint64 // seq of its open: older ones go first
	captured  bool   // while it was made
	important bool   // before others
	newest    bool   // from its end back
}

// item is a piece in the queue, or on its way.
type item struct {
	piece
	place
	at int // in the heap; −1: on its way
}

// items is a heap.
type items []*item

func (s items) Len() int { return len(s) }
func (s items) Less(i, j int) bool {
	a, b := s[i].place, s[j].place
	return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.major, b.major), cmp.Compare(a.minor, b.minor)) < 0
}
func (s items) Swap(i, j int) { s[i], s[j] = s[j], s[i]; s[i].at, s[j].at = i, j }
func (s *items) Push(x any) {
	it := x.(*item)
	it.at = len(*s)
	*s = append(*s, it)
}
func (s *items) Pop() any {
	old := *s
	it := old[len(old)-1]
	old[len(old)-1], *s = nil, old[:len(old)-1]
	it.at = -1
	return it
}

// state is what the queue keeps of one recording until all of it is stored.
type state struct {
	about
	count int   // pieces queued or on their way
	bytes int64 // sent since the last receipt
	cut   bool  // the server wants more of it than it said
	turn        // of asking while it grows
}

// queue holds what the server wants, in the order in which it is to go, and which recordings to ask receipts for.
type queue struct {
	mu      sync.Mutex
	look    func(evidence.RecordingID) about
	heap    items
	known   map[piece]*item            // queued or being sent
	special map[piece]transport.Wanted // where to send it, if that is not the usual place
	wished  map[piece]uint64           // preferred before the server wanted it
	wishes  uint64                     // pieces preferred so far
	recs    map[evidence.RecordingID]*state
	busy    int // pieces that were taken and are not off yet
	most    int // that may be

	asks    []evidence.RecordingID            // to ask for, in order
	asking  map[evidence.RecordingID]struct{} // queued in asks, or being asked
	more    map[evidence.RecordingID]struct{} // ask once more when the present ask is answered
	out     int                               // asks under way
	mostOut int                               // that may be
	changed chan struct{}
}

func newQueue(look func(evidence.RecordingID) about) *queue {
	return &queue{look: look, known: map[piece]*item{}, special: map[piece]transport.Wanted{}, wished: map[piece]uint64{}, recs: map[evidence.RecordingID]*state{},
		most: 1, mostOut: maxAsks, asking: map[evidence.RecordingID]struct{}{}, more: map[evidence.RecordingID]struct{}{}, changed: make(chan struct{})}
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

// limit says how many pieces may be on their way at once, and how many asks.
func (q *queue) limit(pieces, asks int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.most, q.mostOut = max(1, pieces), max(1, asks)
	q.wake()
}

// of returns the state of a recording; q.mu is held.
func (q *queue) of(rec evidence.RecordingID) *state {
	st := q.recs[rec]
	if st == nil {
		st = &state{}
		q.recs[rec] = st
	}
	return st
}

// want queues what is not queued yet.
func (q *queue) want(list []transport.Wanted) {
	seen := map[evidence.RecordingID]struct{}{}
	for _, w := range list {
		if _, ok := seen[w.Rec]; !ok {
			seen[w.Rec] = struct{}{}
			q.reorder(w.Rec)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range list {
		p := piece{w.Rec, w.Index}
		if !usual(w) {
			q.special[p] = w
		}
		q.add(p)
	}
	q.wake()
}

// add queues one piece if it is not known; q.mu is held.
func (q *queue) add(p piece) {
	if _, ok := q.known[p]; ok {
		return
	}
	st := q.of(p.rec)
	st.count++
	it := &item{piece: p, place: st.place(p.index)}
	if n, ok := q.wished[p]; ok {
		it.place = place{class: classPreferred, major: n}
		delete(q.wished, p)
	}
	q.known[p] = it
	heap.Push(&q.heap, it)
}

// place says where a piece of the recording stands, unless somebody asked for it.
func (a about) place(index uint64) place {
	switch {
	case a.important && a.newest && index == 0:
		return place{classHead, ^a.opened, 0}
	case a.important && a.newest:
		return place{classImportant, ^a.opened, ^index}
	case a.important:
		return place{classImportant, a.opened, index}
	}
	return place{classPlain, a.opened, index}
}

// reorder looks again at what the queue must know of a recording, and puts its pieces where they belong then.
func (q *queue) reorder(rec evidence.RecordingID) {
	now := q.look(rec)
	q.mu.Lock()
	defer q.mu.Unlock()
	st := q.of(rec)
	if st.about == now {
		return
	}
	st.about = now
	if st.count == 0 {
		return
	}
	for _, it := range q.heap {
		if it.rec == rec && it.class != classPreferred {
			it.place = now.place(it.index)
		}
	}
	heap.Init(&q.heap)
}

// prefer has a piece go next, the recording's head before it if that is still queued. sent says that the server knows of it; else it
// goes next once the server wants it.
func (q *queue) prefer(p piece, sent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range []piece{{p.rec, 0}, p} {
		if it, ok := q.known[p]; ok && it.at >= 0 && it.class != classPreferred {
			q.wishes++
			it.place = place{class: classPreferred, major: q.wishes}
			heap.Fix(&q.heap, it.at)
		}
	}
	if _, ok := q.known[p]; !ok && (sent || len(q.wished) < transport.MaxWanted) {
		q.wishes++
		q.wished[p] = q.wishes
		if sent {
			q.add(p)
		}
	}
	q.wake()
}

// next returns the next piece to send, once it may. off must be called when it is dealt with.
func (q *queue) next(ctx context.Context) (transport.Wanted, error) {
	for {
		q.mu.Lock()
		if q.busy < q.most && len(q.heap) > 0 {
			it := heap.Pop(&q.heap).(*item)
			q.busy++
			w, ok := q.special[it.piece]
			if !ok {
				w = transport.Wanted{Rec: it.rec, Index: it.index, Method: http.MethodPut, URL: usualURL(it.piece)}
			}
			q.mu.Unlock()
			return w, nil
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

// off notes that a piece that was taken is dealt with.
func (q *queue) off() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy--
	q.wake()
}

// again queues a piece that could not be sent, where it was.
func (q *queue) again(w transport.Wanted) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.known[piece{w.Rec, w.Index}]; it != nil && it.at < 0 {
		heap.Push(&q.heap, it)
	}
	q.wake()
}

// done notes that a piece is sent, or will not be.
func (q *queue) done(w transport.Wanted, size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(piece{w.Rec, w.Index})
	q.of(w.Rec).bytes += size
	q.wake()
}

// remove forgets a piece that is not in the heap; q.mu is held.
func (q *queue) remove(p piece) {
	if _, ok := q.known[p]; !ok {
		return
	}
	delete(q.known, p)
	delete(q.special, p)
	q.of(p.rec).count--
}

// drop forgets what is queued of a recording, to be asked for again later.
func (q *queue) drop(rec evidence.RecordingID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest := q.heap[:0]
	for _, it := range q.heap {
		if it.rec != rec {
			rest = append(rest, it)
			continue
		}
		q.remove(it.piece)
	}
	clear(q.heap[len(rest):])
	q.heap = rest
	for i, it := range q.heap {
		it.at = i
	}
	heap.Init(&q.heap)
	q.wake()
}

// forget forgets a recording all of which is stored, unless some of it is still on its way.
func (q *queue) forget(rec evidence.RecordingID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if st := q.recs[rec]; st != nil && st.count == 0 {
		delete(q.recs, rec)
	}
}

// idle reports whether nothing is queued or on its way, and otherwise gives a channel to wait on.
func (q *queue) idle() (bool, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.known) == 0 && len(q.asking) == 0, q.changed
}

// usualURL is where a server takes a chunk that it names no other place for.
func usualURL(p piece) string { return fmt.Sprintf("/v1/recordings/%s/chunks/%d", p.rec, p.index) }

func usual(w transport.Wanted) bool {
	return w.Method == http.MethodPut && w.URL == usualURL(piece{w.Rec, w.Index}) && len(w.Headers) == 0
}
