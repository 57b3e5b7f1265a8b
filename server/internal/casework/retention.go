package casework

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// Refusal says why somebody may not do something about retention: Key is a text's.
type Refusal struct{ Key string }

func (e *Refusal) Error() string { return "refused: " + e.Key }

// Retention keeps recordings for as long as they must be kept, and disposes of them when two persons say so. It is safe for concurrent use; one
// process a catalog.
type Retention struct {
	Book     *Book
	Catalog  *catalog.Catalog
	Vault    archive.Vault
	Disposer archive.Disposer                                                         // nil: nothing can be disposed of here
	Lengthen func(ctx context.Context, k catalog.RecordingKey, until time.Time) error // locks of a recording's chunks, and a stored receipt that says so
	Longest  time.Duration                                                            // the retention of the log: no term may be longer
	Interval time.Duration                                                            // between sweeps
	Now      func() time.Time
	Slog     *slog.Logger

	sweeps sync.Mutex // one at a time
	acts   sync.Mutex // one act at a time: what was checked still holds when it is recorded

	mu       sync.Mutex
	progress map[catalog.RecordingKey]Progress
	wake     chan struct{}
}

const (
	maxReason = 2000 // bytes
	day       = 24 * time.Hour
)

var className = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$`)

// SetClass makes a retention class, or lengthens its term: everything in it is kept so much longer.
func (r *Retention) SetClass(ctx context.Context, by auth.Account, name string, days int) error {
	r.acts.Lock()
	defer r.acts.Unlock()
	name = strings.TrimSpace(name)
	switch {
	case !by.May(auth.Retain):
		return &Refusal{"retain-role"}
	case !className.MatchString(name) || name == catalog.DefaultClass:
		return &Refusal{"retain-name"}
	case days < 1 || days > catalog.MaxDays:
		return &Refusal{"retain-days"}
	case time.Duration(days)*day > r.Longest:
		return &Refusal{"retain-longest"}
	}
	known, err := r.Catalog.Class(ctx, name)
	if err == nil && int64(days) <= known.Days {
		return &Refusal{"retain-lengthen"}
	}
	if err != nil && !errors.Is(err, catalog.ErrUnknown) {
		return err
	}
	_, err = r.Book.Record(ctx, Act{Name: catalog.ActClassSet, Actor: by.Actor(),
		Detail: evidence.Detail{catalog.DetailName: name, catalog.DetailDays: strconv.Itoa(days), catalog.DetailAccount: by.ID}})
	r.Wake()
	return err
}

// Term is how long a recording would be kept in a class.
type Term struct {
	Base  int64 // from when on it counts: milliseconds since 1970 UTC
	Until int64
}

// TermOf says how long a recording would be kept in a class. Refused is one that ends earlier than the recording is kept already.
func (r *Retention) TermOf(ctx context.Context, row db.Recording, class string) (t Term, err error) {
	c, err := r.Catalog.Class(ctx, class)
	if errors.Is(err, catalog.ErrUnknown) {
		return t, &Refusal{"retain-unknown"}
	}
	if err != nil {
		return t, err
	}
	if t.Base, err = r.base(ctx, row); err != nil {
		return t, err
	}
	t.Until = t.Base + c.Days*day.Milliseconds()
	until, err := r.KeptUntil(ctx, row)
	if err == nil && t.Until < until {
		err = &Refusal{"retain-shorter"}
	}
	return t, err
}

// base is from when on a recording's term counts: when it was closed, else opened, by the device's clock; now, if that can't be true.
func (r *Retention) base(ctx context.Context, row db.Recording) (int64, error) {
	k, err := catalog.KeyOf(row.Device, row.Rec)
	if err != nil {
		return 0, err
	}
	dev, err := r.Catalog.Device(ctx, k.Device)
	if err != nil {
		return 0, err
	}
	claim, now := row.OpenedAt, r.Now().UnixMilli()
	if row.ClosedAt.Valid {
		claim = row.ClosedAt.Int64
	}
	if claim < dev.EnrolledAt || claim > now {
		return now, nil
	}
	return claim, nil
}

// KeptUntil is until when a recording must be kept at least, milliseconds since 1970 UTC, whatever the cases say.
func (r *Retention) KeptUntil(ctx context.Context, row db.Recording) (int64, error) {
	k, err := catalog.KeyOf(row.Device, row.Rec)
	if err != nil {
		return 0, err
	}
	kept, err := r.Catalog.Retained(ctx, k)
	if errors.Is(err, catalog.ErrUnknown) {
		return row.StoredUntil, nil
	}
	return max(kept.UntilAt, row.StoredUntil), err
}

// Retain gives a recording a class. Its locks follow soon.
func (r *Retention) Retain(ctx context.Context, by auth.Account, rec evidence.RecordingID, class string) error {
	r.acts.Lock()
	defer r.acts.Unlock()
	if !by.May(auth.Retain) {
		return &Refusal{"retain-role"}
	}
	row, err := r.Catalog.FindRecording(ctx, rec)
	if err != nil {
		return err
	}
	term, err := r.TermOf(ctx, row, class)
	if err != nil {
		return err
	}
	k, err := catalog.KeyOf(row.Device, row.Rec)
	if err != nil {
		return err
	}
	if _, err := r.Catalog.Disposal(ctx, k); !errors.Is(err, catalog.ErrUnknown) {
		return errors.Join(&Refusal{"retain-proposed"}, err)
	}
	_, err = r.Book.Record(ctx, Act{Name: catalog.ActRetained, Actor: by.Actor(), Device: &k.Device, Rec: k.Rec, Detail: evidence.Detail{
		catalog.DetailClass: class, catalog.DetailBase: strconv.FormatInt(term.Base, 10), catalog.DetailUntil: strconv.FormatInt(term.Until, 10),
		catalog.DetailAccount: by.ID}})
	r.Wake()
	return err
}

// keepers says why a recording may not be disposed of for the sake of cases: nil if no hold is on and no open case needs it.
func (r *Retention) keepers(ctx context.Context, k catalog.RecordingKey) error {
	held, err := r.Catalog.HeldBy(ctx, k.Device, k.Rec)
	if err != nil {
		return err
	}
	if len(held) > 0 {
		return &Refusal{"dispose-held"}
	}
	open, err := r.Catalog.OpenCasesOf(ctx, k)
	if err == nil && open > 0 {
		err = &Refusal{"dispose-case"}
	}
	return err
}

// Wake has the sweep begin now.
func (r *Retention) Wake() {
	select {
	case r.waking() <- struct{}{}:
	default:
	}
}

func (r *Retention) waking() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wake == nil {
		r.wake = make(chan struct{}, 1)
	}
	return r.wake
}

// Run sweeps again and again until ctx ends.
func (r *Retention) Run(ctx context.Context) {
	tick := time.NewTicker(r.Interval)
	defer tick.Stop()
	for {
		if err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
			r.Slog.ErrorContext(ctx, "retention: not everything could be done; it is tried again", slog.Any("error", err))
		}
		select {
		case <-tick.C:
		case <-r.waking():
		case <-ctx.Done():
			return
		}
	}
}

// Sweep lets the locks follow the terms and holds, and finishes disposals. What fails is left for the next time, and keeps nothing else back.
func (r *Retention) Sweep(ctx context.Context) error {
	r.sweeps.Lock()
	defer r.sweeps.Unlock()
	errs := []error{r.lengthen(ctx)}
	left, err := r.Catalog.DisposalsLeft(ctx, r.Now().UnixMilli())
	errs = append(errs, err)
	for _, d := range left {
		if ctx.Err() != nil {
			break
		}
		if err := r.remove(ctx, d); err != nil {
			errs = append(errs, fmt.Errorf("dispose of %s: %w", d.Rec, err))
		}
	}
	return errors.Join(errs...)
}
