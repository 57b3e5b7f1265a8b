package verify

import (
	"fmt"
	"slices"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// Exhibit is what a stored receipt is compared with: the digests D of a recording's statements.
type Exhibit struct {
	Device evidence.DeviceID
	Rec    evidence.RecordingID
	Open   evidence.Digest
	Chunks []evidence.Digest // all chunk statements so far, in order
	Close  *evidence.Digest  // nil while the recording is open
	Lost   map[uint64]bool   // indexes of chunks that the device itself declared lost
}

// Exhibit returns what a stored receipt of this recording must speak of.
func (r *Recording) Exhibit() Exhibit {
	x := Exhibit{Device: r.Device, Rec: r.Rec, Open: r.OpenAt.Digest, Chunks: r.ChunkDigests(len(r.Chunks)), Lost: r.Lost}
	if r.Close != nil {
		x.Close = &r.CloseAt.Digest
	}
	return x
}

// Stored reads a verified receipt as a stored receipt of x. The leaf may cover the first chunks only (see its Chunks) and
// may leave close open; what it covers is exactly x's. Complete says more. Errors are *ReceiptBreak.
func Stored(v tlog.Verified, x Exhibit) (*evidence.Stored, error) {
	leaf, err := evidence.ParseLeafUnverified(v.Leaf)
	if err != nil {
		return nil, &ReceiptBreak{Index: v.Index, Reason: err.Error()}
	}
	s, ok := leaf.(*evidence.Stored)
	if !ok {
		return nil, &ReceiptBreak{Index: v.Index, Reason: "it is no stored receipt"}
	}
	if reason := stored(s, x); reason != "" {
		return nil, &ReceiptBreak{Index: v.Index, Reason: reason}
	}
	return s, nil
}

func stored(s *evidence.Stored, x Exhibit) string {
	switch {
	case s.Device != x.Device || s.Rec != x.Rec:
		return "it speaks of another recording"
	case s.Open != x.Open:
		return "it speaks of another open statement"
	case s.Chunks > uint64(len(x.Chunks)):
		return fmt.Sprintf("it covers %d chunks, the recording has %d", s.Chunks, len(x.Chunks))
	case s.List != evidence.ListDigest(x.Chunks[:s.Chunks]):
		return "it speaks of other chunks"
	case s.Close != nil && (x.Close == nil || *s.Close != *x.Close):
		return "it speaks of another close statement"
	case s.Close != nil && s.Chunks != uint64(len(x.Chunks)):
		return fmt.Sprintf("it closes a recording of %d chunks, there are %d", s.Chunks, len(x.Chunks))
	case s.Lock != evidence.LockCompliance && s.Lock != evidence.LockFolder:
		return fmt.Sprintf("unknown lock %q", s.Lock)
	case s.Until <= 0:
		return "it states no retention"
	}
	for i, c := range s.Absent {
		if c >= s.Chunks || i > 0 && c <= s.Absent[i-1] || !x.Lost[c] {
			return fmt.Sprintf("it lists chunk %d as absent, which the device did not declare lost", c)
		}
	}
	return ""
}

// Complete reports whether a stored leaf that Stored accepted covers the whole closed recording, nothing absent: the
// only kind that a permit to erase may rest on.
func Complete(s *evidence.Stored) bool { return s.Close != nil && len(s.Absent) == 0 }

// Holds reports whether the leaf says that chunk index is in the vault.
func Holds(s *evidence.Stored, index uint64) bool {
	return index < s.Chunks && !slices.Contains(s.Absent, index)
}

// Seen reads a verified receipt as a seen receipt of device: the log has its statements up to the leaf's Seq.
// headAt gives the chain's head after a statement, if it is known. Errors are *ReceiptBreak.
func Seen(v tlog.Verified, device evidence.DeviceID, headAt func(seq uint64) (evidence.Digest, bool)) (*evidence.Seen, error) {
	leaf, err := evidence.ParseLeafUnverified(v.Leaf)
	if err != nil {
		return nil, &ReceiptBreak{Index: v.Index, Reason: err.Error()}
	}
	s, ok := leaf.(*evidence.Seen)
	if !ok {
		return nil, &ReceiptBreak{Index: v.Index, Reason: "it is no seen receipt"}
	}
	head, known := headAt(s.Seq)
	switch {
	case s.Device != device:
		return nil, &ReceiptBreak{Index: v.Index, Reason: "it speaks of another device"}
	case !known:
		return nil, &ReceiptBreak{Index: v.Index, Reason: fmt.Sprintf("it speaks of statement %d, which is not here", s.Seq)}
	case s.Head != head:
		return nil, &ReceiptBreak{Index: v.Index, Reason: fmt.Sprintf("it speaks of another chain at statement %d", s.Seq)}
	case s.Prev != nil && *s.Prev >= uint64(v.Index):
		return nil, &ReceiptBreak{Index: v.Index, Reason: "its predecessor does not stand before it in the log"}
	}
	return s, nil
}
