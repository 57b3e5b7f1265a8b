package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"camseal/agent/internal/seal"
	"camseal/agent/internal/source"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// againWait is how long what could not be taken in again is left alone.
const againWait = 5 * time.Second

func (n *node) currentSealer() *seal.Sealer {
	n.sealerMu.Lock()
	defer n.sealerMu.Unlock()
	return n.sealer
}

// endSealer ends the sealer, if there is one, and waits for it.
func (n *node) endSealer() {
	n.sealerMu.Lock()
	stop := n.stopSealer
	n.sealerMu.Unlock()
	if stop != nil {
		stop()
		n.sealing.Wait()
	}
}

// counted says a counted statement through the sealer of the moment.
func (n *node) counted(ctx context.Context, say func(value string) error) error {
	for {
		n.sealerMu.Lock()
		sealer, replaced := n.sealer, n.replaced
		n.sealerMu.Unlock()
		err := sealer.Counted(ctx, say)
		if !errors.Is(err, seal.ErrStopped) {
			return err
		}
		select {
		case <-replaced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// goOn has a new sealer say its boot statement where the chain is to go on. While the TPM does not answer, all goes on as before, and the
// boot is said when it does.
func (n *node) goOn(ctx context.Context, a spool.Adoption) error {
	n.log.WarnContext(ctx, "the server has other statements of this device; the chain goes on after its last one, and what conflicts goes to quarantine",
		slog.Uint64("after", a.Seq))
	n.endSealer()
	n.spool.Adopt(a)
	branch := n.spool.Branch()
	n.startSealer(n.ctx)
	for {
		changed := n.spool.Changed()
		if n.spool.Branch() > branch {
			return nil
		}
		timer := time.NewTimer(bootWait)
		select {
		case <-changed:
			timer.Stop()
		case <-timer.C:
			return errors.New("the TPM does not answer")
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// queueAgain has a recording that stayed behind taken in again.
func (n *node) queueAgain(ctx context.Context, id evidence.RecordingID) {
	select {
	case n.again <- id:
	case <-ctx.Done():
	}
}

// takeAgain takes in again what stayed behind, one after the other, until ctx ends. What can't be now comes up again later.
func (n *node) takeAgain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-n.again:
			err := n.taker.Again(ctx, id)
			if err == nil || ctx.Err() != nil {
				continue
			}
			wait := againWait
			if errors.Is(err, source.ErrBusy) {
				wait = inUseTry
			} else {
				n.log.ErrorContext(ctx, "what is held of a recording can't be taken in again yet; it is kept", slog.Any("error", err))
			}
			n.up.Go(func() {
				timer := time.NewTimer(wait)
				defer timer.Stop()
				select {
				case <-ctx.Done():
				case <-timer.C:
					n.queueAgain(ctx, id)
				}
			})
		}
	}
}
