package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/scripts/visitor"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/people"
	"camseal/server/internal/web"
)

// plain is a visitor's session without what tests do for it: no purpose is said, no redirect followed.
func plain(v *visitor.Visitor) *http.Client {
	return &http.Client{Jar: v.Jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// ask sends a request and returns status, where it leads, and the page.
func ask(t *testing.T, c *http.Client, method, at, form string, header ...string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequest(method, at, strings.NewReader(form))
	check(t, err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	check(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, resp.Header.Get("Location"), string(body)
}

var parameter = regexp.MustCompile(`:[a-z]+`)

// TestEveryRoleOnEveryRoute: who may not use a route does not get in, whoever it is; who may, and makes an id up, is told that there is no such thing.
func TestEveryRoleOnEveryRoute(t *testing.T) {
	r := newRig(t)
	visitors := map[string]*http.Client{"nobody": {CheckRedirect: plain(&visitor.Visitor{Client: &http.Client{}}).CheckRedirect}}
	for _, role := range auth.Roles {
		visitors[string(role)] = plain(r.as(role))
	}
	v, gone := r.visitor(auth.Account{Login: "gone", Name: "Gone", Role: auth.Custodian})
	visitors["disabled"] = plain(v)
	check(t, r.core.people.Disable(t.Context(), "test", gone.ID, true))
	tried := 0
	for who, client := range visitors {
		me := auth.Account{ID: "x", Role: auth.Role(who)}
		if who == "nobody" || who == "disabled" {
			me = auth.Account{}
		}
		for _, route := range web.Routes() {
			if route.Path == "/sign-out" {
				continue
			}
			for _, id := range []string{"x", strings.Repeat("0", 32), strings.Repeat("f", 32), "%2e%2e", "%00", "a'%20OR%201=1", strings.Repeat("9", 2000)} {
				status, to, _ := ask(t, client, route.Method, r.page+parameter.ReplaceAllString(route.Path, id), "")
				tried++
				if wrong := answers(route, me, status, to); wrong != "" {
					t.Errorf("%s, %s %s with id %.40s: %d %s; %s", who, route.Method, route.Path, id, status, to, wrong)
				}
				if !strings.Contains(route.Path, ":") {
					break
				}
			}
		}
	}
	t.Logf("%d requests on %d routes", tried, len(web.Routes()))
}

// answers says what is wrong with an answer.
func answers(route web.Route, me auth.Account, status int, to string) string {
	may := me.May(route.May)
	switch {
	case status >= 500:
		return "an error of the server"
	case !may && me.ID == "" && route.Method == http.MethodGet && (status != http.StatusSeeOther || !strings.HasPrefix(to, "/sign-in?next=")):
		return "want a redirect to sign in"
	case !may && me.ID == "" && route.Method != http.MethodGet && status != http.StatusUnauthorized:
		return "want 401"
	case !may && me.ID != "" && route.Path == "/" && status == http.StatusSeeOther && me.Role == auth.Administrator: // to what the role may see
	case !may && me.ID != "" && status != http.StatusForbidden:
		return "want 403"
	case may && (status == http.StatusForbidden || status == http.StatusUnauthorized || strings.HasPrefix(to, "/sign-in?")):
		return "want to be let in"
	case may && strings.Contains(route.Path, ":") && route.Method == http.MethodGet && status != http.StatusNotFound:
		return "want 404"
	}
	return ""
}

// TestSessionsEnd: a session ends when nobody uses it, when it is old, when its owner signs out, and when the account or its password changes.
func TestSessionsEnd(t *testing.T) {
	r := newRig(t)
	r.visitor(auth.Account{Login: "second", Name: "Second", Role: auth.Administrator})
	in := func(v *visitor.Visitor) bool {
		status, _, _ := ask(t, plain(v), "GET", r.page+"/account", "")
		return status == http.StatusOK
	}
	end := map[string]func(v *visitor.Visitor, a auth.Account){
		"idle": func(*visitor.Visitor, auth.Account) { r.pass(31 * time.Minute) },
		"old": func(v *visitor.Visitor, _ auth.Account) {
			for range 28 {
				if r.pass(25 * time.Minute); !in(v) {
					t.Error("a session in use ended before its time")
				}
			}
			r.pass(21 * time.Minute)
		},
		"signed out": func(v *visitor.Visitor, _ auth.Account) {
			cookies, err := v.Cookies()
			check(t, err)
			status, to, _ := ask(t, plain(v), "POST", r.page+"/sign-out", "")
			if status != http.StatusSeeOther || to != "/sign-in" {
				t.Errorf("signing out: %d %s", status, to)
			}
			u, err := url.Parse(r.page)
			check(t, err)
			v.Jar.SetCookies(u, cookies) // somebody kept it
		},
		"disabled": func(_ *visitor.Visitor, a auth.Account) {
			check(t, r.core.people.Disable(t.Context(), "test", a.ID, true))
		},
		"enabled again": func(_ *visitor.Visitor, a auth.Account) {
			check(t, errors.Join(r.core.people.Disable(t.Context(), "test", a.ID, true), r.core.people.Disable(t.Context(), "test", a.ID, false)))
		},
		"another role": func(_ *visitor.Visitor, a auth.Account) {
			a.Role = auth.Supervisor
			check(t, r.core.people.Change(t.Context(), "test", a))
		},
		"another password": func(_ *visitor.Visitor, a auth.Account) {
			check(t, r.core.people.ChangePassword(t.Context(), a, testPassword, "another fine password", "elsewhere"))
		},
		"another password by link": func(_ *visitor.Visitor, a auth.Account) {
			link, err := r.core.people.Link(t.Context(), a.ID)
			check(t, err)
			_, err = r.core.people.UseLink(t.Context(), link, "another fine password", auth.Account{})
			check(t, err)
		},
	}
	for how, f := range end {
		v, a := r.visitor(auth.Account{Login: strings.ReplaceAll(how, " ", "-"), Name: how, Role: auth.Custodian})
		if !in(v) {
			t.Fatalf("%s: not signed in", how)
		}
		if f(v, a); in(v) {
			t.Errorf("%s: the session goes on", how)
		}
	}
}

// TestForgedSessions: cookies that this server did not give out, or gave to somebody else's hands before signing in, open nothing.
func TestForgedSessions(t *testing.T) {
	r := newRig(t)
	v := r.as(auth.Custodian)
	cookies, err := v.Cookies()
	check(t, err)
	good := cookies[0].Value
	bare := plain(&visitor.Visitor{Client: &http.Client{}})
	for _, bad := range []string{"", "x", good[:len(good)-1], good + "A", strings.Repeat("A", len(good)), strings.Repeat("A", 8000), "' OR 1=1 --", good[1:] + good[:1]} {
		status, to, _ := ask(t, bare, "GET", r.page+"/account", "", "Cookie", "session="+bad)
		if status != http.StatusSeeOther || !strings.HasPrefix(to, "/sign-in?next=") {
			t.Errorf("cookie %.40q: %d %s", bad, status, to)
		}
	}
	// Fixation: whoever plants a cookie, of any kind, does not share the session that begins with it.
	planted := strings.Repeat("P", 43)
	req, err := http.NewRequest("POST", r.page+"/sign-in", strings.NewReader(url.Values{"login": {"the-custodian"}, "password": {testPassword}}.Encode()))
	check(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Cookie", "session="+planted)
	resp, err := bare.Do(req)
	check(t, err)
	check(t, resp.Body.Close())
	if len(resp.Cookies()) != 1 || resp.Cookies()[0].Value == planted || resp.Cookies()[0].SameSite != http.SameSiteStrictMode || !resp.Cookies()[0].HttpOnly {
		t.Errorf("%v", resp.Cookies())
	}
	if status, _, _ := ask(t, bare, "GET", r.page+"/account", "", "Cookie", "session="+planted); status != http.StatusSeeOther {
		t.Errorf("the planted cookie opens the account: %d", status)
	}
	// And the other site's page can't sign anybody in, or out.
	for _, path := range []string{"/sign-in", "/sign-out", "/account/password"} {
		if status, _, _ := ask(t, plain(v), "POST", r.page+path, "", "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
			t.Errorf("%s from another site: %d", path, status)
		}
	}
	if log := r.log.String(); strings.Contains(log, good) || strings.Contains(log, testPassword) {
		t.Error("a session or a password is in the log")
	}
}

// TestLinksFromElsewhere: a browser sends no session along with a link on another site's page; a page of this server asks again, once.
func TestLinksFromElsewhere(t *testing.T) {
	r := newRig(t)
	bare := plain(&visitor.Visitor{Client: &http.Client{}})
	status, _, page := ask(t, bare, "GET", r.page+"/unrecorded?lang=en&x=%22%3e", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	if status != http.StatusOK || !strings.Contains(page, `content="0;url=/unrecorded?lang=en&amp;x=%22%3e"`) {
		t.Errorf("from another site: %d\n%s", status, page)
	}
	if status, to, _ := ask(t, bare, "GET", r.page+"/unrecorded", "", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"); status != http.StatusSeeOther || to != "/sign-in?next=%2Funrecorded" {
		t.Errorf("asked again: %d %s", status, to)
	}
	if status, _, _ := ask(t, bare, "GET", r.page+"/unrecorded", "", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"); status != http.StatusUnauthorized {
		t.Errorf("a script's request: %d", status)
	}
}

// TestWhereSigningInLeads: to pages of this server only.
func TestWhereSigningInLeads(t *testing.T) {
	r := newRig(t)
	r.as(auth.Custodian)
	for next, want := range map[string]string{"": "/", "/unrecorded?before=1": "/unrecorded?before=1", "/recordings/x#t=1": "/recordings/x#t=1", "//evil.example": "/",
		"https://evil.example/": "/", "/\\evil.example": "/", "\\/evil.example": "/", "/\t/evil.example": "/", "javascript:alert(1)": "/", "/%0d%0aSet-Cookie:x=1": "/%0d%0aSet-Cookie:x=1",
		"evil.example": "/", "///evil.example": "/", "/..//evil.example": "/evil.example", "http:/evil": "/", "/" + strings.Repeat("a", 5000): "/", "/a\r\nX: y": "/"} {
		v, err := visitor.New(r.page)
		check(t, err)
		form := url.Values{"login": {" The-Custodian "}, "password": {testPassword}, "next": {next}}
		status, to, _ := ask(t, plain(v), "POST", r.page+"/sign-in", form.Encode())
		if status != http.StatusSeeOther || to != want {
			t.Errorf("next=%.60q: %d %q, want %q", next, status, to, want)
		}
	}
}

// TestGuessing: an unknown login, a wrong password and a disabled account look alike; guessing is slowed down; huge forms are refused.
func TestGuessing(t *testing.T) {
	r := newRig(t)
	r.visitor(auth.Account{Login: "known", Name: "K", Role: auth.Custodian})
	_, gone := r.visitor(auth.Account{Login: "gone", Name: "G", Role: auth.Custodian})
	check(t, r.core.people.Disable(t.Context(), "test", gone.ID, true))
	bare := plain(&visitor.Visitor{Client: &http.Client{}})
	try := func(login, password string) (int, string, time.Duration) {
		began := time.Now()
		status, _, body := ask(t, bare, "POST", r.page+"/sign-in", url.Values{"login": {login}, "password": {password}}.Encode())
		return status, strings.ReplaceAll(body, `"`+login+`"`, ""), time.Since(began)
	}
	took := map[string][]time.Duration{}
	want, page := 0, ""
	for range 5 {
		for login, password := range map[string]string{"known": "wrong password", "unknown": "wrong password", "gone": testPassword, "no login!": "x", "huge": strings.Repeat("x", 20000)} {
			status, body, d := try(login, password)
			if want == 0 {
				want, page = status, body
			}
			if status != http.StatusUnprocessableEntity || body != page {
				t.Errorf("%s is told another thing: %d", login, status)
			}
			took[login] = append(took[login], d)
		}
	}
	for login, times := range took { // a password is checked for everybody, which takes 15 ms and more
		if a := shortest(times); a < 5*time.Millisecond {
			t.Errorf("%s is answered after %v", login, a)
		}
	}
	for range 20 {
		want, _, _ = try("known", "wrong password")
	}
	if status, _, _ := try("known", testPassword); want != http.StatusTooManyRequests || status != http.StatusTooManyRequests {
		t.Errorf("after many attempts: %d, and with the right password %d", want, status)
	}
	r.pass(time.Minute)
	if status, _, _ := try("known", testPassword); status != http.StatusSeeOther {
		t.Errorf("a minute later: %d", status)
	}
	if status, _, _ := ask(t, bare, "POST", r.page+"/sign-in", "login=x&password="+strings.Repeat("x", 10<<20)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a form of 10 MB: %d", status)
	}
}

func shortest(list []time.Duration) time.Duration {
	out := list[0]
	for _, d := range list {
		out = min(out, d)
	}
	return out
}

// TestOneTimeLinks: each serves once, whoever is first; passwords are refused by length and likeness alone.
func TestOneTimeLinks(t *testing.T) {
	r := newRig(t)
	out, err := r.says(accountAddCommand{Login: "li.wei", Name: "李伟", Role: "officer", Body: testBody, Certificate: "NJ0137"})
	check(t, err)
	link := strings.TrimSpace(out)
	bare := plain(&visitor.Visitor{Client: &http.Client{}})
	for _, bad := range []string{"", "short", "eleven char", "李伟李伟李伟李伟李伟李", strings.Repeat("x", 1025), "LI.WEI"} {
		if status, _, _ := ask(t, bare, "POST", link, url.Values{"password": {bad}, "again": {bad}}.Encode()); status != http.StatusUnprocessableEntity {
			t.Errorf("password %.40q: %d", bad, status)
		}
	}
	if status, _, _ := ask(t, bare, "POST", link, url.Values{"password": {testPassword}, "again": {testPassword + "x"}}.Encode()); status != http.StatusUnprocessableEntity {
		t.Errorf("two different passwords: %d", status)
	}
	var wg sync.WaitGroup
	got := make([]int, 8)
	for i := range got {
		wg.Go(func() {
			form := url.Values{"password": {fmt.Sprint(testPassword, i)}, "again": {fmt.Sprint(testPassword, i)}}
			got[i], _, _ = ask(t, bare, "POST", link, form.Encode())
		})
	}
	wg.Wait()
	used, winner := 0, -1
	for i, status := range got {
		if status == http.StatusSeeOther {
			used, winner = used+1, i
		} else if status != http.StatusNotFound {
			t.Errorf("a link used twice: %d", status)
		}
	}
	if used != 1 {
		t.Fatalf("%d of 8 set a password by one link", used)
	}
	v, err := visitor.New(r.page)
	check(t, err)
	check(t, v.SignIn("Li.Wei", fmt.Sprint(testPassword, winner)))
	first, err := r.says(accountLinkCommand{Login: "li.wei"})
	check(t, err)
	second, err := r.says(accountLinkCommand{Login: "li.wei"})
	check(t, err)
	if status, _, _ := ask(t, bare, "GET", strings.TrimSpace(first), ""); status != http.StatusNotFound {
		t.Errorf("a link that was replaced: %d", status)
	}
	r.pass(people.LinkLife)
	if status, _, _ := ask(t, bare, "GET", strings.TrimSpace(second), ""); status != http.StatusNotFound {
		t.Errorf("a link of yesterday: %d", status)
	}
	if _, err := r.says(accountAddCommand{Login: "LI.WEI", Name: "x", Role: "supervisor"}); err == nil || !strings.Contains(err.Error(), "another account has it") {
		t.Errorf("a login twice: %v", err)
	}
}

// TestFirstAdministrator: as long as there is none, the server offers a link; it makes one administrator, and no second one.
func TestFirstAdministrator(t *testing.T) {
	r := newRig(t)
	offered := func() string {
		var out bytes.Buffer
		e := *r.env
		e.out = &out
		check(t, firstAdministrator(t.Context(), &e, r.core))
		link, _, _ := strings.Cut(strings.TrimPrefix(out.String(), "first administrator: "), " ")
		return link
	}
	old := offered()
	link := offered()
	bare := plain(&visitor.Visitor{Client: &http.Client{}})
	form := url.Values{"login": {"root"}, "name": {"陈 静"}, "password": {testPassword}, "again": {testPassword}}.Encode()
	for at, want := range map[string]int{old: 404, link: 303} {
		if status, _, body := ask(t, bare, "POST", at, form); status != want {
			t.Errorf("%s: %d, want %d\n%s", at, status, want, body)
		}
	}
	if status, _, _ := ask(t, bare, "POST", link, form); status != http.StatusNotFound {
		t.Errorf("the link once more: %d", status)
	}
	if again := offered(); again != "" {
		t.Errorf("there is an administrator, and a link is offered: %s", again)
	}
	v, err := visitor.New(r.page)
	check(t, err)
	check(t, v.SignIn("root", testPassword))
	p, err := r.core.people.FindLogin(t.Context(), "root")
	check(t, err)
	for _, path := range []string{"/people/" + p.ID + "/disable", "/people/" + p.ID} {
		status, _, body := ask(t, plain(v), "POST", r.page+path, url.Values{"name": {"x"}, "role": {"supervisor"}}.Encode())
		if status != http.StatusConflict || !strings.Contains(body, "last administrator") {
			t.Errorf("%s of the last administrator: %d", path, status)
		}
	}
	// In the page the administrator makes an account, hostile name and all, hands over the link, and disables it again.
	name := `<script>alert("x")</script>`
	status, _, body := ask(t, plain(v), "POST", r.page+"/people", url.Values{"login": {"zhang"}, "name": {name}, "role": {"custodian"}, "body": {testBody}}.Encode())
	made := regexp.MustCompile(`http://[^<]*/link/[A-Z2-7]+`).FindString(body)
	if status != http.StatusOK || made == "" || strings.Contains(body, "<script") {
		t.Fatalf("making an account: %d\n%s", status, body)
	}
	w, err := visitor.New(r.page)
	check(t, err)
	check(t, w.UseLink(made, testPassword))
	if n := r.acts(t, catalog.ActAccountMade); n != 2 || strings.Contains(r.dumpRunning(t), testPassword) {
		t.Errorf("%d accounts on record, or a password in the catalog", n)
	}
}

// acts counts the custody events of a name.
func (r *rig) acts(t *testing.T, name string) int {
	t.Helper()
	return strings.Count(r.dumpRunning(t), `"`+name+`"`)
}

func (r *rig) dumpRunning(t *testing.T) string {
	t.Helper()
	dump, err := r.core.catalog.Dump(context.Background())
	check(t, err)
	return dump
}

// TestReindexKeepsPasswordsAndSessions: they are no evidence, and still nobody has to be given a new link.
func TestReindexKeepsPasswordsAndSessions(t *testing.T) {
	r := newRig(t)
	v, a := r.visitor(auth.Account{Login: "zhang", Name: "张 敏", Role: auth.Custodian})
	link, err := r.core.people.Link(t.Context(), a.ID)
	check(t, err)
	r.stop()
	was := r.dump()
	check(t, reindexCommand{}.Run(r.env))
	if now := r.dump(); now != was {
		t.Errorf("the catalog is another:\n%s\nwas\n%s", now, was)
	}
	r.start()
	if status, _, body := ask(t, plain(v), "GET", r.page+"/account", ""); status != http.StatusOK || !strings.Contains(body, "张 敏") {
		t.Errorf("the session: %d", status)
	}
	w, err := visitor.New(r.page)
	check(t, err)
	check(t, w.SignIn("zhang", testPassword))
	if _, err := r.core.people.Owner(t.Context(), link); err != nil {
		t.Errorf("the link: %v", err)
	}
	// A catalog that is beyond reading is not replaced before somebody has moved it away: then accounts are there, passwords are not.
	r.stop()
	r.loseCatalog()
	check(t, os.WriteFile(r.env.settings.path(fileCatalog), bytes.Repeat([]byte("x"), 9000), 0o600))
	if err := (reindexCommand{}).Run(r.env); err == nil || !strings.Contains(err.Error(), "move") {
		t.Errorf("a catalog beyond reading was made anew: %v", err)
	}
	r.loseCatalog()
	check(t, reindexCommand{}.Run(r.env))
	r.start()
	p, err := r.core.people.FindLogin(t.Context(), "zhang")
	check(t, err)
	if p.Hash != "" || p.Account.Name != "张 敏" {
		t.Errorf("%+v", p)
	}
}

// TestWhoSeesWhichRecording: officers their own, leaders their body's; to others it is as if there were none. Everybody else says what for, once; the
// look is on record, once an hour.
func TestWhoSeesWhichRecording(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	data := content(3*testChunk, 1)
	rec := d.takeFrom(source("DCIM/a.mp4", filmed, data), nil, "video/mp4", evidence.WhyComplete, data)
	d.say(rec, spoken(header("无照经营检查")))
	r.stored(d, 0, rec)
	at, unknown := r.page+"/recordings/"+rec.String(), r.page+"/recordings/"+strings.Repeat("a", 32)
	row := r.lines()[rec.String()]
	views := func() int { return r.acts(t, casework.ActViewed) }
	for _, c := range []struct {
		a    auth.Account
		sees bool
		asks bool
	}{
		{auth.Account{Login: "own", Name: "李伟", Role: auth.Officer, Certificate: "A1"}, true, false},
		{auth.Account{Login: "another", Name: "王芳", Role: auth.Officer, Certificate: "A11"}, false, false},
		{auth.Account{Login: "lead", Name: "L", Role: auth.Leader, Body: row.Header.Department}, true, true},
		{auth.Account{Login: "lead2", Name: "L", Role: auth.Leader, Body: "另一机构"}, false, false},
		{auth.Account{Login: "cust", Name: "C", Role: auth.Custodian}, true, true},
		{auth.Account{Login: "rev", Name: "R", Role: auth.Reviewer}, true, true},
		{auth.Account{Login: "sup", Name: "S", Role: auth.Supervisor}, true, true},
	} {
		v, _ := r.visitor(c.a)
		client, before := plain(v), views()
		status, _, page := ask(t, client, "GET", at, "")
		if !c.sees {
			s, _, nothing := ask(t, client, "GET", unknown, "")
			if status != http.StatusNotFound || s != status || strings.ReplaceAll(page, rec.String(), "") != strings.ReplaceAll(nothing, strings.Repeat("a", 32), "") {
				t.Errorf("%s: %d, and %d for one that is not there", c.a.Login, status, s)
			}
			if status, _, _ := ask(t, client, "GET", r.page+"/side-by-side?rec="+rec.String(), ""); status != http.StatusNotFound {
				t.Errorf("%s: beside others: %d", c.a.Login, status)
			}
			_, _, list := ask(t, client, "GET", r.page+"/recordings", "")
			if strings.Contains(list, rec.String()) {
				t.Errorf("%s: the list names it", c.a.Login)
			}
			continue
		}
		if asks := strings.Contains(page, at[len(r.page):]+"/purpose"); status != http.StatusOK || asks != c.asks {
			t.Errorf("%s: %d, asked for a purpose: %v", c.a.Login, status, asks)
		}
		if c.asks {
			if views() != before {
				t.Errorf("%s: a look is recorded that was none", c.a.Login)
			}
			if status, _, _ := ask(t, client, "GET", at+"/original", ""); status != http.StatusForbidden {
				t.Errorf("%s: the original without a purpose: %d", c.a.Login, status)
			}
			if _, _, page := ask(t, client, "GET", r.page+"/side-by-side?rec="+rec.String(), ""); !strings.Contains(page, `<li><a href="/recordings/`+rec.String()) || strings.Contains(page, "<camseal-picture") {
				t.Errorf("%s: beside others, and not sent to be asked", c.a.Login)
			}
			if status, _, _ := ask(t, client, "POST", at+"/purpose", "purpose=curiosity"); status != http.StatusUnprocessableEntity {
				t.Errorf("%s: a purpose that is none: %d", c.a.Login, status)
			}
			status, to, _ := ask(t, client, "POST", at+"/purpose", url.Values{"purpose": {"supervision"}, "next": {at[len(r.page):] + "?t=5"}}.Encode())
			if status != http.StatusSeeOther || to != at[len(r.page):]+"?t=5" {
				t.Errorf("%s: after the purpose: %d %s", c.a.Login, status, to)
			}
		}
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() { ask(t, client, "GET", at+"/original", "", "Range", "bytes=0-9") })
		}
		wg.Wait()
		if status, _, page = ask(t, client, "GET", at+"/custody?lang=zh-CN", ""); status != http.StatusOK || !strings.Contains(page, "查看") || !strings.Contains(page, c.a.Actor()) {
			t.Errorf("%s: %d, and the look is not in the chain of custody", c.a.Login, status)
		}
		if got := views() - before; got != 1 {
			t.Errorf("%s: %d looks on record", c.a.Login, got)
		}
	}
	v := r.as(auth.Supervisor)
	_, err := v.Get(at)
	check(t, err)
	before := views()
	for range 3 {
		r.pass(25 * time.Minute)
		_, err := v.Get(at)
		check(t, err)
	}
	if got := views() - before; got != 1 {
		t.Errorf("in 75 minutes %d more looks are on record", got)
	}
}
