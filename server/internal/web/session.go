package web

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-gonic/gin"

	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
)

// What a session holds.
const (
	sessionAccount = "account"
	sessionStamp   = "stamp"
	sessionNumber  = "number" // its own, under which looks are kept
)

const (
	cookieName = "session"
	hostPrefix = "__Host-" // browsers take such a cookie only under TLS, for this host and all its paths
	personKey  = "camseal/person"
)

// newSessions makes the manager of sessions. The cookie is never sent with what another site starts: signing in with a provider does without it.
func newSessions(c Config) *scs.SessionManager {
	m := scs.New()
	m.Store = &catalog.Sessions{Catalog: c.Catalog, Idle: c.SessionIdle, Life: c.SessionLife, Now: c.Now}
	m.Lifetime, m.HashTokenInStore = c.SessionLife, true
	m.Cookie.Name, m.Cookie.HttpOnly, m.Cookie.SameSite, m.Cookie.Persist = cookieName, true, http.SameSiteStrictMode, false
	if c.Secure {
		m.Cookie.Name, m.Cookie.Secure = hostPrefix+cookieName, true
	}
	return m
}

// me is who asks; the zero account if nobody signed in.
func (s *site) me(c *gin.Context) auth.Account {
	p, _ := c.Get(personKey)
	person, _ := p.(catalog.Person)
	return person.Account
}

// enter finds out who asks. A session that ended, of an account that was disabled or changed since, is nobody's.
func (s *site) enter(c *gin.Context) error {
	token, err := c.Cookie(s.sessions.Cookie.Name)
	if err != nil {
		token = ""
	}
	asking := c.Request.Context()
	if c.FullPath() == ofRecording+"/growth" {
		asking = catalog.Glance(asking)
	}
	ctx, p, err := s.whose(asking, token)
	c.Request = c.Request.WithContext(ctx)
	if err == nil && p.ID != "" {
		err = s.keepLanguage(c, &p)
		c.Set(personKey, p)
	}
	return err
}

// whose finds out whose session a cookie is: nobody's if it ended, or the account was disabled or changed since.
func (s *site) whose(ctx context.Context, token string) (context.Context, catalog.Person, error) {
	loaded, err := s.sessions.Load(ctx, token)
	if err != nil {
		return ctx, catalog.Person{}, err
	}
	id := s.sessions.GetString(loaded, sessionAccount)
	if id == "" {
		return loaded, catalog.Person{}, nil
	}
	p, err := s.People.Catalog.Person(loaded, id)
	if errors.Is(err, catalog.ErrUnknown) || err == nil && (p.Disabled || p.Stamp != s.sessions.GetString(loaded, sessionStamp)) {
		return loaded, catalog.Person{}, nil
	}
	return loaded, p, err
}

// keepLanguage keeps the language that somebody asks for as the account's.
func (s *site) keepLanguage(c *gin.Context, p *catalog.Person) error {
	l := asked(c)
	if l == "" || c.Request.Method != http.MethodGet || string(l) == p.Language {
		return nil
	}
	p.Language = string(l)
	return s.Catalog.SetLanguage(c.Request.Context(), p.ID, string(l))
}

// begin begins a session under a new token.
func (s *site) begin(c *gin.Context, p catalog.Person) error {
	ctx := c.Request.Context()
	if err := errors.Join(s.sessions.Clear(ctx), s.sessions.RenewToken(ctx)); err != nil {
		return err
	}
	s.sessions.Put(ctx, sessionAccount, p.ID)
	s.sessions.Put(ctx, sessionStamp, p.Stamp)
	s.sessions.Put(ctx, sessionNumber, rand.Text())
	token, until, err := s.sessions.Commit(catalog.Begin(ctx))
	if err != nil {
		return err
	}
	s.sessions.WriteSessionCookie(ctx, c.Writer, token, until)
	s.Slog.InfoContext(ctx, "signed in", slog.String("login", p.Login), slog.String("address", address(c.Request)))
	c.Set(personKey, p)
	return nil
}

// session is the number of the session.
func (s *site) session(ctx context.Context) string { return s.sessions.GetString(ctx, sessionNumber) }

// gate lets through who has a permission. Nobody is sent to sign in, somebody else is told.
func (s *site) gate(may auth.Permission) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := s.enter(c); err != nil {
			s.fail(c, err)
			return
		}
		me := s.me(c)
		switch {
		case me.May(may):
		case me.ID != "" && c.Request.URL.Path == "/" && home(me) != "/":
			s.see(c, home(me))
		case me.ID != "":
			s.sorry(c, http.StatusForbidden, "not-allowed")
		case c.Request.Method == http.MethodGet && navigates(c.Request) && c.GetHeader("Sec-Fetch-Site") == "cross-site":
			s.goOn(c, c.Request.URL.RequestURI())
		case c.Request.Method == http.MethodGet && navigates(c.Request):
			s.see(c, "/sign-in?"+url.Values{"next": {c.Request.URL.RequestURI()}}.Encode())
		default:
			s.sorry(c, http.StatusUnauthorized, "signed-out")
		}
	}
}

// navigates reports whether a browser asks for a page, and not for a part of one.
func navigates(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

// see sends the browser to another page of this server.
func (s *site) see(c *gin.Context, path string) {
	c.Header("Cache-Control", "no-store")
	c.Redirect(http.StatusSeeOther, path)
	c.Abort()
}

// goOn has a page of this server lead to another one: then the session's cookie is sent along, which it is not with what another site started,
// redirects included.
func (s *site) goOn(c *gin.Context, path string) {
	s.page(c, http.StatusOK, "go-on.html", struct {
		Frame
		Next string
	}{s.frame(c, "sign-in"), path})
}

// home is the first page that an account may see.
func home(me auth.Account) string {
	for _, n := range navigation {
		if me.May(n.May) {
			return n.Path
		}
	}
	return "/account"
}

// local returns an address if it is one of this server's pages, else the account's first page.
func local(next string, me auth.Account) string {
	u, err := url.Parse(next)
	if err != nil || len(next) > 2048 || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsFunc(next, func(r rune) bool { return r == '\\' || r <= ' ' || r == 0x7f }) || strings.HasPrefix(u.Path, "//") || u.Path == "/" {
		return home(me)
	}
	return next
}

// maxShort is how many bytes a form of a few words has at most, and formWait how long any form without files may take.
const (
	maxShort = 64 << 10
	formWait = 30 * time.Second
)

// shortForm reads a form of at most 64 KiB, with its values as they were sent; if it is another one it says so and returns false.
func (s *site) shortForm(c *gin.Context) bool {
	err := http.NewResponseController(c.Writer).SetReadDeadline(s.Now().Add(formWait))
	if err != nil {
		s.fail(c, err)
		return false
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxShort)
	err = c.Request.ParseForm()
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		s.sorry(c, http.StatusRequestEntityTooLarge, "form-large")
	case err != nil:
		s.sorry(c, http.StatusBadRequest, "form-unread")
	}
	return err == nil
}
