package web

import (
	"errors"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// ofTombstone are the addresses below a recording that are left when it was disposed of.
var ofTombstone = []string{ofRecording, ofRecording + "/custody", ofRecording + "/custody/:index"}

// onTombstone answers a request about a recording that was disposed of: it reports whether the request may go on to one of the pages that are
// left; else, where the recording was disposed of, the answer was given. To who sees only a part of the recordings it is as if it had never been.
func (s *site) onTombstone(c *gin.Context, err error) bool {
	me := s.me(c)
	if !errors.Is(err, catalog.ErrUnknown) || me.OwnRecordingsOnly() || me.OwnBodyOnly() {
		return false
	}
	if _, err := s.gone(c); err != nil {
		return false
	}
	if slices.Contains(ofTombstone, c.FullPath()) {
		return true
	}
	s.sorry(c, http.StatusGone, "disposed-of")
	return false
}

// tombstone shows what is left of a recording that was disposed of, and reports whether it was.
func (s *site) tombstone(c *gin.Context) bool {
	d, err := s.gone(c)
	if err != nil {
		return false
	}
	data := struct {
		Frame
		D db.Disposal
	}{s.frame(c, "tombstone"), d}
	s.page(c, http.StatusOK, "tombstone.html", data)
	return true
}
