package app

import (
	"context"
	"errors"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"camseal/pkg/evidence"
	"camseal/scripts/visitor"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
)

var (
	officer    = func() auth.Account { a := person("officer", auth.Officer, "城管"); a.Certificate = "A1"; return a }()
	supervisor = person("supervisor", auth.Supervisor, "监督局")
	administer = person("admin", auth.Administrator, "")
	otherTeam  = person("other-team", auth.Reviewer, "另一法制科")
)

// caller is a person at the page.
type caller struct {
	r  *rig
	me auth.Account
	v  *visitor.Visitor
}

// by signs somebody in; the account is made when there is none.
func (r *rig) by(a auth.Account) caller {
	r.t.Helper()
	if v, ok := r.callers[a.Login]; ok {
		return v
	}
	v, _ := r.visitor(a)
	v.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if r.callers == nil {
		r.callers = map[string]caller{}
	}
	r.callers[a.Login] = caller{r, a, v}
	return r.callers[a.Login]
}

// cookies hands the session to a browser.
func (v caller) cookies() chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		list, err := v.v.Cookies()
		for _, c := range list {
			err = errors.Join(err, network.SetCookie(c.Name, c.Value).WithURL(v.r.page).WithPath("/").WithHTTPOnly(true).Do(ctx))
		}
		return err
	})
}

// gets gets a page with what came before it.
func (v caller) gets(path string) (*http.Response, []byte) {
	v.r.t.Helper()
	req, err := http.NewRequest("GET", v.r.page+path, nil)
	check(v.r.t, err)
	req.Header.Set("Accept-Language", "en")
	resp, err := v.v.Do(req)
	check(v.r.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(v.r.t, err)
	return resp, body
}

// sees gets a page and returns it with its characters as they are read.
func (v caller) sees(path string, want int) string {
	v.r.t.Helper()
	resp, body := v.gets(path)
	if resp.StatusCode != want {
		v.r.t.Fatalf("%s, GET %s: %d, want %d\n%s", v.me.Login, path, resp.StatusCode, want, body)
	}
	return html.UnescapeString(string(body))
}

// sends posts a form, and returns the page or, where one is sent on, the address.
func (v caller) sends(path string, form url.Values, want int) string {
	v.r.t.Helper()
	return v.posts(path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), want)
}

