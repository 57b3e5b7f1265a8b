package web

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/auth"
	"camseal/server/internal/people"
)

// ProviderReturn is where a provider sends people back to.
const ProviderReturn = "/sign-in/provider/back"

const providerCookie = "provider"

func (s *site) providerRoutes() []Route {
	return []Route{
		{"GET", "/sign-in/provider", auth.Anybody, s.toProvider},
		{"GET", ProviderReturn, auth.Anybody, s.fromProvider},
	}
}

// providerKeep is the cookie by which a browser is known again. It has to come along with what the provider's page starts, so it is Lax; the
// session's own stays Strict.
func (s *site) providerKeep(value string, age int) *http.Cookie {
	name := providerCookie
	if s.Secure {
		name = hostPrefix + name
	}
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.Secure, SameSite: http.SameSiteLaxMode}
}

// toProvider sends somebody to the provider.
func (s *site) toProvider(c *gin.Context) {
	if s.Provider == nil {
		s.sorry(c, http.StatusNotFound, "no-page")
		return
	}
	to, browser, err := s.Provider.Begin(c.Request.Context(), c.Query("next"))
	if err != nil {
		s.Slog.ErrorContext(c.Request.Context(), "the identity provider can't be used", slog.Any("error", err))
		s.sorry(c, http.StatusBadGateway, "provider-away")
		return
	}
	http.SetCookie(c.Writer, s.providerKeep(browser, 600))
	s.see(c, to)
}

// fromProvider signs somebody in who comes back. The session's cookie is not sent with what another site started, redirects included: so a page of
// this server takes the last step.
func (s *site) fromProvider(c *gin.Context) {
	if s.Provider == nil {
		s.sorry(c, http.StatusNotFound, "no-page")
		return
	}
	ctx := c.Request.Context()
	browser, err := c.Cookie(s.providerKeep("", 0).Name)
	if err != nil {
		browser = ""
	}
	http.SetCookie(c.Writer, s.providerKeep("", -1))
	login, next, err := s.Provider.Finish(ctx, browser, c.Query("state"), c.Query("code"))
	if err != nil {
		s.Slog.WarnContext(ctx, "signing in with the identity provider failed", slog.Any("error", err), slog.Bool("refused", c.Query("error") != ""))
		status, what := http.StatusBadGateway, "provider-away"
		if errors.Is(err, people.ErrProvider) {
			status, what = http.StatusBadRequest, "provider-failed"
		}
		s.sorry(c, status, what)
		return
	}
	p, err := s.People.FindLogin(ctx, login)
	if errors.Is(err, people.ErrUnknown) || err == nil && p.Disabled {
		s.sorry(c, http.StatusForbidden, "provider-nobody")
		return
	}
	if err == nil {
		err = s.begin(c, p)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.goOn(c, local(next, p.Account))
}
