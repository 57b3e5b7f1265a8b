package catalog

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"camseal/pkg/evidence"
	"camseal/server/internal/casefile"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// Custody events about the calendar of working days and about a recording's moments.
const (
	ActCalendarSet = "calendar-set"
	ActMarked      = "marked"
)

// Members of their details.
const (
	DetailYear   = "year"
	DetailOff    = "off"    // days, YYYY-MM-DD, with spaces between
	DetailWorked = "worked" // days of a week's end that are worked, likewise
	DetailMoment = "moment" // milliseconds from the recording's begin
	DetailText   = "text"
)

// folded keeps the files of cases that were applied last, so that an event costs the same however many there were before it. It belongs to the one
// follower of the log, and is dropped whenever a transaction fails.
type folded struct {
	files map[casefile.ID]*casefile.File
	bytes int
}

// keptCases is how many bytes of events are kept folded.
const keptCases = 32 << 20

func (k *folded) file(ctx context.Context, q *db.Queries, id casefile.ID) (*casefile.File, error) {
	if f, ok := k.files[id]; ok {
		return f, nil
	}
	f, err := foldCase(ctx, q, id)
	if err != nil {
		return nil, err
	}
	if k.bytes += f.Bytes(); k.files == nil || k.bytes > keptCases {
		k.files, k.bytes = map[casefile.ID]*casefile.File{}, f.Bytes()
	}
	k.files[id] = f
	return f, nil
}

// applyCase brings a custody event about a case into the tables. The case is folded from all its events, so that what an event that the rules do
// not allow changes is nothing, here as anywhere.
func (p *Projector) applyCase(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent, raw []byte) error {
	event, id, ok := casefile.FromCustody(ev, e.Index)
	if !ok {
		return nil
	}
	f, err := p.cases.file(ctx, q, id)
	if err != nil {
		return err
	}
	err = q.InsertCaseEvent(ctx, db.InsertCaseEventParams{LogIndex: int64(e.Index), CaseID: string(id), Event: string(raw)})
	if err != nil {
		return err
	}
	was := f.Bytes()
	f.Apply(event)
	if p.cases.bytes += f.Bytes() - was; f.ID == "" {
		return nil
	}
	s := f.Summary()
	err = q.PutCase(ctx, db.PutCaseParams{ID: string(id), Number: s.Number, Title: s.Title, Party: s.Party, Body: s.Body, ReviewBody: s.ReviewBody,
		Activity: s.Activity, State: string(s.State), Due: s.Due, OpenedAt: s.OpenedAt, OpenedIndex: int64(f.Opened.Index), ChangedAt: s.ChangedAt,
		Rounds: int64(s.Rounds), Held: number(s.Held), BodyKey: casefile.BodyKey(s.Body), ReviewKey: casefile.BodyKey(s.ReviewBody),
		Words: lowered(s.Number + "\n" + s.Title + "\n" + s.Party)})
	if err != nil || event.Device == nil {
		return err
	}
	ever, now := false, false
	for _, l := range f.Links {
		if l.Device == *event.Device && l.Rec == event.Rec {
			ever, now = true, now || l.Unlinked == nil
		}
	}
	if !ever {
		return nil
	}
	return q.PutCaseRecording(ctx, db.PutCaseRecordingParams{CaseID: string(id), Device: event.Device.String(), Rec: event.Rec.String(), Linked: number(now)})
}

func foldCase(ctx context.Context, q *db.Queries, id casefile.ID) (*casefile.File, error) {
	rows, err := q.CaseEvents(ctx, string(id))
	if err != nil {
		return nil, fmt.Errorf("read case %s: %w", id, err)
	}
	f := &casefile.File{}
	for _, row := range rows {
		var ev evidence.CustodyEvent
		if err := evidence.Decode([]byte(row.Event), &ev); err != nil {
			return nil, fmt.Errorf("read case %s: log leaf %d: %w", id, row.LogIndex, err)
		}
		if e, _, ok := casefile.FromCustody(&ev, uint64(row.LogIndex)); ok {
			f.Apply(e)
		}
	}
	return f, nil
}

func lowered(s string) string { return strings.ToLower(s) }

// Case returns a case, as its events made it. Errors: ErrUnknown.
func (c *Catalog) Case(ctx context.Context, id casefile.ID) (*casefile.File, error) {
	f, err := foldCase(ctx, c.q, id)
	if err == nil && f.ID == "" {
		return nil, fmt.Errorf("case %s: %w", id, ErrUnknown)
	}
	return f, err
}

// CaseQuery is what cases are looked for by; empty members look for nothing.
type CaseQuery struct {
	Text             string // in number, title and party, in any case
	State            casefile.State
	Body, ReviewBody string
	Due              int64  // due before, milliseconds since 1970 UTC
	Before           uint64 // opened before this log leaf; 0: no bound
	N                int
}

