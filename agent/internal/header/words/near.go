package words

import "strings"

// Near says how alike two rows of tokens sound, from 0 to 1: by their letters and by a rough key of their sounds, whichever is nearer. Chinese signs are
// compared one by one. Digits must be the same: 15 and 16 are no neighbours.
func Near(a, b []Token) float64 {
	if numbers(a) != numbers(b) {
		return 0
	}
	x, y := []rune(Join(a)), []rune(Join(b))
	best := alike(x, y)
	if !Chinese(string(x)) {
		best = max(best, 0.98*alike([]rune(sounds(a)), []rune(sounds(b))))
	}
	return best
}

func numbers(list []Token) string {
	var b strings.Builder
	for _, t := range list {
		if t.Text[0] >= '0' && t.Text[0] <= '9' {
			b.WriteString(t.Text + " ")
		}
	}
	return b.String()
}

func alike(a, b []rune) float64 {
	longest := max(len(a), len(b))
	if longest == 0 {
		return 0
	}
	return 1 - float64(distance(a, b))/float64(longest)
}

func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		before := row[0]
		row[0] = i + 1
		for j, y := range b {
			cost := before
			if x != y {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// alikes are spellings of one sound. What is written differently and sounds the same, Lee and Li or Jones and Johns, gets nearly one key.
var alikes = strings.NewReplacer(
	"tion", "xn", "ight", "it", "igh", "i", "ph", "f", "gh", "", "ck", "k", "sch", "x", "sh", "x", "ch", "x", "zh", "j", "dge", "j", "kn", "n", "wr", "r", "qu", "kw",
	"ee", "i", "ea", "i", "ie", "i", "ey", "i", "ay", "e", "ai", "e", "ei", "e", "oo", "u", "ou", "u", "ow", "o", "oa", "o", "au", "o", "aw", "o",
	"ce", "se", "ci", "si", "c", "k", "y", "i", "z", "s", "h", "",
)

func sounds(list []Token) string {
	var b strings.Builder
	for _, t := range list {
		word := t.Text
		if len(word) > 3 {
			word = strings.TrimSuffix(word, "e")
		}
		last := rune(0)
		for _, r := range alikes.Replace(word) {
			if r != last { // doubled letters
				b.WriteRune(r)
			}
			last = r
		}
	}
	return b.String()
}

// Find is the place in a text that is most like an entry: tokens from to until, and how alike. Windows may be a token longer or shorter than the
// entry, for Chinese two.
func Find(text, entry []Token) (from, until int, near float64) {
	if len(entry) == 0 {
		return 0, 0, 0
	}
	slack := 1
	if Chinese(entry[0].Text) {
		slack = min(2, len(entry)/3)
	}
	for n := max(1, len(entry)-slack); n <= len(entry)+slack; n++ {
		for i := 0; i+n <= len(text); i++ {
			if s := Near(text[i:i+n], entry); s > near {
				from, until, near = i, i+n, s
			}
		}
	}
	return from, until, near
}
