package sphinx

import "strings"

// How words sound that no dictionary has: names, mostly. Chinese names in pinyin by their syllables, and everything by the habits of
// English spelling; the recogniser takes whichever of them fits.

var initials = map[string]string{
	"": "", "b": "B", "p": "P", "m": "M", "f": "F", "d": "D", "t": "T", "n": "N", "l": "L", "g": "G", "k": "K", "h": "HH", "j": "JH", "q": "CH", "x": "SH",
	"zh": "JH", "ch": "CH", "sh": "SH", "r": "R", "z": "Z", "c": "T S", "s": "S", "y": "Y", "w": "W",
}

var finals = map[string]string{
	"a": "AA", "o": "AO", "e": "AH", "i": "IY", "u": "UW", "v": "UW", "ai": "AY", "ei": "EY", "ui": "W EY", "ao": "AW", "ou": "OW", "iu": "Y OW",
	"ie": "Y EH", "ue": "W EH", "ve": "W EH", "er": "ER", "an": "AA N", "en": "AH N", "in": "IH N", "un": "UH N", "vn": "UW N", "ang": "AA NG", "eng": "AH NG",
	"ing": "IH NG", "ong": "UH NG", "ia": "Y AA", "iao": "Y AW", "ian": "Y EH N", "iang": "Y AA NG", "iong": "Y UH NG",
	"ua": "W AA", "uo": "W AO", "uai": "W AY", "uan": "W AA N", "uang": "W AA NG",
}

// pinyin are the sounds of a word if it is made of at most four syllables of pinyin.
func pinyin(word string) (string, bool) { return syllables(word, 4) }

func syllables(word string, left int) (string, bool) {
	if word == "" {
		return "", true
	}
	if left == 0 {
		return "", false
	}
	for n := min(6, len(word)); n > 0; n-- { // the longest syllable first: xiang before xi
		sounds, ok := syllable(word[:n])
		if !ok {
			continue
		}
		if rest, ok := syllables(word[n:], left-1); ok {
			return strings.TrimSpace(sounds + " " + rest), true
		}
	}
	return "", false
}

func syllable(s string) (string, bool) {
	for n := min(2, len(s)); n >= 0; n-- {
		first, ok := initials[s[:n]]
		if !ok {
			continue
		}
		last, ok := finals[s[n:]]
		if !ok || n == 0 && strings.ContainsAny(s[:1], "iuv") {
			continue
		}
		if s[n:] == "i" && strings.Contains(" zh ch sh r z c s ", " "+s[:n]+" ") {
			last = "ER"
		}
		if n == 1 && (s[0] == 'y' && strings.HasPrefix(s[n:], "i") || s[0] == 'w' && s[n:] == "u") {
			first = "" // yi, ying, wu
		}
		return strings.TrimSpace(first + " " + last), true
	}
	return "", false
}

// A rule says how letters sound where what is around them fits: before and after are "" for anything, "^" for the word's edge, "v" for a
// vowel, "c" for a consonant, "e" for a letter that softens (e, i, y), "m" for a consonant and a mute e at the end.
type rule struct{ before, letters, after, sounds string }

