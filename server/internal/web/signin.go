package web

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/people"
)

func (s *site) signInRoutes() []Route {
	return []Route{
		{"GET", "/sign-in", auth.Anybody, s.signInPage},
		{"POST", "/sign-in", auth.Anybody, s.signIn},
		{"POST", "/sign-out", auth.Anybody, s.signOut},
		{"GET", "/link/:token", auth.Anybody, s.linkPage},
		{"POST", "/link/:token", auth.Anybody, s.useLink},
		{"GET", "/account", auth.SignedIn, s.accountPage},
		{"POST", "/account/password", auth.SignedIn, s.changePassword},
		{"POST", "/account/language", auth.SignedIn, s.changeLanguage},
	}
}

// mistakes are what people can mend; each is a text of the pages by its own words.
var mistakes = map[error]int{
	people.ErrLogin: http.StatusUnprocessableEntity, people.ErrField: http.StatusUnprocessableEntity, people.ErrRole: http.StatusUnprocessableEntity,
	people.ErrTaken: http.StatusConflict, people.ErrLast: http.StatusConflict, people.ErrHaveAdmin: http.StatusConflict,
	people.ErrPassword: http.StatusUnprocessableEntity, people.ErrOther: http.StatusUnprocessableEntity,
	people.ErrSignIn: http.StatusUnprocessableEntity, people.ErrTooOften: http.StatusTooManyRequests,
}

// mistake returns the text and status of an error that people can mend; empty for another one.
func mistake(err error) (what string, status int) {
	for known, status := range mistakes {
		if errors.Is(err, known) {
			return known.Error(), status
		}
	}
	return "", http.StatusOK
}

type signInData struct {
	Frame
	Next, Login, What string
	Provider          bool
}

func (s *site) signInPage(c *gin.Context) {
	if me := s.me(c); me.ID != "" {
		s.see(c, local(c.Query("next"), me))
		return
	}
	s.page(c, http.StatusOK, "sign-in.html", signInData{Frame: s.frame(c, "sign-in"), Next: c.Query("next"), Provider: s.Provider != nil})
}

func (s *site) signIn(c *gin.Context) {
	if !s.shortForm(c) {
		return
	}
	form := c.Request.PostForm
	p, err := s.People.SignIn(c.Request.Context(), form.Get("login"), form.Get("password"), address(c.Request))
	if what, status := mistake(err); what != "" {
		s.Slog.WarnContext(c.Request.Context(), "sign-in refused", slog.String("address", address(c.Request)), slog.String("why", what))
		s.page(c, status, "sign-in.html", signInData{Frame: s.frame(c, "sign-in"), Next: form.Get("next"), Login: people.Login(form.Get("login")), What: what,
			Provider: s.Provider != nil})
		return
	}
	if err == nil {
		err = s.begin(c, p)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.see(c, local(form.Get("next"), p.Account))
}

func (s *site) signOut(c *gin.Context) {
	ctx := c.Request.Context()
	if err := s.sessions.Destroy(ctx); err != nil {
		s.fail(c, err)
		return
	}
	s.watches.recheck()
	c.Set(personKey, catalog.Person{})
	cookie := s.sessions.Cookie
	http.SetCookie(c.Writer, &http.Cookie{Name: cookie.Name, Path: cookie.Path, MaxAge: -1, HttpOnly: true, Secure: cookie.Secure, SameSite: cookie.SameSite})
	s.see(c, "/sign-in")
}

// address is whom attempts to sign in are counted for: the machine, or with IPv6 the network that one is usually given.
func address(r *http.Request) string {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "unknown"
	}
	ip := a.Addr().Unmap()
	if ip.Is6() {
		if net, err := ip.Prefix(64); err == nil {
			return net.String()
		}
	}
	return ip.String()
}

type linkData struct {
	Frame
	Token, What string
	Owner       auth.Account // without id: the first administrator, who gives login and name too
	Least       int
}

func (s *site) linkPage(c *gin.Context) {
	owner, err := s.People.Owner(c.Request.Context(), c.Param("token"))
	if errors.Is(err, people.ErrLink) {
		s.sorry(c, http.StatusNotFound, "bad-link")
		return
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.page(c, http.StatusOK, "link.html", linkData{Frame: s.frame(c, "set-password"), Token: c.Param("token"), Owner: owner, Least: people.MinPassword})
}

func (s *site) useLink(c *gin.Context) {
	if !s.shortForm(c) {
		return
	}
	form, ctx, token := c.Request.PostForm, c.Request.Context(), c.Param("token")
	first := auth.Account{Login: form.Get("login"), Name: form.Get("name")}
	owner, err := s.People.Owner(ctx, token)
	what, status := "", http.StatusUnprocessableEntity
	if err == nil && form.Get("password") != form.Get("again") {
		what = "not-twice"
	} else if err == nil {
		owner, err = s.People.UseLink(ctx, token, form.Get("password"), first)
		if m, st := mistake(err); m != "" {
			what, status = m, st
		}
	}
	switch {
	case what != "":
		if owner.ID == "" {
			owner = first
		}
		s.page(c, status, "link.html", linkData{Frame: s.frame(c, "set-password"), Token: token, Owner: owner, Least: people.MinPassword, What: what})
	case errors.Is(err, people.ErrLink):
		s.sorry(c, http.StatusNotFound, "bad-link")
	case err != nil:
		s.fail(c, err)
	default:
		s.enterAs(c, owner.ID, "")
	}
}

// enterAs begins a session of an account and goes to a page of it.
func (s *site) enterAs(c *gin.Context, id, next string) {
	p, err := s.People.Find(c.Request.Context(), id)
	if err == nil {
		err = s.begin(c, p)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.see(c, local(next, p.Account))
}

type accountData struct {
	Frame
	What  string
	Done  bool
	Least int
}

func (s *site) accountPage(c *gin.Context) {
	s.page(c, http.StatusOK, "account.html", accountData{Frame: s.frame(c, "account"), Done: c.Query("done") == "password", Least: people.MinPassword})
}

func (s *site) changePassword(c *gin.Context) {
	if !s.shortForm(c) {
		return
	}
	form, me := c.Request.PostForm, s.me(c)
	what, status := "not-twice", http.StatusUnprocessableEntity
	var err error
	if form.Get("password") == form.Get("again") {
		err = s.People.ChangePassword(c.Request.Context(), me, form.Get("old"), form.Get("password"), address(c.Request))
		what, status = mistake(err)
	}
	switch {
	case what != "":
		s.page(c, status, "account.html", accountData{Frame: s.frame(c, "account"), What: what, Least: people.MinPassword})
	case err != nil:
		s.fail(c, err)
	default:
		s.enterAs(c, me.ID, "/account?done=password")
	}
}

func (s *site) changeLanguage(c *gin.Context) {
	if !s.shortForm(c) {
		return
	}
	l := lang(c.Request.PostForm.Get("language"))
	if l != english && l != chinese {
		l = "" // as the browser has it
	}
	if err := s.Catalog.SetLanguage(c.Request.Context(), s.me(c).ID, string(l)); err != nil {
		s.fail(c, err)
		return
	}
	http.SetCookie(c.Writer, &http.Cookie{Name: langCookie, Path: "/", MaxAge: -1})
	s.see(c, "/account")
}
