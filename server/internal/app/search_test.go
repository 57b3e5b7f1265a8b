package app

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"camseal/pkg/evidence"
)

// find asks the page of recordings and returns the ids that it lists, and its text.
func (r *rig) find(query string) (recs []string, page string) {
	r.t.Helper()
	status, _, body, err := r.get("/recordings?lang=en&" + query)
	check(r.t, err)
	if status != http.StatusOK {
		r.t.Fatalf("%s: %d", query, status)
	}
	page = string(body)
	for _, m := range regexp.MustCompile(`<div><a href="/recordings/([0-9a-f]{32})">`).FindAllStringSubmatch(page, -1) {
		recs = append(recs, m[1])
	}
	return recs, html.UnescapeString(page)
}

// What the page of recordings finds, as people ask for it; the same after reindex.
func TestFindingRecordings(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.setRegister(officersFile)
		d := r.register("one")
		take := func(name string, h *evidence.Header) string {
			rec := d.takeFrom(source("DCIM/"+name, filmed+uint64(len(d.lines)), content(testChunk, 1)), nil, "video/mp4", evidence.WhyComplete, content(testChunk, 1))
			if h != nil {
				d.say(rec, h)
			}
			return rec.String()
		}
		corrected := header("噪声扰民")
		a := take("VID_0001.MP4", corrected)
		b := take("VID_0002.MP4", spoken(header("无照经营检查")))
		bare := take("<b>bare</b>.mp4", nil)
		id, err := evidence.ParseRecordingID(a)
		check(t, err)
		d.say(id, &evidence.Note{Text: "当事人拒绝签字 <i>50% off_x</i>", By: "李伟"})
		d.seal()
		_, err = d.client(r).statements(d.all())
		check(t, err)
		n := len(d.lines)
		correction := header("占道经营")
		correction.Place = "西湖边"
		correction.Corrects = 1
		for i, l := range d.lines { // the first header
			if s, _, err := evidence.ParseUnverified(l); err == nil && s.Rec == id && s.Kind == evidence.KindHeader {
				correction.Corrects = uint64(i)
			}
		}
		d.say(id, correction)
		r.send(d, n)

		asked := map[string][]string{
			"":                                 {bare, b, a},
			"q=扰民":                             {a}, // what was first said
			"q=占道":                             {a},
			"q=签":                              {a},
			"q=拒绝签字":                           {a},
			"q=绝拒":                             nil,
			"q=inspect":                        {b},
			"q=unlicensed+MARKET":              {b},
			"q=VID":                            {b, a},
			"q=0002+无照":                        {b},
			"q=无照经营检查":                         {b},
			"q=50%25":                          {a},
			"q=%25":                            {bare, b, a}, // nothing to look for
			"cause=噪声扰民":                       nil,
			"cause=占道经营":                       {a},
			"place=西湖边&dept=城管":                {a},
			"officer=A1":                       {b, a},
			"officer=李伟":                       {b, a},
			"officer=李":                        nil,
			"needs=1":                          {bare},
			"state=seen":                       {bare, b, a},
			"state=stored":                     nil,
			"grade=dock-sealed":                {bare, b, a},
			"device=" + d.id().String()[4:12]:  {bare, b, a},
			"device=BZ02712":                   {bare, b, a},
			"device=nobody":                    nil,
			"from=2026-09-21&to=2026-09-22":    {bare, b, a},
			"to=2026-09-19":                    nil,
			"from=2026-13-77":                  nil,
			"q=%00%ff&dept=%27%3BDROP+TABLE+x": nil,
			"state=nonsense":                   nil,
		}
		holds := func() {
			t.Helper()
			for query, want := range asked {
				if got, _ := r.find(query); !slices.Equal(got, want) {
					t.Errorf("%s finds %q, want %q", query, got, want)
				}
			}
		}
		holds()
		if _, page := r.find("from=soon"); !strings.Contains(page, "Nothing was searched") || !strings.Contains(page, `aria-invalid="true"`) {
			t.Error("a day that is none is not refused")
		}
		for _, wrong := range []string{"after=x", "after=1", "after=1.y", "after=99999999999999999999.1"} {
			if status, _, _, err := r.get("/recordings?" + wrong); err != nil || status != http.StatusBadRequest {
				t.Errorf("%s: %d, %v", wrong, status, err)
			}
		}
		if status, _, body, err := r.get("/recordings?q=" + strings.Repeat("%E6%97%A0%20x", 3000)); err != nil || status != http.StatusOK || len(body) > 60_000 {
			t.Errorf("a very long question: %d, %d bytes, %v", status, len(body), err)
		}
		if status, _, body, err := r.get("/recordings?q=" + strings.ToUpper(b)); err != nil || status != http.StatusOK || !strings.Contains(string(body), `class="verdict"`) {
			t.Errorf("a recording's number does not lead to it: %d, %v", status, err)
		}
		r.savesSearches()
		r.stop()
		check(t, reindexCommand{}.Run(r.env))
		r.start()
		holds()
		if _, page := r.find("q=占道"); !strings.Contains(page, "Stalls <script>") {
			t.Error("the saved search is gone after reindex")
		}
	})
}

// savesSearches keeps searches, up to their bound, and forgets all but one.
func (r *rig) savesSearches() {
	t := r.t
	t.Helper()
	status, to, _ := r.post("/searches", url.Values{"name": {" Stalls  <script> "}, "query": {"q=占道&place=西湖边&evil=1"}})
	if want := "/recordings?place=" + url.QueryEscape("西湖边") + "&q=" + url.QueryEscape("占道"); status != http.StatusSeeOther || to != want {
		t.Fatalf("saved: %d, to %s", status, to)
	}
	_, page := r.find("")
	if !strings.Contains(page, "Stalls <script>") || !strings.Contains(page, `href="`+to+`"`) {
		t.Error("the saved search is not on the page")
	}
	for _, form := range []url.Values{{"name": {""}, "query": {"q=x"}}, {"name": {"x"}}, {"name": {"x"}, "query": {"evil=1"}}, {"name": {strings.Repeat("长", 61)}, "query": {"q=x"}},
		{"name": {"x"}, "query": {"q=" + strings.Repeat("x", 70_000)}}} {
		if status, _, _ := r.post("/searches", form); status != http.StatusBadRequest {
			t.Errorf("%.60v: %d", form, status)
		}
	}
	for range 49 {
		if status, _, _ := r.post("/searches", url.Values{"name": {"n"}, "query": {"q=x"}}); status != http.StatusSeeOther {
			t.Fatal(status)
		}
	}
	if status, _, _ := r.post("/searches", url.Values{"name": {"n"}, "query": {"q=x"}}); status != http.StatusConflict {
		t.Errorf("the 51st: %d", status)
	}
	_, page = r.find("")
	for i, m := range regexp.MustCompile(`action="/searches/([0-9a-f]{32})/delete"`).FindAllStringSubmatch(page, -1) {
		if i == 0 {
			continue
		}
		if status, to, _ := r.post("/searches/"+m[1]+"/delete", url.Values{"query": {"q=back"}}); status != http.StatusSeeOther || to != "/recordings?q=back" {
			t.Fatalf("%d, to %s", status, to)
		}
	}
	if _, page = r.find(""); strings.Count(page, `/delete"`) != 1 {
		t.Error("not all but one are forgotten")
	}
}
