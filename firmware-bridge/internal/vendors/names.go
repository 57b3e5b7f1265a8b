package vendors

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"camseal/pkg/handoff"
)

const (
	maxWord   = 128       // bytes of a serial, an officer or a group
	maxNumber = 1<<53 - 1 // what a statement can carry
)

// decode makes text of bytes. It is for showing and for patterns only: whoever means the file keeps the bytes.
func (p *Profile) decode(raw []byte) string {
	if !utf8.Valid(raw) && p.gbk {
		if s, err := simplifiedchinese.GBK.NewDecoder().Bytes(raw); err == nil {
			raw = s
		}
	}
	return strings.ToValidUTF8(string(raw), "\uFFFD")
}

// text returns s, or nothing if it has more than limit bytes or is no plain text.
func text(s string, limit int) string {
	if len(s) > limit || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) || strings.ContainsRune(s, utf8.RuneError) {
		return ""
	}
	return s
}

// groups are the named groups of a match.
type groups struct {
	re *regexp.Regexp
	m  []string
}

func (g groups) get(name string) string {
	if i := g.re.SubexpIndex(name); i >= 0 {
		return g.m[i]
	}
	return ""
}

// describe fills in what the path on the volume says of its file. What can't be understood stays zero.
func (p *Profile) describe(raw []byte) handoff.File {
	name := p.decode(raw)
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	f := handoff.File{Path: raw, Kind: p.kind(strings.ToLower(strings.TrimPrefix(ext, "."))), Important: p.important.marks(stem)}
	for _, n := range p.names {
		m := n.re.FindStringSubmatch(stem)
		if m == nil {
			continue
		}
		g := groups{n.re, m}
		f.Serial, f.Officer = text(g.get("serial"), maxWord), text(g.get("officer"), maxWord)
		f.Number = number(g.get("number"))
		f.Begun = max(0, moment(n.layout, g.get("time")))
		f.Important = f.Important || slices.Contains(p.important.Words, strings.ToLower(g.get("important")))
		if n.kind != "" {
			f.Kind = n.kind
		}
		shared := slices.DeleteFunc([]string{f.Serial, f.Officer, text(g.get("group"), maxWord)}, func(s string) bool { return s == "" })
		f.Group = strings.Join(shared, "/")
		break
	}
	return f
}

// knows reports whether one of the profile's own patterns matches the path.
func (p *Profile) knows(raw []byte) bool {
	name := p.decode(raw)
	stem := strings.TrimSuffix(name, path.Ext(name))
	return slices.ContainsFunc(p.names, func(n namePattern) bool { return n.re.MatchString(stem) })
}

func (p *Profile) kind(ext string) handoff.Kind {
	if k, ok := p.kinds[ext]; ok {
		return k
	}
	if k, ok := p.general[ext]; ok {
		return k
	}
	return handoff.KindOther
}

// marks reports whether a path without its extension is marked important by a prefix, a suffix or a folder.
func (m marking) marks(stem string) bool {
	parts := strings.Split(strings.ToLower(stem), "/")
	name := parts[len(parts)-1]
	return slices.ContainsFunc(m.Prefixes, func(s string) bool { return strings.HasPrefix(name, s) }) ||
		slices.ContainsFunc(m.Suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) ||
		slices.ContainsFunc(parts[:len(parts)-1], func(s string) bool { return slices.Contains(m.Folders, s) })
}

func number(digits string) uint64 {
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > maxNumber {
		return 0
	}
	return n
}

// moment reads a recorder's clock as milliseconds since 1970 as if it showed UTC; -1: it says none.
func moment(layout, s string) int64 {
	if layout == "" {
		return -1
	}
	t, err := time.Parse(layout, s)
	if err != nil {
		return -1
	}
	return t.UnixMilli()
}
