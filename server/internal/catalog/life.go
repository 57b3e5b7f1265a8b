package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog/db"
)

// Line is one thing in the life of a recording. Exactly one of its pointers is set.
type Line struct {
	Index int64 // of the log leaf that proves it

	Enrolled *db.Device        // the device that sealed it was enrolled
	Revoked  *db.Device        // and revoked
	Seen     *db.Batch         // the log's keeper had the statements up to Upto
	Said     *db.SaidPageRow   // one of these statements
	Stored   *db.StoredReceipt // what the vault held then
	Custody  *db.Custody       // somebody did something with it
}

// LifePlace is where a page of a recording's life begins: behind a log leaf, and behind a statement. The zero value is no place: use LifeBegin.
type LifePlace struct{ Index, Seq int64 }

// LifeBegin is ahead of everything.
var LifeBegin = LifePlace{Index: -1, Seq: -1}

// Life returns up to n lines of a recording's life that come after a place, in the order of the log: a seen leaf, then what its statements
// say; and where the next page begins. It is the same for a recording that was disposed of, but for what was said in it.
func (c *Catalog) Life(ctx context.Context, k RecordingKey, after LifePlace, n int) (lines []Line, next LifePlace, err error) {
	device, rec, page := k.Device.String(), k.Rec.String(), int32(n)
	dev, err := c.Device(ctx, k.Device)
	if err != nil {
		return nil, after, err
	}
	seen, errSeen := c.q.SeenOf(ctx, db.SeenOfParams{Device: device, Rec: rec, After: after.Index, Page: page})
	said, errSaid := c.q.SaidPage(ctx, db.SaidPageParams{Device: device, Rec: rec, After: after.Seq, Page: page})
	stored, errStored := c.q.StoredReceiptsOf(ctx, db.StoredReceiptsOfParams{Device: device, Rec: rec, After: after.Index, Page: page})
	custody, errCustody := c.q.CustodyPage(ctx, db.CustodyPageParams{Device: device, Rec: rec, After: after.Index, Page: page})
	if err := errors.Join(errSeen, errSaid, errStored, errCustody); err != nil {
		return nil, after, fmt.Errorf("life of %s: %w", rec, err)
	}
	if dev.EnrolledIndex > after.Index {
		lines = append(lines, Line{Index: dev.EnrolledIndex, Enrolled: &dev})
	}
	if dev.RevokedIndex.Valid && dev.RevokedIndex.Int64 > after.Index {
		lines = append(lines, Line{Index: dev.RevokedIndex.Int64, Revoked: &dev})
	}
	for i := range seen {
		lines = append(lines, Line{Index: seen[i].LogIndex, Seen: &seen[i]})
	}
	for i := range said {
		lines = append(lines, Line{Index: said[i].LogIndex, Said: &said[i]})
	}
	for i := range stored {
		lines = append(lines, Line{Index: stored[i].LogIndex, Stored: &stored[i]})
	}
	for i := range custody {
		lines = append(lines, Line{Index: custody[i].LogIndex, Custody: &custody[i]})
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return int(min(max(a.Index-b.Index, -1), 1)) })
	lines = lines[:min(len(lines), n)]
	for _, l := range lines {
		after.Index = max(after.Index, l.Index)
		if l.Said != nil {
			after.Seq = l.Said.Seq
		}
	}
	return lines, after, nil
}

// CountLife returns how many lines there are, those of the device left out.
func (c *Catalog) CountLife(ctx context.Context, k RecordingKey) (int, error) {
	n, err := c.q.CountLife(ctx, db.CountLifeParams{Device: k.Device.String(), Rec: k.Rec.String()})
	if err != nil {
		return 0, fmt.Errorf("life of %s: %w", k.Rec, err)
	}
	return int(n), nil
}

// CustodyAt returns the custody event at a log index. Errors: ErrUnknown.
func (c *Catalog) CustodyAt(ctx context.Context, index int64) (db.Custody, error) {
	row, err := c.q.CustodyAt(ctx, index)
	return one(row, err, fmt.Sprintf("custody event at log leaf %d", index))
}

// KeyOf reads the ids of a recording's row.
func KeyOf(device, rec string) (k RecordingKey, err error) {
	if k.Device, err = evidence.ParseDeviceID(device); err != nil {
		return k, fmt.Errorf("catalog: %w", err)
	}
	if k.Rec, err = evidence.ParseRecordingID(rec); err != nil {
		return k, fmt.Errorf("catalog: %w", err)
	}
	return k, nil
}
