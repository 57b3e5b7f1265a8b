package uplink

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// What carries the way to the server. Any other name is a link without a limit of its own.
const (
	LinkWiFi   = "wifi"
	LinkMobile = "mobile"
	LinkDock   = "dock"
)

const (
	narrowBelow = 64 << 10  // bytes/s: a link that carries less is narrow,
	wideAbove   = 128 << 10 // until it carries more than this
	measured    = 64 << 10  // bytes, or
	measuredFor = 2 * time.Second

	leastRate   = 1 << 10  // bytes/s: a lower limit would starve what it limits
	leastQueue  = 16 << 10 // bytes that the kernel may hold of a chunk on a narrow link
	yieldAtMost = 3 * time.Second
)

// link is the way to the server as footage sees it: how fast it may go, how fast it does, and whether statements are on their way, before which
// footage holds still where the way is narrow.
type link struct {
	now     func() time.Time
	limit   *rate.Limiter // of the bytes of all chunks together
	changed func()        // called when atOnce or the like may have changed; set before use

	mu      sync.Mutex
	kind    string
	rate    int64 // bytes/s; 0: no limit
	narrow  bool
	queue   int           // bytes that the kernel may hold of a chunk; 0: as many as it likes
	talking int           // statements on their way
	quiet   chan struct{} // closed when there are none any more

	moving int // being measured: chunks on their way,
	since  time.Time
	busy   time.Duration // how long there were any,
	bytes  int64         // and what was acknowledged of them
	conns  map[*bulkConn]struct{}
}

func newLink(now func() time.Time) *link {
	return &link{now: now, kind: LinkDock, limit: rate.NewLimiter(rate.Inf, leastQueue), changed: func() {}, conns: map[*bulkConn]struct{}{}}
}

// set says what the link is now, and how many bytes a second chunks may take of it; 0: any.
func (l *link) set(kind string, bytes int64) {
	l.mu.Lock()
	l.kind, l.rate = kind, bytes
	l.narrow, l.queue, l.busy, l.bytes = false, 0, 0, 0
	l.mu.Unlock()
	l.limit.SetLimit(rate.Inf)
	if bytes > 0 {
		l.limit.SetLimit(rate.Limit(max(bytes, leastRate)))
	}
	l.changed()
}

// how returns what Status shows.
func (l *link) how() (kind string, limit int64, narrow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kind, l.rate, l.narrow
}

// thrifty reports whether little should be on its way at once.
func (l *link) thrifty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.narrow || l.kind == LinkMobile
}

// buffers says how many bytes of a chunk may lie unsent in the kernel, and how many in all; 0: as many as it likes.
func (l *link) buffers() (unsent, queue int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kind == LinkDock && !l.narrow {
		return 16 * leastQueue, l.queue
	}
	return leastQueue, l.queue
}

// talk notes that statements are on their way, until the function returned is called.
func (l *link) talk() (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.talking++; l.talking == 1 {
		l.quiet = make(chan struct{})
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.talking--; l.talking == 0 {
			close(l.quiet)
		}
	}
}

// yield returns when footage may go on: when no statements are on a narrow link, or after yieldAtMost, or when closed is.
func (l *link) yield(closed <-chan struct{}) {
	l.mu.Lock()
	quiet, wait := l.quiet, l.narrow && l.talking > 0
	l.mu.Unlock()
	if !wait {
		return
	}
	l.move(-1) // this time says nothing of the link
	defer l.move(1)
	timer := time.NewTimer(yieldAtMost)
	defer timer.Stop()
	select {
	case <-quiet:
	case <-timer.C:
	case <-closed:
	}
}

// move notes that so many chunks more, or less, are on their way.
func (l *link) move(chunks int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick()
	l.moving += chunks
}

// arrived notes that so many bytes more were acknowledged. When that is enough, it looks how many more were on all connections.
func (l *link) arrived(bytes int64) {
	l.mu.Lock()
	l.tick()
	l.bytes += bytes
	changed := false
	if l.bytes >= measured || l.busy >= measuredFor {
		for c := range l.conns {
			l.bytes += c.arrived(0)
		}
		changed = l.judge()
	}
	l.mu.Unlock()
	if changed {
		l.changed()
	}
}

// has notes that there is a connection for chunks, or not any more.
func (l *link) has(c *bulkConn, there bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.conns, c); there {
		l.conns[c] = struct{}{}
	}
}

// tick counts the time up to now. l.mu is held.
func (l *link) tick() {
	now := l.now()
	if d := now.Sub(l.since); l.moving > 0 && d > 0 {
		l.busy += d
	}
	l.since = now
}

// judge finds out from what was measured whether the link is narrow. It reports whether that is news. l.mu is held.
func (l *link) judge() bool {
	was, perSecond := l.narrow, int64(float64(l.bytes)/max(l.busy.Seconds(), 1e-6))
	l.busy, l.bytes = 0, 0
	l.narrow = perSecond < narrowBelow || was && perSecond < wideAbove
	switch {
	case l.narrow: // about two seconds of it, so that it can show that it carries more
		l.queue = max(leastQueue, int(2*perSecond))
	case was:
		l.queue = 4 * wideAbove
	}
	return was != l.narrow
}
