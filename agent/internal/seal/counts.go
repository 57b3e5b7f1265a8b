package seal

import (
	"errors"
	"fmt"
	"strconv"

	"camseal/pkg/evidence"
)

// ErrUncounted says that a statement does not go with the counter: it must be said through Counted.
var ErrUncounted = errors.New("the statement does not name the counter's next value")

// Counts is what the chain says of the TPM's counter, and what still lacks the TPM's word. A Store keeps it in the transaction
// that writes the statement or the record, and has none for a device whose enrolment names no counter.
type Counts struct {
	Value *uint64 `json:"value"` // the newest one that a statement names; nil: none does yet
	Owed  []Owed  `json:"owed"`  // statements without their count record, ascending
}

// Owed is a counted statement without its count record.
type Owed struct {
	Seq  uint64          `json:"seq"`
	Head evidence.Digest `json:"head"` // H(Seq)
	Adds bool            `json:"adds"` // the counter is to be incremented for it
}

// Said returns the counts after a statement, of which head is H(seq). c is nil when the device has no counter; so is the result. c is not
// changed. Errors: ErrUncounted.
func (c *Counts) Said(s *evidence.Statement, head evidence.Digest) (*Counts, error) {
	owed := Owed{Seq: s.Seq, Head: head}
	switch b := s.Body.(type) {
	case *evidence.Enrol:
		if b.Counter == nil {
			return nil, nil
		}
		return &Counts{Owed: []Owed{owed}}, nil
	case *evidence.Boot:
		return c.found(owed, b)
	case *evidence.Intake:
		return c.added(owed, b.Counter)
	case *evidence.Open:
		if b.Mode == evidence.ModeCapture {
			return c.added(owed, b.Counter)
		}
	}
	return c, nil
}

// found is for a boot, which names the value found: the last one, or the one before while that is still to be incremented to. After any
// other, and when the chain went on at another place, what was owed can't come any more.
func (c *Counts) found(owed Owed, b *evidence.Boot) (*Counts, error) {
	if c == nil || b.Counter == "" {
		if c != nil || b.Counter != "" {
			return nil, fmt.Errorf("%w: boot with %q", ErrUncounted, b.Counter)
		}
		return nil, nil
	}
	value, err := evidence.ParseDecimal(b.Counter)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUncounted, err)
	}
	next := &Counts{Value: &value}
	if b.Last == nil && c.accounts(value) {
		next.Owed = append(next.Owed, c.Owed...)
		if c.Value != nil {
			next.Value = c.Value
		}
	}
	next.Owed = append(next.Owed, owed)
	return next, nil
}

func (c *Counts) added(owed Owed, text string) (*Counts, error) {
	want, ok := c.Next()
	if !ok || text != want {
		return nil, fmt.Errorf("%w: it names %q", ErrUncounted, text)
	}
	if c == nil {
		return nil, nil
	}
	value := *c.Value + 1
	owed.Adds = true
	return &Counts{Value: &value, Owed: []Owed{owed}}, nil
}

// Next returns the value that the next intake or open in capture mode must name, empty without a counter. ok is false while a record is owed.
func (c *Counts) Next() (value string, ok bool) {
	if c == nil {
		return "", true
	}
	if c.Value == nil || len(c.Owed) > 0 {
		return "", false
	}
	return strconv.FormatUint(*c.Value+1, 10), true
}

// due reports whether the counter, which reads value, is to be incremented.
func (c *Counts) due(value uint64) bool {
	if c.Value == nil || value+1 != *c.Value {
		return false
	}
	for _, o := range c.Owed {
		if o.Adds {
			return true
		}
	}
	return false
}

// accounts reports whether the chain explains that the counter reads value.
func (c *Counts) accounts(value uint64) bool {
	return c.Value == nil || value == *c.Value || c.due(value)
}

// Counted returns the counts after the count record of the oldest statement that lacks one, which certified value. c is not changed.
func (c *Counts) Counted(seq, value uint64) (*Counts, error) {
	if c == nil || len(c.Owed) == 0 || c.Owed[0].Seq != seq {
		return nil, fmt.Errorf("count of %d: that statement has its record, or an older one lacks it", seq)
	}
	next := &Counts{Value: c.Value, Owed: append([]Owed(nil), c.Owed[1:]...)}
	if next.Value == nil {
		next.Value = &value
	}
	return next, nil
}
