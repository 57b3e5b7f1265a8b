package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ingest/batch"
	"camseal/server/internal/ledger"
)

// applyLeaf brings one leaf into the tables. It returns the batch of a seen leaf, whose recordings are given back after
// the transaction. A leaf that repeats what is known changes nothing.
func (p *Projector) applyLeaf(ctx context.Context, q *db.Queries, e ledger.Entry) (*Walked, error) {
	leaf, err := evidence.ParseLeafUnverified(e.Leaf)
	if err != nil {
		return nil, err
	}
	switch l := leaf.(type) {
	case *evidence.Seen:
		return p.applySeen(ctx, q, e, l)
	case *evidence.Stored:
		return nil, p.applyStored(ctx, q, e, l)
	case *evidence.Custody:
		return nil, p.applyCustody(ctx, q, e, l)
	case *evidence.Revoke:
		p := db.RevokeDeviceParams{Device: l.Device.String(), RevokedIndex: index(e)}
		if l.SuspectSince != nil {
			p.SuspectSince = sql.NullInt64{Int64: *l.SuspectSince, Valid: true}
		}
		return nil, q.RevokeDevice(ctx, p)
	}
	return nil, nil // an export leaf changes no table
}

func index(e ledger.Entry) sql.NullInt64 { return sql.NullInt64{Int64: int64(e.Index), Valid: true} }

func (p *Projector) applySeen(ctx context.Context, q *db.Queries, e ledger.Entry, l *evidence.Seen) (*Walked, error) {
	w := p.takeOffer(l)
	dev, err := q.DeviceByID(ctx, l.Device.String())
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", l.Device, err)
	}
	if l.Seq < uint64(dev.NextSeq) {
		return nil, nil
	}
	s, err := batch.FindSkeleton(ctx, p.vault, l.Device, l.Seq, l.Head)
	if err != nil {
		return nil, err
	}
	if w == nil || w.Batch.First != uint64(dev.NextSeq) || len(w.Batch.Items) != len(s.Items) {
		if w, err = p.walkFromVault(ctx, q, dev, s); err != nil {
			return nil, err
		}
	}
	if w.State.Seq != l.Seq+1 || w.State.Head != l.Head {
		return nil, fmt.Errorf("the batch of device %s ends at %d with head %s, the leaf says %d, %s", l.Device, w.State.Seq-1, w.State.Head, l.Seq, l.Head)
	}
	return w, p.writeSeen(ctx, q, e, w, s)
}

func (p *Projector) walkFromVault(ctx context.Context, q *db.Queries, dev db.Device, s *batch.Skeleton) (*Walked, error) {
	b, gone, err := p.batchFromVault(ctx, q, s)
	if err != nil {
		return nil, err
	}
	owed, err := Owed(dev)
	if err != nil {
		return nil, err
	}
	if _, b = b.Split(uint64(dev.NextSeq), owed); b == nil {
		return nil, fmt.Errorf("batch up to %d of device %s says nothing new", s.Upto, dev.Device)
	}
	return p.Recordings.walk(ctx, q, dev, b, gone)
}

func (p *Projector) writeSeen(ctx context.Context, q *db.Queries, e ledger.Entry, w *Walked, s *batch.Skeleton) error {
	dev := s.Device.String()
	state, err := json.Marshal(w.State)
	if err = errors.Join(err, w.dropGone(ctx, q)); err != nil {
		return err
	}
	err = errors.Join(
		q.SetChain(ctx, db.SetChainParams{Device: dev, Chain: string(state), NextSeq: int64(w.State.Seq), Head: w.State.Head.String(), SeenIndex: index(e)}),
		q.InsertBatch(ctx, db.InsertBatchParams{Device: dev, FirstSeq: int64(s.First), Upto: int64(s.Upto), Head: s.Head.String(),
			Key: s.Held.Key, Version: s.Held.Version, Size: s.Held.Size, Hash: s.Held.Hash.String(), LogIndex: int64(e.Index), Leaf: string(e.Leaf)}))
	for _, part := range s.Parts {
		err = errors.Join(err, q.InsertPart(ctx, db.InsertPartParams{Device: dev, Rec: part.Rec.String(), FirstSeq: int64(part.First), Upto: int64(s.Upto),
			Key: part.Key, Version: part.Version, Size: int64(part.Size), Hash: part.Hash.String()}))
	}
	for _, seq := range w.Anchors {
		err = errors.Join(err, q.InsertAnchor(ctx, db.InsertAnchorParams{Device: dev, Seq: int64(seq)}))
	}
	for _, u := range w.Unproven {
		p.slog.WarnContext(ctx, u.String(), slog.String("device", dev))
	}
	if err == nil {
		err = errors.Join(writeOwn(ctx, q, e, w), writeSaid(ctx, q, w))
	}
	for _, s := range w.unrecorded {
		err = errors.Join(err, writeUnrecorded(ctx, q, e, s))
	}
	for _, r := range w.opened() {
		if err == nil {
			err = writeRecording(ctx, q, e, r, w.said[r.Rec])
		}
	}
	return err
}

