package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

const (
	maxSearch    = 200 // runes of one field
	maxSuggested = 300 // of each kind
)

func (s *site) searchRoutes() []Route {
	return []Route{
		{"GET", "/recordings", auth.SeeRecordings, s.search},
		{"POST", "/searches", auth.SeeRecordings, s.saveSearch},
		{"POST", "/searches/:id/delete", auth.SeeRecordings, s.deleteSearch},
	}
}

// filters are the fields of the search form, in order, and the text that names each.
var filters = []struct{ Key, Name string }{
	{"q", "search-text"}, {"from", "search-from"}, {"to", "search-to"}, {"officer", "search-officer"}, {"device", "search-device"}, {"dept", "search-dept"},
	{"place", "search-place"}, {"cause", "search-cause"}, {"act", "search-act"}, {"case", "search-case"}, {"grade", "search-grade"}, {"state", "search-state"},
	{"needs", "search-needs"},
}

// chip is a filter that is set, and the address without it.
type chip struct{ Name, Value, Without string }

// choice is an option of a field.
type choice struct {
	Value, Text string
	Chosen      bool
}

// searchPage is what the page of recordings shows.
type searchPage struct {
	Frame
	V        map[string]string // the fields as they were given
	Wrong    map[string]bool   // fields that can't be understood
	Chips    []chip
	Grades   []choice
	States   []choice
	Suggest  suggestions
	Rows     []row
	Range    string // "1–50 of 312"
	Next     string
	Back     int64 // looked through since then; 0: all
	First    bool
	Newest   string
	Saved    []savedSearch
	SaveFull bool
	Query    string // of this search, to keep
	Own      bool   // only one's own recordings are looked through
	Body     string // or only those of this body
}

// savedSearch is a search that the reader keeps.
type savedSearch struct {
	db.SavedSearch
	Path string
	Now  bool // it is the one on the page
}

// suggestions are offered while somebody types.
type suggestions struct {
	Officers, Departments, Places, Causes, Activities, Devices []choice
}

