package header

import (
	"strings"
	"unicode/utf8"

	"camseal/agent/internal/header/words"
	"camseal/pkg/transport"
)

// Bounds of a transcript: what is longer is no header.
const (
	maxText   = 8 << 10 // bytes
	maxTokens = 600
)

// enough is how alike an entry of the register must be to what was heard to be taken for it: for English, Chinese, and a name whose certificate number was
// heard exactly.
const (
	enough        = 0.74
	enoughChinese = 0.7
	enoughNamed   = 0.5
)

// keywords begin an element. The longer ones come first.
var keywords = []struct{ word, field string }{
	{"the cause is", "cause"}, {"cause is", "cause"}, {"cause", "cause"}, {"because of", "cause"}, {"the reason is", "cause"}, {"reason", "cause"},
	{"the place is", "place"}, {"place is", "place"}, {"place", "place"}, {"location is", "place"}, {"location", "place"}, {"address", "place"},
	{"the time is", "time"}, {"time is", "time"}, {"time", "time"}, {"it is", "time"}, {"today is", "time"},
	{"department is", "department"}, {"department", "department"}, {"officers", "officers"}, {"officer", "officers"}, {"inspector", "officers"}, {"my name is", "officers"}, {"i am", "officers"},
	{"certificate number is", "certificate"}, {"certificate number", "certificate"}, {"certificate", "certificate"},
	{"of the", ""}, {"from the", ""}, {"at", "place"},
	{"案由是", "cause"}, {"案由为", "cause"}, {"案由", "cause"}, {"事由是", "cause"}, {"事由为", "cause"}, {"事由", "cause"}, {"原因是", "cause"}, {"原因", "cause"},
	{"地点是", "place"}, {"地点为", "place"}, {"地点在", "place"}, {"地点", "place"}, {"地址", "place"}, {"位于", "place"},
	{"时间是", "time"}, {"时间为", "time"}, {"时间", "time"}, {"现在是", "time"},
	{"执法部门是", "department"}, {"执法部门", "department"}, {"部门", "department"}, {"单位", "department"},
	{"执法人员是", "officers"}, {"执法人员", "officers"}, {"执法员", "officers"}, {"姓名", "officers"}, {"人员", "officers"},
	{"执法证号码", "certificate"}, {"执法证编号", "certificate"}, {"执法证号", "certificate"}, {"证件号", "certificate"}, {"执法证", "certificate"}, {"证号", "certificate"},
	{"我是", ""}, {"我们是", ""},
}

// heardText is a transcript on its way to fields.
type heardText struct {
	tokens []words.Token
	ends   []bool   // a clause ends after this token
	fields []string // the element whose keyword this token is part of; "-" of none
	used   []bool   // part of an element that was found
}

// Understand looks for the elements of a header in a transcript, English or Chinese. It always gives the five fields, in their order: department,
// officers, cause, time, place. reg may be nil.
func Understand(text string, reg *transport.Register) []Field {
	if reg == nil {
		reg = &transport.Register{}
	}
	t := newHeard(text)
	department := t.entry("department", reg.Departments)
	cause := t.entry("cause", reg.Causes)
	place := t.entry("place", reg.Places)
	officers := t.officers(reg.Officers)
	clock := t.time()
	for _, f := range []*Field{&department, &cause, &place, &clock, &officers} { // what no register knows, from what is left
		if f.State == FieldMissing {
			if said := t.after(f.Name); said != "" {
				f.State, f.Value = FieldHeard, said
			}
		}
	}
	return []Field{department, officers, cause, clock, place}
}

func newHeard(text string) *heardText {
	if len(text) > maxText {
		text = text[:maxText]
	}
	t := &heardText{}
	text = strings.NewReplacer("'clock", "clock", "’clock", "clock", "a.m", "am", "p.m", "pm", "A.M", "am", "P.M", "pm").Replace(words.Clocks(text))
	for _, clause := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",.;!?…，。；、！？\n", r) }) {
		t.tokens = append(t.tokens, words.Tokens(clause)...)
		t.tokens = t.tokens[:min(len(t.tokens), maxTokens)]
		for len(t.ends) < len(t.tokens) {
			t.ends = append(t.ends, false)
		}
		if len(t.ends) > 0 {
			t.ends[len(t.ends)-1] = true
		}
	}
	t.fields, t.used = make([]string, len(t.tokens)), make([]bool, len(t.tokens))
	for i := range t.tokens {
		for _, k := range keywords {
			want := words.Tokens(k.word)
			if t.fields[i] != "" || i+len(want) > len(t.tokens) || words.Join(t.tokens[i:i+len(want)]) != words.Join(want) {
				continue
			}
			for j := range want {
				t.fields[i+j] = "-"
			}
			t.fields[i+len(want)-1] = "-" + k.field
		}
	}
	return t
}

// keyed reports whether the keyword of a field stands right before a token.
func (t *heardText) keyed(field string, at int) bool { return at > 0 && t.fields[at-1] == "-"+field }

func bound(entry []words.Token) float64 {
	if words.Chinese(words.Join(entry)) {
		return enoughChinese
	}
	return enough
}

// entry is the field with the entry of the register that is most like what was heard, what stands after its keyword first.
func (t *heardText) entry(name string, entries []string) Field {
	f := Field{Name: name, State: FieldMissing}
	best, from, until := 0.0, 0, 0
	for _, e := range entries {
		want := words.Tokens(e)
		i, j, near := words.Find(t.tokens, want)
		if near < bound(want) {
			continue
		}
		near += 0.001 * float64(len(words.Join(want))) // of two that fit the longer one
		if t.keyed(name, i) {
			near += 0.1
		}
		if near > best {
			best, from, until = near, i, j
			f.State, f.Value = FieldMatched, e
		}
	}
	t.use(from, until)
	return f
}

func (t *heardText) use(from, until int) {
	for i := from; i < until; i++ {
		t.used[i] = true
	}
}

func (t *heardText) time() Field {
	value, clock, at := words.Time(t.tokens)
	for _, i := range at {
		t.used[i] = true
	}
	switch {
	case clock:
		return Field{"time", FieldMatched, value}
	case value != "":
		return Field{"time", FieldHeard, value}
	}
	return Field{"time", FieldMissing, ""}
}

// after is what was said after a field's keyword, until the clause or another element begins.
func (t *heardText) after(field string) string {
	for i := range t.tokens {
		if t.fields[i] != "-"+field || t.ends[i] {
			continue
		}
		var said []words.Token
		for j := i + 1; j < len(t.tokens) && t.fields[j] == "" && !t.used[j] && len(said) < 24; j++ {
			said = append(said, t.tokens[j])
			if t.ends[j] {
				break
			}
		}
		if text := words.Join(said); utf8.RuneCountInString(text) > 1 {
			return text
		}
	}
	return ""
}
