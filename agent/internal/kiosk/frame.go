package kiosk

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/agent/internal/dock"
	"camseal/pkg/evidence"
)

// Limits of what a form may hold, in characters, and of how many.
const (
	maxField   = 500
	maxNote    = 2000
	maxPersons = 12
)

const langCookie = "lang"

// langOf takes the language asked for in the address, else the one chosen before, else the dock's.
func (s *site) langOf(c *gin.Context) lang {
	if q := lang(c.Query("lang")); q == english || q == chinese {
		return q
	}
	if v, err := c.Cookie(langCookie); err == nil && (lang(v) == english || lang(v) == chinese) {
		return lang(v)
	}
	return lang(s.Lang)
}

// frame is what every page needs.
type frame struct {
	Lang    lang
	Title   string
	Other   string // address of this page in the other language
	Officer *dock.Officer
	Snap    dock.Snapshot
	Live    string // address of the page's changes
	Said    string // what was done
	Wrong   string // what was not, and why
	Next    string // where a sign-in leads
	regions map[string]template.HTML
}

// T returns a text in the page's language.
func (f frame) T(key string) string { return f.Lang.in(key) }

// Region returns what stands in a part of the page that is kept current.
func (f frame) Region(name string) template.HTML { return f.regions[name] }

// said are the outcomes that a page's address may announce.
var said = []string{"signed-out", "said-header", "said-note", "said-mark", "said-unrecorded", "said-split", "said-join", "said-first"}

// frame makes a page's frame, its live parts included.
func (s *site) frame(c *gin.Context, title string, v view) (frame, error) {
	l, path, q := s.langOf(c), c.Request.URL.Path, c.Request.URL.Query()
	if asked := lang(c.Query("lang")); asked == english || asked == chinese {
		http.SetCookie(c.Writer, &http.Cookie{Name: langCookie, Value: string(l), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	if c.Request.Method != http.MethodGet {
		path, q = "/", url.Values{}
	}
	f := frame{Lang: l, Title: l.in(title), Officer: s.officer(c, true), Snap: s.Station.Snapshot(c.Request.Context()), Next: path}
	if key := q.Get("said"); slices.Contains(said, key) {
		f.Said = key
	}
	q.Del("said")
	q.Set("lang", string(l.Other()))
	f.Other = (&url.URL{Path: path, RawQuery: q.Encode()}).String()
	live := url.Values{"lang": {string(l)}, "page": {v.page}, "of": {v.of}}
	f.Live = "/live?" + live.Encode()
	if path == "/sign-in" {
		f.Next = local(q.Get("next"))
	}
	regions, err := s.regions(c.Request.Context(), l, v, f.Snap)
	if err != nil {
		return f, err
	}
	f.regions = map[string]template.HTML{}
	for _, r := range regions {
		var b strings.Builder
		for _, id := range r.Order {
			b.WriteString(r.Parts[id])
		}
		f.regions[r.In] = template.HTML(b.String()) // #nosec: each part comes out of html/template
	}
	return f, nil
}

var functions = template.FuncMap{"bytes": bytesText, "span": span, "escape": url.PathEscape, "inc": func(i int) int { return i + 1 }}

// bytesText writes a size with three digits or so, and none that pretends to be exact.
func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for v >= unit && i < len(units)-1 {
		v, i = v/unit, i+1
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %s", v, units[i])
	}
	return fmt.Sprintf("%.0f %s", v, units[i])
}

// span writes a moment of a recording.
func span(ms uint64) string {
	sec := ms / 1000
	if sec < 3600 {
		return fmt.Sprintf("%02d:%02d", sec/60, sec%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", sec/3600, sec/60%60, sec%60)
}

// lasts writes how long something will take, rounded up: nobody comes back too early.
func (l lang) lasts(d time.Duration) string {
	m := int((d + time.Minute - 1) / time.Minute)
	if m < 60 {
		return fmt.Sprintf(l.in("minutes"), m)
	}
	return fmt.Sprintf(l.in("hours"), m/60, m%60)
}

// when writes a time in the dock's zone: of today, the time; else the day too.
func (l lang) when(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return l.in("today") + " " + t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// recorderClock writes what the recorder's clock showed.
func recorderClock(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05")
}

func short(id evidence.RecordingID) string { return id.String()[:8] }

// cut shortens what is shown again, not what is kept.
func cut(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit])
	}
	return text
}
