package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
	merkle "golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
)

// How much one object of mirrored leaves holds at most.
const (
	maxPieceLeaves = 1024
	maxPiece       = 4 << 20
	maxPieceRead   = maxPiece + 2*tlog.MaxLeaf
)

var ranges = &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// mirror is the log's signer: before it signs a checkpoint, every leaf that the checkpoint covers is in the vault.
type mirror struct {
	l      *Ledger
	signer note.Signer
	signed chan struct{} // told after a signature

	mu       sync.Mutex
	ready    bool
	mirrored *compact.Range // over the leaves that are in the vault
}

var _ note.Signer = (*mirror)(nil)

// begin starts from a signed size: a signature says that all leaves below are mirrored.
func (m *mirror) begin(ctx context.Context, size uint64) (err error) {
	m.mirrored, err = m.l.rangeAt(ctx, size)
	return err
}

// release lets it sign, after the folder was found to fit the vault.
func (m *mirror) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready = true
}

// close lets it sign no more, and waits for a signature that is under way.
func (m *mirror) close() {
	m.l.cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready = false
}

// Name implements note.Signer.
func (m *mirror) Name() string { return m.signer.Name() }

// KeyHash implements note.Signer.
func (m *mirror) KeyHash() uint32 { return m.signer.KeyHash() }

// Sign implements note.Signer for checkpoints: it computes the root again from the leaves on disk, mirrors those that
// are not mirrored yet, and only then signs. On any error nothing is signed, and Tessera tries again soon.
func (m *mirror) Sign(text []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := tlog.ParseCheckpointTextUnverified(string(text))
	if err != nil {
		return nil, err
	}
	if c.Origin != m.Name() {
		return nil, fmt.Errorf("%w: asked to sign for %q", ErrFork, c.Origin)
	}
	if c.Size == 0 {
		return m.signer.Sign(text) // a new log; nothing to mirror
	}
	if !m.ready {
		return nil, errors.New("not ready to sign yet")
	}
	if err := m.mirrorTo(m.l.ctx, c); err != nil {
		m.l.log.WarnContext(m.l.ctx, "no checkpoint signed; leaves are durable and wait", slog.Int64("size", c.Size), slog.Any("error", err))
		return nil, fmt.Errorf("mirror up to %d: %w", c.Size, err)
	}
	m.l.cfg.Step("leaves-mirrored")
	sig, err := m.signer.Sign(text)
	if err != nil {
		return nil, err
	}
	m.l.cfg.Step("signed")
	select {
	case m.signed <- struct{}{}:
	default:
	}
	return sig, nil
}

// mirrorTo puts the leaves from the mirrored size to c's size into the vault. Their hashes must give c's root.
func (m *mirror) mirrorTo(ctx context.Context, c tlog.Checkpoint) error {
	from, to := m.mirrored.End(), uint64(c.Size)
	if from > to {
		return fmt.Errorf("%w: checkpoint over %d leaves, %d are mirrored", ErrFork, to, from)
	}
	next, err := ranges.NewRange(0, from, append([][]byte(nil), m.mirrored.Hashes()...))
	if err != nil {
		return err
	}
	err = m.l.eachLeaf(ctx, from, to, to, func(_ uint64, leaf []byte) error {
		return next.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil)
	})
	if err != nil {
		return err
	}
	if root, err := rootOf(next); err != nil || root != c.Root {
		return errors.Join(fmt.Errorf("%w: the leaves on disk give the root %s over %d leaves, the tree says %s", ErrFork, root, to, c.Root), err)
	}
	p := piece{l: m.l, first: from}
	if err := m.l.eachLeaf(ctx, from, to, to, func(index uint64, leaf []byte) error { return p.add(ctx, index, leaf) }); err != nil {
		return err
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	m.mirrored = next
	return nil
}

// line is one mirrored leaf: canonical JSON (RFC 8785), a line each.
type line struct {
	Index uint64         `json:"index"`
	Leaf  evidence.Bytes `json:"leaf"`
}

// piece gathers leaves for one object.
type piece struct {
	l     *Ledger
	first uint64
	n     uint64
	b     bytes.Buffer
}

