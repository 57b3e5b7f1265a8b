package catalog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog/db"
)

// Kinds of facets: what is said of a recording, exactly.
const (
	FacetDevice     = "dev"    // its id, and the part of it that people read
	FacetSerial     = "serial" // of the recorder
	FacetDepartment = "dept"
	FacetPlace      = "place"
	FacetCause      = "cause"
	FacetActivity   = "act"
	FacetCase       = "case" // the number that the header gives
	FacetOfficer    = "off"  // certificate
	FacetName       = "name" // of an officer
	FacetGrade      = "grade"
	FacetState      = "state"
	FacetKind       = "kind"
	FacetNeeds      = "needs" // NeedsPerson, NeedsCaseHeader
	FacetLink       = "link"  // id of a case that the recording is tied to
	FacetBody       = "body"  // the handling body of such a case
)

// Values of FacetNeeds.
const (
	NeedsPerson     = "person" // any of: no header, not whole, faults
	NeedsCaseHeader = "header"
)

// States of a recording.
const (
	StateOpen       = "open"
	StateSeen       = "seen"
	StatePartly     = "partly"
	StateStored     = "stored"
	StateIncomplete = "incomplete"
)

const (
	maxToken = 200 // bytes; longer facets stand there as a digest
	maxWord  = 40  // runes; longer words are found by so many
)

// IsShort reports whether not all of a recording's source was taken in, or not all of that is left.
func IsShort(r db.Recording) bool {
	return r.Absent != "[]" && r.Absent != "" || r.ClosedAt.Valid && r.Why != evidence.WhyComplete
}

// StateOf says where a recording stands.
func StateOf(r db.Recording) string {
	switch {
	case r.StoredClosed == 1 && IsShort(r):
		return StateIncomplete
	case r.StoredClosed == 1:
		return StateStored
	case r.StoredIndex.Valid:
		return StatePartly
	case r.ClosedAt.Valid:
		return StateSeen
	}
	return StateOpen
}

// Facet is the token of a facet; empty if the value is.
func Facet(kind, value string) string {
	value = strings.Join(strings.Fields(strings.ToLower(norm.NFKC.String(value))), " ")
	if value == "" {
		return ""
	}
	if token := kind + ":" + value; len(token) <= maxToken {
		return token
	}
	sum := sha256.Sum256([]byte(value))
	return kind + ":#" + hex.EncodeToString(sum[:])
}

// facetsOf returns the tokens that follow a recording's row, in order; none if there is no row.
func facetsOf(r db.Recording) ([]string, error) {
	if r.Num == 0 {
		return nil, nil
	}
	var officers []evidence.Officer
	if err := json.Unmarshal([]byte(r.Officers), &officers); err != nil {
		return nil, fmt.Errorf("officers of %s: %w", r.Rec, err)
	}
	out := []string{Facet(FacetDevice, r.Device), Facet(FacetDevice, shortDevice(r.Device)), Facet(FacetSerial, r.Serial), Facet(FacetDepartment, r.Department), Facet(FacetPlace, r.Place),
		Facet(FacetCause, r.Cause), Facet(FacetActivity, r.Activity), Facet(FacetCase, r.CaseNumber), Facet(FacetGrade, r.Grade),
		Facet(FacetState, StateOf(r)), Facet(FacetKind, r.Kind)}
	for _, o := range officers {
		out = append(out, Facet(FacetOfficer, o.Certificate), Facet(FacetName, o.Name))
	}
	without := r.Footage == 1 && !r.HeaderFirstAt.Valid
	if without {
		out = append(out, Facet(FacetNeeds, NeedsCaseHeader))
	}
	if without || IsShort(r) || r.Faults > 0 {
		out = append(out, Facet(FacetNeeds, NeedsPerson))
	}
	return distinct(out), nil
}

// shortDevice is DeviceID.Short of an id in a row.
func shortDevice(id string) string {
	d, err := evidence.ParseDeviceID(id)
	if err != nil {
		return ""
	}
	return d.Short()
}

// distinct sorts tokens and drops empty and equal ones.
func distinct(tokens []string) []string {
	slices.Sort(tokens)
	tokens = slices.Compact(tokens)
	if len(tokens) > 0 && tokens[0] == "" {
		return tokens[1:]
	}
	return tokens
}

func changeFacets(ctx context.Context, q *db.Queries, old, row db.Recording) error {
	was, err := facetsOf(old)
	if err != nil {
		return err
	}
	is, err := facetsOf(row)
	if err != nil {
		return err
	}
	for _, token := range was {
		if _, stays := slices.BinarySearch(is, token); !stays && err == nil {
			err = q.DeleteToken(ctx, db.DeleteTokenParams{Token: token, At: row.At, Num: row.Num})
		}
	}
	added := slices.DeleteFunc(slices.Clone(is), func(token string) bool {
		_, there := slices.BinarySearch(was, token)
		return there
	})
	if err != nil {
		return err
	}
	return insertTokens(ctx, q, row, added)
}

