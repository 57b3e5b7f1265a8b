package web

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

const casesPerPage = 50

func (s *site) caseRoutes() []Route {
	list := []Route{
		{"GET", "/", auth.SignedIn, s.home},
		{"GET", "/cases", auth.SeeCases, s.cases},
		{"GET", "/cases/new", auth.EditCases, s.newCase},
		{"POST", "/cases/new", auth.EditCases, s.openCase},
		{"GET", "/cases/:id", auth.SeeCases, s.caseFile},
		{"GET", "/cases/:id/edit", auth.EditCases, s.editCase},
		{"POST", "/cases/:id/edit", auth.EditCases, s.setCase},
		{"GET", "/cases/:id/documents/new", auth.EditCases, s.newDocument},
		{"POST", "/cases/:id/documents/new", auth.EditCases, s.addDocument},
		{"GET", "/cases/:id/documents/:hash", auth.SeeCases, s.document},
		{"HEAD", "/cases/:id/documents/:hash", auth.SeeCases, s.document},
		{"GET", "/cases/:id/review", auth.Opine, s.review},
		{"POST", "/cases/:id/review", auth.Opine, s.giveOpinion},
		{"GET", "/recordings/:rec/case", auth.LinkCases, s.chooseCase},
		{"POST", "/recordings/:rec/case", auth.LinkCases, s.linkChosen},
	}
	for _, a := range acts {
		path := "/cases/:id/" + a.name
		list = append(list, Route{"GET", path, a.may, s.askAct(a)}, Route{"POST", path, a.may, s.doAct(a)})
	}
	return list
}

var caseID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// theCase reads the case that the address names, as far as the reader may see it. If there is none the answer was given.
func (s *site) theCase(c *gin.Context) (*casefile.File, bool) {
	id := c.Param("id")
	if !caseID.MatchString(id) {
		s.sorry(c, http.StatusNotFound, "no-case")
		return nil, false
	}
	f, err := s.Cases.File(c.Request.Context(), s.me(c), casefile.ID(id))
	if err != nil {
		s.caseFail(c, err)
		return nil, false
	}
	return f, true
}

// caseFail shows why something about a case can't be shown or done.
func (s *site) caseFail(c *gin.Context, err error) {
	var refused *casefile.Refused
	switch {
	case errors.Is(err, catalog.ErrUnknown):
		s.sorry(c, http.StatusNotFound, "no-case")
	case errors.As(err, &refused):
		s.sorry(c, http.StatusConflict, refused.Key)
	default:
		s.fail(c, err)
	}
}

// caseRow is a case in a list.
type caseRow struct {
	casefile.Summary
	Clock clock
}

// casesPage is the list of cases with what they were looked for by.
type casesPage struct {
	Frame
	List   []caseRow
	Q      casework.Query
	Due    string // "", "soon" or "overdue"
	Any    bool   // something was looked for
	First  bool
	Bodies []option
	States []option
	Next   string
}

// cases lists the cases that the reader may see, the newest first.
func (s *site) cases(c *gin.Context) {
	ctx, now := c.Request.Context(), s.Now()
	q := casework.Query{Text: typed(c.Query("q")), State: casefile.State(c.Query("state")), Body: typed(c.Query("body")), After: c.Query("after"), N: casesPerPage}
	if !slices.Contains(casefile.States, q.State) {
		q.State = ""
	}
	p := casesPage{Frame: s.frame(c, "cases"), Due: pick(c.Query("due"), []string{"soon", "overdue"}), First: q.After == ""}
	switch p.Due {
	case "soon":
		days, err := s.Cases.Calendar(ctx)
		if err != nil {
			s.caseFail(c, err)
			return
		}
		q.Due = days.Due(now, soonDays).UnixMilli()
	case "overdue":
		q.Due = now.UnixMilli()
	}
	p.Q, p.Any = q, q.Text != "" || q.State != "" || q.Body != "" || p.Due != ""
	list, next, err := s.Cases.List(ctx, s.me(c), q)
	if err == nil {
		p.List, err = s.caseRows(ctx, list)
	}
	if err != nil {
		s.caseFail(c, err)
		return
	}
	if next != "" {
		again := c.Request.URL.Query()
		again.Set("after", next)
		p.Next = "/cases?" + again.Encode()
	}
	for _, st := range casefile.States {
		p.States = append(p.States, option{string(st), p.T("case-" + string(st))})
	}
	p.Bodies = s.bodies(c)
	s.page(c, http.StatusOK, "cases.html", p)
}

// caseRows adds to each case how long its review has left.
func (s *site) caseRows(ctx context.Context, list []casefile.Summary) (out []caseRow, err error) {
	days, err := s.Cases.Calendar(ctx)
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		out = append(out, caseRow{x, clockOf(days, x.State, x.Due, s.Now())})
	}
	return out, nil
}

// bodies are the departments of the register, to suggest.
func (s *site) bodies(c *gin.Context) (out []option) {
	reg, _ := s.register(c.Request.Context())
	if reg == nil {
		return nil
	}
	for _, d := range reg.Departments {
		out = append(out, option{Value: d})
	}
	return out
}

// newCase asks for the description of a new case.
func (s *site) newCase(c *gin.Context) {
	s.editPage(c, http.StatusOK, nil, s.caseInputs(c, nil, nil), "")
}

// openCase makes a case.
func (s *site) openCase(c *gin.Context) {
	v, ok := s.form(c)
	if !ok {
		return
	}
	values := map[casefile.Field]string{}
	for _, k := range casefile.Fields {
		if x := v.Get(string(k)); x != "" {
			values[k] = x
		}
	}
	id, err := s.Cases.Open(c.Request.Context(), s.me(c), values)
	if why, refused := s.frame(c, "case-new").refusal(err); refused {
		s.editPage(c, http.StatusUnprocessableEntity, nil, s.caseInputs(c, nil, v), why)
		return
	}
	if err != nil {
		s.caseFail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/cases/"+string(id))
}
