package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

const testCounter = 0x01800100

func (r *rig) registerCounting(seed string) *device {
	r.t.Helper()
	d := newDeviceWith(r.t, seed, r.vkey, testCounter)
	d.count(0)
	d.count(1)
	check(r.t, d.enrol(r, r.token(enrolTokenCommand{Model: "DSJ-V6", For: days(time.Hour)})))
	return d
}

// reindexed expects the catalog made anew to be the one that grew, and returns a server on it.
func (r *rig) reindexed() {
	r.t.Helper()
	r.stop()
	was := r.dump()
	r.loseCatalog()
	check(r.t, reindexCommand{}.Run(r.env))
	if now := r.dump(); now != was {
		r.t.Fatalf("the catalog is another:\n%s\nwas\n%s", now, was)
	}
	r.start()
}

func TestRevokedMidUpload(t *testing.T) {
	r := newRig(t)
	d := r.register("revoked")
	early := d.take("early.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk, 1))
	c := d.client(r)
	_, err := c.statements(d.all())
	check(t, err)
	_, err = c.putAll(d, early)
	check(t, err)
	r.pass(time.Hour)
	since := r.now()
	r.pass(time.Hour)
	from := uint64(len(d.lines))
	late := d.take("late.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk, 2))
	_, err = c.statements(d.batch(from, evidence.MaxInt))
	check(t, err)
	check(t, c.put(late, 0, d.chunk(late, 0)))

	out, err := r.says(revokeCommand{Device: d.id().Short(), SuspectSince: &since})
	if err != nil || !strings.Contains(out, "revoked by log leaf") {
		t.Fatalf("%s, %v", out, err)
	}
	refused(t, c.put(late, 1, d.chunk(late, 1)), transport.CodeRevoked) // on the open connection
	_, err = c.stored(late)
	refused(t, err, transport.CodeRevoked)
	_, err = c.statements(d.batch(from, evidence.MaxInt))
	refused(t, err, transport.CodeRevoked)
	refused(t, c.do("POST", "/v1/certificate", nil, nil), transport.CodeRevoked)
	refused(t, d.enrol(r, r.token(hour)), transport.CodeRevoked)
	if _, err := r.says(revokeCommand{Device: d.id().String()}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("revoked twice: %v", err)
	}
	if _, err := r.says(revokeCommand{Device: "ffffffff"}); err == nil {
		t.Error("a device that is not there was revoked")
	}
	if n := len(r.events(d.id(), casework.ActRevoked)); n != 1 {
		t.Errorf("%d revocations on record", n)
	}
	// What was seen before stays valid, and says so.
	path, err := r.export(early, true)
	check(t, err)
	report := r.verified(path, verify.Verified)
	found := false
	for _, f := range report.Receipts {
		found = found || f.Type == "revoke"
	}
	if !found {
		t.Error("the bundle does not say that its device was revoked later")
	}
	r.reindexed()
	var shown deviceDetail
	out, err = r.says(showCommand{Device: d.id().Short(), JSON: true})
	check(t, err)
	check(t, json.Unmarshal([]byte(out), &shown))
	if !shown.Revoked || shown.SuspectSince == nil || *shown.SuspectSince != since.UnixMilli() {
		t.Errorf("%s", out)
	}
	for rec, after := range map[evidence.RecordingID]bool{early: false, late: true} {
		_, _, body, err := r.get("/recordings/" + rec.String() + "?lang=en")
		check(t, err)
		if !bytes.Contains(body, []byte("This device was revoked")) || bytes.Contains(body, []byte("reached the log only after that")) != after {
			t.Errorf("page of %s: suspect %v", rec, after)
		}
	}
}

// Count records come with their statements, at the beginning of a later batch, or twice.
func TestCountRecordsAcrossBatches(t *testing.T) {
	r := newRig(t)
	d := newDeviceWith(t, "counts", r.vkey, testCounter)
	check(t, d.enrol(r, r.token(hour)))
	c := d.client(r)
	first := d.all()
	a, err := c.statements(first) // sealed, and not counted yet
	check(t, err)
	owed := func(what string, got []uint64, want ...uint64) {
		t.Helper()
		if len(got) != len(want) || len(want) > 0 && got[0] != want[0] {
			t.Fatalf("%s: owed %v, want %v", what, got, want)
		}
	}
	owed("first batch", a.Owed, 0, 1)
	zero, one := d.count(0), d.count(1)
	a, err = c.statements(d.all()) // the same again, with both records: it is known
	check(t, err)
	owed("the same again", a.Owed, 0, 1)
	h, err := c.head()
	check(t, err)
	owed("head", h.Owed, 0, 1)
	if h.N == nil || *h.N != 2 {
		t.Fatalf("n %v", h.N)
	}

	join := func(lines ...[]byte) []byte { return append(bytes.Join(lines, []byte("\n")), '\n') }
	refuse := func(what string, body []byte, code transport.Code) {
		t.Helper()
		_, err := c.statements(body)
		if e := refusalOf(t, err, code); !strings.Contains(e.Message, "count") && !strings.Contains(e.Message, "statement") {
			t.Errorf("%s: %s", what, e.Message)
		}
	}
	refuse("records alone", join(zero, one), transport.CodeBadStatement)
	from := uint64(len(d.lines))
	d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(5*testChunk, 1)) // counts up
	rest := d.batch(from, evidence.MaxInt)
	refuse("records missing", rest, transport.CodeChainBroken)
	refuse("out of order", append(join(one, zero), rest...), transport.CodeBadStatement)
	refuse("one missing", append(join(one), rest...), transport.CodeSealBroken)
	forged := bytes.Replace(zero, []byte(`"seq":0`), []byte(`"seq":1`), 1)
	refuse("of another statement", append(join(zero, forged), rest...), transport.CodeSealBroken)

	with := append(join(zero, one), rest...)
	a, err = c.statements(with)
	check(t, err)
	owed("with both", a.Owed)
	a, err = c.statements(with) // known as a whole
	check(t, err)
	owed("again", a.Owed)
	a, err = c.statements(append(bytes.Clone(first), with...)) // from the very beginning
	check(t, err)
	owed("from the beginning", a.Owed)

	// Records that the server has are passed over at the beginning of the next batch.
	from = uint64(len(d.lines))
	d.say(evidence.RecordingID{}, &evidence.Anchor{Checkpoint: string(r.core.ledger.Newest())})
	d.seal()
	a, err = c.statements(append(join(zero, one), d.batch(from, evidence.MaxInt)...))
	check(t, err)
	if a.Seq != from || a.Head != d.head {
		t.Fatalf("%+v", a)
	}
	out, err := r.says(showCommand{Device: d.id().Short()})
	if err != nil || !strings.Contains(out, "stands at 1 as far as") {
		t.Errorf("%s, %v", out, err)
	}
	r.reindexed()
	next := uint64(len(d.lines))
	rec := d.take("b.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 2))
	_, err = d.client(r).statements(d.batch(next, evidence.MaxInt))
	check(t, err)
	_, err = d.client(r).putAll(d, rec)
	check(t, err)
	path, err := r.export(rec, true)
	check(t, err)
	r.verified(path, verify.Verified)
}

// A device is put back to an old state of its disk: what it had begun and not sent is named, the fork too, and it goes on.
func TestReportNamesWhatNeverArrived(t *testing.T) {
	r := newRig(t)
	d := r.registerCounting("rolled back")
	c := d.client(r)
	d.take("sent.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	_, err := c.statements(d.all())
	check(t, err)
	report := func() missingOf {
		t.Helper()
		out, err := r.says(missingCommand{Device: d.id().Short(), JSON: true})
		check(t, err)
		var list []missingOf
		check(t, json.Unmarshal([]byte(out), &list))
		if len(list) != 1 {
			t.Fatalf("%s", out)
		}
		return list[0]
	}
	if m := report(); !m.Counter || len(m.Gaps)+len(m.Forks)+len(m.Recoveries) != 0 {
		t.Fatalf("nothing is missing yet: %+v", m)
	}
	// Ten recordings are begun and lost with the disk; the TPM has counted them.
	lines, items, heads, head, n := len(d.lines), len(d.items), len(d.heads), d.head, d.n[evidence.RecordingID{}]
	before := d.lines[lines-1]
	for range 10 {
		d.take("lost.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 3))
	}
	d.lines, d.items, d.heads, d.head, d.n[evidence.RecordingID{}] = d.lines[:lines], d.items[:items], d.heads[:heads], head, n
	d.sealer.PowerCycle()
	seq := d.boot(nil)
	d.seal()
	d.count(seq)
	_, err = c.statements(d.batch(seq, evidence.MaxInt))
	check(t, err)
	m := report()
	if len(m.Gaps) != 1 || m.Gaps[0].From != "2" || m.Gaps[0].To != "11" {
		t.Fatalf("gaps %+v", m.Gaps)
	}
	g := m.Gaps[0]
	st, _, err := evidence.ParseUnverified(before)
	check(t, err)
	if g.After.Kind != "intake" || g.After.Value != "1" || g.Before.Kind != "boot" || uint64(g.Before.Seq) != seq || g.After.At >= st.At ||
		g.After.Server == nil || g.Before.Server == nil || *g.After.Server > *g.Before.Server {
		t.Fatalf("neighbours %+v, %+v", g.After, g.Before)
	}

	// A copy of the device says something else under a known number.
	twin := *d
	twin.lines, twin.items, twin.heads, twin.head = d.lines[:lines:lines], d.items[:items:items], d.heads[:heads:heads], head
	twin.n = map[evidence.RecordingID]uint64{{}: n}
	twinSeq := twin.boot(nil)
	twin.seal()
	_, err = c.statements(twin.batch(twinSeq, evidence.MaxInt))
	refused(t, err, transport.CodeFork)
	_, known, err := evidence.ParseUnverified(d.lines[lines])
	check(t, err)
	_, sent, err := evidence.ParseUnverified(twin.lines[lines])
	check(t, err)
	m = report()
	if len(m.Forks) != 1 || uint64(m.Forks[0].Seq) != twinSeq || m.Forks[0].Known != known.String() || m.Forks[0].Sent != sent.String() {
		t.Fatalf("forks %+v", m.Forks)
	}
	if ev := r.events(d.id(), catalog.ActQuarantined); len(ev) != 1 || ev[0].Detail["known"] != known.String() {
		t.Fatalf("custody %+v", ev)
	}

	// The copy goes on behind the server's head, and says where it had been.
	h, err := c.head()
	check(t, err)
	if h.Head != d.head || *h.N != d.n[evidence.RecordingID{}] || h.Seen == nil {
		t.Fatalf("head %+v", h)
	}
	leaf, err := evidence.ParseLeafUnverified(r.receipt(*h.Seen).Leaf)
	check(t, err)
	if seen, ok := leaf.(*evidence.Seen); !ok || seen.Device != d.id() || seen.Seq != *h.Seq || seen.Head != h.Head {
		t.Fatalf("the head's receipt is about %+v", leaf)
	}
	last := twinSeq
	seq = d.boot(&last)
	d.seal()
	d.count(seq)
	_, err = c.statements(d.batch(seq, evidence.MaxInt))
	check(t, err)
	m = report()
	if len(m.Recoveries) != 1 || uint64(m.Recoveries[0].OwnLast) != last || uint64(m.Recoveries[0].Seq) != seq {
		t.Fatalf("recoveries %+v", m.Recoveries)
	}
	text, err := r.says(missingCommand{})
	check(t, err)
	for _, want := range []string{"counter values 2 to 11 never arrived", "two statements under number", "went on behind the server's head"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	r.reindexed()
	again, err := r.says(missingCommand{})
	if err != nil || again != text {
		t.Errorf("after reindex:\n%s\nwas\n%s, %v", again, text, err)
	}
}

func TestSoftwareChangeIsSeenByCustodians(t *testing.T) {
	r := newRig(t)
	d := newDevice(t, "firmware", r.vkey)
	check(t, d.enrol(r, r.token(enrolTokenCommand{Model: "DSJ-V6", For: days(time.Hour)})))
	c := d.client(r)
	calm := d.take("calm.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	_, err := c.statements(d.all())
	check(t, err)
	d.sealer.PowerCycle()
	from := d.boot(nil) // the same software
	d.sealer.PowerCycle()
	d.sealer.Values[0], d.sealer.Values[7] = evidence.Sum([]byte("firmware 2")), evidence.Sum([]byte("other keys"))
	seq := d.boot(nil)
	changed := d.take("changed.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 2))
	_, err = c.statements(d.batch(from, evidence.MaxInt))
	check(t, err)

	events := r.events(d.id(), catalog.ActSoftwareChanged)
	if len(events) != 1 {
		t.Fatalf("%d changes on record", len(events))
	}
	for name, want := range map[string]string{"allowed": "false", "software": "test", "software_before": "test"} {
		if events[0].Detail[name] != want {
			t.Errorf("%s: %q", name, events[0].Detail[name])
		}
	}
	if !strings.Contains(events[0].Detail["pcrs"], evidence.Sum([]byte("firmware 2")).String()) || strings.Contains(events[0].Detail["pcrs_before"], "firmware 2") ||
		!strings.Contains(events[0].Detail["pcrs_before"], evidence.Digest{}.String()) || events[0].Detail["seq"] != fmt.Sprint(seq) {
		t.Errorf("%+v", events[0].Detail)
	}
	page := func(rec evidence.RecordingID, lang string) string {
		_, _, body, err := r.get("/recordings/" + rec.String() + "?lang=" + lang)
		check(t, err)
		return seen(body)
	}
	for _, lang := range []string{"en", "zh-CN"} {
		want := map[string]string{"en": "software changed between", "zh-CN": "之间发生了变化"}[lang]
		if !strings.Contains(page(changed, lang), want) || strings.Contains(page(calm, lang), want) {
			t.Errorf("%s: the page of the recording after the change must say so, and that of the one before not", lang)
		}
	}
	shown := page(changed, "en")
	if group := evidence.Sum([]byte("firmware 2")).String()[:8]; !strings.Contains(shown, group) || !strings.Contains(shown, "not among those that are allowed") {
		t.Error("the page does not show both sets of values")
	}
	sets := func() (list []pcrSet) {
		out, err := r.says(pcrsListCommand{JSON: true})
		check(t, err)
		check(t, json.Unmarshal([]byte(out), &list))
		return list
	}
	if list := sets(); len(list) != 1 || list[0].Model != "DSJ-V6" || list[0].Source != catalog.SourceFirst || len(list[0].PCRs) != 8 {
		t.Fatalf("%+v", list)
	}
	if _, err = r.says(pcrsAllowCommand{Model: "DSJ-V7", Device: d.id().Short()}); err == nil {
		t.Error("a model that no device has was given a list")
	}
	_, err = r.says(pcrsAllowCommand{Model: "DSJ-V6", Device: d.id().Short()})
	check(t, err)
	if list := sets(); len(list) != 2 || list[1].Source != catalog.SourceAllowed || list[1].PCRs[0] != evidence.Sum([]byte("firmware 2")) {
		t.Fatalf("%+v", list)
	}
	shown = page(changed, "en")
	if !strings.Contains(shown, "The administrator allowed the new values") {
		t.Error("the page does not say that the new software is allowed")
	}
	r.reindexed()
	if again := page(changed, "en"); again != shown {
		t.Error("reindexed, the page is another")
	}
	if n := len(r.events(d.id(), catalog.ActSoftwareChanged)); n != 1 {
		t.Errorf("%d changes on record after a restart", n)
	}
}

func TestCheckpointForAnchors(t *testing.T) {
	r := newRig(t)
	d := r.register("anchors")
	resp, err := d.client(r).http.Get("https://" + r.agents + "/v1/checkpoint")
	check(t, err)
	defer resp.Body.Close()
	var raw bytes.Buffer
	_, err = raw.ReadFrom(resp.Body)
	check(t, err)
	log, err := tlog.NewVerifier(r.vkey)
	check(t, err)
	cp, err := tlog.OpenCosigned(raw.Bytes(), log)
	if err != nil || cp.Size < 1 || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Fatalf("%+v, %v", cp, err)
	}
	at, ok, err := r.core.clock.Verify(raw.Bytes())
	if err != nil || !ok || time.Since(at) > time.Minute {
		t.Fatalf("the server's clock: %s, %v, %v", at, ok, err)
	}
}
