package app

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
)

func TestFromStatementsToBundle(t *testing.T) { onBoth(t, fromStatementsToBundle) }

func fromStatementsToBundle(t *testing.T, r *rig) {
	d := r.register("happy")
	c := d.client(r)
	h, err := c.head()
	check(t, err)
	if h.Seq != nil {
		t.Fatalf("head before the first batch: %+v", h)
	}
	data := content(5*testChunk+77, 1)
	rec := d.take("街头 \"one\"\n../x.mp4", "video/mp4", evidence.WhyComplete, data)
	a, err := c.statements(d.all())
	check(t, err)
	if a.Head != d.head || a.Seq != uint64(len(d.lines)-1) || len(a.Wanted) != 6 {
		t.Fatalf("accepted %+v, want head %s", a, d.head)
	}
	r.receipt(a.Seen)
	again, err := c.statements(d.all())
	check(t, err)
	if again.Head != a.Head || !bytes.Equal(again.Seen.Leaf, a.Seen.Leaf) || len(again.Wanted) != 6 {
		t.Fatalf("the same batch again: %+v", again)
	}
	_, err = c.stored(rec)
	refused(t, err, transport.CodeMissing)
	s, err := c.putAll(d, rec)
	check(t, err)
	leaf := r.storedLeaf(d, rec, s)
	if !verify.Complete(leaf) || leaf.Until <= r.env.now().UnixMilli() || leaf.Until%1000 != 0 {
		t.Fatalf("stored leaf %+v", leaf)
	}
	s2, err := c.stored(rec)
	check(t, err)
	if !bytes.Equal(s2.Receipt.Leaf, s.Receipt.Leaf) {
		t.Fatal("asked again, the receipt is another")
	}
	if h, err = c.head(); err != nil || *h.Seq != a.Seq || h.Head != d.head {
		t.Fatalf("head %+v, %v", h, err)
	}
	path, err := r.export(rec, false)
	check(t, err)
	r.verified(path, verify.Verified)
	path, err = r.export(rec, true)
	check(t, err)
	if rep := r.verified(path, verify.Verified); rep.Custody != 3 {
		t.Fatalf("%d custody events, want the enrolment and both exports", rep.Custody)
	}
	checkPages(t, r, rec, data)
}

func checkPages(t *testing.T, r *rig, rec evidence.RecordingID, data []byte) {
	t.Helper()
	status, _, body, err := r.get("/recordings", "Accept-Language", "zh-CN,zh;q=0.9")
	check(t, err)
	if status != 200 || !bytes.Contains(body, []byte("音像记录")) {
		t.Fatalf("list, as the browser asks: %d %s", status, body)
	}
	status, head, body, err := r.get("/recordings?lang=en")
	check(t, err)
	if status != 200 || !bytes.Contains(body, []byte("dock-sealed")) || !strings.Contains(head.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatalf("list: %d %s", status, body)
	}
	at := "/recordings/" + rec.String()
	status, _, body, err = r.get(at + "?lang=zh-CN")
	check(t, err)
	if status != 200 || !bytes.Contains(body, []byte("此处未校验")) || !bytes.Contains(body, []byte("<video")) {
		t.Fatalf("recording: %d %s", status, body)
	}
	status, head, body, err = r.get(at + "/original")
	check(t, err)
	if status != 200 || !bytes.Equal(body, data) || !strings.HasPrefix(head.Get("Content-Security-Policy"), "sandbox") {
		t.Fatalf("original: %d, %d bytes, %v", status, len(body), head)
	}
	etag := head.Get("ETag")
	for _, c := range []struct {
		spec, ifRange string
		status        int
		want          []byte
	}{
		{"bytes=0-0", "", 206, data[:1]}, {"bytes=4090-8200", "", 206, data[4090:8201]}, {"bytes=-5", etag, 206, data[len(data)-5:]},
		{"bytes=20000-", "", 206, data[20000:]}, {"bytes=0-3", `"other"`, 200, data}, {"bytes=0-1,5-6", "", 416, nil}, {"bytes=99999999-", "", 416, nil},
		{"bytes=x-", "", 416, nil}, {"lines=1-2", "", 200, data},
	} {
		status, _, body, err := r.get(at+"/original", "Range", c.spec, "If-Range", c.ifRange)
		check(t, err)
		if status != c.status || !bytes.Equal(body, c.want) {
			t.Errorf("range %s: %d and %d bytes, want %d and %d", c.spec, status, len(body), c.status, len(c.want))
		}
	}
	resp, err := r.as(auth.Custodian).Post(r.page+at+"/bundle", "", nil)
	check(t, err)
	defer resp.Body.Close()
	zip := filepath.Join(t.TempDir(), "web.zip")
	f, err := os.Create(zip)
	check(t, err)
	_, err = io.Copy(f, resp.Body)
	check(t, errors.Join(err, f.Close()))
	r.verified(zip, verify.Verified)
}

