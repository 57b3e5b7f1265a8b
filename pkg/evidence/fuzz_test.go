package evidence_test

import (
	"bytes"
	"path/filepath"
	"runtime"
	"testing"
)

// FuzzLines holds that whatever is parsed encodes to the same bytes, that nothing panics, and that memory stays bounded.
func FuzzLines(f *testing.F) {
	paths, _ := filepath.Glob("testdata/vectors/line/*.vector")
	if len(paths) == 0 {
		f.Fatal("no seeds")
	}
	kinds := []string{"statement", "chain-line", "seal-line", "leaf"}
	for _, path := range paths {
		t := &testing.T{}
		v := readVector(t, path)
		for i, k := range kinds {
			if k == v.head["type"] {
				f.Add(byte(i), v.input)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, input []byte) {
		again, _, err := parse(kinds[int(kind)%len(kinds)], input)
		if err == nil && !bytes.Equal(again, input) {
			t.Errorf("encodes to\n%s, read was\n%s", again, input)
		}
	})
}

// TestParsingIsBounded gives the parser hostile lines and looks at what it allocates.
func TestParsingIsBounded(t *testing.T) {
	for name, line := range map[string][]byte{
		"members": append(bytes.Repeat([]byte(`{"a":`), 5000), bytes.Repeat([]byte("}"), 5000)...),
		"arrays":  append([]byte(`{"body":[`), append(bytes.Repeat([]byte("0,"), 30000), []byte("0]}")...)...),
		"long":    bytes.Repeat([]byte("x"), 32<<20),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, _, err := parse("statement", line); err == nil {
			t.Errorf("%s: parsed", name)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
			t.Errorf("%s: %d bytes allocated for a line of %d", name, got, len(line))
		}
	}
}
