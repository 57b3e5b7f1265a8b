package vendors

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"camseal/pkg/handoff"
)

// sidecars is a maker with marks beside each file, a list for each folder, and a file that says who the recorder is.
const sidecars = `
name: marks
encoding: gbk
kinds: {video: [mp4], photo: [jpg]}
important: {words: [imp, "!"]}
files:
  - pattern: '(?P<time>\d{14})'
    time: "20060102150405"
  - pattern: '\d'
sidecars:
  - name: '(?P<stem>.+)\.mrk'
    line: '(?P<offset>\S+) (?P<important>!)? ?(?P<text>.*)'
    kind: log
  - name: 'list\.txt'
    line: '(?P<file>[^,]*),(?P<time>[^,]*),(?P<important>[^,]*),(?P<text>.*)'
    time: "2006-01-02 15:04:05"
  - name: 'id\.txt'
    line: 'SN=(?P<serial>\w+)'
`

func marksProfile(t testing.TB) *Profile {
	t.Helper()
	p, err := parseProfile([]byte(sidecars))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSidecarsGiveMarksNotesAndSerial: by the stem, by a list, in GBK, and only what can be understood.
func TestSidecarsGiveMarksNotesAndSerial(t *testing.T) {
	p, root := marksProfile(t), t.TempDir()
	write(t, root, "1.mp4", "x")
	write(t, root, "1.jpg", "x")
	write(t, root, "1.MRK", "\xEF\xBB\xBF0:01 gate\r\n00:01:02.500 \xC4\xCF\xC9\xBD\r\n3.25 x\r\n99:99 nonsense\r\n\r\nno line of ours")
	write(t, root, "20170731155341.mp4", "x")
	write(t, root, "2.mp4", "x")
	write(t, root, "LIST.TXT", "20170731155341.mp4,2017-07-31 15:53:51,,ten\n20170731155341.mp4,2017-07-31 15:00:00,,earlier\n20170731155341.mp4,2018-07-31 15:53:51,,a year after\n2.mp4,1970-01-01 00:05:00,,who knows when\n2.mp4,,IMP,two boxes\n2.mp4,,,party signed\n3.mp4,,IMP,there is none\n")
	write(t, root, "sys/ID.TXT", "model=x\nSN=BZ02712\n")
	got := map[string]handoff.File{}
	files := list(t, p, root)
	for _, f := range files {
		got[string(f.Path)] = f
	}
	if string(files[0].Path) != "/2.mp4" || !files[0].Important {
		t.Errorf("first comes %+v", files[0])
	}
	want := []handoff.Mark{{Moment: 1000, Text: "gate"}, {Moment: 62500, Text: "南山"}, {Moment: 3250, Text: "x"}}
	if f := got["/1.mp4"]; !reflect.DeepEqual(f.Marks, want) || f.Note != "" {
		t.Errorf("%+v", f)
	}
	if f := got["/1.jpg"]; !reflect.DeepEqual(f.Marks, want) {
		t.Errorf("%+v", f)
	}
	if f := got["/1.MRK"]; f.Kind != handoff.KindLog || f.Marks != nil {
		t.Errorf("%+v", f)
	}
	if f := got["/20170731155341.mp4"]; !reflect.DeepEqual(f.Marks, []handoff.Mark{{Moment: 10000, Text: "ten"}}) || f.Note != "earlier\na year after" {
		t.Errorf("%+v", f)
	}
	if f := got["/2.mp4"]; f.Note != "who knows when\ntwo boxes\nparty signed" || f.Marks != nil {
		t.Errorf("%+v", f)
	}
	if s := p.Serial(root); s != "BZ02712" {
		t.Errorf("serial %q", s)
	}
	write(t, root, "more/id.txt", "SN=BZ02713")
	if s := p.Serial(root); s != "" {
		t.Errorf("two that disagree give serial %q", s)
	}
}

// TestSidecarNamesThatPointElsewhere: ../ and absolute names in a side-car are about nothing, and nothing is opened by them.
func TestSidecarNamesThatPointElsewhere(t *testing.T) {
	p, root := marksProfile(t), t.TempDir()
	pipe := filepath.Join(root, "pipe") // opening it would hang
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, root, "1.mp4", "x")
	write(t, root, "sub/1.mp4", "x")
	write(t, root, "sub/2.mp4", "x")
	var lines strings.Builder
	for _, name := range []string{"../1.mp4", "/1.mp4", root + "/1.mp4", pipe, "../pipe", `..\1.mp4`, "./2.mp4", "/etc/passwd", "..", ".", "", "sub/2.mp4", "2.mp4\x00", strings.Repeat("../", 100)} {
		fmt.Fprintf(&lines, "%s,,IMP,planted\n", name)
	}
	write(t, root, "sub/LIST.TXT", lines.String())
	for _, f := range list(t, p, root) {
		if f.Important || f.Note != "" || f.Marks != nil {
			t.Errorf("%+v", f)
		}
	}
}

