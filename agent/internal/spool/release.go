package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// StoredReceipt is a stored receipt whose signature and inclusion were checked. Only VerifyStored makes one.
type StoredReceipt struct {
	receipt tlog.Receipt
	proof   tlog.Verified
	leaf    *evidence.Stored
}

// Leaf returns what the receipt says.
func (r StoredReceipt) Leaf() evidence.Stored { return *r.leaf }

// VerifyStored checks a receipt against the device's home log: form, signature, inclusion, and that its leaf is a stored leaf.
func VerifyStored(r tlog.Receipt, log note.Verifier) (StoredReceipt, error) {
	v, err := r.Verify(log)
	if err != nil {
		return StoredReceipt{}, err
	}
	leaf, err := evidence.ParseLeafUnverified(v.Leaf)
	if err != nil {
		return StoredReceipt{}, fmt.Errorf("stored receipt: %w", err)
	}
	stored, ok := leaf.(*evidence.Stored)
	if !ok {
		return StoredReceipt{}, errors.New("stored receipt: it is a receipt for something else")
	}
	return StoredReceipt{receipt: r, proof: v, leaf: stored}, nil
}

// ReceiptError says why a stored receipt, genuine as it is, frees nothing here.
type ReceiptError struct {
	Rec    evidence.RecordingID
	Reason string
}

func (e *ReceiptError) Error() string {
	return fmt.Sprintf("stored receipt for %s: %s; nothing was released", e.Rec, e.Reason)
}

// savedReceipt is how receipts lie in the index.
type savedReceipt struct {
	Leaf  []byte `json:"leaf"`
	Proof []byte `json:"proof"`
}

