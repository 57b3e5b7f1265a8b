package sphinx

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"camseal/agent/internal/header/words"
	"camseal/pkg/transport"
)

// Bounds of what is taken from a register: what is more is left out of the grammar, and can still be typed.
const (
	maxEntries = 500 // of each kind
	maxWords   = 8   // of an entry
	maxLetters = 24  // of a word
)

// grammar is a JSGF grammar of what a header may be, and the words in it. Entries of the register come in as words of the letters a to z and nothing
// else, so they can't mean anything in the grammar's own language.
type grammar struct {
	text  string
	words []string // sorted, each once
}

// fillers are what people say that is no element.
var fillers = []string{"good morning", "good afternoon", "good evening", "hello", "recording has started", "recording started", "recording starts now", "i show my certificate"}

var (
	hours   = spans(0, 23)
	minutes = spans(10, 59)
	days    = []string{"first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth",
		"fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth", "twenty first", "twenty second", "twenty third",
		"twenty fourth", "twenty fifth", "twenty sixth", "twenty seventh", "twenty eighth", "twenty ninth", "thirtieth", "thirty first"}
	months = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}
)

func spans(from, to int) (list []string) {
	for n := from; n <= to; n++ {
		list = append(list, strings.Join(words.Spoken(fmt.Sprint(n)), " "))
	}
	return list
}

// other are the sounds of English: what is none of the grammar's words is taken for a row of them, so that it need not be taken for a word.
var other = strings.Fields("AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH")

func noise(sound string) string { return "xx" + strings.ToLower(sound) }

// makeGrammar makes the grammar of a register.
func makeGrammar(reg *transport.Register) grammar {
	var b strings.Builder
	seen := map[string]bool{}
	rule := func(name, form string, entries []string) {
		for _, e := range entries {
			for w := range strings.FieldsSeq(e) {
				seen[w] = true
			}
		}
		for w := range strings.FieldsFuncSeq(form, func(r rune) bool { return strings.ContainsRune(" |[]()+*;", r) }) {
			if !strings.ContainsAny(w, "<>/") {
				seen[w] = true
			}
		}
		if len(entries) > 0 {
			form = strings.ReplaceAll(form, "ENTRIES", "( "+strings.Join(entries, " | ")+" )")
		}
		delete(seen, "ENTRIES")
		fmt.Fprintf(&b, "<%s> = %s;\n", name, form)
	}
	b.WriteString("#JSGF V1.0;\ngrammar header;\n")
	var parts []string
	named := func(name, form string, entries []string) {
		if entries = entriesOf(entries); len(entries) > 0 {
			rule(name, form, entries)
			parts = append(parts, "<"+name+">")
		}
	}
	var names, certificates []string
	for _, o := range reg.Officers {
		names = append(names, o.Name, o.Spoken)
		if d := words.Digits(o.Certificate); len(d) > 0 {
			certificates = append(certificates, strings.Join(d, " "))
		}
	}
	named("department", "[of [the] | from [the] | for [the] | this is [the] | we are [from] [the] | [the] department [is] [the]] ENTRIES", reg.Departments)
	named("officer", "[this is | i am | we are | my name is | with | and] [officer | officers | inspector | inspectors | colleague] ENTRIES", names)
	named("cause", "[[the] cause [is] [a | an] | because of [a | an] | [the] reason [is] [a | an] | for [a | an] | [we are] inspecting [a | an | the] | [we are] checking [a | an | the]] ENTRIES", reg.Causes)
	named("place", "[[the] place [is] | at [the] | in [the] | on [the] | we are at [the] | we are in [the] | [the] location [is]] ENTRIES", reg.Places)
	named("activity", "[this is an | this is a | for an | for a] ENTRIES", reg.Activities)
	rule("digit", "ENTRIES", append(words.Digits("0123456789"), "oh"))
	if len(certificates) == 0 {
		rule("number", "<digit>+", nil)
	} else {
		rule("number", "ENTRIES | <digit> <digit> <digit> <digit>+", unique(certificates))
	}
	rule("certificate", "certificate [number | number is | is] <number>", nil)
	rule("hour", "ENTRIES", hours)
	rule("minute", "ENTRIES", minutes)
	rule("day", "ENTRIES", days)
	rule("month", "ENTRIES", months)
	rule("clock", "<hour> <minute> | <hour> oh <digit> | <hour> hundred [hours] | <hour> oclock | half past <hour> | quarter past <hour> | quarter to <hour>", nil)
	rule("time", "[[the] time [is] | it is | today at] <clock> [a m | p m | in the morning | in the afternoon | in the evening]", nil)
	rule("date", "[[the] date [is] | today is [the] | today] ( [the] <day> of <month> | <month> [the] <day> )", nil)
	rule("filler", "ENTRIES", fillers)
	var sounds []string
	for _, s := range other {
		sounds = append(sounds, noise(s))
	}
	rule("other", "ENTRIES", sounds)
	rule("unknown", "( [the] cause [is] | because of | [the] place [is] | at [the] | officer ) <other>+", nil)
	parts = append(parts, "<certificate>", "<time>", "<date>", "<filler>")
	if os.Getenv("OTHER")!="" { parts = append(parts, "<unknown>") }
	fmt.Fprintf(&b, "public <header> = ( %s )+;\n", strings.Join(parts, " | "))
	g := grammar{text: b.String()}
	for w := range seen {
		g.words = append(g.words, w)
	}
	slices.Sort(g.words)
	return g
}

// entriesOf are the entries as they are said, each once, within the bounds.
func entriesOf(texts []string) []string {
	var list []string
	for _, text := range texts {
		said := words.Spoken(text)
		if len(said) == 0 || len(said) > maxWords || slices.ContainsFunc(said, func(w string) bool { return len(w) > maxLetters || strings.HasPrefix(w, "xx") }) {
			continue
		}
		list = append(list, strings.Join(said, " "))
	}
	return unique(list)
}

func unique(list []string) []string {
	seen := map[string]bool{}
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool {
		was := seen[s]
		seen[s] = true
		return was
	})
	return list[:min(len(list), maxEntries)]
}
