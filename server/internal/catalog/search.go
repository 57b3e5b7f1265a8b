package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog/db"
)

// Bounds of one page of a search.
const (
	CountedUpTo = 1000 // results; more are "more"
	firstChunk  = 200
	maxChunk    = 2000
	maxExpand   = 32  // tokens that begin alike
	maxTerms    = 100 // of a text; more are not looked for
	maxOptional = 2   // pairs of characters that are looked up before the phrase itself is
)

// countUpTo are how far entries are counted to find the rarest token: most searches have one that is rare.
var countUpTo = []int32{256, 4096}

// How many entries of the rarest token are looked at: for a page, and beyond it for the count. Tests change them.
var maxScan, countScan = 10_000, 2500

// Query is a search. All that it names must hold.
type Query struct {
	Text   string     // words (Latin ones by their beginnings) and Chinese phrases
	Facets [][]string // of each, one token must be there; see Facet
	From   int64      // milliseconds since 1970 UTC: filmed then or later; 0: any time
	Until  int64      // filmed before; 0: any time
}

// Place is where in a list a page begins: behind it. The zero Place begins at the newest.
type Place struct{ At, Num int64 }

// Found is a page of a search, newest first.
type Found struct {
	Rows  []Listed
	Count int64  // results from here on, as far as they were counted
	More  bool   // there are more than Count
	Next  *Place // the next page begins here; nil: this is the last
	Back  *Place // not nil: only what was filmed since then was looked through, and Next goes on
}

// term is one thing that must hold: one of the tokens is there, and the pattern in a text.
type term struct {
	tokens   []string
	like     string // for LIKE; empty: the tokens suffice
	optional bool   // the tokens are, since another term's pattern says it all
	count    int64
}

// Search returns up to n recordings behind a place. Only those are found that stand for their original.
func (c *Catalog) Search(ctx context.Context, q Query, after Place, n int) (f Found, err error) {
	s := search{c: c, query: q, page: n, want: n + 1}
	if after == (Place{}) {
		after, s.want = Place{evidence.MaxInt, evidence.MaxInt}, max(CountedUpTo, n)+1
	}
	if s.query.Until == 0 {
		s.query.Until = evidence.MaxInt + 1
	}
	possible, err := s.plan(ctx)
	if err != nil || !possible {
		return f, wrapSearch(err)
	}
	ended, err := s.scan(ctx, after)
	if err != nil {
		return f, wrapSearch(err)
	}
	f.Count, f.More = int64(min(len(s.found), s.want-1)), len(s.found) == s.want || !ended
	switch {
	case len(s.found) > n:
		f.Next = &s.found[n-1]
	case !ended:
		f.Next, f.Back = &s.last, &s.last
	}
	f.Rows, err = c.numbered(ctx, s.found[:min(n, len(s.found))])
	return f, wrapSearch(err)
}

func wrapSearch(err error) error {
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	return nil
}

type search struct {
	c     *Catalog
	query Query
	page  int // rows
	want  int // results, for page and count

	driver []string // tokens whose entries are gone through; none: all recordings
	must   []term
	found  []Place
	last   Place // looked at
}

// plan chooses the rarest token to go by. It reports whether anything can be found.
func (s *search) plan(ctx context.Context) (bool, error) {
	terms, err := s.terms(ctx)
	if err != nil {
		return false, err
	}
	for _, limit := range countUpTo {
		rare := false
		for i := range terms {
			t := &terms[i]
			if err := s.size(ctx, t, limit); err != nil || t.count == 0 {
				return false, err
			}
			rare = rare || t.count < int64(limit)
		}
		if rare {
			break
		}
	}
	slices.SortStableFunc(terms, func(a, b term) int { return cmp.Compare(a.count, b.count) })
	optional := 0
	for i, t := range terms {
		if i == 0 && len(t.tokens) > 0 {
			s.driver = t.tokens
			continue
		}
		if t.optional {
			if optional++; optional > maxOptional {
				continue
			}
		}
		s.must = append(s.must, t)
	}
	// Patterns cost most, so they come last.
	slices.SortStableFunc(s.must, func(a, b term) int { return cmp.Compare(len(a.like), len(b.like)) })
	return true, nil
}

