//go:build linux

package seal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/attestation/device"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
)

func newTPM(t *testing.T, timeout time.Duration) (*swtpmtest.TPM, device.TPM) {
	t.Helper()
	s := swtpmtest.Start(t)
	config := device.Config{Path: s.Path(), State: t.TempDir(), Timeout: timeout}
	if _, err := device.Provision(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	d, err := device.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, d
}

func newSealer(t testing.TB, d device.TPM, m *memory, step func(string) error) *Sealer {
	return New(Config{TPM: d, Store: m, Software: "test", Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Now: time.Now, Retry: time.Millisecond, Step: step})
}

// run seals until all that m holds is sealed, or until the sealer crashes.
func run(t testing.TB, d device.TPM, m *memory, step func(string) error) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := newSealer(t, d, m, step)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tip, _ := m.Tip(ctx)
	if err := s.WaitSealed(ctx, tip-1); err != nil && !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	cancel()
	return <-ended
}

var errCrash = errors.New("crash")

// crashAt crashes at the n-th step, counted from 0.
func crashAt(n int) func(string) error {
	return func(string) error {
		if n--; n < 0 {
			return errCrash
		}
		return nil
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever step the agent is killed at, once or twice, with and without a power cut of the TPM: the next run goes on such
// that the verifier sees one chain whose order is proven.
func TestCrashAtEveryStep(t *testing.T) {
	s, d := newTPM(t, 0)
	for first := range 9 {
		for second := -1; second < 6; second++ {
			for cut := range 3 { // bit 0: power cut after the first crash, bit 1: after the second
				m := newMemory(t, d.Key())
				m.say(t, 3)
				if err := run(t, d, m, crashAt(first)); err != nil && !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				if cut&1 != 0 {
					s.PowerCycle()
				}
				m.say(t, 2)
				if second >= 0 {
					if err := run(t, d, m, crashAt(second)); err != nil && !errors.Is(err, errCrash) {
						t.Fatal(err)
					}
				}
				if cut&2 != 0 {
					s.PowerCycle()
				}
				m.say(t, 1)
				must(t, run(t, d, m, nil))
				if unproven, boots := m.check(t); unproven != 0 || boots == 0 {
					t.Fatalf("crash at %d and %d, cut %d: %d findings, %d boots", first, second, cut, unproven, boots)
				}
			}
		}
	}
}

func TestEveryStartSaysBoot(t *testing.T) {
	_, d := newTPM(t, 0)
	m := newMemory(t, d.Key())
	for i := range 3 {
		m.say(t, 1)
		must(t, run(t, d, m, nil))
		if unproven, boots := m.check(t); unproven != 0 || boots != i+1 {
			t.Fatalf("start %d: %d findings, %d boots", i, unproven, boots)
		}
	}
}

// The TPM loses power at each step while the sealer goes on.
func TestPowerCutOfTheTPMWhileSealing(t *testing.T) {
	s, d := newTPM(t, 0)
	for n := range 10 {
		m := newMemory(t, d.Key())
		m.say(t, 2)
		left := n
		step := func(name string) error {
			if left--; left == -1 {
				s.PowerCycle()
			}
			if name == "sealed" && len(m.seals) < 3 {
				m.say(t, 2)
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		sealer, ended := newSealer(t, d, m, step), make(chan error, 1)
		go func() { ended <- sealer.Run(ctx) }()
		must(t, sealer.WaitSealed(ctx, m.say(t, 1)+5))
		must(t, sealer.WaitSealed(ctx, m.say(t, 1)))
		if st := sealer.Status(ctx); st.Order {
			t.Errorf("cut at %d: %+v", n, st)
		}
		cancel()
		must(t, <-ended)
		if unproven, _ := m.check(t); unproven != 0 {
			t.Errorf("cut at %d: %d findings", n, unproven)
		}
	}
}

// Something else extends the chain PCR: nothing breaks, the verifier finds it, the alarm is raised.
func TestForeignExtendIsFound(t *testing.T) {
	_, d := newTPM(t, 0)
	for _, name := range Steps[:5] {
		m := newMemory(t, d.Key())
		m.say(t, 1)
		must(t, run(t, d, m, nil))
		done := false
		step := func(at string) error {
			if at == name && !done {
				done = true
				return d.Extend(t.Context(), evidence.Sum([]byte("foreign")))
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		sealer, ended := newSealer(t, d, m, step), make(chan error, 1)
		go func() { ended <- sealer.Run(ctx) }()
		for range 2 {
			must(t, sealer.WaitSealed(ctx, m.say(t, 1)))
		}
		st := sealer.Status(ctx)
		cancel()
		must(t, <-ended)
		unproven, _ := m.check(t)
		if name == "quote" || name == "sealed" { // after the quote: seen with the next seal
			m.say(t, 1)
			must(t, run(t, d, m, nil))
			unproven, _ = m.check(t)
		} else if !st.Order || !st.Alarm {
			t.Errorf("%s: %+v", name, st)
		}
		if unproven != 1 {
			t.Errorf("%s: %d findings", name, unproven)
		}
	}
}

func TestDeadAndHangingTPMRaiseTheAlarmAndDoNotStopAnything(t *testing.T) {
	for _, kind := range []string{"dead", "hanging"} {
		s, d := newTPM(t, 200*time.Millisecond)
		m := newMemory(t, d.Key())
		tries := make(chan struct{}, 1)
		armed := make(chan struct{})
		step := func(name string) error {
			select {
			case <-armed:
			default:
				return nil
			}
			if name == "intent" {
				if kind == "dead" {
					s.Kill()
				} else {
					s.Stop()
				}
				armed = make(chan struct{})
				tries <- struct{}{}
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		sealer, ended := newSealer(t, d, m, step), make(chan error, 1)
		go func() { ended <- sealer.Run(ctx) }()
		must(t, sealer.WaitSealed(ctx, m.say(t, 1)))
		close(armed)
		last := m.say(t, 1)
		<-tries
		tick := time.NewTicker(time.Millisecond)
		for !sealer.Status(ctx).Alarm {
			<-tick.C
			last = m.say(t, 1)
		}
		tick.Stop()
		st := sealer.Status(ctx)
		if st.Err == nil || st.Unsealed == 0 || kind == "hanging" && !errors.Is(st.Err, device.ErrHanging) {
			t.Errorf("%s: %+v", kind, st)
		}
		if kind == "dead" {
			s.PowerOn()
		} else {
			s.Continue()
		}
		must(t, sealer.WaitSealed(ctx, last))
		if st := sealer.Status(ctx); st.Order {
			t.Errorf("%s: %+v", kind, st)
		}
		cancel()
		must(t, <-ended)
		if unproven, _ := m.check(t); unproven != 0 {
			t.Errorf("%s: %d findings", kind, unproven)
		}
	}
}

func TestSlowTPMGetsFewSeals(t *testing.T) {
	_, d := newTPM(t, 0)
	const delay = 200 * time.Millisecond
	m := newMemory(t, d.Key())
	sealer := newSealer(t, device.Delayed(d, delay), m, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sealer.Run(ctx) }()
	must(t, sealer.WaitSealed(ctx, 0))
	begun := time.Now()
	last := m.say(t, 2000)
	took := time.Since(begun)
	must(t, sealer.WaitSealed(ctx, last))
	cancel()
	must(t, <-ended)
	seals := len(m.seals)
	t.Logf("2000 statements appended in %v, all sealed in %v by %d seals", took, time.Since(begun), seals)
	if limit := 4 + int(took/delay); seals > limit {
		t.Errorf("%d seals, want at most %d", seals, limit)
	}
	if unproven, _ := m.check(t); unproven != 0 {
		t.Error(unproven)
	}
}

func TestGatherSpacesSeals(t *testing.T) {
	d, err := device.OpenSoftware(filepath.Join(t.TempDir(), "key"))
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, d.Key())
		sealer := newSealer(t, d, m, nil)
		sealer.config.Gather = time.Second
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- sealer.Run(ctx) }()
		begun := time.Now()
		for range 5 {
			must(t, sealer.WaitSealed(ctx, m.say(t, 1)))
		}
		if took := time.Since(begun); took < 4*time.Second || took > 6*time.Second {
			t.Error(took)
		}
		cancel()
		must(t, <-ended)
	})
}

// A backlog longer than one seal may cover, after a start and after a reset. See the exception in the package's doc.
func TestLongBacklog(t *testing.T) {
	s, d := newTPM(t, 0)
	for _, reset := range []bool{false, true} {
		m := newMemory(t, d.Key())
		must(t, run(t, d, m, nil))
		m.say(t, 2*evidence.MaxSealedStatements+100)
		if reset {
			s.PowerCycle()
		}
		before := len(m.seals)
		must(t, run(t, d, m, nil))
		a, err := d.Key().CheckSeal(&m.seals[before-1])
		must(t, err)
		b, err := d.Key().CheckSeal(&m.seals[before])
		must(t, err)
		from := a.ChainValue
		if reset {
			from = evidence.Digest{}
		}
		if (a.Reset != b.Reset) != reset || b.ChainValue != attestation.Extend(from, m.seals[before].Head) {
			t.Errorf("reset %v: %+v then %+v", reset, a, b)
		}
		if unproven, boots := m.check(t); unproven != 0 || boots != 2 {
			t.Errorf("reset %v: %d findings, %d boots", reset, unproven, boots)
		}
	}
}

func TestSoftwareClass(t *testing.T) {
	d, err := device.OpenSoftware(filepath.Join(t.TempDir(), "key"))
	must(t, err)
	for n := range 7 {
		m := newMemory(t, d.Key())
		m.say(t, 3)
		if err := run(t, d, m, crashAt(n)); err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		m.say(t, 3)
		must(t, run(t, d, m, nil))
		if _, boots := m.check(t); boots == 0 || m.intent != nil {
			t.Fatal(fmt.Sprint(boots, m.intent))
		}
	}
}

func TestRunSealsWhatIsThereWhenItEnds(t *testing.T) {
	_, d := newTPM(t, 0)
	m := newMemory(t, d.Key())
	m.say(t, 5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newSealer(t, d, m, nil)
	must(t, s.Run(ctx))
	m.check(t)
	if err := s.Run(ctx); !errors.Is(err, ErrRunning) {
		t.Error(err)
	}
	if err := s.WaitSealed(t.Context(), m.say(t, 1)); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
}
