package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"camseal/pkg/verify"
	"camseal/server/internal/catalog"
)

const (
	maxSearchForm = 64 << 10
	maxSearchName = 60 // runes
)

// addSaved adds the searches that the reader keeps.
func (s *site) addSaved(ctx context.Context, p *searchPage) error {
	list, err := s.Catalog.SavedSearches(ctx, p.Me.ID)
	for _, x := range list {
		p.Saved = append(p.Saved, savedSearch{SavedSearch: x, Path: "/recordings?" + x.Query, Now: x.Query == p.Query})
	}
	p.SaveFull = len(list) >= catalog.MaxSavedSearches
	return err
}

// saveSearch keeps a search under a name.
func (s *site) saveSearch(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxSearchForm)
	if err := c.Request.ParseForm(); err != nil {
		s.sorry(c, http.StatusBadRequest, "search-not-saved")
		return
	}
	asked, err := url.ParseQuery(c.Request.PostForm.Get("query"))
	name := []rune(strings.Join(strings.Fields(verify.Display(c.Request.PostForm.Get("name"))), " "))
	fields := fieldsOf(asked)
	if err != nil || len(name) == 0 || len(name) > maxSearchName || len(fields) == 0 {
		s.sorry(c, http.StatusBadRequest, "search-not-saved")
		return
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		s.fail(c, err)
		return
	}
	saved, err := s.Catalog.SaveSearch(c.Request.Context(), s.me(c).ID, hex.EncodeToString(id[:]), string(name), encode(fields), s.Now())
	switch {
	case err != nil:
		s.fail(c, err)
	case !saved:
		s.sorry(c, http.StatusConflict, "search-full")
	default:
		c.Redirect(http.StatusSeeOther, "/recordings?"+encode(fields))
	}
}

// deleteSearch forgets one of the reader's own searches. One that is not there is forgotten already.
func (s *site) deleteSearch(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxSearchForm)
	if err := s.Catalog.DeleteSearch(c.Request.Context(), s.me(c).ID, c.Param("id")); err != nil {
		s.fail(c, err)
		return
	}
	asked, err := url.ParseQuery(c.PostForm("query"))
	if err != nil {
		asked = nil
	}
	c.Redirect(http.StatusSeeOther, "/recordings?"+encode(fieldsOf(asked)))
}