// insertTokens gives a recording tokens, some at a time: each statement takes the database as long as many rows do.
func insertTokens(ctx context.Context, q *db.Queries, row db.Recording, tokens []string) error {
	for some := range slices.Chunk(tokens, 16) {
		var t [16]string
		for i := range t {
			t[i] = some[min(i, len(some)-1)] // what is there twice goes in once
		}
		err := q.InsertTokens(ctx, db.InsertTokensParams{At: row.At, Num: row.Num, T0: t[0], T1: t[1], T2: t[2], T3: t[3], T4: t[4], T5: t[5], T6: t[6], T7: t[7],
			T8: t[8], T9: t[9], T10: t[10], T11: t[11], T12: t[12], T13: t[13], T14: t[14], T15: t[15]})
		if err != nil {
			return err
		}
	}
	return nil
}

// SetFacet gives a recording a facet that is not in its row, such as FacetLink, or takes it away. A recording that is not known has none.
func SetFacet(ctx context.Context, q *db.Queries, k RecordingKey, kind, value string, on bool) error {
	row, err := q.RecordingByID(ctx, db.RecordingByIDParams{Device: k.Device.String(), Rec: k.Rec.String()})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	token := Facet(kind, value)
	if on {
		return insertTokens(ctx, q, row, distinct([]string{token}))
	}
	return q.DeleteToken(ctx, db.DeleteTokenParams{Token: token, At: row.At, Num: row.Num})
}

// AddText makes a recording findable by texts that are said of it, once for a seq: of a statement, or for a custody event its log index below
// zero. What was once said stays findable.
func AddText(ctx context.Context, q *db.Queries, k RecordingKey, seq int64, list ...string) error {
	row, err := q.RecordingByID(ctx, db.RecordingByIDParams{Device: k.Device.String(), Rec: k.Rec.String()})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return addText(ctx, q, row, seq, list...)
}

func addText(ctx context.Context, q *db.Queries, row db.Recording, seq int64, list ...string) error {
	body, tokens := indexed(list)
	if len(tokens) == 0 {
		return nil
	}
	if err := q.InsertText(ctx, db.InsertTextParams{Num: row.Num, Seq: seq, Body: body}); err != nil {
		return err
	}
	return insertTokens(ctx, q, row, tokens)
}

// IndexOf returns what table texts and table tokens have of a recording with these texts, for those who fill many rows at once.
func IndexOf(row db.Recording, list ...string) (body string, tokens []string, err error) {
	facets, err := facetsOf(row)
	body, tokens = indexed(list)
	return body, append(tokens, facets...), err
}

// indexed returns the runs of some texts as table texts has them, and their tokens: words, and of Han the pairs of characters and the last one.
func indexed(list []string) (body string, tokens []string) {
	var text strings.Builder
	for _, s := range list {
		for _, r := range runs(s) {
			text.WriteString(" " + r.text)
			if !r.han {
				tokens = append(tokens, r.word())
				continue
			}
			chars := []rune(r.text)
			for i := 1; i < len(chars); i++ {
				tokens = append(tokens, string(chars[i-1:i+1]))
			}
			tokens = append(tokens, string(chars[len(chars)-1]))
		}
	}
	return text.String() + " ", distinct(tokens)
}

// run is a stretch of a text that is a word, or Han characters (and others that are written without spaces).
type run struct {
	text string
	han  bool
}

// word is as much of a word as its token has.
func (r run) word() string {
	if chars := []rune(r.text); len(chars) > maxWord {
		return string(chars[:maxWord])
	}
	return r.text
}

// runs takes a text apart: lower case, wide forms made narrow, everything but letters and digits a gap.
func runs(s string) (out []run) {
	begin, han := -1, false
	s = strings.ToLower(norm.NFKC.String(s))
	end := func(at int) {
		if begin >= 0 {
			out = append(out, run{s[begin:at], han})
		}
		begin = -1
	}
	for i, c := range s {
		is := unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
		if !is && !unicode.IsLetter(c) && !unicode.IsDigit(c) && !(unicode.IsMark(c) && begin >= 0) {
			end(i)
			continue
		}
		if begin >= 0 && is != han && !unicode.IsMark(c) {
			end(i)
		}
		if begin < 0 {
			begin, han = i, is
		}
	}
	end(len(s))
	return out
}

// textsOf are the words of headers, notes and marks.
func textsOf(said []*evidence.Statement) (out []string) {
	for _, s := range said {
		switch b := s.Body.(type) {
		case *evidence.Header:
			out = append(out, b.Department, b.Cause, b.Time, b.Place, b.Activity, b.Case, b.Confirmed)
			out = append(out, b.Companions...)
			for _, o := range b.Officers {
				out = append(out, o.Name, o.Certificate)
			}
			for _, f := range b.Further {
				out = append(out, f.Name, f.Value)
			}
			if b.Spoken != nil {
				out = append(out, b.Spoken.Transcript)
			}
		case *evidence.Note:
			out = append(out, b.Text)
		case *evidence.Mark:
			out = append(out, b.Text)
		}
	}
	return out
}
