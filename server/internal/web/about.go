package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/register"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// How many of each a page shows; the first one is always among them.
const (
	shownHeaders  = 20
	shownMarks    = 100
	shownAttempts = 10
)

// about is what the people who were there said a recording is about, and what stands beside it.
type about struct {
	Headers  []catalog.Said[evidence.Header] // the first, and the newest, in order
	Newest   *catalog.Said[evidence.Header]  // nil: there is none
	Elements []element                       // of the newest
	Officers []officer                       // of the newest
	Spoken   *evidence.SpokenHeader          // of the newest header that was spoken; nil: all were typed
	Notes    []catalog.Said[evidence.Note]
	Note     *catalog.Said[evidence.Note] // the newest
	Marks    []catalog.Said[evidence.Mark]
	Marked   []db.ViewerMark     // by people who looked at it
	Due      int64               // until when the first header had to be there
	Register *transport.Register // nil: there is none, or it can't be read
	Unread   bool                // it can't be read
	Beside   catalog.Neighbours
	Attempts []attempt
	More     int64 // attempts that are not shown
}

// element is one part of the header, in the newest words and, where they were others, in the first ones.
type element struct {
	Key, Value, First string
}

// Corrected reports whether a correction changed it.
func (e element) Corrected() bool { return e.Value != e.First }

// officer is a person of the header with what the register says of the certificate.
type officer struct {
	Name, Certificate string
	Flag              string // a text's key; certificate-valid if all is well, empty without a register
	Until             string // the certificate's last day, as far as known
	Known             string // the name in the register, if it is another
}

// Well reports whether the register knows nothing against the officer.
func (o officer) Well() bool { return o.Flag == "certificate-valid" || o.Flag == "" }

// attempt is another recording of the same original.
type attempt struct {
	db.Recording
	Other bool // both are whole, and their bytes differ: it is not the same original after all
}

// Whole reports whether it was closed with the whole source taken in.
func (a attempt) Whole() bool { return a.Standing >= catalog.StandingClosed }

func (s *site) about(ctx context.Context, r db.Recording) (a about, err error) {
	a.Due = r.OpenedAt + s.HeaderDeadline.Milliseconds()
	a.Register, a.Unread = s.register(ctx)
	key, err := keyOf(r)
	if err != nil {
		return a, err
	}
	var errs [6]error
	a.Headers, errs[0] = s.Catalog.Headers(ctx, r, shownHeaders)
	a.Notes, errs[1] = s.Catalog.Notes(ctx, r, shownHeaders)
	a.Marks, errs[2] = s.Catalog.Marks(ctx, r, shownMarks)
	a.Marked, errs[5] = s.Catalog.ViewerMarks(ctx, key.Device, key.Rec, shownMarks)
	a.Beside, errs[3] = s.Catalog.Neighbours(ctx, r)
	a.Attempts, a.More, errs[4] = s.attempts(ctx, r)
	if err := errors.Join(errs[:]...); err != nil {
		return a, err
	}
	if n := len(a.Notes); n > 0 {
		a.Note = &a.Notes[n-1]
	}
	if n := len(a.Headers); n > 0 {
		a.Newest = &a.Headers[n-1]
		a.Elements = elementsOf(&a.Headers[0].Body, &a.Newest.Body)
		a.Officers = officersOf(a.Register, a.Newest.Body.Officers, dayOf(r, a.Newest.Body.Time))
		for _, h := range a.Headers {
			if h.Body.Spoken != nil {
				a.Spoken = h.Body.Spoken
			}
		}
	}
	return a, nil
}

// register returns the register in force. One that can't be read keeps nobody from looking at recordings.
func (s *site) register(ctx context.Context) (reg *transport.Register, unread bool) {
	reg, err := s.Register(ctx)
	if err != nil {
		s.Slog.ErrorContext(ctx, "the register of officers can't be read", slog.Any("error", err))
	}
	return reg, err != nil
}

func (s *site) attempts(ctx context.Context, r db.Recording) (out []attempt, more int64, err error) {
	rows, count, err := s.Catalog.Attempts(ctx, r, shownAttempts)
	for _, row := range rows {
		whole := row.Standing >= catalog.StandingClosed && r.Standing >= catalog.StandingClosed
		out = append(out, attempt{Recording: row, Other: whole && row.Hash != r.Hash})
	}
	return out, count - int64(len(rows)), err
}

