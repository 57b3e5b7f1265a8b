package evidence

import "unicode/utf8"

// plainLine reports whether a line is surely in canonical form as far as that can be seen without its type: one value, members in
// strictly ascending order, integers, strings without any escape, nothing between tokens. It takes most lines that are written, in one pass; what it does not take
// is for checkSyntax and the canonicalizer to judge.
func plainLine(line []byte) bool {
	if len(line) > MaxLine || !utf8.Valid(line) {
		return false
	}
	rest, ok := plainValue(line, 0)
	return ok && len(rest) == 0
}

func plainValue(b []byte, depth int) (rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	switch c := b[0]; {
	case c == '"':
		_, rest, ok = plainString(b)
		return rest, ok
	case c >= '0' && c <= '9':
		n := 1
		for n < len(b) && b[n] >= '0' && b[n] <= '9' {
			n++
		}
		return b[n:], checkNumber(string(b[:n])) == nil
	case depth == maxDepth:
		return nil, false
	case c == '{':
		return plainObject(b[1:], depth)
	case c == '[':
		return plainArray(b[1:], depth)
	}
	for _, word := range []string{"true", "false", "null"} {
		if len(b) >= len(word) && string(b[:len(word)]) == word {
			return b[len(word):], true
		}
	}
	return nil, false
}

func plainObject(b []byte, depth int) (rest []byte, ok bool) {
	if len(b) > 0 && b[0] == '}' {
		return b[1:], true
	}
	last := ""
	for {
		name, after, ok := plainString(b)
		if !ok || !plainName(string(name)) || string(name) <= last || len(after) == 0 || after[0] != ':' {
			return nil, false
		}
		last = string(name)
		if b, ok = plainValue(after[1:], depth+1); !ok || len(b) == 0 {
			return nil, false
		}
		switch b[0] {
		case '}':
			return b[1:], true
		case ',':
			b = b[1:]
		default:
			return nil, false
		}
	}
}

func plainArray(b []byte, depth int) (rest []byte, ok bool) {
	if len(b) > 0 && b[0] == ']' {
		return b[1:], true
	}
	for {
		if b, ok = plainValue(b, depth+1); !ok || len(b) == 0 {
			return nil, false
		}
		switch b[0] {
		case ']':
			return b[1:], true
		case ',':
			b = b[1:]
		default:
			return nil, false
		}
	}
}

// plainString takes a string that holds no escape and nothing that needs one.
func plainString(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return b[1:i], b[i+1:], true
		case c == '\\' || c < 0x20:
			return nil, nil, false
		}
	}
	return nil, nil, false
}
