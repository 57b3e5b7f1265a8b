package app

import (
	"context"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog"
	"camseal/server/internal/ingest/batch"
)

// The log may hold the same leaf twice, or batches that overlap, if something went wrong between log and catalog. The
// catalog takes each statement once all the same.
func TestOverlappingBatchesInTheLog(t *testing.T) {
	r := newRig(t)
	d := r.register("overlap")
	middle := uint64(0)
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(7*testChunk, 1))
	for _, l := range d.items {
		if l.seal && l.seq < uint64(len(d.lines)-1) {
			middle = l.seq
		}
	}
	ctx := context.Background()
	var prev *uint64
	for _, upto := range []uint64{middle, middle, evidence.MaxInt, middle} {
		b, err := batch.ParseUnverified(d.batch(0, upto))
		check(t, err)
		check(t, b.Write(ctx, r.core.vault, time.Now().Add(time.Hour)))
		index, _, err := r.core.log.Append(ctx, &evidence.Seen{Device: b.Device, Head: b.Head, Prev: prev, Seq: b.Upto})
		check(t, err)
		if prev == nil {
			prev = &index
		}
	}
	c := d.client(r)
	h, err := c.head()
	check(t, err)
	if h.Head != d.head {
		t.Fatalf("head %+v, want %s", h, d.head)
	}
	if _, err := c.statements(d.all()); err != nil {
		t.Fatalf("what is known already: %v", err)
	}
	s, err := c.putAll(d, rec)
	check(t, err)
	r.storedLeaf(d, rec, s)
	path, err := r.export(rec, true)
	check(t, err)
	r.verified(path, verify.Verified)
	r.stop()
	r.start() // statements are read from the vault again
	n := 0
	err = r.core.catalog.EachStatement(ctx, r.core.vault, catalog.RecordingKey{Device: d.id(), Rec: rec}, 0, evidence.MaxInt,
		func([]byte, *evidence.Statement, evidence.Digest) error { n++; return nil })
	check(t, err)
	if n != int(d.n[rec]) {
		t.Fatalf("%d statements, want each once, %d", n, d.n[rec])
	}
}
