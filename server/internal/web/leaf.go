package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/catalog"
)

// leafPage is one leaf of the log with its proof.
type leafPage struct {
	Frame
	Index int64
	Leaf  string
	Proof string
	Event string // the custody event that the leaf stands for; empty if it may not be shown here
	Lost  bool
	At    int64
	Files string // address that ?file= is added to
	Back  string
}

// custodyLeaf shows a leaf of a recording's life with the event that it stands for.
func (s *site) custodyLeaf(c *gin.Context) {
	l, err := s.life(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	p, ok := s.leafOf(c)
	if !ok {
		return
	}
	p.Back, p.Files = "/recordings/"+l.Rec+"/custody", "/recordings/"+l.Rec+"/custody/"+strconv.FormatInt(p.Index, 10)
	dev, err := s.Catalog.Device(c.Request.Context(), l.Key.Device)
	if err != nil {
		s.fail(c, err)
		return
	}
	row, err := s.Catalog.CustodyAt(c.Request.Context(), p.Index)
	if err == nil && (row.Rec == l.Rec && row.Device == dev.Device || row.LogIndex == dev.EnrolledIndex) {
		raw, _, err := s.event(c.Request.Context(), row.Event)
		p.Event, p.Lost, p.At = string(raw), err != nil, row.At
	} else if err != nil && !errors.Is(err, catalog.ErrUnknown) {
		s.fail(c, err)
		return
	}
	s.showLeaf(c, p)
}

// logLeaf shows a leaf of the log, whatever it is about: leaves hold nothing personal.
func (s *site) logLeaf(c *gin.Context) {
	p, ok := s.leafOf(c)
	if !ok {
		return
	}
	p.Files = "/log/leaf/" + strconv.FormatInt(p.Index, 10)
	s.showLeaf(c, p)
}

// leafOf reads the leaf that the address names, and its receipt.
func (s *site) leafOf(c *gin.Context) (p leafPage, ok bool) {
	index, err := strconv.ParseUint(c.Param("index"), 10, 53)
	if err != nil || index >= s.Log.Size() || strconv.FormatUint(index, 10) != c.Param("index") {
		s.sorry(c, http.StatusNotFound, "no-leaf")
		return p, false
	}
	r, err := s.Log.ReceiptAt(c.Request.Context(), index)
	if err != nil {
		s.fail(c, err)
		return p, false
	}
	p = leafPage{Frame: s.frame(c, "leaf-title"), Index: int64(index), Leaf: string(r.Leaf), Proof: string(r.Proof), At: s.logged(c.Request.Context(), int64(index))}
	return p, true
}

// showLeaf shows the page, or hands out one of the files that make up the receipt.
func (s *site) showLeaf(c *gin.Context, p leafPage) {
	name := strconv.FormatInt(p.Index, 10)
	body, ok := map[string]string{"leaf": p.Leaf, "proof": p.Proof, "event": p.Event}[c.Query("file")]
	switch {
	case c.Query("file") == "":
		s.page(c, http.StatusOK, "leaf.html", p)
	case !ok || body == "":
		s.sorry(c, http.StatusNotFound, "no-page")
	default:
		c.Header("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name+"."+c.Query("file")))
		c.Header("Cache-Control", "no-store")
		c.Data(http.StatusOK, "application/octet-stream", []byte(body))
	}
}
