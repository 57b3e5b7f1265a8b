package kiosk_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"camseal/agent/internal/dock"
	"camseal/agent/internal/kiosk"
	"camseal/pkg/evidence"
)

// client is a browser without scripts: it keeps cookies and follows where it is led.
type client struct {
	t      *testing.T
	server *httptest.Server
	http   *http.Client
}

func newClient(t *testing.T, server *httptest.Server) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, server, &http.Client{Jar: jar}}
}

// do asks, and returns the status, the body and the path that it was led to.
func (c *client) do(method, path string, form url.Values, header ...string) (int, string, string) {
	c.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.server.URL+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(raw), resp.Request.URL.RequestURI()
}

func (c *client) get(path string) (int, string, string) {
	c.t.Helper()
	return c.do(http.MethodGet, path, nil)
}

func (c *client) post(path string, fields ...string) (int, string, string) {
	c.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return c.do(http.MethodPost, path, form)
}

func (c *client) signIn() {
	c.t.Helper()
	if status, body, at := c.post("/sign-in", "card", "0012345678", "next", "/"); status != 200 || at != "/" || !strings.Contains(body, "Li Wei") {
		c.t.Fatalf("sign-in led to %s, %d", at, status)
	}
}

// in checks an answer.
func (c *client) in(what string, status int, body string, want int, texts ...string) {
	c.t.Helper()
	if status != want {
		c.t.Errorf("%s: status %d, want %d", what, status, want)
	}
	for _, text := range texts {
		if !strings.Contains(body, text) {
			c.t.Errorf("%s does not say %q", what, text)
		}
	}
}

func good(more ...string) []string {
	return append([]string{"department", "Market Supervision", "officer", "Li Wei", "certificate", "33010001", "officer", "", "certificate", "", "cause", "Unlicensed sale",
		"time", "25 November, half past eight", "place", "East Market"}, more...)
}

// A header is confirmed as the form holds it, with what was heard; one without a voice says so; a correction keeps the voice.
func TestHeaderIsConfirmed(t *testing.T) {
	s := newStation(8)
	server, _, _ := serve(t, s)
	c := newClient(t, server)
	c.signIn()
	c.get("/?lang=en")
	status, body, _ := c.get("/groups/" + rec(1).String())
	c.in("the page", status, body, 200, "heard and matched", "heard, not in the register", "not heard, suggested", "unlicensed sale of food", `value="2026-11-25 08:31:06"`, "00:04–00:21", "confidence: 87 %",
		"certificate not valid", `value="33010002"`)

	status, body, where := c.post("/groups/"+rec(1).String()+"/header", good("activity", "Seizure", "case", "2026-0117", "companions", "Dr. Xu、 Ms. He", "further-name", "Party", "further-value", "<b>Chen</b>")...)
	c.in("the answer", status, body, 200, "The header is confirmed and kept here.", "&lt;b&gt;Chen&lt;/b&gt;")
	if where != "/groups/"+rec(1).String()+"?said=said-header" {
		t.Errorf("led to %s", where)
	}
	want := evidence.Header{Department: "Market Supervision", Officers: evidence.List[evidence.Officer]{{Name: "Li Wei", Certificate: "33010001"}}, Cause: "Unlicensed sale", Time: "25 November, half past eight", Place: "East Market",
		Activity: "Seizure", Case: "2026-0117", Companions: evidence.List[string]{"Dr. Xu", "Ms. He"}, Further: evidence.List[evidence.FurtherField]{{Name: "Party", Value: "<b>Chen</b>"}}, Confirmed: "Li Wei",
		Spoken: &evidence.SpokenHeader{Confidence: 870, Engine: s.groups[0].Heard.Engine, From: 4000, Until: 21000, Transcript: s.groups[0].Heard.Transcript}}
	if got := s.groups[0].Header; !reflect.DeepEqual(*got, want) {
		t.Errorf("confirmed\n%+v, want\n%+v", *got, want)
	}

	status, body, _ = c.post("/groups/"+rec(1).String()+"/header", good("activity", "Sealing")...)
	c.in("a second press", status, body, 422, "confirmed meanwhile", "Sealing", `name="correct"`)
	if got := s.groups[0].Header.Activity; got != "Seizure" {
		t.Errorf("a second press changed the activity to %q", got)
	}
	c.post("/groups/"+rec(1).String()+"/header", good("place", "ignored: the first counts", "correct", "yes")...)
	if got := s.groups[0].Header; got.Spoken == nil || got.Place != "East Market" || got.Activity != "" {
		t.Errorf("the correction says %+v", got)
	}
	status, body, _ = c.post("/groups/"+rec(2).String()+"/header", good()...)
	c.in("a typed header", status, body, 200, "无语音说明")
	if s.groups[1].Header.Spoken != nil {
		t.Error("a header that nobody spoke says that it was spoken")
	}
	// Nothing was understood, and the officer has listened.
	status, body, _ = c.get("/groups/" + rec(3).String())
	c.in("what was not understood", status, body, 200, "the speech engine did not answer.", "I have listened", "late: header was due")
	c.post("/groups/"+rec(3).String()+"/header", good("spoken", "yes")...)
	if got := s.groups[2].Header.Spoken; got == nil || *got != (evidence.SpokenHeader{From: 1000, Until: 9000}) {
		t.Errorf("the officer says that it was spoken, the header: %+v", got)
	}
}

