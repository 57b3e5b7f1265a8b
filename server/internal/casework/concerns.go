package casework

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/register"
	"camseal/pkg/verify"
	"camseal/server/internal/casefile"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/workdays"
)

// Concern is something about a case that a person should look at: Key is a text's key, Args fill it in.
type Concern struct {
	Key  string
	Args []any
	Rec  evidence.RecordingID // zeros: about none
	Must bool                 // a submission is refused because of it
}

// ConcernKeys are the keys of all concerns but those of what a submission lacks, whose keys are those of casefile.Refused.
var ConcernKeys = []string{"concern-no-register", "concern-officer-plain", "concern-officer-unknown", "concern-officer-other", "concern-officer-undated",
	"concern-officer-invalid", "concern-gone", "concern-not-stored", "concern-needs-header", "concern-no-recording", "concern-incomplete", "concern-faults",
	"concern-absent", "concern-gap", "concern-no-span", "concern-counter", "concern-fork", "concern-unrecorded", "concern-calendar"}

// Bounds of what is told.
const (
	gapAllowed = 60 * time.Second // between one recording's end and the next one's begin (R3)
	around     = 24 * time.Hour   // before and after its recordings, in which a device's missing counter values count
	maxActs    = 1000             // unrecorded acts of one day that are looked at
	maxPerKind = 50
)

// Concerns says what a submission lacks and what speaks against the material: fields, self-check, documents without signature, certificates not valid on
// the day, and for activities that need full recording (R3) gaps, faults, missing counter values, recordings not stored whole, acts declared unrecorded.
func (c *Cases) Concerns(ctx context.Context, f *casefile.File) ([]Concern, error) {
	out := []Concern{}
	for _, key := range f.Lacks() {
		out = append(out, Concern{Key: key, Must: true})
	}
	officers, err := c.officers(ctx, f)
	if err != nil {
		return nil, err
	}
	out = append(out, officers...)
	footage, err := c.footage(ctx, f)
	if err != nil {
		return nil, err
	}
	out = append(out, footage...)
	year, err := c.unknownYear(ctx, f)
	if year > 0 {
		out = append(out, Concern{Key: "concern-calendar", Args: []any{year}})
	}
	return out, err
}

// unknownYear returns the year in which the term ends, or would if the case were submitted now, if its holidays are not known; else 0.
func (c *Cases) unknownYear(ctx context.Context, f *casefile.File) (int, error) {
	calendar, err := c.Calendar(ctx)
	if err != nil {
		return 0, err
	}
	due := time.Time{}
	switch f.State {
	case casefile.InReview:
		due = time.UnixMilli(f.Rounds[len(f.Rounds)-1].Due)
	case casefile.Open, casefile.Returned:
		due = calendar.Due(c.Book.Now(), workdays.ReviewDays)
	default:
		return 0, nil
	}
	if year := due.In(c.Zone).Year(); !calendar.Known(year) {
		return year, nil
	}
	return 0, nil
}

// officers compares the case's officers with the register (R13).
func (c *Cases) officers(ctx context.Context, f *casefile.File) (out []Concern, err error) {
	list := casefile.OfficersOf(f.Value(casefile.Officers))
	if len(list) == 0 {
		return nil, nil
	}
	reg, err := c.Register(ctx)
	if err != nil {
		return nil, err
	}
	if reg == nil {
		return []Concern{{Key: "concern-no-register"}}, nil
	}
	day, err := time.Parse(time.DateOnly, f.Value(casefile.Day))
	dated := err == nil // without a day, what it lacks says so
	for _, o := range list {
		known, ok := register.ByCertificate(reg, o.Certificate)
		switch {
		case o.Certificate == "":
			out = append(out, Concern{Key: "concern-officer-plain", Args: []any{o.Name}})
		case !ok:
			out = append(out, Concern{Key: "concern-officer-unknown", Args: []any{o.Name, o.Certificate}})
		case known.Name != o.Name:
			out = append(out, Concern{Key: "concern-officer-other", Args: []any{o.Name, o.Certificate, known.Name}})
		case known.ValidUntil == "":
			out = append(out, Concern{Key: "concern-officer-undated", Args: []any{o.Name, o.Certificate}})
		case dated && !known.Valid(day):
			out = append(out, Concern{Key: "concern-officer-invalid", Args: []any{o.Name, o.Certificate, known.ValidUntil}})
		}
	}
	return out, nil
}

