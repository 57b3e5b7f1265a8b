// Package permittest makes requests to erase, good and bad, for tests. It must not be imported by programs.
package permittest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"time"

	"camseal/firmware-bridge/internal/permit"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/tlog"
	"camseal/pkg/verify/verifytest"
)

// Now is when the tests play.
var Now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// Spec says what a request is about, and what is wrong with it. Each function, if not nil, changes what would be right.
type Spec struct {
	Source    evidence.Source
	Content   []byte // of the file, a chunk being ChunkSize bytes
	Open      func(*evidence.Open)
	Chunk     func(*evidence.Chunk)
	Close     func(*evidence.Close)
	Statement func(*evidence.Statement)
	Leaf      func(*evidence.Stored)
	Lines     func([][]byte) [][]byte // the statements that are sent
	Sent      func(*handoff.Permit)
	Witnesses []string
}

// ChunkSize is that of every request.
const ChunkSize = 4096

// Log is the log whose receipts are sent.
func Log() *verifytest.Log {
	l, err := verifytest.NewLog("example.com/log", "bridge")
	if err != nil {
		panic(err)
	}
	return l
}

// Checker trusts Log and asks for 30 days.
func Checker() *permit.Checker {
	v, err := tlog.NewVerifier(Log().VKey)
	if err != nil {
		panic(err)
	}
	return &permit.Checker{Log: v, Ahead: 30 * 24 * time.Hour, Locks: []evidence.Lock{evidence.LockFolder}, Now: func() time.Time { return Now }}
}

// Request returns the bytes of a request to erase, and the leaf hash of its receipt.
func Request(s Spec) (request []byte, leafHash evidence.Digest) {
	lines, leaf := s.statements()
	l := Log()
	must(l.Cosign(s.Witnesses...))
	for range 3 {
		must2(l.AppendRaw([]byte("another leaf")))
	}
	index := must2(l.Append(leaf))
	receipt := must2(l.Receipt(index))
	sent := handoff.Permit{Leaf: receipt.Leaf, Proof: receipt.Proof}
	if s.Sent != nil {
		s.Sent(&sent)
	}
	if s.Lines != nil {
		lines = s.Lines(lines)
	}
	first := must2(json.Marshal(sent))
	return append(bytes.Join(append([][]byte{first}, lines...), []byte("\n")), '\n'), sha256.Sum256(append([]byte{0}, receipt.Leaf...))
}

// statements writes open, chunks and close, and the leaf about them.
func (s Spec) statements() (lines [][]byte, leaf *evidence.Stored) {
	leaf = &evidence.Stored{Device: evidence.DeviceID{0, 11, 1}, Rec: evidence.RecordingID([]byte("recording number")), Lock: evidence.LockFolder,
		Until: Now.Add(31 * 24 * time.Hour).UnixMilli(), Vault: "vault"}
	leaf.Manifest = evidence.Sum(s.Content)
	seq := uint64(40)
	say := func(b evidence.Body) evidence.Digest {
		st := evidence.NewStatement(leaf.Device, leaf.Rec, b)
		st.Seq, st.N, st.At = seq, seq-40, Now.UnixMilli()
		if s.Statement != nil {
			s.Statement(&st)
		}
		line, d, err := st.Encode()
		must(err)
		lines = append(lines, line)
		seq++
		return d
	}
	open := &evidence.Open{ChunkSize: ChunkSize, Intake: 39, MediaType: "video/mp4", Mode: evidence.ModeImport, Source: s.Source}
	open.Source.Size = uint64(len(s.Content))
	change(s.Open, open)
	leaf.Open = say(open)
	var digests []evidence.Digest
	for at := 0; at < len(s.Content); at += ChunkSize {
		piece := s.Content[at:min(at+ChunkSize, len(s.Content))]
		c := &evidence.Chunk{Hash: evidence.Sum(piece), Index: uint64(len(digests)), Offset: uint64(at), Size: uint64(len(piece))}
		change(s.Chunk, c)
		digests = append(digests, say(c))
	}
	end := &evidence.Close{Chunks: uint64(len(digests)), Hash: evidence.Sum(s.Content), Size: uint64(len(s.Content)), Why: evidence.WhyComplete}
	change(s.Close, end)
	closed := say(end)
	leaf.Close, leaf.Chunks, leaf.List = &closed, uint64(len(digests)), evidence.ListDigest(digests)
	change(s.Leaf, leaf)
	return lines, leaf
}

func change[T any](f func(*T), v *T) {
	if f != nil {
		f(v)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func must2[T any](v T, err error) T {
	must(err)
	return v
}
