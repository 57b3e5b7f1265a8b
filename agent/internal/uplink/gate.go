package uplink

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Waiting times: for what may pass by itself, and for what needs a person.
const (
	minWait      = 500 * time.Millisecond
	maxWait      = 30 * time.Second
	minFinalWait = time.Minute
	maxFinalWait = 10 * time.Minute
)

// backoff doubles its waits from failure to failure, with jitter.
type backoff struct{ fails int }

func (b *backoff) next(final bool) time.Duration {
	low, high := minWait, maxWait
	if final {
		low, high = minFinalWait, maxFinalWait
	}
	d := min(low<<min(b.fails, 10), high)
	b.fails++
	return d/2 + rand.N(d)
}

// gate keeps several goroutines from trying before its time.
type gate struct {
	mu        sync.Mutex
	now       func() time.Time
	backoff   backoff
	notBefore time.Time
	opened    chan struct{} // closed when notBefore is lifted early
}

// wait returns when trying is allowed.
func (g *gate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		d := g.notBefore.Sub(g.now())
		if g.opened == nil {
			g.opened = make(chan struct{})
		}
		opened := g.opened
		g.mu.Unlock()
		if err := ctx.Err(); err != nil || d <= 0 {
			return err
		}
		timer := time.NewTimer(min(d, maxFinalWait*2))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-opened:
		}
		timer.Stop()
	}
}

// shut reports whether trying is not allowed now.
func (g *gate) shut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.notBefore.After(g.now())
}

// fail closes the gate for a while. Failures of requests that were sent before it closed count once.
func (g *gate) fail(final bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.now(); !now.Before(g.notBefore) {
		g.notBefore = now.Add(g.backoff.next(final))
	}
}

// ok notes a success.
func (g *gate) ok() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.backoff.fails = 0
}

// open lets everybody try now.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.backoff.fails, g.notBefore = 0, time.Time{}
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}
