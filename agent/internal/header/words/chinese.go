package words

import (
	"strconv"
	"strings"
)

var numerals = map[string]int{"零": 0, "〇": 0, "一": 1, "幺": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}

// inNumeral reports whether a token is in the middle of a Chinese number: 十五 of 二十五 is none.
func inNumeral(text []Token, i int) bool {
	part := func(s string) bool { _, ok := numerals[s]; return ok || s == "十" }
	return i > 0 && part(text[i-1].Text) && part(text[i].Text)
}

// chineseNumber reads a number below 100 in digits or numerals; n is how many tokens it takes, 0 if there is none.
func chineseNumber(text []Token) (value, n int) {
	if v, ok := plainNumber(word(text, 0), 99); ok {
		return v, 1
	}
	v, ok := numerals[word(text, 0)]
	if ok {
		n = 1
	}
	if word(text, n) == "十" {
		if !ok {
			v = 1
		}
		v, n = 10*v, n+1
		if u, ok := numerals[word(text, n)]; ok {
			v, n = v+u, n+1
		}
	} else if u, more := numerals[word(text, 1)]; ok && v == 0 && more { // 零五分
		return u, 2
	}
	return v, n
}

// starts reports whether a text begins with these signs.
func starts(text []Token, signs string) bool {
	n := 0
	for _, r := range signs {
		if word(text, n) != string(r) {
			return false
		}
		n++
	}
	return true
}

func chineseClock(text []Token) (h, m, n int, sure bool) {
	late, said := false, false
	for _, w := range []string{"上午", "下午", "晚上", "中午", "凌晨", "早上", "早晨", "傍晚"} {
		if starts(text, w) {
			late, said, n = w != "上午" && w != "凌晨" && w != "早上" && w != "早晨", true, 2
			if w == "中午" {
				late = false
			}
			break
		}
	}
	h, used := chineseNumber(text[n:])
	if used == 0 || h > 24 {
		return 0, 0, 0, false
	}
	n += used
	if w := word(text, n); w != "点" && w != "時" && w != "时" {
		return 0, 0, 0, false
	}
	n++
	if word(text, n) == "钟" || word(text, n) == "整" {
		n++
	}
	switch v, used := chineseNumber(text[n:]); {
	case word(text, n) == "半":
		m, n = 30, n+1
	case used > 0 && v < 60 && word(text, n+used) == "刻":
		m, n = 15*min(v, 3), n+used+1
	case used > 0 && v < 60:
		m, n = v, n+used
		if word(text, n) == "分" {
			n++
		}
	}
	if said && h < 12 {
		h = half(h, late)
	}
	return h % 24, m, n, true
}

func chineseDate(text []Token) (y, m, d, n int) {
	y, n = chineseYear(text)
	m, used := chineseNumber(text[n:])
	if used == 0 || m < 1 || m > 12 || word(text, n+used) != "月" {
		return 0, 0, 0, 0
	}
	n += used + 1
	d, used = chineseNumber(text[n:])
	if used == 0 || d < 1 || d > 31 || word(text, n+used) != "日" && word(text, n+used) != "号" {
		return 0, 0, 0, 0
	}
	return y, m, d, n + used + 1
}

// chineseYear reads 2026年 or 二〇二六年.
func chineseYear(text []Token) (y, n int) {
	digits := ""
	for n < len(text) && len(digits) < 4 {
		w := text[n].Text
		if v, ok := numerals[w]; ok {
			w = strconv.Itoa(v)
		}
		if strings.Trim(w, "0123456789") != "" {
			return 0, 0
		}
		digits, n = digits+w, n+1
	}
	if y, err := strconv.Atoi(digits); err == nil && len(digits) == 4 && word(text, n) == "年" {
		return y, n + 1
	}
	return 0, 0
}

// Number is a run of digits in a text, such as a certificate's.
type Number struct {
	Digits      string
	From, Until int // tokens
}

// Numbers are the runs of digits of at least four, said one by one or in groups, in digits or Chinese numerals. "Double five" is 55.
func Numbers(text []Token) []Number {
	var list []Number
	for i := 0; i < len(text); {
		from, run := i, strings.Builder{}
		for i < len(text) {
			w, times := text[i].Text, 1
			if w == "double" && i+1 < len(text) {
				w, times = text[i+1].Text, 2
			}
			if v, ok := numerals[w]; ok && w != "两" {
				w = strconv.Itoa(v)
			}
			if strings.Trim(w, "0123456789") != "" || times == 2 && len(w) != 1 {
				break
			}
			run.WriteString(strings.Repeat(w, times))
			i += times
		}
		if run.Len() >= 4 {
			list = append(list, Number{run.String(), from, i})
		}
		if i == from {
			i++
		}
	}
	return list
}
