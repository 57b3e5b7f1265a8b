package export

import (
	"context"
	"errors"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog"
)

// Bracket says when a recording was sealed, by witnesses and by this server's clock, as a bundle's verifier would with this server's
// trust folder. Errors: catalog.ErrUnknown.
func (x *Exporter) Bracket(ctx context.Context, id evidence.RecordingID) (*verify.TimeFound, error) {
	row, err := x.Catalog.FindRecording(ctx, id)
	if err != nil {
		return nil, err
	}
	device, err := evidence.ParseDeviceID(row.Device)
	if err != nil {
		return nil, err
	}
	rec, err := x.Log.Recordings.View(ctx, catalog.RecordingKey{Device: device, Rec: id})
	if err != nil {
		return nil, err
	}
	anchor, err := x.anchor(ctx, device, rec.OpenAt.Seq)
	if err != nil {
		return nil, err
	}
	last, closed := rec.LastSeq, (*int64)(nil)
	if rec.Close != nil {
		last, closed = rec.CloseAt.Seq, &rec.CloseAt.At
	}
	batch, err := x.Catalog.BatchAt(ctx, device, last)
	if err != nil {
		return nil, err
	}
	e, err := x.Ledger.BestReceipt(ctx, uint64(batch.LogIndex))
	if err != nil {
		return nil, err
	}
	log, err := tlog.NewVerifier(x.VKey)
	if err != nil {
		return nil, err
	}
	proof, err := e.Receipt.Verify(log)
	if err != nil {
		return nil, err
	}
	return verify.Bracket(x.Trust, x.VKey, anchor, proof.Signed, rec.Open.Mode, rec.OpenAt.At, closed)
}

// anchor returns the checkpoint of a device's newest anchor before a statement, nil if there is none.
func (x *Exporter) anchor(ctx context.Context, device evidence.DeviceID, before uint64) (signed []byte, err error) {
	seq, err := x.Catalog.AnchorBefore(ctx, device, before)
	if errors.Is(err, catalog.ErrUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	own := catalog.RecordingKey{Device: device}
	err = x.Catalog.EachStatement(ctx, x.Vault, own, seq, seq, func(_ []byte, s *evidence.Statement, _ evidence.Digest) error {
		if a, ok := s.Body.(*evidence.Anchor); ok && s.Seq == seq {
			signed = []byte(a.Checkpoint)
		}
		return nil
	})
	return signed, err
}
