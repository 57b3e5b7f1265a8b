package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/duty"
)

// camera is a recorder that captures, by hand.
type camera struct {
	*device
	rec   evidence.RecordingID
	parts [][]byte
	size  uint64
	start uint64 // milliseconds
}

// capture opens a recording; from is the one that it continues.
func (d *device) capture(name string, from *evidence.RecordingID) *camera {
	c := &camera{device: d}
	_, err := rand.Read(c.rec[:])
	check(d.t, err)
	d.say(c.rec, &evidence.Open{Mode: evidence.ModeCapture, MediaType: "video/mp4", Continues: from, Source: evidence.Source{Serial: "BZ02712", Name: name, Path: name, Volume: "camera"}})
	return c
}

// segment seals a piece of made-up footage.
func (c *camera) segment(ms uint64, early bool) {
	c.t.Helper()
	if len(c.parts) == 0 { // what comes before all pictures
		c.piece(content(300, 0), 0, false)
	}
	c.piece(content(300+len(c.parts), byte(len(c.parts))), ms, early)
}

// piece seals a piece of footage.
func (c *camera) piece(part []byte, ms uint64, early bool) {
	c.say(c.rec, &evidence.Chunk{Index: uint64(len(c.parts)), Offset: c.size, Size: uint64(len(part)), Hash: evidence.Sum(part), Start: c.start, Duration: ms, Early: early, Keyframe: ms > 0})
	c.parts, c.size, c.start = append(c.parts, part), c.size+uint64(len(part)), c.start+ms
	c.seal()
}

func (c *camera) ended(why string) {
	var all []byte
	for _, p := range c.parts {
		all = append(all, p...)
	}
	c.say(c.rec, &evidence.Close{Chunks: uint64(len(c.parts)), Size: c.size, Hash: evidence.Sum(all), Duration: c.start, Why: why})
	c.seal()
}

// send sends statements from one on, and all chunks from one on, and asks for the receipt.
func (c *camera) send(r *rig, from uint64, part int) {
	c.t.Helper()
	_, err := c.client(r).statements(c.batch(from, evidence.MaxInt))
	check(c.t, err)
	for i := part; i < len(c.parts); i++ {
		check(c.t, c.client(r).put(c.rec, i, c.parts[i]))
	}
	if part < len(c.parts) {
		_, err = c.client(r).stored(c.rec)
		check(c.t, err)
	}
}

// poll asks for orders in the background; the test's end ends it.
func (d *device) poll(r *rig, report transport.Report) <-chan transport.Orders {
	d.t.Helper()
	out := make(chan transport.Orders, 1)
	raw, err := json.Marshal(report)
	check(d.t, err)
	c := d.client(r)
	changed := r.core.duty.Changed()
	if now, ok := r.core.duty.Recorder(d.id()); !ok || !now.Online { // who comes on duty is answered at once
		check(d.t, c.do("POST", "/v1/orders", raw, &transport.Orders{}))
	}
	go func() {
		var o transport.Orders
		if err := c.do("POST", "/v1/orders", raw, &o); err == nil {
			out <- o
		}
		close(out)
	}()
	select { // until it is there
	case <-changed:
	case <-time.After(10 * time.Second):
		d.t.Fatal("the server did not hear of the recorder")
	}
	return out
}

type growthAnswer struct {
	State        string
	Grows        bool
	Seen, Stored int64
	Parts        int
	Words        map[string]string
}

func (r *rig) growth(rec evidence.RecordingID, lang string) (g growthAnswer) {
	r.t.Helper()
	check(r.t, json.Unmarshal([]byte(r.body("/recordings/"+rec.String()+"/growth?lang="+lang)), &g))
	return g
}

// A recording that grows: how far it is seen and stored, whether its recorder is heard of, and that it ended, on its page and in lists; the catalog
// made anew says the same.
func TestRecordingsGrow(t *testing.T) { onBoth(t, recordingsGrow) }

