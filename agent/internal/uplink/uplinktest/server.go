// Package uplinktest is a small server for the agent's tests. It keeps everything in memory, checks the chain and the chunks' hashes,
// and issues genuine receipts from a log of its own. It checks no seals: those are the verifier's tests.
package uplinktest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/evidence"
	camlog "camseal/pkg/tlog"
	"camseal/pkg/transport"
)

// Recording is what the server has of one recording.
type Recording struct {
	Open    evidence.Digest
	Source  evidence.Source
	Opened  *evidence.Open
	Close   *evidence.Close
	Order   int                  // among all recordings, by their open
	Said    []evidence.Statement // headers, notes, marks and the release
	closed  *evidence.Digest
	Faults  []evidence.Fault
	Chunks  []evidence.Chunk
	digest  []evidence.Digest
	Bytes   map[uint64][]byte // chunks received
	lost    map[uint64]bool
	Stored  int    // receipts given
	Covered uint64 // chunks under the newest
}

// Server is the server.
type Server struct {
	*httptest.Server
	VKey   string
	CA     []byte    // PEM
	Until  time.Time // of stored receipts
	Forget bool      // keep no bytes of chunks, only that they came

	Clock     func() time.Time // the server's, for certificates
	CertLife  time.Duration    // of a device's certificate
	Issued    int              // certificates
	authority *Authority

	tokens     map[string]bool
	enrolments map[string]*enrolment
	enrolled   int

	before     atomic.Pointer[Before]
	mux        *http.ServeMux
	mu         sync.Mutex
	signer     note.Signer
	hashes     []tlog.Hash
	size       int64
	device     evidence.DeviceID
	next       uint64
	n          uint64 // of the device's own next statement
	Enrol      *evidence.Enrol
	Boots      []evidence.Boot
	Anchors    int
	Intakes    []evidence.Intake
	Unrecorded []evidence.Unrecorded
	head       evidence.Digest
	digests    []evidence.Digest // D of all statements
	seen       *transport.Receipt
	Unproven   bool // the head is shown without its receipt
	Recordings map[evidence.RecordingID]*Recording
}

// Before sees each request first; it returns true when it has answered.
type Before func(w http.ResponseWriter, r *http.Request) bool

// Intercept sets what sees each request first, from now on; nil: nothing.
func (s *Server) Intercept(b Before) { s.before.Store(&b) }

// Pass has a request served that a Before kept.
func (s *Server) Pass(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Start starts a server; it ends with the test.
func Start(t testing.TB) *Server {
	a := NewAuthority(t)
	return StartWith(t, a, a.Certificate(t, time.Unix(0, 0), time.Unix(1<<33, 0)))
}

// StartOn is Start with a listener of the test's own.
func StartOn(t testing.TB, on net.Listener) *Server {
	a := NewAuthority(t)
	return start(t, a, a.Certificate(t, time.Unix(0, 0), time.Unix(1<<33, 0)), on)
}

// StartWith starts a server with this certificate.
func StartWith(t testing.TB, a *Authority, cert tls.Certificate) *Server {
	return start(t, a, cert, nil)
}

func start(t testing.TB, a *Authority, cert tls.Certificate, on net.Listener) *Server {
	skey, vkey, err := note.GenerateKey(rand.Reader, "example.com/log")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{VKey: vkey, CA: a.PEM, Until: time.Now().Add(time.Hour), Recordings: map[evidence.RecordingID]*Recording{},
		Clock: time.Now, CertLife: 365 * 24 * time.Hour, authority: a, tokens: map[string]bool{}, enrolments: map[string]*enrolment{}}
	if s.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s.mux = mux
	mux.HandleFunc("POST /v1/enrol", s.serveEnrol)
	mux.HandleFunc("POST /v1/enrol/{id}", s.serveAnswer)
	for route, serve := range map[string]http.HandlerFunc{"GET /v1/head": s.serveHead, "POST /v1/statements": s.serveStatements,
		"PUT /v1/recordings/{rec}/chunks/{index}": s.serveChunk, "POST /v1/recordings/{rec}/stored": s.serveStored,
		"POST /v1/certificate": s.serveCertificate, "GET /v1/checkpoint": s.ServeCheckpoint} {
		mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
			if s.admitted(w, r) {
				serve(w, r)
			}
		})
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b := s.before.Load(); b == nil || *b == nil || !(*b)(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	s.Config.ErrorLog = nil
	if on != nil {
		if err := s.Listener.Close(); err != nil {
			t.Fatal(err)
		}
		s.Listener = on
	}
	s.StartTLS()
	t.Cleanup(s.Server.Close)
	return s
}

// Refuse answers with a refusal.
func Refuse(w http.ResponseWriter, status int, code transport.Code, wanted ...transport.Wanted) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(transport.Error{Code: code, Message: "refused by the test", Kept: "all", Do: "nothing", Wanted: wanted})
}

