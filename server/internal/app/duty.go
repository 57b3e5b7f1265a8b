package app

import (
	"context"
	"log/slog"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
)

const (
	commandsBefore  = 100 // events that are looked at
	maxCustodyEvent = 128 << 10
)

// commanded returns what was recorded of a device's recorder on duty, the newest first, once all of it is known. An event that can't be read is left
// out, and said so.
func (c *core) commanded(ctx context.Context, id evidence.DeviceID) (out []evidence.CustodyEvent, err error) {
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	rows, err := c.catalog.OnDuty(ctx, id, commandsBefore)
	for _, row := range rows {
		var ev evidence.CustodyEvent
		hash, err := evidence.ParseDigest(row.Event)
		if err == nil {
			var raw []byte
			if raw, err = archive.Read(ctx, c.vault, archive.Ref{Key: archive.CustodyKey(hash), Hash: hash}, maxCustodyEvent); err == nil {
				err = evidence.Decode(raw, &ev)
			}
		}
		if err != nil {
			c.slog.ErrorContext(ctx, "a custody event can't be read", slog.Int64("log_index", row.LogIndex), slog.Any("error", err))
			continue
		}
		out = append(out, ev)
	}
	return out, err
}
