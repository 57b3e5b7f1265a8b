package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
)

func header(cause string) *evidence.Header {
	return &evidence.Header{Department: "城管", Officers: []evidence.Officer{{Certificate: "A1", Name: "李伟"}}, Cause: cause, Time: "2026-05-01 09:31", Place: "张掖路",
		Confirmed: "李伟 A1"}
}

func spoken(h *evidence.Header) *evidence.Header {
	h.Spoken = &evidence.SpokenHeader{Confidence: 874, Engine: "pocketsphinx 5", From: 4200, Transcript: "market inspection\nunlicensed sale", Until: 21000}
	return h
}

// text is a page of a recording, or the list with an empty id, as a reader sees its words.
func (r *rig) text(rec, lang string) string {
	r.t.Helper()
	path := "/recordings?lang=" + lang
	if rec != "" {
		path = "/recordings/" + rec + "?lang=" + lang
	}
	status, _, body, err := r.get(path)
	check(r.t, err)
	if status != 200 {
		r.t.Fatalf("%s: %d\n%s", path, status, body)
	}
	return html.UnescapeString(string(body))
}

func says(t *testing.T, page string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(page, w) {
			t.Errorf("the page does not say %q", w)
		}
	}
}

func saysNot(t *testing.T, page string, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(page, w) {
			t.Errorf("the page says %q", w)
		}
	}
}

// lines are those of `recordings --json`, by id.
func (r *rig) lines() map[string]recordingLine {
	r.t.Helper()
	out, err := r.says(recordingsCommand{JSON: true})
	check(r.t, err)
	all := map[string]recordingLine{}
	for s := bufio.NewScanner(strings.NewReader(out)); s.Scan(); {
		var l recordingLine
		check(r.t, json.Unmarshal(s.Bytes(), &l))
		all[l.Rec] = l
	}
	return all
}

// today sets a device's clock to the server's.
func (d *device) today(r *rig) { d.ahead = r.now().Sub(time.UnixMilli(1790000000000)) }

// What officers said a recording is about is on its page in both languages, with the first words where they were corrected later.
func TestWhatARecordingIsAbout(t *testing.T) { onBoth(t, whatARecordingIsAbout) }

