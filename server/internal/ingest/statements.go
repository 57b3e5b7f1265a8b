package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/devices"
	"camseal/server/internal/ingest/batch"
)

// Statements takes in a batch of the authenticated device: JSON lines as package transport says. It answers when the
// statements are in the vault and logged. The same batch again gets the same answer. Errors are *transport.Error where the device did
// wrong; nothing of such a batch is archived, and its bytes go to quarantine.
func (s *Service) Statements(ctx context.Context, id evidence.DeviceID, body []byte) (transport.Accepted, error) {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return transport.Accepted{}, ctx.Err()
	}
	b, err := batch.ParseUnverified(body)
	if err == nil && b.Device != id {
		err = fmt.Errorf("statements of device %s, sent by device %s", b.Device, id)
	}
	if err != nil {
		return transport.Accepted{}, s.refuse(ctx, id, body, refusal(422, transport.CodeBadStatement, err.Error()))
	}
	st, err := s.enter(ctx, id)
	if err != nil {
		return transport.Accepted{}, err
	}
	defer st.leave()
	dev, err := s.Catalog.Device(ctx, id)
	if err != nil {
		return transport.Accepted{}, err
	}
	if err := devices.Active(dev); err != nil { // revoked while this request was under way
		return transport.Accepted{}, err
	}
	rest, err := s.unknownPart(ctx, dev, b)
	if err != nil {
		return transport.Accepted{}, s.refuse(ctx, id, body, err)
	}
	if rest == nil {
		return s.again(ctx, dev, b)
	}
	w, err := s.check(ctx, dev, rest)
	if err != nil {
		return transport.Accepted{}, s.refuse(ctx, id, body, err)
	}
	return s.accept(ctx, st, dev, w)
}

// unknownPart compares what is known with what was sent, and returns what is new.
func (s *Service) unknownPart(ctx context.Context, dev db.Device, b *batch.Batch) (*batch.Batch, error) {
	next := uint64(dev.NextSeq)
	if b.First > next {
		e := refusal(409, transport.CodeBehind, fmt.Sprintf("the batch begins at statement %d, the server waits for %d", b.First, next))
		e.Seq = &next
		return nil, e
	}
	owed, err := catalog.Owed(dev)
	if err != nil {
		return nil, err
	}
	known, rest := b.Split(next, owed)
	if len(known) == 0 {
		return rest, nil
	}
	digests, err := s.digests(ctx, b.Device, known[0].Seq, known[len(known)-1].Seq)
	if err != nil {
		return nil, err
	}
	for _, it := range known {
		if d, ok := digests[it.Seq]; !ok || d != it.Digest {
			seq := it.Seq
			e := refusal(409, transport.CodeFork, fmt.Sprintf("another statement is known as number %d of this device: its digest is %s, of the one sent %s",
				seq, d, it.Digest))
			e.Seq, e.Do = &seq, "go on behind the server's head with a boot that names the device's own last number"
			return nil, &forkError{refusal: e, known: d, sent: it.Digest}
		}
	}
	return rest, nil
}

// digests reads the digests of a device's known statements.
func (s *Service) digests(ctx context.Context, id evidence.DeviceID, first, last uint64) (map[uint64]evidence.Digest, error) {
	rows, err := s.Catalog.Batches(ctx, id, first, last)
	if err != nil {
		return nil, err
	}
	out := map[uint64]evidence.Digest{}
	for _, row := range rows {
		ref, err := catalog.Ref(row.Key, row.Version, row.Hash, row.Size)
		if err != nil {
			return nil, err
		}
		skeleton, err := batch.LoadSkeleton(ctx, s.Vault, ref)
		if err != nil {
			return nil, err
		}
		for _, it := range skeleton.Items {
			if it.Attested == nil && it.Seq >= first && it.Seq <= last {
				out[it.Seq] = it.Digest
			}
		}
	}
	return out, nil
}

// again answers a batch all of which is known.
func (s *Service) again(ctx context.Context, dev db.Device, b *batch.Batch) (transport.Accepted, error) {
	row, err := s.Catalog.BatchAt(ctx, b.Device, b.Upto)
	if err != nil {
		return transport.Accepted{}, err
	}
	r, err := s.Log.Receipt(ctx, uint64(row.LogIndex), []byte(row.Leaf))
	if err != nil {
		return transport.Accepted{}, err
	}
	head, err := evidence.ParseDigest(row.Head)
	if err != nil {
		return transport.Accepted{}, err
	}
	recs := map[evidence.RecordingID]bool{}
	for _, it := range b.Items {
		if it.Attested == nil && !it.Rec.IsZero() {
			recs[it.Rec] = true
		}
	}
	wanted, err := s.wantedOf(ctx, b.Device, recs, b.First, b.Upto)
	if err != nil {
		return transport.Accepted{}, err
	}
	owed, err := catalog.Owed(dev)
	return transport.Accepted{Seq: uint64(row.Upto), Head: head, Seen: sent(r), Wanted: wanted, Owed: owed}, err
}

// check walks the new part of a batch, and adds what only this server asks for.
func (s *Service) check(ctx context.Context, dev db.Device, b *batch.Batch) (*catalog.Walked, error) {
	if b.First == 0 {
		if err := s.checkEnrol(dev, b.Items[0].Raw); err != nil {
			return nil, err
		}
	}
	w, err := s.Log.Recordings.Walk(ctx, dev, b)
	if err != nil {
		return nil, err
	}
	for _, rec := range w.Recordings() {
		for _, c := range newChunks(w.Recording(rec).Chunks, b.First) {
			if c.Size > transport.MaxChunk {
				seq := c.Seq
				e := refusal(422, transport.CodeBadStatement, fmt.Sprintf("a chunk of %d bytes, this server takes %d at most", c.Size, transport.MaxChunk))
				e.Seq = &seq
				return nil, e
			}
		}
	}
	return w, nil
}