// With runs f while nothing changes.
func (s *Server) With(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Whole returns the bytes of a recording as far as they lie together from its beginning.
func (r *Recording) Whole() []byte {
	var out []byte
	for i := range r.Chunks {
		out = append(out, r.Bytes[uint64(i)]...)
	}
	return out
}

func (s *Server) serveHead(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := transport.Head{Head: s.head, N: &s.n, Seen: s.seen}
	if s.Unproven {
		h.Seen = nil
	}
	if s.next > 0 {
		last := s.next - 1
		h.Seq = &last
	}
	_ = json.NewEncoder(w).Encode(h)
}

func (s *Server) serveStatements(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := transport.Accepted{}
	sealed := false
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, evidence.MaxLine+1)
	for lines.Scan() {
		if a, err := evidence.ParseSealUnverified(lines.Bytes()); err == nil {
			if a.Count != nil {
				continue
			}
			if sealed = a.Seal.Head == s.head && a.Seal.Upto == s.next-1; !sealed {
				Refuse(w, 422, transport.CodeSealBroken)
				return
			}
			continue
		}
		st, d, err := evidence.ParseUnverified(lines.Bytes())
		if err == nil && st.Seq < s.next && s.digests[st.Seq] != d {
			Refuse(w, 409, transport.CodeFork)
			return
		}
		if err != nil || st.Seq != s.next {
			Refuse(w, 422, transport.CodeChainBroken)
			return
		}
		if st.Seq == 0 {
			s.device, s.head = st.Device, evidence.FirstHead(st.Device)
		}
		s.digests = append(s.digests, d)
		if st.Rec.IsZero() {
			s.n++
		}
		s.next, s.head, sealed = s.next+1, evidence.NextHead(st.Seq, st.Rec, s.head, d), false
		answer.Wanted = append(answer.Wanted, s.learn(st, d)...)
	}
	if !sealed {
		Refuse(w, 422, transport.CodeSealBroken)
		return
	}
	answer.Seq, answer.Head = s.next-1, s.head
	answer.Wanted = answer.Wanted[:min(len(answer.Wanted), transport.MaxWanted)]
	answer.Seen = s.log(&evidence.Seen{Device: s.device, Head: s.head, Seq: s.next - 1})
	s.seen = &answer.Seen
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Server) learn(st evidence.Statement, d evidence.Digest) []transport.Wanted {
	r := s.Recordings[st.Rec]
	switch b := st.Body.(type) {
	case *evidence.Enrol:
		s.Enrol = b
	case *evidence.Boot:
		s.Boots = append(s.Boots, *b)
	case *evidence.Anchor:
		s.Anchors++
	case *evidence.Open:
		s.Recordings[st.Rec] = &Recording{Open: d, Order: len(s.Recordings), Opened: b, Source: b.Source, Bytes: map[uint64][]byte{}, lost: map[uint64]bool{}}
	case *evidence.Chunk:
		r.Chunks, r.digest = append(r.Chunks, *b), append(r.digest, d)
		return []transport.Wanted{wanted(st.Rec, b.Index)}
	case *evidence.Close:
		r.Close, r.closed = b, &d
	case *evidence.Intake:
		s.Intakes = append(s.Intakes, *b)
	case *evidence.Unrecorded:
		s.Unrecorded = append(s.Unrecorded, *b)
	case *evidence.Header, *evidence.Note, *evidence.Mark, *evidence.Release:
		if r != nil {
			r.Said = append(r.Said, st)
		}
	case *evidence.Fault:
		r.Faults = append(r.Faults, *b)
		for _, i := range b.Chunks {
			r.lost[i] = true
		}
	}
	return nil
}

