package evidence

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/gowebpki/jcs"
)

// FuzzPlainLine: what the short way takes, the long way takes too, and leaves as it is.
func FuzzPlainLine(f *testing.F) {
	files, err := filepath.Glob("testdata/vectors/line/*.vector")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	taken := 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		_, input, _ := bytes.Cut(raw, []byte("\n\n"))
		input = bytes.TrimSuffix(input, []byte("\n"))
		if plainLine(input) {
			taken++
		}
		f.Add(input)
	}
	if taken < 20 {
		f.Errorf("only %d of %d lines are plain", taken, len(files))
	}
	for _, s := range []string{`{"a":1,"b":[true,null,{"c":"é"}]}`, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"a":01}`, `{"a":"\u0061"}`, `[[[[[[[[[1]]]]]]]]]`, `{"a":1}x`, `0`, ``, `{"a":9007199254740992}`, "\"\x7f\"", "\"\u2028\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if !plainLine(line) {
			return
		}
		if err := checkSyntax(line); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if line[0] != '{' && line[0] != '[' {
			return // jcs takes no bare value
		}
		if again, err := jcs.Transform(line); err != nil || !bytes.Equal(again, line) {
			t.Fatalf("%q becomes %q, %v", line, again, err)
		}
	})
}