func recordingsGrow(t *testing.T, r *rig) {
	d := r.register("one")
	d.today(r)
	c := d.capture("20261126-010203.mp4", nil)
	c.segment(2000, true)
	c.segment(4000, false)
	c.send(r, 0, 0)
	seq := uint64(len(d.lines))
	c.segment(3500, false)
	d.say(c.rec, &evidence.Beat{})
	d.seal()
	_, err := d.client(r).statements(d.batch(seq, evidence.MaxInt)) // a narrow link: seen, and not stored
	check(t, err)
	d.poll(r, transport.Report{Station: "No. 7", Recording: &c.rec, Since: 1, Link: "mobile", Video: "h264", Audio: "pcma", Width: 1280, Height: 720, Behind: 3,
		Trouble: "<b>lens</b> covered", Position: &transport.Position{Lat: evidence.Signed{Sign: "-", Value: 31230400}, Lon: evidence.Signed{Sign: "+", Value: 121473700}, At: 5}})

	if g := r.growth(c.rec, "en"); g.State != "recording" || !g.Grows || g.Seen != 9500 || g.Stored != 6000 || g.Parts != 3 || g.Words["far"] != "seen 00:09 · stored 00:06" {
		t.Errorf("%+v", g)
	}
	if g := r.growth(c.rec, "zh-CN"); g.Words["badge"] != "录制中" || g.Words["far"] != "摘要已登记 00:09 · 已入库锁定 00:06" {
		t.Errorf("%+v", g)
	}
	row, err := r.core.catalog.FindRecording(t.Context(), c.rec)
	check(t, err)
	last, _, err := evidence.ParseUnverified(d.lines[len(d.lines)-1])
	check(t, err)
	if row.SeenMs != 9500 || row.LastAt != last.At || row.LastIndex <= row.FirstIndex {
		t.Errorf("%+v", row)
	}
	at := "/recordings/" + c.rec.String()
	if page := r.body(at + "?lang=en"); !strings.Contains(page, "recording now") || !strings.Contains(page, "seen 00:09 · stored 00:06") || !strings.Contains(page, `data-growth="`+at+`/growth"`) ||
		!strings.Contains(page, "/js/growing.js") {
		t.Errorf("the page does not say how far it is\n%s", page)
	}
	var parts struct {
		Parts []struct{ From, Until float64 }
	}
	check(t, json.Unmarshal([]byte(r.body(at+"/parts")), &parts))
	if len(parts.Parts) != 3 || parts.Parts[2].From != 2 || parts.Parts[2].Until != 6 {
		t.Errorf("the seconds of the parts: %+v", parts)
	}
	var line struct {
		Duration int
		Clock    struct{ Begin int64 }
	}
	check(t, json.Unmarshal([]byte(r.body(at+"/timeline")), &line))
	if line.Duration != 6000 || line.Clock.Begin != row.OpenedAt-2000 {
		t.Errorf("timeline %+v, opened at %d", line, row.OpenedAt)
	}
	if list := r.body("/recordings?lang=zh-CN"); !strings.Contains(list, "录制中") || !strings.Contains(list, "00:09") {
		t.Errorf("the list does not say it\n%s", list)
	}
	looked := strings.Count(r.body(at+"/custody?print=1&lang=en"), "looked at")
	r.growth(c.rec, "en")
	r.pass(2 * time.Hour)
	r.signIn(auth.Custodian)
	r.growth(c.rec, "en")
	if now := strings.Count(r.body(at+"/custody?print=1&lang=en"), "looked at"); now != looked {
		t.Errorf("%d looks are on record, were %d", now, looked)
	}

	if g := r.growth(c.rec, "en"); g.State != "late" || !strings.Contains(g.Words["says"], "link is slow") {
		t.Errorf("on duty, and its statements don't get through: %+v", g)
	}
	fleetSays(t, r, d, c.rec)
	r.stop() // also: a request that waits does not hold up the server's end
	r.start()
	if g := r.growth(c.rec, "en"); g.State != "silent" || !strings.Contains(g.Words["says"], "safe") {
		t.Errorf("%+v", g)
	}
	if page := r.body(at + "?lang=zh-CN"); !strings.Contains(page, "未收到该记录仪的消息") {
		t.Errorf("the page does not say that it is silent\n%s", page)
	}
	if page := r.body("/?lang=en"); !strings.Contains(page, "interrupted?") {
		t.Errorf("nobody is told of it\n%s", page)
	}
	seq = uint64(len(d.lines))
	c.ended(evidence.WhyMediaChanged)
	next := d.capture("20261126-020203.mp4", &c.rec)
	d.seal()
	_, err = d.client(r).statements(d.batch(seq, evidence.MaxInt))
	check(t, err)
	if g := r.growth(c.rec, "en"); g.Grows || !strings.Contains(g.Words["says"], "ended") {
		t.Errorf("%+v", g)
	}
	for from, to := range map[string]string{at: "/recordings/" + next.rec.String() + `" rel="next"`, "/recordings/" + next.rec.String(): at + `" rel="prev"`} {
		if page := r.body(from + "?lang=en"); !strings.Contains(page, to) {
			t.Errorf("no link from %s to %s\n%s", from, to, page)
		}
	}
	r.reindexed()
}

