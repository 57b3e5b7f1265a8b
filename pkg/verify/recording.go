package verify

import (
	"fmt"

	"camseal/pkg/evidence"
)

// Recording keeps the rules that the statements about one recording follow, one statement at a time. It does not check
// who said them: Chain does. It is not safe for concurrent use, and must not be used after an error.
//
// It holds about 120 bytes a chunk.
type Recording struct {
	Device evidence.DeviceID
	Rec    evidence.RecordingID

	N          uint64                   // statements so far; the next one's running number
	Open       *evidence.Open           // nil before it, and for an act that was not recorded
	OpenAt     Said                     // of the open statement
	Unrecorded *evidence.Unrecorded     // nil if this is a recording
	Chunks     []ChunkAt                // in order
	Size       uint64                   // bytes of all chunks
	Close      *evidence.Close          // nil while the recording is open
	CloseAt    Said                     // of the close statement
	Release    *evidence.Release        // nil until the recorder's copy was erased
	Lost       map[uint64]bool          // indexes of chunks declared lost
	Faults     uint64                   // fault statements
	FaultsSaid []FaultFound             // the first of them
	Unread     []Stretch                // of the source, where the medium could not be read and zeros stand instead
	Header     *evidence.Header         // the newest
	Note       *evidence.Note           // the newest
	Marks      uint64                   // mark statements
	LastSeq    uint64                   // of the newest statement
	LastAt     int64                    // the device's clock at it, milliseconds since 1970 UTC: a claim
	said       map[uint64]evidence.Kind // seq of headers and notes, which later ones can correct
}

// Said is where a statement stands.
type Said struct {
	Seq    uint64
	At     int64 // the device's clock, milliseconds since 1970 UTC: a claim
	Digest evidence.Digest
}

// Stretch is a part of the exhibit, in bytes; Until is exclusive.
type Stretch struct{ From, Until uint64 }

// ChunkAt is a chunk statement.
type ChunkAt struct {
	Digest evidence.Digest // D of the statement
	Hash   evidence.Digest // SHA-256 of the chunk's bytes
	Offset uint64
	Size   uint64
	Seq    uint64
	Early  bool // capture mode: its buffering began before open

	Start, Duration uint64 // capture mode: milliseconds from the recording's begin, and of it
}

// FaultFound is what a device says went wrong while it made or took in a recording.
type FaultFound struct {
	Why    string `json:"why"`
	Detail string `json:"detail"`
}

// maxFaults bounds how many faults a recording tells; it counts all.
const maxFaults = 100

// maxSaid bounds how many headers and notes a recording remembers for corrections.
const maxSaid = 1 << 16

// NewRecording begins with the first statement of a recording.
func NewRecording(device evidence.DeviceID, rec evidence.RecordingID) *Recording {
	return &Recording{Device: device, Rec: rec, Lost: map[uint64]bool{}, said: map[uint64]evidence.Kind{}}
}

// Add takes in the next statement of this recording, with its digest D. Errors are *RecordingBreak.
func (r *Recording) Add(s *evidence.Statement, d evidence.Digest) error {
	if reason := r.add(s, d); reason != "" {
		return &RecordingBreak{Rec: r.Rec, Seq: s.Seq, N: s.N, Kind: s.Kind, Reason: reason}
	}
	r.N++
	r.LastSeq, r.LastAt = s.Seq, s.At
	return nil
}

// ChunkDigests returns the D of the first n chunk statements, as a stored leaf lists them; n is at most len(Chunks).
func (r *Recording) ChunkDigests(n int) []evidence.Digest {
	out := make([]evidence.Digest, n)
	for i := range out {
		out[i] = r.Chunks[i].Digest
	}
	return out
}

func (r *Recording) add(s *evidence.Statement, d evidence.Digest) string {
	switch {
	case s.Device != r.Device || s.Rec != r.Rec:
		return "it is about another recording"
	case s.N != r.N:
		return fmt.Sprintf("statement n %d is missing", r.N)
	case r.N > 0 && s.Seq <= r.LastSeq:
		return "its number is not above the one before"
	case r.N == 0 && s.Kind != evidence.KindOpen && s.Kind != evidence.KindUnrecorded:
		return "a recording begins with open or unrecorded"
	case r.Unrecorded != nil && s.Kind != evidence.KindHeader && s.Kind != evidence.KindNote:
		return "only headers and notes follow an act that was not recorded"
	case r.Close != nil && !afterClose(s.Kind):
		return "it comes after close"
	}
	at := Said{Seq: s.Seq, At: s.At, Digest: d}
	switch b := s.Body.(type) {
	case *evidence.Open:
		return r.open(b, at)
	case *evidence.Unrecorded:
		return r.unrecorded(b)
	case *evidence.Chunk:
		return r.chunk(b, at)
	case *evidence.Close:
		return r.close(b, at)
	case *evidence.Fault:
		return r.fault(b)
	case *evidence.Header:
		r.Header = b
		return r.corrects(s, b.Corrects)
	case *evidence.Note:
		r.Note = b
		return r.corrects(s, b.Corrects)
	case *evidence.Mark:
		r.Marks++
	case *evidence.Release:
		return r.release(b)
	}
	return ""
}