func (p *piece) add(ctx context.Context, index uint64, leaf []byte) error {
	raw, err := json.Marshal(line{index, leaf})
	if err != nil {
		return err
	}
	p.b.Write(raw)
	p.b.WriteByte('\n')
	if p.n++; p.n == maxPieceLeaves || p.b.Len() >= maxPiece {
		return p.flush(ctx)
	}
	return nil
}

func (p *piece) flush(ctx context.Context) error {
	if p.n == 0 {
		return nil
	}
	key := func(h evidence.Digest) string { return archive.LeavesKey(p.l.logID, p.first, h) }
	if _, err := archive.PutBytes(ctx, p.l.cfg.Vault, key, p.b.Bytes(), p.l.cfg.Until()); err != nil {
		return err
	}
	p.first, p.n = p.first+p.n, 0
	p.b.Reset()
	return nil
}

// eachLeaf calls do for the leaves from (inclusive) to (exclusive), read from the folder of a log of the given size.
func (l *Ledger) eachLeaf(ctx context.Context, from, to, size uint64, do func(index uint64, leaf []byte) error) error {
	for from < to {
		bundle, first := from/layout.EntryBundleWidth, from/layout.EntryBundleWidth*layout.EntryBundleWidth
		b, err := client.GetEntryBundle(ctx, l.files.ReadEntryBundle, bundle, size)
		if err != nil {
			return err
		}
		for ; from < min(to, first+layout.EntryBundleWidth); from++ {
			if from-first >= uint64(len(b.Entries)) {
				return fmt.Errorf("leaf %d is not in its bundle", from)
			}
			if err := do(from, b.Entries[from-first]); err != nil {
				return err
			}
		}
	}
	return nil
}

// rangeAt reads the compact range (the roots of the perfect subtrees) of the first size leaves from the folder's tiles.
func (l *Ledger) rangeAt(ctx context.Context, size uint64) (*compact.Range, error) {
	if size == 0 {
		return ranges.NewEmptyRange(0), nil
	}
	hashes, err := client.FetchRangeNodes(ctx, size, l.files.ReadTile)
	if err != nil {
		return nil, fmt.Errorf("tiles over %d leaves: %w", size, err)
	}
	return ranges.NewRange(0, size, hashes)
}

func rootOf(r *compact.Range) (merkle.Hash, error) {
	raw, err := r.GetRootHash(nil)
	if err != nil {
		return merkle.Hash{}, err
	}
	if r.End() == 0 {
		raw = rfc6962.DefaultHasher.EmptyRoot()
	}
	var h merkle.Hash
	copy(h[:], raw)
	return h, nil
}

// publish waits for published checkpoints, mirrors each that it sees and makes it the latest.
func (l *Ledger) publish() {
	idle := time.NewTicker(l.cfg.CheckpointInterval)
	defer idle.Stop()
	for {
		c, err := l.readLocal()
		if err == nil && c.size() > l.latestSize() {
			l.cfg.Step("published")
			if c, err = l.stamped(c); err == nil {
				err = l.mirrorCheckpoint(c)
			}
		}
		if err != nil && l.ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
			l.log.WarnContext(l.ctx, "checkpoint not mirrored yet; receipts wait", slog.Any("error", err))
			if !pause(l.ctx, retryAfter) {
				return
			}
			continue
		}
		select {
		case <-l.ctx.Done():
			return
		case <-idle.C:
		case <-l.mirror.signed:
			// Tessera writes the file right after the signature.
			if !l.awaitFile(c.size()) {
				return
			}
		}
	}
}

// awaitFile waits shortly until the folder's checkpoint is another than that of the given size.
func (l *Ledger) awaitFile(size uint64) bool {
	for range 50 {
		if c, err := l.readLocal(); err == nil && c.size() > size {
			return true
		}
		if !pause(l.ctx, 2*time.Millisecond) {
			return false
		}
	}
	return true
}

func (l *Ledger) latestSize() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest.size()
}

func (l *Ledger) mirrorCheckpoint(c checkpoint) error {
	key := func(h evidence.Digest) string { return archive.CheckpointKey(l.logID, c.size(), h) }
	if _, err := archive.PutBytes(l.ctx, l.cfg.Vault, key, c.raw, l.cfg.Until()); err != nil {
		return err
	}
	l.cfg.Step("checkpoint-mirrored")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = c
	l.tell()
	return nil
}

// tell wakes everybody who waits for a checkpoint. The caller holds mu.
func (l *Ledger) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}
