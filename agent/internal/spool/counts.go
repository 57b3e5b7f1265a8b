package spool

import (
	"context"
	"fmt"

	"camseal/agent/internal/seal"
	"camseal/pkg/evidence"
)

// keyCounts holds seal.Counts, JSON; a device without a counter has none.
var keyCounts = []byte("counts")

// keyCount is where the count record of statement seq stands: after the seal up to upto, the newest one when the record was made. A boot that
// found the counter as it was before stands ahead of it. Batch walks these keys.
func keyCount(upto, seq uint64) []byte { return key('s', be(upto), []byte{2}, be(seq)) }

func (t txn) counts() (*seal.Counts, error) {
	c := new(seal.Counts)
	err := t.json(keyCounts, c)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("counts: %w", err)
	}
	return c, nil
}

// count keeps what a statement, of which head is H(seq), says of the counter.
func (t txn) count(st *evidence.Statement, head evidence.Digest) error {
	switch st.Kind {
	case evidence.KindEnrol, evidence.KindBoot, evidence.KindIntake, evidence.KindOpen:
	default:
		return nil
	}
	c, err := t.counts()
	if err != nil {
		return err
	}
	next, err := c.Said(st, head)
	if err != nil {
		return fmt.Errorf("%w: %w", errOrder, err)
	}
	if next == nil || next == c {
		return nil
	}
	return t.putJSON(keyCounts, next)
}

// Counts implements seal.Store.
func (s *Spool) Counts(context.Context) (c *seal.Counts, err error) {
	err = s.view(func(t txn) error {
		c, err = t.counts()
		return err
	})
	return c, err
}

// PutCount implements seal.Store. A record that is not the next one owed, or whose statement is not sealed, is refused.
func (s *Spool) PutCount(_ context.Context, c evidence.Count, value uint64) error {
	line, err := evidence.Encode(c)
	if err != nil {
		return fmt.Errorf("count of %d: %w", c.Seq, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.commit(func(t txn) error {
		counts, err := t.counts()
		if err != nil {
			return err
		}
		next, err := counts.Counted(c.Seq, value)
		if err != nil {
			return fmt.Errorf("%w: %w", errOrder, err)
		}
		if c.Seq >= s.meta.Sealed {
			return fmt.Errorf("count of %d: %w: not sealed yet", c.Seq, errOrder)
		}
		if err := t.Set(keyCount(s.meta.Sealed-1, c.Seq), line); err != nil {
			return err
		}
		return t.putJSON(keyCounts, next)
	})
	if err == nil {
		s.wake()
	}
	return err
}

// uncounted returns the oldest statement that lacks its count record; the greatest number if there is none.
func (t txn) uncounted() (uint64, error) {
	c, err := t.counts()
	if err != nil || c == nil || len(c.Owed) == 0 {
		return ^uint64(0), err
	}
	return c.Owed[0].Seq, nil
}
