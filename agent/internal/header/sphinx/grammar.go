package sphinx

import (
	"fmt"
	"maps"
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
	maxDigits  = 24  // of a certificate number
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

// other are the sounds of English: what is said after a keyword and is none of the register's entries is taken for a row of them, so that it need not be taken for an entry.
var other = strings.Fields("AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH")

func noise(sound string) string { return "xx" + strings.ToLower(sound) }

// builder writes rules. ENTRIES in a rule's form stands for any one of its entries.
type builder struct {
	text  strings.Builder
	words map[string]bool
}

func (b *builder) rule(name, form string, entries ...string) {
	for w := range strings.FieldsFuncSeq(form, func(r rune) bool { return strings.ContainsRune(" |[]()+", r) }) {
		if w != "ENTRIES" && w[0] != '<' {
			b.words[w] = true
		}
	}
	for _, e := range entries {
		for w := range strings.FieldsSeq(e) {
			b.words[w] = true
		}
	}
	form = strings.ReplaceAll(form, "ENTRIES", "( "+strings.Join(entries, " | ")+" )")
	fmt.Fprintf(&b.text, "<%s> = %s;\n", name, form)
}

// makeGrammar makes the grammar of a register.
func makeGrammar(reg *transport.Register) grammar {
	b := &builder{words: map[string]bool{}}
	b.text.WriteString("#JSGF V1.0;\ngrammar header;\n")
	parts := b.register(reg)
	b.times()
	b.rule("filler", "ENTRIES", fillers...)
	var sounds []string
	for _, s := range other {
		sounds = append(sounds, noise(s))
	}
	b.rule("other", "ENTRIES", sounds...)
	b.rule("unknown", "( [the] cause [is] | because of | [the] place [is] | officer ) <other>+")
	parts = append(parts, "<time>", "<date>", "<filler>", "<unknown>")
	fmt.Fprintf(&b.text, "public <header> = ( %s )+;\n", strings.Join(parts, " | "))
	return grammar{text: b.text.String(), words: slices.Sorted(maps.Keys(b.words))}
}

// register writes the rules of what is in a register, and returns their names.
func (b *builder) register(reg *transport.Register) (parts []string) {
	named := func(name, form string, texts []string) {
		if entries := entriesOf(texts); len(entries) > 0 {
			b.rule(name, form, entries...)
			parts = append(parts, "<"+name+">")
		}
	}
	var names, certificates []string
	for _, o := range reg.Officers {
		names = append(names, o.Name, o.Spoken)
		if d := words.Digits(o.Certificate); len(d) > 0 && len(d) <= maxDigits {
			certificates = append(certificates, strings.Join(d, " "))
		}
	}
	named("department", "[of [the] | from [the] | for [the] | this is [the] | we are [from] [the] | [the] department [is] [the]] ENTRIES", reg.Departments)
	named("officer", "[this is | i am | we are | my name is | with | and] [officer | officers | inspector | inspectors | colleague] ENTRIES", names)
	named("cause", "[[the] cause [is] [a | an] | because of [a | an] | [the] reason [is] [a | an] | for [a | an] | [we are] ( inspecting | checking ) [a | an | the]] ENTRIES", reg.Causes)
	named("place", "[[the] place [is] | [we are] ( at | in | on ) [the] | [the] location [is]] ENTRIES", reg.Places)
	named("activity", "[this is an | this is a | for an | for a] ENTRIES", reg.Activities)
	b.rule("digit", "ENTRIES", append(words.Digits("0123456789"), "oh")...)
	number := "<digit> <digit> <digit> <digit>+"
	if certificates = unique(certificates); len(certificates) > 0 {
		number = "ENTRIES | " + number
	}
	b.rule("number", number, certificates...)
	b.rule("certificate", "certificate [number | number is | is] <number>")
	return append(parts, "<certificate>")
}

func (b *builder) times() {
	b.rule("hour", "ENTRIES", hours...)
	b.rule("minute", "ENTRIES", minutes...)
	b.rule("day", "ENTRIES", days...)
	b.rule("month", "ENTRIES", months...)
	b.rule("clock", "<hour> <minute> | <hour> oh <digit> | <hour> hundred [hours] | <hour> oclock | half past <hour> | quarter past <hour> | quarter to <hour>")
	b.rule("time", "( [the] time [is] | it is | today at | now ) <clock> [a m | p m | in the morning | in the afternoon | in the evening]")
	b.rule("date", "( [the] date [is] | today [is] | on ) ( [the] <day> of <month> | <month> [the] <day> )")
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