func elementsOf(first, newest *evidence.Header) []element {
	out := []element{
		{"department", newest.Department, first.Department},
		{"officers", names(newest.Officers), names(first.Officers)},
		{"cause", newest.Cause, first.Cause},
		{"time", newest.Time, first.Time},
		{"place", newest.Place, first.Place},
	}
	for _, e := range []element{
		{"activity", newest.Activity, first.Activity},
		{"case", newest.Case, first.Case},
		{"companions", strings.Join(newest.Companions, ", "), strings.Join(first.Companions, ", ")},
		{"further", further(newest.Further), further(first.Further)},
	} {
		if e.Value != "" || e.First != "" {
			out = append(out, e)
		}
	}
	return out
}

func names(list []evidence.Officer) string {
	var out []string
	for _, o := range list {
		out = append(out, strings.TrimSpace(o.Name+" "+o.Certificate))
	}
	return strings.Join(out, ", ")
}

func further(list []evidence.FurtherField) string {
	var out []string
	for _, f := range list {
		out = append(out, f.Name+": "+f.Value)
	}
	return strings.Join(out, "\n")
}

var day = regexp.MustCompile(`(\d{4})\D{1,3}(\d{1,2})\D{1,3}(\d{1,2})`)

// dayOf is the day that a recording is about: as its header says, else as the file's own time says, else when sealing began.
func dayOf(r db.Recording, said string) time.Time {
	if m := day.FindStringSubmatch(said); m != nil {
		if t, err := time.ParseInLocation("2006-1-2", m[1]+"-"+m[2]+"-"+m[3], time.Local); err == nil {
			return t
		}
	}
	if r.Modified > 0 {
		return time.UnixMilli(r.Modified).Local()
	}
	return time.UnixMilli(r.OpenedAt).Local()
}

// officersOf looks officers up in the register in force.
func officersOf(reg *transport.Register, list []evidence.Officer, on time.Time) []officer {
	var out []officer
	for _, o := range list {
		v := officer{Name: o.Name, Certificate: o.Certificate}
		if reg != nil {
			known, ok := register.ByCertificate(reg, o.Certificate)
			v.Until = known.ValidUntil
			switch {
			case !ok:
				v.Flag = "certificate-unknown"
			case known.Name != o.Name:
				v.Flag, v.Known = "certificate-other", known.Name
			case known.ValidUntil == "":
				v.Flag = "certificate-undated"
			case !known.Valid(on):
				v.Flag = "certificate-invalid"
			default:
				v.Flag = "certificate-valid"
			}
		}
		out = append(out, v)
	}
	return out
}

// describe adds to a row what its case header says, and what of it needs a person.
func (s *site) describe(v *row, reg *transport.Register) error {
	r := v.Recording
	v.Needs, v.Late = catalog.NeedsHeader(r), catalog.Late(r, s.Now(), s.HeaderDeadline)
	v.Typed = r.HeaderFirstAt.Valid && r.Spoken == 0
	v.Person = v.Person || v.Needs
	var list []evidence.Officer
	if err := json.Unmarshal([]byte(r.Officers), &list); err != nil {
		return fmt.Errorf("officers of %s: %w", r.Rec, err)
	}
	var persons []string
	for _, o := range officersOf(reg, list, dayOf(r, r.HeaderTime)) {
		persons = append(persons, o.Name)
		v.Flagged = v.Flagged || !o.Well()
	}
	var line []string
	for _, part := range []string{r.Cause, r.Place, strings.Join(persons, ", "), r.Department} {
		if part != "" {
			line = append(line, part)
		}
	}
	v.Line = strings.Join(line, " · ")
	return nil
}

// linesText makes a text of several lines fit to be shown.
func linesText(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = verify.Display(l)
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// clockText writes milliseconds of footage as a player does; exact ones with three digits behind the second.
func clockText(ms uint64, exact bool) string {
	s := ms / 1000
	out := fmt.Sprintf("%02d:%02d", s/60%60, s%60)
	if s >= 3600 {
		out = strconv.FormatUint(s/3600, 10) + ":" + out
	}
	if exact {
		out += fmt.Sprintf(".%03d", ms%1000)
	}
	return out
}
