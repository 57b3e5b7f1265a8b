package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// MaxLine is the longest line of canonical JSON, in bytes, without its line feed.
const MaxLine = 64 << 10

// MaxInt is the largest integer the format writes: 2^53-1.
const MaxInt = 1<<53 - 1

const maxDepth = 8

// SyntaxError says why bytes are not in the one form that the format allows.
type SyntaxError struct{ Reason string }

func (e *SyntaxError) Error() string { return "not canonical: " + e.Reason }

func syntaxf(format string, args ...any) error {
	return &SyntaxError{Reason: fmt.Sprintf(format, args...)}
}

// Encode writes v as one line of canonical JSON (RFC 8785, narrowed by SPEC.md section 1), without a line feed.
func Encode(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	line, err := jcs.Transform(raw)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if err := checkSyntax(line); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return line, nil
}

// Decode reads one line of canonical JSON into v and refuses any other spelling of the same thing.
// Errors are *SyntaxError.
func Decode(line []byte, v any) error {
	if plainLine(line) {
		if json.Unmarshal(line, v) == nil {
			if raw, err := json.Marshal(v); err == nil && bytes.Equal(raw, line) { // canonical as it stands; an unknown member would be missing
				return nil
			}
		}
	} else if err := checkSyntax(line); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(line)) // says what is wrong
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return syntaxf("%v", err)
	}
	again, err := Encode(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, line) {
		return syntaxf("bytes differ from their canonical form from byte %d on", firstDifference(again, line))
	}
	return nil
}

// checkSyntax holds what RFC 8785 and encoding/json let through: broken UTF-8, duplicate or odd names, wide or
// fractional numbers, depth and length.
func checkSyntax(line []byte) error {
	if len(line) > MaxLine {
		return syntaxf("line of %d bytes, at most %d are allowed", len(line), MaxLine)
	}
	if !utf8.Valid(line) {
		return syntaxf("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := checkValue(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return syntaxf("something follows the value")
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	tok, err := dec.Token()
	if err != nil {
		return syntaxf("%v", err)
	}
	switch t := tok.(type) {
	case json.Number:
		return checkNumber(string(t))
	case json.Delim:
		if depth == maxDepth {
			return syntaxf("nested deeper than %d", maxDepth)
		}
		if t == '[' {
			for dec.More() {
				if err := checkValue(dec, depth+1); err != nil {
					return err
				}
			}
		} else if err := checkObject(dec, depth); err != nil {
			return err
		}
		if _, err := dec.Token(); err != nil {
			return syntaxf("%v", err)
		}
	}
	return nil
}

func checkObject(dec *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return syntaxf("%v", err)
		}
		name, ok := tok.(string)
		if !ok || !plainName(name) {
			return syntaxf("member name %q is not of a-z and _", tok)
		}
		if seen[name] {
			return syntaxf("member %q stands twice", name)
		}
		seen[name] = true
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func plainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return s != ""
}

func checkNumber(s string) error {
	n := uint64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || i == 16 {
			return syntaxf("number %s is not an integer from 0 to 2^53-1", s)
		}
		n = n*10 + uint64(s[i]-'0')
	}
	if n > MaxInt || (len(s) > 1 && s[0] == '0') {
		return syntaxf("number %s is not an integer from 0 to 2^53-1", s)
	}
	return nil
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
