package catalog

import (
	"context"
	"errors"
	"fmt"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog/db"
)

// Grows reports whether a recorder captures a recording, and has not ended it as far as its statements say.
func Grows(r db.Recording) bool { return r.Mode == string(evidence.ModeCapture) && !r.ClosedAt.Valid }

// Growing returns up to n recordings that grow, or were cut off: the one whose newest statement was logged longest ago comes first.
func (c *Catalog) Growing(ctx context.Context, n int) ([]Listed, error) {
	rows, err := c.q.Growing(ctx, int32(n))
	if err != nil {
		return nil, fmt.Errorf("list recordings that grow: %w", err)
	}
	out := make([]Listed, len(rows))
	for i, r := range rows {
		out[i] = Listed{Recording: r.Recording, Class: r.Class}
	}
	return out, nil
}

// Continued returns the recording that one goes on from, and up to n that go on from it; nil: none of the same device that is known.
func (c *Catalog) Continued(ctx context.Context, r db.Recording, n int) (from *db.Recording, by []db.Recording, err error) {
	if by, err = c.q.Continuing(ctx, db.ContinuingParams{Rec: r.Rec, Device: r.Device, Page: int32(n)}); err != nil {
		return nil, nil, fmt.Errorf("what continues %s: %w", r.Rec, err)
	}
	if r.Continues == "" {
		return nil, by, nil
	}
	k, err := KeyOf(r.Device, r.Continues)
	if err != nil {
		return nil, by, err
	}
	row, err := c.Recording(ctx, k.Device, k.Rec)
	if errors.Is(err, ErrUnknown) {
		return nil, by, nil
	}
	return &row, by, err
}

// FootageUntil is where the first n chunks of a captured recording that were not lost end, in milliseconds from its begin.
func FootageUntil(r *verify.Recording, n int64) (ms uint64) {
	for i, c := range r.Chunks[:max(0, min(n, int64(len(r.Chunks))))] {
		if !r.Lost[uint64(i)] {
			ms = max(ms, c.Start+c.Duration)
		}
	}
	return ms
}

// FootageBegan is when the footage of a captured recording began, by the device's clock: what was buffered when it was opened is older than that.
func FootageBegan(r *verify.Recording) int64 {
	early := uint64(0)
	for _, c := range r.Chunks {
		if c.Duration == 0 {
			continue
		}
		if !c.Early {
			early = c.Start
			break
		}
		early = c.Start + c.Duration
	}
	return r.OpenAt.At - int64(early)
}

// OnDuty returns up to n custody events of what a device's recorder was told to do, what came of it, and who watched it live; the newest first.
func (c *Catalog) OnDuty(ctx context.Context, d evidence.DeviceID, n int) ([]db.Custody, error) {
	rows, err := c.q.CustodyOnDuty(ctx, db.CustodyOnDutyParams{Device: d.String(), Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("what device %s was told: %w", d.Short(), err)
	}
	return rows, nil
}
