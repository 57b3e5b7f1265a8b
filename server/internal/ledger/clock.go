package ledger

import (
	"crypto/rand"
	"fmt"
	"strings"

	"camseal/pkg/tlog"
)

// clockSuffix parts the name of the server's clock from its log's.
const clockSuffix = "/clock"

// NewClockKey makes a key for the clock of the server that runs this log, and returns its signer key (secret) and verifier key.
func NewClockKey(logVKey tlog.Key) (skey string, vkey tlog.Key, err error) {
	name, _, _ := strings.Cut(logVKey, "+")
	return tlog.GenerateCosigner(rand.Reader, name+clockSuffix)
}

// ClockVKey reads a signer key of NewClockKey and returns the verifier key that belongs to it.
func ClockVKey(skey string) (tlog.Key, error) {
	k, err := tlog.NewCosignerKey(skey, nil)
	if err != nil {
		return "", fmt.Errorf("clock key: %w", err)
	}
	return k.VKey(), nil
}

// openClock reads the clock's key; without one, checkpoints carry no time of the server.
func (l *Ledger) openClock() (err error) {
	if l.cfg.ClockKey == "" {
		return nil
	}
	if l.clock, err = tlog.NewCosignerKey(l.cfg.ClockKey, l.cfg.Now); err != nil {
		return fmt.Errorf("clock key: %w", err)
	}
	if want := l.verifier.Name() + clockSuffix; l.clock.Name() != want {
		return fmt.Errorf("clock key: it is of %s, this log's clock is %s", l.clock.Name(), want)
	}
	return nil
}

// stamped is the checkpoint with the line of the server's clock. One that lies in the vault with such a line keeps it.
func (l *Ledger) stamped(c checkpoint) (checkpoint, error) {
	if l.clock == nil {
		return c, nil
	}
	if l.found.Checkpoint == c.Checkpoint {
		if _, ok, err := l.clock.Verify(l.found.raw); ok && err == nil {
			return l.found, nil
		}
	}
	raw, err := l.clock.Cosign(c.raw)
	if err != nil {
		return c, fmt.Errorf("sign checkpoint over %d leaves by the clock: %w", c.Size, err)
	}
	c.raw = raw
	return c, nil
}

// Newest returns the newest checkpoint, a signed note: the newest with the quorum of witnesses if there is one, else the newest
// signed. It is nil before the first.
func (l *Ledger) Newest() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.witnessed.raw != nil {
		return l.witnessed.raw
	}
	return l.latest.raw
}
