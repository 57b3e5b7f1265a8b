package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/casefile"
)

const (
	rowsAdded = 3
	maxRows   = 40 // of moments, or of pages, of one item
)

// reviewPage is the checklist of a review, or the opinion that is about to be given.
type reviewPage struct {
	caseView
	Items   []reviewItem
	Agree   string // "yes", "no" or empty
	Text    string
	Wrong   string // what is wrong with the opinion as a whole
	NoAgree string
	NoText  string
	Count   int // of mistakes
	Recs    []option
	Papers  []option
	Refused bool
	Confirm bool
	Checks  []checkView // of the opinion that is about to be given
}

// reviewItem is one item of the checklist as it was typed.
type reviewItem struct {
	Item, Result, Text string
	Moments, Pages     []placeRow
	Error, NoText      string
	Focus              int // the row of moments to begin at; -1: none
}

// placeRow is a row of moments (a recording and a time) or pages (a document and a number).
type placeRow struct{ Of, At, Error string }

// review shows the checklist.
func (s *site) review(c *gin.Context) {
	f, ok := s.theCase(c)
	if !ok {
		return
	}
	p, ok := s.reviewPage(c, f, url.Values{})
	if !ok {
		return
	}
	status := http.StatusOK
	if p.Refused {
		status = http.StatusConflict
	}
	s.page(c, status, "case-review.html", p)
}

func (s *site) reviewPage(c *gin.Context, f *casefile.File, v url.Values) (p *reviewPage, ok bool) {
	view, err := s.caseView(c, f)
	if err != nil {
		s.caseFail(c, err)
		return nil, false
	}
	p = &reviewPage{caseView: view, Agree: pick(v.Get("agree"), []string{"yes", "no"}), Text: v.Get("text")}
	p.Title = p.T("act-review")
	p.Recs, p.Papers = []option{{"", p.T("choose")}}, []option{{"", p.T("choose")}}
	for _, l := range p.Links {
		p.Recs = append(p.Recs, option{l.Row.Rec, l.Row.Label(p.Frame)})
	}
	for _, d := range f.Documents {
		if d.Withdrawn == nil {
			p.Papers = append(p.Papers, option{d.Hash.String(), d.Name})
		}
	}
	if why := p.Frame.why(mayStep("review"), f.MayOpine(s.me(c)), s.me(c)); why != "" {
		p.Refused, p.Wrong = true, why
	}
	for _, k := range casefile.CheckItems {
		p.Items = append(p.Items, reviewItem{Item: k, Result: pick(v.Get("result."+k), results), Text: v.Get("text." + k), Focus: -1,
			Moments: placeRows(v["rec."+k], v["at."+k]), Pages: placeRows(v["doc."+k], v["page."+k])})
	}
	return p, true
}

// results are the findings on an item.
var results = []string{casefile.OK, casefile.Problem, casefile.NotApplicable}

// placeRows are rows as they were typed, and one more than were filled.
func placeRows(of, at []string) (out []placeRow) {
	for i := range min(len(of), len(at), maxRows) {
		out = append(out, placeRow{Of: of[i], At: at[i]})
	}
	if n := len(out); n == 0 || out[n-1].Of != "" || out[n-1].At != "" {
		out = append(out, placeRow{})
	}
	return out
}

