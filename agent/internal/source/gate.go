package source

import (
	"context"
	"sync"
)

// Gate lets a bounded number of readers read a chunk at once, the one with the highest priority first, and among equals the one that waits
// longest. It is safe for concurrent use.
type Gate struct {
	mu    sync.Mutex
	free  int
	queue []*turn
}

type turn struct {
	prior func() int
	come  chan struct{}
}

// NewGate returns a gate for n readers at once.
func NewGate(n int) *Gate { return &Gate{free: n} }

// Enter waits for its turn; prior is asked whenever a turn is given, so that it may change meanwhile. leave ends the turn, once.
func (g *Gate) Enter(ctx context.Context, prior func() int) (leave func(), err error) {
	t := &turn{prior: prior, come: make(chan struct{})}
	g.mu.Lock()
	g.queue = append(g.queue, t)
	g.next()
	g.mu.Unlock()
	select {
	case <-t.come:
		return g.leave, nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		for i, q := range g.queue {
			if q == t {
				g.queue = append(g.queue[:i], g.queue[i+1:]...)
				return nil, ctx.Err()
			}
		}
		g.free++ // its turn came meanwhile
		g.next()
		return nil, ctx.Err()
	}
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free++
	g.next()
}

// next gives turns; g.mu is held.
func (g *Gate) next() {
	for g.free > 0 && len(g.queue) > 0 {
		best := 0
		for i, t := range g.queue {
			if t.prior() > g.queue[best].prior() {
				best = i
			}
		}
		close(g.queue[best].come)
		g.queue = append(g.queue[:best], g.queue[best+1:]...)
		g.free--
	}
}
