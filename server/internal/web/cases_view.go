package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/workdays"
)

const shownEvents = 100

// caseView is a case as its page shows it.
type caseView struct {
	Frame
	File     *casefile.File
	Clock    clock
	Main     *step // what comes next; nil: nothing
	Others   []step
	Concerns []concern
	Must     bool // one of them keeps the case from being submitted
	Fields   []fieldView
	Links    []linkView
	Gone     []linkView
	Docs     []docView
	Rounds   []roundView
	Events   []eventView
	More     int // events that are not shown
	Edit     bool
	Link     bool
}

// step is something that may be done with a case, or why the reader may not.
type step struct {
	Name string // of its texts
	Path string // below the case's address
	Why  string // in words; empty: it may be done
}

// concern is something about the case that a person should look at.
type concern struct {
	Text string
	Rec  string // empty: about no recording
	Name string // of that recording
	Must bool
}

type fieldView struct {
	Key    casefile.Field
	Value  string // in words
	Former []casefile.Value
	By     *casefile.By // of the newest
}

// Text is a value in the words of a page.
func (f Frame) fieldText(k casefile.Field, v string) string {
	switch {
	case v == "":
		return ""
	case k == casefile.Activity:
		return f.known("activity-", v)
	case k == casefile.Ground:
		return f.known("ground-", v)
	}
	return v
}

// known is the text of a value, or the value itself where there is no text for it.
func (f Frame) known(prefix, v string) string {
	if _, ok := texts[prefix+v]; ok {
		return f.T(prefix + v)
	}
	return v
}

type linkView struct {
	casefile.Link
	Row  row
	Gone bool // the catalog does not know the recording
	Look bool // the reader may look at it
}

// Length is how long the recording is, as far as known.
func (l linkView) Length() string {
	if l.Row.Duration <= 0 {
		return ""
	}
	return clockText(uint64(l.Row.Duration), false)
}

type docView struct {
	casefile.Document
	Shown bool // browsers show it; else it is only taken away
	Lies  bool // its name promises another type than its bytes are
}

type roundView struct {
	N int
	casefile.Round
	Checks []checkView
	Clock  clock
	DueDay string
}

type checkView struct {
	casefile.Check
	Moments, Pages []placeView
}

// placeView is a moment or a page, as a link.
type placeView struct{ Path, Text string }

type eventView struct {
	casefile.Event
	Text  string
	About []string // what was done, in a few words each
}

// caseFile shows one case.
func (s *site) caseFile(c *gin.Context) {
	f, ok := s.theCase(c)
	if !ok {
		return
	}
	v, err := s.caseView(c, f)
	if err != nil {
		s.caseFail(c, err)
		return
	}
	s.page(c, http.StatusOK, "case.html", v)
}

func (s *site) caseView(c *gin.Context, f *casefile.File) (v caseView, err error) {
	ctx, me := c.Request.Context(), s.me(c)
	v = caseView{Frame: s.frame(c, "case"), File: f}
	if n := f.Value(casefile.Number); n != "" {
		v.Title += " " + verify.Display(n)
	}
	days, err := s.Cases.Calendar(ctx)
	if err != nil {
		return v, err
	}
	if n := len(f.Rounds); n > 0 {
		v.Clock = clockOf(days, f.State, f.Rounds[n-1].Due, s.Now())
	}
	v.Main, v.Others = s.steps(v.Frame, f, me)
	v.Edit = me.May(auth.EditCases) && f.MayEdit(me) == nil
	v.Link = me.May(auth.LinkCases) && f.MayLink(me) == nil
	for _, k := range casefile.Fields {
		v.Fields = append(v.Fields, fieldOf(v.Frame, f, k))
	}
	if err := s.fillLinks(ctx, &v); err != nil {
		return v, err
	}
	if v.Concerns, v.Must, err = s.concerns(ctx, v.Frame, f); err != nil {
		return v, err
	}
	for _, d := range f.Documents {
		v.Docs = append(v.Docs, docView{d, shownDocuments[d.MediaType], casework.NameLies(d)})
	}
	s.fillRounds(&v, days)
	s.fillEvents(&v, c.Query("events") == "all")
	return v, nil
}

// awaited is what a case in a state waits for.
var awaited = map[casefile.State]string{casefile.Open: "submit", casefile.InReview: "review", casefile.Returned: "submit", casefile.Agreed: "decide",
	casefile.Escalated: "determine", casefile.Determined: "decide"}

// steps says what comes next and whether the reader may do it, and what else the reader may do.
func (s *site) steps(fr Frame, f *casefile.File, me auth.Account) (main *step, others []step) {
	if name, ok := awaited[f.State]; ok {
		main = &step{Name: name, Path: name, Why: fr.why(mayStep(name), rule(name)(f, me), me)}
		var lacks *casefile.Refused
		if errors.As(rule(name)(f, me), &lacks) && strings.HasPrefix(lacks.Key, "rule-lacks-") { // what lacks stands below
			main = &step{Name: "edit", Path: "edit", Why: fr.why(auth.EditCases, f.MayEdit(me), me)}
			if lacks.Key == "rule-lacks-record" || lacks.Key == "rule-lacks-signature" {
				main.Path = "documents/new"
			}
		}
	}
	for _, a := range acts {
		if a.aside && (main == nil || main.Name != a.name) && fr.why(a.may, a.rule(f, me), me) == "" {
			others = append(others, step{Name: a.name, Path: a.name})
		}
	}
	return main, others
}

// why says in words why somebody may not do something; empty if they may.
func (f Frame) why(p auth.Permission, rule error, me auth.Account) string {
	if !me.May(p) {
		roles := ""
		for i, r := range auth.Allowed(p) {
			if i > 0 {
				roles += f.T("or")
			}
			roles += f.T("case-role-" + string(r))
		}
		return fmt.Sprintf(f.T("case-role-only"), roles)
	}
	if why, refused := f.refusal(rule); refused {
		return why
	}
	if rule != nil {
		return rule.Error()
	}
	return ""
}

