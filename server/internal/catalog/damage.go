package catalog

import (
	"context"
	"fmt"
	"strconv"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// Custody events about what the vault holds of a recording. Both name device and recording, and DetailPart.
const (
	ActFoundDamaged = "found-damaged" // a part is not what was sealed, or (DetailGone) is not there
	ActFoundSound   = "found-sound"   // and is again
)

// Members of these events' detail.
const (
	DetailPart = "part" // index of the chunk
	DetailGone = "gone" // "yes" if the vault does not hold it
)

func applyDamage(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	part, err := strconv.ParseInt(ev.Detail[DetailPart], 10, 64)
	if err != nil {
		return nil // not an event of ours
	}
	if ev.Act == ActFoundSound {
		return q.DeleteDamage(ctx, db.DeleteDamageParams{Device: ev.Device.String(), Rec: ev.Rec.String(), Part: part})
	}
	return q.PutDamage(ctx, db.PutDamageParams{Device: ev.Device.String(), Rec: ev.Rec.String(), Part: part, Gone: number(ev.Detail[DetailGone] != ""),
		At: ev.At, LogIndex: int64(e.Index)})
}

// DamagesOf returns up to n parts of a recording that were found damaged, in order.
func (c *Catalog) DamagesOf(ctx context.Context, device, rec string, n int) ([]db.Damage, error) {
	rows, err := c.q.DamagesOf(ctx, db.DamagesOfParams{Device: device, Rec: rec, Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("damages of recording %s: %w", rec, err)
	}
	return rows, nil
}

// Damaged returns up to n parts that were found damaged with their recordings, the newest finding first.
func (c *Catalog) Damaged(ctx context.Context, n int) ([]db.DamagedRow, error) {
	rows, err := c.q.Damaged(ctx, int32(n))
	if err != nil {
		return nil, fmt.Errorf("damaged recordings: %w", err)
	}
	return rows, nil
}

// DamagedRecordings returns up to n recordings of which a part was found damaged.
func (c *Catalog) DamagedRecordings(ctx context.Context, n int) (map[string]bool, error) {
	rows, err := c.q.DamagedRecordings(ctx, int32(n))
	if err != nil {
		return nil, fmt.Errorf("damaged recordings: %w", err)
	}
	out := make(map[string]bool, len(rows))
	for _, rec := range rows {
		out[rec] = true
	}
	return out, nil
}
