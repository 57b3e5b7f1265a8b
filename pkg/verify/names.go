package verify

import (
	"strings"
	"unicode/utf8"
)

// MaxName is the longest name that SafeName gives, in bytes.
const MaxName = 150

const maxExtension = 20

// SafeName turns the bytes of a file's name, as its recorder had it, into a name that every common file system takes:
// valid UTF-8, no separators, control, formatting or reserved characters, no reserved Windows name, neither beginning with a dot nor
// ending in a dot or space, 1 to MaxName bytes with the extension kept. The same bytes give the same name always: the
// rules hang on no version of Unicode.
func SafeName(name []byte) string {
	s := trimName(replaceOdd(name, `/\:*?"<>|%`))
	if reservedName(s) {
		s = "_" + s
	}
	stem, ext := s, ""
	if i := strings.LastIndexByte(s, '.'); i > 0 && len(s)-i <= maxExtension {
		stem, ext = s[:i], s[i:]
	}
	for len(stem)+len(ext) > MaxName {
		_, n := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-n]
	}
	if s = trimName(stem + ext); s == "" {
		return "original"
	}
	return s
}

// replaceOdd replaces broken UTF-8, characters that show nothing or turn the text around, and those in also, by "_".
func replaceOdd(text []byte, also string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if oddRune(r) || strings.ContainsRune(also, r) {
			r = '_'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// oddRunes are ranges of characters that show nothing, break lines or turn the text around, and U+FFFD.
var oddRunes = [][2]rune{
	{0x0000, 0x001F}, {0x007F, 0x009F}, {0x00AD, 0x00AD}, {0x034F, 0x034F}, {0x061C, 0x061C}, {0x115F, 0x1160},
	{0x17B4, 0x17B5}, {0x180B, 0x180F}, {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F}, {0x3164, 0x3164},
	{0xE000, 0xF8FF}, {0xFDD0, 0xFDEF}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFF}, {0xE0000, 0x10FFFF},
}

func oddRune(r rune) bool {
	for _, x := range oddRunes {
		if r >= x[0] && r <= x[1] {
			return true
		}
	}
	return r&0xFFFE == 0xFFFE
}

func trimName(s string) string {
	s = strings.TrimRight(s, ". ")
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, ".") {
		s = "_" + s[1:]
	}
	return s
}

// reservedName reports whether Windows keeps the name for a device, with any extension.
func reservedName(s string) bool {
	base, _, _ := strings.Cut(s, ".")
	base = strings.TrimRight(upperASCII(base), " ")
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	for _, p := range []string{"COM", "LPT"} {
		if rest, ok := strings.CutPrefix(base, p); ok && utf8.RuneCountInString(rest) == 1 && strings.ContainsAny(rest, "0123456789¹²³") {
			return true
		}
	}
	return false
}

func upperASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}
