package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"camseal/scripts/visitor"
)

const dayPassword = "correct horse battery"

// TestReviewersDay: a recording is found, watched with its verdict, marked and tied to a case; the case is submitted, reviewed, returned, mended,
// submitted again and agreed to, and held. The custody page lists all of it, and the exported bundle and the ledger verify.
func TestReviewersDay(t *testing.T) {
	s, recs, _ := withFootage(t)
	for _, p := range [][3]string{{"zhou", "custodian", "市文化市场综合行政执法总队"}, {"qin", "reviewer", "市司法局法制审核处"}} {
		link := mustRun(t, "camseal-server", s.serverCommand("account", "add", "--login", p[0], "--name", strings.ToUpper(p[0]), "--role", p[1], "--body", p[2])...)
		v, err := visitor.New("http://" + s.web)
		if err == nil {
			err = v.UseLink(strings.TrimSpace(link), dayPassword)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d := &day{w: openBrowser(t, s), rec: recs[film]}
	d.signIn("zhou")
	d.findAndWatch()
	d.mark()
	d.openCase()
	d.visit("/cases/" + d.id + "/submit")
	d.send(`form[action$="/submit"] button`)

	d.signIn("qin")
	d.review("problem", "现场笔录缺少见证人签名")
	d.signIn("zhou")
	d.visit("/")
	d.w.shot("day-home-returned")
	d.add("补正说明.pdf", "notice", "not-needed")
	d.visit("/cases/" + d.id + "/submit")
	d.fill("text", "已补充见证人签名")
	d.send(`form[action$="/submit"] button`)
	d.signIn("qin")
	d.review("ok", "")

	d.signIn("zhou")
	d.visit("/cases/" + d.id)
	if !strings.Contains(d.text(".standing"), "同意") {
		t.Errorf("after the second opinion the case says %q", d.text(".standing"))
	}
	d.visit("/cases/" + d.id + "/hold")
	d.fill("text", "当事人申请行政复议")
	d.send(`form[action$="/hold"] button`)
	if d.w.until("the hold's end", `document.querySelector('button[value=confirmed]') !== null || location.pathname.endsWith('`+d.id+`')`); d.has(`button[value=confirmed]`) {
		d.send(`button[value=confirmed]`)
	}
	d.w.shot("day-case")
	d.custody()
	d.pictures()
	if got := d.w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// day is one browser that several people use one after the other.
type day struct {
	w       *window
	rec, id string
}

func (d *day) visit(path string) {
	d.w.t.Helper()
	d.w.visit(path)
}

func (d *day) has(selector string) bool {
	d.w.t.Helper()
	return ask[bool](d.w, fmt.Sprintf(`document.querySelector(%q) !== null`, selector))
}

func (d *day) text(selector string) string {
	d.w.t.Helper()
	return ask[string](d.w, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ''`, selector))
}

// send presses a button and waits for the page that it leads to.
func (d *day) send(button string) {
	d.w.t.Helper()
	d.w.until(button, fmt.Sprintf(`document.readyState == 'complete' && document.querySelector(%q) !== null`, button))
	d.w.run(chromedp.Evaluate(fmt.Sprintf(`document.documentElement.dataset.before = 1; document.querySelector(%q).click()`, button), nil))
	d.w.until("the page after "+button, `document.readyState == 'complete' && !document.documentElement.dataset.before`)
	if d.has(".wrong") {
		d.w.t.Fatalf("%s is refused: %s", button, d.text("main"))
	}
}

func (d *day) fill(name, text string) {
	d.w.t.Helper()
	d.w.run(chromedp.Evaluate(fmt.Sprintf(`(e => { if (e.type == 'radio' || e.type == 'checkbox') document.querySelector('[name=%q][value=%q]').click(); else e.value = %q })(document.querySelector('[name=%q]:not([type=hidden])'))`,
		name, text, text, name), nil))
}

func (d *day) signIn(login string) {
	d.w.t.Helper()
	d.w.visit("/?lang=zh-CN")
	if d.has(".out button") {
		d.send(".out button")
	}
	d.w.visit("/sign-in?lang=zh-CN")
	d.fill("login", login)
	d.fill("password", dayPassword)
	d.send(`form[action="/sign-in"] button`)
}

// findAndWatch searches, says what for, and waits for the verdict that the browser itself comes to.
func (d *day) findAndWatch() {
	d.w.t.Helper()
	d.visit("/recordings")
	d.fill("q", "hello")
	d.send(`form[role=search] button`)
	if n := ask[int](d.w, `document.querySelectorAll('table.found tbody tr').length`); n != 1 {
		d.w.t.Fatalf("%d recordings are found", n)
	}
	d.send(`table.found td.name a`)
	d.fill("purpose", "custody")
	d.send(`form[action$="/purpose"] button`)
	d.w.until("the browser's own verdict", `document.querySelector('#verdict')?.innerText.includes('校验一致')`)
	d.w.run(chromedp.Evaluate(`document.querySelector('video').play()`, nil))
	d.w.until("the film to play", `(v => v.currentTime > 1 && v.getVideoPlaybackQuality().totalVideoFrames > 15)(document.querySelector('video'))`)
	d.w.run(chromedp.Evaluate(`document.querySelector('video').pause()`, nil))
	d.w.shot("day-recording")
}

func (d *day) mark() {
	d.w.t.Helper()
	d.fill("text", "摊主出示执照")
	d.w.run(chromedp.Evaluate(`document.querySelector('form[action$="/marks"] button').click()`, nil))
	d.w.until("the mark to be taken", `document.querySelector('.mark-form [name=text]').value == ''`)
	d.visit("/recordings/" + d.rec)
	d.w.until("the mark on the page", `document.body.innerText.includes('摊主出示执照')`)
}

// openCase opens a case with everything that a submission needs, and ties the recording to it.
func (d *day) openCase() {
	d.w.t.Helper()
	d.visit("/cases/new")
	for k, v := range map[string]string{"number": "2026-0117", "title": "夜市无照经营", "officers": "李伟，NJ0137", "party": "王某", "activity": "on-site", "day": "2026-05-18",
		"ground": "rights", "review-body": "市司法局法制审核处", "self-check": "程序合法，证据充分"} {
		d.fill(k, v)
	}
	d.send(`form[action="/cases/new"] button`)
	d.id = strings.TrimPrefix(ask[string](d.w, `location.pathname`), "/cases/")
	d.add("现场笔录.pdf", "on-site-record", "signed")
	d.visit("/recordings/" + d.rec + "/case")
	d.fill("case", d.id)
	d.send(`form[method=post][action$="/case"] button`)
	d.visit("/cases/" + d.id)
	if !strings.Contains(d.text("#recordings"), film) {
		d.w.t.Errorf("the case's recordings: %s", d.text("#recordings"))
	}
}

func (d *day) add(name, kind, signature string) {
	d.w.t.Helper()
	file := filepath.Join(d.w.t.TempDir(), name)
	if err := os.WriteFile(file, []byte("%PDF-1.4\n"+name+"\n%%EOF\n"), 0o600); err != nil {
		d.w.t.Fatal(err)
	}
	d.visit("/cases/" + d.id + "/documents/new")
	d.fill("kind", kind)
	d.fill("signature", signature)
	d.w.run(chromedp.SetUploadFiles(`input[type=file]`, []string{file}, chromedp.ByQuery))
	d.send(`form[enctype] button`)
}

// review fills in the checklist; a problem is tied to a moment of the footage.
func (d *day) review(procedure, problem string) {
	d.w.t.Helper()
	d.visit("/")
	if !strings.Contains(d.text("main"), "夜市无照经营") && !strings.Contains(d.text("main"), "2026-0117") {
		d.w.t.Errorf("the reviewer's home page: %s", d.text("main"))
	}
	d.visit("/recordings/" + d.rec) // what for need not be said: the case is under review
	d.w.until("the browser's own verdict", `document.querySelector('#verdict')?.innerText.includes('校验一致')`)
	d.visit("/cases/" + d.id + "/review")
	for _, item := range []string{"body", "officers", "procedure", "facts", "law", "limits", "documents", "crime"} {
		d.fill("result."+item, "ok")
	}
	agree := "yes"
	if problem != "" {
		agree = "no"
		d.fill("result.procedure", procedure)
		d.fill("text.procedure", problem)
		d.fill("rec.procedure", d.rec)
		d.fill("at.procedure", "00:02")
		d.fill("text", problem)
	}
	d.fill("agree", agree)
	d.w.shot("day-review-" + agree)
	d.send(`form[action$="/review"] .ends button`)
	d.send(`button[value=confirmed]`)
}

// custody expects every act on the recording's custody page, and that verifiers accept what is exported.
func (d *day) custody() {
	t, s := d.w.t, d.w.s
	t.Helper()
	zip := filepath.Join(t.TempDir(), "bundle.zip")
	mustRun(t, "camseal-server", s.serverCommand("export", d.rec, "-o", zip)...)
	d.visit("/recordings/" + d.rec + "/custody")
	page := d.text("main")
	for _, want := range []string{"ZHOU", "QIN", "查看", "重点标记", "案件", "暂停销毁", "导出", "入库"} {
		if !strings.Contains(page, want) {
			t.Errorf("the custody page does not say %s:\n%s", want, page)
		}
	}
	d.w.shot("day-custody")
	verify(t, 0, "--trust", s.trust(), zip)
	verify(t, 0, "log", s.path("server/ledger/log"), "--trust", s.trust())
}

// pictures looks at every page that the day touched, in both languages, both colour schemes and two widths, for what is too wide or not accessible.
func (d *day) pictures() {
	d.w.t.Helper()
	for name, path := range map[string]string{"home": "/", "recordings": "/recordings", "found": "/recordings?q=hello&needs=1", "unrecorded": "/unrecorded",
		"recording": "/recordings/" + d.rec, "custody": "/recordings/" + d.rec + "/custody", "kept": "/recordings/" + d.rec + "/retention", "retention": "/retention",
		"fleet": "/fleet", "cases": "/cases", "case": "/cases/" + d.id, "new-case": "/cases/new", "hold": "/cases/" + d.id + "/hold", "account": "/account"} {
		d.visit(path)
		look(d.w, "day-"+name)
	}
}
