package vendors

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"camseal/pkg/handoff"
)

// errStop ends a walk early.
var errStop = errors.New("stop")

// maxSample is how many entries Detect looks at.
const maxSample = 50_000

// Detect returns the profile that describes the volume mounted at root best: the one whose patterns match most of its files, then the one
// with more of its folders there. It never fails: where none matches, or nothing can be read, that is "none", which takes in everything.
func (t *Table) Detect(root string) *Profile {
	type score struct{ names, folders int }
	scores := make([]score, len(t.profiles))
	entries := 0
	w := &walker{ctx: context.Background(), most: usual, profile: t.none}
	w.enters = func(at string) {
		for i, p := range t.profiles {
			if p.hasFolder(at) {
				scores[i].folders++
			}
		}
	}
	w.file = func(f handoff.File) error {
		for i, p := range t.profiles {
			if f.Error == "" && p.knows(f.Path) {
				scores[i].names++
			}
		}
		if entries++; entries >= maxSample {
			return errStop
		}
		return nil
	}
	if err := w.run(root); err != nil && entries == 0 {
		return t.none // the caller's List says what is wrong
	}
	best, p := score{}, t.none
	for i, s := range scores {
		if s.names > best.names || s.names == best.names && s.folders > best.folders {
			best, p = s, t.profiles[i]
		}
	}
	return p
}

// hasFolder reports whether a folder on the volume is one of the profile's layout.
func (p *Profile) hasFolder(at string) bool {
	name := strings.ToLower(strings.TrimPrefix(p.decode([]byte(at)), "/"))
	return slices.ContainsFunc(p.folders, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// Serial returns the serial number that the recorder's files state, in their names or in side-car files, if all that state one agree and it is not
// one that recorders come with from the factory; else "".
func (p *Profile) Serial(root string) string {
	var serial string
	state := func(s string) error {
		if s == "" || slices.Contains(p.defaultSerials, s) {
			return nil
		}
		if serial != "" && serial != s {
			return errStop
		}
		serial = s
		return nil
	}
	w := &walker{ctx: context.Background(), most: usual, profile: p, serial: state, file: func(f handoff.File) error { return state(f.Serial) }}
	if err := w.run(root); err != nil {
		return "" // two serials, or nothing to read
	}
	return serial
}
