package dock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"camseal/agent/internal/spool"
	"camseal/agent/internal/uplink"
	"camseal/pkg/evidence"
	"camseal/pkg/register"
	"camseal/pkg/transport"
)

const (
	registerName  = "register"
	registerEvery = 5 * time.Minute
	registerSoon  = 20 * time.Second // after a failure
	maxAttempts   = 5                // sign-ins that fail in attemptsIn
	attemptsIn    = time.Minute
)

// Register returns the register that was received last; nil: none was.
func (d *Dock) Register(context.Context) *transport.Register {
	d.registerMu.Lock()
	defer d.registerMu.Unlock()
	return d.register
}

func (d *Dock) readRegister() error {
	raw, err := d.Spool.Kept(registerName)
	if errors.Is(err, spool.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var r transport.Register
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	d.register = &r
	return nil
}

// followRegister asks the server for the register now and then, and keeps it for when the server is away.
func (d *Dock) followRegister(ctx context.Context) {
	for d.Server != nil {
		wait := registerEvery
		if err := d.fetchRegister(ctx); err != nil && ctx.Err() == nil {
			d.Logger.DebugContext(ctx, "the register can't be fetched; the one that is kept goes on", slog.Any("error", err))
			wait = registerSoon
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (d *Dock) fetchRegister(ctx context.Context) error {
	var version evidence.Digest
	if old := d.Register(ctx); old != nil {
		version = old.Version
	}
	r, err := d.Server.Register(ctx, version)
	if errors.Is(err, uplink.ErrSame) || errors.Is(err, uplink.ErrNoRegister) {
		return nil
	}
	if err != nil {
		return err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := d.Spool.Keep(registerName, raw); err != nil {
		return err
	}
	d.registerMu.Lock()
	d.register = &r
	d.registerMu.Unlock()
	d.changedNow()
	d.Logger.InfoContext(ctx, "register of officers received", slog.Int("officers", len(r.Officers)))
	return nil
}

// SignIn finds the officer with this card, or with this certificate number and PIN. Errors: ErrNoRegister, ErrTooMany, ErrSignIn.
func (d *Dock) SignIn(ctx context.Context, card, certificate, pin string) (Officer, error) {
	reg := d.Register(ctx)
	if reg == nil {
		return Officer{}, ErrNoRegister
	}
	now := d.Now()
	d.registerMu.Lock()
	for len(d.attempts) > 0 && now.Sub(d.attempts[0]) > attemptsIn {
		d.attempts = d.attempts[1:]
	}
	many := len(d.attempts) >= maxAttempts
	d.attempts = append(d.attempts, now) // taken back when it succeeds: many at once count too
	d.registerMu.Unlock()
	if many {
		return Officer{}, ErrTooMany
	}
	o, ok := find(reg, card, certificate, pin)
	if !ok {
		d.Logger.WarnContext(ctx, "a sign-in at the dock failed")
		return Officer{}, ErrSignIn
	}
	d.registerMu.Lock()
	if n := len(d.attempts); n > 0 {
		d.attempts = d.attempts[:n-1]
	}
	d.registerMu.Unlock()
	return Officer{Name: o.Name, Certificate: o.Certificate, Department: o.Department, Valid: o.Valid(now)}, nil
}

func find(reg *transport.Register, card, certificate, pin string) (transport.Officer, bool) {
	if card != "" {
		return register.ByCard(reg, card)
	}
	return register.ByPIN(reg, certificate, pin)
}