// Release keeps the receipt, durably, and then deletes the files of exactly the chunks that it covers; statements stay. It
// is idempotent. Errors: *ReceiptError when the receipt does not speak of this device's own statements, names a lock that is not
// allowed, or keeps the chunks for no time to come; then nothing is deleted.
func (s *Spool) Release(ctx context.Context, receipt StoredReceipt) error {
	if receipt.leaf == nil {
		return errors.New("release: no receipt")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	from, r, err := s.keepReceipt(receipt)
	if err != nil {
		return err
	}
	s.cfg.Step("receipt kept")
	var freed int64
	for i := from; i < r.Covered; i++ {
		c, err := s.Chunk(r.ID, i)
		if err != nil {
			return fmt.Errorf("release chunk %d of %s: %w", i, r.ID, err)
		}
		if slices.Contains(r.Absent, i) {
			continue
		}
		if err := os.Remove(s.chunkPath(chunkName(r.ID, i))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("release chunk %d of %s: %w", i, r.ID, err)
		}
		freed += int64(c.Size)
		s.cfg.Step("chunk released")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held -= freed
	s.wake()
	return nil
}

// keepReceipt checks the receipt and commits it. It returns the first chunk that was not released before.
func (s *Spool) keepReceipt(receipt StoredReceipt) (from uint64, r Recording, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	leaf := receipt.leaf
	next := s.meta
	err = s.commit(func(t txn) error {
		if err := t.json(keyRecording(leaf.Rec), &r); err != nil {
			return &ReceiptError{leaf.Rec, "this recording is not known here"}
		}
		if reason, err := s.doubt(t, leaf, r); err != nil {
			return err
		} else if reason != "" {
			return &ReceiptError{leaf.Rec, reason}
		}
		from = r.Covered
		var freed uint64
		if err := t.chunks(r.ID, from, func(c Chunk) bool {
			if c.Index < leaf.Chunks && !slices.Contains(r.Absent, c.Index) {
				freed += c.Size
			}
			return c.Index+1 < leaf.Chunks
		}); err != nil {
			return err
		}
		r.Covered = max(r.Covered, leaf.Chunks)
		r.HeldBytes -= freed
		r.ReceiptIdx = uint64(receipt.proof.Index)
		next.Released += freed
		if leaf.Close != nil && !r.Done {
			r.Done, r.StoredAt = true, s.now().UnixMilli()
			next.Stored++
			if err := t.Delete(keyPending(r.OpenSeq, r.ID)); err != nil {
				return err
			}
		}
		if err := t.putJSON(key('t', r.ID[:], be(r.ReceiptIdx)), savedReceipt{receipt.receipt.Leaf, receipt.receipt.Proof}); err != nil {
			return err
		}
		if err := t.putJSON(keyRecording(r.ID), r); err != nil {
			return err
		}
		return t.putJSON(keyMeta, next)
	})
	if err == nil {
		s.meta = next
		s.wake()
	}
	return from, r, err
}

// doubt compares the receipt with the own statements. It returns why it frees nothing, or "".
func (s *Spool) doubt(t txn, leaf *evidence.Stored, r Recording) (string, error) {
	switch {
	case leaf.Device != s.meta.Device:
		return "it speaks of another device", nil
	case leaf.Open != r.Open:
		return "its open statement is not ours", nil
	case leaf.Chunks > r.Next:
		return "it covers chunks that were never made", nil
	case leaf.Close != nil && (!r.Closed || *leaf.Close != r.Close):
		return "its close statement is not ours", nil
	case leaf.Close != nil && leaf.Chunks != r.Next:
		return "it names the close but not all chunks", nil
	case len(s.cfg.Locks) > 0 && !slices.Contains(s.cfg.Locks, leaf.Lock),
		leaf.Lock != evidence.LockCompliance && leaf.Lock != evidence.LockFolder:
		return fmt.Sprintf("its lock %q is not allowed by the configuration", leaf.Lock), nil
	case leaf.Until <= s.now().UnixMilli():
		return fmt.Sprintf("by this machine's clock (%s) the vault keeps the chunks no longer (until %s); is the clock right?",
			s.now().UTC().Format(time.RFC3339), time.UnixMilli(leaf.Until).UTC().Format(time.RFC3339)), nil
	}
	var digests []evidence.Digest
	err := t.chunks(r.ID, 0, func(c Chunk) bool {
		if c.Index < leaf.Chunks {
			digests = append(digests, c.Digest)
		}
		return c.Index+1 < leaf.Chunks
	})
	if err != nil {
		return "", err
	}
	if uint64(len(digests)) != leaf.Chunks || evidence.ListDigest(digests) != leaf.List {
		return "its list of chunks is not ours", nil
	}
	for _, i := range leaf.Absent {
		if !slices.Contains(r.Absent, i) {
			return fmt.Sprintf("it says that chunk %d is lost, and this agent did not say so", i), nil
		}
	}
	return "", nil
}

// StoredReceipts returns the receipts kept for a recording, oldest first by their place in the log.
func (s *Spool) StoredReceipts(id evidence.RecordingID) ([]tlog.Receipt, error) {
	prefix := key('t', id[:])
	var out []tlog.Receipt
	err := s.view(func(t txn) error {
		return t.walk(prefix, prefix, func(k, _ []byte) (bool, error) {
			var r savedReceipt
			if err := t.json(k, &r); err != nil {
				return false, err
			}
			out = append(out, tlog.Receipt{Leaf: r.Leaf, Proof: r.Proof})
			return true, nil
		})
	})
	return out, err
}

// KeepSeen keeps a checked seen receipt for the statements up to seq. Durable.
func (s *Spool) KeepSeen(seq uint64, r tlog.Receipt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.commit(func(t txn) error { return t.putJSON(key('n', be(seq)), savedReceipt{r.Leaf, r.Proof}) })
	if err == nil {
		s.wake()
	}
	return err
}

// SeenReceipt returns the newest seen receipt and the seq that it covers. Errors: ErrNotFound.
func (s *Spool) SeenReceipt() (seq uint64, r tlog.Receipt, err error) {
	err = ErrNotFound
	prefix := key('n')
	vErr := s.view(func(t txn) error {
		// Seen receipts are few for each seal; walk back from the end of the chain.
		k, raw, errLast := t.last(prefix)
		if errLast != nil {
			return errLast
		}
		var saved savedReceipt
		if errJSON := unmarshal(raw, &saved); errJSON != nil {
			return errJSON
		}
		seq, r, err = number(k[len(prefix):]), tlog.Receipt{Leaf: saved.Leaf, Proof: saved.Proof}, nil
		return nil
	})
	if vErr != nil {
		err = vErr
	}
	return seq, r, err
}