// newChunks are those that a statement from seq on speaks of.
func newChunks(all []verify.ChunkAt, seq uint64) []verify.ChunkAt {
	i := len(all)
	for i > 0 && all[i-1].Seq >= seq {
		i--
	}
	return all[i:]
}

// checkEnrol compares a device's first statement with what it enrolled with.
func (s *Service) checkEnrol(dev db.Device, first []byte) error {
	st, _, err := evidence.ParseUnverified(first)
	if err != nil {
		return err
	}
	enrol, ok := st.Body.(*evidence.Enrol)
	text := func(b evidence.Bytes) string { t, _ := b.MarshalText(); return string(t) } // never fails
	zero := uint64(0)
	e := refusal(422, transport.CodeBadStatement, "")
	e.Seq = &zero
	switch {
	case !ok:
		e.Message = "the first statement is not enrol"
	case enrol.HomeLog != s.VKey:
		e.Message = fmt.Sprintf("the device's home log is %q, this server's is %q", enrol.HomeLog, s.VKey)
	case evidence.Sum(enrol.TLSKey).String() != dev.TlsKey:
		e.Message = "enrol names another TLS key than the one enrolled"
	case text(enrol.EK) != dev.Ek || text(enrol.EKCert) != dev.EkCert:
		e.Message = "enrol names another endorsement key or certificate than the one enrolled"
	default:
		counter := []byte{}
		if enrol.Counter != nil {
			if counter, err = evidence.Encode(enrol.Counter); err != nil {
				return err
			}
		}
		if string(counter) == dev.Counter {
			return nil
		}
		e.Message = "enrol names another counter than the one enrolled"
	}
	return e
}

// accept archives and logs a batch that was checked.
func (s *Service) accept(ctx context.Context, st *deviceState, dev db.Device, w *catalog.Walked) (transport.Accepted, error) {
	b := w.Batch
	ctx, done := s.settled(ctx)
	defer done()
	if err := b.Write(ctx, s.Vault, s.LogUntil()); err != nil {
		return transport.Accepted{}, err
	}
	leaf := &evidence.Seen{Device: b.Device, Head: b.Head, Seq: b.Upto}
	if dev.SeenIndex.Valid {
		prev := uint64(dev.SeenIndex.Int64)
		leaf.Prev = &prev
	}
	s.Log.Offer(w)
	index, receipt, err := s.Log.Append(ctx, leaf)
	if errors.Is(err, catalog.ErrNotApplied) {
		st.pending = &index
		return transport.Accepted{}, err
	}
	if err != nil {
		s.Log.Withdraw(w)
		return transport.Accepted{}, err
	}
	s.Slog.InfoContext(ctx, "statements accepted", slog.String("device", b.Device.Short()), slog.Uint64("first", b.First),
		slog.Uint64("upto", b.Upto), slog.Uint64("log_index", index))
	if slices.ContainsFunc(w.Own, func(st *evidence.Statement) bool { return st.Kind == evidence.KindBoot }) {
		s.tell(ctx)
	}
	return transport.Accepted{Seq: b.Upto, Head: b.Head, Seen: sent(receipt), Wanted: s.wantedNew(w), Owed: catalog.OwedIn(w.State.Counter)}, nil
}

// wantedNew lists the chunks that the batch speaks of for the first time.
func (s *Service) wantedNew(w *catalog.Walked) []transport.Wanted {
	out := []transport.Wanted{}
	for _, rec := range w.Recordings() {
		r := w.Recording(rec)
		chunks := newChunks(r.Chunks, w.Batch.First)
		for i := range chunks {
			index := uint64(len(r.Chunks) - len(chunks) + i)
			if len(out) == transport.MaxWanted {
				return out
			}
			if !r.Lost[index] {
				out = append(out, wanted(rec, index))
			}
		}
	}
	return out
}

// wantedOf lists the chunks that statements first to last speak of and that are not in the vault.
func (s *Service) wantedOf(ctx context.Context, id evidence.DeviceID, recs map[evidence.RecordingID]bool, first, last uint64) ([]transport.Wanted, error) {
	out := []transport.Wanted{}
	for rec := range recs {
		k := catalog.RecordingKey{Device: id, Rec: rec}
		view, err := s.Log.Recordings.View(ctx, k)
		if err != nil {
			return nil, err
		}
		h, err := s.holdings.of(ctx, k, &view)
		if err != nil {
			return nil, err
		}
		for i, c := range view.Chunks {
			if c.Seq < first || c.Seq > last || view.Lost[uint64(i)] || h.has(i) {
				continue
			}
			if len(out) == transport.MaxWanted {
				return out, nil
			}
			out = append(out, wanted(rec, uint64(i)))
		}
	}
	return out, nil
}

func wanted(rec evidence.RecordingID, index uint64) transport.Wanted {
	return transport.Wanted{Rec: rec, Index: index, Method: "PUT", URL: fmt.Sprintf("/v1/recordings/%s/chunks/%d", rec, index)}
}

func sent(r tlog.Receipt) transport.Receipt { return transport.Receipt{Leaf: r.Leaf, Proof: r.Proof} }
