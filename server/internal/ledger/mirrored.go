package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
)

// BrokenMirror says that the vault does not hold the log that its newest checkpoint signs.
type BrokenMirror struct {
	Index  uint64 // the first leaf that is missing or in doubt
	Reason string
	Err    error // what was found, or nil
}

func (e *BrokenMirror) Error() string {
	s := fmt.Sprintf("the log's mirror in the vault is broken at leaf %d: %s", e.Index, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *BrokenMirror) Unwrap() error { return e.Err }

// Mirrored yields the log's entries from the vault alone, in order, up to the newest mirrored checkpoint. Before the
// first is yielded, all leaves were read once and their root compared with that checkpoint's, so the leaves are read
// twice; memory stays flat. Receipts come from the vault too and are checked; Proof is empty where there is none, as
// after a crash: Follow or Receipt make it. A log that nothing is known of yields nothing. Errors are *BrokenMirror or
// of the vault.
func Mirrored(ctx context.Context, v archive.Vault, vkey string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		verifier, err := tlog.NewVerifier(vkey)
		if err != nil {
			yield(Entry{}, fmt.Errorf("mirror: %w", err))
			return
		}
		m := &mirrorReader{v: v, logID: archive.LogID(vkey), verifier: verifier}
		m.newest, err = newestMirrored(ctx, v, m.logID, verifier)
		if errors.Is(err, archive.ErrNotFound) {
			return
		}
		if err == nil {
			err = m.check(ctx)
		}
		if err == nil {
			err = m.yield(ctx, yield)
		}
		if err != nil && !errors.Is(err, errLeft) {
			yield(Entry{}, fmt.Errorf("mirror: %w", err))
		}
	}
}

var errLeft = errors.New("the caller left the loop")

type mirrorReader struct {
	v        archive.Vault
	logID    string
	verifier note.Verifier
	newest   checkpoint
}

func newestMirrored(ctx context.Context, v archive.Vault, logID string, verifier note.Verifier) (checkpoint, error) {
	h, err := archive.Last(ctx, v, archive.CheckpointsPrefix(logID), 12)
	if err != nil {
		return checkpoint{}, err
	}
	raw, err := archive.Read(ctx, v, h.Ref(), tlog.MaxCheckpoint)
	if err != nil {
		return checkpoint{}, err
	}
	return openHeld(h, raw, verifier)
}

func openHeld(h archive.Held, raw []byte, verifier note.Verifier) (checkpoint, error) {
	c, err := tlog.OpenCosigned(raw, verifier)
	if err != nil {
		return checkpoint{}, fmt.Errorf("%s: %w", h.Key, err)
	}
	return checkpoint{c, raw}, nil
}

// check reads all leaves and compares their root with the newest checkpoint's.
func (m *mirrorReader) check(ctx context.Context) error {
	r := ranges.NewEmptyRange(0)
	if err := m.walk(ctx, func(_ uint64, leaf []byte) error { return r.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil) }); err != nil {
		return err
	}
	return m.compare(r)
}

func (m *mirrorReader) compare(r *compact.Range) error {
	root, err := rootOf(r)
	if err != nil {
		return err
	}
	if root != m.newest.Root {
		return &BrokenMirror{Reason: fmt.Sprintf("the root over all %d leaves is %s, the checkpoint signs %s", m.newest.Size, root, m.newest.Root)}
	}
	return nil
}

func (m *mirrorReader) yield(ctx context.Context, yield func(Entry, error) bool) error {
	next, stop := iter.Pull2(m.v.List(ctx, archive.ReceiptsPrefix(m.logID)))
	defer stop()
	receipts := &receiptReader{m: m, next: next}
	return m.walk(ctx, func(index uint64, leaf []byte) error {
		r, err := receipts.at(ctx, index, leaf)
		if err != nil {
			return err
		}
		if !yield(Entry{Index: index, Leaf: leaf, Receipt: r}, nil) {
			return errLeft
		}
		return nil
	})
}

// walk calls do for leaves 0 to the newest checkpoint's size. Objects may overlap, after a crash.
func (m *mirrorReader) walk(ctx context.Context, do func(index uint64, leaf []byte) error) error {
	size, next := m.newest.size(), uint64(0)
	for h, err := range m.v.List(ctx, archive.LeavesPrefix(m.logID)) {
		if next == size {
			break
		}
		if err != nil {
			return err
		}
		first, err := archive.NumberOf(h.Key)
		if err != nil || first > next {
			return &BrokenMirror{Index: next, Reason: "leaves are missing, what follows is " + h.Key, Err: err}
		}
		raw, err := archive.Read(ctx, m.v, h.Ref(), maxPieceRead)
		if err != nil {
			if archive.Retryable(err) || ctx.Err() != nil {
				return err
			}
			return &BrokenMirror{Index: next, Reason: h.Key + " can't be read", Err: err}
		}
		for index := first; len(raw) > 0; index++ {
			var leaf []byte
			if leaf, raw, err = parseLine(index, raw); err != nil {
				return &BrokenMirror{Index: index, Reason: h.Key, Err: err}
			}
			if index != next || next == size {
				continue
			}
			if err := do(index, leaf); err != nil {
				return err
			}
			next++
		}
	}
	if next < size {
		return &BrokenMirror{Index: next, Reason: fmt.Sprintf("leaves are missing up to %d", size-1)}
	}
	return nil
}

func parseLine(index uint64, raw []byte) (leaf, rest []byte, err error) {
	text, rest, ok := bytes.Cut(raw, []byte("\n"))
	var l line
	if err := json.Unmarshal(text, &l); err != nil || !ok {
		return nil, nil, fmt.Errorf("line of leaf %d can't be read", index)
	}
	if again, err := json.Marshal(l); err != nil || !bytes.Equal(again, text) || l.Index != index {
		return nil, nil, fmt.Errorf("line of leaf %d is not as it is written", index)
	}
	return l.Leaf, rest, nil
}

// receiptReader walks the listing of receipts beside that of the leaves.
type receiptReader struct {
	m    *mirrorReader
	next func() (archive.Held, error, bool)
	held archive.Held // read ahead
	have bool
	end  bool
}

// at returns the receipt of the leaf with that index, if there is one that verifies.
func (r *receiptReader) at(ctx context.Context, index uint64, leaf []byte) (tlog.Receipt, error) {
	found := tlog.Receipt{Leaf: leaf}
	for !r.end {
		if !r.have {
			h, err, ok := r.next()
			if err != nil {
				return found, err
			}
			r.held, r.have, r.end = h, ok, !ok
			continue
		}
		n, err := archive.NumberOf(r.held.Key)
		if err == nil && n > index {
			break
		}
		r.have = false
		if err != nil || n < index || found.Proof != nil {
			continue
		}
		c, err := readReceipt(ctx, r.m.v, r.held, leaf)
		if err != nil && (archive.Retryable(err) || ctx.Err() != nil) {
			return found, err
		}
		if v, errVerify := c.Verify(r.m.verifier); err == nil && errVerify == nil && v.Index == int64(index) {
			found = c
		}
	}
	return found, nil
}