func (v caller) posts(path, contentType string, body io.Reader, want int) string {
	v.r.t.Helper()
	req, err := http.NewRequest("POST", v.r.page+path, body)
	check(v.r.t, err)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept-Language", "en")
	resp, err := v.v.Do(req)
	check(v.r.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	check(v.r.t, err)
	if resp.StatusCode != want {
		v.r.t.Fatalf("%s, POST %s: %d, want %d\n%s", v.me.Login, path, resp.StatusCode, want, raw)
	}
	if want == http.StatusSeeOther {
		return resp.Header.Get("Location")
	}
	return html.UnescapeString(string(raw))
}

// adds uploads a document.
func (v caller) adds(path, name string, fields map[string]string, content io.Reader, want int) string {
	v.r.t.Helper()
	pr, pw := io.Pipe()
	form := multipart.NewWriter(pw)
	go func() {
		for _, k := range []string{"kind", "signature", "refusal"} {
			_ = form.WriteField(k, fields[k])
		}
		part, err := form.CreateFormFile("file", name)
		if err == nil {
			_, err = io.Copy(part, content)
		}
		if err == nil {
			err = form.Close()
		}
		pw.CloseWithError(err)
	}()
	return v.posts(path, form.FormDataContentType(), pr, want)
}

var signed = map[string]string{"kind": casefile.OnSiteRecord, "signature": casefile.Signed}

// opened opens a case with all its fields, one stored recording and one document.
func (v caller) opened(rec evidence.RecordingID) (path string) {
	v.r.t.Helper()
	form := url.Values{}
	for k, x := range described() {
		form.Set(string(k), x)
	}
	path = v.sends("/cases/new", form, 303)
	v.sends("/recordings/"+rec.String()+"/case", url.Values{"case": {strings.TrimPrefix(path, "/cases/")}}, 303)
	v.adds(path+"/documents/new", "笔录.pdf", signed, strings.NewReader(pdf(path)), 303)
	return path
}

// opinion is the review form, filled in.
func opinion(agree string, problem string) url.Values {
	v := url.Values{"agree": {agree}, "text": {"in all, " + agree}}
	for _, item := range casefile.CheckItems {
		v.Set("result."+item, "ok")
		if item == problem {
			v.Set("result."+item, "problem")
			v.Set("text."+item, "what is wrong with "+item)
		}
	}
	return v
}

func with(v url.Values, more ...string) url.Values {
	out := url.Values{}
	for k, x := range v {
		out[k] = x
	}
	for i := 0; i < len(more); i += 2 {
		out.Add(more[i], more[i+1])
	}
	return out
}

// rigWithRecording has one stored recording with a header.
func rigWithRecording(t *testing.T) (*rig, *device, evidence.RecordingID) {
	t.Helper()
	r := newRig(t)
	d := r.register("one")
	d.today(r)
	rec := d.takeFrom(source("DCIM/a.mp4", filmed, content(testChunk, 1)), nil, "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	d.say(rec, spoken(header("无照经营检查")))
	r.stored(d, 0, rec)
	return r, d, rec
}

// A case goes its whole way through the pages: problems, mended, problems again, the leader determines, and it is decided.
func TestACaseOnItsPages(t *testing.T) {
	r, _, rec := rigWithRecording(t)
	k, rv, ld := r.by(keeper), r.by(reviewer), r.by(leader)
	path := k.opened(rec)
	page := k.sees(path, 200)
	says(t, page, "being put together", "无照经营", "2026-0117", "Submit to legal review", "a.mp4", "笔录.pdf", "signed by the party", "log leaf", "case opened", "document added")
	says(t, k.sees("/recordings/"+rec.String(), 200), path, "无照经营")
	says(t, rv.sees(path, 200), "this is for others (officer or custodian)")

	says(t, k.sees(path+"/submit", 200), "What is submitted", "笔录.pdf", "can be changed until the opinion is there")
	k.sends(path+"/submit", url.Values{}, 303)
	says(t, k.sees(path, 200), "in legal review", "working days left")
	says(t, k.sends(path+"/edit", url.Values{"title": {"other"}, "base.title": {"1"}}, 422), "The case is under review", "other")
	k.sees(path+"/documents/new", 409)
	says(t, rv.sees("/", 200), "Mine to do", path)
	says(t, r.by(otherTeam).sees(path+"/review", 409), "Only the review body that the case names")

	doc := regexp.MustCompile(path + `/documents/([0-9a-f]{64})`).FindStringSubmatch(k.sees(path, 200))[1]
	says(t, rv.sees(path+"/review", 200), "Facts and evidence", "a.mp4", "笔录.pdf")
	// Rows are added without a script, and what was typed stays.
	more := rv.sends(path+"/review", with(opinion("no", "facts"), "rec.facts", rec.String(), "at.facts", "03:12", "more", "facts"), 200)
	says(t, more, "what is wrong with facts", `value="03:12"`, "autofocus")
	if n := strings.Count(more, `name="at.facts"`); n != 5 {
		t.Errorf("%d rows of moments", n)
	}
	// Mistakes are said beside what they are about; nothing is recorded.
	wrong := with(opinion("yes", "facts"), "rec.law", rec.String(), "at.law", "three", "doc.law", doc, "page.law", "0", "rec.body", strings.Repeat("9", 32), "at.body", "1:00")
	wrong.Del("result.crime")
	wrong.Set("text.facts", "")
	says(t, rv.sends(path+"/review", wrong, 422), "6 things are to be mended", "Choose a result", "Say what the problem is", "Give a time as", "Give a page number", "Choose a recording of this case",
		"the opinion can't be to agree")
	good := with(opinion("no", "facts"), "rec.facts", rec.String(), "at.facts", "03:12", "doc.facts", doc, "page.facts", "2")
	says(t, rv.sends(path+"/review", good, 200), "can't be taken back", "/recordings/"+rec.String()+"?t=192", "/documents/"+doc+"#page=2")
	rv.sends(path+"/review", with(good, "step", "confirmed"), 303)
	page = k.sees(path, 200)
	says(t, page, "returned for mending", "problems found", "what is wrong with facts", "/recordings/"+rec.String()+"?t=192", "a.mp4 03:12", "#page=2", "Submit again")
	saysNot(t, page, "Ask the leader in charge")
	says(t, k.sees(path+"/escalate", 409), "submit the case again first")

	k.sends(path+"/edit", url.Values{"self-check": {"更充分"}, "base.self-check": {"1"}}, 303)
	says(t, k.sees(path, 200), "更充分", "corrected; former values", "合法")
	says(t, k.sends(path+"/submit", url.Values{}, 422), "This is needed.")
	k.sends(path+"/submit", url.Values{"text": {"self-check"}}, 303)
	rv.sends(path+"/review", with(opinion("no", "law"), "step", "confirmed"), 303)
	says(t, ld.sees(path+"/determine", 409), "was not put before the leader")
	says(t, k.sees(path, 200), "Submission 2", "Ask the leader in charge")
	says(t, k.sends(path+"/escalate", url.Values{"text": {"we stay with ours"}}, 200), "look again", "we stay with ours")
	says(t, k.sees(path, 200), "returned for mending")
	k.sends(path+"/escalate", url.Values{"text": {"we stay with ours"}, "step": {"confirmed"}}, 303)
	says(t, ld.sees("/", 200), "Mine to do", path)
	k.sees(path+"/determine", 403)
	says(t, ld.sees(path+"/determine", 200), "what is wrong with law", "we stay with ours")
	says(t, ld.sends(path+"/determine", url.Values{"text": {"go"}, "step": {"confirmed"}}, 422), "This is needed.", "go")
	ld.sends(path+"/determine", url.Values{"text": {"go"}, "go": {"yes"}, "step": {"confirmed"}}, 303)
	says(t, r.by(officer).sees(path, 200), "determined: may be decided", "Write down the decision")
	r.by(officer).sends(path+"/decide", url.Values{"text": {"fine of 500"}, "step": {"confirmed"}}, 303)
	k.sends(path+"/hold", url.Values{"text": {"appeal"}}, 303)
	page = r.by(supervisor).sees(path, 200)
	says(t, page, "decided", "fine of 500", "the decision may be taken", "held", "appeal", "hold on disposal set")
	k.sends(path+"/lift", url.Values{"text": {"withdrawn"}}, 303)
	says(t, k.sees(path, 200), "lifted", "withdrawn")
	says(t, k.sees("/cases?q=0117&state=decided", 200), path)
	saysNot(t, k.sees("/cases?q=0118", 200), path)
	before := k.sees(path, 200)
	r.reindexed()
	r.callers = nil // sessions and passwords were in the catalog that was lost
	if r.by(keeper).sees(path, 200) != before {
		t.Error("after reindex the page is another")
	}
}

// Who may not see a case learns nothing of it, and hand-made ids are answered as unknown.
func TestCasesOfOthers(t *testing.T) {
	r, _, rec := rigWithRecording(t)
	path := r.by(keeper).opened(rec)
	doc := regexp.MustCompile(path + `/documents/([0-9a-f]{64})`).FindString(r.by(keeper).sees(path, 200))
	for _, p := range []string{path, path + "/edit", path + "/submit", path + "/documents/new", doc, path + "/unlink?rec=" + rec.String()} {
		if page := r.by(stranger).sees(p, 404); strings.Contains(page, "无照经营") {
			t.Errorf("%s tells a stranger", p)
		}
	}
	saysNot(t, r.by(stranger).sees("/cases", 200), "无照经营")
	for act, status := range map[string]int{"edit": 404, "submit": 404, "escalate": 404, "decide": 404, "link": 404, "hold": 403, "review": 403, "determine": 403} {
		r.by(stranger).sends(path+"/"+act, url.Values{"text": {"x"}, "step": {"confirmed"}}, status)
	}
	for _, id := range []string{"x", "..", "%00", strings.Repeat("0", 32), strings.Repeat("A", 32), strings.Repeat("f", 4000), "'%20OR%201=1"} {
		for _, end := range []string{"", "/edit", "/submit", "/review", "/documents/new", "/documents/" + strings.Repeat("0", 64), "/documents/x"} {
			who := keeper
			if end == "/review" {
				who = reviewer
			}
			if resp, body := r.by(who).gets("/cases/" + id + end); resp.StatusCode != 404 {
				t.Errorf("/cases/%.40s%s: %s %.200s", id, end, resp.Status, body)
			}
		}
	}
	k := r.by(keeper)
	k.sees(path+"/documents/"+strings.Repeat("0", 64), 404)
	k.sees(path+"/unlink?rec="+strings.Repeat("0", 32), 404)
	k.sees(path+"/withdraw?document=../../etc/passwd", 404)
	k.sees("/recordings/"+strings.Repeat("0", 32)+"/case", 404)
	says(t, k.sends(path+"/link", url.Values{"rec": {"<b>x"}}, 422), "no recording with this id", "<b>x")
	says(t, k.sends("/recordings/"+rec.String()+"/case", url.Values{"case": {"../x"}}, 422), "No case was chosen")
	r.by(supervisor).sends(path+"/decide", url.Values{"text": {"x"}, "step": {"confirmed"}}, 403)
	says(t, r.by(keeper).sees(path, 200), "being put together")
}

// Markup and control characters in every field stay text, and texts that are too long are refused with what was typed.
func TestHostileCases(t *testing.T) {
	r, _, rec := rigWithRecording(t)
	k := r.by(keeper)
	bad := "<script>alert(1)</script>\u202e\x1b[2J{{.}}'\"&<!--</textarea><svg onload=alert(1)>"
	form := url.Values{}
	for f, x := range described() {
		form.Set(string(f), x)
	}
	for _, f := range []casefile.Field{casefile.Number, casefile.Title, casefile.Officers, casefile.Party, casefile.SelfCheck, casefile.ThirdParty} {
		form.Set(string(f), bad)
	}
	path := k.sends("/cases/new", form, 303)
	k.sends(path+"/link", url.Values{"rec": {rec.String()}}, 303)
	k.adds(path+"/documents/new", strings.ReplaceAll(bad, "\x1b", "")+".pdf", map[string]string{"kind": casefile.InquiryRecord, "signature": casefile.RefusedToSign, "refusal": bad},
		strings.NewReader("<html><script>alert(1)</script>"), 303)
	k.sends(path+"/submit", url.Values{}, 303)
	form = opinion("no", "facts")
	form.Set("text", bad)
	form.Set("text.facts", bad)
	harmless := func(what, page string) {
		t.Helper()
		for _, b := range []string{"<script", "\u202e", "\x1b", "<!--", "<svg", "ZgotmplZ"} {
			if strings.Contains(page, b) {
				t.Errorf("%s holds %q", what, b)
			}
		}
	}
	raw := func(v caller, path string) string {
		t.Helper()
		resp, body := v.gets(path)
		head := resp.Header
		if !strings.Contains(head.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", path, head)
		}
		return string(body)
	}
	r.by(reviewer).sends(path+"/review", with(form, "step", "confirmed"), 303)
	for _, v := range []caller{k, r.by(reviewer), r.by(supervisor)} {
		for _, p := range []string{path, "/cases", "/", path + "/submit", path + "/hold", "/recordings/" + rec.String(), "/recordings/" + rec.String() + "/case", "/cases?q=" + url.QueryEscape(bad)} {
			page := raw(v, p)
			if p == path+"/submit" || strings.HasPrefix(p, "/cases?q=") { // in form fields what was typed is kept as it is
				page = strings.NewReplacer("\u202e", "", "\x1b", "").Replace(page)
			}
			harmless(v.me.Login+" "+p, ownScript.ReplaceAllString(page, ""))
		}
	}
	doc := regexp.MustCompile(path + `/documents/[0-9a-f]{64}`).FindString(k.sees(path, 200))
	resp, _ := k.gets(doc)
	head := resp.Header
	if head.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(head.Get("Content-Disposition"), "attachment") || !strings.HasPrefix(head.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("a page in disguise is served as %v", head)
	}
	says(t, k.sees(path, 200), "not what its name says")

	long := strings.Repeat("长", 100000)
	says(t, k.sends(path+"/edit", url.Values{"title": {long}, "base.title": {"1"}, "party": {"new"}, "base.party": {"1"}}, 422), "too long", "What was right is saved", long)
	says(t, k.sees(path, 200), ">new<")
	says(t, k.sends(path+"/submit", url.Values{"text": {long}}, 422), "too long", long)
	says(t, k.sends("/cases/new", url.Values{"title": {long}}, 422), "too long", long)
	says(t, k.sends(path+"/edit", url.Values{"title": {strings.Repeat("长", 1<<20)}}, 413), "larger than this server takes")
	k.posts(path+"/documents/new", "multipart/form-data; boundary=x", strings.NewReader("no parts"), 422)
	k.posts(path+"/documents/new", "text/plain", strings.NewReader("no form"), 400)
	says(t, k.adds(path+"/documents/new", "a.pdf", map[string]string{"kind": "x"}, strings.NewReader(strings.Repeat("x", 4<<20)), 422), "none of the values", "choose the file again")
	says(t, k.adds(path+"/documents/new", "a.pdf", map[string]string{"kind": casefile.OnSiteRecord, "signature": casefile.RefusedToSign}, strings.NewReader("x"), 422), "why the party did not sign")
	says(t, k.adds(path+"/documents/new", "", signed, strings.NewReader(""), 422), "No file was chosen")
	says(t, k.adds(path+"/documents/new", "a.pdf", signed, strings.NewReader(""), 422), "has no bytes")
}

// endless is a document without end.
type endless struct{ peak *uint64 }

func (z endless) Read(p []byte) (int, error) {
	clear(p)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	*z.peak = max(*z.peak, m.HeapInuse)
	return len(p), nil
}

// A large document goes into the vault and comes back without being held in memory.
func TestALargeDocument(t *testing.T) {
	const size = 300 << 20
	r, _, rec := rigWithRecording(t)
	k := r.by(keeper)
	path := k.opened(rec)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	began := time.Now()
	k.adds(path+"/documents/new", "large.bin", map[string]string{"kind": "other", "signature": casefile.NotNeeded}, io.LimitReader(endless{&peak}, size), 303)
	t.Logf("300 MiB in %.1f s; the heap grew by %d MiB at most", time.Since(began).Seconds(), (int64(peak)-int64(before.HeapInuse))>>20)
	if peak > before.HeapInuse+48<<20 {
		t.Errorf("the heap grew from %d to %d MiB", before.HeapInuse>>20, peak>>20)
	}
	docs := regexp.MustCompile(path+`/documents/[0-9a-f]{64}`).FindAllString(k.sees(path, 200), -1)
	req, err := http.NewRequest("GET", r.page+docs[len(docs)-1], nil)
	check(t, err)
	resp, err := k.v.Do(req)
	check(t, err)
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	check(t, err)
	if n != size || resp.ContentLength != size {
		t.Errorf("%d bytes came back", n)
	}
}

// What needs a person is on the home page of who has to do it, and of nobody else.
func TestHomeOfEachRole(t *testing.T) {
	r, d, rec := rigWithRecording(t)
	says(t, r.by(keeper).sees("/", 200), "Nothing needs a person right now", "Devices in use: 1.", "a.mp4")
	path := r.by(keeper).opened(rec)
	n := len(d.lines)
	short := d.take("short.mp4", "video/mp4", evidence.WhyReadError, content(testChunk, 2))
	r.send(d, n)
	says(t, r.by(keeper).sees("/", 200), "Missing or incomplete", short.String(), "the medium could not be read")
	r.by(keeper).sends(path+"/submit", url.Values{}, 303)
	says(t, r.by(reviewer).sees("/", 200), path)
	saysNot(t, r.by(otherTeam).sees("/", 200), path)
	saysNot(t, r.by(officer).sees("/", 200), short.String())
	says(t, r.by(officer).sees("/", 200), "a.mp4")
	saysNot(t, r.by(stranger).sees("/", 200), "a.mp4", path)
	saysNot(t, r.by(administer).sees("/", 200), "a.mp4", path)
	r.pass(30 * 24 * time.Hour)
	r.callers = nil // their sessions have ended
	for _, a := range []auth.Account{keeper, reviewer, supervisor, officer, leader} {
		says(t, r.by(a).sees("/", 200), "Late", "overdue", path)
	}
	says(t, r.by(keeper).sees("/", 200), "no case header, and it is late")
	says(t, r.by(keeper).sees("/cases?due=overdue", 200), path)
	saysNot(t, r.by(stranger).sees("/", 200), "overdue")
	for _, lang := range []string{"en", "zh-CN"} {
		if page := r.by(reviewer).sees("/?lang="+lang, 200); strings.Contains(page, "%!") {
			t.Errorf("%s: a text has lost its numbers: %s", lang, page)
		}
	}
}
