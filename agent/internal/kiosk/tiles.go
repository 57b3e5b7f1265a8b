package kiosk

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/agent/internal/dock"
)

// icons are the states' signs. Each state has its word and its border too, so that nothing is told by colour alone.
var icons = map[dock.TileState]string{dock.TileEmpty: "○", dock.TileReleased: "□", dock.TileStored: "■", dock.TileCopied: "✓", dock.TileHeader: "!",
	dock.TileReading: "↓", dock.TileFault: "✗"}

// tile is a slot as it is shown.
type tile struct {
	dock.Tile
	Lang  lang
	Icon  string
	Word  string    // the state
	Who   string    // whose, else which recorder
	What  string    // which recorder, when Who is a person
	Far   string    // how far
	Do    string    // what to do
	Warn  []warning // what needs a person
	Small []string  // the rest
}

// warning is long where there is room.
type warning struct{ Long, Short string }

// T returns a text in the page's language.
func (t tile) T(key string) string { return t.Lang.in(key) }

func tileOf(t dock.Tile, l lang, now time.Time) tile {
	v := tile{Tile: t, Lang: l, Icon: cmp.Or(icons[t.State], "?"), Word: l.in("tile-" + string(t.State)), Do: l.in("do-" + string(t.State))}
	v.What = strings.TrimSpace(t.Model + " " + t.Recorder)
	v.Who = t.Officer
	if v.Who == "" {
		v.Who, v.What = v.What, ""
	}
	if v.Who == "" && t.State != dock.TileEmpty {
		v.Who = l.in("unknown-recorder")
	}
	if t.State == dock.TileReading {
		v.Far = far(t, l)
	}
	if t.State == dock.TileFault {
		v.Do = cmp.Or(t.Fault, v.Do)
	} else if t.Fault != "" {
		v.Warn = append(v.Warn, warning{t.Fault, l.in("tile-fault")})
	}
	if t.Headers > 0 && t.State != dock.TileHeader {
		v.Warn = append(v.Warn, warning{fmt.Sprintf(l.in("headers-wait"), t.Headers), fmt.Sprintf(l.in("headers-short"), t.Headers)})
	}
	if t.Kept > 0 {
		v.Warn = append(v.Warn, warning{fmt.Sprintf(l.in("kept-there"), t.Kept), fmt.Sprintf(l.in("kept-short"), t.Kept)})
	}
	switch {
	case t.Export.IsZero():
	case t.Overdue:
		v.Warn = append(v.Warn, warning{fmt.Sprintf(l.in("export-overdue"), l.when(t.Export, now)), l.in("overdue-short")})
	default:
		v.Small = append(v.Small, fmt.Sprintf(l.in("export-due"), l.when(t.Export, now)))
	}
	if t.State == dock.TileHeader && t.Headers > 1 {
		v.Far = fmt.Sprintf(l.in("headers-short"), t.Headers)
	}
	if t.First {
		v.Small = append(v.Small, l.in("goes-first"))
	}
	if t.Size > 0 {
		v.Small = append(v.Small, fmt.Sprintf(l.in("space"), bytesText(t.Space), bytesText(t.Size)))
	}
	if t.Battery != nil {
		v.Small = append(v.Small, fmt.Sprintf(l.in("battery"), *t.Battery))
	}
	return v
}

// far says how far the reading is. It never says 100 % of what is not done.
func far(t dock.Tile, l lang) string {
	if !t.Listed {
		return fmt.Sprintf(l.in("listing"), t.Files)
	}
	parts := []string{fmt.Sprintf("%d %%", percent(t))}
	if t.Left > 0 {
		parts = append(parts, l.lasts(t.Left))
	}
	return strings.Join(parts, " · ")
}

func percent(t dock.Tile) int {
	switch {
	case t.Bytes == 0:
		return 0
	case t.Read >= t.Bytes && t.Done < t.Files:
		return 99
	}
	return int(float64(min(t.Read, t.Bytes)) / float64(t.Bytes) * 100)
}

// ID is what the tile is called on the page.
func (t tile) ID() string { return "slot-" + url.PathEscape(t.Slot) }

// Bar reports whether there is a bar to show.
func (t tile) Bar() bool { return t.State == dock.TileReading }

// Percent is how far the reading is.
func (t tile) Percent() int { return percent(t.Tile) }

// FilesText says how many of the files are done.
func (t tile) FilesText() string {
	if t.Files == 0 {
		return ""
	}
	return fmt.Sprintf(t.Lang.in("files-done"), t.Done, t.Files)
}

// status is the line that says how the dock itself is.
type status struct {
	dock.Snapshot
	Lang lang
}

// T returns a text in the page's language.
func (s status) T(key string) string { return s.Lang.in(key) }

// Clock is the dock's time.
func (s status) Clock() string { return s.At.Local().Format("15:04") }

// Vault says what the vault still lacks.
func (s status) Vault() string {
	if s.Held == 0 {
		return s.Lang.in("vault-all")
	}
	return fmt.Sprintf(s.Lang.in("vault-waits"), bytesText(s.Held))
}

// Trouble lists what is wrong with the dock itself, in words.
func (s status) Trouble() []string {
	var out []string
	if s.TPM != "" {
		out = append(out, fmt.Sprintf(s.Lang.in("tpm-trouble"), s.TPM))
	}
	if s.Bridge != "" {
		out = append(out, fmt.Sprintf(s.Lang.in("bridge-trouble"), s.Bridge))
	}
	return append(out, s.Alarms...)
}

// Waiting says how many headers are to be confirmed, and how many of them are late.
func (s status) Waiting() string {
	text := fmt.Sprintf(s.Lang.in("waiting"), s.Headers)
	if s.Late > 0 {
		text += fmt.Sprintf(s.Lang.in("waiting-late"), s.Late)
	}
	return text
}

// density says how much room a tile has.
func density(tiles int) string {
	switch {
	case tiles <= 4:
		return "few"
	case tiles <= 8:
		return "eight"
	case tiles <= 12:
		return "twelve"
	}
	return "many"
}

func (s *site) tiles(c *gin.Context) {
	f, err := s.frame(c, "tiles", view{page: "tiles"})
	if err != nil {
		s.fail(c, err)
		return
	}
	s.page(c, http.StatusOK, "tiles.html", struct {
		frame
		Density string
	}{f, density(len(f.Snap.Tiles))})
}
