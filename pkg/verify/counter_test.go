package verify_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

const counterIndex = 0x01800051

// counting is a bench with a counter at 41, after enrol and boot, both counted.
func counting(t *testing.T) *bench {
	t.Helper()
	b := newBenchWith(t, counterIndex)
	b.must(b.dev.Boot())
	s, err := b.seal()
	wantProven(t, s, err)
	b.wantCounter(41, 0)
	return b
}

func (b *bench) wantCounter(value uint64, owed int) {
	b.t.Helper()
	s := b.c.State().Counter
	if s == nil || s.Value == nil || *s.Value != value || len(s.Owed) != owed {
		b.t.Fatalf("counter %+v, want %d and %d owed", s, value, owed)
	}
}

// intake says one, as if the counter were more ahead.
func (b *bench) intake(more uint64) {
	b.t.Helper()
	value, err := b.dev.Value(more)
	b.must(err)
	_, err = b.dev.Say(evidence.RecordingID{}, &evidence.Intake{Counter: value, Slot: "import"})
	b.must(err)
}

func (b *bench) wantChainBreak() {
	b.t.Helper()
	for ; b.at < len(b.dev.Lines); b.at++ {
		if _, err := b.c.Statement(b.dev.Lines[b.at]); err != nil {
			var brk *verify.ChainBreak
			if !errors.As(err, &brk) || brk.Reason != verify.ChainCount || brk.Seq != uint64(b.at) {
				b.t.Fatalf("error %v; want a break of the count at %d", err, b.at)
			}
			return
		}
	}
	b.t.Fatal("taken in")
}

func (b *bench) wantGap(s verify.Sealed, err error, want ...verify.CounterGap) {
	b.t.Helper()
	if err != nil || len(s.Gaps) != len(want) {
		b.t.Fatalf("%+v, %v; want %+v", s.Gaps, err, want)
	}
	for i, g := range want {
		if s.Gaps[i] != g {
			b.t.Errorf("gap %s; want %s", &s.Gaps[i], &g)
		}
	}
}

func TestCounter(t *testing.T) {
	t.Run("intakes and boots", func(t *testing.T) {
		b := counting(t)
		for i := range uint64(3) {
			b.intake(1)
			s, err := b.seal()
			b.wantGap(s, err)
			b.wantCounter(42+i, 0)
		}
		b.must(b.dev.Boot())
		s, err := b.seal()
		b.wantGap(s, err)
		b.wantCounter(44, 0)
	})
	t.Run("capture", func(t *testing.T) {
		b := counting(t)
		_, err := b.dev.Say(testRec, &evidence.Open{Counter: "42", Mode: evidence.ModeCapture})
		b.must(err)
		s, err := b.seal()
		b.wantGap(s, err)
		b.wantCounter(42, 0)
	})
	t.Run("crash before the seal", func(t *testing.T) {
		b := counting(t)
		b.intake(1)
		b.must(b.dev.Boot()) // finds 41: counted up after the seal over both
		s, err := b.seal()
		b.wantGap(s, err)
		b.wantCounter(42, 0)
	})
	t.Run("crash after counting up", func(t *testing.T) {
		b := counting(t)
		b.intake(1)
		b.must(b.dev.SealOnly())
		_, err := b.walk()
		b.must(err)
		b.wantCounter(42, 1)
		b.tpm.Value++
		b.must(b.dev.Boot())
		b.must(b.dev.SealOnly())
		for _, seq := range []uint64{2, 3} { // certify only
			r, err := b.tpm.Count(t.Context(), seq, b.dev.Heads[seq])
			b.must(err)
			if seq == 2 {
				_, err = b.walk()
				b.must(err)
				b.wantCounter(42, 2)
			}
			b.must(b.c.Count(r))
		}
		b.wantCounter(42, 0)
	})
	t.Run("values that never arrived", func(t *testing.T) {
		b := counting(t)
		b.intake(1)
		_, err := b.seal()
		b.must(err)
		b.tpm.Value += 10
		b.must(b.dev.Boot())
		s, err := b.seal()
		b.wantGap(s, err, verify.CounterGap{After: 2, Before: 3, From: 43, To: 52})
		b.wantCounter(52, 0)
	})
	t.Run("values that never arrived while one is owed", func(t *testing.T) {
		b := counting(t)
		b.intake(1)
		b.must(b.dev.SealOnly())
		b.tpm.Value += 3
		b.must(b.dev.Boot())
		b.must(b.dev.SealOnly())
		s, err := b.walk()
		b.wantGap(s, err, verify.CounterGap{After: 2, Before: 3, From: 43, To: 44})
		b.wantCounter(44, 1)
	})
	for name, counted := range map[string]bool{"behind the server's head": false, "behind the server's head, after counting up": true} {
		t.Run(name, func(t *testing.T) {
			b := counting(t)
			b.intake(1) // by a copy of the device, which never gives its record
			b.must(b.dev.SealOnly())
			if counted {
				b.tpm.Value++
			}
			b.dev.Forget()
			last := uint64(1)
			b.must(b.dev.BootBehind(last))
			s, err := b.seal()
			b.wantGap(s, err)
			b.intake(1)
			s, err = b.seal()
			b.wantGap(s, err)
			b.wantCounter(b.tpm.Value, 0)
		})
	}
}

