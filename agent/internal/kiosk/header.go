package kiosk

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"camseal/agent/internal/dock"
	"camseal/pkg/evidence"
)

// headerIn reads the form. wrong is a text's key, empty: it can be taken.
func headerIn(p url.Values) (h evidence.Header, wrong string) {
	text := func(name string) string { return strings.TrimSpace(p.Get(name)) }
	h = evidence.Header{Department: text(fieldDepartment), Cause: text(fieldCause), Time: text(fieldTime), Place: text(fieldPlace),
		Activity: text(fieldActivity), Case: text(fieldCase)}
	for i, name := range p["officer"] {
		o := evidence.Officer{Name: strings.TrimSpace(name)}
		if i < len(p["certificate"]) {
			o.Certificate = strings.TrimSpace(p["certificate"][i])
		}
		if o != (evidence.Officer{}) {
			h.Officers = append(h.Officers, o)
		}
	}
	for i, name := range p["further-name"] {
		e := evidence.FurtherField{Name: strings.TrimSpace(name)}
		if i < len(p["further-value"]) {
			e.Value = strings.TrimSpace(p["further-value"][i])
		}
		if e != (evidence.FurtherField{}) {
			h.Further = append(h.Further, e)
		}
	}
	for _, name := range strings.FieldsFunc(p.Get(fieldCompanions), func(r rune) bool { return strings.ContainsRune("、,，;；\r\n", r) }) {
		if name = strings.TrimSpace(name); name != "" {
			h.Companions = append(h.Companions, name)
		}
	}
	all := append([]string{h.Department, h.Cause, h.Time, h.Place, h.Activity, h.Case}, h.Companions...)
	nameless := false
	for _, o := range h.Officers {
		all, nameless = append(all, o.Name, o.Certificate), nameless || o.Name == ""
	}
	for _, e := range h.Further {
		all, nameless = append(all, e.Name, e.Value), nameless || e.Name == ""
	}
	switch {
	case tooLong(maxField, all...):
		wrong = "too-long"
	case len(h.Officers) > maxPersons || len(h.Companions) > maxPersons || len(h.Further) > maxPersons:
		wrong = "too-many-persons"
	case h.Department == "" || len(h.Officers) == 0 || h.Cause == "" || h.Time == "" || h.Place == "":
		wrong = "incomplete"
	case nameless:
		wrong = "nameless"
	}
	return h, wrong
}

// tooLong reports whether a text is longer than allowed, or is none: broken, or with control characters in it.
func tooLong(limit int, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool {
		return utf8.RuneCountInString(t) > limit || !utf8.ValidString(t) ||
			strings.ContainsFunc(t, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
	})
}

// spokenOf is what the header says of the voice: nil when none was found.
func spokenOf(g dock.Group, saysSo bool) *evidence.SpokenHeader {
	if g.Header != nil { // a correction speaks no louder than what it corrects
		return g.Header.Spoken
	}
	h := g.Heard
	if h == nil || h.Until <= h.From || h.Transcript == "" && !saysSo {
		return nil
	}
	return &evidence.SpokenHeader{Confidence: h.Confidence, Engine: h.Engine, From: h.From, Transcript: h.Transcript, Until: h.Until}
}

// groupPage is what the group's page shows.
type groupPage struct {
	frame
	G       group
	Step    string // header, note or done: the page's one question
	Form    form
	Note    string
	Moment  string
	Mark    string
	MarkRec string
	Typed   bool // no voice: the header will be labelled so
}

