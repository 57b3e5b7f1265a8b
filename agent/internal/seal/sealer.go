package seal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"camseal/pkg/attestation/device"
	"camseal/pkg/evidence"
)

// Defaults of Config.
const (
	DefaultMaxUnsealed = 30 * time.Second
	DefaultDrain       = 10 * time.Second
	DefaultRetry       = 100 * time.Millisecond
	maxRetry           = 5 * time.Second
)

// Errors to decide on.
var (
	ErrStopped = errors.New("the sealer has ended; what is unsealed is kept and is sealed at the next start")
	ErrRunning = errors.New("this sealer was started before")
)

// errMoved says that the TPM is not in the state that the sealer left it in.
var errMoved = errors.New("the TPM was reset, or something else extended the chain PCR")

// Config says what to seal and how.
type Config struct {
	TPM         device.TPM
	Store       Store
	Software    string // name and version of the agent, for boot statements
	Log         *slog.Logger
	Now         func() time.Time
	MaxUnsealed time.Duration // statements unsealed for longer raise the alarm; 0: DefaultMaxUnsealed
	Drain       time.Duration // how long Run may go on sealing after its context ended; 0: DefaultDrain
	Retry       time.Duration // first wait after an error; it doubles up to 5 s; 0: DefaultRetry
	Gather      time.Duration // least time between the beginnings of two seals; 0: as fast as the TPM can
	// Step, for tests, is called between the steps; an error ends Run on the spot, as a crash would.
	Step func(step string) error
}

// Steps are the names that Config.Step is called with, in the order of one seal; "boot" follows an appended boot statement.
// The last four belong to one count record; "count" comes before the counter is read.
var Steps = []string{"begin", "intent", "extend", "quote", "sealed", "boot", "count", "increment", "certify", "counted"}

// Sealer is the one sealer of a device. Run does the work; the other methods are safe for concurrent use.
type Sealer struct {
	config  Config
	started atomic.Bool
	turn    chan struct{} // holds a value while Counted runs
	look    chan struct{} // has a value when Run is to look at the counter

	// Only Run's goroutine uses these.
	base   state // what the TPM must be in: the last seal's or boot's
	booted bool  // this run's boot statement is durable
	owed   bool  // a boot statement must be appended once the backlog fits under one seal
	dirty  bool  // the TPM or the intent may not be as base says

	mu      sync.Mutex
	sealed  uint64        // statements below this seq are sealed
	since   time.Time     // no statement has been unsealed for longer than from here on; zero: all sealed
	failing error         // of the last try
	moved   bool          // an unexplained chain PCR value was found
	astray  bool          // an unexplained counter value was found
	looked  bool          // a boot statement of this run says the counter's value, or nothing else was seen since
	seals   uint64        // stored by this sealer
	ended   bool          // Run has returned
	changed chan struct{} // closed and replaced when sealed or ended change, or a count record is stored
}

// New returns a sealer that does nothing yet.
func New(config Config) *Sealer {
	if config.MaxUnsealed == 0 {
		config.MaxUnsealed = DefaultMaxUnsealed
	}
	if config.Drain == 0 {
		config.Drain = DefaultDrain
	}
	if config.Retry == 0 {
		config.Retry = DefaultRetry
	}
	if config.Step == nil {
		config.Step = func(string) error { return nil }
	}
	return &Sealer{config: config, turn: make(chan struct{}, 1), look: make(chan struct{}, 1), dirty: true, changed: make(chan struct{})}
}

// Status is how sealing goes.
type Status struct {
	Sealed   uint64        // statements with a lower seq are sealed
	Unsealed uint64        // statements that are not
	Age      time.Duration // at most this long has the oldest of them waited, since this sealer started
	Seals    uint64        // stored by this sealer
	Err      error         // why the last try failed; nil when it went well
	Order    bool          // the chain PCR held a value that no own head explains
	Owed     int           // counted statements without their count record
	Counter  bool          // the TPM's counter was at a value that this chain does not account for
	Alarm    bool          // any of: Err, Order, Counter, Age above Config.MaxUnsealed
}

// Status reports how sealing goes.
func (s *Sealer) Status(ctx context.Context) Status {
	tip, err := s.config.Store.Tip(ctx)
	counts, errCounts := s.config.Store.Counts(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Sealed: s.sealed, Seals: s.seals, Err: s.failing, Order: s.moved, Counter: s.astray}
	if err := errors.Join(err, errCounts); err != nil {
		st.Err = errors.Join(st.Err, err)
	}
	if counts != nil {
		st.Owed = len(counts.Owed)
	}
	if tip > s.sealed {
		st.Unsealed = tip - s.sealed
		if s.since.IsZero() {
			s.since = s.config.Now()
		}
		st.Age = s.config.Now().Sub(s.since)
	}
	st.Alarm = st.Err != nil || st.Order || st.Counter || st.Age > s.config.MaxUnsealed
	return st
}

