package web

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
)

// act is one thing to do with a case on a page of its own, which says what will happen.
type act struct {
	name   string // of its address, and of its texts
	may    auth.Permission
	rule   func(*casefile.File, auth.Account) error
	inputs func(Frame, *casefile.File) []input
	about  func(*site, *gin.Context, *casefile.File, url.Values) (string, bool) // what it is done to, in words; nil: the case
	final  bool                                                                 // it is asked a second time
	aside  bool                                                                 // it may be offered beside what comes next
	rounds bool                                                                 // the page shows what was said so far
	do     func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error
}

// Names of fields of these forms.
const (
	fieldText = "text"
	fieldGo   = "go"
	fieldRec  = "rec"
	fieldDoc  = "document"
)

// oneText asks for one text.
func oneText(label string) func(Frame, *casefile.File) []input {
	return func(Frame, *casefile.File) []input {
		return []input{{Name: fieldText, Label: label, Kind: inputText, Required: true}}
	}
}

func hidden(name string, more func(Frame, *casefile.File) []input) func(Frame, *casefile.File) []input {
	return func(fr Frame, f *casefile.File) []input {
		return append([]input{{Name: name, Kind: inputHidden, Required: true}}, more(fr, f)...)
	}
}

// acts are all of these.
var acts = []act{
	{name: "submit", may: auth.Submit, rule: (*casefile.File).MaySubmit, inputs: submitInputs, rounds: true,
		do: func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error {
			return s.Cases.Submit(ctx, by, f.ID, v.Get(fieldText))
		}},
	{name: "escalate", may: auth.Submit, rule: (*casefile.File).MayEscalate, inputs: oneText("escalate-text"), final: true, aside: true, rounds: true,
		do: func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error {
			return s.Cases.Escalate(ctx, by, f.ID, v.Get(fieldText))
		}},
	{name: "determine", may: auth.Determine, rule: (*casefile.File).MayDetermine, inputs: determineInputs, final: true, rounds: true,
		do: func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error {
			return s.Cases.Determine(ctx, by, f.ID, v.Get(fieldGo) == "yes", v.Get(fieldText))
		}},
	{name: "decide", may: auth.Decide, rule: (*casefile.File).MayDecide, inputs: oneText("decide-text"), final: true, rounds: true,
		do: func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error {
			return s.Cases.Decide(ctx, by, f.ID, v.Get(fieldText))
		}},
	{name: "hold", may: auth.Hold, rule: (*casefile.File).MayHold, inputs: oneText("hold-text"), aside: true,
		do: func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error {
			return s.Cases.Hold(ctx, by, f.ID, v.Get(fieldText))
		}},
	{name: "lift", may: auth.Hold, rule: (*casefile.File).MayLift, inputs: oneText("lift-text"), aside: true, about: heldBy,
		do: func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error {
			return s.Cases.LiftHold(ctx, by, f.ID, v.Get(fieldText))
		}},
	{name: "link", may: auth.LinkCases, rule: (*casefile.File).MayLink, inputs: linkInputs,
		do: func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error {
			return s.link(ctx, by, f.ID, v.Get(fieldRec))
		}},
	{name: "unlink", may: auth.LinkCases, rule: (*casefile.File).MayLink, inputs: hidden(fieldRec, oneText("unlink-text")), about: linkedRecording,
		do: func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error {
			rec, err := evidence.ParseRecordingID(v.Get(fieldRec))
			if err != nil {
				return &casefile.Refused{Key: "rule-not-linked"}
			}
			return s.Cases.Unlink(ctx, by, f.ID, rec, v.Get(fieldText))
		}},
	{name: "withdraw", may: auth.EditCases, rule: (*casefile.File).MayEdit, inputs: hidden(fieldDoc, oneText("withdraw-text")), about: liveDocument,
		do: func(ctx context.Context, s *site, by auth.Account, f *casefile.File, v url.Values) error {
			hash, err := evidence.ParseDigest(v.Get(fieldDoc))
			if err != nil {
				return &casefile.Refused{Key: "rule-no-document"}
			}
			return s.Cases.WithdrawDocument(ctx, by, f.ID, hash, v.Get(fieldText))
		}},
}

// rule is that of a step of the review.
func rule(name string) func(*casefile.File, auth.Account) error {
	for _, a := range acts {
		if a.name == name {
			return a.rule
		}
	}
	return (*casefile.File).MayOpine
}

// mayStep is the permission of a step of the review.
func mayStep(name string) auth.Permission {
	for _, a := range acts {
		if a.name == name {
			return a.may
		}
	}
	return auth.Opine
}

// submitInputs asks what was mended, from the second round on.
func submitInputs(fr Frame, f *casefile.File) []input {
	if len(f.Rounds) == 0 {
		return nil
	}
	return oneText("submit-text")(fr, f)
}

func determineInputs(fr Frame, f *casefile.File) []input {
	return append([]input{{Name: fieldGo, Label: "determine-go", Kind: inputChoice, Required: true,
		Options: []option{{"", fr.T("choose")}, {"yes", fr.T("determine-yes")}, {"no", fr.T("determine-no")}}}}, oneText("determine-text")(fr, f)...)
}

