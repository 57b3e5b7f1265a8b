// Package visitor is somebody at the server's page, as far as tests and demonstrations need one: it speaks HTTP as a browser does, is signed in,
// and says what it looks at recordings for.
package visitor

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// Purpose is what a visitor looks at recordings for.
const Purpose = "custody"

// Visitor is a client with a session of its own. It is safe for concurrent use once it has signed in.
type Visitor struct {
	*http.Client
	Base string // of the page: scheme, host and port

	mu    sync.Mutex
	asked map[string]bool // recordings whose purpose was said
}

// New returns a visitor who has not signed in.
func New(base string) (*Visitor, error) {
	jar, err := cookiejar.New(nil)
	v := &Visitor{Base: base, asked: map[string]bool{}}
	v.Client = &http.Client{Jar: jar, Transport: v}
	return v, err
}

// UseLink sets a password by a one-time link, and is signed in then.
func (v *Visitor) UseLink(link, password string) error {
	return v.enter(link, url.Values{"password": {password}, "again": {password}})
}

// SignIn signs in.
func (v *Visitor) SignIn(login, password string) error {
	return v.enter(v.Base+"/sign-in", url.Values{"login": {login}, "password": {password}, "next": {"/account"}})
}

func (v *Visitor) enter(at string, form url.Values) error {
	v.mu.Lock()
	clear(v.asked)
	v.mu.Unlock()
	resp, err := v.PostForm(at, form)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.Request.Method != http.MethodGet || !strings.Contains(string(body), `action="/sign-out"`) {
		return fmt.Errorf("not signed in: %s\n%s", resp.Status, body)
	}
	return nil
}

// SignedOut reports whether an answer is the page to sign in at, in the place of what was asked for.
func SignedOut(resp *http.Response) bool { return resp.Request.URL.Path == "/sign-in" }

// Cookies are those of the session.
func (v *Visitor) Cookies() ([]*http.Cookie, error) {
	u, err := url.Parse(v.Base)
	if err != nil {
		return nil, err
	}
	return v.Jar.Cookies(u), nil
}

var ofRecording = regexp.MustCompile(`^/recordings/([0-9a-f]{32})(/|$)`)

// RoundTrip says what a recording is looked at for, before it is looked at for the first time.
func (v *Visitor) RoundTrip(r *http.Request) (*http.Response, error) {
	if m := ofRecording.FindStringSubmatch(r.URL.Path); m != nil && strings.HasPrefix(v.Base, r.URL.Scheme+"://"+r.URL.Host) {
		if err := v.say(m[1], r); err != nil {
			return nil, err
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (v *Visitor) say(rec string, r *http.Request) error {
	v.mu.Lock()
	said := v.asked[rec]
	v.asked[rec] = true
	v.mu.Unlock()
	if said {
		return nil
	}
	body := strings.NewReader(url.Values{"purpose": {Purpose}}.Encode())
	q, err := http.NewRequestWithContext(r.Context(), http.MethodPost, v.Base+"/recordings/"+rec+"/purpose", body)
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range r.Cookies() {
		q.AddCookie(c)
	}
	resp, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Say says what a recording is looked at for; a browser with the visitor's cookies is not asked any more.
func (v *Visitor) Say(rec string) error {
	r, err := http.NewRequest(http.MethodGet, v.Base, nil)
	if err != nil {
		return err
	}
	cookies, err := v.Cookies()
	if err != nil {
		return err
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return v.say(rec, r)
}