// WaitSealed returns nil once a stored seal covers the statement with number seq. Errors: the context's, or ErrStopped.
func (s *Sealer) WaitSealed(ctx context.Context, seq uint64) error {
	for {
		s.mu.Lock()
		sealed, ended, changed := s.sealed, s.ended, s.changed
		s.mu.Unlock()
		if sealed > seq {
			return nil
		}
		if ended {
			return ErrStopped
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run takes up what the last run left, appends a boot statement, and seals until ctx ends; then it seals what is there,
// within Config.Drain, and returns. It tries again after errors of the TPM or the store for as long as ctx lasts; Status shows them. The
// error is why the last try failed, nil if all is sealed. Run can be called once.
func (s *Sealer) Run(ctx context.Context) error {
	if s.started.Swap(true) {
		return ErrRunning
	}
	defer s.end()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		timer := time.NewTimer(s.config.Drain)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-work.Done():
		}
	})()
	retry := s.config.Retry
	for {
		last := ctx.Err() != nil
		err := s.sealAll(ctx, work)
		var crash *crashed
		if last || errors.As(err, &crash) {
			return err
		}
		s.note(ctx, err)
		if err == nil {
			retry = s.config.Retry
			select {
			case <-s.config.Store.Notify():
			case <-s.look:
				s.dirty = true
			case <-ctx.Done():
			}
			continue
		}
		pause(ctx, retry)
		retry = min(2*retry, maxRetry)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// note keeps err for Status and logs when it begins and ends.
func (s *Sealer) note(ctx context.Context, err error) {
	s.mu.Lock()
	before := s.failing
	s.failing = err
	s.mu.Unlock()
	switch {
	case err != nil && before == nil:
		s.config.Log.ErrorContext(ctx, "sealing stands still, recording goes on", slog.Any("error", err))
	case err == nil && before != nil:
		s.config.Log.InfoContext(ctx, "sealing goes on")
	}
}

func (s *Sealer) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.wake()
}

// wake tells waiters to look again. s.mu is held.
func (s *Sealer) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// announce tells waiters that all up to and including upto is sealed. Statements not covered came after begun.
func (s *Sealer) announce(upto uint64, begun time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = upto + 1
	s.since = begun
	s.wake()
}

// sealAll brings the TPM into a known state, then seals and counts until nothing is left. outer only shortens waiting.
func (s *Sealer) sealAll(outer, ctx context.Context) error {
	moved := 0
	for {
		if s.dirty || s.owed {
			if err := s.settle(ctx); err != nil {
				return err
			}
			s.dirty = false
		}
		gathered := time.NewTimer(s.config.Gather)
		more, err := s.sealNext(ctx)
		if err == nil {
			err = s.count(ctx)
			var crash *crashed
			if err != nil && more && !errors.Is(err, errMoved) && !errors.As(err, &crash) {
				s.note(ctx, err) // it is tried again after the next seal, and when all is sealed
				err = nil
			}
		}
		if err != nil {
			s.dirty = true
			if moved++; errors.Is(err, errMoved) && moved < 3 {
				continue
			}
			return err
		}
		if !more {
			return nil
		}
		moved = 0
		if s.config.Gather > 0 {
			select {
			case <-gathered.C:
			case <-outer.Done():
			}
		}
	}
}

// sealNext makes the next seal. It returns false when all is sealed.
func (s *Sealer) sealNext(ctx context.Context) (bool, error) {
	begun := s.config.Now()
	upto, head, ok, err := s.config.Store.NextHead(ctx)
	if err != nil {
		return false, fmt.Errorf("next head: %w", err)
	}
	s.mu.Lock()
	switch {
	case !ok:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = begun
	}
	s.mu.Unlock()
	if !ok {
		return false, nil
	}
	if err := s.seal(ctx, upto, head, begun); err != nil {
		return true, fmt.Errorf("seal up to %d: %w", upto, err)
	}
	return true, nil
}

// crashed is what Config.Step asked for.
type crashed struct{ error }

func (c *crashed) Unwrap() error { return c.error }

func (s *Sealer) step(name string) error {
	if err := s.config.Step(name); err != nil {
		return &crashed{err}
	}
	return nil
}

// tpm reports whether there is a chain PCR at all.
func (s *Sealer) tpm() bool { return s.config.TPM.Key().Class() == evidence.ClassTPM }