func linkInputs(Frame, *casefile.File) []input {
	return []input{{Name: fieldRec, Label: "link-rec", Hint: "link-rec-hint", Kind: inputLine, Required: true}}
}

func linkedRecording(s *site, c *gin.Context, f *casefile.File, v url.Values) (string, bool) {
	for _, l := range f.Linked() {
		if l.Rec.String() == v.Get(fieldRec) {
			return s.recordingName(c.Request.Context(), s.frame(c, "case"), l.Rec), true
		}
	}
	return "", false
}

func liveDocument(_ *site, _ *gin.Context, f *casefile.File, v url.Values) (string, bool) {
	for _, d := range f.Documents {
		if d.Withdrawn == nil && d.Hash.String() == v.Get(fieldDoc) {
			return d.Name, true
		}
	}
	return "", false
}

func heldBy(_ *site, _ *gin.Context, f *casefile.File, _ url.Values) (string, bool) {
	for i := len(f.Holds) - 1; i >= 0; i-- {
		if f.Holds[i].Lifted == nil {
			return f.Holds[i].Reason, true
		}
	}
	return "", false
}

// actPage is the page of an act.
type actPage struct {
	caseView
	Act     string
	About   string // what it is done to; empty: the case
	Inputs  []input
	Why     string // why not, beside no field
	Refused bool   // it may not be done now
	Confirm bool   // asked a second time: what was typed is shown and sent along
	Package bool   // what is submitted is shown
	Said    bool   // what was said so far is shown
	Final   bool   // it is asked a second time
}

func (s *site) actPage(c *gin.Context, a act, f *casefile.File, v url.Values) (p actPage, err error) {
	if p.caseView, err = s.caseView(c, f); err != nil {
		return p, err
	}
	p.Act, p.Title, p.Said, p.Package, p.Final = a.name, p.T("act-"+a.name), a.rounds && len(f.Rounds) > 0, a.name == "submit", a.final
	p.Inputs = a.inputs(p.Frame, f)
	for i := range p.Inputs {
		p.Inputs[i].Value = v.Get(p.Inputs[i].Name)
	}
	if why := p.Frame.why(a.may, a.rule(f, s.me(c)), s.me(c)); why != "" {
		p.Refused, p.Why = true, why
	}
	return p, nil
}

// askAct shows the page of an act.
func (s *site) askAct(a act) gin.HandlerFunc {
	return func(c *gin.Context) { s.act(c, a, nil) }
}

// doAct does what was asked for, if its form is complete and, where that is final, it was confirmed.
func (s *site) doAct(a act) gin.HandlerFunc {
	return func(c *gin.Context) {
		if v, ok := s.form(c); ok {
			s.act(c, a, v)
		}
	}
}

// act shows the page of an act, or, with a form that was sent, does it.
func (s *site) act(c *gin.Context, a act, sent url.Values) {
	f, ok := s.theCase(c)
	if !ok {
		return
	}
	v := sent
	if v == nil {
		v = c.Request.URL.Query()
	}
	about := ""
	if a.about != nil {
		if about, ok = a.about(s, c, f, v); !ok {
			s.sorry(c, http.StatusNotFound, "no-case")
			return
		}
	}
	p, err := s.actPage(c, a, f, v)
	if err != nil {
		s.caseFail(c, err)
		return
	}
	p.About = about
	status := http.StatusOK
	switch {
	case p.Refused:
		status = http.StatusConflict
	case sent == nil || sent.Get("step") == "back":
	case !p.complete():
		status = http.StatusUnprocessableEntity
	case a.final && sent.Get("step") != "confirmed":
		p.Confirm = true
	default:
		if err := a.do(c.Request.Context(), s, s.me(c), f, sent); err == nil {
			c.Redirect(http.StatusSeeOther, "/cases/"+string(f.ID))
			return
		} else if status, ok = p.blame(err), p.Why != ""; !ok {
			s.caseFail(c, err)
			return
		}
	}
	s.page(c, status, "case-act.html", p)
}

// complete reports whether all that is required is there; what lacks is said beside its field.
func (p *actPage) complete() bool {
	ok := true
	for i, x := range p.Inputs {
		if x.Kind == inputChoice {
			found := false
			for _, o := range x.Options {
				found = found || o.Value == x.Value
			}
			if !found {
				p.Inputs[i].Value = ""
			}
		}
		if x.Required && p.Inputs[i].Value == "" {
			p.Inputs[i].Error, ok = p.T("field-empty"), false
		}
	}
	return ok
}

// blame says in words what was wrong, beside the last field if there is one.
func (p *actPage) blame(err error) int {
	why, refused := p.Frame.refusal(err)
	if !refused {
		return http.StatusInternalServerError
	}
	p.Why = why
	if n := len(p.Inputs); n > 0 {
		p.Inputs[n-1].Error = why
	}
	return http.StatusUnprocessableEntity
}
