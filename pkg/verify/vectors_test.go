package verify_test

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
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

var update = flag.Bool("update", false, "write the vectors anew instead of testing them")

// vector is a changed bundle; want is the first line of its expect file.
type vector struct {
	name   string
	change func(t *testing.T, b *verifytest.Bundle) verify.Memory
}

// edit changes one file and, if asked, makes the manifests right again.
func edit(path string, right bool, change func([]byte) []byte) func(*testing.T, *verifytest.Bundle) verify.Memory {
	return func(_ *testing.T, b *verifytest.Bundle) verify.Memory {
		files := verifytest.Clone(b.Files)
		files[path] = change(files[path])
		if right {
			verifytest.Rebag(files, b.Rec)
		}
		return files
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 1; return b }
}

func without(line int) func([]byte) []byte {
	return func(b []byte) []byte {
		lines := bytes.SplitAfter(b, []byte("\n"))
		return bytes.Join(append(lines[:line:line], lines[line+1:]...), nil)
	}
}

func drop(paths ...string) func(*testing.T, *verifytest.Bundle) verify.Memory {
	return func(_ *testing.T, b *verifytest.Bundle) verify.Memory {
		files := verifytest.Clone(b.Files)
		for _, p := range paths {
			delete(files, p)
		}
		verifytest.Rebag(files, b.Rec)
		return files
	}
}

var vectors = []vector{
	{"sound", func(_ *testing.T, b *verifytest.Bundle) verify.Memory { return b.Files }},
	{"original-changed", edit(verify.DirOriginal+"NOR_0001.MP4", true, flip(600))},
	{"original-cut", edit(verify.DirOriginal+"NOR_0001.MP4", true, func(b []byte) []byte { return b[:700] })},
	{"original-lengthened", edit(verify.DirOriginal+"NOR_0001.MP4", true, func(b []byte) []byte { return append(b, 0) })},
	{"statement-dropped", edit(verify.FileChain, true, without(8))},
	{"last-statement-dropped", edit(verify.FileChain, true, without(20))},
	{"statement-changed", edit(verify.FileChain, true, func(b []byte) []byte { return bytes.Replace(b, []byte("two boxes"), []byte("ten boxes"), 1) })},
	{"seal-dropped", edit(verify.FileSeals, true, without(3))},
	{"count-dropped", edit(verify.FileSeals, true, without(4))},
	{"count-doubled", edit(verify.FileSeals, true, func(b []byte) []byte {
		lines := bytes.SplitAfter(b, []byte("\n"))
		return bytes.Join(append(lines[:5:5], lines[4:]...), nil)
	})},
	{"cosignature-changed", edit("data/receipts/000000000003.proof", true, func(b []byte) []byte {
		at := bytes.Index(b, []byte(verifytest.WitnessOne)) + len(verifytest.WitnessOne) + 30
		b[at] ^= 'A' ^ 'B'
		return b
	})},
	{"time-stamp-of-another", edit("data/time/000000000006.checkpoint", true, flip(40))},
	{"manifest-not-fitting", edit(verify.FileReadme, false, flip(10))},
	{"custody-dropped", edit(verify.FileCustody, true, without(0))},
	{"export-dropped", drop(verify.FileExportLeaf, verify.FileExportProof)},
	{"stored-dropped", drop("data/receipts/000000000003.leaf", "data/receipts/000000000003.proof")},
	{"forged-whole", func(t *testing.T, _ *verifytest.Bundle) verify.Memory {
		spec, err := verifytest.SmallSpec()
		if err != nil {
			t.Fatal(err)
		}
		if spec.Log, err = verifytest.NewLog("camseal.test/log", "forger"); err != nil {
			t.Fatal(err)
		}
		return build(t, spec).Files
	}},
}

// TestVectors checks the bundles in testdata/bundles, each a zip file with a file beside it that says what to expect
// with that folder as trust folder, and without.
func TestVectors(t *testing.T) {
	dir := filepath.Join("testdata", "bundles")
	if *update {
		writeVectors(t, dir)
	}
	trust, err := verify.LoadTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.zip"))
	if err != nil || len(found) != len(vectors) {
		t.Fatalf("%d vectors, want %d; %v", len(found), len(vectors), err)
	}
	for _, path := range found {
		t.Run(filepath.Base(path), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(path, ".zip") + ".expect")
			if err != nil {
				t.Fatal(err)
			}
			if got := expectation(t, path, trust); got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func expectation(t *testing.T, path string, trust *verify.Trust) string {
	t.Helper()
	var b strings.Builder
	for _, x := range []*verify.Trust{trust, nil} {
		r := checkPath(t, path, x)
		how := "with trust"
		if x == nil {
			how = "without"
		}
		fmt.Fprintf(&b, "expect: %d %s %s", r.Exit, r.Verdict, how)
		if r.First != nil {
			fmt.Fprintf(&b, ", %s at %s", r.First.Code, r.First.Place.File)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func writeVectors(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := emulated(t)
	trust, err := evidence.Encode(b.Trust())
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, content []byte) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	put("trust.json", append(trust, '\n'))
	put("ek-roots/maker.pem", b.Maker.Root)
	put("tsa-roots/root.pem", b.Authority.Root)
	for _, v := range vectors {
		var raw bytes.Buffer
		if err := verifytest.WriteZip(&raw, "camseal-bundle/", v.change(t, b)); err != nil {
			t.Fatal(err)
		}
		put(v.name+".zip", raw.Bytes())
		put(v.name+".expect", []byte(expectation(t, filepath.Join(dir, v.name+".zip"), b.Trust())))
	}
}
