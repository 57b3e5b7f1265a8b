package dock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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

// Book is the department's register as the server said it last; it is kept for when the server is away. Its methods are safe for concurrent use.
type Book struct {
	spool  *spool.Spool
	server Registrar
	log    *slog.Logger
	told   func() // called when another one came

	mu       sync.Mutex
	register *transport.Register
}

// Registrar gives the register. *uplink.Client is one.
type Registrar interface {
	Register(ctx context.Context, version evidence.Digest) (transport.Register, error)
}

// OpenBook returns the register that was kept, if there is one.
func OpenBook(sp *spool.Spool, server Registrar, log *slog.Logger) (*Book, error) {
	b := &Book{spool: sp, server: server, log: log, told: func() {}}
	raw, err := sp.Kept(registerName)
	if errors.Is(err, spool.ErrNotFound) {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	var r transport.Register
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	b.register = &r
	return b, nil
}

// Register returns the register that was received last; nil: none was.
func (b *Book) Register(context.Context) *transport.Register {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.register
}

// Follow asks the server for the register now and then, until ctx ends.
func (b *Book) Follow(ctx context.Context) {
	for {
		wait := registerEvery
		if err := b.fetch(ctx); err != nil && ctx.Err() == nil {
			b.log.DebugContext(ctx, "the register can't be fetched; the one that is kept goes on", slog.Any("error", err))
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

func (b *Book) fetch(ctx context.Context) error {
	var version evidence.Digest
	if old := b.Register(ctx); old != nil {
		version = old.Version
	}
	r, err := b.server.Register(ctx, version)
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
	if err := b.spool.Keep(registerName, raw); err != nil {
		return err
	}
	b.mu.Lock()
	b.register = &r
	b.mu.Unlock()
	b.told()
	b.log.InfoContext(ctx, "register of officers received", slog.Int("officers", len(r.Officers)))
	return nil
}

// Register returns the register that was received last; nil: none was.
func (d *Dock) Register(ctx context.Context) *transport.Register { return d.book.Register(ctx) }

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
