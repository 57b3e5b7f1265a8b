package export

import (
	"context"
	"errors"
	"fmt"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
	"camseal/server/internal/ingest/batch"
)

// span is a run of a device's statements, first and last included.
type span struct{ from, until uint64 }

// nearby is how far apart, in statements, two parts of a recording may be and still stand in one stretch of the bundle's chain.
const nearby = 1024

// wanted finds the statements that the bundle must hold: enrol, and all of this recording from the newest anchor before open on.
func (b *Bundle) wanted(ctx context.Context) ([]span, error) {
	first := b.rec.OpenAt.Seq
	switch anchor, err := b.x.Catalog.AnchorBefore(ctx, b.k.Device, first); {
	case err == nil:
		first = anchor
	case !errors.Is(err, catalog.ErrUnknown):
		return nil, err
	}
	spans := []span{{0, 0}, {first, b.rec.OpenAt.Seq}}
	err := b.x.Catalog.EachStatement(ctx, b.x.Vault, b.k, 0, evidence.MaxInt, func(_ []byte, s *evidence.Statement, _ evidence.Digest) error {
		if s.Seq <= b.rec.LastSeq {
			spans = join(spans, span{s.Seq, s.Seq}, nearby)
		}
		return nil
	})
	return spans, err
}

// join adds a span at the end, and makes it one with the last if there are at most gap statements between.
func join(spans []span, s span, gap uint64) []span {
	if n := len(spans); n > 0 && s.from <= spans[n-1].until+gap+1 {
		spans[n-1].until = max(spans[n-1].until, s.until)
		return spans
	}
	return append(spans, s)
}

// stretches widens the wanted spans: back to the statement after a seal, and on to the end of a batch, which has a seal and a
// seen receipt. Those that touch become one.
func (b *Bundle) stretches(ctx context.Context) ([]span, error) {
	spans, err := b.wanted(ctx)
	if err != nil {
		return nil, err
	}
	var out []span
	for _, s := range spans {
		if s.from, err = b.afterSeal(ctx, s.from); err != nil {
			return nil, err
		}
		row, err := b.x.Catalog.BatchAt(ctx, b.k.Device, s.until)
		if err != nil {
			return nil, err
		}
		out = join(out, span{s.from, uint64(row.Upto)}, 0)
	}
	return out, nil
}

// afterSeal returns the number of the statement right after the last seal below seq.
func (b *Bundle) afterSeal(ctx context.Context, seq uint64) (uint64, error) {
	s, err := b.skeleton(ctx, seq)
	if err != nil {
		return 0, err
	}
	from := s.First
	for _, it := range s.Items {
		if it.Attested != nil && it.Attested.Seal != nil && it.Seq < seq {
			from = it.Seq + 1
		}
	}
	return from, nil
}

// skeleton loads the skeleton of the batch that holds statement seq.
func (b *Bundle) skeleton(ctx context.Context, seq uint64) (*batch.Skeleton, error) {
	row, err := b.x.Catalog.BatchAt(ctx, b.k.Device, seq)
	if err != nil {
		return nil, err
	}
	ref, err := catalog.Ref(row.Key, row.Version, row.Hash, row.Size)
	if err != nil {
		return nil, err
	}
	return batch.LoadSkeleton(ctx, b.x.Vault, ref)
}

// lines writes a stretch's statements, seals and count records; the seal at its begin included, and count records of its statements
// that came in after it.
func (b *Bundle) lines(ctx context.Context, s span, chain, seals func([]byte) error) error {
	if s.from > 0 {
		before, err := b.skeleton(ctx, s.from-1)
		if err != nil {
			return err
		}
		for _, it := range before.Items {
			if it.Attested != nil && it.Attested.Seal != nil && it.Seq == s.from-1 {
				if err := seals(it.Raw); err != nil {
					return err
				}
			}
		}
	}
	o := output{from: s.from, until: s.until, next: s.from, owed: map[uint64]bool{}, counted: map[uint64]bool{}, chain: chain, seals: seals}
	for o.next <= s.until {
		sk, err := b.skeleton(ctx, o.next)
		if err != nil {
			return err
		}
		words, err := sk.Words(ctx, b.x.Vault, b.keeps)
		if err != nil {
			return err
		}
		if err := b.batchLines(sk, &o, words); err != nil {
			return err
		}
	}
	return b.lateCounts(ctx, &o)
}

// output is a stretch being written.
type output struct {
	from, until  uint64
	next         uint64          // statement
	owed         map[uint64]bool // counted statements whose count records have not come yet
	counted      map[uint64]bool // statements whose count records are written
	chain, seals func([]byte) error
}

// count writes a count record if it is about a statement of the stretch. Batches may overlap, so it may come again.
func (o *output) count(it batch.Item) error {
	if it.Seq < o.from || it.Seq > o.until || o.counted[it.Seq] {
		return nil
	}
	o.counted[it.Seq] = true
	delete(o.owed, it.Seq)
	return o.seals(it.Raw)
}

// maxLate is how many batches are searched for count records that came in after their stretch.
const maxLate = 64

// lateCounts writes the count records of the stretch's statements that stand at the begin of later batches.
func (b *Bundle) lateCounts(ctx context.Context, o *output) error {
	if b.dev.Counter == "" {
		return nil
	}
	at := o.until + 1
	for i := 0; i == 0 || i < maxLate && len(o.owed) > 0; i++ {
		sk, err := b.skeleton(ctx, at)
		if errors.Is(err, catalog.ErrUnknown) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, it := range sk.Items {
			if it.Attested != nil && it.Attested.Count != nil {
				if err := o.count(it); err != nil {
					return err
				}
			}
		}
		at = sk.Upto + 1
	}
	return nil
}

// keeps reports whether statements of rec stand in the bundle with their words.
func (b *Bundle) keeps(rec evidence.RecordingID) bool { return rec.IsZero() || rec == b.k.Rec }

func (b *Bundle) batchLines(sk *batch.Skeleton, o *output, words map[uint64][]byte) error {
	begin := o.next
	for _, it := range sk.Items {
		var err error
		switch {
		case it.Attested != nil && it.Attested.Count != nil:
			err = o.count(it)
		case it.Seq < begin || it.Seq > o.until: // of an overlapping batch, or of no stretch
		case it.Attested != nil:
			err = o.seals(it.Raw)
		case it.Seq != o.next:
			err = fmt.Errorf("statement %d where %d is due: %w", it.Seq, o.next, archive.ErrNotFound)
		default:
			o.next++
			if counted(words[it.Seq]) {
				o.owed[it.Seq] = true
			}
			err = o.chain(b.line(it, words))
		}
		if err != nil {
			return err
		}
	}
	if o.next == begin {
		return fmt.Errorf("statement %d is in no batch: %w", o.next, archive.ErrNotFound)
	}
	return nil
}

// counted reports whether a statement's words say something that the TPM counter counts.
func counted(words []byte) bool {
	if words == nil {
		return false
	}
	s, _, err := evidence.ParseUnverified(words)
	if err != nil {
		return false
	}
	switch body := s.Body.(type) {
	case *evidence.Enrol, *evidence.Boot, *evidence.Intake:
		return true
	case *evidence.Open:
		return body.Mode == evidence.ModeCapture
	}
	return false
}

func (b *Bundle) line(it batch.Item, words map[uint64][]byte) []byte {
	if w, ok := words[it.Seq]; ok {
		return w
	}
	raw, err := evidence.Encode(evidence.Withheld{Digest: it.Digest, Rec: it.Rec, Seq: it.Seq})
	if err != nil {
		return nil // three fixed members always encode
	}
	return raw
}