func wanted(rec evidence.RecordingID, index uint64) transport.Wanted {
	return transport.Wanted{Rec: rec, Index: index, Method: http.MethodPut, URL: fmt.Sprintf("/v1/recordings/%s/chunks/%d", rec, index)}
}

// find reads the recording's id from the path. s.mu is held.
func (s *Server) find(r *http.Request) (evidence.RecordingID, *Recording) {
	id, _ := evidence.ParseRecordingID(r.PathValue("rec"))
	return id, s.Recordings[id]
}

func (s *Server) serveChunk(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	h := sha256.New()
	to := io.MultiWriter(h, &body)
	if s.Forget {
		to = h
	}
	if _, err := io.Copy(to, r.Body); err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, rec := s.find(r)
	i, err := strconv.ParseUint(r.PathValue("index"), 10, 63)
	switch {
	case rec == nil || err != nil || i >= uint64(len(rec.Chunks)):
		Refuse(w, 404, transport.CodeUnknownChunk)
	case evidence.Digest(h.Sum(nil)) != rec.Chunks[i].Hash:
		Refuse(w, 422, transport.CodeWrongBytes)
	default:
		rec.Bytes[i] = body.Bytes()
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) serveStored(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, rec := s.find(r)
	if rec == nil {
		Refuse(w, 404, transport.CodeUnknownRec)
		return
	}
	leaf := &evidence.Stored{Chunks: uint64(len(rec.Chunks)), Close: rec.closed, Device: s.device,
		Lock: evidence.LockFolder, Open: rec.Open, Rec: id, Until: s.Until.UnixMilli(), Vault: "test"}
	var missing []transport.Wanted
	for i := range uint64(len(rec.Chunks)) {
		if _, ok := rec.Bytes[i]; !ok && rec.lost[i] {
			if len(missing) == 0 {
				leaf.Absent = append(leaf.Absent, i)
			}
		} else if !ok && len(missing) < transport.MaxWanted {
			leaf.Chunks = min(leaf.Chunks, i)
			missing = append(missing, wanted(id, i))
		}
	}
	if len(missing) > 0 && (rec.closed != nil || leaf.Chunks <= rec.Covered) {
		Refuse(w, 409, transport.CodeMissing, missing...)
		return
	}
	leaf.List = evidence.ListDigest(rec.digest[:leaf.Chunks])
	rec.Stored, rec.Covered = rec.Stored+1, leaf.Chunks
	_ = json.NewEncoder(w).Encode(transport.Stored{Receipt: s.log(leaf)})
}

// log appends a leaf and proves it. s.mu is held.
func (s *Server) log(leaf evidence.Leaf) transport.Receipt {
	return s.Prove(leaf, s.signer)
}

// Prove appends a leaf and returns its receipt under a checkpoint by signer.
func (s *Server) Prove(leaf evidence.Leaf, signer note.Signer) transport.Receipt {
	raw, err := evidence.EncodeLeaf(leaf)
	must(err)
	reader := s.reader()
	index := s.size
	more, err := tlog.StoredHashes(index, raw, reader)
	must(err)
	s.hashes, s.size = append(s.hashes, more...), s.size+1
	root, err := tlog.TreeHash(s.size, reader)
	must(err)
	proof, err := tlog.ProveRecord(s.size, index, reader)
	must(err)
	cp, err := note.Sign(&note.Note{Text: camlog.Checkpoint{Origin: signer.Name(), Size: s.size, Root: root}.Text()}, signer)
	must(err)
	return transport.Receipt{Leaf: raw, Proof: camlog.FormatProof(index, proof, cp)}
}

func (s *Server) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, _ error) {
		for _, i := range indexes {
			out = append(out, s.hashes[i])
		}
		return out, nil
	})
}

// root is the log's. s.mu is held.
func (s *Server) root() (tlog.Hash, error) { return tlog.TreeHash(s.size, s.reader()) }

// Signer is the log's own.
func (s *Server) Signer() note.Signer { return s.signer }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