func TestNoteMarkAndTheRest(t *testing.T) {
	s := newStation(8)
	server, _, _ := serve(t, s)
	c := newClient(t, server)
	c.signIn()
	c.get("/?lang=en")
	id := rec(1).String()
	status, body, where := c.post("/groups/"+id+"/note", "note", " Two boxes listed.\r\nSigned. ")
	c.in("the note", status, body, 200, "The note is kept here.")
	if got := s.groups[0].Note; got == nil || got.Text != "Two boxes listed.\nSigned." || got.By != "Li Wei" || where != "/groups/"+id+"?said=said-note" {
		t.Errorf("note %+v, at %s", got, where)
	}
	status, body, _ = c.post("/groups/"+id+"/note", "note", "Another.")
	c.in("a second note", status, body, 422, "confirmed meanwhile", "Another.")
	for _, moment := range []string{"3:12", "192", "0:03:12", "3：12"} {
		c.post("/groups/"+id+"/mark", "rec", rec(12).String(), "moment", moment, "text", "the scales")
	}
	status, body, where = c.post("/groups/"+id+"/split", "before", rec(12).String(), "back", "/slots/3?said=said-join")
	c.in("the split", status, body, 200, "Split into two groups.")
	if where != "/slots/3?said=said-split" {
		t.Errorf("the split leads to %s", where)
	}
	status, body, _ = c.post("/groups/"+id+"/join", "with", rec(2).String(), "back", "/headers")
	c.in("the join", status, body, 200, "Joined into one group.")
	status, body, where = c.post("/slots/7/first")
	c.in("first", status, body, 200, "This slot goes first now.")
	if where != "/slots/7?said=said-first" {
		t.Errorf("first leads to %s", where)
	}
	status, body, _ = c.post("/unrecorded", "activity", "Seizure", "reason", "The battery was empty.")
	c.in("not recorded", status, body, 200, "an act that was not recorded")
	mark := []string{"mark", rec(12).String(), "3m12s", "the scales", "Li Wei"}
	want := slices.Concat(mark, mark, mark, mark, []string{"split", id, rec(12).String(), "Li Wei", "join", id, rec(2).String(), "Li Wei", "first", "7", "Li Wei", "unrecorded", "Seizure", "The battery was empty.", "Li Wei"})
	if !slices.Equal(s.said, want) {
		t.Errorf("said %q\nwant %q", s.said, want)
	}
}