func TestHostileNamesAndTypesAreHarmless(t *testing.T) {
	r := newRig(t)
	d := r.register("hostile")
	c := d.client(r)
	page := []byte("<html><script>alert(1)</script>")
	rec := d.take("<script>alert(1)</script>.html", "text/html", evidence.WhyComplete, page)
	svg := d.take("x.svg", "image/svg+xml", evidence.WhyComplete, []byte("<svg onload='alert(1)'/>"))
	empty := d.take("", "video/mp4", evidence.WhyComplete, nil)
	_, err := c.statements(d.all())
	check(t, err)
	for _, rec := range []evidence.RecordingID{rec, svg, empty} {
		_, err = c.putAll(d, rec)
		check(t, err)
		path, err := r.export(rec, true)
		check(t, err)
		r.verified(path, verify.Verified)
	}
	_, _, body, err := r.get("/")
	check(t, err)
	if bytes.Contains(body, []byte("<script")) {
		t.Fatal("a name got into the page as it is")
	}
	for _, rec := range []evidence.RecordingID{rec, svg} {
		_, head, _, err := r.get("/recordings/" + rec.String() + "/original")
		check(t, err)
		if head.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(head.Get("Content-Disposition"), "attachment") || head.Get("X-Content-Type-Options") != "nosniff" {
			t.Fatalf("headers %v", head)
		}
	}
	req, err := http.NewRequest("GET", r.page+"/", nil)
	check(t, err)
	req.Host = "camseal.example"
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	check(t, resp.Body.Close())
	if resp.StatusCode != http.StatusForbidden {
		t.Fatalf("under a foreign name: %s", resp.Status)
	}
}

func TestPausesInTheMiddle(t *testing.T) {
	r := newRig(t)
	d := r.register("restart")
	data := content(9*testChunk, 3)
	rec := d.take("a.mp4", "video/mp4", "", data)
	c := d.client(r)
	_, err := c.statements(d.all())
	check(t, err)
	for i := range 4 {
		check(t, c.put(rec, i, d.chunk(rec, i)))
	}
	r.stop()
	r.start()
	c = d.client(r)
	s, err := c.stored(rec) // of those that lie together from the first on
	check(t, err)
	if leaf := r.storedLeaf(d, rec, s); leaf.Close != nil || leaf.Chunks != 4 {
		t.Fatalf("leaf %+v", leaf)
	}
	check(t, c.put(rec, 6, d.chunk(rec, 6))) // behind a gap: nothing new to say
	_, err = c.stored(rec)
	if e := refusalOf(t, err, transport.CodeMissing); len(e.Wanted) != 4 || e.Wanted[0].Index != 4 {
		t.Fatalf("wanted %+v", e.Wanted)
	}
	s, err = c.putAll(d, rec)
	check(t, err)
	if leaf := r.storedLeaf(d, rec, s); leaf.Close != nil || leaf.Chunks != 9 {
		t.Fatalf("leaf %+v", leaf)
	}
	path, err := r.export(rec, false)
	check(t, err)
	r.verified(path, verify.Incomplete)
	r.stop()
	r.start()
	c = d.client(r)
	upto := len(d.lines)
	d.end(rec, evidence.WhyComplete)
	d.say(rec, &evidence.Note{By: "Li Wei", Text: "two boxes"})
	d.seal()
	_, err = c.statements(d.batch(uint64(upto), evidence.MaxInt))
	check(t, err)
	s, err = c.stored(rec)
	check(t, err)
	if leaf := r.storedLeaf(d, rec, s); !verify.Complete(leaf) {
		t.Fatalf("leaf %+v", leaf)
	}
	path, err = r.export(rec, true)
	check(t, err)
	r.verified(path, verify.Verified)
}

// A bundle of one recording among others, with a note long after it: separate stretches, others' words withheld.
func TestFarApartStretches(t *testing.T) {
	r := newRig(t)
	d := r.register("far")
	c := d.client(r)
	send := func(from int) {
		_, err := c.statements(d.batch(uint64(from), evidence.MaxInt))
		check(t, err)
	}
	send(0)
	from := len(d.lines)
	d.take("before.mp4", "video/mp4", evidence.WhyComplete, content(1300*testChunk, 4))
	send(from)
	from = len(d.lines)
	rec := d.take("mine.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk, 5))
	other := d.take("secret name.mp4", "video/mp4", evidence.WhyComplete, content(2*testChunk, 6))
	send(from)
	from = len(d.lines)
	d.take("after.mp4", "video/mp4", evidence.WhyComplete, content(1300*testChunk, 7))
	send(from)
	from = len(d.lines)
	d.say(rec, &evidence.Note{By: "Li Wei", Text: "much later"})
	d.seal()
	send(from)
	for _, rec := range []evidence.RecordingID{rec, other} {
		_, err := c.putAll(d, rec)
		check(t, err)
	}
	path, err := r.export(rec, true)
	check(t, err)
	report := r.verified(path, verify.Verified)
	if report.Withheld.Skipped < 2000 {
		t.Fatalf("withheld %+v", report.Withheld)
	}
	raw, err := os.ReadFile(filepath.Join(path, "data/chain.jsonl"))
	check(t, err)
	if bytes.Contains(raw, []byte("secret name")) || !bytes.Contains(raw, []byte(other.String())) {
		t.Fatal("another recording's words are in the bundle, or its digests are not")
	}
}

func refused(t *testing.T, err error, want transport.Code) {
	t.Helper()
	_ = refusalOf(t, err, want)
}

func refusalOf(t *testing.T, err error, want transport.Code) *transport.Error {
	t.Helper()
	var e *transport.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a refusal with %s", err, want)
	}
	if e.Code != want || e.Message == "" || e.Kept == "" || e.Do == "" {
		t.Fatalf("refused with %+v, want %s", e, want)
	}
	return e
}
