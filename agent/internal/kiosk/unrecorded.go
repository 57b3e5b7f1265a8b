package kiosk

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
)

func (s *site) unrecorded(c *gin.Context) {
	if _, ok := s.must(c, "/unrecorded"); ok {
		s.showUnrecorded(c, http.StatusOK, "", s.kept.form(c))
	}
}

func (s *site) showUnrecorded(c *gin.Context, status int, wrong string, typed url.Values) {
	f, err := s.frame(c, "unrecorded", view{})
	if err != nil {
		s.fail(c, err)
		return
	}
	f.Wrong = wrong
	activity := field{Name: fieldActivity, Value: cut(typed.Get(fieldActivity), maxField), Lang: f.Lang}
	if reg := s.Station.Register(c.Request.Context()); reg != nil {
		activity.Picks = reg.Activities
	}
	s.page(c, status, "unrecorded.html", struct {
		frame
		Activity field
		Reason   string
	}{f, activity, cut(typed.Get("reason"), maxNote)})
}

func (s *site) sayUnrecorded(c *gin.Context) {
	by, ok := s.must(c, "/unrecorded")
	if !ok {
		return
	}
	activity, reason, wrong := strings.TrimSpace(c.PostForm(fieldActivity)), lines(c.PostForm("reason")), ""
	switch {
	case activity == "":
		wrong = "activity-empty"
	case reason == "":
		wrong = "reason-empty"
	case tooLong(maxField, activity) || tooLong(maxNote, reason):
		wrong = "too-long"
	}
	status := http.StatusUnprocessableEntity
	if wrong == "" {
		if err := s.Station.Unrecorded(c.Request.Context(), activity, reason, by); err != nil {
			status, wrong = s.words(c, err)
		}
	}
	if wrong != "" {
		s.showUnrecorded(c, status, wrong, c.Request.PostForm)
		return
	}
	s.see(c, "/?said=said-unrecorded")
}
