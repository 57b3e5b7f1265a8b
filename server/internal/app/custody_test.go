package app

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/verify"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

// keyOf is a recording's key of this device.
func (d *device) keyOf(rec evidence.RecordingID) catalog.RecordingKey {
	return catalog.RecordingKey{Device: d.id(), Rec: rec}
}

// page fetches a page that must be there.
func (r *rig) body(path string) string {
	r.t.Helper()
	status, _, body, err := r.get(path)
	check(r.t, err)
	if status != 200 {
		r.t.Fatalf("%s: %d\n%s", path, status, body)
	}
	return string(body)
}

var leafOf = regexp.MustCompile(`/custody/(\d+)"`)

// TestCustodyPageHoldsTheWholeLife: everything is there once, in the order of the log, whatever the size of the page; unknown acts by their
// name, markup as text; each line's leaf, proof and event check out by themselves; and the bundle with all these acts verifies.
func TestCustodyPageHoldsTheWholeLife(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	rec := d.take("<b>全程.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk, 1))
	for i := range 40 {
		d.say(rec, &evidence.Mark{Moment: uint64(i) * 1000, Text: fmt.Sprintf("mark no. %d", i)})
	}
	d.say(rec, &evidence.Note{By: "李伟", Text: "two boxes listed"})
	d.seal()
	_, err := d.client(r).statements(d.all())
	check(t, err)
	_, err = d.client(r).putAll(d, rec)
	check(t, err)
	id := d.id()
	for i := range 60 {
		_, err := r.core.book.Record(context.Background(), casework.Act{Name: "looked-<i>closely</i>", Actor: fmt.Sprintf("<script>%d</script>", i), Device: &id, Rec: rec,
			Detail: evidence.Detail{"reason": fmt.Sprintf("<img src=x> %d", i)}})
		check(t, err)
	}
	path := "/recordings/" + rec.String() + "/custody"
	whole := r.body(path + "?print=1&lang=en")
	for _, want := range []string{"The device was enrolled", "Sealing began", "Sealing ended", "mark no. 39", "two boxes listed", "Seen: the log holds", "Stored: 3 chunks",
		"looked-&lt;i&gt;closely&lt;/i&gt;", "&lt;img src=x&gt; 59", "&lt;b&gt;全程.mp4", "the device&#39;s clock, a claim"} {
		if !strings.Contains(whole, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	for _, not := range []string{"<script>", "<img src=x", "<i>closely", "can&#39;t be read"} {
		if strings.Contains(whole, not) {
			t.Errorf("%q is on the page", not)
		}
	}
	all := leafOf.FindAllStringSubmatch(whole, -1)
	var paged [][]string
	next := regexp.MustCompile(`href="([^"]+after=[^"]+)"`)
	for at, n := path+"?lang=en", 0; at != ""; n++ {
		body := r.body(at)
		paged = append(paged, leafOf.FindAllStringSubmatch(body, -1)...)
		at = ""
		for _, m := range next.FindAllStringSubmatch(body, -1) {
			if !strings.Contains(m[1], "lang=") {
				at = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
		if n > 5 {
			t.Fatal("the pages don't end")
		}
	}
	if fmt.Sprint(paged) != fmt.Sprint(all) || len(all) < 60+40+6 {
		t.Errorf("%d lines on one page, %d on several", len(all), len(paged))
	}
	v, err := tlog.NewVerifier(r.vkey)
	check(t, err)
	last := all[len(all)-1][1]
	file := func(name string) []byte { return []byte(r.body(path + "/" + last + "?file=" + name)) }
	receipt := tlog.Receipt{Leaf: file("leaf"), Proof: file("proof")}
	got, err := receipt.Verify(v)
	check(t, err)
	var leaf evidence.Custody
	check(t, json.Unmarshal(receipt.Leaf, &leaf))
	if fmt.Sprint(got.Index) != last || evidence.Sum(file("event")) != leaf.Event {
		t.Errorf("leaf %s: the event's digest is %s, the receipt is of %d", last, leaf.Event, got.Index)
	}
	if body := r.body("/log/leaf/" + last + "?lang=en"); strings.Contains(body, "script") || strings.Contains(body, "reason") {
		t.Error("the log's own page shows what the event says")
	}
	for _, bad := range []string{"?after=1", "?after=x.y", "?after=-9.0", "/99999999", "/-1", "/x", "/1?file=event2"} {
		if status, _, _, err := r.get(path + bad); err != nil || status < 400 || status > 404 {
			t.Errorf("%s: %d, %v", bad, status, err)
		}
	}
	bundle, err := r.export(rec, true)
	check(t, err)
	if report := r.verified(bundle, verify.Verified); report.Custody < 60 {
		t.Errorf("%d custody events in the bundle", report.Custody)
	}
}
