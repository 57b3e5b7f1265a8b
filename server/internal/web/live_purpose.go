package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/auth"
)

type livePurposeData struct {
	Frame
	Purposes []auth.Purpose
	Next     string
	What     string // was not right
}

func (s *site) livePurposePage(c *gin.Context) {
	s.page(c, http.StatusOK, "live-purpose.html", livePurposeData{Frame: s.frame(c, "live-purpose-ask"), Purposes: auth.LivePurposes, Next: c.Query("next")})
}

// chooseLivePurpose takes the answer to what somebody watches live for: it holds for the session, for all recorders.
func (s *site) chooseLivePurpose(c *gin.Context) {
	form, ok := s.form(c)
	if !ok {
		return
	}
	p, next := auth.Purpose(form.Get("purpose")), form.Get("next")
	if !slices.Contains(auth.LivePurposes, p) {
		s.page(c, http.StatusUnprocessableEntity, "live-purpose.html", livePurposeData{Frame: s.frame(c, "live-purpose-ask"), Purposes: auth.LivePurposes, Next: next, What: "choose-purpose"})
		return
	}
	ctx := c.Request.Context()
	if err := s.Catalog.PutLook(ctx, s.session(ctx), liveLook, string(p), s.Now()); err != nil {
		s.fail(c, err)
		return
	}
	if local(next, s.me(c)) != next || !strings.HasPrefix(next, "/live") {
		next = "/live"
	}
	s.see(c, next)
}

// Words are the texts of the page's scripts as JSON, in the page's language.
func (w wall) Words() (string, error) {
	words := map[string]string{}
	for key := range textsLive {
		if name, ok := strings.CutPrefix(key, "live-js-"); ok {
			words[name] = w.T(key)
		}
	}
	raw, err := json.Marshal(words)
	return string(raw), err
}
