package catalog

import (
	"context"
	"fmt"
	"time"

	"camseal/server/internal/catalog/db"
)

// Incomplete returns up to n recordings that are not whole or report faults, the newest first, and how many there are.
func (c *Catalog) Incomplete(ctx context.Context, n int) (out []Listed, count int64, err error) {
	rows, err := c.q.Incomplete(ctx, int32(n))
	if err == nil {
		count, err = c.q.CountIncomplete(ctx)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list incomplete recordings: %w", err)
	}
	for _, r := range rows {
		out = append(out, Listed{Recording: r.Recording, Class: r.Class})
	}
	return out, count, nil
}

// LateHeaders returns how many recordings had to have a case header by now and have none.
func (c *Catalog) LateHeaders(ctx context.Context, now time.Time, deadline time.Duration) (int64, error) {
	n, err := c.q.CountLateHeaders(ctx, now.Add(-deadline).UnixMilli())
	if err != nil {
		return 0, fmt.Errorf("count late headers: %w", err)
	}
	return n, nil
}

// AllGaps returns up to n stretches of counter values that never arrived, by device.
func (c *Catalog) AllGaps(ctx context.Context, n int) ([]db.Gap, error) {
	rows, err := c.q.AllGaps(ctx, int32(n))
	if err != nil {
		return nil, fmt.Errorf("list counter gaps: %w", err)
	}
	return rows, nil
}

// AllForks returns up to n statements that contradicted an accepted one, the newest first.
func (c *Catalog) AllForks(ctx context.Context, n int) ([]db.Fork, error) {
	rows, err := c.q.AllForks(ctx, int32(n))
	if err != nil {
		return nil, fmt.Errorf("list forks: %w", err)
	}
	return rows, nil
}
