package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/transparency-dev/tessera/client"

	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
)

const (
	digits    = 12   // of a number in a key
	maxPassed = 1024 // witnessed checkpoints that are passed over because they lack the quorum of today
)

// findWitnessed finds the newest witnessed checkpoint in the vault.
func (l *Ledger) findWitnessed() error {
	if l.rounds == nil {
		return nil
	}
	h, err := archive.Last(l.ctx, l.cfg.Vault, archive.WitnessedPrefix(l.logID), digits)
	if errors.Is(err, archive.ErrNotFound) {
		return nil
	}
	size, errNumber := archive.NumberOf(h.Key)
	if err = errors.Join(err, errNumber); err == nil {
		l.witnessed, err = l.witnessedAt(l.ctx, size)
	}
	if err != nil {
		return fmt.Errorf("newest witnessed checkpoint in the vault: %w", err)
	}
	return nil
}

// witnessedAt reads the checkpoints of a size in the vault and returns the one with the most cosignatures; none if all lack the
// quorum.
func (l *Ledger) witnessedAt(ctx context.Context, size uint64) (best checkpoint, err error) {
	most := l.rounds.quorum - 1
	for h, err := range l.cfg.Vault.List(ctx, fmt.Sprintf("%s%0*d-", archive.WitnessedPrefix(l.logID), digits, size)) {
		if err != nil {
			return best, err
		}
		raw, err := archive.Read(ctx, l.cfg.Vault, h.Ref(), tlog.MaxCheckpoint)
		if err != nil {
			return best, err
		}
		c, err := openHeld(h, raw, l.verifier)
		if err != nil {
			return best, err
		}
		if n := l.cosigners(c); n > most {
			most, best = n, c
		}
	}
	return best, nil
}

// cosigners counts the configured witnesses that cosigned c.
func (l *Ledger) cosigners(c checkpoint) (n int) {
	for _, w := range l.rounds.all {
		if _, ok, err := w.cosigner.Verify(c.raw); ok && err == nil {
			n++
		}
	}
	return n
}

// earliest returns the earliest witnessed checkpoint that covers a leaf; ok is false if there is none yet.
func (l *Ledger) earliest(ctx context.Context, index uint64) (c checkpoint, ok bool, err error) {
	l.mu.Lock()
	newest := l.witnessed
	l.mu.Unlock()
	if index >= newest.size() {
		return checkpoint{}, false, nil
	}
	from := index + 1
	for range maxPassed {
		h, err := archive.First(ctx, l.cfg.Vault, archive.WitnessedPrefix(l.logID), digits, from)
		if err != nil {
			return checkpoint{}, false, err
		}
		size, err := archive.NumberOf(h.Key)
		if err != nil {
			return checkpoint{}, false, err
		}
		if c, err = l.witnessedAt(ctx, size); err != nil || c.raw != nil {
			return c, err == nil, err
		}
		from = size + 1
	}
	return newest, true, nil
}

// BestReceipt returns a leaf with its proof at the earliest checkpoint that covers it and has the quorum of witnesses; while there
// is none, the receipt that Receipt gives. Nothing is written for the former: it can be made again at any time. The error wraps
// archive.ErrNotFound while no mirrored checkpoint covers the index.
func (l *Ledger) BestReceipt(ctx context.Context, index uint64) (Entry, error) {
	c, ok, err := l.earliest(ctx, index)
	if err != nil {
		return Entry{}, fmt.Errorf("receipt %d: %w", index, err)
	}
	if !ok {
		return l.Receipt(ctx, index)
	}
	return l.receiptAt(ctx, index, c)
}

// ReceiptAt returns a leaf with its proof at a given checkpoint of this log.
func (l *Ledger) ReceiptAt(ctx context.Context, index uint64, signed []byte) (Entry, error) {
	c, err := tlog.OpenCosigned(signed, l.verifier)
	if err == nil && int64(index) >= c.Size {
		err = fmt.Errorf("%w: the checkpoint covers %d leaves", archive.ErrNotFound, c.Size)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("receipt %d: %w", index, err)
	}
	return l.receiptAt(ctx, index, checkpoint{c, signed})
}

func (l *Ledger) receiptAt(ctx context.Context, index uint64, c checkpoint) (Entry, error) {
	proofs, err := client.NewProofBuilder(ctx, c.size(), l.files.ReadTile)
	if err != nil {
		return Entry{}, fmt.Errorf("receipt %d: %w", index, err)
	}
	entries, err := l.entries(ctx, c, proofs, index, index+1)
	if err != nil {
		return Entry{}, fmt.Errorf("receipt %d: %w", index, err)
	}
	return entries[0], nil
}

// AwaitWitnesses waits until a checkpoint with the quorum covers a leaf, as long as ctx lasts and a quorum of witnesses answered
// when they were last asked. It returns whether one does.
func (l *Ledger) AwaitWitnesses(ctx context.Context, index uint64) bool {
	for {
		l.mu.Lock()
		covered, changed, well := index < l.witnessed.size(), l.changed, 0
		for _, w := range l.status.Witnesses {
			if w.Failures == 0 {
				well++
			}
		}
		hope := l.rounds != nil && well >= l.rounds.quorum
		l.mu.Unlock()
		if covered || !hope {
			return covered
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		case <-l.ctx.Done():
			return false
		}
	}
}