// take is a linked recording with when it was filmed, as claimed.
type take struct {
	db.Recording
	id    evidence.RecordingID
	spans []span // in order; none: not known
}

// span is a stretch of footage without a gap, in milliseconds since 1970 UTC.
type span struct{ from, till int64 }

func (c *Cases) footage(ctx context.Context, f *casefile.File) (out []Concern, err error) {
	whole := casefile.FullRecording(f.Value(casefile.Activity))
	var takes []take
	devices := map[evidence.DeviceID][]take{}
	for _, l := range f.Linked() {
		r, err := c.Catalog.Recording(ctx, l.Device, l.Rec)
		if errors.Is(err, catalog.ErrUnknown) {
			out = append(out, Concern{Key: "concern-gone", Args: []any{l.Rec.String()}, Rec: l.Rec})
			continue
		}
		if err != nil {
			return nil, err
		}
		t := take{Recording: r, id: l.Rec}
		if whole {
			if t.spans, err = c.spans(ctx, l, r); err != nil {
				return nil, err
			}
		}
		takes = append(takes, t)
		devices[l.Device] = append(devices[l.Device], t)
	}
	for _, t := range takes {
		goesOn := slices.ContainsFunc(takes, func(x take) bool { return x.Device == t.Device && x.Continues == t.Rec })
		out = append(out, aboutOne(t, whole, goesOn)...)
	}
	if !whole {
		return out, nil
	}
	if len(takes) == 0 {
		out = append(out, Concern{Key: "concern-no-recording"})
	}
	out = append(out, c.gaps(takes)...)
	missing, err := c.missing(ctx, f, devices)
	if err != nil {
		return nil, err
	}
	unrecorded, err := c.unrecorded(ctx, f)
	return append(append(out, missing...), unrecorded...), err
}

// aboutOne says what speaks against one recording. goesOn says that another of the case continues it: then it need not be complete by itself.
func aboutOne(t take, whole, goesOn bool) (out []Concern) {
	add := func(key string, args ...any) {
		out = append(out, Concern{Key: key, Args: append([]any{t.Name}, args...), Rec: t.id})
	}
	if t.Standing != catalog.StandingWhole {
		add("concern-not-stored")
	}
	if catalog.NeedsHeader(t.Recording) {
		add("concern-needs-header")
	}
	if !whole {
		return out
	}
	if !t.ClosedAt.Valid || t.Why != evidence.WhyComplete && !(goesOn && t.Why == evidence.WhyMediaChanged) {
		add("concern-incomplete")
	}
	if t.Faults > 0 {
		add("concern-faults", t.Faults)
	}
	if t.Absent != "" && t.Absent != "[]" {
		add("concern-absent")
	}
	return out
}

// spans says from when to when a recording was filmed, as far as claims tell: a device's own capture as its segments say, from the device's clock
// when it began, a file from its own time back by its length. None: they don't.
func (c *Cases) spans(ctx context.Context, l casefile.Link, r db.Recording) ([]span, error) {
	capture := r.Mode == string(evidence.ModeCapture)
	if !capture && !r.ClosedAt.Valid {
		return nil, nil
	}
	v, err := c.Book.Log.Recordings.View(ctx, catalog.RecordingKey{Device: l.Device, Rec: l.Rec})
	if err != nil {
		return nil, err
	}
	if capture {
		return captured(&v), nil
	}
	if v.Close == nil || r.Modified == 0 {
		return nil, nil
	}
	duration := int64(v.Close.Duration)
	if duration == 0 { // the device does not say: as far as somebody has looked into it
		looks, err := c.Catalog.Looks(ctx, []string{r.Rec})
		if err != nil {
			return nil, err
		}
		duration = looks[r.Rec].Duration
	}
	if duration == 0 {
		return nil, nil
	}
	return []span{{r.Modified - duration, r.Modified}}, nil
}

