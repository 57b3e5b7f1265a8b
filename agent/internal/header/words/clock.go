package words

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var colon = regexp.MustCompile(`(\d{1,2})[:：](\d{2})`)

// Clocks makes times that are written with a colon into words, which Tokens would tear apart: 9:30 is time 9 30.
func Clocks(text string) string { return colon.ReplaceAllString(text, " time $1 $2 ") }

// Time looks for the date and the time of day that a text tells, in English or Chinese, and writes them as YYYY-MM-DD HH:MM, with as much of it as was said.
// clock says that the time of day is among it and can be nothing else; at are the tokens that told it.
func Time(text []Token) (value string, clock bool, at []int) {
	date, dateAt := findDate(text)
	for i := range text {
		if inNumeral(text, i) {
			continue
		}
		h, m, n, sure := readClock(text[i:])
		if n > 0 && (sure || asked(text, i)) {
			for k := range n {
				at = append(at, i+k)
			}
			return strings.TrimSpace(fmt.Sprintf("%s %02d:%02d", date, h, m)), true, append(at, dateAt...)
		}
	}
	for i := range text { // two numbers that may be a time, and nothing says so
		h, m, n, _ := readClock(text[i:])
		if n >= 2 && !digitsAt(text, i-1) && !digitsAt(text, i+n) && !inNumeral(text, i) {
			return strings.TrimSpace(fmt.Sprintf("%s %02d:%02d", date, h, m)), false, append(span(i, n), dateAt...)
		}
	}
	return date, false, dateAt
}

func digitsAt(text []Token, i int) bool {
	return i >= 0 && i < len(text) && text[i].Text[0] >= '0' && text[i].Text[0] <= '9'
}

// asked reports whether what stands before a token says that a time follows.
func asked(text []Token, i int) bool {
	before := Join(text[max(0, i-4):i])
	for _, s := range []string{"time", "time is", "it is", "its", "time at", "now", "时间", "时间是", "时间为", "现在", "现在是"} {
		if before == s || strings.HasSuffix(before, " "+s) || Chinese(s) && strings.HasSuffix(before, s) {
			return true
		}
	}
	return false
}

func word(text []Token, i int) string {
	if i < len(text) {
		return text[i].Text
	}
	return ""
}

func plainNumber(s string, most int) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && len(s) <= 2 && n >= 0 && n <= most
}

// readClock reads a time of day at the beginning of a text; n is how many tokens it takes, 0 if there is none, and sure that it can be nothing else.
func readClock(text []Token) (h, m, n int, sure bool) {
	if h, m, n, sure = chineseClock(text); n > 0 {
		return h, m, n, sure
	}
	if w := word(text, 0); (w == "half" || w == "quarter") && (word(text, 1) == "past" || word(text, 1) == "to") {
		h, ok := plainNumber(word(text, 2), 23)
		if !ok {
			return 0, 0, 0, false
		}
		m = map[string]int{"half": 30, "quarter": 15}[w]
		if word(text, 1) == "to" {
			h, m = (h+23)%24, 60-m
		}
		h, n = noon(text, h, 3)
		return h, m, n, true
	}
	h, ok := plainNumber(word(text, 0), 23)
	if !ok {
		return 0, 0, 0, false
	}
	n = 1
	switch minute, ok := plainNumber(word(text, 1), 59); {
	case word(text, 1) == "0" && len(word(text, 2)) == 1 && word(text, 2) >= "0" && word(text, 2) <= "9": // thirteen oh five
		m, n = int(word(text, 2)[0]-'0'), 3
	case ok && len(word(text, 1)) == 2:
		m, n = minute, 2
	case word(text, 1) == "hundred" || word(text, 1) == "oclock" || word(text, 1) == "o" && word(text, 2) == "clock":
		n, sure = 2, true
		if word(text, 1) == "o" {
			n = 3
		}
	}
	if word(text, n) == "hours" {
		n, sure = n+1, true
	}
	before := n
	h, n = noon(text, h, n)
	return h, m, n, sure || n > before
}

// noon reads what says which half of the day it is.
func noon(text []Token, h, n int) (hour, end int) {
	rest := Join(text[min(n, len(text)):min(n+3, len(text))])
	for said, late := range map[string]bool{"am": false, "pm": true, "a m": false, "p m": true, "in the morning": false, "in the afternoon": true, "in the evening": true} {
		if rest == said || strings.HasPrefix(rest, said+" ") {
			return half(h, late), n + len(strings.Fields(said))
		}
	}
	return h, n
}

func half(h int, late bool) int {
	switch {
	case late && h < 12:
		return h + 12
	case !late && h == 12:
		return 0
	}
	return h
}

var months = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}

func findDate(text []Token) (value string, at []int) {
	for i := range text {
		if y, m, d, n := chineseDate(text[i:]); n > 0 && !inNumeral(text, i) {
			return date(y, m, d), span(i, n)
		}
		m := slices.Index(months, text[i].Text) + 1
		if m == 0 {
			continue
		}
		from, next := i, i+1
		d, ok := 0, false
		if word(text, next) == "the" {
			next++
		}
		if d, ok = plainNumber(word(text, next), 31); ok {
			next++
		} else if i > 1 && text[i-1].Text == "of" {
			d, ok = plainNumber(text[i-2].Text, 31)
			from, next = i-2, i+1
		} else if i > 0 {
			d, ok = plainNumber(text[i-1].Text, 31)
			from, next = i-1, i+1
		}
		if !ok || d == 0 {
			continue
		}
		y := 0
		if w := word(text, next); len(w) == 4 && strings.HasPrefix(w, "20") {
			y, _ = strconv.Atoi(w) // not a number: no year
			next++
		}
		return date(y, m, d), span(from, next-from)
	}
	return "", nil
}

func date(y, m, d int) string {
	if y == 0 {
		return fmt.Sprintf("%02d-%02d", m, d)
	}
	return fmt.Sprintf("%04d-%02d-%02d", y, m, d)
}

func span(from, n int) (at []int) {
	for i := range n {
		at = append(at, from+i)
	}
	return at
}
