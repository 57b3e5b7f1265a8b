package e2e_test

import (
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/oauth2-proxy/mockoidc"
)

// TestBrowserSignIn: the first administrator comes by the server's link, makes an account in the page, and its owner signs in by keyboard, says what for, and
// looks; no page is too wide, breaks a rule of accessibility or makes the browser complain.
func TestBrowserSignIn(t *testing.T) {
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out browsers")
	}
	s := newSystem(t)
	s.film("a.mp4", 100_000)
	mustRun(t, "camseal-agent", s.importing()...)
	rec := s.recordings()[0].Rec
	w := openTab(t, s)
	var link string
	eventually(t, "the link for the first administrator", func() bool {
		_, rest, ok := strings.Cut(s.server.out.String(), "first administrator: ")
		link, _, _ = strings.Cut(rest, " ")
		return ok && strings.Contains(rest, "\n")
	})
	w.visit(strings.TrimPrefix(link, "http://"+s.web))
	look(w, "first")
	fill(w, map[string]string{"login": "chen.jing", "name": "陈静", "password": "正确的马电池订书钉一二三", "again": "正确的马电池订书钉一二三"})
	w.run(chromedp.KeyEvent(kb.Enter))
	w.until("to be signed in", `document.querySelector('.me')?.textContent.includes('陈静')`)
	w.visit("/people/new")
	look(w, "new")
	fill(w, map[string]string{"login": "zhang.min", "name": "张敏 <b>&</b>", "body": "市文化市场综合行政执法总队"})
	w.click(`input[value=custodian]`, `.fields button`)
	w.until("the link to hand over", `document.querySelector('.link') !== null`)
	link = ask[string](w, `document.querySelector('.link').textContent`)
	shoot(w, "people-handover")
	w.visit("/people")
	look(w, "people")
	w.visit("/account")
	look(w, "account")
	w.expect("/recordings/" + rec)
	w.visit("/recordings/" + rec)
	if ask[bool](w, `document.body.textContent.includes('/original')`) || !ask[bool](w, `/角色无权|may not do this/.test(document.body.textContent)`) {
		t.Error("an administrator is shown a recording")
	}
	w.click(`.out button`)
	w.until("the page to sign in at", `location.pathname == '/sign-in'`)
	w.visit(strings.TrimPrefix(link, "http://"+s.web))
	look(w, "link")
	fill(w, map[string]string{"password": "correct horse battery", "again": "correct horse battery"})
	w.run(chromedp.KeyEvent(kb.Enter))
	w.until("to be signed in", `document.querySelector('.me')?.textContent.includes('张敏')`)
	w.click(`.out button`)
	w.until("the page to sign in at", `location.pathname == '/sign-in'`)

	w.visit("/recordings/" + rec) // asks to sign in, and goes on there
	look(w, "sign-in")
	w.until("the cursor in the login", `document.activeElement.name == 'login'`)
	w.expect("/sign-in")
	w.run(chromedp.KeyEvent("zhang.min"+kb.Tab+"wrong password"), chromedp.KeyEvent(kb.Enter))
	w.until("to be told", `document.querySelector('.mistake') !== null`)
	shoot(w, "people-refused")
	w.run(chromedp.KeyEvent("correct horse battery"), chromedp.KeyEvent(kb.Enter))
	w.until("the question what for", `document.querySelector('input[name=purpose]') !== null`)
	look(w, "purpose")
	w.tabTo("the purposes", `document.activeElement.name == 'purpose'`)
	w.run(chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown))
	w.tabTo("the button", `document.activeElement.tagName == 'BUTTON' && document.activeElement.form.action.endsWith('/purpose')`)
	w.run(chromedp.KeyEvent(kb.Enter))
	w.until("the recording", fmt.Sprintf(`location.pathname == '/recordings/%s' && document.querySelector('h1.name') !== null`, rec))
	look(w, "recording")
	w.visit("/recordings/" + rec + "/custody")
	if n := ask[int](w, `[...document.querySelectorAll('main tbody tr')].filter(e => e.textContent.includes('张敏')).length`); n != 1 {
		t.Errorf("%d looks of hers are on record", n)
	}
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// fill writes into the fields of a form; the last one keeps the cursor.
func fill(w *window, fields map[string]string) {
	w.t.Helper()
	for _, name := range []string{"login", "name", "body", "password", "again"} {
		if text, ok := fields[name]; ok && ask[bool](w, fmt.Sprintf(`document.querySelector('.fields [name=%s]')?.type != 'hidden'`, name)) {
			w.run(chromedp.SendKeys(fmt.Sprintf(`.fields [name=%s]`, name), text, chromedp.ByQuery))
		}
	}
}

