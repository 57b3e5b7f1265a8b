package casework

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
)

// How far ahead the locks of what is on hold are kept, and from when on they are lengthened again.
const (
	heldAhead = 365 * day
	heldRenew = 335 * day
)

// Progress is how far the locks of one recording have followed.
type Progress struct {
	Until   time.Time // they must last until then
	Done    int       // objects locked for so long, as read back
	Total   int
	Trouble string // why the rest is not; empty: all is
}

// Progress returns how far the locks of a recording have followed in the newest sweep that touched them.
func (r *Retention) Progress(k catalog.RecordingKey) (Progress, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.progress[k]
	return p, ok
}

// Shortfalls returns the recordings whose locks have not all followed.
func (r *Retention) Shortfalls() map[catalog.RecordingKey]Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[catalog.RecordingKey]Progress{}
	for k, p := range r.progress {
		if p.Done < p.Total || p.Trouble != "" {
			out[k] = p
		}
	}
	return out
}

const maxProgress = 10_000 // recordings whose progress is remembered

func (r *Retention) note(k catalog.RecordingKey, p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress == nil || len(r.progress) >= maxProgress {
		r.progress = map[catalog.RecordingKey]Progress{}
	}
	r.progress[k] = p
}

// lengthen lets locks follow: those whose term is longer than their locks, and those on hold whose locks end within a year.
func (r *Retention) lengthen(ctx context.Context) error {
	now := r.Now()
	behind, err := r.Catalog.LocksBehind(ctx)
	if err != nil {
		return err
	}
	until := map[catalog.RecordingKey]time.Time{}
	order := []catalog.RecordingKey{}
	for _, b := range behind {
		until[b.Key] = time.UnixMilli(b.Until)
		order = append(order, b.Key)
	}
	held, err := r.Catalog.HeldRecordings(ctx, now.Add(heldRenew).UnixMilli())
	if err != nil {
		return err
	}
	for _, k := range held {
		if _, ok := until[k]; !ok {
			order = append(order, k)
		}
		if ahead := archive.WholeSecond(now.Add(heldAhead)); ahead.After(until[k]) {
			until[k] = ahead
		}
	}
	var errs []error
	for _, k := range order {
		if ctx.Err() != nil {
			break
		}
		if err := r.follow(ctx, k, archive.WholeSecond(until[k])); err != nil {
			errs = append(errs, fmt.Errorf("locks of %s: %w", k.Rec, err))
		}
	}
	return errors.Join(errs...)
}

// follow lengthens the locks of all objects of a recording. The receipt that says so comes last: until it is there, all of it is done again, and
// what was done is found done.
func (r *Retention) follow(ctx context.Context, k catalog.RecordingKey, until time.Time) error {
	p := Progress{Until: until}
	prefix := archive.RecordingPrefix(k.Device, k.Rec)
	var chunks []archive.Ref
	var errs []error
	for held, err := range r.Vault.List(ctx, prefix) {
		if err != nil {
			errs = append(errs, err)
			break
		}
		p.Total++
		if strings.HasPrefix(held.Key, prefix+"chunks/") {
			chunks = append(chunks, held.Ref())
			continue
		}
		if err := r.extend(ctx, held.Ref(), until); err != nil {
			errs = append(errs, err)
			continue
		}
		p.Done++
		r.note(k, p)
	}
	if len(errs) == 0 {
		err := r.Lengthen(ctx, k, until)
		if err == nil {
			p.Done += len(chunks)
			r.note(k, p)
			return nil
		}
		errs = append(errs, err)
	}
	for _, ref := range chunks { // no receipt can be given for all: lock what is there
		if err := r.extend(ctx, ref, until); err != nil {
			errs = append(errs, err)
			continue
		}
		p.Done++
	}
	p.Trouble = errs[0].Error()
	r.note(k, p)
	return errors.Join(errs[0], ctx.Err())
}

// extend lengthens one lock. One that lasts longer already is right.
func (r *Retention) extend(ctx context.Context, ref archive.Ref, until time.Time) error {
	_, err := r.Vault.Extend(ctx, ref, until)
	if errors.Is(err, archive.ErrShorten) {
		return nil
	}
	return err
}

// parsed reads a digest of the catalog.
func parsed(text string) (evidence.Digest, error) {
	d, err := evidence.ParseDigest(text)
	if err != nil {
		return d, fmt.Errorf("catalog: %w", err)
	}
	return d, nil
}
