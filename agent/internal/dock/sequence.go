package dock

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// part is what a sequence is made of: about 80 bytes for each file of footage.
type part struct {
	path        [16]byte // digest of the path
	group       [16]byte // digest of the bridge's group; zeros: none
	number      uint64
	begun, ends int64 // milliseconds, by the recorder
	kind        handoff.Kind
	seq         evidence.Sequence
}

func short(b []byte) [16]byte {
	h := sha256.Sum256(b)
	return [16]byte(h[:16])
}

// sequences tells which files of a docking follow each other: the same group, the next number, and begun within the gap after the one
// before ended. Photos and sound made within a sequence's time join it. The id of a sequence comes from its first file, so that the same
// files docked again make the same sequence.
type sequences struct {
	parts []part
	at    map[[16]byte]int
}

func (s *sequences) add(f handoff.File) {
	if !f.Kind.Footage() {
		return
	}
	p := part{path: short(f.Path), number: f.Number, begun: f.Begun, ends: f.Modified, kind: f.Kind}
	if f.Group != "" {
		p.group = short([]byte(f.Group))
	}
	if p.begun == 0 {
		p.begun = p.ends
	}
	p.ends = max(p.ends, p.begun)
	s.parts = append(s.parts, p)
}

// order gives every file its place. serial and volume name the recorder.
func (s *sequences) order(serial, volume string, gap time.Duration) {
	slices.SortStableFunc(s.parts, func(a, b part) int {
		if a.begun != b.begun {
			return int(max(-1, min(1, a.begun-b.begun)))
		}
		return int(max(-1, min(1, int64(a.number)-int64(b.number))))
	})
	s.at = make(map[[16]byte]int, len(s.parts))
	var last *part // the newest of footage that carries the sequence on
	var ends int64
	for i := range s.parts {
		p := &s.parts[i]
		s.at[p.path] = i
		near := last != nil && p.begun-ends <= gap.Milliseconds()
		follows := near && p.kind == last.kind && p.group == last.group && p.group != [16]byte{} && p.number == last.number+1
		joins := near && p.kind != last.kind && p.kind != handoff.KindVideo
		switch {
		case follows, joins:
			p.seq = evidence.Sequence{ID: s.parts[i-1].seq.ID, Index: s.parts[i-1].seq.Index + 1}
			ends = max(ends, p.ends)
		default:
			p.seq, ends = evidence.Sequence{ID: sequenceID(serial, volume, p)}, p.ends
			last = p
		}
		if follows {
			last = p
		}
	}
}

func sequenceID(serial, volume string, p *part) evidence.RecordingID {
	h := sha256.New()
	for _, b := range [][]byte{[]byte("camseal sequence v1\n"), []byte(serial), []byte(volume), p.path[:], binary.BigEndian.AppendUint64(nil, uint64(p.begun))} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	return evidence.RecordingID(h.Sum(nil)[:16])
}

// of returns a file's place; ok is false for what is no footage.
func (s *sequences) of(path []byte) (seq evidence.Sequence, ok bool) {
	i, ok := s.at[short(path)]
	if !ok {
		return seq, false
	}
	return s.parts[i].seq, true
}
