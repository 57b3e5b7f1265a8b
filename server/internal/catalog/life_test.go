package catalog

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
)

// A life of 200,000 lines is paged without reading it whole: each line once, in the order of the log, from any place in milliseconds.
func TestALongLifeIsPaged(t *testing.T) {
	const n = 100_000 // marks, and as many looks
	ctx, c := context.Background(), openTest(t)
	var k RecordingKey
	check(t, k.Device.UnmarshalText([]byte("000b"+strings.Repeat("1", 64))))
	check(t, k.Rec.UnmarshalText([]byte(strings.Repeat("2", 32))))
	dev, rec := k.Device.String(), k.Rec.String()
	count := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", n)
	for _, q := range []string{
		`INSERT INTO devices (device, class, model, ak, ek, ek_cert, maker, vouched, tls_key, counter, enrolled_at, enrolled_index, chain, next_seq, head)
			VALUES ($1, '', '', '', '', '', '', '', '', '', 0, 0, '', 0, $2)`,
		count + `INSERT INTO said (device, rec, seq, at, kind, body) SELECT $1, $2, i, 0, 'mark', '{}' FROM n`,
		count + `INSERT INTO batches (device, first_seq, upto, head, key, version, size, hash, log_index, leaf) SELECT $1, i - 99, i, $2, '', '', 0, '', 3 * i, '' FROM n WHERE i % 100 = 0`,
		count + `INSERT INTO parts (device, rec, first_seq, upto, key, version, size, hash) SELECT $1, $2, i - 99, i, '', '', 0, '' FROM n WHERE i % 100 = 0`,
		count + `INSERT INTO custody (log_index, at, actor, act, device, rec, event) SELECT 3 * i + 1, 0, '', 'view', $1, $2, '' FROM n`,
	} {
		if _, err := c.sql.Exec(q, dev, rec); err != nil {
			t.Fatal(err)
		}
	}
	lines, seq, index, worst := 0, int64(0), int64(-1), time.Duration(0)
	for at := LifeBegin; ; {
		begin := time.Now()
		list, next, err := c.Life(ctx, k, at, 5000)
		worst = max(worst, time.Since(begin))
		check(t, err)
		if len(list) == 0 {
			break
		}
		for _, l := range list {
			if l.Index < index || l.Said != nil && l.Said.Seq != seq+1 || l.Said == nil && l.Index == index {
				t.Fatalf("line %+v after leaf %d, statement %d", l, index, seq)
			}
			if index = l.Index; l.Said != nil {
				seq = l.Said.Seq
			}
		}
		lines, at = lines+len(list), next
	}
	begin := time.Now()
	page, _, err := c.Life(ctx, k, LifePlace{Index: 3 * n / 2, Seq: n / 2}, 101)
	check(t, err)
	t.Logf("%d lines, 5,000 of them in at most %v, %d from the middle in %v", lines, worst, len(page), time.Since(begin))
	if lines != 2*n+n/100+1 || seq != n || len(page) != 101 || time.Since(begin) > time.Second {
		t.Errorf("%d lines up to statement %d, %d from the middle", lines, seq, len(page))
	}
	total, err := c.CountLife(ctx, k)
	check(t, err)
	if total != lines-1 {
		t.Errorf("%d counted", total)
	}
	if _, _, err := c.Life(ctx, RecordingKey{Device: evidence.DeviceID{}, Rec: k.Rec}, LifeBegin, 1); err == nil {
		t.Error("a life of no device")
	}
}
