package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"camseal/server/internal/catalog/db"
)

// numbered returns recordings by their numbers, some at a time: the database need not understand the same question again for each.
func (c *Catalog) numbered(ctx context.Context, list []Place) (out []Listed, err error) {
	for some := range slices.Chunk(list, 10) {
		var n [10]int64
		for i, p := range some {
			n[i] = p.Num
		}
		rows, err := c.q.RecordingsNumbered(ctx, db.RecordingsNumberedParams{N0: n[0], N1: n[1], N2: n[2], N3: n[3], N4: n[4], N5: n[5], N6: n[6],
			N7: n[7], N8: n[8], N9: n[9]})
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = append(out, Listed{Recording: r.Recording, Class: r.Class})
		}
	}
	return out, nil
}

// Shared returns which originals of some recordings have other recordings too.
func (c *Catalog) Shared(ctx context.Context, list []Listed) (map[string]bool, error) {
	out := map[string]bool{}
	for some := range slices.Chunk(list, 10) {
		var o [10]string
		for i, r := range some {
			o[i] = r.Original
		}
		rows, err := c.q.SharedOriginals(ctx, db.SharedOriginalsParams{O0: o[0], O1: o[1], O2: o[2], O3: o[3], O4: o[4], O5: o[5], O6: o[6], O7: o[7], O8: o[8], O9: o[9]})
		if err != nil {
			return nil, fmt.Errorf("list attempts: %w", err)
		}
		for _, original := range rows {
			out[original] = true
		}
	}
	return out, nil
}

// statement is SQL with its values.
type statement struct {
	strings.Builder
	args []any
}

func (t *statement) add(text string) { t.WriteString(text) }

// value adds a placeholder.
func (t *statement) value(v any) {
	t.args = append(t.args, v)
	fmt.Fprintf(t, "$%d", len(t.args))
}

// text is the query for the next n entries of the driver, each with whether it meets the terms. Each term is looked up for each entry that met
// those before: as scalar subqueries, which PostgreSQL never answers by reading all entries of a term first.
func (s *search) text(n int) *statement {
	t := &statement{}
	t.add("SELECT d.at, d.num, CASE WHEN ")
	for _, m := range s.must {
		if m.tokens != nil {
			t.add("(SELECT 1 FROM tokens AS t WHERE t.token ")
			t.oneOf(m.tokens)
			t.add(" AND t.at = d.at AND t.num = d.num LIMIT 1) IS NOT NULL AND ")
		}
		if m.like != "" {
			t.add("(SELECT 1 FROM texts AS x WHERE x.num = d.num AND x.body LIKE ")
			t.value(m.like)
			t.add(" LIMIT 1) IS NOT NULL AND ")
		}
	}
	if len(s.driver) > 0 {
		t.add("(SELECT 1 FROM recordings AS r WHERE r.num = d.num AND r.shown = 1 LIMIT 1) IS NOT NULL AND ")
	}
	t.add("1 = 1 THEN 1 ELSE 0 END FROM (")
	s.entries(t, n)
	t.add(") AS d")
	return t
}

func (t *statement) oneOf(tokens []string) {
	t.add("IN (")
	for i, token := range tokens {
		if i > 0 {
			t.add(", ")
		}
		t.value(token)
	}
	t.add(")")
}

// entries are the next n of the driver: of each of its tokens, and then of these.
func (s *search) entries(t *statement, n int) {
	one := func(from string, token string) {
		t.add("SELECT at, num FROM " + from)
		if token != "" {
			t.value(token)
		}
		t.add(" AND at >= ")
		t.value(s.query.From)
		t.add(" AND at <= ")
		t.value(s.last.At)
		t.add(" AND (at < ")
		t.value(s.last.At)
		t.add(" OR num < ")
		t.value(s.last.Num)
		t.add(fmt.Sprintf(") ORDER BY at DESC, num DESC LIMIT %d", n))
	}
	switch len(s.driver) {
	case 0:
		one("recordings WHERE shown = 1", "")
	case 1:
		one("tokens WHERE token = ", s.driver[0])
	default:
		t.add("SELECT at, num FROM (")
		for i, token := range s.driver {
			if i > 0 {
				t.add(" UNION ")
			}
			t.add("SELECT * FROM (")
			one("tokens WHERE token = ", token)
			t.add(fmt.Sprintf(") AS d%d", i))
		}
		t.add(fmt.Sprintf(") AS u ORDER BY at DESC, num DESC LIMIT %d", n))
	}
}
