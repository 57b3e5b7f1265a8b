package verify

import (
	"fmt"
	"slices"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

const (
	quotedPCRs = 9 // 0-7 and the chain PCR
	maxIntents = 8 // unfinished sealings that one boot can name
)

// Seal takes in the seal over the statements walked so far. Errors are *SealBreak. A seal that holds but does not prove
// the order since the one before says so in Sealed.Unproven.
func (c *Chain) Seal(seal evidence.Seal) (Sealed, error) {
	if err := c.covers(seal); err != nil {
		return Sealed{}, err
	}
	quote, err := c.key.CheckSeal(&seal)
	if err != nil {
		return Sealed{}, c.sealBreak(seal, SealSignature, "the device's signature over the head", "none that holds", err)
	}
	out := Sealed{Upto: seal.Upto, Head: seal.Head, Quote: quote, Gaps: c.takeGaps()}
	if c.key.Class() == evidence.ClassTPM {
		proven, err := c.order(seal, quote)
		if err != nil {
			return Sealed{}, err
		}
		if !proven {
			out.Unproven = &OrderUnproven{Upto: seal.Upto, First: c.done.Last == nil}
			if c.done.Last != nil {
				out.Unproven.After = c.done.Last.Upto
			}
		}
	}
	c.at.Last = sealState(seal, quote)
	c.done = c.at
	c.count, c.bytes, c.heads, c.boots = 0, 0, c.heads[:0], c.boots[:0]
	return out, nil
}

func (c *Chain) covers(seal evidence.Seal) error {
	switch {
	case c.count == 0:
		return c.sealBreak(seal, SealEmpty, "a statement that is not sealed yet", "none", nil)
	case seal.Upto != c.at.Seq-1:
		return c.sealBreak(seal, SealUpto, fmt.Sprintf("a seal up to %d", c.at.Seq-1), fmt.Sprintf("up to %d", seal.Upto), nil)
	case seal.Head != c.at.Head && slices.Contains(c.heads, seal.Head):
		return c.sealBreak(seal, SealUpto, fmt.Sprintf("the head after statement %d", seal.Upto), "that of an earlier one", nil)
	case seal.Head != c.at.Head:
		return c.sealBreak(seal, SealHead, c.at.Head.String(), seal.Head.String(), nil)
	}
	return nil
}

// epoch is one stretch of time between two resets or restarts of the TPM.
type epoch struct{ reset, restart uint32 }

func (e epoch) before(o epoch) bool {
	return e.reset < o.reset || e.reset == o.reset && e.restart < o.restart
}

// order compares a quote with the seal before it and with the boots between. It reports whether the chain PCR proves
// that nothing was sealed between them but what the chain holds.
func (c *Chain) order(seal evidence.Seal, q attestation.Quote) (bool, error) {
	value, now, known := evidence.Digest{}, epoch{}, false
	last := c.done.Last
	if last != nil {
		value, now, known = last.Value, epoch{last.Reset, last.Restart}, true
	}
	proven := true
	for _, b := range c.boots {
		e := epoch{uint32(b.boot.ResetCount), uint32(b.boot.RestartCount)}
		if b.boot.ResetCount>>32 != 0 || b.boot.RestartCount>>32 != 0 || known && e.before(now) {
			return false, c.sealBreak(seal, SealEpoch, "counts that do not go back", fmt.Sprintf("a boot with %d and %d", b.boot.ResetCount, b.boot.RestartCount), nil)
		}
		if int(b.boot.ChainPCR) != q.ChainPCR {
			return false, c.sealBreak(seal, SealPCR, fmt.Sprintf("PCR %d as the boot says", b.boot.ChainPCR), fmt.Sprintf("PCR %d", q.ChainPCR), nil)
		}
		found := b.boot.PCRs[quotedPCRs-1]
		if known && !explained(found, value, e != now, b.boot.Intents, c.heads[:b.heads]) {
			proven = false
		}
		value, now, known = found, e, true
	}
	if !known {
		return true, nil // the first seal, before any boot: the value it starts from is whatever was found
	}
	quoted := epoch{q.Reset, q.Restart}
	if len(c.boots) == 0 && now.before(quoted) && c.long() {
		// A backlog from before a reset or restart: its boot stands behind it. A boot would have found zeros, or the old value.
		zeros := attestation.Extend(evidence.Digest{}, seal.Head)
		return last.ChainPCR == q.ChainPCR && (q.ChainValue == zeros || q.ChainValue == attestation.Extend(value, seal.Head)), nil
	}
	if quoted != now {
		return false, c.sealBreak(seal, SealEpoch, fmt.Sprintf("reset count %d, restart count %d, or a boot that says otherwise", now.reset, now.restart),
			fmt.Sprintf("%d, %d", q.Reset, q.Restart), nil)
	}
	if last != nil && quoted == (epoch{last.Reset, last.Restart}) && q.Clock < last.Clock {
		return false, c.sealBreak(seal, SealClock, fmt.Sprintf("a clock of at least %d ms", last.Clock), fmt.Sprintf("%d ms", q.Clock), nil)
	}
	if last != nil && len(c.boots) == 0 && last.ChainPCR != q.ChainPCR {
		return false, c.sealBreak(seal, SealPCR, fmt.Sprintf("PCR %d as before", last.ChainPCR), fmt.Sprintf("PCR %d", q.ChainPCR), nil)
	}
	return proven && q.ChainValue == attestation.Extend(value, seal.Head), nil
}

// explained reports whether a boot's PCR value follows from the one before: it is the same, or zeros after a reset, or
// one of these extended by heads of this chain whose sealing was begun.
func explained(found, before evidence.Digest, reset bool, intents, own []evidence.Digest) bool {
	from := []evidence.Digest{before}
	if reset {
		from = append(from, evidence.Digest{})
	}
	for _, h := range intents {
		if !slices.Contains(own, h) {
			continue
		}
		for _, v := range from {
			from = append(from, attestation.Extend(v, h))
		}
	}
	return slices.Contains(from, found)
}

func sealState(seal evidence.Seal, q attestation.Quote) *SealState {
	return &SealState{Upto: seal.Upto, Reset: q.Reset, Restart: q.Restart, Clock: q.Clock, ChainPCR: q.ChainPCR, Value: q.ChainValue}
}

func (c *Chain) sealBreak(seal evidence.Seal, why SealReason, want, got string, err error) *SealBreak {
	return &SealBreak{Device: c.key.Name(), Upto: seal.Upto, Reason: why, Want: want, Got: got, Err: err}
}

// long reports whether the stretch may be a backlog that did not fit under one seal with the boot statement behind it.
func (c *Chain) long() bool {
	return c.count >= evidence.MaxSealedStatements/4 || c.bytes > evidence.MaxSealedBytes-evidence.MaxLine
}
