package web

import (
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// Frame is what every page needs.
type Frame struct {
	Lang  lang
	Title string
	Other string // address of this page in the other language
	Dark  bool   // whatever the reader prefers
	Me    auth.Account
	Nav   []NavItem // the pages that this person may go to
}

// NavItem is an entry of the head of every page.
type NavItem struct{ Text, Path string }

// navigation are the pages of the head, in order, with what one must be allowed to do to go there.
var navigation = []struct {
	NavItem
	May auth.Permission
}{
	{NavItem{"home", "/"}, auth.SignedIn},
	{NavItem{"recordings", "/recordings"}, auth.SeeRecordings},
	{NavItem{"live", "/live"}, auth.WatchLive},
	{NavItem{"cases", "/cases"}, auth.SeeCases},
	{NavItem{"reviews", "/cases?state=in-review"}, auth.Opine},
	{NavItem{"retention", "/retention"}, auth.Retain},
	{NavItem{"fleet", "/fleet"}, auth.SeeFleet},
	{NavItem{"people", "/people"}, auth.SeePeople},
	{NavItem{"calendar", "/calendar"}, auth.Calendar},
}

// May reports whether the reader may do something.
func (f Frame) May(p auth.Permission) bool { return f.Me.May(p) }

// T returns a text in the page's language.
func (f Frame) T(key string) string { return f.Lang.in(key) }

func (s *site) frame(c *gin.Context, title string) Frame {
	l := s.langOf(c)
	other := english
	if l == english {
		other = chinese
	}
	q := c.Request.URL.Query()
	q.Set("lang", string(other))
	path := c.Request.URL.Path
	if c.Request.Method != http.MethodGet {
		path, q = "/", url.Values{"lang": {string(other)}}
	}
	f := Frame{Lang: l, Title: l.in(title), Other: (&url.URL{Path: path, RawQuery: q.Encode()}).String(), Me: s.me(c)}
	for _, n := range navigation {
		if f.May(n.May) {
			f.Nav = append(f.Nav, n.NavItem)
		}
	}
	return f
}

func langKeep(l lang) *http.Cookie {
	return &http.Cookie{Name: langCookie, Value: string(l), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

var functions = template.FuncMap{"framed": withFrame, "add1": func(n int64) int64 { return n + 1 }, "bytes": bytesText, "when": whenText, "groups": groups, "short": short, "deref": func(n *uint64) uint64 { return *n },
	"lines": linesText, "clock": func(ms uint64) string { return clockText(ms, false) }, "moment": func(ms uint64) string { return clockText(ms, true) },
	"percent": func(thousandths uint64) string { return fmt.Sprintf("%d %%", thousandths/10) }, "seconds": func(ms uint64) string { return fmt.Sprintf("%g", float64(ms)/1000) },
	"size":      func(n uint64) string { return bytesText(int64(n)) },
	"days":      func(d time.Duration) string { return fmt.Sprintf("%g", d.Hours()/24) },
	"ms":        func(n int64) uint64 { return uint64(max(0, n)) },
	"attempted": func(a attempt, f Frame) attempted { return attempted{a, f} },
	"player":    func(r row, f Frame) player { return alone(originalOf(r), f) },
	"copied":    func(r row, mediaType string, f Frame) player { return alone(copyOf(r, mediaType), f) },
	"onduty":    func(r onDutyRow, f Frame) onDuty { return onDuty{r, f} },
	"pair":      func(r row, f Frame) pair { return pair{r, f} }, "rows": func(rs []row, f Frame) rows { return rows{rs, f} }}

// pair, onDuty, attempted and rows hand a part of a page its frame too.
type pair struct {
	R row
	F Frame
}

type onDuty struct {
	R onDutyRow
	F Frame
}

type attempted struct {
	A attempt
	F Frame
}

type rows struct {
	Rows []row
	F    Frame
}

// bytesText writes a size with three digits or so, and none that pretends to be exact.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for v >= unit && i < len(units)-1 {
		v, i = v/unit, i+1
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %s", v, units[i])
	}
	return fmt.Sprintf("%.0f %s", v, units[i])
}

// whenText writes a time in this machine's zone, zone included.
func whenText(ms int64) string {
	t := time.UnixMilli(ms).Local()
	return t.Format("2006-01-02 15:04:05") + " (UTC" + t.Format("-07:00") + ")"
}

// groups writes a hash in groups of eight.
func groups(hash string) []string {
	var out []string
	for len(hash) > 8 {
		out, hash = append(out, hash[:8]), hash[8:]
	}
	return append(out, hash)
}

// short is what of a device's id is worth reading.
func short(device string) string {
	if len(device) < 12 {
		return device
	}
	return device[4:12]
}

// row is a recording as pages show it.
type row struct {
	db.Recording
	Class  string
	Grade  string
	State  string
	Lost   int  // chunks declared lost
	Short  bool // not all of its source was taken in, or not all of that is left
	Person bool // needs one

	Damaged bool // a part of it was found changed or missing in the vault

	// Of its case header.
	Line    string // what it says, in one line
	Needs   bool   // there is none, and there has to be one
	Late    bool   // the first one came after the deadline, or it passed without one
	Typed   bool   // none was spoken
	Flagged bool   // the register knows something against a certificate
	Others  []attempt

	// Of what was made from it for looking at.
	Poster   bool  // there is a picture at /recordings/ID/poster
	Duration int64 // milliseconds; 0: not known
	Odd      bool  // browsers can't show what is in it, whatever its type says

	// Of one that is being captured; see grow.
	Growth string // empty: it is not, or was ended
	Heard  int64  // when its newest statements were logged, milliseconds since 1970 UTC
}

func rowOf(r db.Recording, class string) row {
	v := row{Recording: r, Class: class, Grade: string(verify.GradeOf(evidence.Class(class), evidence.Mode(r.Mode)))}
	if r.Absent != "[]" && r.Absent != "" {
		v.Lost = strings.Count(r.Absent, ",") + 1
	}
	v.Short, v.State = catalog.IsShort(r), catalog.StateOf(r)
	v.Person = v.Short || r.Faults > 0
	v.Duration = r.SeenMs
	return v
}

// looked takes in what was made of the recording. How long captured footage is, its recorder said.
func (r *row) looked(poster bool, duration int64) {
	r.Poster = poster
	if duration > 0 && r.Mode != string(evidence.ModeCapture) {
		r.Duration = duration
	}
}

// Millis is the duration, fit to be written.
func (r row) Millis() uint64 { return uint64(max(0, r.Duration)) }

// Label is the name to show.
func (r row) Label(f Frame) string {
	if strings.TrimSpace(r.Name) == "" {
		return f.T("unnamed")
	}
	return r.Name
}

// Player says how a browser may show the original: video, audio, img, or nothing.
func (r row) Player() string {
	if r.StoredChunks == 0 || r.Odd {
		return ""
	}
	return playerOf(r.MediaType)
}

// playable are the types that browsers show without running anything that is in them.
var playable = map[string]string{
	"video/mp4": "video", "video/quicktime": "video", "video/webm": "video", "video/ogg": "video",
	"audio/mpeg": "audio", "audio/mp4": "audio", "audio/aac": "audio", "audio/wav": "audio", "audio/x-wav": "audio", "audio/vnd.wave": "audio", "audio/ogg": "audio",
	"audio/flac": "audio", "audio/webm": "audio", "image/jpeg": "img", "image/png": "img", "image/gif": "img", "image/webp": "img", "image/bmp": "img", "image/avif": "img",
}

func playerOf(mediaType string) string { return playable[baseType(mediaType)] }

func baseType(mediaType string) string {
	t, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return ""
	}
	return t
}
