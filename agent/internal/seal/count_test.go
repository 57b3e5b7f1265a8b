//go:build linux

package seal

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"camseal/pkg/attestation/device"
	"camseal/pkg/evidence"
)

// counting is a store whose device names the TPM's counter.
func counting(t testing.TB, d device.TPM) *memory {
	t.Helper()
	ref, _, err := d.(device.Identity).Counter(t.Context())
	must(t, err)
	if ref == nil {
		t.Fatal("this TPM has no counter")
	}
	return newCounted(t, d.Key(), ref)
}

// intake says an intake with a value, as Counted's callers do.
func (m *memory) intake(value string) error {
	_, err := m.add(evidence.RecordingID{}, &evidence.Intake{Counter: value, Slot: "import"})
	return err
}

// next says the intake that a caller of Counted said right before the agent was killed.
func (m *memory) next(t testing.TB) {
	t.Helper()
	value, ok := m.counts.Next()
	if !ok {
		t.Fatal("a record is owed")
	}
	must(t, m.intake(value))
}

// settled fails unless every counted statement has exactly one record and the TPM is where the chain says.
func (m *memory) settled(t testing.TB, d device.TPM) {
	t.Helper()
	said, records := 0, 0
	for _, line := range m.lines {
		st, _, err := evidence.ParseUnverified(line)
		must(t, err)
		if k := st.Kind; k == evidence.KindEnrol || k == evidence.KindBoot || k == evidence.KindIntake {
			said++
		}
	}
	for _, list := range m.record {
		records += len(list)
	}
	_, value, err := d.(device.Identity).Counter(t.Context())
	must(t, err)
	if said != records || len(m.counts.Owed) != 0 || *m.counts.Value != value {
		t.Fatalf("%d counted statements, %d records, %d owed, the chain is at %d, the TPM at %d", said, records, len(m.counts.Owed), *m.counts.Value, value)
	}
}

// Whatever step of sealing and counting the agent is killed at, once or twice, with and without a power cut of the TPM: every
// counted statement gets exactly one record, and the verifier sees no value missing.
func TestCrashAtEveryStepOfCounting(t *testing.T) {
	s, d := newTPM(t, 0)
	for first := range 24 {
		for second := -1; second < 16; second += 8 {
			for cut := range 2 {
				m := counting(t, d)
				must(t, run(t, d, m, nil))
				m.next(t)
				m.say(t, 1)
				if err := run(t, d, m, crashAt(first)); err != nil && !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				if cut == 1 {
					s.PowerCycle()
				}
				m.say(t, 1)
				if second >= 0 {
					if err := run(t, d, m, crashAt(second)); err != nil && !errors.Is(err, errCrash) {
						t.Fatal(err)
					}
				}
				must(t, run(t, d, m, nil))
				m.settled(t, d)
				m.next(t)
				must(t, run(t, d, m, nil))
				m.settled(t, d)
				if unproven, _, gaps := m.walk(t); unproven != 0 || len(gaps) != 0 {
					t.Fatalf("crash at %d and %d, cut %d: %d findings, gaps %v", first, second, cut, unproven, gaps)
				}
			}
		}
	}
}

