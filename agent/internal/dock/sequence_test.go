package dock

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"camseal/pkg/handoff"
)

// sequenceOf orders files given as "kind group number begun ends" in minutes and writes which follow each other.
func sequenceOf(t *testing.T, files ...string) string {
	t.Helper()
	var s sequences
	var paths []string
	for i, f := range files {
		var kind, group string
		var number uint64
		var begun, ends int64
		if _, err := fmt.Sscan(f, &kind, &group, &number, &begun, &ends); err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("/%d", i)
		paths = append(paths, path)
		minute := time.Minute.Milliseconds()
		s.add(handoff.File{Path: []byte(path), Kind: handoff.Kind(kind), Group: strings.Trim(group, "-"), Number: number, Begun: begun * minute, Modified: ends * minute})
	}
	s.order("BZ1", "1234-5678", 2*time.Minute)
	names := map[string]string{}
	var out []string
	for _, p := range paths {
		q, ok := s.of([]byte(p))
		if !ok {
			out = append(out, "none")
			continue
		}
		name := names[q.ID.String()]
		if name == "" {
			name = string(rune('A' + len(names)))
			names[q.ID.String()] = name
		}
		out = append(out, fmt.Sprint(name, q.Index))
	}
	return strings.Join(out, " ")
}

// TestSequences: files of one recorder that follow each other by counter and time are one act; anything else begins a new one.
func TestSequences(t *testing.T) {
	for _, c := range []struct {
		name, want string
		files      []string
	}{
		{"consecutive", "A0 A1 A2", []string{"video g 1 600 610", "video g 2 610 620", "video g 3 621 625"}},
		{"listed in another order", "A0 B0 B1", []string{"video g 2 610 620", "video h 1 0 5", "video h 2 5 9"}},
		{"gap in time", "A0 B0", []string{"video g 1 600 610", "video g 2 613 620"}},
		{"gap in the counter", "A0 B0", []string{"video g 1 600 610", "video g 3 610 620"}},
		{"another officer's", "A0 B0", []string{"video g 1 600 610", "video h 2 610 620"}},
		{"photos and sound join", "A0 A1 A2 A3", []string{"video g 1 600 610", "photo p 77 605 605", "sound s 9 606 607", "video g 2 610 620"}},
		{"a photo later", "A0 B0", []string{"video g 1 600 610", "photo p 77 700 700"}},
		{"logs are none", "A0 none", []string{"video g 1 600 610", "log g 2 610 620"}},
		{"no group, no sequence", "A0 B0", []string{"video - 1 600 610", "video - 2 610 620"}},
		{"clock in 1970", "A0 A1", []string{"video g 1 0 10", "video g 2 10 20"}},
	} {
		if got := sequenceOf(t, c.files...); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestSequenceIsTheSameAtEachDocking: its id comes from recorder, volume and first file.
func TestSequenceIsTheSameAtEachDocking(t *testing.T) {
	id := func(serial string) string {
		var s sequences
		s.add(handoff.File{Path: []byte("/a.mp4"), Kind: handoff.KindVideo, Begun: 1})
		s.order(serial, "V", time.Minute)
		q, _ := s.of([]byte("/a.mp4"))
		return q.ID.String()
	}
	if first := id("1"); first != id("1") || first == id("2") {
		t.Error("not the same, or the same for two recorders")
	}
}
