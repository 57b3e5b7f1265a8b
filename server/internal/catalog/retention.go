package catalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"camseal/pkg/evidence"
	"camseal/server/internal/casefile"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// Custody events about how long recordings are kept.
const (
	ActClassSet = "retention-class-set" // DetailName, DetailDays: a class is there, or its term is longer
	ActRetained = "retained"            // a recording's class: DetailClass, DetailBase, DetailUntil
)

// Members of these events' detail. Times are milliseconds since 1970 UTC.
const (
	DetailDays  = "days"
	DetailBase  = "base"  // from when on the term counts
	DetailUntil = "until" // the recording is kept at least until then
)

const dayMillis = 24 * 3600 * 1000

// MaxDays is the longest term of a class.
const MaxDays = 36500

// DefaultClass is the class of recordings that were given none: its term is the configured retention.
const DefaultClass = "default"

// applyRetention applies what is said about keeping. Events that say nothing sound change nothing.
func applyRetention(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	number := func(key string) (n int64) {
		n, err := strconv.ParseInt(ev.Detail[key], 10, 64)
		if err != nil || n < 0 || n > evidence.MaxInt {
			return -1
		}
		return n
	}
	switch ev.Act {
	case ActClassSet:
		name, days := ev.Detail[DetailName], number(DetailDays)
		if name == "" || name == DefaultClass || days < 1 || days > MaxDays {
			return nil
		}
		return errors.Join(
			q.PutClass(ctx, db.PutClassParams{Name: name, Days: days, SetAt: ev.At, SetBy: ev.Actor, LogIndex: int64(e.Index)}),
			q.LengthenClass(ctx, db.LengthenClassParams{Class: name, Term: days * dayMillis}))
	case ActRetained:
		base, until := number(DetailBase), number(DetailUntil)
		if ev.Device == nil || base < 0 || until < 0 {
			return nil
		}
		return q.PutRetained(ctx, db.PutRetainedParams{Device: ev.Device.String(), Rec: ev.Rec.String(), Class: ev.Detail[DetailClass], BaseAt: base,
			UntilAt: until, SetBy: ev.Actor, LogIndex: int64(e.Index)})
	}
	return nil
}

// Classes returns the retention classes, the shortest first.
func (c *Catalog) Classes(ctx context.Context) ([]db.RetentionClass, error) {
	list, err := c.q.Classes(ctx)
	if err != nil {
		return nil, fmt.Errorf("read retention classes: %w", err)
	}
	return list, nil
}

// Class returns a retention class. Errors: ErrUnknown.
func (c *Catalog) Class(ctx context.Context, name string) (db.RetentionClass, error) {
	row, err := c.q.Class(ctx, name)
	return one(row, err, "retention class "+strconv.Quote(name))
}

// Retained returns a recording's class and how long it is to be kept. Errors: ErrUnknown if it was given none.
func (c *Catalog) Retained(ctx context.Context, k RecordingKey) (db.Retained, error) {
	row, err := c.q.RetainedOf(ctx, db.RetainedOfParams{Device: k.Device.String(), Rec: k.Rec.String()})
	return one(row, err, "retention of "+k.Rec.String())
}

// Behind is a recording whose locks end before it may be disposed of.
type Behind struct {
	Key   RecordingKey
	Until int64 // its locks must last until then
}

// LocksBehind returns the recordings whose locks have to follow.
func (c *Catalog) LocksBehind(ctx context.Context) ([]Behind, error) {
	rows, err := c.q.LocksBehind(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for locks that must follow: %w", err)
	}
	out := make([]Behind, 0, len(rows))
	for _, r := range rows {
		k, err := KeyOf(r.Recording.Device, r.Recording.Rec)
		if err != nil {
			return nil, err
		}
		out = append(out, Behind{k, r.UntilAt})
	}
	return out, nil
}

// Ending is where a page of recordings that end begins: behind one with this end and id.
type Ending struct {
	Until int64
	Rec   string
}

// EndingBetween returns up to n recordings whose retention ends in [begin, end), the soonest first, behind the given one. Those that are
// proposed for disposal are not among them.
func (c *Catalog) EndingBetween(ctx context.Context, begin, end int64, after Ending, n int) ([]db.Recording, error) {
	rows, err := c.q.EndingBetween(ctx, db.EndingBetweenParams{Begins: max(begin, after.Until), Ends: end, After: after.Until, AfterRec: after.Rec, Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("look for ends of retention: %w", err)
	}
	return rows, nil
}

// HeldRecordings returns the recordings that a case with a hold keeps and whose locks end before the given time.
func (c *Catalog) HeldRecordings(ctx context.Context, before int64) ([]RecordingKey, error) {
	rows, err := c.q.HeldRecordings(ctx, before)
	if err != nil {
		return nil, fmt.Errorf("look for recordings on hold: %w", err)
	}
	out := make([]RecordingKey, 0, len(rows))
	for _, r := range rows {
		k, err := KeyOf(r.Device, r.Rec)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// OpenCasesOf returns how many cases a recording belongs to that are neither decided nor refused.
func (c *Catalog) OpenCasesOf(ctx context.Context, k RecordingKey) (int, error) {
	n, err := c.q.CountOpenCases(ctx, db.CountOpenCasesParams{Rec: k.Rec.String(), Device: k.Device.String(), Decided: string(casefile.Decided),
		Refused: string(casefile.Refusal)})
	if err != nil {
		return 0, fmt.Errorf("open cases of %s: %w", k.Rec, err)
	}
	return int(n), nil
}

// CountedAt returns what a device's counter was at a statement. Errors: ErrUnknown if it was not counted.
func (c *Catalog) CountedAt(ctx context.Context, d evidence.DeviceID, seq uint64) (db.Counted, error) {
	row, err := c.q.CountedAt(ctx, db.CountedAtParams{Device: d.String(), Seq: int64(seq)})
	return one(row, err, fmt.Sprintf("counter at statement %d", seq))
}