// Cases returns summaries, the newest first, and where the next page begins: 0 if there is none.
func (c *Catalog) Cases(ctx context.Context, q CaseQuery) (out []casefile.Summary, next uint64, err error) {
	p := db.CasesBeforeParams{Before: math.MaxInt64, State: string(q.State), BodyKey: casefile.BodyKey(q.Body), ReviewKey: casefile.BodyKey(q.ReviewBody),
		Due: q.Due, Page: int32(q.N + 1)}
	if q.Before > 0 && q.Before < math.MaxInt64 {
		p.Before = int64(q.Before)
	}
	if q.Text != "" {
		p.Pattern = "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(lowered(q.Text)) + "%"
	}
	if q.Due > 0 && q.State == "" {
		p.State = string(casefile.InReview) // no other has a term
	}
	var rows []db.Case
	switch { // the same question, so that each finds its index
	case p.BodyKey != "":
		rows, err = c.q.CasesOfBody(ctx, db.CasesOfBodyParams(p))
	case p.State != "":
		rows, err = c.q.CasesInState(ctx, db.CasesInStateParams(p))
	default:
		rows, err = c.q.CasesBefore(ctx, p)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list cases: %w", err)
	}
	if len(rows) > q.N {
		rows = rows[:q.N]
		next = uint64(rows[q.N-1].OpenedIndex)
	}
	return summaries(rows), next, nil
}

func summaries(rows []db.Case) []casefile.Summary {
	out := make([]casefile.Summary, 0, len(rows))
	for _, r := range rows {
		out = append(out, casefile.Summary{ID: casefile.ID(r.ID), Number: r.Number, Title: r.Title, Party: r.Party, Body: r.Body, ReviewBody: r.ReviewBody,
			Activity: r.Activity, State: casefile.State(r.State), Due: r.Due, OpenedAt: r.OpenedAt, ChangedAt: r.ChangedAt, Rounds: int(r.Rounds), Held: r.Held == 1})
	}
	return out
}

// CasesOf returns up to n cases that a recording belongs to now, the newest first.
func (c *Catalog) CasesOf(ctx context.Context, d evidence.DeviceID, rec evidence.RecordingID, n int) ([]casefile.Summary, error) {
	rows, err := c.q.CasesOfRecording(ctx, db.CasesOfRecordingParams{Rec: rec.String(), Device: d.String(), Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("cases of recording %s: %w", rec, err)
	}
	return summaries(rows), nil
}

// HeldBy returns the ids of the cases that hold a recording from disposal.
func (c *Catalog) HeldBy(ctx context.Context, d evidence.DeviceID, rec evidence.RecordingID) ([]string, error) {
	ids, err := c.q.HoldingCases(ctx, db.HoldingCasesParams{Rec: rec.String(), Device: d.String()})
	if err != nil {
		return nil, fmt.Errorf("holds of recording %s: %w", rec, err)
	}
	return ids, nil
}

// marked writes a moment that somebody marked. One that this server can't read marks nothing; it stays in the chain of custody.
func marked(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	moment, err := strconv.ParseUint(ev.Detail[DetailMoment], 10, 63)
	if err != nil {
		return nil
	}
	return q.InsertViewerMark(ctx, db.InsertViewerMarkParams{LogIndex: int64(e.Index), Device: ev.Device.String(), Rec: ev.Rec.String(), Moment: int64(moment),
		Text: ev.Detail[DetailText], Account: ev.Detail[casefile.DetailAccount], Actor: ev.Actor, At: ev.At})
}

// ViewerMarks returns up to n moments that people marked in the browser, in the order of the footage.
func (c *Catalog) ViewerMarks(ctx context.Context, d evidence.DeviceID, rec evidence.RecordingID, n int) ([]db.ViewerMark, error) {
	rows, err := c.q.ViewerMarks(ctx, db.ViewerMarksParams{Rec: rec.String(), Device: d.String(), Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("marks of recording %s: %w", rec, err)
	}
	return rows, nil
}

// calendarSet puts a year of the administrator's calendar in the place of the one before. One that this server can't read changes nothing.
func calendarSet(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	year, err := strconv.ParseInt(ev.Detail[DetailYear], 10, 32)
	if err != nil {
		return nil
	}
	return q.PutCalendarYear(ctx, db.PutCalendarYearParams{Year: year, Off: ev.Detail[DetailOff], Worked: ev.Detail[DetailWorked], At: ev.At, Actor: ev.Actor,
		LogIndex: int64(e.Index)})
}

// CalendarYears returns the years that the administrator entered.
func (c *Catalog) CalendarYears(ctx context.Context) ([]db.CalendarYear, error) {
	rows, err := c.q.CalendarYears(ctx)
	if err != nil {
		return nil, fmt.Errorf("read calendar: %w", err)
	}
	return rows, nil
}

// UnrecordedBetween returns up to n acts that were declared unrecorded from since to before until, by the devices' clocks.
func (c *Catalog) UnrecordedBetween(ctx context.Context, since, until int64, n int) ([]db.Unrecorded, error) {
	rows, err := c.q.UnrecordedBetween(ctx, db.UnrecordedBetweenParams{Since: since, Until: until, Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("read unrecorded acts: %w", err)
	}
	return rows, nil
}
