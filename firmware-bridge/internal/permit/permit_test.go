package permit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"camseal/firmware-bridge/internal/permit"
	"camseal/firmware-bridge/internal/permit/permittest"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/tlog"
	"camseal/pkg/verify/verifytest"
)

func spec() permittest.Spec {
	s := permittest.Spec{Content: bytes.Repeat([]byte("footage "), 1300)} // three chunks, the last one short
	s.Source = evidence.Source{Serial: "BWC-1", Volume: "1A2B-3C4D"}
	s.Source.SetPath([]byte("/DCIM/\xd6\xd0.MP4"), []byte("\xd6\xd0.MP4"))
	return s
}

func TestGoodPermitHolds(t *testing.T) {
	s := spec()
	request, leaf := permittest.Request(s)
	p, err := permittest.Checker().Read(bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	if p.Leaf != leaf || p.Hash != evidence.Sum(s.Content) || string(p.Source.RawPath()) != "/DCIM/\xd6\xd0.MP4" || p.Source.Serial != "BWC-1" ||
		p.Source.Volume != "1A2B-3C4D" || p.Source.Size != 10400 || !p.Until.Equal(permittest.Now.Add(31*24*time.Hour)) {
		t.Errorf("%+v", p)
	}
	s.Content = nil // an empty file is one, too
	request, _ = permittest.Request(s)
	if p, err := permittest.Checker().Read(bytes.NewReader(request)); err != nil || p.Source.Size != 0 {
		t.Errorf("%+v %v", p, err)
	}
}

// TestEveryRuleOfThePermit breaks one rule of section 7 at a time.
func TestEveryRuleOfThePermit(t *testing.T) {
	witness := verifytest.WitnessOne
	first := func(kind evidence.Kind, f func(*evidence.Statement)) func(*evidence.Statement) {
		return func(s *evidence.Statement) {
			if s.Kind == kind {
				f(s)
			}
		}
	}
	for name, c := range map[string]struct {
		change  func(*permittest.Spec)
		checker func(*permit.Checker)
		says    string
	}{
		"another log's key": {checker: func(c *permit.Checker) { c.Log = otherLog(t) }, says: "does not verify under the log key"},
		"changed leaf":      {change: func(s *permittest.Spec) { s.Sent = func(p *handoff.Permit) { p.Leaf[40] ^= 1 } }, says: "does not verify"},
		"changed proof": {change: func(s *permittest.Spec) {
			s.Sent = func(p *handoff.Permit) { p.Proof = bytes.Replace(p.Proof, []byte("index 3"), []byte("index 2"), 1) }
		}, says: "does not verify"},
		"too few witnesses":      {change: func(s *permittest.Spec) { s.Witnesses = []string{witness} }, checker: func(c *permit.Checker) { c.Witnesses, c.Quorum = witnesses(t), 2 }, says: "1 of the 2 witnesses"},
		"leaf of another type":   {change: func(s *permittest.Spec) { s.Sent = seen(t) }, says: "something else than stored footage"},
		"still open":             {change: func(s *permittest.Spec) { s.Leaf = func(l *evidence.Stored) { l.Close = nil } }, says: "still open"},
		"a chunk is absent":      {change: func(s *permittest.Spec) { s.Leaf = func(l *evidence.Stored) { l.Absent = []uint64{1} } }, says: "1 chunks are absent"},
		"another lock":           {change: func(s *permittest.Spec) { s.Leaf = func(l *evidence.Stored) { l.Lock = "compliance" } }, says: `lock "compliance"`},
		"kept for too short":     {change: func(s *permittest.Spec) { s.Leaf = func(l *evidence.Stored) { l.Until -= 24*3600*1000 + 1 } }, says: "less than 30 days"},
		"another open":           {change: func(s *permittest.Spec) { s.Leaf = func(l *evidence.Stored) { l.Open[0] ^= 1 } }, says: "open statement is not the one"},
		"another close":          {change: func(s *permittest.Spec) { s.Leaf = func(l *evidence.Stored) { l.Close[0] ^= 1 } }, says: "close statement is not the one"},
		"another list of chunks": {change: func(s *permittest.Spec) { s.Leaf = func(l *evidence.Stored) { l.List[0] ^= 1 } }, says: "not those that the receipt covers"},
		"fewer chunks covered":   {change: func(s *permittest.Spec) { s.Leaf = func(l *evidence.Stored) { l.Chunks-- } }, says: "not those that the receipt covers"},
		"another recording":      {change: func(s *permittest.Spec) { s.Leaf = func(l *evidence.Stored) { l.Rec[0] ^= 1 } }, says: "another device or recording"},
		"another device": {change: func(s *permittest.Spec) {
			s.Statement = first(evidence.KindChunk, func(s *evidence.Statement) { s.Device[5] ^= 1 })
		}, says: "another device or recording"},
		"statements out of order": {change: func(s *permittest.Spec) {
			s.Statement = first(evidence.KindClose, func(s *evidence.Statement) { s.Seq, s.N = 41, 1 })
		}, says: "out of order"},
		"captured, not imported": {change: func(s *permittest.Spec) {
			s.Open = func(o *evidence.Open) { o.Mode, o.Intake = evidence.ModeCapture, 0 }
		}, says: "not imported"},
		"no path": {change: func(s *permittest.Spec) { s.Open = func(o *evidence.Open) { o.Source.SetPath(nil, []byte("x")) } }, says: "no path"},
		"path that is relative": {change: func(s *permittest.Spec) {
			s.Open = func(o *evidence.Open) { o.Source.SetPath([]byte("../x"), []byte("x")) }
		}, says: "no path"},
		"chunk twice":            {change: func(s *permittest.Spec) { s.Chunk = func(c *evidence.Chunk) { c.Index = c.Index / 2 * 2 } }, says: "chunk 0 stands where chunk 1"},
		"hole between chunks":    {change: func(s *permittest.Spec) { s.Chunk = func(c *evidence.Chunk) { c.Offset += c.Index } }, says: "begins at byte 4097"},
		"chunk too large":        {change: func(s *permittest.Spec) { s.Chunk = func(c *evidence.Chunk) { c.Size++ } }, says: "not all of 4096"},
		"short chunk in between": {change: func(s *permittest.Spec) { s.Chunk = func(c *evidence.Chunk) { c.Size, c.Offset = 4000, 4000*c.Index } }, says: "not all of 4096"},
		"size in close":          {change: func(s *permittest.Spec) { s.Close = func(c *evidence.Close) { c.Size++ } }, says: "different sizes"},
		"chunks in close":        {change: func(s *permittest.Spec) { s.Close = func(c *evidence.Close) { c.Chunks++ } }, says: "different sizes"},
		"size in open":           {change: func(s *permittest.Spec) { s.Open = func(o *evidence.Open) { o.Source.Size++ } }, says: "different sizes"},
		"closed incompletely":    {change: func(s *permittest.Spec) { s.Close = func(c *evidence.Close) { c.Why = evidence.WhyReadError } }, says: "read-error"},
		"close missing":          {change: func(s *permittest.Spec) { s.Lines = func(l [][]byte) [][]byte { return l[:len(l)-1] } }, says: "from open to close"},
		"open missing":           {change: func(s *permittest.Spec) { s.Lines = func(l [][]byte) [][]byte { return l[1:] } }, says: "before the open"},
		"open twice":             {change: func(s *permittest.Spec) { s.Lines = func(l [][]byte) [][]byte { return append(l[:1:1], l...) } }, says: "out of order"},
		"a chunk left out":       {change: func(s *permittest.Spec) { s.Lines = func(l [][]byte) [][]byte { return append(l[:2:2], l[3:]...) } }, says: "chunk 2 stands where chunk 1"},
		"more after close":       {change: func(s *permittest.Spec) { s.Lines = func(l [][]byte) [][]byte { return append(l, l[1]) } }, says: "after the close"},
		"beat in between":        {change: func(s *permittest.Spec) { s.Lines = beat(t) }, says: `kind "beat"`},
	} {
		t.Run(name, func(t *testing.T) {
			s, k := spec(), permittest.Checker()
			if c.change != nil {
				c.change(&s)
			}
			if c.checker != nil {
				c.checker(k)
			}
			request, _ := permittest.Request(s)
			p, err := k.Read(bytes.NewReader(request))
			var e *handoff.Error
			if !errors.As(err, &e) || e.Code != handoff.CodeBadPermit || e.Status != 422 || !strings.Contains(e.Message, c.says) || e.Kept == "" || e.Do == "" {
				t.Errorf("%v", err)
			}
			if p.Leaf != (evidence.Digest{}) || p.Source.Path != "" {
				t.Errorf("a permit came of it: %+v", p)
			}
		})
	}
}

func TestWitnessQuorumHolds(t *testing.T) {
	s, k := spec(), permittest.Checker()
	s.Witnesses = []string{verifytest.WitnessOne, verifytest.WitnessTwo}
	k.Witnesses, k.Quorum = witnesses(t), 2
	request, _ := permittest.Request(s)
	if _, err := k.Read(bytes.NewReader(request)); err != nil {
		t.Error(err)
	}
}

func TestRequestsOutOfFormAreRefused(t *testing.T) {
	good, _ := permittest.Request(spec())
	lines := bytes.SplitAfter(good, []byte("\n"))
	join := func(l ...[]byte) []byte { return bytes.Join(l, nil) }
	for name, request := range map[string][]byte{
		"nothing":          nil,
		"no permit":        join([]byte("{}{}\n"), lines[1]),
		"unknown member":   join([]byte(`{"leaf":"","proof":"","x":1}`+"\n"), lines[1]),
		"not canonical":    join(lines[0], []byte(" "), lines[1]),
		"half a line":      good[:len(good)-20],
		"line without end": join(lines[0], bytes.Repeat([]byte("x"), handoff.MaxLine+1)),
	} {
		_, err := permittest.Checker().Read(bytes.NewReader(request))
		var e *handoff.Error
		if !errors.As(err, &e) || e.Code != handoff.CodeBadRequest || e.Status != 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPermitOfManyChunksTakesNoMemory: a file of 240 GB has so many.
func TestPermitOfManyChunksTakesNoMemory(t *testing.T) {
	s := spec()
	s.Content = make([]byte, 30_000*permittest.ChunkSize)
	request, _ := permittest.Request(s)
	s.Content = nil
	var most uint64
	r := &sampled{r: bytes.NewReader(request), most: &most}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := permittest.Checker().Read(r); err != nil {
		t.Fatal(err)
	}
	if most == 0 || most > before.HeapAlloc+1<<20 {
		t.Errorf("%d bytes more were held", most-before.HeapAlloc)
	}
	t.Logf("request of %d bytes", len(request))
}

// sampled looks at what lives on the heap now and then.
type sampled struct {
	r    io.Reader
	n    int
	most *uint64
}

func (s *sampled) Read(b []byte) (int, error) {
	if s.n++; s.n%20 == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		*s.most = max(*s.most, m.HeapAlloc)
	}
	return s.r.Read(b)
}

func otherLog(t *testing.T) interface {
	Name() string
	KeyHash() uint32
	Verify(msg, sig []byte) bool
} {
	l, err := verifytest.NewLog("example.com/log", "another")
	if err != nil {
		t.Fatal(err)
	}
	v, err := tlog.NewVerifier(l.VKey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func witnesses(t *testing.T) (keys []tlog.Cosigner) {
	l := permittest.Log()
	if err := l.Cosign(verifytest.WitnessOne, verifytest.WitnessTwo); err != nil {
		t.Fatal(err)
	}
	for _, k := range l.Cosigners {
		keys = append(keys, k.Cosigner)
	}
	return keys
}

func seen(t *testing.T) func(*handoff.Permit) {
	return func(p *handoff.Permit) {
		l := permittest.Log()
		i, err := l.Append(&evidence.Seen{Device: evidence.DeviceID{0, 11}, Seq: 3})
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.Receipt(i)
		if err != nil {
			t.Fatal(err)
		}
		p.Leaf, p.Proof = r.Leaf, r.Proof
	}
}

// beat puts a beat after the open statement.
func beat(t *testing.T) func([][]byte) [][]byte {
	return func(lines [][]byte) [][]byte {
		open, _, err := evidence.ParseUnverified(lines[0])
		if err != nil {
			t.Fatal(err)
		}
		s := evidence.NewStatement(open.Device, open.Rec, &evidence.Beat{})
		s.Seq, s.N = open.Seq+1, open.N+1
		line, _, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return append([][]byte{lines[0], line}, lines[2:]...)
	}
}

// FuzzRead: whatever is sent, a permit comes only of a request whose receipt is the log's.
func FuzzRead(f *testing.F) {
	good, leaf := permittest.Request(spec())
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("DCIM"), []byte("DCIN"), 1))
	f.Add([]byte(`{"leaf":null,"proof":null}` + "\n"))
	k := permittest.Checker()
	f.Fuzz(func(t *testing.T, request []byte) {
		p, err := k.Read(bytes.NewReader(request))
		var e *handoff.Error
		if err != nil && (!errors.As(err, &e) || e.Status < 400) {
			t.Fatalf("%v", err)
		}
		if err == nil && (p.Leaf != leaf || p.Hash != evidence.Sum(spec().Content)) {
			raw, _ := json.Marshal(p)
			t.Fatalf("%s", raw)
		}
	})
}
