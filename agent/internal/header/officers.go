package header

import (
	"cmp"
	"slices"
	"strings"

	"camseal/agent/internal/header/words"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// FormatOfficers writes officers as the value of a field: name and certificate number, with "; " between two of them.
func FormatOfficers(list []evidence.Officer) string {
	var said []string
	for _, o := range list {
		said = append(said, strings.TrimSpace(strings.ReplaceAll(o.Name, ";", ",")+" "+o.Certificate))
	}
	return strings.Join(said, "; ")
}

// ParseOfficers reads what FormatOfficers writes, and what a person makes of it: a last word with a digit in it is the certificate number.
func ParseOfficers(value string) []evidence.Officer {
	var list []evidence.Officer
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(";；、", r) }) {
		fields := strings.Fields(part)
		if len(fields) == 0 {
			continue
		}
		o := evidence.Officer{Name: strings.Join(fields, " ")}
		if last := fields[len(fields)-1]; strings.ContainsAny(last, "0123456789") {
			o = evidence.Officer{Name: strings.Join(fields[:len(fields)-1], " "), Certificate: last}
		}
		list = append(list, o)
	}
	return list
}

// named is an officer of the register who may have been heard.
type named struct {
	officer     transport.Officer
	near        float64
	from, until int
	number      int // index of the certificate number that was heard, -1: none
	sure        bool
}

// officers finds the officers that were named. One is sure if name and certificate number fit, or the name fits one officer only and no number was heard for it.
func (t *heardText) officers(register []transport.Officer) Field {
	numbers := words.Numbers(t.tokens)
	found := t.choose(t.candidates(register, numbers), numbers)
	taken := map[int]bool{}
	var list []evidence.Officer
	f := Field{Name: "officers", State: FieldMatched}
	for i := range found {
		n := &found[i]
		number := n.number
		if number < 0 {
			number = t.follows(numbers, found, i, taken)
		}
		o := evidence.Officer{Name: n.officer.Name, Certificate: n.officer.Certificate}
		if number >= 0 {
			taken[number] = true
			t.use(numbers[number].From, numbers[number].Until)
			if n.number < 0 { // another number than the register's: what was said counts
				o.Certificate, n.sure = numbers[number].Digits, false
			}
		}
		if !n.sure {
			f.State = FieldHeard
		}
		list = append(list, o)
	}
	if len(list) == 0 {
		return t.byNumber(register, numbers)
	}
	f.Value = FormatOfficers(list)
	return f
}

// candidates are all officers whose name is like something that was said.
func (t *heardText) candidates(register []transport.Officer, numbers []words.Number) []named {
	var list []named
	for _, o := range register {
		if strings.TrimSpace(o.Name) == "" {
			continue
		}
		digits := strings.Join(strings.FieldsFunc(o.Certificate, func(r rune) bool { return r < '0' || r > '9' }), "")
		number := slices.IndexFunc(numbers, func(n words.Number) bool { return digits != "" && n.Digits == digits })
		best := named{officer: o, number: number}
		for _, form := range []string{o.Name, o.Spoken} {
			want := words.Tokens(form)
			if from, until, near := words.Find(t.tokens, want); near > best.near && (near >= bound(want) || number >= 0 && near >= enoughNamed) {
				best.near, best.from, best.until = near, from, until
			}
		}
		if best.near > 0 {
			best.sure = true
			list = append(list, best)
		}
	}
	return list
}

// choose leaves one officer for each place in the text: whose number was heard, else whose name is nearest.
func (t *heardText) choose(list []named, numbers []words.Number) []named {
	rank := func(n named) float64 {
		if n.number >= 0 {
			return n.near + 1
		}
		return n.near
	}
	slices.SortStableFunc(list, func(a, b named) int { return cmp.Compare(rank(b), rank(a)) })
	var chosen []named
	for _, n := range list {
		clash := slices.IndexFunc(chosen, func(c named) bool { return n.from < c.until && c.from < n.until })
		if clash < 0 {
			chosen = append(chosen, n)
		} else if rank(chosen[clash]) == rank(n) { // two of one name
			chosen[clash].sure = false
		}
	}
	for _, n := range chosen {
		t.use(n.from, n.until)
	}
	slices.SortFunc(chosen, func(a, b named) int { return cmp.Compare(a.from, b.from) })
	return chosen
}

// follows is the number that was said after an officer's name and before the next one, if it is said to be a certificate's and is nobody else's; -1 if there is none.
func (t *heardText) follows(numbers []words.Number, found []named, i int, taken map[int]bool) int {
	end := len(t.tokens)
	if i+1 < len(found) {
		end = found[i+1].from
	}
	for k, n := range numbers {
		theirs := slices.ContainsFunc(found, func(o named) bool { return o.number == k })
		if n.From >= found[i].until && n.From < end && t.keyed("certificate", n.From) && !theirs && !taken[k] {
			return k
		}
	}
	return -1
}

// byNumber names officers of whom only the certificate number was heard.
func (t *heardText) byNumber(register []transport.Officer, numbers []words.Number) Field {
	var list []evidence.Officer
	for _, n := range numbers {
		i := slices.IndexFunc(register, func(o transport.Officer) bool { return o.Certificate == n.Digits })
		switch {
		case i >= 0:
			list = append(list, evidence.Officer{Name: register[i].Name, Certificate: n.Digits})
		case t.keyed("certificate", n.From):
			name := ""
			if len(list) == 0 {
				name = t.after("officers")
			}
			list = append(list, evidence.Officer{Name: name, Certificate: n.Digits})
		default:
			continue
		}
		t.use(n.From, n.Until)
	}
	if len(list) == 0 {
		return Field{"officers", FieldMissing, ""}
	}
	return Field{"officers", FieldHeard, FormatOfficers(list)}
}
