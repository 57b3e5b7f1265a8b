// Package page is what a recorder's own display shows, and how programs on it control it: a page with large words and a few buttons, and
// the same by JSON. It answers on this machine only.
//
//	GET  /            the page
//	GET  /events      server-sent events: the parts of the page that change
//	GET  /state       duty.State in JSON
//	POST /start       begins a recording
//	POST /stop        ends it
//	POST /mark        marks this moment; text may say why
//	POST /header-end  says that the spoken header is finished
//
// A form's POST leads back to the page; any other is answered in JSON.
package page

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"camseal/agent/internal/capture"
	"camseal/agent/internal/duty"
	"camseal/pkg/evidence"
)

//go:embed templates/*.html static/*
var files embed.FS

// Recorder is what the page shows and controls.
type Recorder interface {
	State(ctx context.Context) duty.State
	Changed() <-chan struct{}
	Start(ctx context.Context, by string) (evidence.RecordingID, error)
	Stop(ctx context.Context, by string) (evidence.RecordingID, error)
	Mark(ctx context.Context, by, text string) (evidence.RecordingID, error)
	EndHeader(ctx context.Context, by string) error
}

// Config says what the page shows. Recorder, Now and Log must be set.
type Config struct {
	Recorder Recorder
	Now      func() time.Time
	Log      *slog.Logger
	Lang     string // of who has chosen none: zh-CN or en
}

type site struct {
	Config
	pages   *template.Template
	streams chan struct{} // one token for each live connection
}

const (
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; " +
		"frame-ancestors 'none'"
	maxBody    = 8 << 10 // bytes
	maxStreams = 16
	actTime    = 30 * time.Second
	bodyTime   = 10 * time.Second
)

// New makes the handler.
func New(c Config) (http.Handler, error) {
	pages, err := template.ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	s := &site{Config: c, pages: pages, streams: make(chan struct{}, maxStreams)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.show)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /state", s.state)
	mux.HandleFunc("GET /style.css", s.static("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /page.js", s.static("page.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("POST /start", s.act("start", func(ctx context.Context, by, _ string) (evidence.RecordingID, error) {
		return c.Recorder.Start(ctx, by)
	}))
	mux.HandleFunc("POST /stop", s.act("stop", func(ctx context.Context, by, _ string) (evidence.RecordingID, error) { return c.Recorder.Stop(ctx, by) }))
	mux.HandleFunc("POST /mark", s.act("mark", c.Recorder.Mark))
	mux.HandleFunc("POST /header-end", s.act("header-end", func(ctx context.Context, by, _ string) (id evidence.RecordingID, err error) {
		return id, c.Recorder.EndHeader(ctx, by)
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.sorry(w, r, http.StatusNotFound, "sorry-none") })
	return s.guard(mux), nil
}

// guard sets what every answer carries, and refuses requests under a foreign name or from a foreign page.
func (s *site) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		switch {
		case !local(r.Host):
			s.sorry(w, r, http.StatusForbidden, "sorry-host")
		case origin.Check(r) != nil:
			s.sorry(w, r, http.StatusForbidden, "sorry-other")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// local reports whether a request's Host names this machine: a page elsewhere could make a name of its own point here.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (s *site) static(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := files.ReadFile("static/" + name)
		if err != nil {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(raw) // who asked is gone if this fails
	}
}

func (s *site) state(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, s.Recorder.State(r.Context()))
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who asked is gone if this fails
}

// did answers an act in JSON.
type did struct {
	Recording *evidence.RecordingID `json:"recording,omitempty"` // that it was about
	Error     string                `json:"error,omitempty"`     // recording, idle, no-camera or failed
	Message   string                `json:"message,omitempty"`   // the same in words
}

// act answers a POST. What was begun is finished, whether or not the one who asked stays.
func (s *site) act(name string, do func(ctx context.Context, by, text string) (evidence.RecordingID, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(s.Now().Add(bodyTime)); err != nil {
			s.Log.WarnContext(r.Context(), "a request's time can't be bounded", slog.Any("error", err))
		}
		text, err := textOf(r)
		if err != nil {
			s.sorry(w, r, http.StatusRequestEntityTooLarge, "sorry-much")
			return
		}
		by := duty.ByButton
		if html(r) {
			by = duty.ByPage
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTime)
		defer cancel()
		rec, err := do(ctx, by, text)
		status, key := wordsOf(err)
		if status == http.StatusInternalServerError {
			s.Log.ErrorContext(ctx, "not done", slog.String("what", name), slog.String("by", by), slog.Any("error", err))
		}
		switch {
		case html(r) && err != nil:
			http.Redirect(w, r, "/?wrong="+key, http.StatusSeeOther)
		case html(r):
			http.Redirect(w, r, "/?said="+name, http.StatusSeeOther)
		case err != nil:
			answer(w, status, did{Error: key, Message: err.Error()})
		case rec.IsZero():
			answer(w, status, did{})
		default:
			answer(w, status, did{Recording: &rec})
		}
	}
}