// opened returns the recordings of the batch in the order in which they were opened; acts that were not recorded are none.
func (w *Walked) opened() []*verify.Recording {
	var out []*verify.Recording
	for _, r := range w.recs {
		if r.Open != nil {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *verify.Recording) int { return cmp.Compare(a.OpenAt.Seq, b.OpenAt.Seq) })
	return out
}

// dropGone leaves out of a walked batch the recordings that were disposed of since it was checked.
func (w *Walked) dropGone(ctx context.Context, q *db.Queries) error {
	for rec := range w.recs {
		gone, err := isGone(ctx, q, RecordingKey{Device: w.Batch.Device, Rec: rec})
		if err != nil {
			return err
		}
		if gone {
			delete(w.recs, rec)
			delete(w.said, rec)
		}
	}
	return nil
}

// writeRecording writes what the statements say, said those of the batch that say what it is about; what the newest stored leaf says stays
// as it is.
func writeRecording(ctx context.Context, q *db.Queries, e ledger.Entry, r *verify.Recording, said []*evidence.Statement) error {
	row, err := q.RecordingByID(ctx, db.RecordingByIDParams{Device: r.Device.String(), Rec: r.Rec.String()})
	if errors.Is(err, sql.ErrNoRows) {
		row, err = db.Recording{Device: r.Device.String(), Rec: r.Rec.String(), FirstIndex: int64(e.Index), Officers: "[]", Shown: 1}, nil
		fillSource(&row, r.Open)
	}
	if err != nil {
		return err
	}
	old := row
	row.Name, row.MediaType, row.Mode = r.Open.Source.Name, r.Open.MediaType, string(r.Open.Mode)
	row.OpenedAt, row.OpenSeq, row.OpenDigest = r.OpenAt.At, int64(r.OpenAt.Seq), r.OpenAt.Digest.String()
	row.LastSeq, row.LastN = int64(r.LastSeq), int64(r.N-1)
	for _, c := range r.Chunks[old.Chunks:] {
		row.SeenMs = max(row.SeenMs, int64(c.Start+c.Duration))
	}
	row.LastAt, row.LastIndex = r.LastAt, int64(e.Index)
	row.Chunks, row.Size, row.Faults = int64(len(r.Chunks)), int64(r.Size), int64(r.Faults)
	if r.Close != nil {
		row.ClosedAt = sql.NullInt64{Int64: r.CloseAt.At, Valid: true}
		row.CloseSeq = sql.NullInt64{Int64: int64(r.CloseAt.Seq), Valid: true}
		row.SeenMs = max(row.SeenMs, int64(r.Close.Duration))
		row.CloseDigest, row.Hash, row.Why = r.CloseAt.Digest.String(), r.Close.Hash.String(), r.Close.Why
	}
	lost := make([]uint64, 0, len(r.Lost))
	for i := range r.Lost {
		lost = append(lost, i)
	}
	slices.Sort(lost)
	absent, err := json.Marshal(lost)
	if err != nil {
		return err
	}
	row.Absent = string(absent)
	if err := fillAbout(&row, said); err != nil {
		return err
	}
	if err := put(ctx, q, old, &row); err != nil {
		return err
	}
	if old.Num == 0 {
		if err := addText(ctx, q, row, row.OpenSeq, row.Name, row.Serial); err != nil {
			return err
		}
	}
	if len(said) > 0 && said[0].Kind == evidence.KindOpen { // its texts stand under its number already
		said = said[1:]
	}
	if len(said) == 0 {
		return nil
	}
	return addText(ctx, q, row, int64(said[0].Seq), textsOf(said)...)
}

