package catalog

import (
	"container/list"
	"context"
	"fmt"
	"maps"
	"sync"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/ingest/batch"
)

// RecordingKey names one recording of one device.
type RecordingKey struct {
	Device evidence.DeviceID
	Rec    evidence.RecordingID
}

// Recordings keeps what the statements about recordings say, read from the vault when it is needed and forgotten when
// others were used more recently. It is safe for concurrent use.
type Recordings struct {
	cat   *Catalog
	vault archive.Vault
	max   int // chunks kept

	mu     sync.Mutex
	order  *list.List // of *kept, the most recently used first
	byKey  map[RecordingKey]*list.Element
	chunks int
}

type kept struct {
	key   RecordingKey
	rules *verify.Recording // nil while somebody has it
	view  verify.Recording  // as applied
}

// NewRecordings returns an empty cache that keeps about max chunks.
func NewRecordings(cat *Catalog, v archive.Vault, max int) *Recordings {
	return &Recordings{cat: cat, vault: v, max: max, order: list.New(), byKey: map[RecordingKey]*list.Element{}}
}

// View returns what the applied statements say about a recording: a snapshot that must not be changed and that later statements do not
// change. N is 0 if there are none.
func (c *Recordings) View(ctx context.Context, k RecordingKey) (verify.Recording, error) {
	if v, ok := c.look(k); ok {
		return v, nil
	}
	r, err := c.load(ctx, k)
	if err != nil {
		return verify.Recording{}, err
	}
	if r.N == 0 {
		return *r, nil
	}
	return c.put(r, false), nil
}

// take hands out the recording to add statements to. Whoever has it either gives it back after the statements were
// applied, or drops it.
func (c *Recordings) take(ctx context.Context, k RecordingKey) (*verify.Recording, error) {
	c.mu.Lock()
	if e, ok := c.byKey[k]; ok {
		if r := e.Value.(*kept).rules; r != nil {
			e.Value.(*kept).rules = nil
			c.mu.Unlock()
			return r, nil
		}
	}
	c.mu.Unlock()
	return c.load(ctx, k)
}

// give takes back a recording all of whose statements were applied.
func (c *Recordings) give(r *verify.Recording) { c.put(r, true) }

func (c *Recordings) look(k RecordingKey) (verify.Recording, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[k]
	if !ok {
		return verify.Recording{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*kept).view, true
}

// put keeps r; newer says that r replaces what is there.
func (c *Recordings) put(r *verify.Recording, newer bool) verify.Recording {
	k := RecordingKey{Device: r.Device, Rec: r.Rec}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[k]
	if ok && !newer && r.N <= e.Value.(*kept).view.N {
		return e.Value.(*kept).view
	}
	if !ok {
		e = c.order.PushFront(&kept{key: k})
		c.byKey[k] = e
	}
	x := e.Value.(*kept)
	c.chunks += len(r.Chunks) - len(x.view.Chunks)
	x.rules, x.view = r, *r
	x.view.Lost = maps.Clone(r.Lost)
	c.order.MoveToFront(e)
	for c.chunks > c.max && c.order.Len() > 1 {
		last := c.order.Back().Value.(*kept)
		c.chunks -= len(last.view.Chunks)
		c.order.Remove(c.order.Back())
		delete(c.byKey, last.key)
	}
	return x.view
}

// forget drops a recording.
func (c *Recordings) forget(k RecordingKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[k]; ok {
		c.chunks -= len(e.Value.(*kept).view.Chunks)
		c.order.Remove(e)
		delete(c.byKey, k)
	}
}

// load replays a recording's statements from the vault, as far as the catalog knows them.
func (c *Recordings) load(ctx context.Context, k RecordingKey) (*verify.Recording, error) {
	r := verify.NewRecording(k.Device, k.Rec)
	if gone, err := isGone(ctx, c.cat.q, k); err != nil || gone {
		return r, err
	}
	err := c.cat.EachStatement(ctx, c.vault, k, 0, evidence.MaxInt, func(line []byte, s *evidence.Statement, d evidence.Digest) error {
		return r.Add(s, d)
	})
	if err != nil {
		return nil, fmt.Errorf("load recording %s: %w", k.Rec, err)
	}
	return r, nil
}

// EachStatement calls f with the applied statements first to last of one recording, or of the device itself with a zero id, in order.
func (c *Catalog) EachStatement(ctx context.Context, v archive.Vault, k RecordingKey, first, last uint64,
	f func(line []byte, s *evidence.Statement, d evidence.Digest) error) error {
	parts, err := c.Parts(ctx, k.Device, k.Rec, first, last)
	if err != nil {
		return err
	}
	for _, p := range parts {
		ref, err := Ref(p.Key, p.Version, p.Hash, p.Size)
		if err != nil {
			return err
		}
		err = batch.EachLine(ctx, v, ref, func(line []byte) error {
			s, d, err := evidence.ParseUnverified(line)
			if err != nil {
				return fmt.Errorf("%s: %w", p.Key, err)
			}
			if s.Seq < first || s.Seq > last {
				return nil
			}
			first = s.Seq + 1
			return f(line, &s, d)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Ref makes a vault reference from what a row holds.
func Ref(key, version, hash string, size int64) (archive.Ref, error) {
	h, err := evidence.ParseDigest(hash)
	if err != nil {
		return archive.Ref{}, fmt.Errorf("catalog: hash of %s: %w", key, err)
	}
	return archive.Ref{Key: key, Version: version, Hash: h, Size: size}, nil
}