// textOf reads the text of a mark: of a form, or a member of a JSON object.
func textOf(r *http.Request) (string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "application/json" {
		var body struct {
			Text string `json:"text"`
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		return body.Text, err
	}
	if err := r.ParseForm(); err != nil {
		return "", err
	}
	return r.PostForm.Get("text"), nil
}

// html reports whether a page is wanted rather than JSON.
func html(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

func wordsOf(err error) (int, string) {
	switch {
	case err == nil:
		return http.StatusOK, ""
	case errors.Is(err, capture.ErrRecording):
		return http.StatusConflict, "recording"
	case errors.Is(err, capture.ErrIdle):
		return http.StatusConflict, "idle"
	case errors.Is(err, capture.ErrNoCamera):
		return http.StatusConflict, "no-camera"
	}
	return http.StatusInternalServerError, "failed"
}

// sorry says what happened, that nothing was changed, and what to do.
func (s *site) sorry(w http.ResponseWriter, r *http.Request, status int, key string) {
	l := s.langOf(r)
	if !html(r) {
		answer(w, status, did{Error: strings.TrimPrefix(key, "sorry-"), Message: english.in(key)})
		return
	}
	s.page(w, r, status, "sorry.html", view{Lang: l, Key: key})
}

// page renders a template whole before the first byte leaves.
func (s *site) page(w http.ResponseWriter, r *http.Request, status int, name string, v view) {
	var b bytes.Buffer
	if err := s.pages.ExecuteTemplate(&b, name, v); err != nil {
		s.Log.ErrorContext(r.Context(), "page not rendered", slog.String("page", name), slog.Any("error", err))
		http.Error(w, "the page could not be made; the recorder itself goes on", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who asked is gone if this fails
}

const langCookie = "lang"

// langOf takes the language asked for in the address, else the one chosen before, else the recorder's.
func (s *site) langOf(r *http.Request) lang {
	if q := lang(r.URL.Query().Get("lang")); q == english || q == chinese {
		return q
	}
	if c, err := r.Cookie(langCookie); err == nil && (lang(c.Value) == english || lang(c.Value) == chinese) {
		return lang(c.Value)
	}
	if s.Lang == string(english) {
		return english
	}
	return chinese
}

func (s *site) show(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := view{Lang: s.langOf(r), S: s.Recorder.State(r.Context()), said: q.Get("said"), wrong: q.Get("wrong")}
	if q.Has("lang") {
		http.SetCookie(w, &http.Cookie{Name: langCookie, Value: string(v.Lang), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	s.page(w, r, http.StatusOK, "page.html", v)
}

// regions are the parts of the page that are kept current.
var regions = []string{"word", "clock", "header", "watched", "buttons", "facts", "troubles"}

// longest is how long a live connection is silent at most, shortest how long it waits between two messages.
const (
	longest  = time.Second
	shortest = 100 * time.Millisecond
)

// events sends what changes, for as long as the page is shown, as server-sent events (HTML Standard, section 9.2).
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		s.sorry(w, r, http.StatusServiceUnavailable, "sorry-busy")
		return
	}
	ctx, l, rc := r.Context(), s.langOf(r), http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	sent := map[string]string{}
	tick := time.NewTicker(longest)
	defer tick.Stop()
	for {
		changed := s.Recorder.Changed()
		news, err := s.news(view{Lang: l, S: s.Recorder.State(ctx)}, sent)
		if err != nil {
			s.Log.ErrorContext(ctx, "page not kept current", slog.Any("error", err))
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", news); err != nil || rc.Flush() != nil {
			return
		}
		calm := time.NewTimer(shortest)
		select {
		case <-ctx.Done():
		case <-calm.C:
		}
		calm.Stop()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// news renders the regions that are other than what was sent.
func (s *site) news(v view, sent map[string]string) ([]byte, error) {
	fresh := map[string]string{}
	for _, name := range regions {
		var b bytes.Buffer
		if err := s.pages.ExecuteTemplate(&b, name, v); err != nil {
			return nil, err
		}
		if text := strings.TrimSpace(b.String()); sent[name] != text {
			sent[name], fresh[name] = text, text
		}
	}
	return json.Marshal(fresh)
}
