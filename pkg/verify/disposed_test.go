package verify_test

import (
	"encoding/json"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

// TestDisposedCaptures: a chain in which the words of captures are gone stands, after each seal, exactly where the whole one stands, what never arrived
// and what is still owed included; a wrong digest breaks it, and so does a wrong value.
func TestDisposedCaptures(t *testing.T) {
	b := counting(t)
	rec := verifytest.RecID("one")
	capture := func(more uint64) {
		value, err := b.dev.Value(more)
		b.must(err)
		_, err = b.dev.Say(rec, &evidence.Open{Counter: value, Mode: evidence.ModeCapture})
		b.must(err)
		_, err = b.dev.Say(rec, &evidence.Beat{})
		b.must(err)
	}
	whole := []string{}
	step := func() {
		_, err := b.seal()
		b.must(err)
		raw, err := json.Marshal(b.c.State())
		b.must(err)
		whole = append(whole, string(raw))
	}
	capture(1)
	step()
	b.intake(1)
	step()
	capture(1)
	step()
	walk := func(change func(w *evidence.Withheld, value *uint64)) ([]string, error) {
		c, at, n, states := verify.NewChain(b.tpm.Key()), 0, 0, []string{}
		for i, seal := range b.dev.Seals {
			for ; at <= int(seal.Upto); at++ {
				s, digest, err := evidence.ParseUnverified(b.dev.Lines[at])
				b.must(err)
				if s.Rec != rec {
					if _, err := c.Statement(b.dev.Lines[at]); err != nil {
						return nil, err
					}
					continue
				}
				w := evidence.Withheld{Digest: digest, Rec: rec, Seq: s.Seq}
				var value *uint64
				if open, ok := s.Body.(*evidence.Open); ok {
					v, err := evidence.ParseDecimal(open.Counter)
					b.must(err)
					value = &v
				}
				change(&w, value)
				if err := c.Disposed(w, value); err != nil {
					return nil, err
				}
			}
			if _, err := c.Seal(seal); err != nil {
				return nil, err
			}
			for ; n < len(b.dev.Counts) && b.dev.Counts[n].Seals == i+1; n++ {
				if err := c.Count(b.dev.Counts[n].Count); err != nil {
					return nil, err
				}
			}
			raw, err := json.Marshal(c.State())
			b.must(err)
			states = append(states, string(raw))
		}
		return states, nil
	}
	states, err := walk(func(*evidence.Withheld, *uint64) {})
	b.must(err)
	states = states[len(states)-len(whole):]
	for i := range whole {
		if states[i] != whole[i] {
			t.Errorf("after step %d:\n%s\nwant\n%s", i, states[i], whole[i])
		}
	}
	if _, err := walk(func(w *evidence.Withheld, _ *uint64) { w.Digest[0] ^= 1 }); err == nil {
		t.Error("a wrong digest was taken")
	}
	if _, err := walk(func(_ *evidence.Withheld, v *uint64) {
		if v != nil {
			*v += 7
		}
	}); err == nil {
		t.Error("a wrong value was taken")
	}
}
