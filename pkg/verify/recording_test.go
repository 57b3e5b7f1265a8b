package verify_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

var (
	testRec    = verifytest.RecID("rules")
	testDevice = evidence.DeviceID{0, 0x0B, 1}
)

// tell gives bodies to a recording, numbered in order, and returns the first error.
func tell(bodies ...evidence.Body) (*verify.Recording, error) {
	r := verify.NewRecording(testDevice, testRec)
	for i, b := range bodies {
		s := evidence.NewStatement(testDevice, testRec, b)
		s.Seq, s.N = uint64(10+i), uint64(i)
		if err := r.Add(&s, evidence.Sum([]byte{byte(i)})); err != nil {
			return r, err
		}
	}
	return r, nil
}

func imported(size uint64) *evidence.Open {
	return &evidence.Open{ChunkSize: 4, Intake: 1, Mode: evidence.ModeImport, Source: evidence.Source{Size: size}}
}

func chunk(i, size uint64) *evidence.Chunk {
	return &evidence.Chunk{Index: i, Offset: 4 * i, Size: size}
}

func TestRecordingRules(t *testing.T) {
	closed := &evidence.Close{Chunks: 2, Size: 6, Why: evidence.WhyComplete, Hash: evidence.Sum([]byte("x"))}
	whole := []evidence.Body{imported(6), chunk(0, 4), chunk(1, 2), closed}
	and := func(more ...evidence.Body) []evidence.Body {
		return append(append([]evidence.Body{}, whole...), more...)
	}
	good := map[string][]evidence.Body{
		"whole":        whole,
		"empty file":   {imported(0), &evidence.Close{Why: evidence.WhyComplete}},
		"after close":  and(&evidence.Note{}, &evidence.Header{}, &evidence.Mark{}, &evidence.Fault{}, &evidence.Release{Erased: closed.Hash}),
		"correction":   and(&evidence.Note{}, &evidence.Note{Corrects: 14}),
		"lost chunk":   {imported(6), chunk(0, 4), &evidence.Fault{Chunks: []uint64{0}}, chunk(1, 2)},
		"unrecorded":   {&evidence.Unrecorded{}, &evidence.Note{}},
		"capture":      {&evidence.Open{Mode: evidence.ModeCapture}, &evidence.Chunk{Size: 7}, &evidence.Chunk{Index: 1, Offset: 7, Size: 9}, &evidence.Beat{}},
		"whole chunks": {imported(8), chunk(0, 4), chunk(1, 4), &evidence.Close{Chunks: 2, Size: 8, Why: evidence.WhyComplete}},
	}
	for name, bodies := range good {
		t.Run(name, func(t *testing.T) {
			if _, err := tell(bodies...); err != nil {
				t.Error(err)
			}
		})
	}
	bad := map[string][]evidence.Body{
		"no open":            {chunk(0, 4)},
		"open twice":         {imported(6), imported(6)},
		"later intake":       {&evidence.Open{ChunkSize: 4, Intake: 10, Mode: evidence.ModeImport}},
		"continues itself":   {&evidence.Open{ChunkSize: 4, Continues: &testRec, Mode: evidence.ModeImport}},
		"chunk missing":      {imported(6), chunk(1, 4)},
		"wrong offset":       {imported(6), &evidence.Chunk{Offset: 1, Size: 4}},
		"chunk too long":     {imported(6), chunk(0, 5)},
		"after a short one":  {imported(6), chunk(0, 3), &evidence.Chunk{Index: 1, Offset: 3, Size: 3}},
		"import with time":   {imported(6), &evidence.Chunk{Size: 4, Start: 1}},
		"close counts wrong": {imported(6), chunk(0, 4), &evidence.Close{Chunks: 2, Size: 4, Why: "complete"}},
		"close sizes wrong":  {imported(6), chunk(0, 4), &evidence.Close{Chunks: 1, Size: 6, Why: "complete"}},
		"close without why":  {imported(6), chunk(0, 4), &evidence.Close{Chunks: 1, Size: 4}},
		"closed twice":       and(closed),
		"chunk after close":  and(chunk(2, 1)),
		"beat after close":   and(&evidence.Beat{}),
		"early release":      {imported(6), &evidence.Release{}},
		"other erased":       and(&evidence.Release{}),
		"released twice":     and(&evidence.Release{Erased: closed.Hash}, &evidence.Release{Erased: closed.Hash}),
		"corrects nothing":   and(&evidence.Note{Corrects: 3}),
		"corrects other":     and(&evidence.Header{}, &evidence.Note{Corrects: 14}),
		"loses nothing":      {imported(6), &evidence.Fault{Chunks: []uint64{0}}},
		"loses in disorder":  {imported(8), chunk(0, 4), chunk(1, 4), &evidence.Fault{Chunks: []uint64{1, 0}}},
		"not an act":         {&evidence.Unrecorded{}, &evidence.Mark{}},
	}
	for name, bodies := range bad {
		t.Run(name, func(t *testing.T) {
			_, err := tell(bodies...)
			var brk *verify.RecordingBreak
			if !errors.As(err, &brk) || brk.Rec != testRec || brk.Reason == "" {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestRecordingNumbers(t *testing.T) {
	r, err := tell(imported(6))
	if err != nil {
		t.Fatal(err)
	}
	s := evidence.NewStatement(testDevice, testRec, chunk(0, 4))
	for _, n := range [][2]uint64{{2, 20}, {0, 20}, {1, 10}} { // n, seq
		s.N, s.Seq = n[0], n[1]
		if r.Add(&s, evidence.Digest{}) == nil {
			t.Errorf("n %d at seq %d was taken in", n[0], n[1])
		}
	}
}

func TestStored(t *testing.T) {
	r, err := tell(imported(6), chunk(0, 4), chunk(1, 2), &evidence.Fault{Chunks: []uint64{1}}, &evidence.Close{Chunks: 2, Size: 6, Why: "complete"})
	if err != nil {
		t.Fatal(err)
	}
	x := r.Exhibit()
	whole := evidence.Stored{Chunks: 2, Close: x.Close, Device: x.Device, List: evidence.ListDigest(x.Chunks), Lock: evidence.LockFolder, Open: x.Open, Rec: x.Rec, Until: 1}
	check := func(change func(*evidence.Stored)) (*evidence.Stored, error) {
		s := whole
		change(&s)
		leaf, err := evidence.EncodeLeaf(&s)
		if err != nil {
			t.Fatal(err)
		}
		return verify.Stored(tlog.Verified{Index: 4, Leaf: leaf}, x)
	}
	s, err := check(func(*evidence.Stored) {})
	if err != nil || !verify.Complete(s) || !verify.Holds(s, 1) || verify.Holds(s, 2) {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = check(func(s *evidence.Stored) { s.Absent = []uint64{1} })
	if err != nil || verify.Complete(s) || verify.Holds(s, 1) {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = check(func(s *evidence.Stored) { s.Chunks, s.List, s.Close = 1, evidence.ListDigest(x.Chunks[:1]), nil })
	if err != nil || verify.Complete(s) {
		t.Errorf("%+v, %v", s, err)
	}
	for name, change := range map[string]func(*evidence.Stored){
		"rec":    func(s *evidence.Stored) { s.Rec[0] ^= 1 },
		"device": func(s *evidence.Stored) { s.Device[9] ^= 1 },
		"open":   func(s *evidence.Stored) { s.Open[0] ^= 1 },
		"list":   func(s *evidence.Stored) { s.List[0] ^= 1 },
		"chunks": func(s *evidence.Stored) { s.Chunks = 3 },
		"close":  func(s *evidence.Stored) { s.Close = &s.Open },
		"short":  func(s *evidence.Stored) { s.Chunks, s.List = 1, evidence.ListDigest(x.Chunks[:1]) },
		"absent": func(s *evidence.Stored) { s.Absent = []uint64{0} },
		"lock":   func(s *evidence.Stored) { s.Lock = "paper" },
		"until":  func(s *evidence.Stored) { s.Until = 0 },
	} {
		var brk *verify.ReceiptBreak
		if _, err := check(change); !errors.As(err, &brk) || brk.Index != 4 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSafeName(t *testing.T) {
	for in, want := range map[string]string{
		"NOR_0001.MP4":     "NOR_0001.MP4",
		"执法 记录.mp4":        "执法 记录.mp4",
		"":                 "original",
		"..":               "original",
		".":                "original",
		"../../etc/passwd": "_._.._etc_passwd",
		".hidden":          "_hidden",
		"a\nb\x00c.mp4":    "a_b_c.mp4",
		"a\\b:c*d?e\"f<g>": "a_b_c_d_e_f_g_",
		"50%.mp4":          "50_.mp4",
		"con":              "_con",
		"LPT1.mp4":         "_LPT1.mp4",
		"COM0 .x":          "_COM0 .x",
		"comet.mp4":        "comet.mp4",
		"a. . ":            "a",
		"\xff\xfe.avi":     "__.avi",
		"gp\u202e4pm.exe":  "gp_4pm.exe",
	} {
		if got := verify.SafeName([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"", "a.mp4", strings.Repeat("长", 90) + ".mp4", strings.Repeat(".", 200), "con." + strings.Repeat("x", 300), "a." + strings.Repeat("é", 99)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		s := verify.SafeName(in)
		if s == "" || len(s) > verify.MaxName || !utf8.ValidString(s) || strings.ContainsAny(s, "/\\\n%:") || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") {
			t.Errorf("%q gives %q", in, s)
		}
		if again := verify.SafeName([]byte(s)); again != s {
			t.Errorf("%q gives %q, which gives %q", in, s, again)
		}
	})
}
