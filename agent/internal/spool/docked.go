package spool

import (
	"encoding/binary"
	"errors"
	"fmt"

	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// Docked is what a dock knows of a recording beside its bytes.
type Docked struct {
	Slot      string                `json:"slot"`
	Kind      string                `json:"kind"`                // as the bridge says
	Important bool                  `json:"important,omitempty"` // marked so on the recorder
	Begun     int64                 `json:"begun,omitempty"`     // the recorder's clock, milliseconds; 0: not known
	Footage   bool                  `json:"footage,omitempty"`   // it needs a case header
	Sequence  *evidence.RecordingID `json:"sequence,omitempty"`
	Index     uint64                `json:"index,omitempty"` // in the sequence
	Supplied  *Supplied             `json:"supplied,omitempty"`
}

// Supplied is what the system that a recording came from says of it; it goes into the chain once the recording is taken in.
type Supplied struct {
	Header *handoff.Header `json:"header,omitempty"`
	Marks  []handoff.Mark  `json:"marks,omitempty"`
	Note   string          `json:"note,omitempty"`
}

func keyGroup(group evidence.RecordingID, open uint64, r evidence.RecordingID) []byte {
	return key('g', group[:], be(open), r[:])
}

func keyWaits(open uint64, r evidence.RecordingID) []byte { return key('w', be(open), r[:]) }

// dock notes, at its open, what the dock knows of the recording. Footage waits for a case header from then on.
func (r *Recording) dock(t txn, d *Docked) error {
	r.Docked = d
	if d == nil || !d.Footage {
		return nil
	}
	r.Group = r.ID
	if d.Sequence != nil {
		r.Group = *d.Sequence
	}
	return errors.Join(t.Set(keyGroup(r.Group, r.OpenSeq, r.ID), nil), t.Set(keyWaits(r.OpenSeq, r.ID), nil))
}

// tell notes what officers say about a recording, and its release.
func (r *Recording) tell(t txn, body evidence.Body, said Said) error {
	switch b := body.(type) {
	case *evidence.Unrecorded:
		r.OpenSeq, r.Open = said.Seq, said.Digest
	case *evidence.Header:
		r.Header = said.Seq
		if b.Spoken != nil && b.Confirmed == "" {
			return nil // what was heard is a claim: the recording goes on waiting
		}
		if r.First == 0 {
			r.First = said.Seq
		}
		if err := t.Delete(keyWaits(r.OpenSeq, r.ID)); err != nil {
			return err
		}
	case *evidence.Note:
		r.Note = said.Seq
	case *evidence.Mark:
		r.Marks++
	case *evidence.Release:
		if r.Released || !r.Closed {
			return fmt.Errorf("%w: %s is released already, or not closed", errOrder, r.ID)
		}
		r.Released = true
	}
	return nil
}

// Waiting calls f for each recording that waits for a case header, oldest first, until f returns false. f must not call the spool.
func (s *Spool) Waiting(f func(Recording) bool) error { return s.recordings(key('w'), 8, f) }

// InGroup calls f for the recordings of a group, oldest first, until f returns false. f must not call the spool.
func (s *Spool) InGroup(group evidence.RecordingID, f func(Recording) bool) error {
	return s.recordings(key('g', group[:]), 8, f)
}

// recordings calls f for those whose id ends the keys with a prefix, skip bytes after it. What stayed behind a fork is passed over.
func (s *Spool) recordings(prefix []byte, skip int, f func(Recording) bool) error {
	return s.view(func(t txn) error {
		return t.walk(prefix, prefix, func(k, _ []byte) (bool, error) {
			var r Recording
			if err := t.json(keyRecording(evidence.RecordingID(k[len(prefix)+skip:])), &r); err != nil {
				return false, err
			}
			return r.Gone || s.Forked(r) || f(r), nil
		})
	})
}

// Regroup makes the recordings one group, or part of one. Durable. It changes nothing in the chain: a header is written for each recording.
func (s *Spool) Regroup(group evidence.RecordingID, recs ...evidence.RecordingID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.commit(func(t txn) error {
		for _, id := range recs {
			var r Recording
			if err := t.json(keyRecording(id), &r); err != nil {
				return err
			}
			old := r.Group
			r.Group = group
			if err := errors.Join(t.Delete(keyGroup(old, r.OpenSeq, id)), t.Set(keyGroup(group, r.OpenSeq, id), nil), t.putJSON(keyRecording(id), r)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.wake()
	}
	return err
}

// Keep keeps a small value of the dock's under a name, durably; nil takes it away. Kept returns it. Errors of Kept: ErrNotFound.
func (s *Spool) Keep(name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit(func(t txn) error {
		if value == nil {
			return t.Delete(key('d', []byte(name)))
		}
		return t.Set(key('d', []byte(name)), value)
	})
}

// AllKept returns the names that begin with a prefix and are kept, without the prefix.
func (s *Spool) AllKept(prefix string) (names []string, err error) {
	p := key('d', []byte(prefix))
	err = s.view(func(t txn) error {
		return t.walk(p, p, func(k, _ []byte) (bool, error) {
			names = append(names, string(k[len(p):]))
			return true, nil
		})
	})
	return names, err
}

// Kept returns what Keep kept. Errors: ErrNotFound.
func (s *Spool) Kept(name string) (value []byte, err error) {
	err = s.view(func(t txn) error {
		value, err = t.bytes(key('d', []byte(name)))
		return err
	})
	return value, err
}

// StatementsOf calls f for the lines of the open, the chunks and the close of a closed recording, as they stand in the chain: what a permit to
// erase shows. Errors: ErrNotFound when the recording is not closed.
func (s *Spool) StatementsOf(id evidence.RecordingID, f func(line []byte) error) error {
	r, err := s.Recording(id)
	if err != nil {
		return err
	}
	if !r.Closed {
		return ErrNotFound
	}
	one := func(seq uint64) error {
		line, err := s.Statement(seq)
		if err != nil {
			return err
		}
		return f(line)
	}
	if err := one(r.OpenSeq); err != nil {
		return err
	}
	var failed error
	prefix := key('c', id[:])
	err = s.view(func(t txn) error {
		return t.walk(prefix, prefix, func(k, v []byte) (bool, error) {
			c, err := decodeChunk(binary.BigEndian.Uint64(k[len(prefix):]), v)
			if err != nil {
				return false, err
			}
			failed = one(c.Seq)
			return failed == nil, nil
		})
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	return one(r.CloseSeq)
}