// giveOpinion adds rows, shows the opinion again before it is given, or gives it.
func (s *site) giveOpinion(c *gin.Context) {
	f, ok := s.theCase(c)
	if !ok {
		return
	}
	v, ok := s.form(c)
	if !ok {
		return
	}
	p, ok := s.reviewPage(c, f, v)
	if !ok {
		return
	}
	if p.Refused {
		s.page(c, http.StatusConflict, "case-review.html", p)
		return
	}
	if v.Has("more") {
		p.addRows(v.Get("more"))
	}
	if v.Has("more") || v.Get("step") == "back" {
		s.page(c, http.StatusOK, "case-review.html", p)
		return
	}
	checks := p.checks()
	if p.Count > 0 {
		s.page(c, http.StatusUnprocessableEntity, "case-review.html", p)
		return
	}
	if v.Get("step") != "confirmed" {
		p.confirm(f, checks)
		s.page(c, http.StatusOK, "case-review.html", p)
		return
	}
	err := s.Cases.Opine(c.Request.Context(), s.me(c), f.ID, p.Agree == "yes", p.Text, checks)
	if why, refused := p.Frame.refusal(err); refused {
		p.Wrong = why
		s.page(c, http.StatusUnprocessableEntity, "case-review.html", p)
		return
	}
	if err != nil {
		s.caseFail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/cases/"+string(f.ID))
}

// addRows gives an item more empty rows, as far as rows go.
func (p *reviewPage) addRows(item string) {
	for i := range p.Items {
		x := &p.Items[i]
		if x.Item != item {
			continue
		}
		x.Focus = len(x.Moments) - 1
		for range rowsAdded {
			if len(x.Moments) < maxRows {
				x.Moments = append(x.Moments, placeRow{})
			}
			if len(x.Pages) < maxRows {
				x.Pages = append(x.Pages, placeRow{})
			}
		}
	}
}

// confirm turns the form into the opinion that is about to be given.
func (p *reviewPage) confirm(f *casefile.File, checks []casefile.Check) {
	names, papers := map[string]string{}, map[evidence.Digest]string{}
	for _, o := range p.Recs {
		names[o.Value] = o.Text
	}
	for _, d := range f.Documents {
		papers[d.Hash] = d.Name
	}
	p.Confirm, p.Checks = true, checksOf(p.Frame, f.ID, checks, names, papers)
}

// checks reads the checklist. What is wrong is said beside it and counted.
func (p *reviewPage) checks() (out []casefile.Check) {
	problems := 0
	for i := range p.Items {
		x := &p.Items[i]
		k := casefile.Check{Item: x.Item, Result: x.Result, Text: x.Text, Moments: p.moments(x), Pages: p.pages(x)}
		switch {
		case x.Result == "":
			x.Error = p.wrong("review-unanswered")
		case x.Result == casefile.Problem:
			if problems++; x.Text == "" {
				x.NoText = p.wrong("review-no-text")
			}
		}
		out = append(out, k)
	}
	switch {
	case p.Agree == "":
		p.NoAgree = p.wrong("review-no-opinion")
	case p.Agree == "yes" && problems > 0:
		p.NoAgree = p.wrong("rule-agree-problem")
	case p.Agree == "no" && problems == 0:
		p.NoAgree = p.wrong("rule-problem-none")
	}
	if p.Agree == "no" && p.Text == "" {
		p.NoText = p.wrong("field-empty")
	}
	return out
}

// wrong counts a mistake and returns its words.
func (p *reviewPage) wrong(key string) string {
	p.Count++
	return p.T(key)
}

func (p *reviewPage) moments(x *reviewItem) (out []casefile.Moment) {
	for i := range x.Moments {
		r := &x.Moments[i]
		if r.Of == "" && r.At == "" {
			continue
		}
		rec, err := evidence.ParseRecordingID(r.Of)
		at, ok := readClock(r.At)
		switch {
		case err != nil || !slices.ContainsFunc(p.Recs, func(o option) bool { return o.Value == r.Of }):
			r.Error = p.wrong("review-no-recording")
		case !ok:
			r.Error = p.wrong("review-no-time")
		default:
			out = append(out, casefile.Moment{Rec: rec, At: at})
		}
	}
	return out
}

func (p *reviewPage) pages(x *reviewItem) (out []casefile.Page) {
	for i := range x.Pages {
		r := &x.Pages[i]
		if r.Of == "" && r.At == "" {
			continue
		}
		hash, err := evidence.ParseDigest(r.Of)
		n, notNumber := strconv.Atoi(r.At)
		switch {
		case err != nil || !slices.ContainsFunc(p.Papers, func(o option) bool { return o.Value == r.Of }):
			r.Error = p.wrong("review-no-document")
		case notNumber != nil || n < 1 || n > maxPage:
			r.Error = p.wrong("review-no-page")
		default:
			out = append(out, casefile.Page{Document: hash, Page: n})
		}
	}
	return out
}

const maxPage = 1000000

// readClock reads a time as players show it (03:12, 1:02:03, 03:12.440; full-width colons too) as milliseconds.
func readClock(s string) (ms uint64, ok bool) {
	s = strings.NewReplacer("：", ":", "．", ".", "。", ".").Replace(s)
	s, frac, exact := strings.Cut(s, ".")
	parts := strings.Split(s, ":")
	if len(parts) > 3 || exact && (len(frac) < 1 || len(frac) > 3) {
		return 0, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil || i > 0 && (n > 59 || len(part) != 2) {
			return 0, false
		}
		ms = ms*60 + n*1000
	}
	if exact {
		n, err := strconv.ParseUint((frac + "00")[:3], 10, 32)
		if err != nil {
			return 0, false
		}
		ms += n
	}
	return ms, true
}