// captured are the stretches of a captured recording between which more is missing than may be. How it was closed says nothing of its length:
// one that was cut off is closed when the recorder is back.
func captured(v *verify.Recording) (out []span) {
	began := catalog.FootageBegan(v)
	for i, chunk := range v.Chunks {
		if chunk.Duration == 0 || v.Lost[uint64(i)] {
			continue
		}
		from, till := began+int64(chunk.Start), began+int64(chunk.Start+chunk.Duration)
		if n := len(out); n > 0 && from-out[n-1].till <= gapAllowed.Milliseconds() {
			out[n-1].till = max(out[n-1].till, till)
		} else {
			out = append(out, span{from, till})
		}
	}
	return out
}

// gaps finds where nothing was recorded between the first begin and the last end: recordings of several cameras fill each other's gaps.
func (c *Cases) gaps(takes []take) (out []Concern) {
	type stretch struct {
		span
		id evidence.RecordingID
	}
	var known []stretch
	unknown := 0
	for _, t := range takes {
		if len(t.spans) == 0 {
			unknown++
		}
		for _, s := range t.spans {
			known = append(known, stretch{s, t.id})
		}
	}
	if unknown > 0 {
		out = append(out, Concern{Key: "concern-no-span", Args: []any{unknown}})
	}
	slices.SortStableFunc(known, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	var end int64
	for i, t := range known {
		if i > 0 && t.from-end > gapAllowed.Milliseconds() && len(out) < maxPerKind {
			out = append(out, Concern{Key: "concern-gap", Args: []any{c.clock(end), c.clock(t.from), (t.from - end) / 1000}, Rec: t.id})
		}
		end = max(end, t.till)
	}
	return out
}

func (c *Cases) clock(at int64) string { return time.UnixMilli(at).In(c.Zone).Format(time.DateTime) }

// missing finds counter values of the case's devices that never arrived, from around the time of its recordings.
func (c *Cases) missing(ctx context.Context, f *casefile.File, devices map[evidence.DeviceID][]take) (out []Concern, err error) {
	seen := map[evidence.DeviceID]bool{}
	for _, l := range f.Linked() {
		if takes := devices[l.Device]; len(takes) > 0 && !seen[l.Device] {
			seen[l.Device] = true
			account, err := c.Catalog.Account(ctx, l.Device.String())
			if err != nil {
				return nil, err
			}
			from, till := takes[0].OpenedAt, takes[0].OpenedAt
			for _, t := range takes {
				from, till = min(from, t.OpenedAt), max(till, t.OpenedAt, t.ClosedAt.Int64)
			}
			from, till = from-around.Milliseconds(), till+around.Milliseconds()
			for _, g := range account.Gaps {
				if g.After.At <= till && g.Before.At >= from && len(out) < maxPerKind {
					out = append(out, Concern{Key: "concern-counter", Args: []any{l.Device.Short(), g.From, g.To}})
				}
			}
			if len(account.Forks) > 0 {
				out = append(out, Concern{Key: "concern-fork", Args: []any{l.Device.Short()}})
			}
		}
	}
	return out, nil
}

// unrecorded finds acts of the day that the case's officers said were not recorded.
func (c *Cases) unrecorded(ctx context.Context, f *casefile.File) (out []Concern, err error) {
	day, err := time.ParseInLocation(time.DateOnly, f.Value(casefile.Day), c.Zone)
	if err != nil {
		return nil, nil // what lacks says so
	}
	rows, err := c.Catalog.UnrecordedBetween(ctx, day.UnixMilli(), day.AddDate(0, 0, 1).UnixMilli(), maxActs)
	if err != nil {
		return nil, err
	}
	officers := casefile.OfficersOf(f.Value(casefile.Officers))
	for _, r := range rows {
		theirs := slices.ContainsFunc(officers, func(o evidence.Officer) bool {
			return o.Certificate != "" && strings.Contains(r.SaidBy, o.Certificate) || o.Name != "" && strings.Contains(r.SaidBy, o.Name)
		})
		if !theirs || len(out) == maxPerKind {
			continue
		}
		rec, err := evidence.ParseRecordingID(r.Rec)
		if err != nil {
			return nil, fmt.Errorf("unrecorded act: %w", err)
		}
		out = append(out, Concern{Key: "concern-unrecorded", Args: []any{r.Activity, r.SaidBy, r.Reason}, Rec: rec})
	}
	return out, nil
}