// rules: the first that fits counts, so the longer and more special come first.
var rules = []rule{
	{"", "tion", "", "SH AH N"}, {"", "sion", "", "ZH AH N"}, {"", "ture", "", "CH ER"}, {"", "ight", "", "AY T"}, {"", "augh", "", "AO"}, {"", "ough", "", "AO"},
	{"", "eigh", "", "EY"}, {"", "ious", "^", "IY AH S"}, {"", "tch", "", "CH"}, {"", "sch", "", "SH"}, {"", "dge", "", "JH"}, {"", "igh", "", "AY"},
	{"", "eau", "", "OW"}, {"", "ear", "", "IH R"}, {"", "eer", "", "IH R"}, {"", "air", "", "EH R"}, {"", "our", "", "AW R"}, {"", "oor", "", "AO R"},
	{"", "are", "^", "EH R"}, {"", "ire", "^", "AY ER"}, {"", "ore", "^", "AO R"}, {"", "ure", "^", "Y UH R"}, {"", "ous", "^", "AH S"}, {"", "ing", "", "IH NG"},
	{"", "ang", "", "AE NG"}, {"", "ong", "", "AO NG"}, {"", "ung", "", "AH NG"}, {"", "eng", "", "EH NG"}, {"", "que", "^", "K"}, {"", "gue", "^", "G"},
	{"", "all", "", "AO L"}, {"", "alk", "", "AO K"}, {"", "ind", "^", "AY N D"}, {"", "old", "", "OW L D"}, {"", "war", "", "W AO R"}, {"", "wor", "", "W ER"},
	{"^", "kn", "", "N"}, {"^", "gn", "", "N"}, {"^", "wr", "", "R"}, {"^", "ps", "", "S"}, {"^", "wh", "", "W"}, {"^", "x", "", "Z"}, {"", "mb", "^", "M"},
	{"", "sh", "", "SH"}, {"", "ch", "", "CH"}, {"", "ph", "", "F"}, {"", "th", "", "TH"}, {"", "gh", "", "G"}, {"", "wh", "", "W"}, {"", "ck", "", "K"},
	{"", "ng", "^", "NG"}, {"", "qu", "", "K W"}, {"", "sc", "e", "S"}, {"", "cc", "e", "K S"}, {"v", "ed", "^", "D"}, {"", "es", "^", "Z"}, {"", "le", "^", "AH L"},
	{"", "er", "^", "ER"}, {"", "er", "c", "ER"}, {"", "ir", "", "ER"}, {"", "ur", "", "ER"}, {"", "ar", "", "AA R"}, {"", "or", "", "AO R"},
	{"", "ai", "", "EY"}, {"", "ay", "", "EY"}, {"", "au", "", "AO"}, {"", "aw", "", "AO"}, {"", "ea", "", "IY"}, {"", "ee", "", "IY"}, {"", "ei", "", "EY"},
	{"", "eu", "", "Y UW"}, {"", "ew", "", "Y UW"}, {"", "ey", "^", "IY"}, {"", "ie", "", "IY"}, {"", "oa", "", "OW"}, {"", "oe", "", "OW"}, {"", "oi", "", "OY"},
	{"", "oo", "", "UW"}, {"", "ou", "", "AW"}, {"", "ow", "^", "OW"}, {"", "ow", "", "AW"}, {"", "oy", "", "OY"}, {"", "ue", "", "UW"}, {"", "ui", "", "UW IH"},
	{"", "bb", "", "B"}, {"", "dd", "", "D"}, {"", "ff", "", "F"}, {"", "gg", "", "G"}, {"", "ll", "", "L"}, {"", "mm", "", "M"}, {"", "nn", "", "N"},
	{"", "pp", "", "P"}, {"", "rr", "", "R"}, {"", "ss", "", "S"}, {"", "tt", "", "T"}, {"", "zz", "", "Z"}, {"", "cc", "", "K"}, {"", "kk", "", "K"},
	{"", "a", "^", "AH"}, {"", "a", "m", "EY"}, {"", "a", "", "AE"}, {"^", "e", "^", "IY"}, {"c", "e", "^", ""}, {"", "e", "m", "IY"}, {"", "e", "", "EH"},
	{"", "i", "^", "IY"}, {"", "i", "m", "AY"}, {"", "i", "", "IH"}, {"", "o", "^", "OW"}, {"", "o", "m", "OW"}, {"", "o", "", "AA"},
	{"", "u", "^", "UW"}, {"", "u", "m", "UW"}, {"", "u", "", "AH"}, {"^", "y", "", "Y"}, {"", "y", "^", "IY"}, {"v", "y", "", "Y"}, {"", "y", "", "IH"},
	{"", "b", "", "B"}, {"", "c", "e", "S"}, {"", "c", "", "K"}, {"", "d", "", "D"}, {"", "f", "", "F"}, {"", "g", "e", "JH"}, {"", "g", "", "G"},
	{"", "h", "v", "HH"}, {"", "h", "", ""}, {"", "j", "", "JH"}, {"", "k", "", "K"}, {"", "l", "", "L"}, {"", "m", "", "M"}, {"", "n", "k", "NG"}, {"", "n", "", "N"},
	{"", "p", "", "P"}, {"", "q", "", "K"}, {"", "r", "", "R"}, {"v", "s", "^", "Z"}, {"", "s", "", "S"}, {"", "t", "", "T"}, {"", "v", "", "V"},
	{"", "w", "v", "W"}, {"", "w", "", ""}, {"", "x", "", "K S"}, {"", "z", "", "Z"},
}

const vowels = "aeiouy"

func fits(class, near string) bool {
	vowel := near != "" && strings.IndexByte(vowels, near[0]) >= 0
	switch class {
	case "":
		return true
	case "^":
		return near == ""
	case "v":
		return vowel
	case "c":
		return near != "" && !vowel
	case "e":
		return near != "" && strings.IndexByte("eiy", near[0]) >= 0
	case "m":
		return len(near) == 2 && !vowel && near[1] == 'e'
	}
	return strings.HasPrefix(near, class)
}

// english are the sounds of a word of small letters by the habits of English spelling; empty if it has none.
func english(word string) string {
	var sounds []string
	for at := 0; at < len(word); {
		before := ""
		if at > 0 {
			before = word[at-1 : at]
		}
		step := 1
		for _, r := range rules {
			if strings.HasPrefix(word[at:], r.letters) && fits(r.before, before) && fits(r.after, word[at+len(r.letters):]) {
				step = len(r.letters)
				if r.sounds != "" {
					sounds = append(sounds, r.sounds)
				}
				break
			}
		}
		at += step
	}
	return strings.Join(sounds, " ")
}
