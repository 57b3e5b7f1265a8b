package live

import (
	"context"
	"slices"
	"sync"
	"time"

	"camseal/agent/internal/feed"
)

// cache holds the units since the last key one, so that a connection begins with a picture at once, and what its one reader has not taken
// yet. It is bounded in bytes: a reader that falls behind goes on at the next key unit, and a group of pictures that is too large is not held.
type cache struct {
	max int

	mu    sync.Mutex
	units []feed.Unit
	first uint64 // number of units[0]; every unit since the beginning has one
	bytes int
	video bool                  // there are pictures: without a key unit nothing can be shown
	keyed bool                  // key is among units
	key   uint64                // number of the last key unit
	heads map[int]time.Duration // PTS of the newest unit of each track

	reading bool
	next    uint64        // what the reader takes next
	high    uint64        // what it never took before
	waits   bool          // it needs a key unit
	wake    chan struct{} // something came; holds one
}

func newCache(limit int) *cache {
	return &cache{max: limit, heads: map[int]time.Duration{}, wake: make(chan struct{}, 1)}
}

func size(u feed.Unit) int {
	n := 0
	for _, d := range u.Data {
		n += len(d)
	}
	return n
}

func (c *cache) end() uint64 { return c.first + uint64(len(c.units)) }

// reset forgets everything: other tracks follow.
func (c *cache) reset(video bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(c.end())
	c.video, c.keyed, c.waits = video, false, video
	c.next = c.end()
	clear(c.heads)
}

// add takes a unit; it does not block.
func (c *cache) add(u feed.Unit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.Key {
		c.key, c.keyed = c.end(), true
	}
	c.units = append(c.units, u)
	c.bytes += size(u)
	c.heads[u.Track] = max(c.heads[u.Track], u.PTS)
	c.trim()
	if c.bytes > c.max && c.keyed && c.reading && c.next < c.key {
		c.next = c.key
		c.trim()
	}
	if c.bytes > c.max {
		c.keyed = false
		c.trim()
	}
	if c.bytes > c.max {
		c.drop(c.end())
		c.next, c.waits = c.end(), c.video
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// trim drops what neither the reader nor a new one would take.
func (c *cache) trim() {
	keep := c.end()
	if c.keyed {
		keep = c.key
	}
	if c.reading {
		keep = min(keep, c.next)
	}
	c.drop(keep)
}

func (c *cache) drop(to uint64) {
	n := int(to - c.first)
	for _, u := range c.units[:n] {
		c.bytes -= size(u)
	}
	c.units = slices.Delete(c.units, 0, n)
	c.first = to
}

// open begins reading, at the last key unit if it is held.
func (c *cache) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = true
	c.next, c.waits = c.end(), c.video
	if c.keyed {
		c.next, c.waits = c.key, false
	}
	c.high = c.next
}

// rewind goes back to the last key unit, if it is held and no more than so many bytes are since.
func (c *cache) rewind(most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reading || !c.keyed || c.bytes > most {
		return false
	}
	c.next, c.waits = c.key, false
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return true
}

// close ends reading.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	c.trim()
}

// taken is a unit that was read.
type taken struct {
	feed.Unit
	again  bool          // it was read before
	behind time.Duration // how much newer the newest unit of its track is
}

// read returns the next unit, and waits for it.
func (c *cache) read(ctx context.Context) (taken, error) {
	for {
		if t, ok := c.take(); ok {
			return t, nil
		}
		select {
		case <-ctx.Done():
			return taken{}, context.Cause(ctx)
		case <-c.wake:
		}
	}
}

func (c *cache) take() (taken, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits && c.keyed && c.next <= c.key {
		c.next, c.waits = c.key, false
	}
	if c.waits || c.next >= c.end() {
		if c.waits {
			c.next = c.end()
			c.trim()
		}
		return taken{}, false
	}
	t := taken{Unit: c.units[c.next-c.first], again: c.next < c.high}
	t.behind = c.heads[t.Track] - t.PTS
	c.next++
	c.high = max(c.high, c.next)
	return t, true
}
