// Package permit checks permits to erase: a stored receipt, and the statements of the recording that it is about, against the rules of
// the evidence format, section 7. It trusts the log key that it was given and nothing else that is sent.
package permit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/tlog"
)

// Checker says what a permit must show. Its fields are not changed while it is used; it is safe for concurrent use.
type Checker struct {
	Log       note.Verifier    // the only log whose receipts count
	Witnesses []tlog.Cosigner  // whose signatures on the receipt's checkpoint count
	Quorum    int              // how many of them must have signed; 0: none
	Ahead     time.Duration    // the vault must keep the bytes for at least so long from now
	Locks     []evidence.Lock  // of the vault
	Now       func() time.Time //
}

// Permit is a permit that was checked. Only Checker.Read makes one: the zero value permits nothing.
type Permit struct {
	Leaf   evidence.Digest      // leaf hash (RFC 6962) of the stored receipt
	Rec    evidence.RecordingID //
	Source evidence.Source      // the file: serial of the recorder, volume, path and size
	Hash   evidence.Digest      // SHA-256 of the whole file
	Until  time.Time            // the vault keeps it until then
}

// Read reads a request to erase, as handoff has it, and checks it. It keeps one line in memory. Errors are *handoff.Error, with
// CodeBadRequest for what has not the form, and CodeBadPermit for what has it and does not hold.
func (c *Checker) Read(r io.Reader) (Permit, error) {
	lines := &lines{r: bufio.NewReaderSize(r, 64<<10)}
	first, err := lines.next()
	if errors.Is(err, io.EOF) {
		err = badRequest("it is empty")
	}
	if err != nil {
		return Permit{}, err
	}
	var sent handoff.Permit
	dec := json.NewDecoder(bytes.NewReader(first))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&sent); err != nil || dec.More() {
		return Permit{}, badRequest("the first line is no permit")
	}
	leaf, hash, err := c.receipt(sent)
	if err != nil {
		return Permit{}, err
	}
	w := walk{leaf: leaf, list: sha256.New()}
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Permit{}, err
		}
		if err := w.take(line); err != nil {
			return Permit{}, err
		}
	}
	if err := w.end(); err != nil {
		return Permit{}, err
	}
	return Permit{Leaf: hash, Rec: leaf.Rec, Source: w.open.Source, Hash: w.close.Hash, Until: time.UnixMilli(leaf.Until)}, nil
}

// receipt checks what is said of the log and the vault.
func (c *Checker) receipt(sent handoff.Permit) (*evidence.Stored, evidence.Digest, error) {
	v, err := tlog.Receipt{Leaf: sent.Leaf, Proof: sent.Proof}.Verify(c.Log)
	if err != nil {
		return nil, evidence.Digest{}, refuse("its receipt does not verify under the log key of this bridge: %v", err)
	}
	signed := 0
	for _, w := range c.Witnesses {
		_, ok, err := w.Verify(v.Signed)
		if err != nil {
			return nil, evidence.Digest{}, refuse("a witness's signature does not hold: %v", err)
		}
		if ok {
			signed++
		}
	}
	if signed < c.Quorum {
		return nil, evidence.Digest{}, refuse("%d of the %d witnesses that are needed signed its receipt", signed, c.Quorum)
	}
	parsed, err := evidence.ParseLeafUnverified(v.Leaf)
	if err != nil {
		return nil, evidence.Digest{}, refuse("its leaf can't be read: %v", err)
	}
	leaf, ok := parsed.(*evidence.Stored)
	switch {
	case !ok:
		return nil, evidence.Digest{}, refuse("its receipt is for something else than stored footage")
	case leaf.Close == nil:
		return nil, evidence.Digest{}, refuse("the recording was still open when it was stored")
	case len(leaf.Absent) > 0:
		return nil, evidence.Digest{}, refuse("%d chunks are absent from the vault", len(leaf.Absent))
	case !slices.Contains(c.Locks, leaf.Lock):
		return nil, evidence.Digest{}, refuse("the vault's lock %q is not among those that this bridge is configured for", leaf.Lock)
	case leaf.Until < c.Now().Add(c.Ahead).UnixMilli():
		return nil, evidence.Digest{}, refuse("by this machine's clock (%s) the vault keeps the bytes (until %s) for less than %d days; is the clock right?",
			c.Now().UTC().Format(time.RFC3339), time.UnixMilli(leaf.Until).UTC().Format(time.RFC3339), c.Ahead/(24*time.Hour))
	}
	return leaf, evidence.Digest(v.LeafHash), nil
}

// walk compares the statements, one after the other, with the leaf.
type walk struct {
	leaf   *evidence.Stored
	list   hash.Hash // over the digests of the chunk statements: evidence.ListDigest
	open   *evidence.Open
	close  *evidence.Close
	last   evidence.Statement
	chunks uint64
	offset uint64
	short  bool // a chunk smaller than the others came: it must be the last
}

