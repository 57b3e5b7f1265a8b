package verify

import (
	"fmt"
	"slices"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// State is where a device's chain stands after its newest seal. It is small and goes to JSON and back.
type State struct {
	Device evidence.DeviceID `json:"device"`
	Seq    uint64            `json:"seq"`  // number of the next statement
	Head   evidence.Digest   `json:"head"` // after statement Seq-1
	N      *uint64           `json:"n"`    // next running number among the device's own statements; null: not known
	Last   *SealState        `json:"last"` // the newest seal; null before the first

	Counter *CounterState `json:"counter,omitempty"` // left out: the device has no counter
}

// SealState is what the next seal is compared with.
type SealState struct {
	Upto     uint64          `json:"upto"`
	Reset    uint32          `json:"reset"`
	Restart  uint32          `json:"restart"`
	Clock    uint64          `json:"clock"` // the TPM's, milliseconds
	ChainPCR int             `json:"chain_pcr"`
	Value    evidence.Digest `json:"value"` // of the chain PCR
}

// Sealed is what a seal that holds says.
type Sealed struct {
	Upto     uint64
	Head     evidence.Digest
	Quote    attestation.Quote
	Unproven *OrderUnproven // not nil: the seal holds, and this is not proven
	Gaps     []CounterGap   // what the TPM's counter shows to be missing before statements that this seal covers
}

// OrderUnproven says that the TPM does not prove the order between two seals: the chain PCR has a value that no head of
// this chain explains. It is a finding and no error.
type OrderUnproven struct {
	After uint64 // the seal before; meaningless when First
	First bool   // there is no seal before
	Upto  uint64
}

func (o *OrderUnproven) String() string {
	if o.First {
		return fmt.Sprintf("order not proven by the TPM up to seq %d", o.Upto)
	}
	return fmt.Sprintf("order not proven by the TPM between seq %d and seq %d", o.After, o.Upto)
}

// Chain walks one device's statements and seals in their order. It is not safe for concurrent use. After an error it
// must not be used any more; State still gives the newest sealed state.
type Chain struct {
	key   *attestation.Key
	at    State // with the statements not yet sealed
	done  State // as of the newest seal
	count int   // statements since the newest seal
	bytes int   // of their lines
	heads []evidence.Digest
	boots []bootAt
	gaps  []CounterGap

	bundle   bool            // count records that are missing are the caller's to report
	records  map[uint64]bool // in a bundle: statements of which there are count records
	withheld bool            // in a bundle: lines without words and count record came since the last counted statement
	disposed *disposed       // the line being taken in is of a recording that was disposed of
}

type bootAt struct {
	boot  *evidence.Boot
	heads int // how many of Chain.heads stand before it
}

// NewChain begins a chain at its first statement.
func NewChain(key *attestation.Key) *Chain {
	zero := uint64(0)
	s := State{Device: key.Name(), Head: evidence.FirstHead(key.Name()), N: &zero}
	return &Chain{key: key, at: s, done: s}
}

// Resume goes on from a state that State gave.
func Resume(key *attestation.Key, s State) (*Chain, error) {
	if s.Device != key.Name() {
		return nil, fmt.Errorf("resume chain: the state is of device %s, the key of %s", s.Device, key.Name())
	}
	return &Chain{key: key, at: s, done: s}, nil
}

// ResumeAfter begins in the middle of a chain, right after a seal: the first one of a stretch. The seal's signature is
// checked; what stands before it is not known.
func ResumeAfter(key *attestation.Key, seal evidence.Seal) (*Chain, Sealed, error) {
	c := &Chain{key: key}
	quote, err := key.CheckSeal(&seal)
	if err != nil {
		return nil, Sealed{}, c.sealBreak(seal, SealSignature, "the device's signature over the head", "none that holds", err)
	}
	if seal.Upto >= evidence.MaxInt {
		return nil, Sealed{}, c.sealBreak(seal, SealUpto, "a statement that others can follow", fmt.Sprint(seal.Upto), nil)
	}
	c.at = State{Device: key.Name(), Seq: seal.Upto + 1, Head: seal.Head, Last: sealState(seal, quote)}
	c.done = c.at
	return c, Sealed{Upto: seal.Upto, Head: seal.Head, Quote: quote}, nil
}

// State returns where the chain stands after its newest seal; statements after it are not in it.
func (c *Chain) State() State { return c.done }

// Next returns the number of the next statement.
func (c *Chain) Next() uint64 { return c.at.Seq }

// Head returns the head after the last statement, sealed or not.
func (c *Chain) Head() evidence.Digest { return c.at.Head }

// Unsealed returns how many statements have no seal yet.
func (c *Chain) Unsealed() int { return c.count }

// Statement takes in the next line, which must be a whole statement. Errors are *ChainBreak.
func (c *Chain) Statement(line []byte) (evidence.Line, error) { return c.line(line, false) }

// Line takes in the next line of a bundle's chain.jsonl: a whole statement or a withheld one. Errors as Statement's.
func (c *Chain) Line(line []byte) (evidence.Line, error) { return c.line(line, true) }

func (c *Chain) line(raw []byte, withheld bool) (evidence.Line, error) {
	l, err := evidence.ParseLineUnverified(raw)
	if err != nil {
		b := c.chainBreak(l, ChainSyntax, "a statement in canonical JSON", err.Error())
		b.Err = err
		return evidence.Line{}, b
	}
	if err := c.fits(l, withheld); err != nil {
		return evidence.Line{}, err
	}
	c.count++
	c.bytes += len(raw)
	if c.count > evidence.MaxSealedStatements || c.bytes > evidence.MaxSealedBytes {
		return evidence.Line{}, c.chainBreak(l, ChainLong,
			fmt.Sprintf("a seal after %d statements or %d bytes at the latest", evidence.MaxSealedStatements, evidence.MaxSealedBytes), "none")
	}
	if l.Statement != nil {
		if err := c.ofDevice(l); err != nil {
			return evidence.Line{}, err
		}
	}
	c.at.Head = evidence.NextHead(l.Seq, l.Rec, c.at.Head, l.Digest)
	c.heads = append(c.heads, c.at.Head)
	if err := c.counted(l); err != nil {
		return evidence.Line{}, err
	}
	c.at.Seq++
	return l, nil
}

func (c *Chain) fits(l evidence.Line, withheld bool) error {
	switch {
	case l.Seq != c.at.Seq:
		return c.chainBreak(l, ChainSeq, fmt.Sprintf("statement %d", c.at.Seq), fmt.Sprintf("statement %d", l.Seq))
	case l.Seq == evidence.MaxInt:
		return c.chainBreak(l, ChainPast, "a lower number", fmt.Sprint(l.Seq))
	case l.Statement == nil && !withheld:
		return c.chainBreak(l, ChainWithheld, "a whole statement", "a withheld one")
	case l.Statement != nil && l.Statement.Device != c.at.Device:
		return c.chainBreak(l, ChainDevice, c.at.Device.String(), l.Statement.Device.String())
	case l.Seq == 0 && (l.Statement == nil || l.Statement.Kind != evidence.KindEnrol):
		return c.chainBreak(l, ChainEnrol, "the enrol statement", "another")
	}
	return nil
}

// ofDevice keeps the rules for the device's own statements.
func (c *Chain) ofDevice(l evidence.Line) error {
	s := l.Statement
	if !s.Rec.IsZero() {
		return nil
	}
	if c.at.N != nil && *c.at.N != s.N {
		return c.chainBreak(l, ChainNumber, fmt.Sprintf("n %d", *c.at.N), fmt.Sprintf("n %d", s.N))
	}
	next := s.N + 1
	c.at.N = &next
	switch b := s.Body.(type) {
	case *evidence.Enrol:
		if b.Class != c.key.Class() || !slices.Equal([]byte(b.AK), c.key.Bytes()) {
			return c.chainBreak(l, ChainEnrol, "the key of this device", "another key or class")
		}
		if b.Counter != nil {
			if err := attestation.CheckCounterRef(b.Counter); err != nil || b.Class != evidence.ClassTPM {
				return c.chainBreak(l, ChainEnrol, "a counter of its TPM", "another")
			}
		}
	case *evidence.Boot:
		if err := c.checkBoot(l, b); err != nil {
			return err
		}
		c.boots = append(c.boots, bootAt{boot: b, heads: len(c.heads)})
	}
	return nil
}

func (c *Chain) checkBoot(l evidence.Line, b *evidence.Boot) error {
	want := 0
	if c.key.Class() == evidence.ClassTPM {
		want = quotedPCRs
	}
	if len(b.PCRs) != want {
		return c.chainBreak(l, ChainBoot, fmt.Sprintf("%d PCR values", want), fmt.Sprint(len(b.PCRs)))
	}
	if len(b.Intents) > maxIntents {
		return c.chainBreak(l, ChainBoot, fmt.Sprintf("at most %d unfinished intents", maxIntents), fmt.Sprint(len(b.Intents)))
	}
	return nil
}

func (c *Chain) chainBreak(l evidence.Line, why ChainReason, want, got string) *ChainBreak {
	return &ChainBreak{Device: c.key.Name(), Seq: c.at.Seq, GotSeq: l.Seq, Reason: why, Want: want, Got: got}
}
