package seal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"camseal/pkg/attestation/device"
)

var (
	errAstray    = fmt.Errorf("%w, or counted", errMoved)
	errNoCounter = errors.New("the TPM's counter, which this device enrolled with, is gone or can't be used; what is recorded is kept: enrol the device again, in a new state folder")
)

// found is the counter as it was read.
type found struct {
	text   string // decimal; empty if the device has no counter
	astray bool   // the chain does not account for it
}

// Counted lets say append one counted statement: an intake, or an open in capture mode. value is what its counter must be, empty if
// the device has no counter; the store refuses any other (ErrUncounted). say is called by one caller at a time, when this run has said its
// boot statement and all earlier counted statements have their count records, and not at all if that does not happen before ctx or the sealer
// ends; again if a boot statement came between. The counter is read first, so that a value which somebody else took does not pass for ours; while the TPM does
// not answer, the statement is said all the same. Its count record is made after the next seal. Errors: say's, the context's, ErrStopped.
func (s *Sealer) Counted(ctx context.Context, say func(value string) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var refused error // why the store did not take the value tried
	tried := ""
	for {
		s.mu.Lock()
		ended, changed := s.ended, s.changed
		s.mu.Unlock()
		value, ok, err := s.nextCount(ctx)
		if err != nil {
			return fmt.Errorf("next count: %w", err)
		}
		if ended && value != "" {
			return ErrStopped
		}
		if ok {
			if refused != nil && value == tried {
				return refused
			}
			if refused = say(value); !errors.Is(refused, ErrUncounted) {
				return refused
			}
			tried = value
			continue
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

// nextCount returns the value that a counted statement must name now; ok is false if it must wait.
func (s *Sealer) nextCount(ctx context.Context) (value string, ok bool, err error) {
	c, err := s.config.Store.Counts(ctx)
	if err != nil || c == nil {
		return "", err == nil, err
	}
	s.mu.Lock()
	looked := s.looked
	s.mu.Unlock()
	value, ok = c.Next()
	if !looked || !ok {
		return "", false, nil
	}
	now, err := s.value(ctx)
	if ctx.Err() != nil {
		return "", false, ctx.Err()
	}
	if err == nil && now != *c.Value {
		s.mu.Lock()
		s.looked = false // until a boot statement says what was found
		s.mu.Unlock()
		select {
		case s.look <- struct{}{}:
		default:
		}
		return "", false, nil
	}
	return value, true, nil
}

// lookedAt lets callers of Counted go on if ok.
func (s *Sealer) lookedAt(ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && !s.looked {
		s.looked = true
		s.wake()
	}
}

// value reads the counter.
func (s *Sealer) value(ctx context.Context) (uint64, error) {
	id, ok := s.config.TPM.(device.Identity)
	if !ok {
		return 0, errNoCounter
	}
	ref, value, err := id.Counter(ctx)
	if err == nil && ref == nil {
		err = errNoCounter
	}
	return value, err
}

// readCounter reads the counter for a boot statement, and raises the alarm if the chain does not account for its value.
func (s *Sealer) readCounter(ctx context.Context) (found, error) {
	c, err := s.config.Store.Counts(ctx)
	if err != nil {
		return found{}, fmt.Errorf("read counts: %w", err)
	}
	if c == nil {
		return found{}, nil
	}
	value, err := s.value(ctx)
	if err != nil {
		return found{}, err
	}
	f := found{text: strconv.FormatUint(value, 10), astray: !c.accounts(value)}
	if f.astray {
		s.mu.Lock()
		s.astray = true
		s.mu.Unlock()
		s.config.Log.ErrorContext(ctx, "the TPM's counter is at a value that this chain does not account for; everything is kept, and the next boot statement says it: was an old state folder put back, or does another agent use this TPM?",
			slog.Uint64("counter", value), slog.Uint64("chain", *c.Value))
	}
	return f, nil
}

// count makes the count records of what is sealed. errMoved says that the counter is elsewhere.
func (s *Sealer) count(ctx context.Context) error {
	for !s.owed { // while a boot statement is owed, the counter may be elsewhere
		c, err := s.config.Store.Counts(ctx)
		if err != nil {
			return fmt.Errorf("read counts: %w", err)
		}
		s.mu.Lock()
		sealed := s.sealed
		s.mu.Unlock()
		if c == nil || len(c.Owed) == 0 || c.Owed[0].Seq >= sealed {
			return nil
		}
		if err := s.countOne(ctx, c); err != nil {
			return fmt.Errorf("statement %d: %w", c.Owed[0].Seq, err)
		}
	}
	return nil
}

// countOne makes the oldest record that is owed.
func (s *Sealer) countOne(ctx context.Context, c *Counts) error {
	owed := c.Owed[0]
	if err := s.step("count"); err != nil {
		return err
	}
	value, err := s.value(ctx)
	if err != nil {
		return err
	}
	id := s.config.TPM.(device.Identity) // value read it
	if c.due(value) {
		if err := id.Increment(ctx); err != nil {
			return err
		}
		value++
	}
	if err := s.step("increment"); err != nil {
		return err
	}
	if !c.accounts(value) {
		return errAstray
	}
	record, err := id.Count(ctx, owed.Seq, owed.Head)
	if err != nil {
		return err
	}
	if err := s.step("certify"); err != nil {
		return err
	}
	got, err := s.config.TPM.Key().CheckCount(&record, owed.Head)
	if err != nil {
		return err
	}
	if got.Value != value {
		return errAstray
	}
	if err := s.config.Store.PutCount(ctx, record, value); err != nil {
		return fmt.Errorf("store count: %w", err)
	}
	s.mu.Lock()
	s.wake()
	s.mu.Unlock()
	return s.step("counted")
}
