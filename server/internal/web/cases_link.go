package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

const shownOpenCases = 100

// recordingCases are the cases of a recording, as its page shows them.
type recordingCases struct {
	List []caseRow
	Add  bool // the reader may link it to one
}

// casesOf returns the cases of a recording that the reader may see.
func (s *site) casesOf(c *gin.Context, device evidence.DeviceID, rec evidence.RecordingID) (out recordingCases, err error) {
	me := s.me(c)
	if !me.May(auth.SeeCases) {
		return out, nil
	}
	list, err := s.Cases.OfRecording(c.Request.Context(), me, device, rec)
	if err != nil {
		return out, err
	}
	out.Add = me.May(auth.LinkCases)
	out.List, err = s.caseRows(c.Request.Context(), list)
	return out, err
}

// link ties a recording to a case. An id that no recording has is refused in words.
func (s *site) link(ctx context.Context, by auth.Account, id casefile.ID, text string) error {
	rec, err := evidence.ParseRecordingID(text)
	if err == nil {
		err = s.Cases.Link(ctx, by, id, rec)
	} else {
		err = catalog.ErrUnknown
	}
	if errors.Is(err, catalog.ErrUnknown) {
		return &casefile.Refused{Key: "link-unknown"}
	}
	return err
}

// choosePage asks which case a recording is to be linked to.
type choosePage struct {
	Frame
	R     row
	List  []caseRow
	Error string
	Q     string
}

// chooseCase shows the cases that a recording may be linked to.
func (s *site) chooseCase(c *gin.Context) { s.choose(c, http.StatusOK, typed(c.Query("q")), "") }

func (s *site) choose(c *gin.Context, status int, text, why string) {
	r, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	p := choosePage{Frame: s.frame(c, "link-choose"), R: r, Error: why, Q: text}
	for _, state := range []casefile.State{casefile.Open, casefile.Returned} {
		list, _, err := s.Cases.List(c.Request.Context(), s.me(c), casework.Query{Text: text, State: state, N: shownOpenCases})
		var rows []caseRow
		if err == nil {
			rows, err = s.caseRows(c.Request.Context(), list)
		}
		if err != nil {
			s.caseFail(c, err)
			return
		}
		for _, x := range rows {
			if casefile.SameBody(s.me(c).Body, x.Body) || casefile.SameBody(s.me(c).Body, x.ReviewBody) {
				p.List = append(p.List, x)
			}
		}
	}
	s.page(c, status, "case-choose.html", p)
}

// linkChosen links a recording to the case that was chosen on its page.
func (s *site) linkChosen(c *gin.Context) {
	r, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	v, ok := s.form(c)
	if !ok {
		return
	}
	id := casefile.ID(v.Get("case"))
	if !caseID.MatchString(string(id)) {
		s.choose(c, http.StatusUnprocessableEntity, "", s.frame(c, "link-choose").T("link-none-chosen"))
		return
	}
	rec, err := evidence.ParseRecordingID(r.Rec)
	if err == nil {
		err = s.Cases.Link(c.Request.Context(), s.me(c), id, rec)
	}
	if why, refused := s.frame(c, "link-choose").refusal(err); refused {
		s.choose(c, http.StatusUnprocessableEntity, "", why)
		return
	}
	if err != nil {
		s.caseFail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/recordings/"+r.Rec)
}