// The agent is killed while it runs and intakes come in.
func TestCrashWhileCounting(t *testing.T) {
	_, d := newTPM(t, 0)
	crashed := 0
	for n := range 40 {
		m := counting(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		sealer, ended := newSealer(t, d, m, crashAt(n)), make(chan error, 1)
		go func() { ended <- sealer.Run(ctx) }()
		for range 3 {
			if err := sealer.Counted(ctx, m.intake); errors.Is(err, ErrStopped) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		switch err := <-ended; {
		case errors.Is(err, errCrash):
			crashed++
		case err != nil:
			t.Fatal(err)
		}
		must(t, run(t, d, m, nil))
		m.settled(t, d)
		if unproven, _, gaps := m.walk(t); unproven != 0 || len(gaps) != 0 {
			t.Fatalf("crash at %d: %d findings, gaps %v", n, unproven, gaps)
		}
	}
	if crashed < 20 {
		t.Errorf("only %d crashes", crashed)
	}
}

// Callers of Counted get their turn one after the other, each with the next value.
func TestCountedValuesFollow(t *testing.T) {
	_, d := newTPM(t, 0)
	m := counting(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	sealer, ended := newSealer(t, d, m, nil), make(chan error, 1)
	go func() { ended <- sealer.Run(ctx) }()
	var all sync.WaitGroup
	var mu sync.Mutex
	var values []uint64
	for range 8 {
		all.Go(func() {
			err := sealer.Counted(ctx, func(value string) error {
				n, err := strconv.ParseUint(value, 10, 64)
				if err != nil {
					return err
				}
				mu.Lock()
				values = append(values, n)
				mu.Unlock()
				return m.intake(value)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	cancel()
	must(t, <-ended)
	for i, v := range values {
		if v != values[0]+uint64(i) {
			t.Fatal(values)
		}
	}
	m.settled(t, d)
	if _, _, gaps := m.walk(t); len(values) != 8 || len(gaps) != 0 {
		t.Fatal(values, gaps)
	}
	// A caller that says something else is refused, and not asked again and again.
	calls := 0
	ctx, cancel = context.WithCancel(t.Context())
	sealer = newSealer(t, d, m, nil)
	go func() { ended <- sealer.Run(ctx) }()
	err := sealer.Counted(t.Context(), func(string) error { calls++; return m.intake("7") })
	if !errors.Is(err, ErrUncounted) || calls != 1 {
		t.Fatal(calls, err)
	}
	cancel()
	must(t, <-ended)
}

// Somebody else counts, between two runs and while the sealer runs: the alarm is raised, a boot says the value, the verifier names what is
// missing, and counting goes on.
func TestForeignIncrementIsFound(t *testing.T) {
	_, d := newTPM(t, 0)
	id := d.(device.Identity)
	for _, when := range []string{"between", "begin", "count", "increment", "certify", "counted"} {
		m := counting(t, d)
		must(t, run(t, d, m, nil))
		if when == "between" {
			must(t, id.Increment(t.Context()))
		}
		done := false
		ctx, cancel := context.WithCancel(t.Context())
		step := func(at string) error {
			c, _ := m.Counts(ctx)
			adds := len(c.Owed) > 0 && c.Owed[0].Adds || at == "counted" // of an intake, not of the start's boot
			if at == when && adds && !done && len(m.seals) > 1 {
				done = true
				return id.Increment(t.Context())
			}
			return nil
		}
		sealer, ended := newSealer(t, d, m, step), make(chan error, 1)
		go func() { ended <- sealer.Run(ctx) }()
		for range 3 {
			must(t, sealer.Counted(ctx, m.intake))
		}
		must(t, sealer.WaitSealed(ctx, m.say(t, 1)))
		cancel()
		must(t, <-ended)
		_, _, gaps := m.walk(t)
		if when == "begin" || when == "count" { // it took the step that the sealer was about to take: no value is missing
			if len(gaps) != 0 {
				t.Errorf("%s: gaps %v", when, gaps)
			}
			continue
		}
		if len(gaps) != 1 || gaps[0].From != gaps[0].To {
			t.Errorf("%s: gaps %v", when, gaps)
		}
		if st := sealer.Status(t.Context()); when != "counted" && (!st.Counter || !st.Alarm) {
			t.Errorf("%s: %+v", when, st)
		}
	}
}

// copy is what a copy of the state folder holds.
func (m *memory) copy(t testing.TB) *memory {
	c := newCounted(t, m.key, nil)
	c.lines, c.heads, c.seals = slices.Clone(m.lines), slices.Clone(m.heads), slices.Clone(m.seals)
	c.counts, c.n, c.rec = m.counts, m.n, m.rec
	for at, list := range m.record {
		c.record[at] = slices.Clone(list)
	}
	return c
}

// Two agents run on copies of one state folder: each raises its alarm, and each chain names as missing what the other one counted.
func TestTwoAgentsOnOneState(t *testing.T) {
	_, d := newTPM(t, 0)
	first := counting(t, d)
	must(t, run(t, d, first, nil))
	stores := []*memory{first, first.copy(t)}
	ctx, cancel := context.WithCancel(t.Context())
	var sealers []*Sealer
	var ended []chan error
	for _, m := range stores {
		sealer, end := newSealer(t, d, m, nil), make(chan error, 1)
		go func() { end <- sealer.Run(ctx) }()
		sealers, ended = append(sealers, sealer), append(ended, end)
	}
	said := [2][]uint64{}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range 8 {
		m := stores[i%2]
		must(t, sealers[i%2].Counted(ctx, func(value string) error {
			n, err := strconv.ParseUint(value, 10, 64)
			said[i%2] = append(said[i%2], n)
			return errors.Join(err, m.intake(value))
		}))
		for c, _ := m.Counts(ctx); len(c.Owed) > 0; c, _ = m.Counts(ctx) {
			<-tick.C
		}
	}
	for i, sealer := range sealers {
		if st := sealer.Status(ctx); !st.Counter || !st.Order || !st.Alarm {
			t.Errorf("agent %d: %+v", i, st)
		}
	}
	cancel()
	for i, end := range ended {
		must(t, <-end)
		unproven, _, gaps := stores[i].walk(t)
		missing := map[uint64]bool{}
		for _, g := range gaps {
			for v := g.From; v <= g.To; v++ {
				missing[v] = true
			}
		}
		for _, v := range said[1-i] {
			if v < said[i][len(said[i])-1] && !missing[v] {
				t.Errorf("agent %d: %d is not named, only %v", i, v, gaps)
			}
		}
		if unproven == 0 || len(missing) < 3 {
			t.Errorf("agent %d: %d findings, gaps %v", i, unproven, gaps)
		}
	}
}

// An old state folder is put back: what was begun since is missing by number.
func TestRestoredImageIsFound(t *testing.T) {
	_, d := newTPM(t, 0)
	m := counting(t, d)
	must(t, run(t, d, m, nil))
	m.next(t)
	must(t, run(t, d, m, nil))
	old := m.copy(t)
	from := *m.counts.Value + 1
	for range 10 {
		m.next(t)
		must(t, run(t, d, m, nil))
	}
	m.settled(t, d)
	sealer := newSealer(t, d, old, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, sealer.Run(ctx))
	if st := sealer.Status(t.Context()); !st.Counter || !st.Order {
		t.Errorf("%+v", st)
	}
	unproven, _, gaps := old.walk(t)
	if unproven != 1 || len(gaps) != 1 || gaps[0].From != from || gaps[0].To != from+9 {
		t.Errorf("%d findings, gaps %v, want %d to %d", unproven, gaps, from, from+9)
	}
}

// refusing is a TPM whose counter fails while broken is true.
type refusing struct {
	device.TPM
	device.Identity
	broken atomic.Bool
}

func (r *refusing) Increment(ctx context.Context) error {
	if r.broken.Load() {
		return errors.New("the counter fails")
	}
	return r.Identity.Increment(ctx)
}

func TestFailingCounterDoesNotStopSealing(t *testing.T) {
	_, d := newTPM(t, 0)
	m := counting(t, d)
	r := &refusing{TPM: d, Identity: d.(device.Identity)}
	ctx, cancel := context.WithCancel(t.Context())
	sealer, ended := newSealer(t, r, m, nil), make(chan error, 1)
	go func() { ended <- sealer.Run(ctx) }()
	must(t, sealer.Counted(ctx, m.intake))
	must(t, sealer.Counted(ctx, func(value string) error {
		r.broken.Store(true)
		return m.intake(value)
	}))
	for range 20 {
		must(t, sealer.WaitSealed(ctx, m.say(t, 1)))
	}
	short, stop := context.WithCancel(ctx)
	stop()
	if err := sealer.Counted(short, m.intake); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if st := sealer.Status(ctx); st.Err == nil || !st.Alarm {
		t.Errorf("%+v", st)
	}
	r.broken.Store(false)
	must(t, sealer.Counted(ctx, m.intake))
	cancel()
	must(t, <-ended)
	m.settled(t, d)
	if _, boots, gaps := m.walk(t); boots != 1 || len(gaps) != 0 {
		t.Errorf("%d boots, gaps %v", boots, gaps)
	}
}

func TestDeviceWithoutCounterIsNotCounted(t *testing.T) {
	d, err := device.OpenSoftware(filepath.Join(t.TempDir(), "key"))
	must(t, err)
	m := newMemory(t, d.Key())
	must(t, run(t, d, m, nil))
	sealer := newSealer(t, d, m, nil)
	must(t, sealer.Counted(t.Context(), func(value string) error {
		if value != "" {
			t.Error(value)
		}
		return m.intake(value)
	}))
	must(t, run(t, d, m, nil))
	if len(m.record) != 0 || m.counts != nil {
		t.Error(m.record)
	}
	if err := m.intake("1"); !errors.Is(err, ErrUncounted) {
		t.Error(err)
	}
}
