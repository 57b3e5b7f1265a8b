package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ingest/batch"
	"camseal/server/internal/ledger"
)

// Custody events about disposal. From ActDisposalConfirmed on the recording is gone from the catalog, and a tombstone stands for it.
const (
	ActDisposalProposed  = "disposal-proposed"  // DetailReason, DetailAccount, and the Detail… of the tombstone
	ActDisposalWithdrawn = "disposal-withdrawn" // by anybody who may confirm it
	ActDisposalConfirmed = "disposal-confirmed" // DetailAccount: another one; what there is: DetailObjects, DetailBytes; what the chain still needs of a capture's open
	ActDisposed          = "disposed"           // objects were removed: DetailObjects and DetailBytes in all, DetailKept, DetailKeptUntil
)

// Members of these events' detail.
const (
	DetailReason     = "reason"
	DetailHash       = "hash" // SHA-256 of the whole original, or of what else the event is about
	DetailChunks     = "chunks"
	DetailOpened     = "opened"      // the device's clock
	DetailOpenSeq    = "open_seq"    // seq of the open statement
	DetailLastSeq    = "last_seq"    // of the newest statement
	DetailStored     = "stored_leaf" // log index of the last stored leaf
	DetailValue      = "counter"     // that open named; empty if it was not counted
	DetailObjects    = "objects"
	DetailBytes      = "bytes"
	DetailKept       = "kept"       // objects whose own lock lasts longer
	DetailKeptUntil  = "kept_until" // the last of these locks
	DetailProposedBy = "proposed_by"
	DetailConfirmed  = "confirmed_by"
)

// States of a disposal.
const (
	DisposalProposed  = "proposed"
	DisposalConfirmed = "confirmed" // being removed
	DisposalDone      = "disposed"
)

func numberIn(ev *evidence.CustodyEvent, key string) int64 {
	n, err := strconv.ParseInt(ev.Detail[key], 10, 64)
	if err != nil || n < 0 || n > evidence.MaxInt {
		return 0
	}
	return n
}

// applyDisposal applies what is said about a disposal. A confirmation by the account that proposed it changes nothing.
func (p *Projector) applyDisposal(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent, event evidence.Digest) error {
	device, rec := ev.Device.String(), ev.Rec.String()
	switch ev.Act {
	case ActDisposalProposed:
		return q.ProposeDisposal(ctx, db.ProposeDisposalParams{Device: device, Rec: rec, Reason: ev.Detail[DetailReason], Name: ev.Detail[DetailName],
			Hash: ev.Detail[DetailHash], Size: numberIn(ev, DetailSize), Chunks: numberIn(ev, DetailChunks), OpenedAt: numberIn(ev, DetailOpened),
			LastSeq: numberIn(ev, DetailLastSeq), StoredIndex: numberIn(ev, DetailStored), ProposedAt: ev.At, ProposedBy: ev.Actor,
			ProposedAccount: ev.Detail[DetailAccount], ProposedIndex: int64(e.Index)})
	case ActDisposalWithdrawn:
		return q.WithdrawDisposal(ctx, db.WithdrawDisposalParams{Device: device, Rec: rec})
	case ActDisposalConfirmed:
		n, err := q.ConfirmDisposal(ctx, db.ConfirmDisposalParams{Device: device, Rec: rec, At: ev.At, By: ev.Actor, LogIndex: int64(e.Index),
			Event: event.String(), Account: ev.Detail[DetailAccount], Total: numberIn(ev, DetailObjects), TotalBytes: numberIn(ev, DetailBytes)})
		if err != nil || n == 0 {
			return err
		}
		return p.removeRow(ctx, q, ev, event)
	case ActDisposed:
		return q.Disposed(ctx, db.DisposedParams{Device: device, Rec: rec, At: ev.At, LogIndex: int64(e.Index), Objects: numberIn(ev, DetailObjects),
			Bytes: numberIn(ev, DetailBytes), Kept: numberIn(ev, DetailKept), KeptUntil: numberIn(ev, DetailKeptUntil)})
	}
	return nil
}

// removeRow takes a recording and its words out of the tables. Where its statements lay stays: the chain holds their digests.
func (p *Projector) removeRow(ctx context.Context, q *db.Queries, ev *evidence.CustodyEvent, event evidence.Digest) error {
	device, rec := ev.Device.String(), ev.Rec.String()
	row, err := q.RecordingByID(ctx, db.RecordingByIDParams{Device: device, Rec: rec})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err == nil {
		if err := forget(ctx, q, row); err != nil {
			return err
		}
	}
	err = errors.Join(
		q.DeleteDamages(ctx, db.DeleteDamagesParams{Device: device, Rec: rec}),
		q.DeleteDerived(ctx, db.DeleteDerivedParams{Device: device, Rec: rec}),
		q.DeleteRecording(ctx, db.DeleteRecordingParams{Device: device, Rec: rec}),
		q.DeleteSaid(ctx, db.DeleteSaidParams{Device: device, Rec: rec}),
		q.DeleteViewerMarks(ctx, db.DeleteViewerMarksParams{Device: device, Rec: rec}),
		q.DeleteRetained(ctx, db.DeleteRetainedParams{Device: device, Rec: rec}),
		q.DeleteWordsGone(ctx, db.DeleteWordsGoneParams{Device: device, Rec: rec, Event: event.String()}))
	if err == nil && row.Original != "" {
		err = q.SetShown(ctx, row.Original)
	}
	p.forgotten = append(p.forgotten, RecordingKey{Device: *ev.Device, Rec: ev.Rec})
	return err
}

