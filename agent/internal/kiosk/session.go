package kiosk

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/agent/internal/dock"
)

const (
	sessionCookie = "camseal-officer"
	idle          = 5 * time.Minute // after the last thing that an officer did, the officer is signed out
	maxSessions   = 64
)

// sessions are who is signed in, by 32 random bytes. They live in memory: a restart signs everybody out.
type sessions struct {
	now func() time.Time

	mu sync.Mutex
	by map[string]*session
}

type session struct {
	officer dock.Officer
	used    time.Time
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, by: map[string]*session{}}
}

func token() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never returns an error
	return base64.RawURLEncoding.EncodeToString(b)
}

// begin signs an officer in.
func (s *sessions) begin(o dock.Officer) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := ""
	for key, v := range s.by {
		if s.now().Sub(v.used) >= idle {
			delete(s.by, key)
		} else if oldest == "" || v.used.Before(s.by[oldest].used) {
			oldest = key
		}
	}
	if len(s.by) >= maxSessions {
		delete(s.by, oldest)
	}
	id = token()
	s.by[id] = &session{officer: o, used: s.now()}
	return id
}

// find returns who is signed in, nil: nobody. With touch the time until sign-out begins anew.
func (s *sessions) find(id string, touch bool) *dock.Officer {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.by[id]
	if !ok {
		return nil
	}
	if s.now().Sub(v.used) >= idle {
		delete(s.by, id)
		return nil
	}
	if touch {
		v.used = s.now()
	}
	o := v.officer
	return &o
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, id)
}

// officer returns who is signed in at this browser, nil: nobody.
func (s *site) officer(c *gin.Context, touch bool) *dock.Officer {
	id, err := c.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	return s.sessions.find(id, touch)
}

func setSession(c *gin.Context, id string, age int) {
	http.SetCookie(c.Writer, &http.Cookie{Name: sessionCookie, Value: id, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// must returns who is signed in. If nobody is, it leads to the sign-in, which leads back to this page or, from a form, to back with
// what was typed into the form.
func (s *site) must(c *gin.Context, back string) (dock.Officer, bool) {
	if o := s.officer(c, true); o != nil {
		return *o, true
	}
	if c.Request.Method == http.MethodPost {
		sep := "?"
		if strings.Contains(back, "?") {
			sep = "&"
		}
		back += sep + "kept=" + s.kept.put(c.Request.PostForm)
	}
	s.see(c, "/sign-in?"+url.Values{"next": {back}}.Encode())
	return dock.Officer{}, false
}

// see leads to another page, after a form too.
func (s *site) see(c *gin.Context, path string) {
	c.Redirect(http.StatusSeeOther, path)
	c.Abort()
}

// local makes sure that a path leads nowhere else; if it could, it is "/".
func local(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

func (s *site) signIn(c *gin.Context) { s.showSignIn(c, http.StatusOK, "") }

func (s *site) showSignIn(c *gin.Context, status int, wrong string) {
	f, err := s.frame(c, "sign-in", view{})
	if err != nil {
		s.fail(c, err)
		return
	}
	f.Wrong = wrong
	next := c.Query("next")
	if c.Request.Method == http.MethodPost {
		next = c.PostForm("next")
	}
	next = local(next)
	f.Next = next
	s.page(c, status, "signin.html", struct {
		frame
		Certificate string
		Kept        bool
	}{f, cut(c.PostForm("certificate"), maxField), strings.Contains(next, "kept=")})
}

func (s *site) takeSignIn(c *gin.Context) {
	card, certificate, pin := strings.TrimSpace(c.PostForm("card")), strings.TrimSpace(c.PostForm("certificate")), c.PostForm("pin")
	if card == "" && (certificate == "" || pin == "") || tooLong(maxField, card, certificate, pin) {
		s.showSignIn(c, http.StatusUnprocessableEntity, "sign-in-empty")
		return
	}
	if card != "" { // one way at a time
		certificate, pin = "", ""
	}
	o, err := s.Station.SignIn(c.Request.Context(), card, certificate, pin)
	if err != nil {
		status, key := s.words(c, err)
		s.showSignIn(c, status, key)
		return
	}
	if old, err := c.Cookie(sessionCookie); err == nil {
		s.sessions.end(old)
	}
	setSession(c, s.sessions.begin(o), 0)
	s.see(c, local(c.PostForm("next")))
}

func (s *site) signOut(c *gin.Context) {
	if id, err := c.Cookie(sessionCookie); err == nil {
		s.sessions.end(id)
	}
	setSession(c, "", -1)
	s.see(c, "/?said=signed-out")
}

// awake is what a page says while somebody types: the session goes on.
func (s *site) awake(c *gin.Context) {
	if s.officer(c, true) == nil {
		c.Status(http.StatusUnauthorized)
		return
	}
	c.Status(http.StatusNoContent)
}

// kept holds what was typed into forms by somebody whose session had ended, until the sign-in is done.
type kept struct {
	now func() time.Time

	mu sync.Mutex
	by map[string]keptForm
}

type keptForm struct {
	form  url.Values
	until time.Time
}

const maxKept = 16

func newKept(now func() time.Time) *kept { return &kept{now: now, by: map[string]keptForm{}} }

func (k *kept) put(form url.Values) (key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	oldest := ""
	for key, v := range k.by {
		if !k.now().Before(v.until) {
			delete(k.by, key)
		} else if oldest == "" || v.until.Before(k.by[oldest].until) {
			oldest = key
		}
	}
	if len(k.by) >= maxKept {
		delete(k.by, oldest)
	}
	key = token()
	k.by[key] = keptForm{form, k.now().Add(2 * idle)}
	return key
}

// form returns what was kept under the page's key; nil: nothing.
func (k *kept) form(c *gin.Context) url.Values {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.by[c.Query("kept")]
	if !ok || !k.now().Before(v.until) {
		return nil
	}
	return v.form
}
