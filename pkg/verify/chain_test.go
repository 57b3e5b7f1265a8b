package verify_test

import (
	"encoding/json"
	"errors"
	"testing"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

// bench is a device with an emulated TPM, and a chain that walks what it says.
type bench struct {
	t   *testing.T
	tpm *verifytest.Emulated
	dev *verifytest.Device
	c   *verify.Chain
	at  int // lines walked
	s   int // seals walked
	n   int // count records walked
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchWith(t, 0)
}

// newBenchWith is a bench whose TPM has a counter at this index.
func newBenchWith(t *testing.T, index uint64) *bench {
	t.Helper()
	tpm, err := verifytest.NewEmulated("chain")
	if err != nil {
		t.Fatal(err)
	}
	tpm.Index, tpm.Value = index, 41
	dev, err := verifytest.NewDevice(tpm, "log")
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, tpm: tpm, dev: dev, c: verify.NewChain(tpm.Key())}
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) say() {
	b.t.Helper()
	_, err := b.dev.Say(evidence.RecordingID{}, &evidence.Intake{Slot: "import"})
	b.must(err)
}

// seal seals, then walks to the end by a chain that went to JSON and back.
func (b *bench) seal() (verify.Sealed, error) {
	b.t.Helper()
	b.must(b.dev.Seal())
	return b.walk()
}

func (b *bench) walk() (verify.Sealed, error) {
	b.t.Helper()
	raw, err := json.Marshal(b.c.State())
	b.must(err)
	var state verify.State
	b.must(json.Unmarshal(raw, &state))
	b.c, err = verify.Resume(b.tpm.Key(), state)
	b.must(err)
	var last verify.Sealed
	for ; b.s < len(b.dev.Seals); b.s++ {
		for ; b.at <= int(b.dev.Seals[b.s].Upto); b.at++ {
			_, err := b.c.Statement(b.dev.Lines[b.at])
			b.must(err)
		}
		if last, err = b.c.Seal(b.dev.Seals[b.s]); err != nil {
			return last, err
		}
		for ; b.n < len(b.dev.Counts) && b.dev.Counts[b.n].Seals == b.s+1; b.n++ {
			if err := b.c.Count(b.dev.Counts[b.n].Count); err != nil {
				return last, err
			}
		}
	}
	return last, nil
}

func wantProven(t *testing.T, s verify.Sealed, err error) {
	t.Helper()
	if err != nil || s.Unproven != nil {
		t.Fatalf("seal %+v, %v; want one that proves the order", s, err)
	}
}

func wantUnproven(t *testing.T, s verify.Sealed, err error) {
	t.Helper()
	if err != nil || s.Unproven == nil {
		t.Fatalf("seal %+v, %v; want order not proven", s, err)
	}
}

func wantSealBreak(t *testing.T, err error, why verify.SealReason) {
	t.Helper()
	var b *verify.SealBreak
	if !errors.As(err, &b) || b.Reason != why {
		t.Fatalf("error %v; want a seal break of reason %s", err, why)
	}
}

// begun is a bench after enrol, boot and two seals.
func begun(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.must(b.dev.Boot())
	s, err := b.seal()
	wantProven(t, s, err)
	b.say()
	s, err = b.seal()
	wantProven(t, s, err)
	return b
}

func TestOrderByPCR(t *testing.T) {
	t.Run("restart of the agent", func(t *testing.T) {
		b := begun(t)
		b.must(b.dev.Boot())
		s, err := b.seal()
		wantProven(t, s, err)
	})
	t.Run("power cycle", func(t *testing.T) {
		b := begun(t)
		b.tpm.PowerCycle()
		b.must(b.dev.Boot())
		s, err := b.seal()
		wantProven(t, s, err)
	})
	t.Run("power cycle without boot", func(t *testing.T) {
		b := begun(t)
		b.tpm.PowerCycle()
		b.say()
		_, err := b.seal()
		wantSealBreak(t, err, verify.SealEpoch)
	})
	t.Run("crash after extend, then restart", func(t *testing.T) {
		b := begun(t)
		b.say()
		head := b.dev.Heads[len(b.dev.Heads)-1]
		b.must(b.tpm.Extend(t.Context(), head))
		b.must(b.dev.Boot(head))
		s, err := b.seal()
		wantProven(t, s, err)
	})
	t.Run("crash after extend, then power cycle and again", func(t *testing.T) {
		b := begun(t)
		b.say()
		head := b.dev.Heads[len(b.dev.Heads)-1]
		b.must(b.tpm.Extend(t.Context(), head))
		b.must(b.dev.Boot(head))
		b.tpm.PowerCycle()
		b.must(b.dev.Boot(head))
		s, err := b.seal()
		wantProven(t, s, err)
	})
	t.Run("intent that is no own head", func(t *testing.T) {
		b := begun(t)
		foreign := evidence.Sum([]byte("foreign"))
		b.must(b.tpm.Extend(t.Context(), foreign))
		b.must(b.dev.Boot(foreign))
		s, err := b.seal()
		wantUnproven(t, s, err)
		b.say()
		s, err = b.seal()
		wantProven(t, s, err)
	})
	t.Run("hidden seal", func(t *testing.T) {
		b := begun(t)
		b.must(b.tpm.Extend(t.Context(), evidence.Sum([]byte("a fork"))))
		b.say()
		s, err := b.seal()
		wantUnproven(t, s, err)
	})
	t.Run("zeros without a reset", func(t *testing.T) {
		b := begun(t)
		b.tpm.Values[8] = evidence.Digest{}
		b.must(b.dev.Boot())
		s, err := b.seal()
		wantUnproven(t, s, err)
	})
	t.Run("counts go back", func(t *testing.T) {
		b := begun(t)
		b.tpm.Reset--
		b.must(b.dev.Boot())
		_, err := b.seal()
		wantSealBreak(t, err, verify.SealEpoch)
	})
	t.Run("boot lies about the counts", func(t *testing.T) {
		b := begun(t)
		b.tpm.Reset++
		b.must(b.dev.Boot())
		b.tpm.Reset++
		_, err := b.seal()
		wantSealBreak(t, err, verify.SealEpoch)
	})
	t.Run("clock goes back", func(t *testing.T) {
		b := begun(t)
		b.tpm.Time -= 10
		b.say()
		_, err := b.seal()
		wantSealBreak(t, err, verify.SealClock)
	})
}

