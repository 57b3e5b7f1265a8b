package kiosk

import (
	"slices"
	"strings"

	"camseal/agent/internal/dock"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// The elements of a header as the form calls them; the first five are those of R1.
const (
	fieldDepartment = "department"
	fieldOfficers   = "officers"
	fieldCause      = "cause"
	fieldTime       = "time"
	fieldPlace      = "place"
	fieldActivity   = "activity"
	fieldCase       = "case"
	fieldCompanions = "companions"
)

// field is an element of the header in the form.
type field struct {
	Name  string
	State dock.FieldState // empty: nothing was listened for
	Value string
	Picks []string // of the register
	Lang  lang
}

// T returns a text in the page's language.
func (f field) T(key string) string { return f.Lang.in(key) }

// Icon is the state's sign.
func (f field) Icon() string {
	return map[dock.FieldState]string{dock.FieldMatched: "✓", dock.FieldHeard: "~", dock.FieldMissing: "○", stateTyped: "✎", stateOffered: "○"}[f.State]
}

// States beyond those of package dock, for what was not heard.
const (
	stateTyped   dock.FieldState = "typed"   // by a person
	stateOffered dock.FieldState = "offered" // filled in from the sign-in or the recorder's clock, to be looked at
)

// form is the header's form.
type form struct {
	Fields   map[string]field
	Officers []evidence.Officer
	Further  []evidence.FurtherField
	Spoken   bool // the officer says that the span holds the header, though nothing was understood
	Roster   []rosterEntry
}

// person is an officer in the form.
type person struct {
	evidence.Officer
	Flag string // as of a rosterEntry, or that the register does not know the certificate
}

// People are the form's officers, with what is wrong with their certificates, and an empty line to write into.
func (f form) People() (out []person) {
	for _, o := range f.Officers {
		p := person{Officer: o}
		if i := slices.IndexFunc(f.Roster, func(e rosterEntry) bool { return e.Certificate == o.Certificate }); i >= 0 {
			p.Flag = f.Roster[i].Flag
		} else if len(f.Roster) > 0 {
			p.Flag = "certificate-unknown"
		}
		out = append(out, p)
	}
	return append(out, person{})
}

// rosterEntry is an officer of the register as the form offers it.
type rosterEntry struct {
	transport.Officer
	Flag string // what is wrong with the certificate; empty: nothing is known to be
}

// formOf fills the form in: with what was confirmed if that is to be corrected, else with what was heard, and what was not heard from
// who is signed in and the recorder's clock.
func (s *site) formOf(g dock.Group, reg *transport.Register, by dock.Officer, l lang) form {
	if reg == nil {
		reg = &transport.Register{}
	}
	f := form{Fields: map[string]field{}}
	for _, o := range reg.Officers {
		e := rosterEntry{Officer: o}
		if !o.Valid(s.Now()) {
			e.Flag = "certificate-invalid"
		}
		f.Roster = append(f.Roster, e)
	}
	picks := map[string][]string{fieldDepartment: reg.Departments, fieldCause: reg.Causes, fieldPlace: reg.Places, fieldActivity: reg.Activities}
	if len(g.Items) > 0 && g.Items[0].Begun != 0 {
		picks[fieldTime] = []string{recorderClock(g.Items[0].Begun)}
	}
	for _, name := range []string{fieldDepartment, fieldOfficers, fieldCause, fieldTime, fieldPlace, fieldActivity, fieldCase, fieldCompanions} {
		f.Fields[name] = field{Name: name, Picks: picks[name], Lang: l}
	}
	if h := g.Header; h != nil {
		f.fill(*h)
		return f
	}
	for _, name := range []string{fieldDepartment, fieldOfficers, fieldCause, fieldTime, fieldPlace} {
		f.set(name, dock.FieldMissing, "")
	}
	if g.Heard != nil {
		for _, h := range g.Heard.Fields {
			if _, ok := f.Fields[h.Name]; ok && h.State != dock.FieldMissing {
				f.set(h.Name, h.State, h.Value)
			}
		}
	}
	f.Officers = officersIn(f.Fields[fieldOfficers].Value, reg.Officers)
	f.offer(g, by)
	return f
}

// offer fills in what was not heard and is likely.
func (f *form) offer(g dock.Group, by dock.Officer) {
	missing := func(name string) bool { return f.Fields[name].State == dock.FieldMissing }
	if missing(fieldDepartment) && by.Department != "" {
		f.set(fieldDepartment, stateOffered, by.Department)
	}
	if missing(fieldOfficers) && by.Name != "" {
		f.set(fieldOfficers, stateOffered, by.Name)
		f.Officers = []evidence.Officer{{Name: by.Name, Certificate: by.Certificate}}
	}
	if len(g.Items) > 0 && missing(fieldTime) && g.Items[0].Begun != 0 {
		f.set(fieldTime, stateOffered, recorderClock(g.Items[0].Begun))
	}
}

func (f *form) set(name string, state dock.FieldState, value string) {
	v := f.Fields[name]
	v.State, v.Value = state, value
	f.Fields[name] = v
}

// fill puts a header into the form.
func (f *form) fill(h evidence.Header) {
	for name, value := range map[string]string{fieldDepartment: h.Department, fieldCause: h.Cause, fieldTime: h.Time, fieldPlace: h.Place,
		fieldActivity: h.Activity, fieldCase: h.Case, fieldCompanions: strings.Join(h.Companions, "、")} {
		f.set(name, stateTyped, value)
	}
	f.set(fieldOfficers, stateTyped, "")
	f.Officers, f.Further, f.Spoken = h.Officers, h.Further, h.Spoken != nil
}

// officersIn finds officers of the register in what was heard, by name or certificate, in the order in which they stand there. If
// none is found, what was heard stands as a name without a certificate.
func officersIn(heard string, register []transport.Officer) []evidence.Officer {
	if heard == "" {
		return nil
	}
	type found struct {
		at int
		evidence.Officer
	}
	var list []found
	sorted := slices.Clone(register) // long names first: a name may stand inside another
	slices.SortStableFunc(sorted, func(a, b transport.Officer) int { return len(b.Name) - len(a.Name) })
	rest := heard
	for _, o := range sorted {
		for _, word := range []string{o.Certificate, o.Name} {
			i := strings.Index(rest, word)
			if word == "" || i < 0 {
				continue
			}
			rest = rest[:i] + strings.Repeat("\x00", len(word)) + rest[i+len(word):]
			if !slices.ContainsFunc(list, func(f found) bool { return f.Certificate == o.Certificate }) {
				list = append(list, found{i, evidence.Officer{Name: o.Name, Certificate: o.Certificate}})
			}
		}
	}
	if len(list) == 0 {
		return []evidence.Officer{{Name: heard}}
	}
	slices.SortFunc(list, func(a, b found) int { return a.at - b.at })
	var out []evidence.Officer
	for _, f := range list[:min(len(list), maxPersons)] {
		out = append(out, f.Officer)
	}
	return out
}
