package web

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/casefile"
)

// longFields are typed in several lines: this many are shown.
var longFields = map[casefile.Field]int{casefile.Officers: 3, casefile.SelfCheck: 6, casefile.Title: 2, casefile.Party: 2}

// caseInputs are the fields of a case's description. What was typed counts, else what the case says; f may be nil.
func (s *site) caseInputs(c *gin.Context, f *casefile.File, v url.Values) (out []input) {
	frame, bodies := s.frame(c, "case"), s.bodies(c)
	for _, k := range casefile.Fields {
		if k == casefile.Body { // that of who opened the case, for ever
			continue
		}
		name := string(k)
		i := input{Name: name, Label: "case-" + name, Hint: "case-" + name + "-hint", Kind: inputLine}
		switch {
		case k == casefile.Activity:
			i.Kind, i.Options = inputChoice, frame.choices("activity-", casefile.Activities)
		case k == casefile.Ground:
			i.Kind, i.Options = inputChoice, frame.choices("ground-", casefile.Grounds)
		case k == casefile.Day:
			i.Kind = inputDate
		case k == casefile.ReviewBody:
			i.Options = bodies
		case longFields[k] > 0:
			i.Kind, i.Rows = inputText, longFields[k]
		}
		if f != nil {
			i.Value, i.Base = f.Value(k), strconv.Itoa(len(f.Values[k]))
		}
		if typed, ok := v[name]; ok && len(typed) > 0 {
			i.Value = typed[0]
		}
		if base, ok := v["base."+name]; ok && len(base) > 0 {
			i.Base = base[0]
		}
		out = append(out, i)
	}
	return out
}

// choices are values with their words.
func (f Frame) choices(prefix string, of []string) []option {
	out := []option{{"", f.T("choose")}}
	for _, v := range of {
		out = append(out, option{v, f.T(prefix + v)})
	}
	return out
}

// editPage shows the description of a case, or of a new one (f is nil), to be written.
func (s *site) editPage(c *gin.Context, status int, f *casefile.File, inputs []input, why string) {
	p := struct {
		Frame
		File   *casefile.File
		Inputs []input
		Why    string
		Action string
		Only   string // the one field that is shown; empty: all
		Count  int    // of fields that were refused
	}{Frame: s.frame(c, "case-new"), File: f, Inputs: inputs, Why: why, Action: "/cases/new"}
	if f != nil {
		p.Title, p.Action = p.T("case-edit"), "/cases/"+string(f.ID)+"/edit"
	}
	for _, i := range inputs {
		if i.Error != "" {
			p.Count++
		}
	}
	s.page(c, status, "case-edit.html", p)
}

// editCase asks for corrections: of all fields, or of one.
func (s *site) editCase(c *gin.Context) {
	f, ok := s.theCase(c)
	if !ok {
		return
	}
	if why, refused := s.frame(c, "case-edit").refusal(f.MayEdit(s.me(c))); refused {
		s.refused(c, f, "case-edit", why)
		return
	}
	s.editPage(c, http.StatusOK, f, only(s.caseInputs(c, f, nil), c.Query("field")), "")
}

// only keeps one input, or all if there is none of that name.
func only(list []input, name string) []input {
	for _, i := range list {
		if i.Name == name {
			return []input{i}
		}
	}
	return list
}

// setCase appends what was changed. What somebody else changed in the meantime is not changed back.
func (s *site) setCase(c *gin.Context) {
	f, ok := s.theCase(c)
	if !ok {
		return
	}
	v, ok := s.form(c)
	if !ok {
		return
	}
	frame, wrong, saved := s.frame(c, "case-edit"), map[string]string{}, 0
	for _, k := range casefile.Fields {
		text, asked := v[string(k)]
		if !asked || len(text) == 0 {
			continue
		}
		same, clash := compare(f, k, text[0], v.Get("base."+string(k)))
		if clash {
			wrong[string(k)] = frame.T("case-clash") + " " + f.Value(k)
			v.Set("base."+string(k), strconv.Itoa(len(f.Values[k])))
		}
		if same || clash {
			continue
		}
		err := s.Cases.Set(c.Request.Context(), s.me(c), f.ID, k, text[0])
		if why, refused := frame.refusal(err); refused {
			wrong[string(k)] = why
		} else if err != nil {
			s.caseFail(c, err)
			return
		} else {
			saved++
			v.Set("base."+string(k), strconv.Itoa(len(f.Values[k])+1))
		}
	}
	if len(wrong) == 0 {
		c.Redirect(http.StatusSeeOther, "/cases/"+string(f.ID))
		return
	}
	var inputs []input
	for _, i := range s.caseInputs(c, f, v) {
		if i.Error = wrong[i.Name]; i.Error != "" || v.Has(i.Name) {
			inputs = append(inputs, i)
		}
	}
	why := frame.T("case-edit-none")
	if saved > 0 {
		why = frame.T("case-edit-some")
	}
	s.editPage(c, http.StatusUnprocessableEntity, f, inputs, why)
}

// compare tells whether a field was left as it was shown, and whether it was changed by somebody else since: base is how many values it had then.
func compare(f *casefile.File, k casefile.Field, text, base string) (same, clash bool) {
	values := f.Values[k]
	n, err := strconv.Atoi(base)
	if err != nil || n < 0 || n > len(values) {
		n = len(values)
	}
	shown := ""
	if n > 0 {
		shown = values[n-1].Text
	}
	same = text == shown || text == f.Value(k)
	return same, !same && n < len(values)
}

// refused shows why somebody may not do something with a case now.
func (s *site) refused(c *gin.Context, f *casefile.File, title, why string) {
	s.page(c, http.StatusConflict, "case-refused.html", struct {
		Frame
		File *casefile.File
		Why  string
	}{s.frame(c, title), f, why})
}
