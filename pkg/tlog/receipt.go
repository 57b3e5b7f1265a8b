package tlog

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1\n"
	maxHashes   = 63 // an index is below 2^63
	algEd25519  = 1
)

// Receipt is a log leaf with the proof that it is in the log: two files, that certify each other.
type Receipt struct {
	Leaf  []byte // the leaf's bytes
	Proof []byte // C2SP tlog-proof without "extra"
}

// Verified says what a checked receipt proves: that the log named Origin has Leaf at Index, in the tree of Size
// leaves with the given Root.
type Verified struct {
	Origin   string
	Index    int64
	Size     int64
	Root     tlog.Hash
	Leaf     []byte
	LeafHash tlog.Hash
	Signed   []byte // the proof's signed checkpoint, with whatever cosignatures it has
}

// Verify checks the proof's form, v's signature on its checkpoint, the checkpoint's origin against v's name, and that the leaf is
// in that tree. Signature lines of other keys are allowed and not judged: Cosigner.Verify does that with what is Signed.
// Errors wrap ErrFormat, ErrUnknownKey, ErrSignature, ErrOrigin or ErrInclusion.
func (r Receipt) Verify(v note.Verifier) (Verified, error) {
	return r.verify(func(signed []byte) (Checkpoint, error) { return OpenCosigned(signed, v) })
}

// VerifyStrict is Verify for where nothing may stand that nobody checks: a signature line that is neither v's nor of one of the
// cosigners is refused (ErrUnknownKey), and so is a cosigner's that does not hold (ErrSignature).
func (r Receipt) VerifyStrict(v note.Verifier, cosigners ...Cosigner) (Verified, error) {
	return r.verify(func(signed []byte) (Checkpoint, error) { return OpenCheckpoint(signed, v, cosigners...) })
}

func (r Receipt) verify(open func(signed []byte) (Checkpoint, error)) (Verified, error) {
	if len(r.Leaf) > MaxLeaf {
		return Verified{}, fmt.Errorf("receipt: %w: leaf of %d bytes, at most %d are allowed", ErrFormat, len(r.Leaf), MaxLeaf)
	}
	p, err := ParseProofUnverified(r.Proof)
	if err != nil {
		return Verified{}, fmt.Errorf("receipt: %w", err)
	}
	c, err := open(p.Checkpoint)
	if err != nil {
		return Verified{}, fmt.Errorf("receipt: %w", err)
	}
	h := tlog.RecordHash(r.Leaf)
	if p.Index >= c.Size {
		return Verified{}, fmt.Errorf("receipt: %w: index %d in a log of %d leaves", ErrInclusion, p.Index, c.Size)
	}
	if err := tlog.CheckRecord(p.Hashes, c.Size, c.Root, p.Index, h); err != nil {
		return Verified{}, fmt.Errorf("receipt: %w: index %d of %d: %w", ErrInclusion, p.Index, c.Size, err)
	}
	return Verified{Origin: c.Origin, Index: p.Index, Size: c.Size, Root: c.Root, Leaf: r.Leaf, LeafHash: h, Signed: p.Checkpoint}, nil
}

// Index is the place in the log that the receipt claims. Errors wrap ErrFormat.
func (r Receipt) Index() (int64, error) {
	p, err := ParseProofUnverified(r.Proof)
	return p.Index, err
}

// Proof is a parsed tlog-proof.
type Proof struct {
	Index      int64            // the leaf's place in the log, from 0
	Hashes     tlog.RecordProof // from the leaf's sibling up to the root's child (RFC 6962 section 2.1.1)
	Checkpoint []byte           // the signed checkpoint, verbatim
}

// FormatProof writes a tlog-proof. The checkpoint is a signed note.
func FormatProof(index int64, proof tlog.RecordProof, checkpoint []byte) []byte {
	var b bytes.Buffer
	b.WriteString(proofHeader)
	b.WriteString("index " + strconv.FormatInt(index, 10) + "\n")
	for _, h := range proof {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n")
	b.Write(checkpoint)
	return b.Bytes()
}

// ParseProofUnverified reads a tlog-proof in its one form. It checks neither signature nor inclusion: Receipt.Verify
// does. An "extra" line is refused, since nothing authenticates it. Errors wrap ErrFormat.
func ParseProofUnverified(raw []byte) (Proof, error) {
	if len(raw) > MaxProof {
		return Proof{}, fmt.Errorf("proof: %w: %d bytes, at most %d are allowed", ErrFormat, len(raw), MaxProof)
	}
	head, checkpoint, ok := strings.Cut(string(raw), "\n\n")
	rest, header := strings.CutPrefix(head, proofHeader)
	if !ok || !header {
		return Proof{}, fmt.Errorf("proof: %w: not a c2sp.org/tlog-proof@v1", ErrFormat)
	}
	lines := strings.Split(rest, "\n")
	number, ok := strings.CutPrefix(lines[0], "index ")
	index, err := parseInt(number)
	if !ok || err != nil {
		return Proof{}, fmt.Errorf("proof: %w: second line is not an index", ErrFormat)
	}
	if len(lines)-1 > maxHashes {
		return Proof{}, fmt.Errorf("proof: %w: %d hashes", ErrFormat, len(lines)-1)
	}
	p := Proof{Index: index, Checkpoint: []byte(checkpoint)}
	for _, l := range lines[1:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			return Proof{}, fmt.Errorf("proof: %w: hash line", ErrFormat)
		}
		p.Hashes = append(p.Hashes, h)
	}
	if _, err := ParseCheckpointUnverified(p.Checkpoint); err != nil {
		return Proof{}, fmt.Errorf("proof: %w", err)
	}
	if !bytes.Equal(FormatProof(p.Index, p.Hashes, p.Checkpoint), raw) {
		return Proof{}, fmt.Errorf("proof: %w", ErrFormat)
	}
	return p, nil
}

func publicOf(seed []byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}
