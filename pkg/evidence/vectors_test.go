package evidence_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"camseal/pkg/evidence"
)

var update = flag.Bool("update", false, "write the vectors anew instead of testing them")

// vector is one file of testdata/vectors: lines "name: value", an empty line, and the input, to which one line feed was added.
type vector struct {
	head  map[string]string
	input []byte
}

func readVector(t *testing.T, path string) vector {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, input, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok || !bytes.HasSuffix(input, []byte("\n")) {
		t.Fatalf("%s: no vector", path)
	}
	v := vector{map[string]string{}, input[:len(input)-1]}
	for line := range strings.Lines(string(head)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			t.Fatalf("%s: header line %q", path, line)
		}
		v.head[name] = value
	}
	return v
}

func writeVector(t *testing.T, path string, input []byte, head ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	raw := strings.Join(head, "\n") + "\n\n" + string(input) + "\n"
	if err := os.WriteFile(path, []byte(raw), 0o644); err != nil {
		t.Fatal(err)
	}
}

// parse reads the input as the vector's type and encodes it again.
func parse(kind string, input []byte) (again []byte, digest evidence.Digest, err error) {
	switch kind {
	case "statement":
		s, d, err := evidence.ParseUnverified(input)
		if err != nil {
			return nil, d, err
		}
		again, _, err := s.Encode()
		return again, d, err
	case "chain-line":
		l, err := evidence.ParseLineUnverified(input)
		if err != nil {
			return nil, l.Digest, err
		}
		if l.Statement == nil {
			again, err = evidence.Encode(evidence.Withheld{Digest: l.Digest, Rec: l.Rec, Seq: l.Seq})
			return again, l.Digest, err
		}
		again, _, err = l.Statement.Encode()
		return again, l.Digest, err
	case "seal-line":
		a, err := evidence.ParseSealUnverified(input)
		if err != nil {
			return nil, digest, err
		}
		if a.Seal != nil {
			again, err = evidence.Encode(a.Seal)
		} else {
			again, err = evidence.Encode(a.Count)
		}
		return again, evidence.Sum(input), err
	case "leaf":
		l, err := evidence.ParseLeafUnverified(input)
		if err != nil {
			return nil, digest, err
		}
		again, err = evidence.EncodeLeaf(l)
		return again, evidence.Sum(input), err
	}
	return nil, digest, fmt.Errorf("unknown type %q", kind)
}

func TestLineVectors(t *testing.T) {
	if *update {
		writeLineVectors(t)
	}
	paths, err := filepath.Glob("testdata/vectors/line/*.vector")
	if err != nil || len(paths) < 60 {
		t.Fatalf("%d line vectors, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			v := readVector(t, path)
			again, digest, err := parse(v.head["type"], v.input)
			if want, broken := strings.CutPrefix(v.head["expect"], "broken: "); broken {
				var syntax *evidence.SyntaxError
				if !errors.As(err, &syntax) || !strings.Contains(err.Error(), want) {
					t.Fatalf("got error %v, want a SyntaxError with %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, v.input) {
				t.Errorf("encodes to\n%s, read was\n%s", again, v.input)
			}
			if digest.String() != v.head["digest"] {
				t.Errorf("digest %s, want %s", digest, v.head["digest"])
			}
		})
	}
}

// TestChainVectors walks lines of a chain and compares every head.
func TestChainVectors(t *testing.T) {
	if *update {
		writeChainVectors(t)
	}
	paths, _ := filepath.Glob("testdata/vectors/chain/*.vector")
	if len(paths) < 3 {
		t.Fatalf("%d chain vectors", len(paths))
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			v := readVector(t, path)
			device, err := evidence.ParseDeviceID(v.head["device"])
			if err != nil {
				t.Fatal(err)
			}
			heads := strings.Fields(v.head["heads"])
			lines := bytes.Split(v.input, []byte("\n"))
			if got := walk(t, device, lines, heads); got != v.head["expect"] {
				t.Errorf("got %q, want %q", got, v.head["expect"])
			}
		})
	}
}

func walk(t *testing.T, device evidence.DeviceID, lines [][]byte, heads []string) string {
	t.Helper()
	head := evidence.FirstHead(device)
	if head.String() != heads[0] {
		t.Fatalf("H(-1) = %s, want %s", head, heads[0])
	}
	for i, line := range lines {
		l, err := evidence.ParseLineUnverified(line)
		if err != nil {
			t.Fatal(err)
		}
		if l.Seq != uint64(i) {
			return fmt.Sprintf("broken chain at seq %d", i)
		}
		head = evidence.NextHead(l.Seq, l.Rec, head, l.Digest)
		if head.String() != heads[i+1] {
			return fmt.Sprintf("broken chain at seq %d", i)
		}
	}
	return "ok"
}
