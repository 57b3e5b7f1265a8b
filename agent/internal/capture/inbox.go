package capture

import (
	"slices"
	"sync"
	"time"

	"camseal/agent/internal/feed"
)

// item is one thing that a feed said.
type item struct {
	tracks  []feed.Track
	unit    *feed.Unit
	trouble *feed.Trouble
	lost    *lost // units were left out here
}

// lost is a stretch of the feed that found no room in memory.
type lost struct {
	from, until time.Duration
	units       int
}

// inbox stands between a feed, which does not wait, and the recorder, which may have to wait for the disk. When it is full, whole
// groups of pictures are left out, and it says so where they were.
type inbox struct {
	limit int
	more  chan struct{} // has a value when there is something

	mu    sync.Mutex
	items []item
	size  int // bytes
	video bool
	lost  *lost // while units are left out
}

const itemSize = 256 // bytes that an item counts beside its data

func newInbox(limit int) *inbox { return &inbox{limit: limit, more: make(chan struct{}, 1)} }

func sizeOf(u *feed.Unit) int {
	n := itemSize
	for _, b := range u.Data {
		n += len(b) + 24
	}
	return n
}

// Tracks implements feed.Sink.
func (b *inbox) Tracks(t []feed.Track) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.video = slices.ContainsFunc(t, func(t feed.Track) bool { return t.Codec.Video() })
	b.put(item{tracks: slices.Clone(t)}, itemSize)
}

// Unit implements feed.Sink.
func (b *inbox) Unit(u feed.Unit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := sizeOf(&u)
	if b.lost != nil {
		if b.size > b.limit/2 || b.video && !(u.Key && u.Track == 0) {
			b.lost.until, b.lost.units = max(b.lost.until, u.DTS), b.lost.units+1
			return
		}
		b.lost.until = u.DTS
		b.put(item{lost: b.lost}, itemSize)
		b.lost = nil
	} else if b.size+size > b.limit {
		b.lost = &lost{from: u.DTS, until: u.DTS, units: 1}
		return
	}
	b.put(item{unit: &u}, size)
}

// Trouble implements feed.Sink. A flood of them is left out while the inbox is full.
func (b *inbox) Trouble(t feed.Trouble) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size+itemSize <= b.limit+b.limit/4 {
		b.put(item{trouble: &t}, itemSize+len(t.Detail))
	}
}

// put queues an item; b.mu is held.
func (b *inbox) put(i item, size int) {
	b.items = append(b.items, i)
	b.size += size
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// take returns all that is queued.
func (b *inbox) take() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.items
	b.items, b.size = nil, 0
	return all
}