// Every refusal says why, keeps what was typed, and changes nothing.
func TestRefusals(t *testing.T) {
	s := newStation(8)
	server, _, _ := serve(t, s)
	c := newClient(t, server)
	c.signIn()
	c.get("/?lang=en")
	without := func(field string) []string {
		out := good()
		for i := 0; i < len(out); i += 2 {
			if out[i] == field {
				out[i+1] = ""
			}
		}
		return out
	}
	header, note, mark, long := "/groups/"+rec(1).String()+"/header", "/groups/"+rec(1).String()+"/note", "/groups/"+rec(1).String()+"/mark", strings.Repeat("长", 501)
	var crowd []string
	for range 13 {
		crowd = append(crowd, "officer", "Li Wei", "certificate", "33010001")
	}
	for name, r := range map[string]struct {
		path   string
		form   []string
		status int
		text   string
		typed  string // is still there
	}{
		"no department":        {header, without("department"), 422, "Not confirmed yet", "half past eight"},
		"no officers":          {header, without("officer"), 422, "has no name", "half past eight"},
		"nobody":               {header, []string{"department", "Market", "cause", "a", "time", "b", "place", "c"}, 422, "Not confirmed yet", `value="Market"`},
		"no cause":             {header, without("cause"), 422, "Not confirmed yet", "half past eight"},
		"no time":              {header, without("time"), 422, "Not confirmed yet", `value="East Market"`},
		"no place":             {header, without("place"), 422, "Not confirmed yet", "half past eight"},
		"only spaces":          {header, good("further-name", " ", "further-value", "x"), 422, "has no name", "half past eight"},
		"a long field":         {header, good("case", long), 422, "500 characters", "half past eight"},
		"a long name":          {header, good("officer", long), 422, "500 characters", "half past eight"},
		"broken text":          {header, good("case", "\xff"), 422, "signs that are not text", "half past eight"},
		"control characters":   {header, good("case", "a\x1b[2J"), 422, "signs that are not text", "half past eight"},
		"thirteen officers":    {header, good(crowd...), 422, "more than 12", "half past eight"},
		"no note":              {note, []string{"note", " \r\n"}, 422, "the note is empty", "Text note"},
		"a long note":          {note, []string{"note", strings.Repeat("长", 2001)}, 422, "a note more than 2000", "长长"},
		"no moment":            {mark, []string{"rec", rec(1).String(), "text", "the scales"}, 422, "not a time such as", "the scales"},
		"61 seconds":           {mark, []string{"rec", rec(1).String(), "moment", "1:61", "text", "the scales"}, 422, "not a time such as", "1:61"},
		"a moment before":      {mark, []string{"rec", rec(1).String(), "moment", "-1", "text", "the scales"}, 422, "not a time such as", "the scales"},
		"no text":              {mark, []string{"rec", rec(1).String(), "moment", "1:01"}, 422, "say what is to be seen", "1:01"},
		"another's mark":       {mark, []string{"rec", rec(2).String(), "moment", "1:01", "text", "the scales"}, 404, "no such recordings", "the scales"},
		"no activity":          {"/unrecorded", []string{"reason", "empty battery"}, 422, "say which activity", "empty battery"},
		"no reason":            {"/unrecorded", []string{"activity", "Seizure of lorry"}, 422, "say why", "Seizure of lorry"},
		"a long reason":        {"/unrecorded", []string{"activity", "Seizure", "reason", strings.Repeat("长", 2001)}, 422, "2000", "长长"},
		"no such group":        {"/groups/" + rec(99).String() + "/header", good(), 404, "no such recordings", ""},
		"no group at all":      {"/groups/all/note", []string{"note", "x"}, 404, "no such recordings", ""},
		"split before first":   {"/groups/" + rec(1).String() + "/split", []string{"before", rec(1).String()}, 404, "split or joined meanwhile", ""},
		"split elsewhere":      {"/groups/" + rec(1).String() + "/split", []string{"before", rec(2).String()}, 404, "split or joined meanwhile", ""},
		"split nowhere":        {"/groups/" + rec(1).String() + "/split", nil, 404, "split or joined meanwhile", ""},
		"join with itself":     {"/groups/" + rec(1).String() + "/join", []string{"with", rec(1).String()}, 404, "split or joined meanwhile", ""},
		"more than a form":     {header, good("case", strings.Repeat("x", 40<<10)), 413, "more than a form may hold", ""},
		"a page that is not":   {"/nowhere", nil, 404, "no such page", ""},
		"a way that is not":    {"/groups/" + rec(1).String() + "/sound", nil, 405, "no such page", ""},
		"nothing to sign in":   {"/sign-in", []string{"card", " "}, 422, "Nobody was signed in", ""},
		"no PIN":               {"/sign-in", []string{"certificate", "33010001"}, 422, "Nobody was signed in", `value="33010001"`},
		"an unknown card":      {"/sign-in", []string{"card", "1"}, 401, "not known", ""},
		"a wrong PIN":          {"/sign-in", []string{"certificate", "33010001", "pin", "1"}, 401, "not known", `value="33010001"`},
		"too many attempts":    {"/sign-in", []string{"card", "too many"}, 429, "Wait a minute", ""},
		"before the register":  {"/sign-in", []string{"card", "no register"}, 503, "has not been received", ""},
		"a card without end":   {"/sign-in", []string{"card", strings.Repeat("1", 501)}, 422, "Nobody was signed in", ""},
		"a form that is wrong": {"/unrecorded", []string{"activity", "<script>alert(1)</script>"}, 422, "&lt;script&gt;", ""},
	} {
		status, body, _ := c.post(r.path, r.form...)
		c.in(name, status, body, r.status, r.text, r.typed)
		if strings.Contains(body, "<script>alert") {
			t.Errorf("%s: what was typed is part of the page", name)
		}
	}
	if s.groups[0].Header != nil || s.groups[0].Note != nil || len(s.said) > 0 {
		t.Errorf("a refusal left %+v %+v %q", s.groups[0].Header, s.groups[0].Note, s.said)
	}
	for _, path := range []string{"/slots/99", "/groups/all", "/groups/" + rec(99).String(), "/static/none.js", "/static/..%2Fkiosk.go"} {
		status, body, _ := c.get(path)
		c.in(path, status, body, 404, "Nothing was changed")
	}
}