// size counts a term's entries up to a limit. A term without tokens has more than any other, or none if it can't be met.
func (s *search) size(ctx context.Context, t *term, limit int32) error {
	t.count = 0
	if len(t.tokens) == 0 && t.like != "" {
		t.count = evidence.MaxInt
	}
	for _, token := range t.tokens {
		n, err := s.c.q.CountToken(ctx, db.CountTokenParams{Token: token, Since: s.query.From, Upto: s.query.Until - 1, Page: limit})
		if err != nil {
			return err
		}
		t.count += n
	}
	return nil
}

// terms takes the query apart. A term with neither tokens nor pattern can't be met.
func (s *search) terms(ctx context.Context) (out []term, err error) {
	for _, tokens := range s.query.Facets {
		if tokens = distinct(slices.Clone(tokens)); len(tokens) > maxExpand {
			tokens = tokens[:maxExpand]
		}
		out = append(out, term{tokens: tokens})
	}
	words := runs(s.query.Text)
	for i, r := range words[:min(len(words), maxTerms)] {
		if slices.Contains(words[:i], r) {
			continue
		}
		chars := []rune(r.text)
		if r.han && len(chars) > 1 {
			for i := 1; i < len(chars) && i <= maxTerms; i++ {
				out = append(out, term{tokens: []string{string(chars[i-1 : i+1])}, optional: len(chars) > 2})
			}
			if len(chars) > 2 {
				out = append(out, term{like: "%" + r.text + "%"})
			}
			continue
		}
		t, err := s.beginning(ctx, r)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// beginning is a term for all tokens that begin with a word or are or begin with a character. If they are too many, the texts are looked at.
func (s *search) beginning(ctx context.Context, r run) (t term, err error) {
	pattern := "%" + r.text + "%"
	if !r.han {
		pattern = "% " + r.text + "%"
	}
	word := r.word()
	if word != r.text {
		t.like = pattern // the tokens hold a part of it
	}
	n, err := s.c.q.CountToken(ctx, db.CountTokenParams{Token: word, Upto: evidence.MaxInt, Page: 1})
	if err != nil {
		return t, err
	}
	if n > 0 {
		t.tokens = append(t.tokens, word)
	}
	for after := word; ; {
		next, err := s.c.q.TokenAfter(ctx, db.TokenAfterParams{After: after, Before: word + "\U0010FFFF"})
		if err != nil {
			return t, err
		}
		if len(next) == 0 {
			if len(t.tokens) == 0 {
				return term{}, nil
			}
			return t, nil
		}
		if len(t.tokens) == maxExpand {
			return term{like: pattern}, nil
		}
		t.tokens = append(t.tokens, next[0])
		after = next[0]
	}
}

// scan goes through the driver's entries, newest first, until there are as many as wanted. It reports whether it came to their end.
func (s *search) scan(ctx context.Context, after Place) (ended bool, err error) {
	s.last = after
	if s.query.Until <= after.At {
		s.last = Place{s.query.Until - 1, evidence.MaxInt}
	}
	chunk, seen := firstChunk, 0
	for len(s.found) < s.want && seen < maxScan && (len(s.found) <= s.page || seen < countScan) {
		n, err := s.step(ctx, chunk)
		if err != nil || n < chunk && len(s.found) < s.want {
			return err == nil, err
		}
		seen += n
		chunk = min(max(firstChunk, (s.want-len(s.found))*seen/max(1, len(s.found))*5/4), maxChunk)
	}
	if len(s.found) > s.want {
		s.found = s.found[:s.want]
	}
	return false, nil
}

// step looks at the next n entries of the driver, and returns how many there were.
func (s *search) step(ctx context.Context, n int) (int, error) {
	t := s.text(n)
	rows, err := s.c.sql.QueryContext(ctx, t.String(), t.args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	type entry struct {
		Place
		hit bool
	}
	var list []entry
	for rows.Next() {
		var e entry
		var hit int64
		if err := rows.Scan(&e.At, &e.Num, &hit); err != nil {
			return 0, err
		}
		e.hit = hit == 1
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(b.Num, a.Num)) })
	for _, e := range list {
		if e.hit {
			s.found = append(s.found, e.Place)
		}
		s.last = e.Place
	}
	return len(list), nil
}
