package ingest

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
)

// holding is what the vault holds of one recording's chunks, as far as this process knows.
type holding struct {
	storing sync.Mutex // held while a stored receipt is made

	mu     sync.Mutex
	loaded bool
	chunks []place
}

// place is where a chunk is in the vault.
type place struct {
	there    bool
	readBack bool // by this process, since the bytes were written
	version  string
	until    time.Time
}

// holdings keeps what was found out, and forgets what was not used for longest.
type holdings struct {
	vault archive.Vault
	max   int // chunks kept

	mu     sync.Mutex
	order  *list.List // of *heldEntry
	byKey  map[catalog.RecordingKey]*list.Element
	chunks int
}

type heldEntry struct {
	key  catalog.RecordingKey
	h    *holding
	size int
}

func newHoldings(v archive.Vault, max int) *holdings {
	return &holdings{vault: v, max: max, order: list.New(), byKey: map[catalog.RecordingKey]*list.Element{}}
}

// of returns what is known about a recording, after a listing of the vault when it is asked for the first time.
func (hs *holdings) of(ctx context.Context, k catalog.RecordingKey, view *verify.Recording) (*holding, error) {
	h := hs.entry(k, len(view.Chunks))
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(view.Chunks); n > len(h.chunks) {
		h.chunks = append(h.chunks, make([]place, n-len(h.chunks))...)
	}
	if h.loaded {
		return h, nil
	}
	prefix := archive.RecordingPrefix(k.Device, k.Rec) + "chunks/"
	for held, err := range hs.vault.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list chunks of %s: %w", k.Rec, err)
		}
		i, err := archive.NumberOf(held.Key)
		if err != nil || i >= uint64(len(view.Chunks)) || held.Hash != view.Chunks[i].Hash || held.Size != int64(view.Chunks[i].Size) {
			continue
		}
		if !h.chunks[i].there {
			h.chunks[i] = place{there: true, version: held.Version}
		}
	}
	h.loaded = true
	return h, nil
}

func (hs *holdings) entry(k catalog.RecordingKey, size int) *holding {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	e, ok := hs.byKey[k]
	if !ok {
		e = hs.order.PushFront(&heldEntry{key: k, h: &holding{}})
		hs.byKey[k] = e
	}
	x := e.Value.(*heldEntry)
	if size > x.size {
		hs.chunks += size - x.size
		x.size = size
	}
	hs.order.MoveToFront(e)
	for hs.chunks > hs.max && hs.order.Len() > 1 {
		last := hs.order.Back().Value.(*heldEntry)
		hs.chunks -= last.size
		hs.order.Remove(hs.order.Back())
		delete(hs.byKey, last.key)
	}
	return x.h
}

func (h *holding) has(i int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.chunks[i].there
}

func (h *holding) place(i int) place {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.chunks[i]
}

func (h *holding) set(i int, held archive.Held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.chunks[i] = place{there: true, readBack: true, version: held.Version, until: held.Until}
}

func (h *holding) gone(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.chunks[i] = place{}
}