func (s *site) group(c *gin.Context) {
	id, err := groupID(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	if _, ok := s.must(c, c.Request.URL.RequestURI()); ok {
		s.showGroup(c, id, http.StatusOK, "", c.Query("correct"), s.kept.form(c))
	}
}

// showGroup shows the group's page; with typed, what a form held stands in it again.
func (s *site) showGroup(c *gin.Context, id evidence.RecordingID, status int, wrong, step string, typed url.Values) {
	g, err := s.Station.Group(c.Request.Context(), id)
	if err != nil {
		s.fail(c, err)
		return
	}
	f, err := s.frame(c, "group", view{"group", id.String()})
	if err != nil {
		s.fail(c, err)
		return
	}
	if f.Officer == nil {
		s.fail(c, errors.New("signed out while the page was made"))
		return
	}
	f.Wrong = wrong
	p := groupPage{frame: f, G: groupOf(g, f.Lang, s.Now()), Typed: spokenOf(g, false) == nil}
	switch {
	case step == "header" || step == "" && g.Header == nil:
		p.Step = "header"
	case step == "note" || g.Note == nil:
		p.Step = "note"
	default:
		p.Step = "done"
	}
	p.Form = s.formOf(g, s.Station.Register(c.Request.Context()), *f.Officer, f.Lang)
	if g.Note != nil {
		p.Note = g.Note.Text
	}
	if typed != nil {
		p.again(typed)
	}
	p.Form.Further = append(p.Form.Further, evidence.FurtherField{}) // a line to write into
	s.page(c, status, "group.html", p)
}

// again puts back what was typed and not taken.
func (p *groupPage) again(typed url.Values) {
	for _, name := range []string{fieldDepartment, fieldCause, fieldTime, fieldPlace, fieldActivity, fieldCase, fieldCompanions} {
		if v := cut(typed.Get(name), maxField); typed.Has(name) && v != p.Form.Fields[name].Value {
			p.Form.set(name, stateTyped, v)
		}
	}
	if h, _ := headerIn(typed); typed.Has("officer") {
		p.Form.Officers, p.Form.Further = h.Officers[:min(len(h.Officers), maxPersons)], h.Further[:min(len(h.Further), maxPersons)]
		p.Form.Spoken = typed.Has("spoken")
	}
	p.Note = cmp.Or(cut(typed.Get("note"), maxNote), p.Note)
	p.Moment, p.Mark, p.MarkRec = cut(typed.Get("moment"), maxField), cut(typed.Get("text"), maxField), typed.Get("rec")
}

// say takes one of the group's forms: do says it, or answers with the key of a text that says what is wrong with it.
func (s *site) say(c *gin.Context, step, outcome string, do func(g dock.Group, by dock.Officer) (wrong string, err error)) {
	id, err := groupID(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	back := "/groups/" + id.String()
	by, ok := s.must(c, back+"?correct="+step)
	if !ok {
		return
	}
	g, err := s.Station.Group(c.Request.Context(), id)
	if err != nil {
		s.fail(c, err)
		return
	}
	wrong, err := do(g, by)
	status := http.StatusUnprocessableEntity
	if err != nil {
		status, wrong = s.words(c, err)
	}
	if wrong != "" {
		s.showGroup(c, id, status, wrong, step, c.Request.PostForm)
		return
	}
	s.see(c, back+"?said="+outcome)
}

func (s *site) confirm(c *gin.Context) {
	s.say(c, "header", "said-header", func(g dock.Group, by dock.Officer) (string, error) {
		h, wrong := headerIn(c.Request.PostForm)
		if meanwhile(c, g.Header != nil) {
			wrong = "meanwhile"
		}
		if wrong != "" {
			return wrong, nil
		}
		h.Spoken = spokenOf(g, c.PostForm("spoken") != "")
		return "", s.Station.Confirm(c.Request.Context(), g.ID, h, by)
	})
}

// meanwhile reports whether somebody has said what the form says since it was shown, or the button was pressed twice: nobody corrects
// unawares.
func meanwhile(c *gin.Context, there bool) bool { return there && c.PostForm("correct") == "" }

func (s *site) note(c *gin.Context) {
	s.say(c, "note", "said-note", func(g dock.Group, by dock.Officer) (string, error) {
		text := lines(c.PostForm("note"))
		switch {
		case meanwhile(c, g.Note != nil):
			return "meanwhile", nil
		case text == "":
			return "note-empty", nil
		case tooLong(maxNote, text):
			return "too-long", nil
		}
		return "", s.Station.Note(c.Request.Context(), g.ID, text, by)
	})
}

// lines gives a text that browsers send with CRLF its one form.
func lines(text string) string { return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")) }

func (s *site) mark(c *gin.Context) {
	s.say(c, "mark", "said-mark", func(g dock.Group, by dock.Officer) (string, error) {
		text, rec := strings.TrimSpace(c.PostForm("text")), c.PostForm("rec")
		i := slices.IndexFunc(g.Items, func(it dock.Item) bool { return it.Rec.String() == rec })
		moment, err := momentOf(c.PostForm("moment"))
		switch {
		case i < 0:
			return "", dock.ErrNoGroup
		case err != nil:
			return "moment-wrong", nil
		case text == "":
			return "mark-empty", nil
		case tooLong(maxField, text):
			return "too-long", nil
		}
		return "", s.Station.Mark(c.Request.Context(), g.Items[i].Rec, moment, text, by)
	})
}

// momentOf reads seconds, mm:ss or h:mm:ss.
func momentOf(text string) (ms uint64, err error) {
	parts := strings.Split(strings.ReplaceAll(strings.TrimSpace(text), "：", ":"), ":")
	if len(parts) > 3 {
		return 0, fmt.Errorf("moment %q", text)
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || i > 0 && n > 59 {
			return 0, fmt.Errorf("moment %q", text)
		}
		ms = ms*60 + n
	}
	return ms * uint64(time.Second/time.Millisecond), nil
}

// sound sends the spoken span, to who is signed in.
func (s *site) sound(c *gin.Context) {
	id, err := groupID(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	if s.officer(c, true) == nil {
		s.sorry(c, http.StatusUnauthorized, "sign-in-first")
		return
	}
	wav, err := s.Station.Sound(c.Request.Context(), id)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Content-Type", "audio/wav")
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, bytes.NewReader(wav))
}