// fleetSays looks at what the fleet's pages say of a recorder on duty.
func fleetSays(t *testing.T, r *rig, d *device, rec evidence.RecordingID) {
	t.Helper()
	r.core.duty.Watching(d.id(), 4)
	d.poll(r, transport.Report{Station: "No. 7", Recording: &rec, Since: 1, Link: "mobile", Video: "h264", Audio: "pcma", Width: 1280, Height: 720, Behind: 3, Watched: 4,
		Trouble: "<b>lens</b> covered", Position: &transport.Position{Lat: evidence.Signed{Sign: "-", Value: 31230400}, Lon: evidence.Signed{Sign: "+", Value: 121473700}, At: 5}})
	for _, path := range []string{"/fleet", "/fleet/" + d.id().String()} {
		for lang, words := range map[string][]string{"en": {"On duty now", "recording now", "mobile"}, "zh-CN": {"当前在岗", "录制中", "移动网络"}} {
			page := r.body(path + "?lang=" + lang)
			for _, want := range append(words, "No. 7", "31.230400° S, 121.473700° E", "H.264", "1280×720", ">4<", "/recordings/"+rec.String(), "&lt;b&gt;lens&lt;/b&gt; covered") {
				if !strings.Contains(page, want) {
					t.Errorf("%s in %s lacks %q\n%s", path, lang, want, page)
				}
			}
		}
	}
	r.as(auth.Administrator)
	r.signIn(auth.Administrator)
	if _, page := r.pageOf(auth.Administrator, "/fleet"); strings.Contains(page, "/recordings/"+rec.String()) {
		t.Error("who may not see recordings has a link to one")
	}
}