func TestCounterBreaks(t *testing.T) {
	for name, say := range map[string]func(*bench){
		"no value":        func(b *bench) { b.say() },
		"one too high":    func(b *bench) { b.intake(2) },
		"the same again":  func(b *bench) { b.intake(0) },
		"another is owed": func(b *bench) { b.intake(1); b.must(b.dev.SealOnly()); b.intake(2) },
		"boot goes back":  func(b *bench) { b.tpm.Value--; b.must(b.dev.Boot()) },
		"boot goes back by two while one is owed": func(b *bench) {
			b.intake(1)
			b.tpm.Value--
			b.must(b.dev.Boot())
		},
		"capture without": func(b *bench) {
			_, err := b.dev.Say(testRec, &evidence.Open{Mode: evidence.ModeCapture})
			b.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := counting(t)
			say(b)
			b.wantChainBreak()
		})
	}
	t.Run("value without a counter", func(t *testing.T) {
		b := begun(t)
		_, err := b.dev.Say(evidence.RecordingID{}, &evidence.Intake{Counter: "1"})
		b.must(err)
		b.wantChainBreak()
	})
}

func TestCountBreaks(t *testing.T) {
	for name, meddle := range map[string]func(*bench) evidence.Count{
		"not counted up": func(b *bench) evidence.Count {
			r, err := b.tpm.Count(b.t.Context(), 2, b.dev.Heads[2])
			b.must(err)
			return r
		},
		"another index": func(b *bench) evidence.Count {
			b.tpm.Index++
			b.must(b.dev.Count())
			return b.dev.Counts[2].Count
		},
		"signature": func(b *bench) evidence.Count {
			b.must(b.dev.Count())
			r := b.dev.Counts[2].Count
			r.Sig[20] ^= 1
			return r
		},
		"another statement's": func(b *bench) evidence.Count {
			b.must(b.dev.Count())
			r := b.dev.Counts[2].Count
			r.Seq = 1
			return r
		},
		"about another head": func(b *bench) evidence.Count {
			b.tpm.Value++
			r, err := b.tpm.Count(b.t.Context(), 2, b.dev.Heads[1])
			b.must(err)
			return r
		},
		"one again": func(b *bench) evidence.Count { return b.dev.Counts[1].Count },
	} {
		t.Run(name, func(t *testing.T) {
			b := counting(t)
			b.intake(1)
			b.must(b.dev.SealOnly())
			_, err := b.walk()
			b.must(err)
			before := *b.c.State().Counter
			wantSealBreak(t, b.c.Count(meddle(b)), verify.SealCount)
			if after := b.c.State().Counter; *after.Value != *before.Value || len(after.Owed) != 1 {
				t.Errorf("counter %+v", after)
			}
		})
	}
	t.Run("ahead of the seal", func(t *testing.T) {
		b := counting(t)
		b.intake(1)
		_, err := b.c.Statement(b.dev.Lines[2])
		b.must(err)
		b.must(b.dev.Count())
		wantSealBreak(t, b.c.Count(b.dev.Counts[2].Count), verify.SealCount)
	})
}

