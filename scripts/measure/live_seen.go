package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fate is what became of one captured segment, measured from when the first unit of the next one was there.
type fate struct {
	said   time.Duration // until its statement was durable
	sealed time.Duration // until a seal over it was
	seen   time.Duration // until the receipt for it was checked and durable at the agent
}

var field = regexp.MustCompile(`(\w+)=("[^"]*"|\S+)`)

// fates reads them from an agent's log.
func fates(log string) (all []fate, err error) {
	type segment struct {
		ended, said time.Time
		seq         uint64
	}
	type upTo struct {
		at  time.Time
		seq uint64
	}
	found := map[string]*segment{}
	var order []*segment
	var sealed, seen []upTo
	for line := range strings.Lines(log) {
		f := map[string]string{}
		for _, m := range field.FindAllStringSubmatch(line, -1) {
			f[m[1]] = strings.Trim(m[2], `"`)
		}
		number := func(key string) (n uint64) {
			n, e := strconv.ParseUint(f[key], 10, 64)
			err = errors.Join(err, e)
			return n
		}
		moment := func(key string) time.Time {
			t, e := time.Parse(time.RFC3339Nano, f[key])
			err = errors.Join(err, e)
			return t
		}
		switch f["msg"] {
		case "segment ended":
			if t := moment("at"); !t.IsZero() {
				s := &segment{ended: t}
				found[f["chunk"]], order = s, append(order, s)
			}
		case "segment said":
			if s := found[f["chunk"]]; s != nil {
				s.said, s.seq = moment("time"), number("seq")
			}
		case "sealed":
			sealed = append(sealed, upTo{moment("time"), number("upto")})
		case "statements sent":
			seen = append(seen, upTo{moment("time"), number("last")})
		}
	}
	for _, s := range order {
		covers := func(u upTo) bool { return u.seq >= s.seq }
		i, k := slices.IndexFunc(sealed, covers), slices.IndexFunc(seen, covers)
		if s.seq > 0 && i >= 0 && k >= 0 { // the newest ones were on their way at the end
			all = append(all, fate{s.said.Sub(s.ended), sealed[i].at.Sub(s.ended), seen[k].at.Sub(s.ended)})
		}
	}
	if len(all) == 0 {
		err = errors.Join(err, errors.New("the agent's log tells of no segment"))
	}
	return all, err
}

// seenRows tells of the segments of one run.
func seenRows(what string, all []fate, steps bool) []row {
	ms := func(of func(fate) time.Duration) (v []float64) {
		for _, f := range all {
			v = append(v, float64(of(f).Microseconds())/1000)
		}
		slices.Sort(v)
		return v
	}
	say := func(v []float64) string {
		return fmt.Sprintf("p50 %.0f ms, p99 %.0f ms, at most %.0f ms, %d segments", percentile(v, 50), percentile(v, 99), v[len(v)-1], len(v))
	}
	seen := ms(func(f fate) time.Duration { return f.seen })
	rows := []row{target("end of segment to seen receipt, "+what, say(seen), "p50 under 500 ms, p99 under 2000 ms", percentile(seen, 50) < 500 && percentile(seen, 99) < 2000)}
	if steps {
		rows = append(rows, figure("  of that until its statement was durable", "%s", say(ms(func(f fate) time.Duration { return f.said }))),
			figure("  and until the TPM's seal was", "%s", say(ms(func(f fate) time.Duration { return f.sealed }))))
	}
	return rows
}