// look keeps pictures of the page in both languages, both colour schemes and two widths, and expects that nothing is too wide and that axe-core finds
// nothing.
func look(w *window, name string) {
	w.t.Helper()
	at := ask[string](w, `location.pathname + location.search`)
	for _, lang := range []string{"zh-CN", "en"} {
		u, err := url.Parse(at)
		if err != nil {
			w.t.Fatal(err)
		}
		q := u.Query()
		q.Set("lang", lang)
		u.RawQuery = q.Encode()
		w.visit(u.String())
		shoot(w, "people-"+name+"-"+lang)
	}
}

// shoot is look on the page as it is: one that a form was answered with can't be visited again.
func shoot(w *window, name string) {
	w.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 800} {
			w.run(chromedp.EmulateViewport(width, 900), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
			at := fmt.Sprintf("%s-%s-%d", name, scheme, width)
			if over := ask[int](w, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				w.t.Errorf("%s: %d pixels too wide", at, over)
			}
			for _, v := range violations(w) {
				w.t.Errorf("%s: %s", at, v)
			}
			var shot []byte
			w.run(chromedp.FullScreenshot(&shot, 100))
			w.keep(at, shot)
		}
	}
}

// violations are what axe-core finds wrong on the page.
func violations(w *window) []string {
	w.t.Helper()
	axe, err := os.ReadFile("../../.tools/axe.min.js")
	if err != nil {
		w.t.Fatalf("axe-core is needed (scripts/test puts it there): %v", err)
	}
	var found []string
	w.run(chromedp.Evaluate(string(axe)+"\n0", nil), chromedp.Evaluate(`axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target + ' ' + n.failureSummary).join('; ')))`, &found,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return found
}

// TestBrowserSignInWithAProvider: a browser goes to a provider on another site, whose page it leaves by itself, and comes back signed in; after that a link on
// that site leads right to a page.
func TestBrowserSignInWithAProvider(t *testing.T) {
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out browsers")
	}
	idp, err := mockoidc.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSystem(t)
	_, port, _ := strings.Cut(s.web, ":")
	page := "http://localhost:" + port // another site than 127.0.0.1
	err = idp.AddMiddleware(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == mockoidc.AuthorizationEndpoint && r.URL.Query().Get("agreed") == "" {
				w.Header().Set("Content-Type", "text/html")
				_, _ = fmt.Fprintf(w, `<link rel=icon href="data:,"><a id=agree href="?%s&amp;agreed=1">I am Wang Fang</a> <a id=link href="%s/unrecorded">a link</a>`, html.EscapeString(r.URL.RawQuery), page)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	l, err2 := net.Listen("tcp", "127.0.0.1:0")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(err, err2, os.WriteFile(secret, []byte(idp.ClientSecret), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := idp.Start(l, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = idp.Shutdown() })
	idp.QueueUser(&mockoidc.MockUser{Subject: "1", PreferredUsername: "the-reviewer"})
	s.server.kill()
	s.storage = append(s.storage, "--oidc-issuer", idp.Issuer(), "--oidc-client-id", idp.ClientID, "--oidc-client-secret-file", secret, "--web-url", page)
	s.startServer()
	mustRun(t, "camseal-server", s.serverCommand("account", "add", "--login", "the-reviewer", "--name", "王芳", "--role", "reviewer", "--body", "法制审核处")...)
	w := openTab(t, s)
	w.run(chromedp.Navigate(page + "/unrecorded?lang=en"))
	w.click(`a[href^="/sign-in/provider"]`)
	w.until("the provider's page", `document.querySelector('#agree') !== null`)
	at := ask[string](w, `location.href`)
	w.click(`#agree`)
	w.until("to be signed in, on the page asked for first", `location.pathname == '/unrecorded' && document.querySelector('.me')?.textContent.includes('王芳')`)
	w.run(chromedp.Navigate(at))
	w.click(`#link`)
	w.until("to be led to the page", `location.pathname == '/unrecorded' && document.querySelector('.me')?.textContent.includes('王芳')`)
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}
