package vendors

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"camseal/pkg/handoff"
)

func load(t testing.TB, dir string) *Table {
	t.Helper()
	table, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (t *Table) named(name string) *Profile {
	for _, p := range append(t.profiles, t.none) {
		if p.name == name {
			return p
		}
	}
	return nil
}

func clock(s string) int64 {
	t, err := time.Parse(time.DateTime, s)
	if err != nil {
		panic(err) // constants
	}
	return t.UnixMilli()
}

// TestNamesOfTheTrade: each kind of name seen, with what it says.
func TestNamesOfTheTrade(t *testing.T) {
	table := load(t, "")
	for _, c := range []struct {
		profile, path string
		want          handoff.File
	}{
		{"nor-imp", "NOR_8888888_000000_20170731155341_0001.MP4", handoff.File{Kind: "video", Serial: "8888888", Officer: "000000", Group: "8888888/000000", Number: 1, Begun: clock("2017-07-31 15:53:41")}},
		{"nor-imp", "IMP_8888888_000000_20170731155341_0002.MP4", handoff.File{Kind: "video", Important: true, Serial: "8888888", Officer: "000000", Group: "8888888/000000", Number: 2, Begun: clock("2017-07-31 15:53:41")}},
		{"nor-imp", "imp_8888888_000000_20170731155341_0003.jpg", handoff.File{Kind: "photo", Important: true, Serial: "8888888", Officer: "000000", Group: "8888888/000000", Number: 3, Begun: clock("2017-07-31 15:53:41")}},
		{"nor-imp", "NOR_8888888_000000_20170731155341_0001.gps", handoff.File{Kind: "track", Serial: "8888888", Officer: "000000", Group: "8888888/000000", Number: 1, Begun: clock("2017-07-31 15:53:41")}},
		{"nor-imp", "IMP/NOR_8888888_000000_20170731155341_0001.WAV", handoff.File{Kind: "sound", Important: true, Serial: "8888888", Officer: "000000", Group: "8888888/000000", Number: 1, Begun: clock("2017-07-31 15:53:41")}},
		{"underscore", "_BZ02712_011314_20170701093004001_00-00-03.MP4", handoff.File{Kind: "video", Serial: "BZ02712", Officer: "011314", Group: "BZ02712/011314", Number: 1, Begun: clock("2017-07-01 09:30:04")}},
		{"underscore", "_BZ02712_011314_20170701093004002_00-00-03_IMP.MP4", handoff.File{Kind: "video", Important: true, Serial: "BZ02712", Officer: "011314", Group: "BZ02712/011314", Number: 2, Begun: clock("2017-07-01 09:30:04")}},
		{"at-sign", "08893@201707311553410000.MP4", handoff.File{Kind: "video", Officer: "08893", Group: "08893", Number: 0, Begun: clock("2017-07-31 15:53:41")}},
		{"at-sign", "08893@201707311553410007.LOG", handoff.File{Kind: "log", Officer: "08893", Group: "08893", Number: 7, Begun: clock("2017-07-31 15:53:41")}},
		{"dcam", "DCAM_CAM001_000001_20260804_100000_IMP.mp4", handoff.File{Kind: "video", Important: true, Serial: "CAM001", Group: "CAM001", Number: 1, Begun: clock("2026-08-04 10:00:00")}},
		{"dcam", "DCAM_CAM001_000002_20260804_100500.mp4", handoff.File{Kind: "video", Serial: "CAM001", Group: "CAM001", Number: 2, Begun: clock("2026-08-04 10:05:00")}},
		{"none", "DCIM/MOVI0001.AVI", handoff.File{Kind: "video"}},
		{"none", "IMP/a.mov", handoff.File{Kind: "video", Important: true}},
		{"none", "imp_a.mov", handoff.File{Kind: "video", Important: true}},
		{"none", "SIMP/a_imp.x.mov", handoff.File{Kind: "video"}},
		{"none", "README", handoff.File{Kind: "other"}},
		// The clock of a recorder whose battery was empty, and what cannot be: the file stays, the part is left out.
		{"nor-imp", "NOR_8888888_000000_19700101000003_0001.MP4", handoff.File{Kind: "video", Serial: "8888888", Officer: "000000", Group: "8888888/000000", Number: 1, Begun: 3000}},
		{"nor-imp", "NOR_8888888_000000_19691231235959_0001.MP4", handoff.File{Kind: "video", Serial: "8888888", Officer: "000000", Group: "8888888/000000", Number: 1}},
		{"nor-imp", "NOR_8888888_000000_20171331996199_0001.MP4", handoff.File{Kind: "video", Serial: "8888888", Officer: "000000", Group: "8888888/000000", Number: 1}},
		{"nor-imp", "NOR_8888888_000000_20170731155341_0001_copy.MP4", handoff.File{Kind: "video"}},
	} {
		c.want.Path = []byte("/" + c.path)
		got := table.named(c.profile).describe(c.want.Path)
		if !same(got, c.want) {
			t.Errorf("%s: %s\n got %+v\nwant %+v", c.profile, c.path, got, c.want)
		}
	}
}

func same(a, b handoff.File) bool {
	return string(a.Path) == string(b.Path) && a.Kind == b.Kind && a.Important == b.Important && a.Serial == b.Serial && a.Officer == b.Officer &&
		a.Group == b.Group && a.Number == b.Number && a.Begun == b.Begun && a.Error == b.Error && a.Note == b.Note
}

// liar matches everything and is right about nothing.
const liar = `
name: liar
files:
  - pattern: '(?P<serial>.*?)(?P<officer>.?)(?P<time>.*?)(?P<number>.+)'
    time: "20060102150405"
  - pattern: '(?:(?:(?:(?:a*)*)*)*)*b'
kinds: {other: [mp4], video: [exe]}
important: {words: [x], prefixes: [""], folders: [""]}
`

// TestLyingProfileLosesNoFile: nonsense times, numbers beyond every bound, a pattern that would hang other engines; every file is listed all the same.
func TestLyingProfileLosesNoFile(t *testing.T) {
	p, err := parseProfile([]byte(liar))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"NOR_8888888_000000_20170731155341_0001.MP4", strings.Repeat("a", 250) + "c", "99999999999999999999999999.mp4", "\xFF\xFE", ".", "18446744073709551615"} {
		f := p.describe([]byte("/" + name))
		if string(f.Path) != "/"+name || f.Number > maxNumber || f.Begun != 0 {
			t.Errorf("%q became %+v", name, f)
		}
	}
	root := t.TempDir()
	names := []string{"a.mp4", "b.exe", "IMP_x.mp4", strings.Repeat("9", 200), strings.Repeat("a", 255)}
	for _, n := range names {
		write(t, root, n, n)
	}
	if got := paths(list(t, p, root)); len(got) != len(names) {
		t.Errorf("listed %q", got)
	}
}