// TestSidecarThatIsNoFile: a link, a pipe, a folder under a side-car's name are not opened.
func TestSidecarThatIsNoFile(t *testing.T) {
	p, root, outside := marksProfile(t), t.TempDir(), t.TempDir()
	write(t, outside, "planted", "0:01 planted\n")
	for i := range 3 {
		write(t, root, fmt.Sprintf("%d.mp4", i), "x")
	}
	if err := errors.Join(os.Symlink(filepath.Join(outside, "planted"), filepath.Join(root, "0.mrk")), unix.Mkfifo(filepath.Join(root, "1.mrk"), 0o600),
		os.Mkdir(filepath.Join(root, "2.mrk"), 0o700), os.Symlink("/etc/passwd", filepath.Join(root, "list.txt"))); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(filepath.Join(root, "1.mrk"), os.O_RDWR, 0) // reading it would wait for ever
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := pipe.WriteString("0:01 planted\n"); err != nil {
		t.Fatal(err)
	}
	for _, f := range hold(t, p, root, "/0.mp4", "!/0.mrk", "/1.mp4", "!/1.mrk", "/2.mp4", "!/list.txt") {
		if f.Marks != nil || f.Note != "" {
			t.Errorf("%+v", f)
		}
	}
}

// TestSidecarsWithoutEnd: what they add still fits a line, and no character is cut.
func TestSidecarsWithoutEnd(t *testing.T) {
	p, root := marksProfile(t), t.TempDir()
	write(t, root, "1.mp4", "x")
	write(t, root, "1.mrk", strings.Repeat("0:01 <<<<<<<<\n", 200_000))
	write(t, root, "2.mp4", "x")
	write(t, root, "2.mrk", strings.Repeat("0:01 "+strings.Repeat("汉", 80)+"\n", 10_000))
	write(t, root, "3.mp4", "x")
	write(t, root, "3.mrk", "0:01 "+strings.Repeat("汉", 86)+"\n0:02 \xFF\xFF\n")
	write(t, root, "4.mp4", "x")
	write(t, root, "list.txt", strings.Repeat("4.mp4,,,"+strings.Repeat("汉", 80)+"\n", 3000))
	for _, f := range list(t, p, root) {
		line, err := json.Marshal(f)
		if err != nil || len(line) > handoff.MaxLine || len(f.Note) > handoff.MaxText || strings.Contains(f.Note, "\uFFFD") {
			t.Errorf("%s: a line of %d bytes, a note of %d, %v", f.Path, len(line), len(f.Note), err)
		}
		if string(f.Path) == "/4.mp4" && len(f.Note) < 3000 {
			t.Errorf("a note of %d bytes", len(f.Note))
		}
		if string(f.Path) == "/1.mp4" && len(f.Marks) < 400 {
			t.Errorf("%d marks", len(f.Marks))
		}
		if string(f.Path) == "/3.mp4" && !reflect.DeepEqual(f.Marks, []handoff.Mark{{Moment: 1000}, {Moment: 2000, Text: ""}}) {
			t.Errorf("%+v", f.Marks)
		}
	}
}

// TestOffsets that side-cars state.
func TestOffsets(t *testing.T) {
	for s, want := range map[string]int64{"75": 75000, "75.5": 75500, "1:15": 75000, "0:01:15": 75000, "00:01:15.500": 75500, "0.001": 1, "86400": maxOffset, "24:00:00": maxOffset,
		"86401": -1, "": -1, ".": -1, "1.": -1, "1.2345": -1, "1:60": -1, "-1": -1, "+1": -1, "1:2:3:4": -1, "x": -1, "99999999999999999999": -1, "1:+2": -1, "1.-2": -1, "1048575:59:59": -1} {
		if got := offset(s); got != want {
			t.Errorf("%q is %d, want %d", s, got, want)
		}
	}
}

// FuzzSidecar: whatever a side-car holds, a file keeps its path and fits a line.
func FuzzSidecar(f *testing.F) {
	for _, s := range []string{"0:01 gate\n", "2.mp4,2017-07-31 15:53:51,IMP,x\n", "SN=BZ02712", "../1.mp4,,IMP,x", "\xEF\xBB\xBF", "\xC4\xCF\n", strings.Repeat("0:01 x\n", 1000)} {
		f.Add([]byte(s))
	}
	p := marksProfile(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for i := range p.sidecars {
			n := &notes{profile: p, lists: map[string][]remark{"20170731155341.mp4": p.remarks(raw, &p.sidecars[i])}}
			file := p.describe([]byte("/20170731155341.mp4"))
			if err := n.add(nil, &file, "20170731155341.mp4"); err != nil {
				t.Fatal(err)
			}
			line, err := json.Marshal(file)
			if err != nil || len(line) > handoff.MaxLine || string(file.Path) != "/20170731155341.mp4" {
				t.Fatalf("%d bytes, %v", len(line), err)
			}
			if slices.ContainsFunc(file.Marks, func(m handoff.Mark) bool { return m.Moment > maxOffset }) {
				t.Fatalf("%+v", file.Marks)
			}
		}
	})
}