// isGone reports whether a recording was disposed of, or its words were and the log's word for it is still to come.
func isGone(ctx context.Context, q *db.Queries, k RecordingKey) (bool, error) {
	n, err := q.CountGone(ctx, db.CountGoneParams{Device: k.Device.String(), Rec: k.Rec.String()})
	if err != nil {
		return false, fmt.Errorf("was %s disposed of: %w", k.Rec, err)
	}
	return n > 0, nil
}

// goneOpen is what the chain still needs of the open statement of a recording whose words are gone.
type goneOpen struct {
	seq   uint64
	value *uint64 // of the counter; nil: it was not counted
	at    int64
}

// findGone looks in the vault for the confirmed disposal of a recording whose words are missing, and writes down that the log still has to
// confirm it. Errors: archive.ErrNotFound, if the words were lost in another way.
func (p *Projector) findGone(ctx context.Context, q *db.Queries, k RecordingKey) (open goneOpen, err error) {
	prefix := archive.DisposalPrefix(k.Device, k.Rec)
	for held, err := range p.vault.List(ctx, prefix) {
		if err != nil {
			return open, err
		}
		raw, err := archive.Read(ctx, p.vault, held.Ref(), maxEvent)
		if err != nil {
			return open, err
		}
		var ev evidence.CustodyEvent
		if err := evidence.Decode(raw, &ev); err != nil {
			return open, fmt.Errorf("read %s: %w", held.Key, err)
		}
		if ev.Act != ActDisposalConfirmed || ev.Device == nil || *ev.Device != k.Device || ev.Rec != k.Rec {
			continue
		}
		open = goneOpen{seq: uint64(numberIn(&ev, DetailOpenSeq)), at: numberIn(&ev, DetailOpened)}
		if text := ev.Detail[DetailValue]; text != "" {
			value, err := evidence.ParseDecimal(text)
			if err != nil {
				return open, fmt.Errorf("read %s: %w", held.Key, err)
			}
			open.value = &value
		}
		if d, err := q.DisposalOf(ctx, db.DisposalOfParams{Device: k.Device.String(), Rec: k.Rec.String()}); err == nil && d.State != DisposalProposed {
			return open, nil // the log has confirmed it
		}
		return open, q.PutWordsGone(ctx, db.PutWordsGoneParams{Device: k.Device.String(), Rec: k.Rec.String(), Event: held.Hash.String()})
	}
	return open, fmt.Errorf("statements of recording %s, and no disposal of it: %w", k.Rec, archive.ErrNotFound)
}

// batchFromVault puts a batch together again. The words of recordings that were disposed of may be missing; what the chain needs of them is
// returned beside it.
func (p *Projector) batchFromVault(ctx context.Context, q *db.Queries, s *batch.Skeleton) (*batch.Batch, map[evidence.RecordingID]goneOpen, error) {
	gone := map[evidence.RecordingID]goneOpen{}
	b, err := s.Batch(ctx, p.vault, func(rec evidence.RecordingID) (err error) {
		gone[rec], err = p.findGone(ctx, q, RecordingKey{Device: s.Device, Rec: rec})
		return err
	})
	return b, gone, err
}

// LostWords returns recordings whose statements are missing in the vault though the log says nothing of a disposal: some of them, if any.
func (c *Catalog) LostWords(ctx context.Context) ([]RecordingKey, error) {
	rows, err := c.q.WordsGone(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for lost statements: %w", err)
	}
	var out []RecordingKey
	for _, r := range rows {
		k, err := KeyOf(r.Device, r.Rec)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// Disposal returns what is known of a recording's disposal, proposed ones included. Errors: ErrUnknown.
func (c *Catalog) Disposal(ctx context.Context, k RecordingKey) (db.Disposal, error) {
	row, err := c.q.DisposalOf(ctx, db.DisposalOfParams{Device: k.Device.String(), Rec: k.Rec.String()})
	return one(row, err, "disposal of "+k.Rec.String())
}

// FindDisposal looks for a disposal by the recording's id alone. Errors: ErrUnknown.
func (c *Catalog) FindDisposal(ctx context.Context, rec evidence.RecordingID) (db.Disposal, error) {
	rows, err := c.q.DisposalsWithID(ctx, rec.String())
	if err == nil && len(rows) != 1 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return one(db.Disposal{}, err, "disposal of "+rec.String())
	}
	return rows[0], nil
}

// Disposals returns up to n disposals in a state, the earliest proposed first, behind the one proposed at the given time with the given id.
func (c *Catalog) Disposals(ctx context.Context, state string, after Ending, n int) ([]db.Disposal, error) {
	rows, err := c.q.DisposalsIn(ctx, db.DisposalsInParams{State: state, After: after.Until, AfterRec: after.Rec, Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("list disposals: %w", err)
	}
	return rows, nil
}

// DisposalsLeft returns confirmed disposals that are not finished, and those of which something was kept whose lock has ended by now.
func (c *Catalog) DisposalsLeft(ctx context.Context, now int64) ([]db.Disposal, error) {
	rows, err := c.q.DisposalsLeft(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("list disposals that are not finished: %w", err)
	}
	return rows, nil
}