// TestProfileAddedAsData: a maker whose names nobody here has seen is described by one file, and then found, told apart and understood.
func TestProfileAddedAsData(t *testing.T) {
	own := t.TempDir()
	write(t, own, "README.txt", "no profile")
	write(t, own, "acme.yaml", `
name: acme-x1
model: Acme X1
encoding: gbk
folders: [acme/*]
files:
  - pattern: 'ACME/(?P<serial>X1-\d{4})/(?P<group>[VP])(?P<number>\d{4})-(?P<time>\d\d\.\d\d\.\d{4} \d\d\d\d)'
    time: "02.01.2006 1504"
  - pattern: 'TRACK/(?P<time>\d{8})'
    time: "20060102"
    kind: track
kinds: {video: [acm]}
important: {suffixes: [" keep"], folders: [locked]}
sidecars:
  - name: 'events\.txt'
    line: '(?P<file>[^;]+);(?P<offset>[^;]*);(?P<important>KEEP)?;(?P<text>.*)'
    kind: log
`)
	table := load(t, own)
	root := t.TempDir()
	write(t, root, "ACME/X1-0007/V0012-31.07.2017 1553.acm", "v")
	write(t, root, "ACME/X1-0007/events.txt", "V0012-31.07.2017 1553.acm;0:01;;gate\n")
	write(t, root, "TRACK/20170731.txt", "t")
	write(t, root, "LOCKED/odd.acm", "o")
	p := table.Detect(root)
	if p.Name() != "acme-x1" || p.Model() != "Acme X1" || p.Serial(root) != "X1-0007" {
		t.Fatalf("detected %s %s, serial %q", p.Name(), p.Model(), p.Serial(root))
	}
	byPath := map[string]handoff.File{}
	files := list(t, p, root)
	for _, f := range files {
		byPath[string(f.Path)] = f
	}
	if string(files[0].Path) != "/LOCKED/odd.acm" || !files[0].Important || files[0].Kind != handoff.KindVideo {
		t.Errorf("first comes %+v", files[0])
	}
	v := byPath["/ACME/X1-0007/V0012-31.07.2017 1553.acm"]
	if v.Serial != "X1-0007" || v.Group != "X1-0007/V" || v.Number != 12 || v.Begun != clock("2017-07-31 15:53:00") || v.Kind != handoff.KindVideo ||
		len(v.Marks) != 1 || v.Marks[0] != (handoff.Mark{Moment: 1000, Text: "gate"}) {
		t.Errorf("%+v", v)
	}
	if f := byPath["/TRACK/20170731.txt"]; f.Kind != handoff.KindTrack || f.Begun != clock("2017-07-31 00:00:00") {
		t.Errorf("%+v", f)
	}
	if f := byPath["/ACME/X1-0007/events.txt"]; f.Kind != handoff.KindLog {
		t.Errorf("%+v", f)
	}
	if len(files) != 4 {
		t.Errorf("%d files", len(files))
	}
	if p := table.Detect(t.TempDir()); p.Name() != NoProfile {
		t.Errorf("an empty card is %s", p.Name())
	}
	empty := t.TempDir()
	if err := os.MkdirAll(filepath.Join(empty, "ACME", "X1-0001"), 0o700); err != nil {
		t.Fatal(err)
	}
	if p := table.Detect(empty); p.Name() != "acme-x1" {
		t.Errorf("a recorder with its folders and no files is %s", p.Name())
	}
}

