package spool

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"camseal/pkg/evidence"
)

// Origin is where a recording's bytes come from on this machine, to go on with it and to recognise it.
type Origin struct {
	Path   []byte `json:"path"` // absolute, raw bytes
	Size   uint64 `json:"size"`
	Mtime  int64  `json:"mtime"` // nanoseconds since 1970
	Ctime  int64  `json:"ctime"`
	Inode  uint64 `json:"inode"`
	Device uint64 `json:"device"`           // st_dev
	Docked bool   `json:"docked,omitempty"` // it lies on a recorder's volume, where only path, size and mtime mean anything
}

// Same reports whether o describes a file that was not touched since other was noted: size, times and inode are equal. The
// path and the device number are not compared; both change when a recorder is docked again.
func (o Origin) Same(other Origin) bool {
	return o.Size == other.Size && o.Mtime == other.Mtime && o.Ctime == other.Ctime && o.Inode == other.Inode && o.Docked == other.Docked
}

// Recording is the state of one recording.
type Recording struct {
	ID         evidence.RecordingID `json:"id"`
	Source     evidence.Source      `json:"source"`
	MediaType  string               `json:"media_type"`
	ChunkSize  uint64               `json:"chunk_size"`
	Intake     uint64               `json:"intake"`
	Mode       evidence.Mode        `json:"mode,omitempty"` // of one begun by an older agent: not known
	Live       bool                 `json:"live,omitempty"` // it is made as it goes: there is no source to read the rest from
	Origin     Origin               `json:"origin"`
	OpenSeq    uint64               `json:"open_seq"`
	Open       evidence.Digest      `json:"open"` // D of open
	N          uint64               `json:"n"`    // of its next statement
	Last       uint64               `json:"last"` // seq of its newest statement
	Next       uint64               `json:"next"` // index of the next chunk
	Offset     uint64               `json:"offset"`
	HashState  []byte               `json:"hash_state,omitempty"` // of the whole file's SHA-256 up to Offset
	Absent     []uint64             `json:"absent,omitempty"`     // chunks declared lost, ascending
	Closed     bool                 `json:"closed"`
	CloseSeq   uint64               `json:"close_seq"`
	Close      evidence.Digest      `json:"close"` // D of close
	Hash       evidence.Digest      `json:"hash"`  // of the whole file, once closed
	Why        string               `json:"why,omitempty"`
	Covered    uint64               `json:"covered"` // chunks 0 to Covered-1 are under a stored receipt and released
	Done       bool                 `json:"done"`    // closed, and all of it is under a stored receipt
	HeldBytes  uint64               `json:"held_bytes"`
	StoredAt   int64                `json:"stored_at,omitempty"` // ms, when Done was set
	ReceiptIdx uint64               `json:"receipt_idx"`         // log index of the newest stored receipt

	// About a chain that went on elsewhere (fork.go).
	Branch int                  `json:"branch,omitempty"`  // how often the chain had done so when its newest statement was made
	Again  evidence.RecordingID `json:"again"`             // what was held of it is taken in again as this one, the newest if more than one
	Gone   bool                 `json:"gone,omitempty"`    // all that was held of it is taken in again
	From   evidence.RecordingID `json:"from"`              // it takes the bytes of this one in again,
	FromAt uint64               `json:"from_at,omitempty"` // from this chunk on
	FromTo uint64               `json:"from_to,omitempty"` // and, of a captured one, up to before this chunk

	// About a dock (docked.go).
	Docked   *Docked              `json:"docked,omitempty"` // nil: it was not taken in at a dock
	Group    evidence.RecordingID `json:"group"`            // one case header is about all of a group; zeros: it needs none
	Header   uint64               `json:"header,omitempty"` // seq of its newest case header; 0: none
	First    uint64               `json:"first,omitempty"`  // seq of its first case header that is more than heard
	Note     uint64               `json:"note,omitempty"`   // seq of its newest text note; 0: none
	Marks    uint64               `json:"marks,omitempty"`  // mark statements
	Released bool                 `json:"released,omitempty"`
}

