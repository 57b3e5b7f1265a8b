package catalog

import (
	"context"
	"fmt"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog/db"
)

// FleetDevice is a device with what is known of its state.
type FleetDevice = db.FleetDevicesRow

// Work is what a device took in since some time, and what of it was late.
type Work = db.DeviceWorkRow

// Deadlines say what is late.
type Deadlines struct {
	Export time.Duration // from a file's own time to its sealing (R6)
	Header time.Duration // from there to its case header
}

// Fleet returns up to n devices, the one not heard of for longest first, that come after the device with this id last heard of at this log
// index; (-2, "") begins.
func (c *Catalog) Fleet(ctx context.Context, seenIndex int64, device string, n int) ([]FleetDevice, error) {
	rows, err := c.q.FleetDevices(ctx, db.FleetDevicesParams{After: seenIndex, AfterDevice: device, Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return rows, nil
}

// CountFleet returns how many devices there are, and how many of them were revoked.
func (c *Catalog) CountFleet(ctx context.Context) (db.CountFleetRow, error) {
	row, err := c.q.CountFleet(ctx)
	if err != nil {
		return row, fmt.Errorf("count devices: %w", err)
	}
	return row, nil
}

// DeviceWork returns what a device took in since some time.
func (c *Catalog) DeviceWork(ctx context.Context, d evidence.DeviceID, since, now time.Time, within Deadlines) (Work, error) {
	row, err := c.q.DeviceWork(ctx, db.DeviceWorkParams{Device: d.String(), Since: since.UnixMilli(), Now: now.UnixMilli(),
		ExportWithin: within.Export.Milliseconds(), HeaderWithin: within.Header.Milliseconds()})
	if err != nil {
		return row, fmt.Errorf("work of device %s: %w", d.Short(), err)
	}
	return row, nil
}

// LateExports returns up to n recordings that a device took in late since some time, the newest first.
func (c *Catalog) LateExports(ctx context.Context, d evidence.DeviceID, since time.Time, within Deadlines, n int) ([]db.Recording, error) {
	rows, err := c.q.LateExports(ctx, db.LateExportsParams{Device: d.String(), Since: since.UnixMilli(), ExportWithin: within.Export.Milliseconds(), Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("late exports of device %s: %w", d.Short(), err)
	}
	return rows, nil
}

// Boots returns a device's newest n boots, the newest first.
func (c *Catalog) Boots(ctx context.Context, d evidence.DeviceID, n int) ([]db.Boot, error) {
	rows, err := c.q.BootsOf(ctx, db.BootsOfParams{Device: d.String(), Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("boots of device %s: %w", d.Short(), err)
	}
	return rows, nil
}
