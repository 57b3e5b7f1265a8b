package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
)

const (
	maxEvent = 128 << 10
	patience = 5 * time.Second // for witnesses that answer
)

// custody writes the device's enrolment and the custody events of this recording in the order of the log, and their receipts.
func (w *writer) custody() error {
	b := w.b
	rows, err := b.x.Catalog.Custody(w.ctx, b.k.Device, b.k.Rec)
	if err != nil {
		return err
	}
	enrolment, err := w.enrolment()
	if err != nil {
		return err
	}
	var lines bytes.Buffer
	for _, row := range rows {
		if enrolment != nil && row.LogIndex > b.dev.EnrolledIndex { // after it was enrolled again
			lines.Write(enrolment)
			enrolment = nil
		}
		digest, err := evidence.ParseDigest(row.Event)
		if err != nil {
			return err
		}
		if err := w.event(&lines, digest); err != nil {
			return err
		}
		leaf, err := evidence.EncodeLeaf(&evidence.Custody{Event: digest})
		if err != nil {
			return err
		}
		if err := w.receipt(row.LogIndex, leaf); err != nil {
			return err
		}
	}
	lines.Write(enrolment)
	return w.bytes(verify.FileCustody, lines.Bytes())
}

func (w *writer) event(lines *bytes.Buffer, digest evidence.Digest) error {
	event, err := archive.Read(w.ctx, w.b.x.Vault, archive.Ref{Key: archive.CustodyKey(digest), Hash: digest}, maxEvent)
	if err != nil {
		return fmt.Errorf("custody event %s: %w", digest, err)
	}
	lines.Write(event)
	lines.WriteByte('\n')
	return nil
}

// enrolment returns the line of the device's enrolment, and writes its receipt.
func (w *writer) enrolment() ([]byte, error) {
	index := w.b.dev.EnrolledIndex
	e, err := w.b.x.Ledger.BestReceipt(w.ctx, uint64(index))
	if err != nil {
		return nil, err
	}
	leaf, err := evidence.ParseLeafUnverified(e.Leaf)
	if err != nil {
		return nil, fmt.Errorf("enrolment at %d: %w", index, err)
	}
	custody, ok := leaf.(*evidence.Custody)
	if !ok {
		return nil, fmt.Errorf("enrolment at %d is a %T", index, leaf)
	}
	var line bytes.Buffer
	if err := w.event(&line, custody.Event); err != nil {
		return nil, err
	}
	return line.Bytes(), w.receiptFiles(index, e.Receipt)
}

// stamps writes the earliest time stamps over the recording's end and over the newest statement about it, each with the proof that the
// seen receipt's leaf is in the very tree that was stamped.
func (w *writer) stamps() error {
	newest, err := w.stamp(w.lastSeen, "")
	if err != nil || w.closed == w.lastSeen {
		return err
	}
	_, err = w.stamp(w.closed, newest)
	return err
}

// stamp writes the earliest stamp over a leaf and returns its name; it writes nothing if there is none, or if it is the one that has
// that name already.
func (w *writer) stamp(index int64, written string) (string, error) {
	x := w.b.x
	s, err := x.Ledger.StampAfter(w.ctx, uint64(index))
	if errors.Is(err, archive.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	c, err := tlog.ParseCheckpointUnverified(s.Checkpoint)
	if err != nil {
		return "", err
	}
	checkpoint, token, proof := verify.TimePaths(c.Size)
	if checkpoint == written {
		return checkpoint, nil
	}
	e, err := x.Ledger.ReceiptAt(w.ctx, uint64(index), s.Checkpoint)
	if err != nil {
		return "", err
	}
	return checkpoint, errors.Join(w.bytes(checkpoint, s.Checkpoint), w.bytes(token, s.Token), w.bytes(proof, e.Receipt.Proof))
}

// await gives witnesses that answer the time to cosign what the bundle is about; none holds up an export for long.
func (w *writer) await() {
	ctx, done := context.WithTimeout(w.ctx, patience)
	defer done()
	w.b.x.Ledger.AwaitWitnesses(ctx, w.newest)
}

// plain leaves the log's own line alone on a proof's checkpoint: the receipt over the whole bundle is for everybody to check,
// whichever clock or witnesses they know.
func (x *Exporter) plain(proof []byte) ([]byte, error) {
	v, err := tlog.NewVerifier(x.VKey)
	if err != nil {
		return nil, err
	}
	p, err := tlog.ParseProofUnverified(proof)
	if err != nil {
		return nil, err
	}
	own, err := tlog.OwnLine(p.Checkpoint, v)
	if err != nil {
		return nil, err
	}
	return tlog.FormatProof(p.Index, p.Hashes, own), nil
}