// A command goes over the recorder's own connection, is on record before, and shows with its result on the recording's custody page; nobody without an
// enrolled device's key gets orders, and a report that is none is refused.
func TestCommandsAreOnRecord(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	d.today(r)
	c := d.capture("a.mp4", nil)
	c.segment(2000, false)
	c.send(r, 0, 0)
	p := d.poll(r, transport.Report{Recording: &c.rec, Known: 6})
	type outcome struct {
		transport.Result
		err error
	}
	got := make(chan outcome, 1)
	go func() {
		res, err := r.core.duty.Order(context.Background(), "王 the-supervisor", d.id(), transport.Command{Kind: transport.CommandMark, Text: "<i>here</i>"})
		got <- outcome{res, err}
	}()
	o := <-p
	if len(o.Commands) != 1 || o.Commands[0].Number != 7 || o.Commands[0].Kind != transport.CommandMark {
		t.Fatalf("%+v", o)
	}
	path := "/recordings/" + c.rec.String() + "/custody?print=1&lang="
	if page := r.body(path + "en"); !strings.Contains(page, "command given to the recorder") || !strings.Contains(page, "mark an important moment") || !strings.Contains(page, "&lt;i&gt;here&lt;/i&gt;") {
		t.Errorf("it was handed out before it was on record\n%s", page)
	}
	d.poll(r, transport.Report{Recording: &c.rec, Known: 7, Results: []transport.Result{{Number: 7, Done: true, Text: "marked at 00:01", Rec: &c.rec}}})
	if x := <-got; x.err != nil || !x.Done {
		t.Errorf("%+v", x)
	}
	if page := r.body(path + "zh-CN"); !strings.Contains(page, "记录仪已执行指令") || !strings.Contains(page, "标记重点时刻") || !strings.Contains(page, "王 the-supervisor") {
		t.Errorf("its result is not there\n%s", page)
	}
	p = d.poll(r, transport.Report{Station: "No. 7", Recording: &c.rec, Known: 7})
	go func() {
		res, err := r.core.duty.Order(context.Background(), "王 the-supervisor", d.id(), transport.Command{Kind: transport.CommandStop})
		got <- outcome{res, err}
	}()
	if o := <-p; len(o.Commands) != 1 || o.Commands[0].Number != 8 {
		t.Fatalf("%+v", o)
	}
	r.stop()
	if x := <-got; !errors.Is(x.err, duty.ErrNoResult) {
		t.Errorf("%+v", x)
	}
	r.start()
	d.poll(r, transport.Report{Known: 8, Results: []transport.Result{{Number: 8, Done: true}}})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); strings.Count(r.body(path+"en"), "the recorder carried out a command") != 2; {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("a result that came after the server began anew is not on record\n%s", r.body(path+"en"))
		}
	}
	page := r.body("/fleet/" + d.id().String() + "?lang=en")
	for _, want := range []string{"command given to the recorder", "the recorder carried out a command", "no answer to a command came in time", "stop recording", "mark an important moment", "&lt;i&gt;here&lt;/i&gt;", "/log/leaf/"} {
		if !strings.Contains(page, want) {
			t.Errorf("the device's page lacks %q\n%s", want, page)
		}
	}
	stranger := newDevice(t, "stranger", r.vkey)
	refused(t, stranger.client(r).do("POST", "/v1/orders", []byte("{}"), nil), transport.CodeUnknownDevice)
	refused(t, d.client(r).do("POST", "/v1/orders", []byte(`{"station":7}`), nil), transport.CodeBadRequest)
	refused(t, d.client(r).do("POST", "/v1/orders", []byte(`{"known":9007199254740993}`), nil), transport.CodeBadRequest)
	refused(t, d.client(r).do("POST", "/v1/orders", append([]byte(`{"station":"`), make([]byte, transport.MaxReport)...), nil), transport.CodeTooLarge)
	_, err := r.says(revokeCommand{Device: d.id().String()})
	check(t, err)
	refused(t, d.client(r).do("POST", "/v1/orders", []byte("{}"), nil), transport.CodeRevoked)
}

// A case that needs full recording: a captured recording's gaps and cuts are said, whenever it was closed; one that goes on after a change of codec is whole.
func TestConcernsOfCaptures(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	d := r.register("one")
	d.today(r)
	c := d.capture("a.mp4", nil)
	c.segment(60_000, false)
	c.start += 90_000
	c.segment(30_000, false)
	d.say(c.rec, &evidence.Fault{Why: evidence.WhyGap, Detail: "the camera was away"})
	c.ended(evidence.WhyMediaChanged)
	next := d.capture("b.mp4", &c.rec)
	next.segment(30_000, false)
	next.ended(evidence.WhyInterrupted)
	d.say(c.rec, header("x"))
	d.say(next.rec, header("x"))
	d.seal()
	c.send(r, 0, 0)
	for i, p := range next.parts {
		check(t, d.client(r).put(next.rec, i, p))
	}
	_, err := d.client(r).stored(next.rec)
	check(t, err)
	values := described()
	delete(values, casefile.Party)
	values[casefile.Activity], values[casefile.Day] = casefile.Property, r.now().In(r.core.cases.Zone).Format(time.DateOnly)
	id, err := r.core.cases.Open(ctx, keeper, values)
	check(t, err)
	for _, rec := range []evidence.RecordingID{c.rec, next.rec} {
		check(t, r.core.cases.Link(ctx, keeper, id, rec))
	}
	row, err := r.core.catalog.FindRecording(ctx, c.rec)
	check(t, err)
	clock := func(ms int64) string {
		return time.UnixMilli(row.OpenedAt + ms).In(r.core.cases.Zone).Format(time.DateTime)
	}
	got := strings.Join(r.concerned(id), "\n")
	for _, want := range []string{fmt.Sprintf("gap | %s | %s | 90", clock(60_000), clock(150_000)), "incomplete | b.mp4", "faults | a.mp4 | 1"} {
		if !strings.Contains(got, want) {
			t.Errorf("not said: %s\n%s", want, got)
		}
	}
	for _, not := range []string{"incomplete | a.mp4", "not-stored", "no-span"} {
		if strings.Contains(got, not) {
			t.Errorf("said: %s\n%s", not, got)
		}
	}
}