// edited is the bundle with its seals.jsonl changed and everything around made right by a forger without the log's key.
func edited(b *verifytest.Bundle, change func(lines [][]byte) [][]byte) verify.Memory {
	files := verifytest.Clone(b.Files)
	files[verify.FileSeals] = bytes.Join(change(bytes.SplitAfter(files[verify.FileSeals], []byte("\n"))), nil)
	delete(files, verify.FileExportLeaf)
	delete(files, verify.FileExportProof)
	verifytest.Rebag(files, b.Rec)
	return files
}

func TestBundleCounter(t *testing.T) {
	b := emulated(t)
	r := checkWith(t, b.Files, b.Trust())
	wantVerdict(t, r, verify.Verified, "")
	if c := r.Counter; c == nil || *c.Value != 44 || c.Records != 5 || c.Missing != 0 || len(c.Gaps) != 0 {
		t.Fatalf("counter %+v", c)
	}
	counts := func(line []byte) bool { return bytes.Contains(line, []byte(`"type":"count"`)) }
	for i, line := range bytes.SplitAfter(b.Files[verify.FileSeals], []byte("\n")) {
		if !counts(line) {
			continue
		}
		r := checkWith(t, edited(b, func(lines [][]byte) [][]byte { return append(lines[:i:i], lines[i+1:]...) }), b.Trust())
		wantVerdict(t, r, verify.Incomplete, verify.CodeNoCount)
		if r.Counter.Missing != 1 || r.First.Place.Seq == nil {
			t.Errorf("line %d: %+v, %+v", i, r.Counter, r.First)
		}
		r = checkWith(t, edited(b, func(lines [][]byte) [][]byte { return append(lines[:i+1:i+1], lines[i:]...) }), b.Trust())
		wantVerdict(t, r, verify.Broken, verify.CodeSeal)
	}
}

