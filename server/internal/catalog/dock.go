package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// ActRegisterSet is the custody event that brings a register of officers into force: DetailVersion and DetailSize name its object.
const ActRegisterSet = "register-set"

// Members of that event's detail.
const (
	DetailVersion  = "version" // SHA-256 of the object
	DetailSize     = "size"    // bytes of it
	DetailOfficers = "officers"
)

func registerSet(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	version, err := evidence.ParseDigest(ev.Detail[DetailVersion])
	if err != nil {
		return fmt.Errorf("register set: %w", err)
	}
	size, err := strconv.ParseInt(ev.Detail[DetailSize], 10, 64)
	if err != nil {
		return fmt.Errorf("register set: %w", err)
	}
	return q.InsertRegister(ctx, db.InsertRegisterParams{LogIndex: int64(e.Index), At: ev.At, Version: version.String(), Size: size})
}

// LastRegister returns which register of officers is in force. Errors: ErrUnknown.
func (c *Catalog) LastRegister(ctx context.Context) (db.Register, error) {
	row, err := c.q.LastRegister(ctx)
	return one(row, err, "register of officers")
}

// Whole returns the recording in which a file is stored whole, by a device that was not revoked; the earliest of several.
// Errors: ErrUnknown.
func (c *Catalog) Whole(ctx context.Context, f transport.KnownFile) (db.Recording, error) {
	original := Original(f)
	if original == "" {
		return db.Recording{}, ErrUnknown
	}
	rows, err := c.q.WholeOriginals(ctx, original)
	if err != nil {
		return db.Recording{}, fmt.Errorf("look for a file: %w", err)
	}
	if len(rows) == 0 {
		return db.Recording{}, ErrUnknown
	}
	return rows[0], nil
}