func TestSealBreaks(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*evidence.Seal)
		why    verify.SealReason
	}{
		"upto":      {func(s *evidence.Seal) { s.Upto++ }, verify.SealUpto},
		"head":      {func(s *evidence.Seal) { s.Head[3] ^= 1 }, verify.SealHead},
		"signature": {func(s *evidence.Seal) { s.Sig[20] ^= 1 }, verify.SealSignature},
		"PCR":       {func(s *evidence.Seal) { s.PCRs[2][0] ^= 1 }, verify.SealSignature},
	} {
		t.Run(name, func(t *testing.T) {
			b := begun(t)
			before := b.c.State()
			b.say()
			b.must(b.dev.Seal())
			c.change(&b.dev.Seals[2])
			upto := b.dev.Seals[2].Upto
			b.dev.Seals[2].Upto = 3 // what walk needs to know
			for ; b.at < len(b.dev.Lines); b.at++ {
				_, err := b.c.Statement(b.dev.Lines[b.at])
				b.must(err)
			}
			b.dev.Seals[2].Upto = upto
			_, err := b.c.Seal(b.dev.Seals[2])
			wantSealBreak(t, err, c.why)
			if after := b.c.State(); after.Seq != before.Seq || after.Head != before.Head {
				t.Error("the sealed state moved")
			}
		})
	}
}

func TestSealTwice(t *testing.T) {
	b := begun(t)
	_, err := b.c.Seal(b.dev.Seals[1])
	wantSealBreak(t, err, verify.SealEmpty)
	wantSealBreak(t, b.c.Count(evidence.Count{Seq: 1}), verify.SealCount)
}

func TestChainBreaks(t *testing.T) {
	want := func(t *testing.T, err error, why verify.ChainReason, seq, got uint64) {
		t.Helper()
		var b *verify.ChainBreak
		if !errors.As(err, &b) || b.Reason != why || b.Seq != seq || b.GotSeq != got {
			t.Fatalf("error %v; want a chain break of reason %s at %d, got %d", err, why, seq, got)
		}
	}
	b := begun(t)
	b.say()
	b.say()
	next := func() *verify.Chain {
		c, err := verify.Resume(b.tpm.Key(), b.c.State())
		b.must(err)
		return c
	}
	_, err := next().Statement(b.dev.Lines[4])
	want(t, err, verify.ChainSeq, 3, 4)
	_, err = next().Statement(b.dev.Lines[2])
	want(t, err, verify.ChainSeq, 3, 2)
	_, err = next().Statement([]byte(`{"a": 1}`))
	want(t, err, verify.ChainSyntax, 3, 0)
	withheld, err := evidence.Encode(evidence.Withheld{Rec: verifytest.RecID("x"), Seq: 3})
	b.must(err)
	_, err = next().Statement(withheld)
	want(t, err, verify.ChainWithheld, 3, 3)
	if _, err = next().Line(withheld); err != nil {
		t.Error(err)
	}
	other, err := verifytest.NewEmulated("other")
	b.must(err)
	_, err = verify.NewChain(other.Key()).Statement(b.dev.Lines[0])
	want(t, err, verify.ChainDevice, 0, 0)
	if _, err := verify.Resume(other.Key(), b.c.State()); err == nil {
		t.Error("resumed another device's chain")
	}
}

func TestLongUnsealed(t *testing.T) {
	b := begun(t)
	for i := range evidence.MaxSealedStatements + 1 {
		line, err := evidence.Encode(evidence.Withheld{Rec: verifytest.RecID("x"), Seq: uint64(3 + i)})
		b.must(err)
		if _, err = b.c.Line(line); err != nil {
			var brk *verify.ChainBreak
			if i != evidence.MaxSealedStatements || !errors.As(err, &brk) || brk.Reason != verify.ChainLong {
				t.Fatalf("statement %d: %v", i, err)
			}
			return
		}
	}
	t.Error("no bound")
}

func TestResumeAfter(t *testing.T) {
	b := begun(t)
	b.say()
	b.must(b.dev.Seal())
	c, sealed, err := verify.ResumeAfter(b.tpm.Key(), b.dev.Seals[1])
	b.must(err)
	if sealed.Quote.ChainPCR != attestation.DefaultChainPCR {
		t.Errorf("quote %+v", sealed.Quote)
	}
	_, err = c.Statement(b.dev.Lines[3])
	b.must(err)
	s, err := c.Seal(b.dev.Seals[2])
	wantProven(t, s, err)
}
