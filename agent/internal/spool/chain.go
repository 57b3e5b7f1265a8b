package spool

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"camseal/agent/internal/seal"
	"camseal/pkg/evidence"
)

var _ seal.Store = (*Spool)(nil)

func number(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

func unmarshal(raw []byte, v any) error { return json.Unmarshal(raw, v) }

// last returns the greatest key with the prefix. Errors: ErrNotFound.
func (t txn) last(prefix []byte) (k, v []byte, err error) {
	o := badger.DefaultIteratorOptions
	o.Reverse = true
	o.PrefetchSize = 1
	it := t.NewIterator(o)
	defer it.Close()
	end := append(append([]byte(nil), prefix...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	it.Seek(end)
	if !it.ValidForPrefix(prefix) {
		return nil, nil, ErrNotFound
	}
	v, err = it.Item().ValueCopy(nil)
	return it.Item().KeyCopy(nil), v, err
}

// Tip implements seal.Store.
func (s *Spool) Tip(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta.Next, nil
}

// Sealed returns how many statements are under a seal: all with a smaller seq.
func (s *Spool) Sealed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta.Sealed
}

// NextHead implements seal.Store.
func (s *Spool) NextHead(context.Context) (upto uint64, head evidence.Digest, ok bool, err error) {
	s.mu.Lock()
	from, next := s.meta.Sealed, s.meta.Next
	s.mu.Unlock()
	if from == next {
		return 0, evidence.Digest{}, false, nil
	}
	var count, size int
	err = s.view(func(t txn) error {
		return t.walk(key('s'), keyStatement(from), func(k, v []byte) (bool, error) {
			if k[10] != 0 {
				return true, nil
			}
			line := len(v) - len(head)
			if line <= 0 {
				return false, fmt.Errorf("statement entry of %d bytes", len(v))
			}
			if ok && (count == evidence.MaxSealedStatements || size+line > evidence.MaxSealedBytes) {
				return false, nil
			}
			count, size, ok = count+1, size+line, true
			upto, head = number(k[2:]), evidence.Digest(v[:len(head)])
			return true, nil
		})
	})
	return upto, head, ok && err == nil, err
}

// HeadAt returns H(seq). Errors: ErrNotFound.
func (s *Spool) HeadAt(seq uint64) (evidence.Digest, error) {
	s.mu.Lock()
	at := s.meta.Base
	s.mu.Unlock()
	if at != nil && seq == at.Seq {
		return at.Head, nil
	}
	var h evidence.Digest
	err := s.view(func(t txn) error {
		raw, err := t.bytes(keyStatement(seq))
		if err == nil {
			h = evidence.Digest(raw[:len(h)])
		}
		return err
	})
	return h, err
}

// Enrolment returns the line of the chain's first statement, also when the chain went on elsewhere. Errors: ErrNotFound.
func (s *Spool) Enrolment() (line []byte, err error) {
	err = s.view(func(t txn) error {
		line, err = t.bytes(keyEnrol)
		return err
	})
	return line, err
}

// Statement returns the line of one statement. Errors: ErrNotFound.
func (s *Spool) Statement(seq uint64) ([]byte, error) {
	var line []byte
	err := s.view(func(t txn) error {
		raw, err := t.bytes(keyStatement(seq))
		if err == nil {
			line = raw[len(evidence.Digest{}):]
		}
		return err
	})
	return line, err
}

// Batch is a stretch of sealed statements in the form in which they are sent.
type Batch struct {
	First, Last uint64 // seq
	Head        evidence.Digest
	Lines       []byte // JSON lines: statements, each seal after the statement that it covers, and count records behind a seal
}

// Batch returns sealed statements from seq on, cut at the first seal at which it has limit bytes or more, and ahead of a seal under which
// a statement still lacks its count record. ok is false when there is nothing.
func (s *Spool) Batch(from uint64, limit int) (b Batch, ok bool, err error) {
	if from >= s.Sealed() {
		return Batch{}, false, nil
	}
	b.First = from
	err = s.view(func(t txn) error {
		var head evidence.Digest
		var whole int // bytes up to the last seal and its count records
		uncounted, err := t.uncounted()
		if err != nil {
			return err
		}
		err = t.walk(key('s'), keyStatement(from), func(k, v []byte) (bool, error) {
			seq := number(k[2:])
			switch k[10] {
			case 0:
				head = evidence.Digest(v[:len(head)])
				b.Lines = append(append(b.Lines, v[len(head):]...), '\n')
				return whole < limit, nil
			case 1:
				if seq >= uncounted {
					return false, nil
				}
				b.Last, b.Head, ok = seq, head, true
			}
			b.Lines = append(append(b.Lines, v...), '\n')
			whole = len(b.Lines)
			return true, nil
		})
		b.Lines = b.Lines[:whole]
		return err
	})
	return b, ok && err == nil, err
}

// LastSeal implements seal.Store.
func (s *Spool) LastSeal(context.Context) (*evidence.Seal, error) {
	s.mu.Lock()
	sealed, at := s.meta.Sealed, s.meta.Base
	s.mu.Unlock()
	if sealed == 0 || at != nil && sealed == at.Seq+1 { // there the last seal was not ours
		return nil, nil
	}
	var out *evidence.Seal
	err := s.view(func(t txn) error {
		raw, err := t.bytes(keySeal(sealed - 1))
		if err != nil {
			return err
		}
		a, err := evidence.ParseSealUnverified(raw)
		out = a.Seal
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("last seal: %w", err)
	}
	return out, nil
}

// Intent implements seal.Store.
func (s *Spool) Intent(context.Context) (*seal.Intent, error) {
	var i *seal.Intent
	err := s.view(func(t txn) error {
		raw, err := t.bytes(keyIntent)
		if err != nil {
			return err
		}
		i = new(seal.Intent)
		return json.Unmarshal(raw, i)
	})
	if isNotFound(err) {
		return nil, nil
	}
	return i, err
}

// SetIntent implements seal.Store.
func (s *Spool) SetIntent(_ context.Context, i *seal.Intent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit(func(t txn) error {
		if i == nil {
			return t.Delete(keyIntent)
		}
		return t.putJSON(keyIntent, i)
	})
}

// PutSeal implements seal.Store. A seal that does not go on from the last one, or is of another head, is refused.
func (s *Spool) PutSeal(_ context.Context, sl evidence.Seal) error {
	line, err := evidence.Encode(sl)
	if err != nil {
		return fmt.Errorf("seal up to %d: %w", sl.Upto, err)
	}
	head, err := s.HeadAt(sl.Upto)
	if err != nil || head != sl.Head {
		return fmt.Errorf("seal up to %d: %w: its head is not ours", sl.Upto, errOrder)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl.Upto < s.meta.Sealed {
		return fmt.Errorf("seal up to %d: %w: sealed already", sl.Upto, errOrder)
	}
	next := s.meta
	next.Sealed = sl.Upto + 1
	err = s.commit(func(t txn) error {
		if err := t.Set(keySeal(sl.Upto), line); err != nil {
			return err
		}
		if err := t.Delete(keyIntent); err != nil {
			return err
		}
		return t.putJSON(keyMeta, next)
	})
	if err == nil {
		s.meta = next
		s.wake()
	}
	return err
}

// AppendBoot implements seal.Store. If Adopt was called, the boot is said where the chain goes on.
func (s *Spool) AppendBoot(ctx context.Context, b evidence.Boot) error {
	s.mu.Lock()
	elsewhere := s.adoption != nil
	s.mu.Unlock()
	if elsewhere {
		return s.goOn(b)
	}
	_, err := s.Append(ctx, Entry{Body: &b})
	return err
}

// Notify implements seal.Store.
func (s *Spool) Notify() <-chan struct{} { return s.notify }

// LastIntake returns the seq of the newest intake; 0 if there is none since the chain went on elsewhere.
func (s *Spool) LastIntake() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta.Intake
}

// Head returns the head after the last statement.
func (s *Spool) Head() (evidence.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta.Head, s.broken
}