// TestBundleGap builds a bundle by a device whose TPM counted something that is not in it.
func TestBundleGap(t *testing.T) {
	spec, err := verifytest.SmallSpec()
	if err != nil {
		t.Fatal(err)
	}
	tpm, err := verifytest.NewEmulated("gap")
	if err != nil {
		t.Fatal(err)
	}
	tpm.Index, tpm.Value = counterIndex, 41
	device, err := verifytest.NewDevice(tpm, spec.Log.VKey)
	if err != nil {
		t.Fatal(err)
	}
	b := &verifytest.Bundle{Log: spec.Log, Device: device, Rec: verifytest.RecID("one")}
	for _, step := range []func() error{
		func() error { return device.Boot() }, device.Seal,
		func() error { tpm.Value += 2; return device.Boot() }, device.Seal,
		func() error { return device.Import(b.Rec, spec.Name, spec.Why, spec.Content, spec.Chunk) },
		b.Seen, b.Stored, func() error { return b.Put(spec.Content) }, b.Finish,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	r := checkWith(t, b.Files, b.Trust())
	wantVerdict(t, r, verify.Incomplete, verify.CodeCounterGap)
	if want := (verify.CounterGap{After: 1, Before: 2, From: 42, To: 43}); len(r.Counter.Gaps) != 1 || r.Counter.Gaps[0] != want || r.First.Value != "42–43" {
		t.Errorf("gaps %+v, %+v", r.Counter.Gaps, r.First)
	}
}

// captures is a bundle about an import, with captured recordings of others ahead of it.
func captures(t *testing.T, steps func(b *verifytest.Bundle, tpm *verifytest.Emulated) []any) *verify.Report {
	t.Helper()
	spec, err := verifytest.SmallSpec()
	if err != nil {
		t.Fatal(err)
	}
	tpm, err := verifytest.NewEmulated("withheld")
	if err != nil {
		t.Fatal(err)
	}
	tpm.Index, tpm.Value = counterIndex, 41
	device, err := verifytest.NewDevice(tpm, spec.Log.VKey)
	if err != nil {
		t.Fatal(err)
	}
	b := &verifytest.Bundle{Log: spec.Log, Device: device, Rec: verifytest.RecID("one")}
	do(t, device.Boot, device.Seal)
	do(t, steps(b, tpm)...)
	return finish(t, b, spec)
}

// capture opens a recording of somebody else's.
func capture(b *verifytest.Bundle, name string) func() error {
	return func() error {
		value, err := b.Device.Value(1)
		if err == nil {
			_, err = b.Device.Say(verifytest.RecID(name), &evidence.Open{Counter: value, Mode: evidence.ModeCapture})
		}
		return err
	}
}

// TestWithheldCaptures: count records of others' captures are checked though their words are not there.
func TestWithheldCaptures(t *testing.T) {
	want := func(t *testing.T, r *verify.Report, value uint64, records int, gaps ...verify.CounterGap) {
		t.Helper()
		if len(gaps) == 0 {
			wantVerdict(t, r, verify.Verified, "")
		} else {
			wantVerdict(t, r, verify.Incomplete, verify.CodeCounterGap)
		}
		if c := r.Counter; *c.Value != value || c.Records != records || c.Missing != 0 || !slices.Equal(c.Gaps, gaps) {
			t.Errorf("counter %+v (value %d)", c, *c.Value)
		}
	}
	t.Run("counted", func(t *testing.T) {
		want(t, captures(t, func(b *verifytest.Bundle, _ *verifytest.Emulated) []any {
			return []any{capture(b, "two"), b.Device.Seal, capture(b, "three"), b.Device.Seal}
		}), 44, 5)
	})
	t.Run("records left out", func(t *testing.T) {
		want(t, captures(t, func(b *verifytest.Bundle, _ *verifytest.Emulated) []any {
			return []any{capture(b, "two"), b.Device.Seal, capture(b, "three"), b.Device.Seal, func() { b.Device.Counts = b.Device.Counts[:2] }}
		}), 44, 3, verify.CounterGap{After: 1, Before: 4, From: 42, To: 43})
	})
	t.Run("one record left out", func(t *testing.T) {
		want(t, captures(t, func(b *verifytest.Bundle, _ *verifytest.Emulated) []any {
			return []any{capture(b, "two"), b.Device.Seal, func() { b.Device.Counts = b.Device.Counts[:2] }, capture(b, "three"), b.Device.Seal}
		}), 44, 4, verify.CounterGap{After: 1, Before: 3, From: 42, To: 42})
	})
	t.Run("crash before counting up", func(t *testing.T) {
		want(t, captures(t, func(b *verifytest.Bundle, _ *verifytest.Emulated) []any {
			return []any{capture(b, "two"), b.Device.SealOnly, b.Device.Boot, b.Device.Seal}
		}), 43, 5)
	})
	t.Run("crash after counting up", func(t *testing.T) {
		want(t, captures(t, func(b *verifytest.Bundle, tpm *verifytest.Emulated) []any {
			return []any{capture(b, "two"), b.Device.SealOnly, func() { tpm.Value++ }, b.Device.Boot, b.Device.SealOnly, func() { tpm.Value-- }, b.Device.Count}
		}), 43, 5)
	})
	t.Run("another value", func(t *testing.T) {
		r := captures(t, func(b *verifytest.Bundle, tpm *verifytest.Emulated) []any {
			return []any{capture(b, "two"), b.Device.SealOnly, func() { tpm.Value++ }, b.Device.Count}
		})
		wantVerdict(t, r, verify.Broken, verify.CodeSeal)
	})
}
