// Package web is the server's page: the recordings, one recording with its player, and the bundle to take away.
//
// Pages are rendered here and need no script. The originals come from recorders and are not trusted: they are served under
// a policy that lets them do nothing but be played.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-gonic/gin"
	"golang.org/x/sync/singleflight"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/export"
	"camseal/server/internal/media"
	"camseal/server/internal/people"
)

//go:embed templates/*.html static
var files embed.FS

// Config says what the page shows. All members must be set but those that say so.
type Config struct {
	Catalog  *catalog.Catalog
	Log      *catalog.Projector
	Vault    archive.Vault
	Exporter *export.Exporter
	LoggedAt func(ctx context.Context, index uint64) (*time.Time, error) // the server's time of a log leaf; nil: not on record
	Register func(ctx context.Context) (*transport.Register, error)      // of officers, in force; nil: there is none
	Cases    *casework.Cases

	Media *media.Maker

	Retention        *casework.Retention
	DefaultRetention time.Duration // of recordings without a class

	Space          func() (archive.Space, error) // of the vault; nil: it does not tell
	ExportDeadline time.Duration                 // from a file's own time to its sealing

	HeaderDeadline time.Duration // from when sealing began to the case header

	People      *people.Keeper
	Provider    *people.Provider // nil: none
	Duty        Duty             // recorders on duty
	Live        Live             // nil: nothing can be watched
	LiveRecodes bool             // what browsers can't show live goes through ffmpeg

	SessionIdle time.Duration // a session ends so long after its newest request
	SessionLife time.Duration // and so long after it began
	Origin      string        // by which people reach the page: scheme, host and port
	Secure      bool          // it is served over TLS
	Names       []string      // by which it may be reached, beside loopback ones

	Now  func() time.Time
	Slog *slog.Logger
}

type site struct {
	Config
	pages    *template.Template
	style    []byte
	sessions *scs.SessionManager
	views    singleflight.Group // custody events of looks under way

	verifier, runner string // addresses of the verifier for browsers and of what runs it; empty: built without

	mu        sync.Mutex
	originals map[evidence.Digest]*export.Original // by the manifest's digest

	times loggedTimes

	watches *watches
	guests  *guests
}

// Page serves the page.
type Page struct {
	http.Handler
	site *site
}

// Close ends what is watched live, which is on record when it returns. Everything else goes on.
func (p *Page) Close() {
	p.site.guests.close()
	p.site.watches.close()
}

// pagePolicy lets a page use this server's style, pictures and media, and nothing else: no script at all.
const pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self' data:; media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// New makes the page's handler. It answers only requests made to this machine by a loopback name or one of Names, takes forms only
// from its own pages, and lets nobody at a route who may not use it.
func New(c Config) (*Page, error) {
	pages, err := template.New("").Funcs(functions).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	style, err := styles()
	if err != nil {
		return nil, err
	}
	s := &site{Config: c, pages: pages, style: style, sessions: newSessions(c), originals: map[evidence.Digest]*export.Original{},
		watches: newWatches(c), guests: newGuests(),
		verifier: wasmAddress("camseal.wasm"), runner: wasmAddress("wasm_exec.js")}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.Use(s.guard)
	r.NoRoute(s.gate(auth.Anybody), func(c *gin.Context) { s.sorry(c, http.StatusNotFound, "no-page") })
	r.NoMethod(s.gate(auth.Anybody), func(c *gin.Context) { s.sorry(c, http.StatusMethodNotAllowed, "no-page") })
	for _, x := range s.routes() {
		handlers := []gin.HandlerFunc{s.gate(x.May), x.handle}
		if x.Path == ofRecording || strings.HasPrefix(x.Path, ofRecording+"/") {
			handlers = slices.Insert(handlers, 1, s.looking)
		}
		if slices.Contains(tokenPaths, x.Path) {
			handlers[0] = s.tokenGate(x)
		}
		r.Handle(x.Method, x.Path, handlers...)
	}
	own := http.NewCrossOriginProtection().Handler(r)
	return &Page{site: s, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if bearer(req) != "" { // its cookies count for nothing, wherever it comes from
			r.ServeHTTP(w, req)
			return
		}
		own.ServeHTTP(w, req)
	})}, nil
}

// guard sets what every answer carries, and refuses requests under a name that is not this machine's: a page elsewhere
// could otherwise make its own name point here.
func (s *site) guard(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if s.Secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if !s.known(c.Request.Host) {
		s.sorry(c, http.StatusForbidden, "not-here")
		return
	}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		s.Slog.ErrorContext(c.Request.Context(), "page not finished", slog.String("route", c.FullPath()), slog.Any("panic", p))
		if !c.Writer.Written() {
			s.sorry(c, http.StatusInternalServerError, "trouble")
		}
	}()
	c.Next()
}

// known reports whether a request's Host is this machine's.
func (s *site) known(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback() || slices.ContainsFunc(s.Names, func(name string) bool { return strings.EqualFold(name, host) })
}

func (s *site) css(c *gin.Context) {
	c.Header("Cache-Control", "no-cache")
	c.Data(http.StatusOK, "text/css; charset=utf-8", s.style)
}

// page renders a template whole before the first byte leaves, so that an error never looks like a page.
func (s *site) page(c *gin.Context, status int, name string, data any) {
	text, err := s.rendered(name, data)
	if err != nil {
		s.Slog.ErrorContext(c.Request.Context(), "page not rendered", slog.String("page", name), slog.Any("error", err))
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.Data(status, "text/html; charset=utf-8", []byte(text))
	c.Abort()
}

// rendered is a template's text.
func (s *site) rendered(name string, data any) (string, error) {
	var b bytes.Buffer
	err := s.pages.ExecuteTemplate(&b, name, data)
	return b.String(), err
}

// sorry shows what happened, what was kept and what to do.
func (s *site) sorry(c *gin.Context, status int, what string) {
	s.page(c, status, "sorry.html", struct {
		Frame
		What string
	}{s.frame(c, what), what})
}

// fail shows an error of the server.
func (s *site) fail(c *gin.Context, err error) {
	switch {
	case errors.Is(err, catalog.ErrUnknown):
		s.sorry(c, http.StatusNotFound, "no-recording")
	case errors.Is(err, export.ErrNotStored):
		s.sorry(c, http.StatusConflict, "not-stored")
	default:
		s.Slog.ErrorContext(c.Request.Context(), "page not finished", slog.String("route", c.FullPath()), slog.Any("error", err))
		s.sorry(c, http.StatusInternalServerError, "trouble")
	}
}