// What the station can't do is said, with what was typed still there, and logged.
func TestStationFails(t *testing.T) {
	s := newStation(8)
	server, _, logged := serve(t, s)
	c := newClient(t, server)
	c.signIn()
	c.get("/?lang=en")
	s.fails = errors.New("spool: disk on fire")
	status, body, _ := c.post("/groups/"+rec(1).String()+"/note", "note", "Two boxes listed.")
	c.in("a note", status, body, 500, "Recordings and what was confirmed before are safe", "Two boxes listed.")
	s.fails = dock.ErrIncomplete
	status, body, _ = c.post("/groups/"+rec(1).String()+"/header", good()...)
	c.in("a header", status, body, 422, "Not confirmed yet")
	if n := strings.Count(logged.String(), "disk on fire"); n != 1 || strings.Contains(body, "on fire") {
		t.Errorf("logged %d times:\n%s", n, logged)
	}
}

// Who is not signed in sees the slots and says nothing; what was typed before the session ended is not lost.
func TestSignInIsNeeded(t *testing.T) {
	s := newStation(8)
	server, clock, _ := serve(t, s)
	c := newClient(t, server)
	for _, path := range []string{"/", "/slots/3", "/headers"} {
		status, body, where := c.get(path + "?lang=en")
		c.in(path, status, body, 200)
		if strings.HasPrefix(where, "/sign-in") || strings.Contains(body, "unlicensed sale of food") {
			t.Errorf("%s leads to %s", path, where)
		}
	}
	id := rec(1).String()
	for _, path := range []string{"/groups/" + id, "/unrecorded"} {
		if _, _, where := c.get(path); where != "/sign-in?"+(url.Values{"next": {path}}).Encode() {
			t.Errorf("%s leads to %s", path, where)
		}
	}
	status, body, _ := c.get("/groups/" + id + "/sound")
	c.in("the sound", status, body, 401, "Sign in first")
	for _, path := range []string{"/groups/" + id + "/header", "/groups/" + id + "/note", "/groups/" + id + "/mark", "/groups/" + id + "/split", "/groups/" + id + "/join", "/unrecorded", "/slots/7/first"} {
		if _, _, where := c.post(path, good("note", "x")...); !strings.HasPrefix(where, "/sign-in?next=") {
			t.Errorf("%s leads to %s", path, where)
		}
	}
	if status, _, _ := c.post("/awake"); status != 401 {
		t.Errorf("awake: %d", status)
	}
	if s.groups[0].Header != nil || s.groups[0].Note != nil || len(s.said) > 0 {
		t.Error("somebody who is not signed in said something")
	}

	c.signIn()
	clock.forward(4 * time.Minute)
	if status, _, _ := c.post("/awake"); status != 204 {
		t.Errorf("awake: %d", status)
	}
	clock.forward(4 * time.Minute)
	if _, _, where := c.get("/unrecorded"); where != "/unrecorded" {
		t.Errorf("signed out though awake: %s", where)
	}
	clock.forward(5 * time.Minute)
	status, body, where := c.post("/groups/"+id+"/note", "note", "Two boxes listed.")
	c.in("the sign-in", status, body, 200, "What you typed is kept")
	u, err := url.Parse(where)
	if err != nil || u.Path != "/sign-in" || s.groups[0].Note != nil {
		t.Fatalf("after five idle minutes led to %s, %v; note %+v", where, err, s.groups[0].Note)
	}
	status, body, where = c.post("/sign-in", "certificate", "33010001", "pin", "271828", "next", u.Query().Get("next"))
	c.in("the page after the sign-in", status, body, 200, "Two boxes listed.")
	if !strings.HasPrefix(where, "/groups/"+id) {
		t.Errorf("led to %s", where)
	}
	if _, _, where = c.post("/sign-out"); where != "/?said=signed-out" {
		t.Errorf("sign-out leads to %s", where)
	}
	if _, _, where = c.get("/unrecorded"); !strings.HasPrefix(where, "/sign-in") {
		t.Errorf("signed out, and still led to %s", where)
	}
}

