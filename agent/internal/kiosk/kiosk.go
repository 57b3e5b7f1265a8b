// Package kiosk is the page that officers touch at the dock: what each slot holds and how far it is, the case headers to confirm, the
// note, marks, and what was not recorded. It works with no network; all that it knows comes from a Station.
//
// Pages are rendered here. Scripts keep them current and spare typing; what a page says and every act in it works without them.
package kiosk

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/agent/internal/dock"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

//go:embed templates/*.html static/*
var files embed.FS

// Station is the dock behind the page. Its methods are called at once from several requests. What has returned without an error is
// durable. Errors that have words here are those of package dock.
type Station interface {
	Snapshot(ctx context.Context) dock.Snapshot
	// Wait returns when Snapshot().Version is greater than after, or with ctx's error.
	Wait(ctx context.Context, after uint64) error
	// Groups returns those of a slot, or for "" all that wait for a header, of recorders that are gone too.
	Groups(ctx context.Context, slot string) ([]dock.Group, error)
	Group(ctx context.Context, id evidence.RecordingID) (dock.Group, error)
	// Sound returns the spoken span of a group as a WAV file.
	Sound(ctx context.Context, id evidence.RecordingID) ([]byte, error)
	// Register returns the register as it was received last; nil: it has not been.
	Register(ctx context.Context) *transport.Register
	// SignIn takes a card's number, or a certificate's number and its PIN.
	SignIn(ctx context.Context, card, certificate, pin string) (dock.Officer, error)
	// Confirm says a header, or a correction of one. It fills in Confirmed and Corrects.
	Confirm(ctx context.Context, id evidence.RecordingID, h evidence.Header, by dock.Officer) error
	Note(ctx context.Context, id evidence.RecordingID, text string, by dock.Officer) error
	// Mark marks a moment, milliseconds from the recording's begin.
	Mark(ctx context.Context, rec evidence.RecordingID, moment uint64, text string, by dock.Officer) error
	Unrecorded(ctx context.Context, activity, reason string, by dock.Officer) error
	Split(ctx context.Context, id, before evidence.RecordingID, by dock.Officer) error
	Join(ctx context.Context, id, with evidence.RecordingID, by dock.Officer) error
	First(ctx context.Context, slot string, by dock.Officer) error
}

// Config says what the page shows and to whom. Station, Now and Log must be set.
type Config struct {
	Station Station
	Now     func() time.Time
	Log     *slog.Logger
	Lang    string   // of who has chosen none: "zh-CN", also if empty, or "en"
	Hosts   []string // names under which the page answers, without port, besides those of loopback
}

type site struct {
	Config
	pages    *template.Template
	origin   *http.CrossOriginProtection
	sessions *sessions
	kept     *kept
	streams  chan struct{} // one token for each live connection
}

// policy lets a page use this handler's files, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

const (
	maxBody    = 32 << 10 // bytes of a form
	maxStreams = 32       // live connections at once
)

// New makes the page's handler. It answers under a loopback name or one of Hosts, and takes forms only from its own pages. A server
// must end its requests' contexts when it shuts down: a page stays connected for as long as it is shown.
func New(c Config) (http.Handler, error) {
	switch {
	case c.Station == nil || c.Now == nil || c.Log == nil:
		return nil, errors.New("kiosk: station, clock and log must be given")
	case c.Lang == "":
		c.Lang = string(chinese)
	case c.Lang != string(chinese) && c.Lang != string(english):
		return nil, fmt.Errorf("kiosk: language %q: use %q or %q", c.Lang, chinese, english)
	}
	pages, err := template.New("").Funcs(functions).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	s := &site{Config: c, pages: pages, origin: http.NewCrossOriginProtection(), sessions: newSessions(c.Now), kept: newKept(c.Now),
		streams: make(chan struct{}, maxStreams)}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed, r.UseRawPath = true, true
	r.Use(s.guard)
	r.NoRoute(func(c *gin.Context) { s.sorry(c, http.StatusNotFound, "no-page") })
	r.NoMethod(func(c *gin.Context) { s.sorry(c, http.StatusMethodNotAllowed, "no-page") })
	s.routes(r)
	return r, nil
}

func (s *site) routes(r *gin.Engine) {
	r.GET("/", s.tiles)
	r.GET("/live", s.live)
	r.GET("/static/:file", s.static)
	r.GET("/slots/:slot", s.slot)
	r.POST("/slots/:slot/first", s.first)
	r.GET("/headers", s.headers)
	r.GET("/groups/:id", s.group)
	r.GET("/groups/:id/sound", s.sound)
	r.POST("/groups/:id/header", s.confirm)
	r.POST("/groups/:id/note", s.note)
	r.POST("/groups/:id/mark", s.mark)
	r.POST("/groups/:id/split", s.split)
	r.POST("/groups/:id/join", s.join)
	r.GET("/unrecorded", s.unrecorded)
	r.POST("/unrecorded", s.sayUnrecorded)
	r.GET("/sign-in", s.signIn)
	r.POST("/sign-in", s.takeSignIn)
	r.POST("/sign-out", s.signOut)
	r.POST("/awake", s.awake)
}

