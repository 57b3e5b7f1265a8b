package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// Log is what the projection needs of the ledger.
type Log interface {
	VKey() string
	Append(ctx context.Context, leaf []byte) (uint64, error)
	Follow(ctx context.Context, from uint64, f func(ctx context.Context, entries []ledger.Entry) error) error
	Receipt(ctx context.Context, index uint64) (ledger.Entry, error)
}

// ErrNotApplied says that a leaf is in the log, or will be, and that the catalog has not caught up in time. Try again.
var ErrNotApplied = errors.New("the catalog has not caught up with the log")

const (
	keptReceipts = 4096
	rebuildBatch = 256
	retryAfter   = time.Second
	maxEvent     = 128 << 10
)

// Projector applies log leaves to the catalog, in the order of the log, each once. It is safe for concurrent use.
type Projector struct {
	Recordings *Recordings

	cat   *Catalog
	vault archive.Vault
	log   Log
	vkey  string
	slog  *slog.Logger
	cases folded

	mu      sync.Mutex
	size    uint64 // leaves applied
	waiters map[uint64][]chan struct{}
	recent  map[uint64]ledger.Entry
	offered map[offer]*Walked
}

// offer is what a seen leaf says about its batch.
type offer struct {
	device evidence.DeviceID
	seq    uint64
	head   evidence.Digest
}

// NewProjector ties the catalog to the vault and to the log with this verifier key. log may be nil for Rebuild.
func NewProjector(ctx context.Context, cat *Catalog, v archive.Vault, log Log, vkey string, maxChunks int, logger *slog.Logger) (*Projector, error) {
	if err := cat.Bind(ctx, vkey, v.ID()); err != nil {
		return nil, err
	}
	size, err := cat.Size(ctx)
	if err != nil {
		return nil, err
	}
	return &Projector{Recordings: NewRecordings(cat, v, maxChunks), cat: cat, vault: v, log: log, vkey: vkey, slog: logger, size: size,
		waiters: map[uint64][]chan struct{}{}, recent: map[uint64]ledger.Entry{}, offered: map[offer]*Walked{}}, nil
}