func whatARecordingIsAbout(t *testing.T, r *rig) {
	r.setRegister(officersFile)
	d := r.register("one")
	d.today(r)
	rec := d.takeFrom(source("DCIM/a.mp4", filmed, content(testChunk, 1)), nil, "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	first := d.say(rec, spoken(header("噪声扰民")))
	d.say(rec, &evidence.Mark{Moment: 3723440, Text: "signature"})
	r.stored(d, 0, rec)
	n := len(d.lines)
	corrected := header("无照经营检查")
	corrected.Corrects, corrected.Case, corrected.Companions = first, "2026-0117", []string{"Expert Zhao"}
	corrected.Further = []evidence.FurtherField{{Name: "weather", Value: "rain"}}
	d.say(rec, corrected)
	note := d.say(rec, &evidence.Note{By: "李伟", Text: "one box listed"})
	d.say(rec, &evidence.Note{By: "李伟", Corrects: note, Text: "two boxes listed\nparty signed"})
	r.send(d, n)

	en := r.text(rec.String(), "en")
	says(t, en, "What it is about", "无照经营检查 · 张掖路 · 李伟 · 城管", "corrected; first given as:", "噪声扰民", "certificate valid on that day", "until 2099-12-31",
		"00:04–00:21", "market inspection\nunlicensed sale", "pocketsphinx 5", "87 %", "two boxes listed\nparty signed", "Every note as it was written", "one box listed",
		"1:02:03.440", "signature", "2026-0117", "Expert Zhao", "weather: rain", "?t=4.2")
	newest, _, _ := strings.Cut(en, "Every header")
	saysNot(t, newest, "no spoken header", "needs a header", "late</span>", "not in the register")
	says(t, r.text(rec.String(), "zh-CN"), "执法信息说明", "当日执法证有效", "语音说明", "文字说明", "重点标记", "已更正，最初为：")
	says(t, r.text("", "en"), "无照经营检查 · 张掖路 · 李伟 · 城管")

	l := r.lines()[rec.String()]
	if l.Header == nil || l.Header.Cause != "无照经营检查" || !l.Header.Spoken || l.Header.Case != "2026-0117" || l.Header.First >= l.Header.At ||
		string(l.Header.Officers) != `[{"certificate":"A1","name":"李伟"}]` || l.Late || l.Marks != 1 || l.Kind != "video" ||
		l.Note != "two boxes listed party signed" || l.Original == "" || !l.Shown || l.Released || l.Serial != "BZ02712" {
		t.Errorf("%+v %+v", l, l.Header)
	}
	r.reindexed()
	if again := seen([]byte(r.text(rec.String(), "en"))); again != seen([]byte(en)) {
		t.Error("after reindex the page is another")
	}
}

// A header is late by when the first one was given; a correction makes nothing late, and what never came is late from the deadline on.
func TestLateHeaders(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	d.today(r)
	take := func(name string) evidence.RecordingID {
		return d.take(name, "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	}
	onTime, late, never, photo, log := take("a.mp4"), take("b.mp4"), take("c.mp4"), evidence.RecordingID{}, evidence.RecordingID{}
	photo = d.take("d.jpg", "image/jpeg", evidence.WhyComplete, content(testChunk, 1))
	log = d.take("e.log", "text/plain", evidence.WhyComplete, content(testChunk, 1))
	r.send(d, 0)
	check := func(when string, want map[evidence.RecordingID]bool) {
		t.Helper()
		lines := r.lines()
		for rec, late := range want {
			if got := lines[rec.String()].Late; got != late {
				t.Errorf("%s: late is %v for %s", when, got, lines[rec.String()].Name)
			}
			if page := r.text(rec.String(), "en"); strings.Contains(page, "had to be there by") != late {
				t.Errorf("%s: the page of %s says another thing", when, lines[rec.String()].Name)
			}
		}
	}
	check("at once", map[evidence.RecordingID]bool{onTime: false, late: false, never: false, photo: false, log: false})
	says(t, r.text("", "en"), "needs a header")
	says(t, r.text(never.String(), "en"), "It has to be there by")
	n := len(d.lines)
	d.ahead += 23 * time.Hour
	first := d.say(onTime, header("x"))
	d.ahead += 2 * time.Hour
	d.say(late, header("y"))
	correction := header("z")
	correction.Corrects = first
	d.say(onTime, correction)
	r.send(d, n)
	check("after the headers", map[evidence.RecordingID]bool{onTime: false, late: true, never: false, photo: false, log: false})
	r.pass(25 * time.Hour)
	check("after the deadline", map[evidence.RecordingID]bool{onTime: false, late: true, never: true, photo: true, log: false})
	says(t, r.text("", "en"), "late")
	says(t, r.text("", "zh-CN"), "逾期")
	says(t, r.text(log.String(), "en"), "No case header was given.")
	r.reindexed()
	check("after reindex", map[evidence.RecordingID]bool{onTime: false, late: true, never: true, photo: true, log: false})
}

// Nobody spoke a header: that is said; once one was spoken, a typed correction does not take it back.
func TestTypedOnlyHeaderIsLabelled(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	typed := d.take("typed.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	d.say(typed, header("x"))
	both := d.take("both.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 2))
	first := d.say(both, spoken(header("x")))
	h := header("y")
	h.Corrects = first
	d.say(both, h)
	r.send(d, 0)
	says(t, r.text(typed.String(), "zh-CN"), "无语音说明", "音像记录中没有语音说明")
	says(t, r.text(typed.String(), "en"), "no spoken header")
	page := r.text(both.String(), "en")
	page, _, _ = strings.Cut(page, "Every header")
	saysNot(t, page, "no spoken header")
	if l := r.lines(); l[typed.String()].Header.Spoken || !l[both.String()].Header.Spoken {
		t.Error("recordings --json says another thing")
	}
}

// What the register knows against a certificate stands beside the name, and blocks nothing.
func TestCertificatesAreComparedWithTheRegister(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	h := header("x")
	h.Officers = []evidence.Officer{{Name: "李伟", Certificate: "A1"}, {Name: "王芳", Certificate: "A1"}, {Name: "nobody", Certificate: "B9"}, {Name: "old", Certificate: "A3"},
		{Name: "new", Certificate: "A4"}, {Name: "no day", Certificate: "A5"}}
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	d.say(rec, h)
	r.send(d, 0)
	says(t, r.text(rec.String(), "en"), "this server has no register of officers")
	saysNot(t, r.text("", "en"), "check the certificate")
	r.setRegister(`departments: [城管]
officers:
  - {name: 李伟, certificate: A1, valid_until: 2099-12-31, department: 城管}
  - {name: old, certificate: A3, valid_until: 2026-04-30, department: 城管}
  - {name: new, certificate: A4, valid_until: 2026-05-01, department: 城管}
  - {name: no day, certificate: A5, department: 城管}
`)
	page := r.text(rec.String(), "en")
	for name, want := range map[string]string{"李伟": "certificate valid on that day", "王芳": "under another name: <bdi>李伟", "nobody": "not in the register",
		"old": "not valid on that day (until 2026-04-30)", "new": "certificate valid on that day (until 2026-05-01)", "no day": "does not say until when"} {
		_, rest, ok := strings.Cut(page, "<div><bdi>"+name+"</bdi>")
		line, _, _ := strings.Cut(rest, "</div>")
		if !ok || !strings.Contains(line, want) {
			t.Errorf("%s: %q does not say %q", name, line, want)
		}
	}
	says(t, r.text("", "en"), "check the certificate")
}

// Parts of one sequence lead to each other, in their order.
func TestSequenceNeighbours(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	id := evidence.RecordingID{1, 2, 3}
	var recs []evidence.RecordingID
	for _, i := range []uint64{2, 0, 1} { // as they were taken in
		name := fmt.Sprintf("part%d.mp4", i)
		recs = append(recs, d.takeFrom(source("DCIM/"+name, filmed+i, content(testChunk, byte(i))), &evidence.Sequence{ID: id, Index: i}, "video/mp4", evidence.WhyComplete,
			content(testChunk, byte(i))))
	}
	alone := d.take("alone.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 9))
	single := d.takeFrom(source("DCIM/single.mp4", filmed+9, content(testChunk, 8)), &evidence.Sequence{ID: evidence.RecordingID{4}}, "video/mp4", evidence.WhyComplete, content(testChunk, 8))
	r.send(d, 0)
	page := r.text(recs[2].String(), "en")
	says(t, page, "One of 3 recordings", `The one before: <a href="/recordings/`+recs[1].String()+`"><bdi>part0.mp4`, `The one after: <a href="/recordings/`+recs[0].String()+`"><bdi>part2.mp4`)
	says(t, r.text(recs[1].String(), "en"), "The one before: none")
	says(t, r.text(recs[0].String(), "zh-CN"), "下一段： 无")
	saysNot(t, r.text(alone.String(), "en"), "The one before")
	saysNot(t, r.text(single.String(), "en"), "The one before") // a sequence of one is none
	if s := r.lines()[recs[0].String()].Sequence; s == nil || s.ID != id.String() || s.Index != 2 {
		t.Errorf("%+v", s)
	}
	r.reindexed()
}

// Acts that were not recorded are listed with their reason; released recordings are called so, and nothing more is promised.
func TestUnrecordedActsAndReleases(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	whole := content(testChunk, 1)
	rec := d.takeFrom(source("DCIM/a.mp4", filmed, whole), nil, "video/mp4", evidence.WhyComplete, whole)
	for i := range 60 {
		id := evidence.RecordingID{9, byte(i + 1)}
		d.say(id, &evidence.Unrecorded{Activity: fmt.Sprintf("留置送达 <%d>", i), By: "李伟", Reason: "battery\x1b[2J empty"})
	}
	r.stored(d, 0, rec)
	n := len(d.lines)
	d.say(rec, &evidence.Release{Erased: evidence.Sum(whole), Permit: evidence.Digest{7}})
	d.say(evidence.RecordingID{9, 1}, &evidence.Note{By: "李伟", Text: "afterwards"})
	r.send(d, n)
	_, _, body, err := r.get("/unrecorded?lang=en")
	check(t, err)
	page := html.UnescapeString(string(body))
	says(t, page, "Acts that were not recorded", "留置送达 <59>", "battery_[2J empty", "60 in all")
	saysNot(t, page, "留置送达 <0>")
	seen := 0
	for path := "/unrecorded?lang=en"; path != ""; {
		_, _, body, err := r.get(path)
		check(t, err)
		seen += strings.Count(string(body), "<td class=\"name\">")
		_, rest, _ := strings.Cut(string(body), `<p class="pages"><a href="`)
		path, _, _ = strings.Cut(rest, `"`)
		path = html.UnescapeString(path)
	}
	if seen != 60 {
		t.Errorf("%d acts are listed", seen)
	}
	says(t, r.text(rec.String(), "zh-CN"), "已从记录仪清空", "不声明记录仪上的数据已无法恢复")
	saysNot(t, r.text(rec.String(), "en"), "destroyed", "erased for good")
	if !r.lines()[rec.String()].Released {
		t.Error("recordings --json does not say that it was released")
	}
	r.reindexed()
}

// Nothing that anybody said runs, steers or breaks a page.
func TestHostileHeadersOnPages(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	bad := "<script>alert(1)</script>\u202e\x00\x1b[2J{{.}}'\"&<!--"
	h := &evidence.Header{Department: bad, Officers: []evidence.Officer{{Certificate: bad, Name: bad}, {}}, Cause: bad, Time: bad, Place: bad, Activity: bad, Case: bad, Confirmed: bad,
		Companions: []string{bad, ""}, Further: []evidence.FurtherField{{Name: bad, Value: bad}},
		Spoken: &evidence.SpokenHeader{Confidence: evidence.MaxInt, Engine: bad, From: evidence.MaxInt, Transcript: bad + strings.Repeat("长", 15000), Until: 0}}
	src := source("DCIM/a.mp4", evidence.MaxInt, content(testChunk, 1))
	src.Serial, src.Volume = bad, bad
	rec := d.takeFrom(src, &evidence.Sequence{ID: evidence.RecordingID{}, Index: evidence.MaxInt}, "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	d.say(rec, h)
	d.say(rec, &evidence.Note{By: bad, Text: bad + "\n\n" + bad})
	d.say(rec, &evidence.Mark{Moment: evidence.MaxInt, Text: bad})
	d.say(evidence.RecordingID{9}, &evidence.Unrecorded{Activity: bad, By: bad, Reason: bad})
	d.say(evidence.RecordingID{8}, &evidence.Unrecorded{})
	r.stored(d, 0, rec)
	for _, path := range []string{"/", "/unrecorded", "/recordings/" + rec.String()} {
		status, head, body, err := r.get(path + "?lang=zh-CN")
		check(t, err)
		if status != 200 || !strings.Contains(head.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Fatalf("%s: %d %v", path, status, head)
		}
		body = ownScript.ReplaceAll(body, nil)
		for _, b := range []string{"<script", "\u202e", "\x00", "\x1b", "<!--", "ZgotmplZ"} {
			if strings.Contains(string(body), b) {
				t.Errorf("%s holds %q", path, b)
			}
		}
	}
	if out, err := r.says(recordingsCommand{JSON: true}); err != nil || strings.ContainsAny(out, "\x00\x1b\u202e") {
		t.Errorf("%q, %v", out, err)
	}
	got, err := d.client(r).known(fileOf(src))
	check(t, err)
	if len(got.Known) != 1 {
		t.Error("a file with an odd serial number is not known")
	}
	r.reindexed()
}

// ownScript is what the server's own pages load.
var ownScript = regexp.MustCompile(`<script type="module" src="/js/[a-z-]+\.js"></script>`)