func (w *walk) take(line []byte) error {
	s, d, err := evidence.ParseUnverified(line)
	if err != nil {
		return badRequest(fmt.Sprintf("statement %d can't be read: %v", w.chunks, err))
	}
	switch {
	case s.Device != w.leaf.Device || s.Rec != w.leaf.Rec:
		return refuse("statement %d is of another device or recording than its receipt", s.Seq)
	case w.close != nil:
		return refuse("statement %d comes after the close", s.Seq)
	case w.open != nil && (s.Seq <= w.last.Seq || s.N <= w.last.N):
		return refuse("statement %d is out of order", s.Seq)
	}
	w.last = evidence.Statement{Seq: s.Seq, N: s.N}
	switch b := s.Body.(type) {
	case *evidence.Open:
		return w.begin(b, d)
	case *evidence.Chunk:
		return w.chunk(b, d)
	case *evidence.Close:
		w.close = b
		if d != *w.leaf.Close {
			return refuse("its close statement is not the one that the receipt names")
		}
		return nil
	default:
		return refuse("statement %d is of kind %q; open, chunks and close are what a permit holds", s.Seq, s.Kind)
	}
}

func (w *walk) begin(o *evidence.Open, d evidence.Digest) error {
	path := o.Source.RawPath()
	switch {
	case w.open != nil:
		return refuse("two open statements")
	case d != w.leaf.Open:
		return refuse("its open statement is not the one that the receipt names")
	case o.Mode != evidence.ModeImport:
		return refuse("the recording was not imported from a recorder (mode %q)", o.Mode)
	case len(path) < 2 || path[0] != '/' || len(path) > 4095 || bytes.IndexByte(path, 0) >= 0:
		return refuse("its open statement names no path on a volume")
	}
	w.open = o
	return nil
}

func (w *walk) chunk(c *evidence.Chunk, d evidence.Digest) error {
	switch {
	case w.open == nil:
		return refuse("a chunk comes before the open statement")
	case c.Index != w.chunks:
		return refuse("chunk %d stands where chunk %d should", c.Index, w.chunks)
	case c.Offset != w.offset:
		return refuse("chunk %d begins at byte %d, the chunks before it end at %d", c.Index, c.Offset, w.offset)
	case w.short || c.Size > w.open.ChunkSize:
		return refuse("the chunks up to %d are not all of %d bytes", c.Index, w.open.ChunkSize)
	}
	w.short = c.Size < w.open.ChunkSize
	w.list.Write(d[:])
	w.chunks++
	w.offset += c.Size
	return nil
}

func (w *walk) end() error {
	switch {
	case w.open == nil || w.close == nil:
		return refuse("its statements do not go from open to close")
	case w.chunks != w.leaf.Chunks || evidence.Digest(w.list.Sum(nil)) != w.leaf.List:
		return refuse("its chunk statements are not those that the receipt covers")
	case w.close.Why != evidence.WhyComplete:
		return refuse("the recording was not taken in completely (%s)", w.close.Why)
	case w.close.Chunks != w.chunks || w.close.Size != w.offset || w.open.Source.Size != w.offset:
		return refuse("open, chunks and close speak of different sizes: %d, %d and %d bytes", w.open.Source.Size, w.offset, w.close.Size)
	}
	return nil
}

// lines reads lines of bounded length. Each is valid until the next.
type lines struct {
	r   *bufio.Reader
	buf []byte
}

// next returns io.EOF at the end, and not in the middle of a line.
func (l *lines) next() ([]byte, error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.buf = append(l.buf, part...)
		switch {
		case len(l.buf) > handoff.MaxLine:
			return nil, badRequest(fmt.Sprintf("a line has more than %d bytes", handoff.MaxLine))
		case err == nil:
			return l.buf[:len(l.buf)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.buf) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, badRequest("it ends in the middle of a line")
		default:
			return nil, badRequest("it was cut off: " + err.Error())
		}
	}
}

const kept = "Nothing was erased; the file is on the recorder as it was."

func refuse(format string, args ...any) error {
	return &handoff.Error{Status: http.StatusUnprocessableEntity, Code: handoff.CodeBadPermit, Message: "The permit does not hold: " + fmt.Sprintf(format, args...) + ".",
		Kept: kept, Do: "Leave the file on the recorder. If this recurs, compare the bridge's log-key, witness and lock settings with the server's."}
}

func badRequest(what string) error {
	return &handoff.Error{Status: http.StatusBadRequest, Code: handoff.CodeBadRequest, Message: "The request to erase is not in its form: " + what + ".",
		Kept: kept, Do: "See that agent and bridge are of the same release."}
}