// A session's name is not that of before the sign-in, and can't be read by scripts or sent from elsewhere.
func TestSessionCookie(t *testing.T) {
	server, _, _ := serve(t, newStation(1))
	seen := map[string]bool{}
	for range 3 {
		resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).PostForm(server.URL+"/sign-in", url.Values{"card": {"0012345678"}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		cookies := resp.Cookies()
		if resp.StatusCode != 303 || len(cookies) != 1 || len(cookies[0].Value) != 43 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || seen[cookies[0].Value] {
			t.Errorf("%s %+v", resp.Status, cookies)
		}
		seen[cookies[0].Value] = true
	}
}

// A sign-in leads only to the kiosk's own pages.
func TestNextIsLocal(t *testing.T) {
	server, _, _ := serve(t, newStation(1))
	for next, want := range map[string]string{"/headers": "/headers", "//evil.example/": "/", "https://evil.example/": "/", `/\evil.example`: "/", "/\t/evil.example": "/", "javascript:alert(1)": "/", "": "/", "headers": "/"} {
		c := newClient(t, server)
		c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		resp, err := c.http.PostForm(server.URL+"/sign-in", url.Values{"card": {"0012345678"}, "next": {next}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("next=%q leads to %q", next, got)
		}
	}
}

// Foreign names and foreign pages are refused; nothing is kept by the browser, run from elsewhere or framed.
func TestOwnOrigin(t *testing.T) {
	s := newStation(8)
	server, _, _ := serve(t, s)
	c := newClient(t, server)
	c.signIn()
	for host, want := range map[string]int{"evil.example": 403, "localhost:80": 200, "127.0.0.1": 200, "[::1]:8080": 200, "dock-3.example": 200, "DOCK-3.example:8080": 200, "localhost.evil.example": 403, "10.0.0.1": 403} {
		if status, _, _ := c.do(http.MethodGet, "/", nil, "Host", host); status != want {
			t.Errorf("Host %s: %d", host, status)
		}
	}
	for origin, want := range map[string]int{"http://evil.example": 403, "null": 403, server.URL: 200} {
		if status, _, _ := c.do(http.MethodPost, "/unrecorded", url.Values{"activity": {"a"}, "reason": {"b"}}, "Origin", origin); status != want {
			t.Errorf("Origin %s: %d", origin, status)
		}
	}
	if status, _, _ := c.do(http.MethodPost, "/unrecorded", url.Values{"activity": {"a"}, "reason": {"b"}}, "Sec-Fetch-Site", "cross-site"); status != 403 {
		t.Errorf("a form from another site: %d", status)
	}
	if len(s.said) != 4 {
		t.Errorf("said %q", s.said)
	}
	for _, path := range []string{"/", "/static/kiosk.js", "/nowhere", "/groups/" + rec(1).String() + "/sound"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		req.RequestURI = ""
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		policy := resp.Header.Get("Content-Security-Policy")
		if resp.Header.Get("Cache-Control") != "no-store" || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
}

func TestSoundPlaysByRange(t *testing.T) {
	s := newStation(8)
	server, _, _ := serve(t, s)
	c := newClient(t, server)
	c.signIn()
	status, body, _ := c.get("/groups/" + rec(1).String() + "/sound")
	if status != 200 || !bytes.Equal([]byte(body), s.sound) {
		t.Errorf("%d, %d bytes", status, len(body))
	}
	if status, body, _ = c.do(http.MethodGet, "/groups/"+rec(1).String()+"/sound", nil, "Range", "bytes=8-11"); status != 206 || body != "WAVE" {
		t.Errorf("a range: %d %q", status, body)
	}
}

// A live connection sends everything once, and then only the tile that changed.
func TestOnlyChangedTilesAreSent(t *testing.T) {
	s := newStation(24)
	server, _, _ := serve(t, s)
	resp, err := http.Get(server.URL + "/live?page=tiles&lang=en")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	type news struct {
		At      string
		Regions []struct {
			In    string
			Order []string
			Parts map[string]string
		}
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	next := func() (n news) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &n); err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
		t.Fatal(lines.Err())
		return n
	}
	first := next()
	if len(first.Regions) != 4 || len(first.Regions[3].Parts) != 24 || first.At != "09:52:11" {
		t.Fatalf("first %+v", first)
	}
	s.change(func(s *station) { s.snap.Tiles[0].Read += gib })
	second := next()
	if len(second.Regions) != 1 || second.Regions[0].In != "tiles" || len(second.Regions[0].Parts) != 1 || !strings.Contains(second.Regions[0].Parts["slot-1"], "48 %") || len(second.Regions[0].Order) != 24 {
		t.Errorf("second %+v", second)
	}
	s.change(func(s *station) { s.snap.Tiles = s.snap.Tiles[:23] })
	if third := next(); len(third.Regions) != 1 || len(third.Regions[0].Parts) != 0 || len(third.Regions[0].Order) != 23 {
		t.Errorf("third %+v", third)
	}
}

// New refuses what it can't work with.
func TestNewChecksItsConfig(t *testing.T) {
	if _, err := kiosk.New(kiosk.Config{}); err == nil {
		t.Error("a kiosk without a station")
	}
	server, clock, _ := serve(t, newStation(1))
	_ = server
	if _, err := kiosk.New(kiosk.Config{Station: newStation(1), Now: clock.Now, Log: slog.New(slog.DiscardHandler), Lang: "fr"}); err == nil {
		t.Error("a kiosk in French")
	}
}

// Zeros of hundreds of thousands of files make no endless page.
func TestHugeSlotsMakeBoundedPages(t *testing.T) {
	s := newStation(8)
	for i := range 5000 {
		g := s.groups[3]
		g.ID, g.Slot = evidence.RecordingID{1, byte(i >> 8), byte(i)}, "1"
		s.groups = append(s.groups, g)
	}
	waits := s.groups[0]
	waits.ID, waits.Slot, waits.Items = rec(77), "1", slices.Repeat(waits.Items, 1000)
	s.groups = append(s.groups, waits)
	server, _, _ := serve(t, s)
	c := newClient(t, server)
	status, body, _ := c.get("/slots/1?lang=en")
	c.in("the page", status, body, 200, "4941 more are not shown", "1960 more recordings", rec(77).String())
	if len(body) > 200<<10 {
		t.Errorf("%d bytes", len(body))
	}
}