func fieldOf(fr Frame, f *casefile.File, k casefile.Field) fieldView {
	v := fieldView{Key: k, Value: fr.fieldText(k, f.Value(k))}
	list := f.Values[k]
	if n := len(list); n > 0 {
		v.By = &list[n-1].By
		for _, old := range list[:n-1] {
			old.Text = fr.fieldText(k, old.Text)
			v.Former = append(v.Former, old)
		}
	}
	return v
}

func (s *site) fillLinks(ctx context.Context, v *caseView) error {
	reg, _ := s.register(ctx)
	var recs []string
	for _, l := range v.File.Links {
		recs = append(recs, l.Rec.String())
	}
	looks, err := s.Catalog.Looks(ctx, recs)
	if err != nil {
		return err
	}
	for _, l := range v.File.Links {
		x, err := s.linkOf(ctx, l)
		if err == nil && !x.Gone {
			x.Row.looked(looks[x.Row.Rec].Poster, looks[x.Row.Rec].Duration)
			s.grow(ctx, &x.Row)
			err = s.describe(&x.Row, reg)
		}
		if err == nil && !x.Gone {
			x.Look, err = s.mayLook(ctx, v.Me, x.Row.Recording)
		}
		if err != nil {
			return err
		}
		if l.Unlinked == nil {
			v.Links = append(v.Links, x)
		} else {
			v.Gone = append(v.Gone, x)
		}
	}
	return nil
}

func (s *site) linkOf(ctx context.Context, l casefile.Link) (linkView, error) {
	r, err := s.Catalog.Recording(ctx, l.Device, l.Rec)
	if errors.Is(err, catalog.ErrUnknown) {
		return linkView{Link: l, Gone: true, Row: row{Recording: db.Recording{Rec: l.Rec.String(), Name: l.Rec.String()}}}, nil
	}
	if err != nil {
		return linkView{}, err
	}
	dev, err := s.Catalog.Device(ctx, l.Device)
	return linkView{Link: l, Row: rowOf(r, dev.Class)}, err
}

// concerns are what of a case a person should look at, what keeps it from being submitted first.
func (s *site) concerns(ctx context.Context, fr Frame, f *casefile.File) (out []concern, must bool, err error) {
	list, err := s.Cases.Concerns(ctx, f)
	if err != nil {
		return nil, false, err
	}
	for _, first := range []bool{true, false} {
		for _, x := range list {
			if x.Must == first {
				out = append(out, s.concernOf(ctx, fr, x))
				must = must || x.Must
			}
		}
	}
	return out, must, nil
}

func (s *site) concernOf(ctx context.Context, fr Frame, x casework.Concern) concern {
	k := concern{Text: fr.T(x.Key), Must: x.Must}
	if len(x.Args) > 0 {
		k.Text = fmt.Sprintf(k.Text, x.Args...)
	}
	if x.Rec != (evidence.RecordingID{}) {
		k.Rec, k.Name = x.Rec.String(), s.recordingName(ctx, fr, x.Rec)
	}
	return k
}

// recordingName is how pages call a recording: its name, or its id if the catalog does not know it.
func (s *site) recordingName(ctx context.Context, fr Frame, rec evidence.RecordingID) string {
	r, err := s.Catalog.FindRecording(ctx, rec)
	if err != nil {
		return rec.String()
	}
	return row{Recording: r}.Label(fr)
}

func (s *site) fillRounds(v *caseView, days *workdays.Calendar) {
	names := map[string]string{}
	for _, l := range append(append([]linkView(nil), v.Links...), v.Gone...) {
		names[l.Row.Rec] = l.Row.Label(v.Frame)
	}
	papers := map[evidence.Digest]string{}
	for _, d := range v.File.Documents {
		papers[d.Hash] = d.Name
	}
	for i, r := range v.File.Rounds {
		x := roundView{N: i + 1, Round: r, DueDay: dueText(days, r.Due)}
		if i == len(v.File.Rounds)-1 {
			x.Clock = v.Clock
		}
		if r.Opinion != nil {
			x.Checks = checksOf(v.Frame, v.File.ID, r.Opinion.Checks, names, papers)
		}
		v.Rounds = append(v.Rounds, x)
	}
}

// checksOf are a reviewer's findings, in the order of the rule, with links to what they are about.
func checksOf(fr Frame, id casefile.ID, list []casefile.Check, names map[string]string, papers map[evidence.Digest]string) (out []checkView) {
	for _, k := range list {
		x := checkView{Check: k}
		for _, m := range k.Moments {
			rec := m.Rec.String()
			name := names[rec]
			if name == "" {
				name = rec
			}
			x.Moments = append(x.Moments, placeView{"/recordings/" + rec + "?t=" + secondsText(m.At), name + " " + clockText(m.At, m.At%1000 != 0)})
		}
		for _, p := range k.Pages {
			name := papers[p.Document]
			if name == "" {
				name = p.Document.String()
			}
			x.Pages = append(x.Pages, placeView{"/cases/" + string(id) + "/documents/" + p.Document.String() + "#page=" + strconv.Itoa(p.Page),
				name + " " + fmt.Sprintf(fr.T("case-page"), p.Page)})
		}
		out = append(out, x)
	}
	return out
}

// secondsText writes milliseconds as seconds, exact.
func secondsText(ms uint64) string {
	if ms%1000 == 0 {
		return strconv.FormatUint(ms/1000, 10)
	}
	return fmt.Sprintf("%d.%03d", ms/1000, ms%1000)
}
