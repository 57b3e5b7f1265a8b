package axis

import (
	"context"
	"slices"
	"sort"
	"sync"

	"camseal/pkg/handoff"
)

// hub holds the dockings that there are and tells who watches.
type hub struct {
	mu      *sync.Mutex
	next    uint64
	entries []entry              // in the order of their last change
	seen    map[*uint64]struct{} // how far each watcher has come
	changed chan struct{}        // closed at each change
}

type entry struct {
	version uint64
	docking handoff.Docking
	dir     string // of its container
}

func newHub() hub {
	return hub{mu: new(sync.Mutex), seen: map[*uint64]struct{}{}, changed: make(chan struct{})}
}

// set puts a docking in place of what it was.
func (h *hub) set(d handoff.Docking, dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = slices.DeleteFunc(h.entries, func(e entry) bool { return e.docking.ID == d.ID })
	h.next++
	h.entries = append(h.entries, entry{h.next, d, dir})
	h.prune()
	close(h.changed)
	h.changed = make(chan struct{})
}

// prune forgets what is gone, once every watcher knows. The caller holds mu.
func (h *hub) prune() {
	known := h.next
	for s := range h.seen {
		known = min(known, *s)
	}
	h.entries = slices.DeleteFunc(h.entries, func(e entry) bool { return e.docking.State == handoff.StateGone && e.version <= known })
}

// find returns the entry for which f holds and that is not gone.
func (h *hub) find(f func(handoff.Docking) bool) (entry, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.entries, func(e entry) bool { return e.docking.State != handoff.StateGone && f(e.docking) })
	if i < 0 {
		return entry{}, false
	}
	return h.entries[i], true
}

// Watch implements serve.Source.
func (h *hub) Watch(ctx context.Context, emit func(handoff.Docking) error) error {
	seen := new(uint64)
	h.mu.Lock()
	first := h.next
	h.seen[seen] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.seen, seen)
		h.prune()
	}()
	for {
		h.mu.Lock()
		i := sort.Search(len(h.entries), func(i int) bool { return h.entries[i].version > *seen })
		changed := h.changed
		var e entry
		if i < len(h.entries) {
			e = h.entries[i]
			*seen = e.version
		} else {
			*seen = h.next
			h.prune()
		}
		h.mu.Unlock()
		switch {
		case e.version == 0:
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		case e.version <= first && e.docking.State == handoff.StateGone: // it was gone before
		default:
			if err := emit(e.docking); err != nil {
				return err
			}
		}
	}
}