func afterClose(k evidence.Kind) bool {
	switch k {
	case evidence.KindHeader, evidence.KindNote, evidence.KindMark, evidence.KindFault, evidence.KindRelease:
		return true
	}
	return false
}

func (r *Recording) open(b *evidence.Open, at Said) string {
	if r.N != 0 {
		return "the recording is open already"
	}
	if b.Intake >= at.Seq {
		return "its intake does not come before it"
	}
	if b.Continues != nil && *b.Continues == r.Rec {
		return "it continues itself"
	}
	r.Open, r.OpenAt = b, at
	return ""
}

func (r *Recording) unrecorded(b *evidence.Unrecorded) string {
	if r.N != 0 {
		return "it needs a recording id of its own"
	}
	r.Unrecorded = b
	return ""
}

func (r *Recording) chunk(b *evidence.Chunk, at Said) string {
	switch {
	case b.Index != uint64(len(r.Chunks)):
		return fmt.Sprintf("chunk %d is missing, this is chunk %d", len(r.Chunks), b.Index)
	case b.Offset != r.Size:
		return fmt.Sprintf("the chunk begins at byte %d, want %d", b.Offset, r.Size)
	case b.Size > evidence.MaxInt-r.Size:
		return "the recording is too long"
	}
	if r.Open.Mode == evidence.ModeImport {
		switch {
		case b.Size > r.Open.ChunkSize:
			return fmt.Sprintf("a chunk of %d bytes, at most %d were announced", b.Size, r.Open.ChunkSize)
		case r.Size%r.Open.ChunkSize != 0:
			return "it comes after a chunk that was not full"
		case b.Early || b.Keyframe || b.Duration != 0 || b.Start != 0:
			return "an imported chunk has no time"
		}
	}
	r.Chunks = append(r.Chunks, ChunkAt{Digest: at.Digest, Hash: b.Hash, Offset: b.Offset, Size: b.Size, Seq: at.Seq, Early: b.Early, Start: b.Start, Duration: b.Duration})
	r.Size += b.Size
	return ""
}

func (r *Recording) close(b *evidence.Close, at Said) string {
	switch {
	case b.Chunks != uint64(len(r.Chunks)):
		return fmt.Sprintf("it counts %d chunks, there are %d", b.Chunks, len(r.Chunks))
	case b.Size != r.Size:
		return fmt.Sprintf("it counts %d bytes, there are %d", b.Size, r.Size)
	case b.Why == "":
		return "it does not say why"
	}
	r.Close, r.CloseAt = b, at
	return ""
}

func (r *Recording) fault(b *evidence.Fault) string {
	for i, c := range b.Chunks {
		if c >= uint64(len(r.Chunks)) || i > 0 && c <= b.Chunks[i-1] {
			return "it names chunks that there are not, or not in order"
		}
		r.Lost[c] = true
	}
	if b.Why == evidence.WhyReadError && b.Size > 0 && b.Offset <= r.Size && b.Size <= r.Size-b.Offset {
		r.Unread = append(r.Unread, Stretch{b.Offset, b.Offset + b.Size})
	}
	if r.Faults++; len(r.FaultsSaid) < maxFaults {
		r.FaultsSaid = append(r.FaultsSaid, FaultFound{shown(b.Why), shown(b.Detail)})
	}
	return ""
}

func (r *Recording) corrects(s *evidence.Statement, seq uint64) string {
	if seq != 0 && r.said[seq] != s.Kind {
		return fmt.Sprintf("it corrects statement %d, which is no %s of this recording", seq, s.Kind)
	}
	if len(r.said) == maxSaid {
		return fmt.Sprintf("more than %d headers and notes", maxSaid)
	}
	r.said[s.Seq] = s.Kind
	return ""
}

func (r *Recording) release(b *evidence.Release) string {
	switch {
	case r.Close == nil:
		return "it comes before close"
	case r.Release != nil:
		return "the recorder's copy was released already"
	case b.Erased != r.Close.Hash:
		return "what was erased is not what was recorded"
	}
	r.Release = b
	return ""
}