// Run follows the log until ctx ends. What can't be applied is tried again every second, and said in the log: the server goes on answering
// questions, and takes nothing in meanwhile.
func (p *Projector) Run(ctx context.Context) error {
	for {
		err := p.log.Follow(ctx, p.Size(), p.apply)
		if ctx.Err() != nil {
			return nil
		}
		p.slog.ErrorContext(ctx, "the catalog does not keep up with the log", slog.Uint64("size", p.Size()), slog.Any("error", err))
		t := time.NewTimer(retryAfter)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// Rebuild applies all leaves that the vault holds of the log.
func (p *Projector) Rebuild(ctx context.Context) error {
	var entries []ledger.Entry
	for e, err := range ledger.Mirrored(ctx, p.vault, p.vkey) {
		if err != nil {
			return fmt.Errorf("read the log from the vault: %w", err)
		}
		if e.Index < p.Size() {
			continue
		}
		if entries = append(entries, e); len(entries) == rebuildBatch {
			if err := p.apply(ctx, entries); err != nil {
				return err
			}
			entries = nil
		}
	}
	return p.apply(ctx, entries)
}

// Size returns how many leaves were applied.
func (p *Projector) Size() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// Append puts a leaf in the log and waits until it is applied. The leaf stays in the log whatever becomes of ctx.
// Errors: ErrNotApplied; index is then where the leaf is, if it is in the log.
func (p *Projector) Append(ctx context.Context, leaf evidence.Leaf) (index uint64, r tlog.Receipt, err error) {
	raw, err := evidence.EncodeLeaf(leaf)
	if err != nil {
		return 0, r, err
	}
	index, err = p.log.Append(ctx, raw)
	if err != nil {
		return 0, r, fmt.Errorf("append to the log: %w", err)
	}
	if err := p.Wait(ctx, index); err != nil {
		return index, r, err
	}
	r, err = p.Receipt(ctx, index, raw)
	return index, r, err
}

// Wait waits until the leaf at index is applied. Errors: ErrNotApplied.
func (p *Projector) Wait(ctx context.Context, index uint64) error {
	p.mu.Lock()
	if index < p.size {
		p.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	p.waiters[index] = append(p.waiters[index], done)
	p.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("leaf %d: %w: %w", index, ErrNotApplied, ctx.Err())
	}
}

// Receipt returns the receipt of an applied leaf.
func (p *Projector) Receipt(ctx context.Context, index uint64, leaf []byte) (tlog.Receipt, error) {
	p.mu.Lock()
	e, ok := p.recent[index]
	p.mu.Unlock()
	if ok && string(e.Leaf) == string(leaf) && len(e.Receipt.Proof) > 0 {
		return e.Receipt, nil
	}
	e, err := p.log.Receipt(ctx, index)
	if err != nil {
		return tlog.Receipt{}, err
	}
	if string(e.Leaf) != string(leaf) {
		return tlog.Receipt{}, fmt.Errorf("receipt %d: the log holds another leaf there than the catalog; run `camseal-server reindex`", index)
	}
	return e.Receipt, nil
}

// ReceiptAt returns the receipt of an applied leaf, whatever the leaf says.
func (p *Projector) ReceiptAt(ctx context.Context, index uint64) (tlog.Receipt, error) {
	e, err := p.log.Receipt(ctx, index)
	return e.Receipt, err
}

// Offer hands over a batch that was just checked and archived, so that applying its seen leaf need not read it again.
// The caller sends nothing more of this device before the leaf is applied.
func (p *Projector) Offer(w *Walked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offered[offer{w.Batch.Device, w.Batch.Upto, w.Batch.Head}] = w
}

// Withdraw takes an offer back.
func (p *Projector) Withdraw(w *Walked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.offered, offer{w.Batch.Device, w.Batch.Upto, w.Batch.Head})
}

func (p *Projector) takeOffer(s *evidence.Seen) *Walked {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := offer{s.Device, s.Seq, s.Head}
	w := p.offered[k]
	delete(p.offered, k)
	return w
}

// apply is the one way into the catalog. Entries go in together, and the new size with them, as far as no device has two
// batches among them: the second one is checked against what the first one left in the catalog.
func (p *Projector) apply(ctx context.Context, entries []ledger.Entry) error {
	from, seen := 0, map[evidence.DeviceID]bool{}
	for i, e := range entries {
		leaf, err := evidence.ParseLeafUnverified(e.Leaf)
		if err != nil {
			continue // applyLeaf says so
		}
		s, ok := leaf.(*evidence.Seen)
		if ok && seen[s.Device] {
			if err := p.applyTogether(ctx, entries[from:i]); err != nil {
				return err
			}
			from, seen = i, map[evidence.DeviceID]bool{}
		}
		if ok {
			seen[s.Device] = true
		}
	}
	return p.applyTogether(ctx, entries[from:])
}

func (p *Projector) applyTogether(ctx context.Context, entries []ledger.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var walked []*Walked
	next := entries[len(entries)-1].Index + 1
	err := p.cat.tx(ctx, func(q *db.Queries) error {
		for _, e := range entries {
			w, err := p.applyLeaf(ctx, q, e)
			if err != nil {
				return fmt.Errorf("apply leaf %d: %w", e.Index, err)
			}
			if w != nil {
				walked = append(walked, w)
			}
		}
		return advance(ctx, q, p.Size(), next)
	})
	if err != nil {
		p.cases = folded{}
		return err
	}
	for _, w := range walked {
		for _, r := range w.recs {
			p.Recordings.give(r)
		}
	}
	p.applied(entries, next)
	return nil
}

// advance writes how much of the log is applied, unless somebody else applied leaves meanwhile.
func advance(ctx context.Context, q *db.Queries, size, next uint64) error {
	n, err := q.AdvanceMeta(ctx, db.AdvanceMetaParams{Name: metaSize, Value: strconv.FormatUint(next, 10), Was: strconv.FormatUint(size, 10)})
	if err == nil && n != 1 {
		return fmt.Errorf("the catalog is no longer at leaf %d: another server works on it; nothing was changed; stop one of the two", size)
	}
	return err
}

func (p *Projector) applied(entries []ledger.Entry, next uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = next
	for _, e := range entries {
		p.recent[e.Index] = e
		if e.Index >= keptReceipts {
			delete(p.recent, e.Index-keptReceipts)
		}
		for _, done := range p.waiters[e.Index] {
			close(done)
		}
		delete(p.waiters, e.Index)
	}
}
