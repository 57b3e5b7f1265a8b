package verify

import (
	"context"
	"strings"

	"camseal/pkg/evidence"
)

// Part is a chunk as it was sealed: what its bytes must be.
type Part struct {
	Index   uint64          `json:"index"`
	Offset  uint64          `json:"offset"`
	Size    uint64          `json:"size"`
	Hash    evidence.Digest `json:"hash"`
	Absent  bool            `json:"absent,omitempty"`  // declared lost by the device: its bytes are nowhere
	Seconds *Seconds        `json:"seconds,omitempty"` // of the footage; null if not known
}

// Proofs checks everything that vouches for a recording, without its footage: src holds the files of a bundle below data/, except the
// original. The report never says that the recording is verified, but at best that it is Incomplete by CodeFootage alone. Whoever then
// finds the bytes of every part to have its hash knows as much as Bundle would say, except that the bundle as a whole has a receipt.
//
// The parts are those that the newest stored receipt covers, nil if the proofs are broken.
func Proofs(ctx context.Context, src Source, opts Options) (*Report, []Part, error) {
	c := newCheck(ctx, src, opts)
	c.unread = true
	c.proof()
	r, err := c.end()
	if err != nil || r.Verdict != Incomplete || c.stored == nil {
		return r, nil, err
	}
	return r, c.parts(), nil
}

// proof does what run does, as far as it can be done.
func (c *check) proof() {
	at := Place{File: DirOriginal}
	if c.list() && c.readSmall() {
		c.openReceipts()
		if c.walkChain() {
			at = Place{File: OriginalPath(c.rec.Open), Rec: &c.rec.Rec}
			c.checkReceipts()
			c.checkEK()
			c.checkTime()
			c.checkDerived()
			c.checkAbsent(OriginalPath(c.rec.Open))
		}
	}
	c.incomplete(CodeFootage, at, "", "")
}

// isProof reports whether a file of a bundle vouches for the recording, and is neither the recording itself nor about the bundle.
func isProof(path string) bool {
	return strings.HasPrefix(path, "data/") && !strings.HasPrefix(path, DirOriginal)
}

func (c *check) parts() []Part {
	out := make([]Part, c.stored.Chunks)
	for i := range out {
		ch := c.rec.Chunks[i]
		out[i] = Part{Index: uint64(i), Offset: ch.Offset, Size: ch.Size, Hash: ch.Hash, Absent: !Holds(c.stored, uint64(i)),
			Seconds: c.seconds(ch.Offset, ch.Offset+ch.Size)}
		if ch.Duration > 0 {
			out[i].Seconds = &Seconds{From: float64(ch.Start) / 1000, Until: float64(ch.Start+ch.Duration) / 1000}
		}
	}
	return out
}
