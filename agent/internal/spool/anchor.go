package spool

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/evidence"
)

// ErrOldAnchor says that the chain has an anchor of a larger log already.
var ErrOldAnchor = errors.New("the chain has a newer anchor")

// SplitError says that a checkpoint contradicts an anchor in the chain: one size, two roots.
type SplitError struct {
	Size           int64
	Anchored, Seen tlog.Hash
}

func (e *SplitError) Error() string {
	return fmt.Sprintf("at size %d it has root %s, and had %s before", e.Size, e.Seen, e.Anchored)
}

// anchor is the newest anchor of the chain.
type anchor struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
}

// Anchor appends an anchor with a checkpoint that was checked, of that size and root. Durable. It waits until the newest boot statement is
// sealed: what a bundle shows begins at the seal ahead of an anchor, and needs not tell of a boot then. Errors: ErrOldAnchor and
// *SplitError, when it does not go on from the last one; ErrFull; the context's.
func (s *Spool) Anchor(ctx context.Context, signed string, size int64, root tlog.Hash) error {
	last, err := s.bootSealed(ctx)
	if err != nil {
		return err
	}
	switch {
	case size < last.Size:
		return ErrOldAnchor
	case size == last.Size && last.Size > 0 && root != last.Root:
		return &SplitError{size, last.Root, root}
	}
	_, err = s.Append(ctx, Entry{Body: &evidence.Anchor{Checkpoint: signed}, anchor: &anchor{size, root}})
	return err
}

// bootSealed waits until the newest boot is sealed, and returns the last anchor.
func (s *Spool) bootSealed(ctx context.Context) (anchor, error) {
	for {
		s.mu.Lock()
		m, changed := s.meta, s.changed
		s.mu.Unlock()
		if m.Sealed > m.Boot {
			return m.Anchor, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return anchor{}, fmt.Errorf("wait for the boot's seal: %w", ctx.Err())
		}
	}
}
