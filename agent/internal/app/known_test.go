package app

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"camseal/agent/internal/dock"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// lie is a way in which a server, or a dock that it believes, claims to have a file.
type lie struct {
	open   func(*evidence.Open)
	close  func(*evidence.Close)
	leaf   func(*evidence.Stored)
	signer note.Signer
}

// claim answers that a file is known, as another dock's statements and the log's receipt say.
func (l lie) claim(s *station, f transport.KnownFile) transport.Known {
	t := s.site.t
	device, rec := evidence.DeviceID{0, 11, 7}, evidence.RecordingID{7}
	src := evidence.Source{Serial: f.Serial, Volume: f.Volume, Size: f.Size, Modified: f.Modified}
	src.SetPath(f.Path, []byte("a.mp4"))
	open := &evidence.Open{ChunkSize: 4096, Intake: 1, Mode: evidence.ModeImport, MediaType: "video/mp4", Source: src}
	end := &evidence.Close{Chunks: 3, Size: f.Size, Why: evidence.WhyComplete}
	if l.open != nil {
		l.open(open)
	}
	if l.close != nil {
		l.close(end)
	}
	said := func(n uint64, b evidence.Body) ([]byte, evidence.Digest) {
		st := evidence.NewStatement(device, rec, b)
		st.Seq, st.N = 2+n, n
		line, d, err := st.Encode()
		if err != nil {
			t.Error(err)
		}
		return line, d
	}
	openLine, openDigest := said(0, open)
	closeLine, closeDigest := said(4, end)
	leaf := &evidence.Stored{Chunks: 3, Close: &closeDigest, Device: device, Lock: evidence.LockFolder, Open: openDigest, Rec: rec, Until: s.server.Until.UnixMilli(), Vault: "test"}
	if l.leaf != nil {
		l.leaf(leaf)
	}
	signer := l.signer
	if signer == nil {
		signer = s.server.Signer()
	}
	var receipt transport.Receipt
	s.server.With(func() { receipt = s.server.Prove(leaf, signer) })
	return transport.Known{Open: openLine, Close: closeLine, Receipt: receipt}
}

// TestKnownElsewhereNeedsProof: a file that another dock has stored whole, by its statements and the log's receipt, is not taken in; whatever claims less, is about another
// file, or is signed by another log, keeps no file from being taken in.
func TestKnownElsewhereNeedsProof(t *testing.T) {
	skey, _, err := note.GenerateKey(rand.Reader, "example.com/log")
	if err != nil {
		t.Fatal(err)
	}
	other, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lie
		known bool
	}{
		"proven":                  {lie{}, true},
		"another log":             {lie{signer: other}, false},
		"another path":            {lie{open: func(o *evidence.Open) { o.Source.SetPath([]byte("/b.mp4"), []byte("b.mp4")) }}, false},
		"another recorder":        {lie{open: func(o *evidence.Open) { o.Source.Serial = "BZ2" }}, false},
		"another time":            {lie{open: func(o *evidence.Open) { o.Source.Modified++ }}, false},
		"another size":            {lie{open: func(o *evidence.Open) { o.Source.Size++ }}, false},
		"not whole":               {lie{close: func(c *evidence.Close) { c.Why = evidence.WhyReadError }}, false},
		"chunks were lost":        {lie{leaf: func(l *evidence.Stored) { l.Absent = []uint64{1} }}, false},
		"still open":              {lie{leaf: func(l *evidence.Stored) { l.Close = nil }}, false},
		"a receipt for another":   {lie{leaf: func(l *evidence.Stored) { l.Open = evidence.Digest{1} }}, false},
		"a close that is another": {lie{leaf: func(l *evidence.Stored) { l.Close = &evidence.Digest{1} }}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t)
			var once sync.Once
			asked := make(chan struct{})
			s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/v1/known" {
					return false
				}
				var req transport.KnownRequest
				if err := json.NewDecoder(r.Body).Decode(&req); err != nil || len(req.Files) != 1 {
					t.Errorf("%v %+v", err, req)
					return false
				}
				once.Do(func() { close(asked) })
				_ = json.NewEncoder(w).Encode(transport.KnownAnswer{Known: []transport.Known{c.claim(s, req.Files[0]), {Index: 9}}})
				return true
			})
			s.until("online", func(snap dock.Snapshot) bool { return snap.Online })
			s.plug("1", "BZ1", "V", recorder(t, 1, map[string]int{"a.mp4": 9000}), false)
			<-asked
			want := dock.TileHeader
			if c.known {
				want = dock.TileStored
			}
			s.tile("1", want)
			s.server.With(func() {
				if taken := len(s.server.Recordings) > 0; taken == c.known {
					t.Errorf("taken in: %v", taken)
				}
			})
		})
	}
}
