package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog/db"
)

// known is a recording as the naive search knows it.
type known struct {
	row    db.Recording
	facets []string
	words  []run
}

var (
	hanSome  = []rune("市场监督管理局检查无照经营")
	words    = []string{"market", "mark", "Marking", "BZ02712", "2026", "20260321", "VID", "café", "ＡＢＣ", "x"}
	someDept = []string{"市场监督管理局", "城市管理局", "Fire Dept", ""}
)

func someText(r *rand.Rand) string {
	var out strings.Builder
	for range r.IntN(4) {
		if r.IntN(2) == 0 {
			out.WriteString(words[r.IntN(len(words))])
		} else {
			for range 1 + r.IntN(5) {
				out.WriteRune(hanSome[r.IntN(len(hanSome))])
			}
		}
		out.WriteString([]string{" ", "，", "", "_", "\n"}[r.IntN(5)])
	}
	return out.String()
}

// fillRandom adds n recordings of two devices, some of them attempts at one original, and some changed later.
func fillRandom(t *testing.T, c *Catalog, r *rand.Rand, n int) (out []*known) {
	t.Helper()
	ctx := context.Background()
	err := c.tx(ctx, func(q *db.Queries) error {
		for _, d := range []string{"d0", "d1"} {
			if err := q.PutDevice(ctx, db.PutDeviceParams{Device: d, TlsKey: d, Class: []string{"tpm", "software"}[d[1]-'0']}); err != nil {
				return err
			}
		}
		for i := range n {
			row := db.Recording{Device: fmt.Sprintf("d%d", r.IntN(2)), Rec: fmt.Sprintf("%032x", i), Mode: "import", Officers: "[]", Shown: 1, OpenedAt: 1000 + int64(r.IntN(n/3)),
				FirstIndex: int64(i) + 1, Kind: "video", Footage: 1, Name: someText(r)}
			if r.IntN(10) == 0 {
				row.Original = fmt.Sprint(r.IntN(n / 20))
			}
			if err := put(ctx, q, db.Recording{}, &row); err != nil {
				return err
			}
			k := &known{row: row, words: runs(row.Name)}
			if err := addText(ctx, q, row, 0, row.Name); err != nil {
				return err
			}
			for seq := range int64(r.IntN(3)) { // headers, the later ones correct the earlier
				if err := k.correct(ctx, q, r, seq+1); err != nil {
					return err
				}
			}
			out = append(out, k)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range out {
		if k.row, err = c.q.RecordingByID(ctx, db.RecordingByIDParams{Device: k.row.Device, Rec: k.row.Rec}); err != nil {
			t.Fatal(err)
		}
		if k.facets, err = facetsOf(k.row); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (k *known) correct(ctx context.Context, q *db.Queries, r *rand.Rand, seq int64) error {
	s := &evidence.Statement{Seq: uint64(seq), Body: &evidence.Header{Department: someDept[r.IntN(len(someDept))], Cause: someText(r), Place: someText(r),
		Officers: []evidence.Officer{{Certificate: fmt.Sprint("C", r.IntN(5)), Name: "王 芳"}}}}
	old, err := q.RecordingByID(ctx, db.RecordingByIDParams{Device: k.row.Device, Rec: k.row.Rec})
	if err != nil {
		return err
	}
	row := old
	if err := fillAbout(&row, []*evidence.Statement{s}); err != nil {
		return err
	}
	for _, text := range textsOf([]*evidence.Statement{s}) {
		k.words = append(k.words, runs(text)...)
	}
	if err := put(ctx, q, old, &row); err != nil {
		return err
	}
	return addText(ctx, q, row, seq, textsOf([]*evidence.Statement{s})...)
}

func (k *known) meets(q Query) bool {
	if k.row.Shown == 0 || k.row.At < q.From || q.Until > 0 && k.row.At >= q.Until {
		return false
	}
	for _, any := range q.Facets {
		if !slices.ContainsFunc(any, func(f string) bool { return slices.Contains(k.facets, f) }) {
			return false
		}
	}
	for _, want := range runs(q.Text) {
		if !slices.ContainsFunc(k.words, func(has run) bool {
			return has.han == want.han && (has.han && strings.Contains(has.text, want.text) || !has.han && strings.HasPrefix(has.text, want.text))
		}) {
			return false
		}
	}
	return true
}

func someQuery(r *rand.Rand, list []*known) (q Query) {
	if r.IntN(3) > 0 {
		q.Text = someText(r)
	}
	if chars := []rune(q.Text); len(chars) > 2 && r.IntN(2) == 0 {
		q.Text = string(chars[:1+r.IntN(len(chars)-1)])
	}
	for r.IntN(2) == 0 {
		f := list[r.IntN(len(list))].facets
		q.Facets = append(q.Facets, []string{f[r.IntN(len(f))], f[r.IntN(len(f))]}[:1+r.IntN(2)])
	}
	if r.IntN(3) == 0 {
		q.From = 1000 + int64(r.IntN(len(list)/3))
		q.Until = q.From + int64(r.IntN(len(list)/3))
	}
	return q
}

// Whatever is asked, the pages of a search together are what a look at every recording finds, in order, each once; however little is looked
// at for a page.
func TestSearchFindsWhatIsThere(t *testing.T) {
	defer func(n, m int) { maxScan, countScan = n, m }(maxScan, countScan)
	onBoth(t, func(t *testing.T, c *Catalog, _ string) {
		r := rand.New(rand.NewPCG(5, 26))
		list := fillRandom(t, c, r, 900)
		some := 0
		for i := range 160 {
			maxScan, countScan = []int{300, 10_000}[i%2], []int{200, 10_000}[i/2%2]
			q := someQuery(r, list)
			var met []db.Recording
			for _, k := range list {
				if k.meets(q) {
					met = append(met, k.row)
				}
			}
			slices.SortFunc(met, func(a, b db.Recording) int { return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(b.Num, a.Num)) })
			var want []int64
			for _, row := range met {
				want = append(want, row.Num)
			}
			if len(want) > 0 {
				some++
			}
			if got := c.allPages(t, q, len(want), 13+i%50); !slices.Equal(got, want) {
				t.Fatalf("%+v:\n%v\nwant\n%v", q, got, want)
			}
		}
		if some < 40 || some > 155 {
			t.Errorf("%d of 160 searches find something", some)
		}
	})
}

func (c *Catalog) allPages(t *testing.T, q Query, count, n int) (out []int64) {
	t.Helper()
	var after Place
	for range 1000 {
		f, err := c.Search(context.Background(), q, after, n)
		if err != nil {
			t.Fatal(err)
		}
		if after == (Place{}) && (f.More != (int(f.Count) < count) && f.Back == nil && countScan > maxScan/2 || int(f.Count) > count || f.Count < int64(len(f.Rows))) {
			t.Fatalf("%+v: %d results are said, more %v; there are %d", q, f.Count, f.More, count)
		}
		for _, row := range f.Rows {
			out = append(out, row.Num)
		}
		if f.Next == nil {
			return out
		}
		after = *f.Next
	}
	t.Fatal("a search without end")
	return nil
}

// What is not in a recording's row, such as the case that it is tied to, can be set and taken away again, and texts can be added.
func TestFacetsAndTextsBesideTheRow(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog, _ string) {
		ctx, id := context.Background(), evidence.DeviceID{1}
		k := RecordingKey{Device: id, Rec: evidence.RecordingID{2}}
		row := db.Recording{Device: id.String(), Rec: k.Rec.String(), Officers: "[]", Shown: 1, OpenedAt: 5}
		err := c.tx(ctx, func(q *db.Queries) error {
			if err := q.PutDevice(ctx, db.PutDeviceParams{Device: id.String(), Class: "tpm"}); err != nil {
				return err
			}
			if err := put(ctx, q, db.Recording{}, &row); err != nil {
				return err
			}
			return AddText(ctx, q, k, -7, "转写的文字 "+strings.Repeat("many words 一二三四五六七八九十 ", 30))
		})
		finds := func(want int64, q Query) {
			t.Helper()
			if f, err := c.Search(ctx, q, Place{}, 5); err != nil || f.Count != want {
				t.Errorf("%+v: %d, %v", q, f.Count, err)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		link := Query{Facets: [][]string{{Facet(FacetLink, "C1")}}}
		finds(0, link)
		for _, on := range []bool{true, true, false, false, true} {
			if err := c.tx(ctx, func(q *db.Queries) error { return SetFacet(ctx, q, k, FacetLink, "C1", on) }); err != nil {
				t.Fatal(err)
			}
			finds(map[bool]int64{true: 1}[on], link)
		}
		finds(1, Query{Text: "写的文 wor"})
		err = c.tx(ctx, func(q *db.Queries) error {
			unknown := RecordingKey{Device: id, Rec: evidence.RecordingID{9}}
			return errors.Join(SetFacet(ctx, q, unknown, FacetLink, "C1", true), AddText(ctx, q, unknown, 1, "x"))
		})
		if err != nil {
			t.Errorf("a recording that is not known: %v", err)
		}
	})
}

// A term that nothing can meet finds nothing, whatever else is asked for.
func TestSearchForNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog, _ string) {
		fillRandom(t, c, rand.New(rand.NewPCG(1, 2)), 60)
		for _, q := range []Query{{Facets: [][]string{{""}}}, {Facets: [][]string{{}}}, {Facets: [][]string{nil, {"state:open"}}}, {Facets: [][]string{{"off:nobody"}}},
			{From: 9, Until: 9}, {From: 2000, Until: 1000}, {Text: "q"}, {Text: "市龘"}, {Text: strings.Repeat("无 ", 90) + "龘"}} {
			if f, err := c.Search(context.Background(), q, Place{}, 50); err != nil || len(f.Rows)+int(f.Count) > 0 || f.Next != nil {
				t.Errorf("%.80v: %d rows of %d, %v", q, len(f.Rows), f.Count, err)
			}
		}
	})
}

func TestWordsOfTexts(t *testing.T) {
	for text, want := range map[string]string{
		"市场 检":                   " 市场 检 |场 市场 检",
		"京A12345号":               " 京 a12345 号 |a12345 京 号",
		"ＶＩＤ_0001.MP4":           " vid 0001 mp4 |0001 mp4 vid",
		"Café\x00 cafe\u0301":    " café café |café",
		"《》… \u202e!%_":          " |",
		"\xff\xfe":               " |",
		strings.Repeat("ab", 30): " " + strings.Repeat("ab", 30) + " |" + strings.Repeat("ab", 20),
		"ひらがな한국어":                " ひらがな한국어 |ひら らが がな な한 한국 국어 어",
		"\U00020000\U00020001":   " \U00020000\U00020001 |\U00020000\U00020001 \U00020001",
	} {
		body, tokens := indexed([]string{text})
		got := body + "|" + strings.Join(tokens, " ")
		w, x, _ := strings.Cut(want, "|")
		sorted := strings.Fields(x)
		slices.Sort(sorted)
		if got != w+"|"+strings.Join(sorted, " ") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestFacetsAreBounded(t *testing.T) {
	long := strings.Repeat("长", 3000)
	if a, b := Facet(FacetPlace, long), Facet(FacetPlace, long+"x"); len(a) > maxToken || a == b {
		t.Errorf("%q, %q", a, b)
	}
	if got := Facet(FacetPlace, "  Ｗest \t Lake "); got != "place:west lake" {
		t.Errorf("%q", got)
	}
}
