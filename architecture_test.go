// Package camseal_test holds the rules of the house that no linter knows: who may import what, where clocks are read, how long a file is.
package camseal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

type goPackage struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
	Standard                           bool
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func under(path string, roots ...string) bool {
	for _, r := range roots {
		if path == r || strings.HasPrefix(path, r+"/") {
			return true
		}
	}
	return false
}

// confined lists modules and packages that only these may import.
var confined = []struct {
	what string
	to   []string
}{
	{"github.com/gin-gonic/gin", []string{"camseal/server", "camseal/agent/internal/kiosk"}},
	{"github.com/minio/minio-go/v7", []string{"camseal/server/internal/archive/s3"}},
	{"github.com/dgraph-io/badger/v4", []string{"camseal/agent/internal/spool"}},
	{"github.com/pion", []string{"camseal/agent/internal/live", "camseal/server/internal/live"}},
	{"github.com/google/go-tpm", []string{"camseal/pkg/attestation"}},
	{"github.com/transparency-dev/tessera", []string{"camseal/server/internal/ledger"}},
	{"database/sql", []string{"camseal/server/internal/catalog"}},
	{"github.com/jackc/pgx/v5", []string{"camseal/server/internal/catalog"}},
	{"modernc.org/sqlite", []string{"camseal/server/internal/catalog"}},
	{"camseal/firmware-bridge/internal/storage", []string{"camseal/firmware-bridge/internal/app", "camseal/firmware-bridge/internal/dock",
		"camseal/firmware-bridge/internal/erase", "camseal/firmware-bridge/internal/storage"}}, // what mounts and removes; the content destination does neither
	{"camseal/pkg/attestation/device", []string{"camseal/agent", "camseal/pkg/attestation/device"}},
}

// TestImports holds section 4 of the design: the folders and what may import what.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			bad := under(p.ImportPath, "camseal/pkg") && under(imp, "camseal/agent", "camseal/server", "camseal/firmware-bridge")
			for _, part := range []string{"camseal/agent", "camseal/server", "camseal/firmware-bridge"} {
				bad = bad || under(imp, part) && !under(p.ImportPath, part) && !under(p.ImportPath, "camseal/scripts")
			}
			for _, c := range confined {
				bad = bad || under(imp, c.what) && !under(p.ImportPath, c.to...)
			}
			if p.ImportPath == "camseal/pkg/evidence" && strings.Contains(imp, ".") && imp != "github.com/gowebpki/jcs" {
				bad = true
			}
			if under(p.ImportPath, "camseal/pkg/verify") && !strings.HasSuffix(p.ImportPath, "test") && under(imp, "net", "camseal/pkg/transport") {
				bad = true
			}
			if bad {
				t.Errorf("%s must not import %s", p.ImportPath, imp)
			}
		}
	}
}

// sources calls f with every Go file that people wrote.
func sources(t *testing.T, f func(path string, src []byte)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || path == filepath.Join("server", "internal", "catalog", "db")) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		src, err := os.ReadFile(path)
		if err == nil {
			f(path, src)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestClocks: time comes in as a field (Now func() time.Time), and nothing waits by sleeping.
func TestClocks(t *testing.T) {
	sources(t, func(path string, src []byte) {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "time" {
				return true
			}
			inTest := strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test/") || strings.Contains(path, "bench/") || strings.HasPrefix(path, "scripts/")
			if sel.Sel.Name == "Sleep" || sel.Sel.Name == "Now" && !inTest {
				t.Errorf("%s calls time.%s", fset.Position(call.Pos()), sel.Sel.Name)
			}
			return true
		})
	})
}

// TestFileLength: a file that grows past 400 lines does more than one thing.
func TestFileLength(t *testing.T) {
	sources(t, func(path string, src []byte) {
		if n := bytes.Count(src, []byte("\n")); n > 400 && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s has %d lines", path, n)
		}
	})
}

// TestReadmeNamesRealTests: a claim has a test's name beside it, and the test is there.
func TestReadmeNamesRealTests(t *testing.T) {
	known := map[string]bool{}
	sources(t, func(_ string, src []byte) {
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(src, -1) {
			known[string(m[1])] = true
		}
	})
	for _, file := range []string{"README.md", "deploy/handbook/threats.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1)
		if len(names) < 20 {
			t.Errorf("%d names of tests in %s", len(names), file)
		}
		for _, m := range names {
			if !known[string(m[1])] {
				t.Errorf("%s names %s, and there is no such test", file, m[1])
			}
		}
	}
}