// Sound reports whether the whole source was taken in and nothing of it was lost.
func (r Recording) Sound() bool {
	return r.Closed && r.Why == evidence.WhyComplete && len(r.Absent) == 0
}

// Recording returns one recording's state. Errors: ErrNotFound.
func (s *Spool) Recording(id evidence.RecordingID) (Recording, error) {
	var r Recording
	err := s.view(func(t txn) error { return t.json(keyRecording(id), &r) })
	if err != nil {
		return Recording{}, fmt.Errorf("recording %s: %w", id, err)
	}
	return r, nil
}

// Identity is what the same file docked again shares with a recording, before its bytes are read: a digest over recorder,
// volume, path and size.
func Identity(src evidence.Source) [32]byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(src.Serial), []byte(src.Volume), src.RawPath(), be(src.Size)} {
		h.Write(be(uint64(len(part))))
		h.Write(part)
	}
	return [32]byte(h.Sum(nil))
}

// Known returns the recordings that came from the same recorder, volume and path with the same size, oldest first. Those that stayed
// behind when the chain went on elsewhere are not among them.
func (s *Spool) Known(src evidence.Source) ([]Recording, error) {
	id := Identity(src)
	prefix := key('k', id[:])
	var out []Recording
	err := s.view(func(t txn) error {
		return t.walk(prefix, prefix, func(k, _ []byte) (bool, error) {
			var r Recording
			if err := t.json(keyRecording(evidence.RecordingID(k[len(prefix):])), &r); err != nil {
				return false, err
			}
			if !r.Gone && !s.Forked(r) {
				out = append(out, r)
			}
			return true, nil
		})
	})
	slices.SortFunc(out, func(a, b Recording) int { return int(int64(a.OpenSeq) - int64(b.OpenSeq)) })
	return out, err
}

// SetOrigin notes that the recording's file now has this origin, so that it is recognised without reading it. Durable.
func (s *Spool) SetOrigin(id evidence.RecordingID, o Origin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit(func(t txn) error {
		var r Recording
		if err := t.json(keyRecording(id), &r); err != nil {
			return err
		}
		r.Origin = o
		return t.putJSON(keyRecording(id), r)
	})
}

// Pending calls f for each recording that is not wholly under a stored receipt, oldest first, until f returns false.
// f may call the spool.
func (s *Spool) Pending(ctx context.Context, f func(Recording) bool) error {
	prefix := key('p')
	start := prefix
	for {
		var batch []Recording
		err := s.view(func(t txn) error {
			return t.walk(prefix, start, func(k, _ []byte) (bool, error) {
				var r Recording
				if err := t.json(keyRecording(evidence.RecordingID(k[10:])), &r); err != nil {
					return false, err
				}
				batch = append(batch, r)
				start = append(slices.Clone(k), 0)
				return len(batch) < 64, nil
			})
		})
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, r := range batch {
			if ctx.Err() != nil || !f(r) {
				return ctx.Err()
			}
		}
	}
}

// Chunks calls f for the chunks of a recording from index from on, in order, until f returns false.
func (s *Spool) Chunks(id evidence.RecordingID, from uint64, f func(Chunk) bool) error {
	return s.view(func(t txn) error { return t.chunks(id, from, f) })
}

func (t txn) chunks(id evidence.RecordingID, from uint64, f func(Chunk) bool) error {
	prefix := key('c', id[:])
	return t.walk(prefix, keyChunk(id, from), func(k, v []byte) (bool, error) {
		c, err := decodeChunk(binary.BigEndian.Uint64(k[len(prefix):]), v)
		return err == nil && f(c), err
	})
}

// Chunk returns one chunk's entry. Errors: ErrNotFound.
func (s *Spool) Chunk(id evidence.RecordingID, index uint64) (Chunk, error) {
	var c Chunk
	err := s.view(func(t txn) error {
		raw, err := t.bytes(keyChunk(id, index))
		if err != nil {
			return err
		}
		c, err = decodeChunk(index, raw)
		return err
	})
	return c, err
}

// errors of Append that mean a mistake of the caller, not of the disk.
var errOrder = errors.New("statement out of order")
