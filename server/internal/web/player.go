package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/catalog"
	"camseal/server/internal/media"
)

const (
	mostBeside  = 4 // recordings side by side
	maxMarkForm = 64 << 10
	maxMarkText = 4096 // bytes
)

func (s *site) playerRoutes() []Route {
	return []Route{
		{"GET", "/recordings/:rec/timeline", auth.SeeRecordings, s.timeline},
		{"POST", "/recordings/:rec/marks", auth.Mark, s.mark},
		{"GET", "/side-by-side", auth.SeeRecordings, s.sideBySide},
	}
}

// player hands the player's part of a page what it needs.
type player struct {
	F        Frame
	Pictures []picture
	Alone    bool // it shows one recording, which may be marked
}

// picture is one recording in the player.
type picture struct {
	R       row
	Kind    string // video, audio or img
	Src     string // what plays without scripts, and where nothing can be checked
	Derived bool   // it is not the original
}

func originalOf(r row) picture {
	return picture{R: r, Kind: r.Player(), Src: "/recordings/" + r.Rec + "/original"}
}

// copyOf is a recording's derived copy.
func copyOf(r row, mediaType string) picture {
	return picture{R: r, Kind: playerOf(mediaType), Src: "/recordings/" + r.Rec + "/derived", Derived: true}
}

// alone is a player of one recording.
func alone(p picture, f Frame) player { return player{F: f, Pictures: []picture{p}, Alone: true} }

// Words are the player's texts as JSON, in the page's language.
func (p player) Words() (string, error) {
	words := map[string]string{}
	for key := range textsPlayer {
		if name, ok := strings.CutPrefix(key, "player-"); ok {
			words[name] = p.F.T(key)
		}
	}
	raw, err := json.Marshal(words)
	return string(raw), err
}

// mark writes down an important moment. The player's script asks for JSON and stays where it is.
func (s *site) mark(c *gin.Context) {
	v, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxMarkForm)
	at, errAt := momentOf(c.PostForm("at"))
	text := strings.TrimSpace(c.PostForm("text"))
	if errAt != nil || text == "" || len(text) > maxMarkText {
		s.sorry(c, http.StatusBadRequest, "mark-refused")
		return
	}
	key, err := keyOf(v.Recording)
	if err == nil {
		err = s.Cases.Mark(c.Request.Context(), s.me(c), key.Rec, at, text)
	}
	var refused *casefile.Refused
	switch {
	case errors.As(err, &refused):
		s.sorry(c, http.StatusBadRequest, refused.Key)
	case err != nil:
		s.fail(c, err)
	case c.GetHeader("Accept") == gin.MIMEJSON:
		c.Status(http.StatusNoContent)
	default:
		c.Redirect(http.StatusSeeOther, fmt.Sprintf("/recordings/%s?t=%g", v.Rec, float64(at)/1000))
	}
}

var errMoment = errors.New("not a moment")

// momentOf reads a moment as people write it (1:02:03.5, 02:03, 3.5) and returns milliseconds.
func momentOf(text string) (uint64, error) {
	parts := strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "：", ":")), ":")
	if len(parts) > 3 {
		return 0, errMoment
	}
	total := 0.0
	for i, p := range parts {
		n, err := strconv.ParseFloat(p, 64)
		if err != nil || n < 0 || n > 1e9 || i > 0 && n >= 60 || math.IsNaN(n) {
			return 0, errMoment
		}
		total = total*60 + n
	}
	return uint64(math.Round(total * 1000)), nil
}

// sideBySide shows several recordings of one event in step.
func (s *site) sideBySide(c *gin.Context) {
	ids := wanted(c.QueryArray("rec"))
	data := struct {
		Frame
		P      player
		IDs    [mostBeside]string
		Enough bool
	}{Frame: s.frame(c, "side-by-side")}
	if len(ids) > mostBeside {
		s.sorry(c, http.StatusBadRequest, "side-too-many")
		return
	}
	copy(data.IDs[:], ids)
	var shown []picture
	for _, id := range ids {
		v, err := s.findOther(c, id)
		var made makings
		if err == nil {
			made, err = s.made(c.Request.Context(), &v)
		}
		if errors.Is(err, catalog.ErrUnknown) {
			s.sorry(c, http.StatusNotFound, "no-recording")
			return
		}
		if err != nil {
			s.fail(c, err)
			return
		}
		if k := v.Player(); k == "video" || k == "audio" {
			shown = append(shown, originalOf(v))
		} else if made.Copy == media.CopyMade {
			shown = append(shown, copyOf(v, made.D.MediaType))
		}
	}
	data.Dark, data.Enough, data.P = true, len(shown) > 1 && len(shown) == len(ids), player{F: data.Frame, Pictures: shown}
	c.Header("Content-Security-Policy", playerPolicy)
	s.page(c, http.StatusOK, "side.html", data)
}

// wanted are the ids of an address or a form, each once. People paste addresses too.
func wanted(list []string) (out []string) {
	for _, id := range list {
		id = strings.TrimSpace(id)
		if u, err := url.Parse(id); err == nil {
			id = strings.TrimPrefix(u.Path, "/recordings/")
		}
		if id != "" && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// findOther is find for a recording that the address names elsewhere than in its path.
func (s *site) findOther(c *gin.Context, id string) (row, error) {
	before := c.Params
	defer func() { c.Params = before }()
	c.Params = gin.Params{{Key: "rec", Value: id}}
	return s.find(c)
}
