package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"camseal/server/internal/ledger"
)

func TestMirrorBroken(t *testing.T) {
	dir := t.TempDir()
	v := folder(t, dir)
	c := config(t, v)
	l := open(t, c)
	for round := range 3 {
		appendLeaf(t, l, fmt.Sprint("leaf ", round))
		follow(t, l, uint64(round), 1)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "objects", "log", l.LogID(), "leaves", "*"))
	if err != nil || len(paths) != 3 {
		t.Fatalf("%q, %v", paths, err)
	}
	checkpoints, err := filepath.Glob(filepath.Join(dir, "objects", "log", l.LogID(), "checkpoints", "*"))
	if err != nil || len(checkpoints) != 3 {
		t.Fatalf("%q, %v", checkpoints, err)
	}
	broken := func(what string, damage func()) {
		t.Helper()
		damage()
		got, err := mirrored(t, v, l.VKey())
		var b *ledger.BrokenMirror
		if !errors.As(err, &b) || len(got) > 0 {
			t.Errorf("%s: %d entries, %v", what, len(got), err)
		} else if !strings.Contains(what, fmt.Sprint("leaf ", b.Index)) && b.Index != 0 {
			t.Errorf("%s: it names leaf %d", what, b.Index)
		}
	}
	for i, p := range paths {
		whole, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		broken(fmt.Sprint("missing, leaf ", i), func() { remove(t, p) })
		broken(fmt.Sprint("changed, leaf ", i), func() { write(t, p, bytes.Replace(whole, []byte(`"leaf":"b`), []byte(`"leaf":"c`), 1)) })
		broken(fmt.Sprint("cut, leaf ", i), func() { write(t, p, whole[:len(whole)-1]) })
		write(t, p, whole)
	}
	// An object that certifies itself, but is not what was logged.
	whole, err := os.ReadFile(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	broken("swapped, leaf 1", func() {
		remove(t, paths[1])
		other := bytes.Replace(whole, []byte(`"leaf":"b`), []byte(`"leaf":"c`), 1)
		put(t, v, func(h string) string { return "log/" + l.LogID() + "/leaves/000000000001-" + h }, other)
	})
	if got, err := mirrored(t, v, newVKey(t)); err != nil || len(got) > 0 {
		t.Errorf("another log: %d, %v", len(got), err)
	}
}
