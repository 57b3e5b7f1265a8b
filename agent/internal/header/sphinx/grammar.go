package sphinx

import (
	"fmt"
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

// fillers are what people say between the elements.
var fillers = []string{
	"this is", "i am", "we are", "my name is", "it is", "today is", "is", "the", "a", "an", "of", "of the", "from", "from the", "at", "at the", "in", "in the",
	"and", "with", "because of", "for", "on", "on the", "good morning", "good afternoon", "good evening", "recording", "has started", "starts", "now", "hello", "here",
	"an inspection of", "inspecting", "investigating", "checking", "case of", "enforcement", "colleague", "my colleague", "i show my certificate",
}

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
			parts = append(parts, "/1/ <"+name+">")
		}
	}
	var names, certificates []string
	for _, o := range reg.Officers {
		names = append(names, o.Name, o.Spoken)
		if d := words.Digits(o.Certificate); len(d) > 0 {
			certificates = append(certificates, strings.Join(d, " "))
		}
	}
	named("department", "[department [is]] ENTRIES", reg.Departments)
	named("officer", "[officer | officers | inspector] ENTRIES", names)
	named("cause", "[cause | the cause is | the cause | reason] ENTRIES", reg.Causes)
	named("place", "[place | the place is | the place | location] ENTRIES", reg.Places)
	named("activity", "ENTRIES", reg.Activities)
	rule("digit", "ENTRIES", append(words.Digits("0123456789"), "oh"))
	if len(certificates) == 0 {
		rule("number", "<digit>+", nil)
	} else {
		rule("number", "/0.9/ ENTRIES | /0.1/ <digit>+", unique(certificates))
	}
	rule("certificate", "certificate [number | number is | is] <number>", nil)
	rule("hour", "ENTRIES", hours)
	rule("minute", "ENTRIES", minutes)
	rule("day", "ENTRIES", days)
	rule("month", "ENTRIES", months)
	rule("clock", "<hour> <minute> | <hour> oh <digit> | <hour> hundred [hours] | <hour> oclock | half past <hour> | quarter past <hour> | quarter to <hour>", nil)
	rule("time", "[time | the time is | the time | it is] <clock> [a m | p m | in the morning | in the afternoon | in the evening]", nil)
	rule("date", "[date | the date is | today is] ( the <day> of <month> | <month> [the] <day> )", nil)
	rule("filler", "ENTRIES", fillers)
	rule("keyword", "ENTRIES", []string{"officer", "certificate", "cause", "place", "time", "department"})
	var sounds []string
	for _, s := range other {
		sounds = append(sounds, noise(s))
	}
	rule("other", "ENTRIES", sounds)
	parts = append(parts, "/1/ <certificate>", "/1/ <time>", "/0.5/ <date>", "/1/ <filler>", "/0.2/ <keyword>", "/0.01/ <other>")
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
