package catalog

import (
	"context"
	"fmt"

	"camseal/server/internal/catalog/db"
)

// BootsDuring returns up to n starts of the device's system between the first and the last statement about a recording, in order.
func (c *Catalog) BootsDuring(ctx context.Context, r db.Recording, n int) ([]db.Boot, error) {
	rows, err := c.q.BootsBetween(ctx, db.BootsBetweenParams{Device: r.Device, After: r.OpenSeq, Before: r.LastSeq, Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("read boots during %s: %w", r.Rec, err)
	}
	return rows, nil
}
