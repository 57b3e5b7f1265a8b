package catalog

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
)

// The fleet's page asks for 50 devices and what each did in 30 days, and the pages of retention for what ends: that stays a matter of milliseconds, and goes by
// indexes, however many recordings there are.
func TestFleetAndRetentionAmongVeryManyRecordings(t *testing.T) {
	const n, devices = 20_000, 1000
	ctx, c := context.Background(), openTest(t)
	fill(t, c, n)
	id := func(i int) evidence.DeviceID {
		var d evidence.DeviceID
		check(t, d.UnmarshalText([]byte(fmt.Sprintf("000b%064x", i))))
		return d
	}
	now := time.UnixMilli(1_800_000_000_000)
	span := (365 * 24 * time.Hour).Milliseconds()
	for _, q := range []string{
		fmt.Sprintf("UPDATE recordings SET device = printf('000b%%064x', first_index %% %d), opened_at = %d - first_index * %d, modified = 1, stored_index = 1, size = 7, footage = 1", devices, now.UnixMilli(), span/n),
		"UPDATE recordings SET modified = opened_at - 1000 WHERE first_index % 10 > 0",
		"UPDATE recordings SET header_first_at = opened_at + 1000 WHERE first_index % 1000 > 0",
		fmt.Sprintf("UPDATE recordings SET stored_until = opened_at + %d", span/4),
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO devices (device, class, model, ak, ek, ek_cert, maker, vouched,
			tls_key, counter, enrolled_at, enrolled_index, chain, next_seq, head, seen_index) SELECT printf('000b%%064x', i), 'tpm', '', '', '', '', '', 'maker', i, '', 0, i, '', 0, '',
			CASE WHEN i %% 7 = 0 THEN NULL ELSE i END FROM n`, devices-1),
		"INSERT INTO gaps (device, after_seq, before_seq, from_value, to_value) SELECT device, 1, 2, '1', '1' FROM devices WHERE enrolled_index % 5 = 0",
	} {
		if _, err := c.sql.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	within := Deadlines{Export: time.Hour, Header: time.Hour}
	begin := time.Now()
	list, err := c.Fleet(ctx, -2, "", 50)
	check(t, err)
	var recordings, late, headers int64
	for _, d := range list {
		dev, err := evidence.ParseDeviceID(d.Device.Device)
		check(t, err)
		w, err := c.DeviceWork(ctx, dev, now.Add(-30*24*time.Hour), now, within)
		check(t, err)
		recordings, late, headers = recordings+w.Recordings, late+w.Late, headers+w.HeadersLate
	}
	took := time.Since(begin)
	t.Logf("50 devices of %d among %d recordings in %v: %d recordings, %d late, %d headers late", devices, n, took, recordings, late, headers)
	if len(list) != 50 || list[0].Device.SeenIndex.Valid || recordings < 50 || took > time.Second {
		t.Errorf("%d devices, %d recordings in %v", len(list), recordings, took)
	}
	all, at, after := 0, int64(-2), ""
	for {
		page, err := c.Fleet(ctx, at, after, 50)
		check(t, err)
		if len(page) == 0 {
			break
		}
		last := page[len(page)-1].Device
		all, after, at = all+len(page), last.Device, -1
		if last.SeenIndex.Valid {
			at = last.SeenIndex.Int64
		}
	}
	w, err := c.DeviceWork(ctx, id(10), time.Unix(0, 0), now, within)
	check(t, err)
	if all != devices+1 || w.Recordings != n/devices || w.Late != n/devices || w.HeadersLate != 0 { // fill made one more
		t.Errorf("%d devices on all pages; %+v", all, w)
	}
	begin = time.Now()
	rows, err := c.EndingBetween(ctx, now.UnixMilli(), now.Add(10*24*time.Hour).UnixMilli(), Ending{Until: -1}, 21)
	check(t, err)
	t.Logf("what ends within ten days in %v", time.Since(begin))
	if len(rows) != 21 || rows[0].StoredUntil < now.UnixMilli() || time.Since(begin) > time.Second {
		t.Errorf("%d rows", len(rows))
	}
	for q, index := range map[string]string{
		"SELECT COUNT(*), SUM(size), SUM(modified), SUM(header_first_at), SUM(footage), SUM(shown) FROM recordings WHERE device = 'x' AND opened_at >= 1": "COVERING INDEX recordings_of_device",
		"SELECT * FROM recordings WHERE stored_index IS NOT NULL AND stored_until >= 1 AND stored_until < 2 ORDER BY stored_until, rec LIMIT 20":          "recordings_by_until",
	} {
		var a, b, cc int
		var plan string
		check(t, c.sql.QueryRow("EXPLAIN QUERY PLAN "+q).Scan(&a, &b, &cc, &plan))
		if !strings.Contains(plan, index) {
			t.Errorf("%s: %s", q, plan)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