// guard sets what every answer carries, and refuses requests under a foreign name or from a foreign page: a page elsewhere could
// otherwise make its own name point here.
func (s *site) guard(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	if !s.ours(c.Request.Host) {
		s.sorry(c, http.StatusForbidden, "not-here")
		return
	}
	if s.origin.Check(c.Request) != nil {
		s.sorry(c, http.StatusForbidden, "other-page")
		return
	}
	if c.Request.Method == http.MethodPost {
		if err := c.Request.ParseForm(); err != nil {
			s.sorry(c, http.StatusRequestEntityTooLarge, "too-much")
			return
		}
	}
	defer func() {
		if p := recover(); p != nil {
			s.Log.ErrorContext(c.Request.Context(), "kiosk page not finished", slog.String("route", c.FullPath()), slog.Any("panic", p))
			if c.Writer.Written() {
				panic(http.ErrAbortHandler)
			}
			s.sorry(c, http.StatusInternalServerError, "trouble")
		}
	}()
	c.Next()
}

// ours reports whether a request's Host names this machine.
func (s *site) ours(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback() || slices.ContainsFunc(s.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

var kinds = map[string]string{"style.css": "text/css; charset=utf-8", "kiosk.js": "text/javascript; charset=utf-8", "live.js": "text/javascript; charset=utf-8",
	"forms.js": "text/javascript; charset=utf-8"}

func (s *site) static(c *gin.Context) {
	name := c.Param("file")
	kind, ok := kinds[name]
	if !ok {
		s.sorry(c, http.StatusNotFound, "no-page")
		return
	}
	raw, err := files.ReadFile("static/" + name)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Data(http.StatusOK, kind, raw)
}

// render makes the HTML of a part of a page.
func (s *site) render(name string, data any) (template.HTML, error) {
	var b bytes.Buffer
	err := s.pages.ExecuteTemplate(&b, name, data)
	return template.HTML(b.String()), err // #nosec: it comes out of html/template
}

// page renders a template whole before the first byte leaves, so that an error never looks like a page.
func (s *site) page(c *gin.Context, status int, name string, data any) {
	b, err := s.render(name, data)
	if err != nil {
		s.Log.ErrorContext(c.Request.Context(), "kiosk page not rendered", slog.String("page", name), slog.Any("error", err))
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Data(status, "text/html; charset=utf-8", []byte(b))
	c.Abort()
}

// sorry shows what happened, what was kept and what to do.
func (s *site) sorry(c *gin.Context, status int, what string) {
	f, err := s.frame(c, "sorry", view{})
	if err != nil {
		s.Log.ErrorContext(c.Request.Context(), "kiosk page not rendered", slog.String("page", "sorry"), slog.Any("error", err))
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	s.page(c, status, "sorry.html", struct {
		frame
		What string
	}{f, what})
}

// wordsOf finds the status and the text of an error that a person can do something about.
func wordsOf(err error) (status int, key string) {
	for _, w := range []struct {
		err    error
		status int
		key    string
	}{
		{dock.ErrNoGroup, http.StatusNotFound, "no-group"}, {dock.ErrNoSlot, http.StatusNotFound, "no-slot"},
		{dock.ErrSignIn, http.StatusUnauthorized, "sign-in-wrong"}, {dock.ErrTooMany, http.StatusTooManyRequests, "too-many"},
		{dock.ErrNoRegister, http.StatusServiceUnavailable, "no-register"}, {dock.ErrIncomplete, http.StatusUnprocessableEntity, "incomplete"},
	} {
		if errors.Is(err, w.err) {
			return w.status, w.key
		}
	}
	return http.StatusInternalServerError, "trouble"
}

// fail shows an error on a page of its own.
func (s *site) fail(c *gin.Context, err error) {
	status, key := s.words(c, err)
	s.sorry(c, status, key)
}

// words is wordsOf, and logs what has none.
func (s *site) words(c *gin.Context, err error) (status int, key string) {
	status, key = wordsOf(err)
	if status == http.StatusInternalServerError {
		s.Log.ErrorContext(c.Request.Context(), "kiosk could not do what was asked", slog.String("route", c.FullPath()), slog.Any("error", err))
	}
	return status, key
}
