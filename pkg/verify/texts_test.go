package verify

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestTexts finds every constant of the types that reports speak in, and wants words for it in both languages.
func TestTexts(t *testing.T) {
	texts := map[string]func(string) pair{
		"Code": func(s string) pair { return problemTexts[Code(s)] }, "Missing": func(s string) pair { return missingTexts[Missing(s)] },
		"Verdict": func(s string) pair { return verdictTexts[Verdict(s)] }, "Grade": func(s string) pair { return gradeTexts[Grade(s)] },
		"ClockKind": func(s string) pair {
			tpm := uint64(1)
			f := ClockFinding{Kind: ClockKind(s), TPM: &tpm}
			return pair{f.Text(English), f.Text(Chinese)}
		},
	}
	found := map[string]int{}
	look := func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		kind, ok := v.Type.(*ast.Ident)
		if !ok || texts[kind.Name] == nil || len(v.Values) != 1 {
			return true
		}
		lit, ok := v.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		value, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		found[kind.Name]++
		p := texts[kind.Name](value)
		if p.en == "" || p.zh == "" || strings.Count(p.en, "{") != strings.Count(p.zh, "{") {
			t.Errorf("%s %q: %+v", kind.Name, value, p)
		}
		return true
	}
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, look)
	}
	if len(found) != len(texts) || found["Code"] < 50 || found["Missing"] < 20 {
		t.Errorf("found %v", found)
	}
}