func (p *Projector) applyStored(ctx context.Context, q *db.Queries, e ledger.Entry, l *evidence.Stored) error {
	err := q.InsertStoredReceipt(ctx, db.InsertStoredReceiptParams{LogIndex: int64(e.Index), Device: l.Device.String(), Rec: l.Rec.String(),
		Chunks: int64(l.Chunks), UntilAt: l.Until, Leaf: string(e.Leaf)})
	if err != nil {
		return err
	}
	if gone, err := isGone(ctx, q, RecordingKey{Device: l.Device, Rec: l.Rec}); err != nil || gone {
		return err
	}
	row, err := q.RecordingByID(ctx, db.RecordingByIDParams{Device: l.Device.String(), Rec: l.Rec.String()})
	if err != nil {
		return fmt.Errorf("recording %s: %w", l.Rec, err)
	}
	old := row
	if int64(l.Chunks) < row.StoredChunks || l.Until < row.StoredUntil || l.Close == nil && row.StoredClosed == 1 {
		return nil
	}
	if row.StoredIndex.Valid && int64(l.Chunks) == row.StoredChunks && l.Until == row.StoredUntil && (l.Close != nil) == (row.StoredClosed == 1) {
		return nil
	}
	row.StoredChunks, row.StoredUntil, row.StoredIndex, row.StoredLeaf = int64(l.Chunks), l.Until, index(e), string(e.Leaf)
	if l.Close != nil {
		row.StoredClosed = 1
	}
	row.StoredAbsent = int64(len(l.Absent))
	return put(ctx, q, old, &row)
}

func (p *Projector) applyCustody(ctx context.Context, q *db.Queries, e ledger.Entry, l *evidence.Custody) error {
	key := archive.CustodyKey(l.Event)
	raw, err := archive.Read(ctx, p.vault, archive.Ref{Key: key, Hash: l.Event}, maxEvent)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	var ev evidence.CustodyEvent
	if err := evidence.Decode(raw, &ev); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	row := db.InsertCustodyParams{LogIndex: int64(e.Index), At: ev.At, Actor: ev.Actor, Act: ev.Act, Rec: ev.Rec.String(), Event: l.Event.String()}
	if ev.Device != nil {
		row.Device = ev.Device.String()
	}
	if err := q.InsertCustody(ctx, row); err != nil {
		return err
	}
	switch ev.Act {
	case ActRegisterSet:
		return registerSet(ctx, q, e, &ev)
	case ActClassSet, ActRetained:
		return applyRetention(ctx, q, e, &ev)
	case ActAccountMade, ActAccountChanged, ActAccountDisabled, ActAccountEnabled:
		return applyAccount(ctx, q, e, &ev)
	case ActCalendarSet:
		return calendarSet(ctx, q, e, &ev)
	}
	if err := p.applyCase(ctx, q, e, &ev, raw); err != nil || ev.Device == nil {
		return err
	}
	switch ev.Act {
	case ActDisposalProposed, ActDisposalWithdrawn, ActDisposalConfirmed, ActDisposed:
		return p.applyDisposal(ctx, q, e, &ev, l.Event)
	case ActMarked:
		return marked(ctx, q, e, &ev)
	case ActFoundDamaged, ActFoundSound:
		return applyDamage(ctx, q, e, &ev)
	case ActEnrolled, ActRegistered:
		return enrolled(ctx, q, e, &ev)
	case ActSoftwareChanged:
		return told(ctx, q, e, &ev)
	case ActPCRsAllowed:
		return allowed(ctx, q, e, &ev)
	case ActQuarantined:
		return forked(ctx, q, e, &ev)
	case ActDerivedAsked:
		return derivedAsked(ctx, q, e, &ev)
	case ActDerivedMade:
		return derivedMade(ctx, q, e, &ev)
	}
	return nil
}