// Shown is Recordings with one recording for each original.
func (c *Catalog) Shown(ctx context.Context, openedAt int64, rec string, n int) ([]Listed, error) {
	rows, err := c.q.ShownAfter(ctx, db.ShownAfterParams{OpenedAt: openedAt, Rec: rec, Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("list recordings: %w", err)
	}
	out := make([]Listed, len(rows))
	for i, r := range rows {
		out[i] = Listed{Recording: r.Recording, Class: r.Class}
	}
	return out, nil
}

// CountShown returns how many originals there are.
func (c *Catalog) CountShown(ctx context.Context) (int64, error) { return c.q.CountShown(ctx) }

// WithoutHeader returns up to n recordings that need a case header and have none, the oldest first, and how many there are.
func (c *Catalog) WithoutHeader(ctx context.Context, n int) (out []Listed, count int64, err error) {
	rows, err := c.q.WithoutHeader(ctx, int32(n))
	if err == nil {
		count, err = c.q.CountWithoutHeader(ctx)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list recordings without header: %w", err)
	}
	for _, r := range rows {
		out = append(out, Listed{Recording: r.Recording, Class: r.Class})
	}
	return out, count, nil
}

// NeedsHeader reports whether a recording has to have a case header and has none. Of several recordings of one original, it is the one that
// stands for all.
func NeedsHeader(r db.Recording) bool {
	return r.Footage == 1 && r.Shown == 1 && !r.HeaderFirstAt.Valid
}

// Late reports whether a recording's first header came later than the deadline after sealing began, or is needed and has not come by now.
// Corrections don't count.
func Late(r db.Recording, now time.Time, deadline time.Duration) bool {
	at := now.UnixMilli()
	if r.HeaderFirstAt.Valid {
		at = r.HeaderFirstAt.Int64
	}
	return (r.HeaderFirstAt.Valid || NeedsHeader(r)) && at-r.OpenedAt > deadline.Milliseconds()
}

// Attempts returns up to n recordings of one original other than r, in the order of the log, and how many there are.
func (c *Catalog) Attempts(ctx context.Context, r db.Recording, n int) (out []db.Recording, count int64, err error) {
	if r.Original == "" {
		return nil, 0, nil
	}
	rows, err := c.q.OfOriginal(ctx, db.OfOriginalParams{Original: r.Original, Page: int32(n) + 1})
	if err == nil {
		count, err = c.q.CountOfOriginal(ctx, r.Original)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list attempts at %s: %w", r.Rec, err)
	}
	for _, row := range rows {
		if (row.Device != r.Device || row.Rec != r.Rec) && len(out) < n {
			out = append(out, row)
		}
	}
	return out, count - 1, nil
}

// Neighbours are the recordings beside one in its sequence.
type Neighbours struct {
	Before, After *db.Recording // nil: it is the first, or the last
	Count         int64         // recordings in the sequence
}

// Neighbours returns what stands beside a recording in its sequence; Count is 0 if it is in none.
func (c *Catalog) Neighbours(ctx context.Context, r db.Recording) (n Neighbours, err error) {
	if r.Sequence == "" {
		return n, nil
	}
	before, err := c.q.BeforeInSequence(ctx, db.BeforeInSequenceParams{Sequence: r.Sequence, Device: r.Device, SequenceIndex: r.SequenceIndex})
	if err != nil {
		return n, fmt.Errorf("read sequence of %s: %w", r.Rec, err)
	}
	after, err := c.q.AfterInSequence(ctx, db.AfterInSequenceParams{Sequence: r.Sequence, Device: r.Device, SequenceIndex: r.SequenceIndex})
	if err != nil {
		return n, fmt.Errorf("read sequence of %s: %w", r.Rec, err)
	}
	if n.Count, err = c.q.CountSequence(ctx, db.CountSequenceParams{Sequence: r.Sequence, Device: r.Device}); err != nil {
		return n, fmt.Errorf("read sequence of %s: %w", r.Rec, err)
	}
	if len(before) > 0 {
		n.Before = &before[0]
	}
	if len(after) > 0 {
		n.After = &after[0]
	}
	return n, nil
}

// Said is one header, note or mark as it was said.
type Said[B any] struct {
	Seq  int64
	At   int64 // the device's clock, a claim
	Body B
}

// Headers returns a recording's headers in order: the first one, and the newest n.
func (c *Catalog) Headers(ctx context.Context, r db.Recording, n int) ([]Said[evidence.Header], error) {
	return saidOf[evidence.Header](ctx, c, r, evidence.KindHeader, n)
}

// Notes returns a recording's notes in order: the first one, and the newest n.
func (c *Catalog) Notes(ctx context.Context, r db.Recording, n int) ([]Said[evidence.Note], error) {
	return saidOf[evidence.Note](ctx, c, r, evidence.KindNote, n)
}

// Marks returns a recording's marks in order: the first one, and the newest n.
func (c *Catalog) Marks(ctx context.Context, r db.Recording, n int) ([]Said[evidence.Mark], error) {
	return saidOf[evidence.Mark](ctx, c, r, evidence.KindMark, n)
}

func saidOf[B any](ctx context.Context, c *Catalog, r db.Recording, kind evidence.Kind, n int) ([]Said[B], error) {
	rows, err := c.q.SaidOf(ctx, db.SaidOfParams{Device: r.Device, Rec: r.Rec, Kind: string(kind), Page: 1})
	if err != nil {
		return nil, fmt.Errorf("read %ss of %s: %w", kind, r.Rec, err)
	}
	last, err := c.q.LastSaidOf(ctx, db.LastSaidOfParams{Device: r.Device, Rec: r.Rec, Kind: string(kind), Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("read %ss of %s: %w", kind, r.Rec, err)
	}
	for i := len(last) - 1; i >= 0; i-- {
		if len(rows) == 0 || last[i].Seq > rows[0].Seq {
			rows = append(rows, last[i])
		}
	}
	out := make([]Said[B], len(rows))
	for i, row := range rows {
		out[i].Seq, out[i].At = row.Seq, row.At
		if err := json.Unmarshal([]byte(row.Body), &out[i].Body); err != nil {
			return nil, fmt.Errorf("%s %d of %s: %w", kind, row.Seq, r.Rec, err)
		}
	}
	return out, nil
}

// Unrecorded returns up to n acts that were not recorded, newest first, that come after the one at the given time with the given id;
// (evidence.MaxInt, "") begins.
func (c *Catalog) Unrecorded(ctx context.Context, at int64, rec string, n int) ([]db.Unrecorded, error) {
	rows, err := c.q.UnrecordedAfter(ctx, db.UnrecordedAfterParams{At: at, Rec: rec, Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("list acts that were not recorded: %w", err)
	}
	return rows, nil
}

// CountUnrecorded returns how many acts were not recorded.
func (c *Catalog) CountUnrecorded(ctx context.Context) (int64, error) {
	return c.q.CountUnrecorded(ctx)
}
