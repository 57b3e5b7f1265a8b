package verify

import (
	"fmt"
	"slices"
	"strconv"

	"camseal/pkg/evidence"
)

// CounterState is where a device's TPM counter stands. SPEC.md section 5.
type CounterState struct {
	Name  evidence.Bytes `json:"name"`  // of the counter's index, as enrol says
	Value *uint64        `json:"value"` // the greatest one that a statement or a count record named; null before the first
	Seq   uint64         `json:"seq"`   // of the last counted statement
	Owed  []Owed         `json:"owed"`  // counted statements without their count record, in order

	holed bool // statements were left out since: only growth is demanded of the next value
}

// Owed is a counted statement whose count record is still to come.
type Owed struct {
	Seq    uint64          `json:"seq"`
	Head   evidence.Digest `json:"head"`           // H(Seq), which the record is about
	Value  *uint64         `json:"value"`          // what the statement says; null: it says nothing
	Counts bool            `json:"counts"`         // it was counted up for, so nothing else may be until its record is there
	Next   bool            `json:"next,omitempty"` // a boot before the counting up that an older one owes: Value+1 is right too

	after uint64 // the counted statement before
}

// CounterGap says that a device's TPM counter went on while nothing that arrived says so: something was begun and is
// not in this chain. It is a finding and no error.
type CounterGap struct {
	After  uint64 `json:"after"`      // seq of the last counted statement before
	Before uint64 `json:"before"`     // seq of the statement that found it
	From   uint64 `json:"from_value"` // the first value that never arrived
	To     uint64 `json:"to_value"`   // the last one
}

func (g *CounterGap) String() string {
	return fmt.Sprintf("counter values %d to %d never arrived, between seq %d and seq %d", g.From, g.To, g.After, g.Before)
}

const maxOwed = 256 // boots that may wait for their count records

func (s *CounterState) clone() *CounterState {
	if s == nil {
		return nil
	}
	c := *s
	c.Owed = slices.Clone(s.Owed)
	return &c
}

// statesCounter returns the counter's value that a statement names, and whether it must name one where there is a counter.
func statesCounter(s *evidence.Statement) (value string, must bool) {
	switch b := s.Body.(type) {
	case *evidence.Boot:
		return b.Counter, true
	case *evidence.Intake:
		return b.Counter, true
	case *evidence.Open:
		return b.Counter, b.Mode == evidence.ModeCapture
	}
	return "", false
}

// counted keeps the counter's rules for one statement, after whose line c.at.Head stands.
func (c *Chain) counted(l evidence.Line) error {
	switch {
	case l.Statement == nil && c.disposed != nil:
		return c.disposedCounted(l, c.disposed.value)
	case l.Statement == nil:
		return c.withheldCounted(l)
	}
	if e, ok := l.Statement.Body.(*evidence.Enrol); ok {
		if e.Counter != nil {
			c.at.Counter = &CounterState{Name: e.Counter.Name, Owed: []Owed{{Head: c.at.Head}}}
		}
		return nil
	}
	text, must := statesCounter(l.Statement)
	switch has := c.at.Counter != nil; {
	case !has && text != "":
		return c.chainBreak(l, ChainCount, "no counter value, the device has no counter", text)
	case !has || !must:
		return nil
	}
	value, err := evidence.ParseDecimal(text)
	if err != nil {
		return c.chainBreak(l, ChainCount, "a counter value", strconv.Quote(text))
	}
	s := c.at.Counter.clone()
	if l.Statement.Kind == evidence.KindBoot {
		err = c.bootCounted(l, s, value, l.Statement.Body.(*evidence.Boot).Last != nil)
	} else {
		err = c.countsUp(l, s, value)
	}
	c.at.Counter = s
	return err
}

// countsUp is for a statement before which nothing may be owed, and after which the counter is one higher.
func (c *Chain) countsUp(l evidence.Line, s *CounterState, value uint64) error {
	if !c.bundle && len(s.Owed) > 0 {
		return c.chainBreak(l, ChainCount, fmt.Sprintf("the count record of statement %d", s.Owed[0].Seq), "a statement that counts up")
	}
	if s.Value != nil {
		switch want := *s.Value + 1; {
		case value > want && s.holed:
		case value > want && c.withheld:
			c.gaps = append(c.gaps, CounterGap{After: s.Seq, Before: l.Seq, From: want, To: value - 1})
		case value != want:
			return c.chainBreak(l, ChainCount, fmt.Sprintf("counter value %d", want), strconv.FormatUint(value, 10))
		}
	}
	c.owe(l, s, &value)
	return nil
}

// owe notes a statement that was counted up for; value is null when it is not known.
func (c *Chain) owe(l evidence.Line, s *CounterState, value *uint64) {
	if value != nil {
		s.Value = value
	}
	s.Owed = []Owed{{Seq: l.Seq, Head: c.at.Head, Value: value, Counts: true, after: s.Seq}}
	s.Seq, s.holed = l.Seq, s.holed && value == nil
	c.withheld = false
}

// disposed is what is still known of a statement whose words are gone.
type disposed struct{ value *uint64 }

// Disposed takes in a statement of a recording that was disposed of: its digest alone is left, and the value of the counter that it named, nil if
// it was not counted. Unlike a bundle's withheld lines it leaves nothing open. Errors are *ChainBreak.
func (c *Chain) Disposed(w evidence.Withheld, value *uint64) error {
	raw, err := evidence.Encode(w)
	if err != nil {
		return err
	}
	c.disposed = &disposed{value}
	defer func() { c.disposed = nil }()
	_, err = c.line(raw, true)
	return err
}

