package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/transparency-dev/tessera/client"
	merkle "golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
)

const (
	followBatch = 256
	atOnce      = 8 // receipts written to the vault side by side
)

// Entry is a leaf with its receipt.
type Entry struct {
	Index   uint64
	Leaf    []byte
	Receipt tlog.Receipt // from Mirrored, Proof is empty where the vault has none yet
}

// Follow calls f in the order of indexes, from the given one on, with entries that a signed and mirrored checkpoint
// covers; their receipts were checked and are in the vault. It waits for more until ctx ends (then it returns ctx's
// error), the ledger is closed (ErrClosed), or f returns an error, which it returns. While the vault is down it waits
// and tries again. f may see entries again after a restart: it must be safe to repeat.
func (l *Ledger) Follow(ctx context.Context, from uint64, f func(context.Context, []Entry) error) error {
	for {
		if err := l.waitFor(ctx, func(c checkpoint) bool { return c.size() > from }); err != nil {
			return fmt.Errorf("follow from %d: %w", from, err)
		}
		l.mu.Lock()
		c := l.latest
		l.mu.Unlock()
		proofs, err := client.NewProofBuilder(ctx, c.size(), l.files.ReadTile)
		if err != nil {
			return fmt.Errorf("follow from %d: %w", from, err)
		}
		for from < c.size() {
			entries, err := l.entries(ctx, c, proofs, from, min(from+followBatch, c.size()))
			if err != nil {
				return fmt.Errorf("follow from %d: %w", from, err)
			}
			if err := l.writeReceipts(ctx, entries); err != nil {
				return fmt.Errorf("follow from %d: receipts: %w", from, err)
			}
			l.cfg.Step("receipts-written")
			if err := f(ctx, entries); err != nil {
				return err
			}
			from += uint64(len(entries))
		}
	}
}

// Receipt returns the receipt of one leaf: the one in the vault, or a new one, which is written there first. The error
// wraps archive.ErrNotFound while no mirrored checkpoint covers the index.
func (l *Ledger) Receipt(ctx context.Context, index uint64) (Entry, error) {
	l.mu.Lock()
	c := l.latest
	l.mu.Unlock()
	if index >= c.size() {
		return Entry{}, fmt.Errorf("receipt %d: %w: the log's checkpoint covers %d leaves", index, archive.ErrNotFound, c.Size)
	}
	proofs, err := client.NewProofBuilder(ctx, c.size(), l.files.ReadTile)
	if err != nil {
		return Entry{}, fmt.Errorf("receipt %d: %w", index, err)
	}
	entries, err := l.entries(ctx, c, proofs, index, index+1)
	if err != nil {
		return Entry{}, fmt.Errorf("receipt %d: %w", index, err)
	}
	if err := l.putReceipt(ctx, &entries[0], true); err != nil {
		return Entry{}, fmt.Errorf("receipt %d: %w", index, err)
	}
	return entries[0], nil
}

// entries reads leaves from the folder and makes their receipts under c. Each is checked as a client would.
func (l *Ledger) entries(ctx context.Context, c checkpoint, proofs *client.ProofBuilder, from, to uint64) ([]Entry, error) {
	out := make([]Entry, 0, to-from)
	err := l.eachLeaf(ctx, from, to, c.size(), func(index uint64, leaf []byte) error {
		nodes, err := proofs.InclusionProof(ctx, index)
		if err != nil {
			return fmt.Errorf("proof of %d: %w", index, err)
		}
		proof := make(merkle.RecordProof, len(nodes))
		for i, n := range nodes {
			copy(proof[i][:], n)
		}
		r := tlog.Receipt{Leaf: leaf, Proof: tlog.FormatProof(int64(index), proof, c.raw)}
		if _, err := r.Verify(l.verifier); err != nil {
			return fmt.Errorf("own receipt of %d does not verify, the log's folder is damaged: %w", index, err)
		}
		out = append(out, Entry{Index: index, Leaf: leaf, Receipt: r})
		return nil
	})
	return out, err
}

// writeReceipts puts the receipts into the vault, and tries again as long as the vault is in trouble.
func (l *Ledger) writeReceipts(ctx context.Context, entries []Entry) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	slots := make(chan struct{}, atOnce)
	errs := make([]error, len(entries))
	var wg sync.WaitGroup
	for i := range entries {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for {
				errs[i] = l.putReceipt(ctx, &entries[i], entries[i].Index < l.replay)
				if errs[i] == nil || !archive.Retryable(errs[i]) || ctx.Err() != nil {
					return
				}
				l.log.WarnContext(ctx, "receipt not written yet", slog.Uint64("index", entries[i].Index), slog.Any("error", errs[i]))
				if !pause(ctx, retryAfter) {
					return
				}
			}
		})
	}
	wg.Wait()
	if l.ctx.Err() != nil {
		return ErrClosed
	}
	return errors.Join(errs...)
}

// putReceipt writes one receipt. With look, one that lies in the vault already is taken instead, if it verifies.
func (l *Ledger) putReceipt(ctx context.Context, e *Entry, look bool) error {
	if look {
		for h, err := range l.cfg.Vault.List(ctx, archive.ReceiptPrefix(l.logID, e.Index)) {
			if err != nil {
				return err
			}
			r, err := readReceipt(ctx, l.cfg.Vault, h, e.Leaf)
			if err != nil && (archive.Retryable(err) || ctx.Err() != nil) {
				return err
			}
			if v, errVerify := r.Verify(l.verifier); err == nil && errVerify == nil && v.Index == int64(e.Index) {
				e.Receipt = r
				return nil
			}
		}
	}
	key := func(h evidence.Digest) string { return archive.ReceiptKey(l.logID, e.Index, h) }
	_, err := archive.PutBytes(ctx, l.cfg.Vault, key, e.Receipt.Proof, l.cfg.Until())
	return err
}

func readReceipt(ctx context.Context, v archive.Vault, h archive.Held, leaf []byte) (tlog.Receipt, error) {
	proof, err := archive.Read(ctx, v, h.Ref(), tlog.MaxProof)
	return tlog.Receipt{Leaf: leaf, Proof: proof}, err
}
