package catalog

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/catalog/db"
)

// Every question that a page or a dock asks often is answered through an index, however many recordings there are.
func TestQuestionsGoThroughIndexes(t *testing.T) {
	c := openTest(t)
	const joined = " FROM recordings JOIN devices ON devices.device = recordings.device WHERE "
	for name, q := range map[string]struct {
		sql, index string
		args       []any
	}{
		"known": {"SELECT recordings.*" + joined + `recordings.original = $1 AND recordings.standing = 3 AND recordings.size = recordings.source_size
			AND devices.revoked_index IS NULL ORDER BY recordings.first_index, recordings.device, recordings.rec LIMIT 1`, "recordings_by_original", []any{"x"}},
		"list": {"SELECT recordings.*, devices.class" + joined + `recordings.shown = 1 AND (recordings.opened_at < $1 OR (recordings.opened_at = $1 AND recordings.rec > $2))
			ORDER BY recordings.opened_at DESC, recordings.rec LIMIT 50`, "recordings_shown", []any{1, "x"}},
		"count": {"SELECT COUNT(*) FROM recordings WHERE shown = 1", "recordings_by_at", nil},
		"without header": {"SELECT recordings.*, devices.class" + joined + `recordings.shown = 1 AND recordings.footage = 1 AND recordings.header_first_at IS NULL
			ORDER BY recordings.opened_at, recordings.rec LIMIT 20`, "recordings_without_header", nil},
		"count without header": {"SELECT COUNT(*) FROM recordings WHERE shown = 1 AND footage = 1 AND header_first_at IS NULL", "recordings_without_header", nil},
		"attempts":             {"SELECT * FROM recordings WHERE original = $1 ORDER BY first_index, device, rec LIMIT 5", "recordings_by_original", []any{"x"}},
		"before": {"SELECT * FROM recordings WHERE sequence = $1 AND device = $2 AND shown = 1 AND sequence_index < $3 ORDER BY sequence_index DESC, rec DESC LIMIT 1",
			"recordings_by_sequence", []any{"s", "d", 1}},
		"nobody looked into": {`SELECT recordings.* FROM recordings LEFT JOIN media ON media.device = recordings.device AND media.rec = recordings.rec
			WHERE recordings.stored_index > $1 AND recordings.stored_closed = 1 AND (media.rec IS NULL OR media.stored_chunks <> recordings.stored_chunks)
			ORDER BY recordings.stored_index DESC LIMIT 64`, "recordings_by_stored", []any{5}},
		"look into again": {`SELECT recordings.* FROM media JOIN recordings ON recordings.device = media.device AND recordings.rec = media.rec
			WHERE media.next_at <= $1 AND recordings.stored_closed = 1 ORDER BY media.next_at LIMIT 64`, "media_due", []any{5}},
		"copies wanted": {`SELECT recordings.* FROM derived JOIN recordings ON recordings.device = derived.device AND recordings.rec = derived.rec
			LEFT JOIN media ON media.device = derived.device AND media.rec = derived.rec WHERE derived.made_index IS NULL
			AND (media.rec IS NULL OR media.derive_tries < $1 AND media.derive_next <= $2) ORDER BY derived.asked_index LIMIT 2`, "derived_wanted", []any{3, 5}},
		"unrecorded": {"SELECT * FROM unrecorded WHERE at < $1 OR (at = $1 AND rec > $2) ORDER BY at DESC, rec LIMIT 20", "unrecorded_by_time", []any{1, "x"}},
	} {
		rows, err := c.sql.Query("EXPLAIN QUERY PLAN "+q.sql, q.args...)
		if err != nil {
			t.Fatal(err)
		}
		plan := ""
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan += detail + "\n"
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, "INDEX "+q.index+" ") && !strings.Contains(plan, "INDEX "+q.index+"\n") {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}

func openTest(t *testing.T) *Catalog {
	t.Helper()
	c, err := Open(context.Background(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// fill adds n recordings of one device, each of another original, and every thousandth without a header.
func fill(t *testing.T, c *Catalog, n int) {
	t.Helper()
	ctx := context.Background()
	err := c.tx(ctx, func(q *db.Queries) error {
		if err := q.PutDevice(ctx, db.PutDeviceParams{Device: "d", TlsKey: "k"}); err != nil {
			return err
		}
		open := &evidence.Open{MediaType: "video/mp4", Mode: evidence.ModeImport, Source: evidence.Source{Serial: "BZ02712", Size: 1, Modified: 1}}
		row := db.Recording{Device: "d", Rec: "template", Size: 1, Officers: "[]", Shown: 1, Why: evidence.WhyComplete, StoredClosed: 1}
		row.ClosedAt.Valid = true
		fillSource(&row, open)
		return put(ctx, q, db.Recording{}, &row)
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.sql.Query("SELECT name FROM pragma_table_info('recordings')")
	if err != nil {
		t.Fatal(err)
	}
	var columns, values []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		value := map[string]string{"rec": "printf('%032x', i)", "opened_at": "i", "first_index": "i", "num": "i", "at": "i", "original": "lower(hex(randomblob(32)))",
			"header_first_at": "CASE WHEN i % 1000 = 0 THEN NULL ELSE i END"}[name]
		if value == "" {
			value = name
		}
		columns, values = append(columns, name), append(values, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	_, err = c.sql.Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) INSERT INTO recordings ("+strings.Join(columns, ", ")+
		") SELECT "+strings.Join(values, ", ")+" FROM n, recordings WHERE rec = 'template'", n)
	if err == nil {
		_, err = c.sql.Exec("DELETE FROM recordings WHERE rec = 'template'")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A dock asks for 256 files at once; that stays a matter of milliseconds.
func TestAskingForKnownFilesAmongVeryManyRecordings(t *testing.T) {
	n := 100_000
	c := openTest(t)
	begin := time.Now()
	fill(t, c, n)
	t.Logf("%d recordings in %v", n, time.Since(begin))
	for i := range transport.MaxKnown / 2 { // half of them are there
		f := transport.KnownFile{Serial: "BZ02712", Path: fmt.Appendf(nil, "DCIM/%d.MP4", i), Size: 1, Modified: 1}
		if _, err := c.sql.Exec("UPDATE recordings SET original = $1 WHERE rec = $2", Original(f), fmt.Sprintf("%032x", 1+i*(n/200))); err != nil {
			t.Fatal(err)
		}
	}
	begin = time.Now()
	for i := range transport.MaxKnown {
		_, err := c.Whole(context.Background(), transport.KnownFile{Serial: "BZ02712", Path: fmt.Appendf(nil, "DCIM/%d.MP4", i), Size: 1, Modified: 1})
		if there := i < transport.MaxKnown/2; (err == nil) != there {
			t.Fatalf("file %d: %v", i, err)
		}
	}
	t.Logf("256 files asked for in %v", time.Since(begin))
	begin = time.Now()
	list, err := c.Shown(context.Background(), evidence.MaxInt, "", 51)
	if err != nil || len(list) != 51 {
		t.Fatal(len(list), err)
	}
	t.Logf("list in %v", time.Since(begin))
	begin = time.Now()
	list, err = c.Shown(context.Background(), int64(n/2), "", 51)
	if err != nil || len(list) != 51 {
		t.Fatal(len(list), err)
	}
	t.Logf("list from the middle in %v", time.Since(begin))
	begin = time.Now()
	people, without, err := c.WithoutHeader(context.Background(), 20)
	if err != nil || len(people) != 20 || without != int64(n/1000) {
		t.Fatal(len(people), without, err)
	}
	t.Logf("those without header in %v", time.Since(begin))
	begin = time.Now()
	count, err := c.CountShown(context.Background())
	if err != nil || count != int64(n) {
		t.Fatal(count, err)
	}
	t.Logf("count in %v", time.Since(begin))
}