func (c *Chain) disposedCounted(l evidence.Line, value *uint64) error {
	if c.at.Counter == nil || value == nil {
		return nil
	}
	s := c.at.Counter.clone()
	err := c.countsUp(l, s, *value)
	c.at.Counter = s
	return err
}

// withheldCounted is for a withheld line of a bundle. If there is a count record of it, it is an open in capture mode.
func (c *Chain) withheldCounted(l evidence.Line) error {
	switch {
	case c.at.Counter == nil:
	case !c.records[l.Seq]:
		c.withheld = true
	default:
		s := c.at.Counter.clone()
		var value *uint64
		if s.Value != nil && !s.holed && !c.withheld {
			next := *s.Value + 1
			value = &next
		}
		c.owe(l, s, value)
		c.at.Counter = s
	}
	return nil
}

// bootCounted is for a boot: it may find the last value, or the one before while that is still to be counted up to. After a boot behind
// the server's head (elsewhere), what was owed can't come any more, nor be counted up to.
func (c *Chain) bootCounted(l evidence.Line, s *CounterState, value uint64, elsewhere bool) error {
	owed := Owed{Seq: l.Seq, Head: c.at.Head, Value: &value}
	counting := slices.IndexFunc(s.Owed, func(o Owed) bool { return o.Counts })
	switch {
	case counting >= 0 && s.Owed[counting].Value == nil && (s.Value == nil || value >= *s.Value):
		owed.Next, s.Value = !elsewhere, &value // a withheld statement's record will say which of both it is
	case s.Value == nil || value == *s.Value:
	case value > *s.Value:
		if !s.holed {
			c.gaps = append(c.gaps, CounterGap{After: s.Seq, Before: l.Seq, From: *s.Value + 1, To: value})
		}
		s.Owed = nil // their records can't come any more: the counter is past them
	case value+1 == *s.Value && counting >= 0:
		owed.Next = !elsewhere
	default:
		return c.chainBreak(l, ChainCount, fmt.Sprintf("counter value %d or more", *s.Value), strconv.FormatUint(value, 10))
	}
	if elsewhere {
		s.Owed = nil
	}
	if len(s.Owed) == maxOwed {
		return c.chainBreak(l, ChainCount, fmt.Sprintf("count records of at least one of %d statements", maxOwed), "none")
	}
	if !owed.Next {
		s.Value = &value
	}
	s.Seq, s.holed, c.withheld = l.Seq, false, false
	s.Owed = append(s.Owed, owed)
	return nil
}

// Count takes in a count record. It stands after the seal that covers its statement and before any further statement.
// Errors are *SealBreak. State().Counter says what it left.
func (c *Chain) Count(r evidence.Count) error {
	s := c.at.Counter.clone()
	if s == nil {
		return c.countBreak(r, "no count record, the device has no counter", "one", nil)
	}
	if c.count > 0 {
		return c.countBreak(r, "a seal over the statements before it", "none", nil)
	}
	owed, ok := c.settle(s, r.Seq)
	if !ok {
		return c.countBreak(r, "the count record of a statement that lacks it", fmt.Sprintf("one of statement %d", r.Seq), nil)
	}
	got, err := c.key.CheckCount(&r, owed.Head)
	if err != nil {
		return c.countBreak(r, "the TPM's word for the counter, over this head", "none that holds", err)
	}
	if !slices.Equal(got.Name, []byte(s.Name)) {
		return c.countBreak(r, fmt.Sprintf("the counter %x", []byte(s.Name)), fmt.Sprintf("%x", got.Name), nil)
	}
	if want, ok := c.right(s, owed, got.Value); !ok {
		return c.countBreak(r, fmt.Sprintf("counter value %d", want), strconv.FormatUint(got.Value, 10), nil)
	}
	if s.Value == nil || got.Value > *s.Value {
		s.Value = &got.Value
	}
	if owed.Counts {
		s.holed = false
	}
	c.at.Counter = s
	c.done = c.at
	return nil
}

// settle takes the statement that a count record is about off those that wait for one. In a bundle those before it are given
// up: Bundle reports them.
func (c *Chain) settle(s *CounterState, seq uint64) (Owed, bool) {
	for i, o := range s.Owed {
		if o.Seq == seq && (i == 0 || c.bundle) {
			s.Owed = slices.Delete(s.Owed, 0, i+1)
			return o, true
		}
	}
	return Owed{}, false
}

// right compares the value that the TPM certified with what it should be.
func (c *Chain) right(s *CounterState, o Owed, got uint64) (want uint64, ok bool) {
	switch {
	case o.Value != nil:
		return *o.Value, got == *o.Value || o.Next && got == *o.Value+1
	case s.Value == nil:
		return 0, true
	case !o.Counts:
		return *s.Value, got == *s.Value
	}
	if next := *s.Value + 1; s.Seq == o.Seq && got > next && !s.holed { // nothing else was said since
		c.gaps = append(c.gaps, CounterGap{After: o.after, Before: o.Seq, From: next, To: got - 1})
	}
	return *s.Value, got >= *s.Value
}

func (c *Chain) countBreak(r evidence.Count, want, got string, err error) *SealBreak {
	return &SealBreak{Device: c.key.Name(), Upto: r.Seq, Reason: SealCount, Want: want, Got: got, Err: err}
}

// afterHole goes on from what another stretch of the same chain knew of the counter.
func (c *Chain) afterHole(before *Chain) {
	s := before.done.Counter.clone()
	if s != nil {
		s.holed = true
	}
	c.at.Counter, c.done.Counter, c.bundle, c.records = s, s, before.bundle, before.records
}

func (c *Chain) takeGaps() []CounterGap {
	gaps := c.gaps
	c.gaps = nil
	return gaps
}