// TestHandbooksProfileIsOne: what the handbook shows can be copied.
func TestHandbooksProfileIsOne(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/handbook/vendors.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	doc, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the handbook shows no profile")
	}
	p, err := parseProfile([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if f := p.describe([]byte("/ACME/X1-0007/V0012-20170731155341_KEEP.acm")); !f.Important || f.Serial != "X1-0007" || f.Number != 12 || f.Kind != handoff.KindVideo {
		t.Errorf("%+v", f)
	}
	root := t.TempDir()
	write(t, root, "ACME/X1-0007/V0012-20170731155341.acm", "x")
	write(t, root, "ACME/X1-0007/V0012-20170731155341.mrk", "1:15 gate\n")
	write(t, root, "ACME/X1-0007/events.txt", "V0012-20170731155341.acm;2017-07-31 15:54:41;KEEP;one\n")
	if f := list(t, p, root)[0]; !f.Important || len(f.Marks) != 2 || f.Marks[0].Moment != 60000 || f.Marks[1].Moment != 75000 {
		t.Errorf("%+v", f)
	}
	for _, known := range append(load(t, "").profiles, load(t, "").none) {
		if !strings.Contains(string(text), "| `"+known.name+"` |") {
			t.Errorf("the handbook does not name %s", known.name)
		}
	}
}

// TestDetect: each maker by its names, the one with most of them where they are mixed, and none where nothing is known or can be read.
func TestDetect(t *testing.T) {
	table := load(t, "")
	for want, names := range map[string][]string{
		"nor-imp":    {"DCIM/100MEDIA/NOR_8888888_000000_20170731155341_0001.MP4"},
		"underscore": {"_BZ02712_011314_20170701093004001_00-00-03.MP4", "_BZ02712_011314_20170701093004002_00-00-03.MP4", "08893@201707311553410000.MP4"},
		"at-sign":    {"a/b/c/08893@201707311553410000.MP4", "a/README"},
		"dcam":       {"DCAM_CAM001_000001_20260804_100000_IMP.mp4"},
		"none":       {"DCIM/MOVI0001.AVI", "NOR_x.mp4"},
	} {
		root := t.TempDir()
		for _, n := range names {
			write(t, root, n, n)
		}
		if p := table.Detect(root); p.Name() != want {
			t.Errorf("%q is %s, want %s", names, p.Name(), want)
		}
	}
	if p := table.Detect(filepath.Join(t.TempDir(), "gone")); p.Name() != NoProfile {
		t.Error(p.Name())
	}
}

// TestSerialOnlyWhenAllAgree, and not one from the factory.
func TestSerialOnlyWhenAllAgree(t *testing.T) {
	table := load(t, "")
	const rest = "_011314_20170701093004001_00-00-03.MP4"
	for want, names := range map[string][]string{
		"BZ02712": {"_BZ02712" + rest, "a/_BZ02712" + rest, "MOVI0001.AVI"},
		"":        {"_BZ02712" + rest, "a/_BZ02713" + rest},
	} {
		root := t.TempDir()
		for _, n := range names {
			write(t, root, n, n)
		}
		if got := table.named("underscore").Serial(root); got != want {
			t.Errorf("%q: serial %q", names, got)
		}
	}
	root := t.TempDir()
	write(t, root, "NOR_8888888_000000_20170731155341_0001.MP4", "x")
	if got := table.named("nor-imp").Serial(root); got != "" {
		t.Errorf("the factory's serial %q names a recorder", got)
	}
	if got := table.named("nor-imp").Serial(filepath.Join(root, "gone")); got != "" {
		t.Error(got)
	}
}

// TestLoadRefuses: what is wrong in an operator's file is named with the file, and the rest of the table is not used without it.
func TestLoadRefuses(t *testing.T) {
	for why, doc := range map[string]string{
		"field nom not found":   "nom: x",
		"name":                  "name: X Y",
		"taken":                 "name: nor-imp",
		"taken ":                "name: none",
		"after the profile":     "name: a\n---\nname: b",
		"EOF":                   "",
		"encoding":              "name: a\nencoding: big5",
		"missing closing":       "name: a\nfiles: [{pattern: '(a'}]",
		"matches what is empty": "name: a\nfiles: [{pattern: '.*'}]",
		"group \"who\"":         "name: a\nfiles: [{pattern: '(?P<who>x)'}]",
		"needs a layout":        "name: a\nfiles: [{pattern: '(?P<time>x)'}]",
		"needs a layout ":       "name: a\nfiles: [{pattern: 'x', time: '2006'}]",
		"does not say a day":    "name: a\nfiles: [{pattern: '(?P<time>x)', time: '2006'}]",
		"none of the kinds":     "name: a\nkinds: {film: [mp4]}",
		"is there twice":        "name: a\nkinds: {video: [mp4], sound: [MP4]}",
		"extension":             "name: a\nkinds: {video: [.mp4]}",
		"is not a pattern":      "name: a\nfolders: [../x]",
		"is not a pattern ":     "name: a\nfolders: ['/x']",
		"names no file":         "name: a\nsidecars: [{name: '(?P<stem>.+)\\.m', line: '(?P<file>.+)'}]",
		"names a file":          "name: a\nsidecars: [{name: 'm', line: 'x'}]",
		"repeat":                "name: a\nfiles: [{pattern: '((a{1000}){1000}){1000}'}]",
		"more than":             "name: a\n#" + strings.Repeat("x", maxYAML),
		"an alias":              "name: a\n" + bomb(),
	} {
		own := t.TempDir()
		write(t, own, "bad.yaml", doc)
		_, err := Load(own)
		if err == nil {
			t.Errorf("%s: it was taken", why)
		} else if !strings.Contains(err.Error(), strings.TrimSpace(why)) || !strings.Contains(err.Error(), own) {
			t.Errorf("%s: the error is %v", why, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "gone")); err == nil {
		t.Error("a folder that is not there was taken")
	}
	if table, err := Load(t.TempDir()); err != nil || len(table.profiles) != 4 {
		t.Errorf("an empty folder: %v", err)
	}
}

// bomb is YAML that would grow a thousandfold at each line.
func bomb() string {
	var b strings.Builder
	b.WriteString("kinds:\n  video: &k0 [a]\n")
	for i := range 9 {
		b.WriteString("  k" + string(rune('1'+i)) + ": &k" + string(rune('1'+i)) + " [")
		b.WriteString(strings.Repeat("*k"+string(rune('0'+i))+",", 30) + "]\n")
	}
	return b.String()
}

// FuzzProfile: whatever is accepted as a profile takes in every file.
func FuzzProfile(f *testing.F) {
	f.Add([]byte(liar))
	for _, name := range []string{"none", "nor-imp", "underscore", "at-sign", "dcam"} {
		raw, err := builtIn.ReadFile("profiles/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("name: a\nsidecars: [{name: '(?P<stem>.+)\\.m', line: '(?P<offset>\\S+) (?P<text>.*)'}]"))
	f.Add([]byte("&a [*a]"))
	f.Add([]byte(bomb()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parseProfile(raw)
		if err != nil {
			return
		}
		checkDescribe(t, p, []byte("/IMP/NOR_8888888_000000_20170731155341_0001.MP4"))
		for i := range p.sidecars {
			p.remarks([]byte("a.mp4 0:01 text\n"), &p.sidecars[i])
		}
	})
}

// FuzzName: whatever a file is called, it keeps its path, and what is said of it has its form.
func FuzzName(f *testing.F) {
	for _, s := range []string{"NOR_8888888_000000_20170731155341_0001.MP4", "_BZ02712_011314_20170701093004001_00-00-03.MP4", "08893@201707311553410000.MP4",
		"DCAM_CAM001_000001_20260804_100000_IMP.mp4", "\xC0\xEE\xCE\xB0.mp4", "../x", "a\x00b", "IMP_.", "\xFF"} {
		f.Add([]byte(s))
	}
	table := load(f, "")
	f.Fuzz(func(t *testing.T, name []byte) {
		for _, p := range append(table.profiles, table.none) {
			checkDescribe(t, p, append([]byte("/"), name...))
		}
	})
}

func checkDescribe(t *testing.T, p *Profile, path []byte) {
	t.Helper()
	f := p.describe(path)
	if string(f.Path) != string(path) || f.Number > maxNumber || f.Begun < 0 || checkKind(f.Kind) != nil {
		t.Fatalf("%q became %+v", path, f)
	}
	for _, s := range []string{f.Serial, f.Officer, f.Group} {
		if !utf8.ValidString(s) || len(s) > 3*maxWord+2 || strings.ContainsAny(s, "\x00\n\uFFFD") {
			t.Fatalf("%q states %q", path, s)
		}
	}
}