// search shows the recordings that meet what is asked for, newest first.
func (s *site) search(c *gin.Context) {
	ctx, v := c.Request.Context(), fieldsOf(c.Request.URL.Query())
	if rec, err := evidence.ParseRecordingID(strings.ToLower(strings.TrimSpace(v["q"]))); err == nil {
		if _, err := s.Catalog.FindRecording(ctx, rec); err == nil {
			c.Redirect(http.StatusSeeOther, "/recordings/"+rec.String())
			return
		}
	}
	p := searchPage{Frame: s.frame(c, "recordings"), V: v, Wrong: map[string]bool{}, First: c.Query("after") == ""}
	p.Query = encode(v)
	p.Newest = "/recordings?" + p.Query
	after, err := placeOf(c.Query("after"))
	if err != nil {
		s.sorry(c, http.StatusBadRequest, "no-page")
		return
	}
	q := p.asked()
	found := catalog.Found{}
	if len(p.Wrong) == 0 {
		found, err = s.Catalog.Search(ctx, q, after, perPage)
	}
	if err == nil {
		p.Rows, err = s.rows(ctx, p.Me, found.Rows)
	}
	if err == nil {
		err = s.addSaved(ctx, &p)
	}
	if err == nil {
		p.Suggest, err = s.suggested(ctx)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	p.tell(found)
	p.offer()
	s.page(c, http.StatusOK, "search.html", p)
}

// fieldsOf reads the fields of the form. Longer ones than anybody types are cut.
func fieldsOf(q url.Values) map[string]string {
	out := map[string]string{}
	for _, f := range filters {
		chars := []rune(strings.Join(strings.Fields(verify.Display(q.Get(f.Key))), " "))
		if text := string(chars[:min(len(chars), maxSearch)]); text != "" {
			out[f.Key] = text
		}
	}
	return out
}

func encode(v map[string]string) string {
	q := url.Values{}
	for k, x := range v {
		q.Set(k, x)
	}
	return q.Encode()
}

// placeOf reads where a page begins.
func placeOf(s string) (p catalog.Place, err error) {
	if s == "" {
		return p, nil
	}
	at, num, _ := strings.Cut(s, ".")
	if p.At, err = strconv.ParseInt(at, 10, 64); err == nil {
		p.Num, err = strconv.ParseInt(num, 10, 64)
	}
	return p, err
}

// asked makes the query of the fields, within what the reader may see.
func (p *searchPage) asked() catalog.Query {
	q := catalog.Query{Text: p.V["q"], Facets: scopeOf(p.Me)}
	one := func(kind, key string) {
		if v := p.V[key]; v != "" {
			q.Facets = append(q.Facets, []string{catalog.Facet(kind, v)})
		}
	}
	one(catalog.FacetDepartment, "dept")
	one(catalog.FacetPlace, "place")
	one(catalog.FacetCause, "cause")
	one(catalog.FacetActivity, "act")
	one(catalog.FacetCase, "case")
	one(catalog.FacetGrade, "grade")
	one(catalog.FacetState, "state")
	if v := p.V["officer"]; v != "" {
		q.Facets = append(q.Facets, []string{catalog.Facet(catalog.FacetOfficer, v), catalog.Facet(catalog.FacetName, v)})
	}
	if v := p.V["device"]; v != "" {
		q.Facets = append(q.Facets, []string{catalog.Facet(catalog.FacetDevice, v), catalog.Facet(catalog.FacetSerial, v)})
	}
	if p.V["needs"] != "" {
		q.Facets = append(q.Facets, []string{catalog.Facet(catalog.FacetNeeds, catalog.NeedsPerson)})
	}
	q.From = p.day("from", 0)
	q.Until = p.day("to", 1)
	return q
}

// scopeOf is what must hold of every recording that somebody may find.
func scopeOf(me auth.Account) [][]string {
	switch {
	case me.OwnRecordingsOnly():
		return [][]string{{catalog.Facet(catalog.FacetOfficer, me.Certificate)}}
	case me.OwnBodyOnly():
		return [][]string{{catalog.Facet(catalog.FacetDepartment, me.Body), catalog.Facet(catalog.FacetBody, me.Body)}}
	}
	return nil
}

// day reads a day of this machine's zone: its begin, days later.
func (p *searchPage) day(key string, later int) int64 {
	if p.V[key] == "" {
		return 0
	}
	t, err := time.ParseInLocation(time.DateOnly, p.V[key], time.Local)
	if err != nil || t.Year() < 1971 || t.Year() > 9000 {
		p.Wrong[key] = true
		return 0
	}
	return t.AddDate(0, 0, later).UnixMilli()
}

// tell says what was found, and how to go on.
func (p *searchPage) tell(f catalog.Found) {
	switch n := int64(len(p.Rows)); {
	case !p.First || n == 0:
	case f.Back != nil:
		p.Range = fmt.Sprintf(p.T("search-so-far"), f.Count)
	case f.More:
		p.Range = fmt.Sprintf(p.T("search-many"), n, f.Count)
	case f.Count > n:
		p.Range = fmt.Sprintf(p.T("search-some"), n, f.Count)
	default:
		p.Range = fmt.Sprintf(p.T("search-all"), f.Count)
	}
	if f.Next != nil {
		q := p.Newest
		if p.Query != "" {
			q += "&"
		}
		p.Next = q + "after=" + fmt.Sprintf("%d.%d", f.Next.At, f.Next.Num)
	}
	if f.Back != nil {
		p.Back = f.Back.At
	}
	p.Own, p.Body = p.Me.OwnRecordingsOnly(), ""
	if !p.Own && p.Me.OwnBodyOnly() {
		p.Body = p.Me.Body
	}
}

// offer fills in the chips and the choices.
func (p *searchPage) offer() {
	for _, f := range filters {
		v, ok := p.V[f.Key]
		if !ok {
			continue
		}
		without := map[string]string{}
		for k, x := range p.V {
			if k != f.Key {
				without[k] = x
			}
		}
		name := p.T(f.Name)
		switch f.Key {
		case "grade", "state":
			if slices.Contains(append(states(), grades()...), v) {
				v = p.T(v)
			}
		case "needs":
			name, v = p.T("attention"), ""
		}
		p.Chips = append(p.Chips, chip{Name: name, Value: v, Without: "/recordings?" + encode(without)})
	}
	for _, g := range grades() {
		p.Grades = append(p.Grades, choice{Value: g, Text: p.T(g), Chosen: p.V["grade"] == g})
	}
	for _, st := range states() {
		p.States = append(p.States, choice{Value: st, Text: p.T(st), Chosen: p.V["state"] == st})
	}
}

func grades() []string {
	return []string{string(verify.CaptureSealed), string(verify.DockSealed), string(verify.SoftwareSealed)}
}

func states() []string {
	return []string{catalog.StateOpen, catalog.StateSeen, catalog.StatePartly, catalog.StateStored, catalog.StateIncomplete}
}

// suggested takes what fields suggest from the register in force and from the devices.
func (s *site) suggested(ctx context.Context) (out suggestions, err error) {
	plain := func(list []string) (out []choice) {
		for _, v := range list[:min(len(list), maxSuggested)] {
			out = append(out, choice{Value: v})
		}
		return out
	}
	if reg, _ := s.register(ctx); reg != nil {
		out.Departments, out.Places, out.Causes, out.Activities = plain(reg.Departments), plain(reg.Places), plain(reg.Causes), plain(reg.Activities)
		for _, o := range reg.Officers[:min(len(reg.Officers), maxSuggested)] {
			out.Officers = append(out.Officers, choice{Value: cmp.Or(o.Certificate, o.Name), Text: o.Name})
		}
	}
	devices, err := s.Catalog.DeviceNames(ctx, maxSuggested)
	for _, d := range devices {
		out.Devices = append(out.Devices, choice{Value: short(d.Device), Text: d.Model})
	}
	return out, err
}
