package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"camseal/agent/internal/spool"
	"camseal/pkg/tlog"
)

const (
	anchorFresh  = time.Minute     // a younger anchor serves the next opening too
	anchorAtMost = time.Hour       // between two anchors while the agent runs
	anchorWait   = 2 * time.Second // how long an opening waits for a server that was there a moment ago
	keyAnchor    = "anchor"
)

// Anchor puts the log's newest checkpoint into the chain, so that what follows was provably sealed after it. It does nothing if that
// was done within the last minute or the server is known to be away, and gives up soon if it does not answer.
func (u *Uplink) Anchor(ctx context.Context) { u.anchor(ctx, anchorFresh) }

func (u *Uplink) anchor(ctx context.Context, fresh time.Duration) {
	u.anchoring.Lock()
	defer u.anchoring.Unlock()
	branch := u.Spool.Branch()
	age := u.Now().Sub(u.anchored)
	if u.down.Load() || !u.anchored.IsZero() && u.branch == branch && age >= 0 && age < fresh {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, anchorWait)
	defer cancel()
	signed, err := u.Client.Checkpoint(ctx)
	if err != nil {
		u.down.Store(true) // until something gets through
		u.Logger.DebugContext(ctx, "no anchor: "+err.Error())
		return
	}
	c, err := tlog.OpenCosigned(signed, u.Log)
	if err == nil {
		err = u.Spool.Anchor(ctx, string(signed), c.Size, c.Root)
	}
	var split *spool.SplitError
	switch {
	case err == nil:
		u.anchored, u.branch = u.Now(), branch
		u.alarms.clear(ctx, keyAnchor)
	case errors.Is(err, spool.ErrOldAnchor):
		u.Logger.WarnContext(ctx, "the server shows an older checkpoint than before; it is left out", slog.Int64("size", c.Size))
	case errors.As(err, &split), c == tlog.Checkpoint{}:
		u.alarms.raise(ctx, Alarm{Key: keyAnchor, What: fmt.Sprintf("the checkpoint that %s shows is not one of our log: %v", u.Server, err), Kept: allKept,
			Do: "look at the server and its log; keep this device's state folder as it is"})
	default:
		u.Logger.WarnContext(ctx, "no anchor", slog.Any("error", err))
	}
}

// upkeep calls Upkeep in turns, and when the server is there again.
func (u *Uplink) upkeep(ctx context.Context) {
	turn := time.NewTicker(anchorFresh)
	defer turn.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		case <-u.met:
		}
		u.filling(ctx)
		u.Upkeep(ctx)
	}
}

// Upkeep does what is due, if the server can be reached: it renews the certificate, and makes an anchor when the last is an hour old.
func (u *Uplink) Upkeep(ctx context.Context) {
	u.mu.Lock()
	synced := u.synced
	u.mu.Unlock()
	if synced {
		u.renew(ctx)
		u.anchor(ctx, anchorAtMost)
	}
}
