// Package words brings what was said and what is written in a register to one form: small letters, numbers as digits, Chinese signs one by one.
package words

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Plain is a text without what can't be said: compatibility forms and accents undone, small letters, nothing but letters, digits and
// single spaces. Apostrophes inside words stay out too: people's is peoples.
func Plain(text string) string {
	var b strings.Builder
	space := false
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(text, " ")) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || Han(r): // 〇 is no letter
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			space = false
			b.WriteRune(unicode.ToLower(r))
		case r == '\'' || r == '’' || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Lm, r):
		default:
			space = true
		}
	}
	return b.String()
}

// Han reports whether a sign is a Chinese one.
func Han(r rune) bool { return unicode.Is(unicode.Han, r) }

// Chinese reports whether a text holds Chinese.
func Chinese(text string) bool { return strings.ContainsFunc(text, Han) }

var units = map[string]int{
	"zero": 0, "oh": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "niner": 9, "ten": 10,
	"eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}

var tens = map[string]int{"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}

var ordinals = map[string]int{
	"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "eleventh": 11,
	"twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16, "seventeenth": 17, "eighteenth": 18, "nineteenth": 19,
	"twentieth": 20, "thirtieth": 30,
}

// Token is a word with its place in the text that it is from.
type Token struct {
	Text  string // a word, a number as digits, or one Chinese sign
	First int    // first and last of the text's words, as strings.Fields of Plain(text) has them
	Last  int
}

// Tokens is a text in the one form: "Harbour Road fifteen" and "harbour road 15" are the same, "one two" is two numbers and
// "twenty two" is one.
func Tokens(text string) []Token {
	var list []Token
	fields := strings.Fields(Plain(text))
	for i := 0; i < len(fields); i++ {
		f := fields[i]
		if n, last, ok := number(fields, i); ok {
			list = append(list, Token{digits(n), i, last})
			i = last
			continue
		}
		for _, part := range pieces(f) {
			list = append(list, Token{part, i, i})
		}
	}
	return list
}

// number reads the number that begins at a word: one word, or tens with a unit.
func number(fields []string, i int) (n, last int, ok bool) {
	if n, ok := units[fields[i]]; ok {
		return n, i, true
	}
	if n, ok := ordinals[fields[i]]; ok {
		return n, i, true
	}
	n, ok = tens[fields[i]]
	if !ok {
		return 0, 0, false
	}
	if i+1 < len(fields) {
		for _, list := range []map[string]int{units, ordinals} {
			if u, ok := list[fields[i+1]]; ok && u > 0 && u < 10 {
				return n + u, i + 1, true
			}
		}
	}
	return n, i, true
}

func digits(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return string(rune('0'+n/10)) + string(rune('0'+n%10))
}

// pieces are the Chinese signs, numbers and other words of one field: 执法证号123456号 has no spaces.
func pieces(field string) []string {
	var list []string
	kind := func(r rune) int {
		switch {
		case Han(r):
			return 0
		case unicode.IsDigit(r):
			return 1
		}
		return 2
	}
	last := 0
	for _, r := range field {
		k := kind(r)
		if len(list) > 0 && k != 0 && k == last {
			list[len(list)-1] += string(r)
		} else {
			list = append(list, string(r))
		}
		last = k
	}
	return list
}

// Spoken is how a text is said, in English words: "Harbour Road 15" is harbour road fifteen, 204 is two zero four. What is not Latin is left out.
func Spoken(text string) []string {
	var list []string
	for _, f := range strings.Fields(Plain(text)) {
		for _, p := range pieces(f) {
			switch {
			case p[0] >= '0' && p[0] <= '9':
				list = append(list, sayNumber(p)...)
			case strings.Trim(p, "abcdefghijklmnopqrstuvwxyz") == "":
				list = append(list, p)
			}
		}
	}
	return list
}

var unitWords, tenWords = func() (u [20]string, t [10]string) {
	for w, n := range units {
		if w != "oh" && w != "niner" {
			u[n] = w
		}
	}
	for w, n := range tens {
		t[n/10] = w
	}
	return u, t
}()

func sayNumber(number string) []string {
	if len(number) == 1 || len(number) == 2 && number[0] != '0' {
		n := 0
		for _, d := range number {
			n = 10*n + int(d-'0')
		}
		if n >= 0 && n < 20 {
			return []string{unitWords[n]}
		}
		if n%10 == 0 {
			return []string{tenWords[n/10]}
		}
		return []string{tenWords[n/10], unitWords[n%10]}
	}
	return Digits(number)
}

// Digits says the digits of a text one by one.
func Digits(text string) []string {
	var list []string
	for _, d := range text {
		if d >= '0' && d <= '9' {
			list = append(list, unitWords[d-'0'])
		}
	}
	return list
}

// Join is the texts of tokens, with spaces between those that are not Chinese.
func Join(tokens []Token) string {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 && !Chinese(t.Text) && !Chinese(tokens[i-1].Text) {
			b.WriteByte(' ')
		}
		b.WriteString(t.Text)
	}
	return b.String()
}
