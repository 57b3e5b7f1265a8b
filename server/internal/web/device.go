package web

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// device is what a recording's page says of the device that sealed it.
type device struct {
	db.Device
	Value   *uint64 // of its counter, as far as statements arrived
	Gaps    []catalog.Gap
	Suspect bool // the recording reached the log after the device's word became suspect
	Changes []change
}

// change is a change of the device's software up to the recording's last statement.
type change struct {
	catalog.SoftwareChange
	Values []pcr
}

// pcr is one value before and after.
type pcr struct {
	Index         int
	Before, After evidence.Digest
}

// Changed reports whether it is another value.
func (p pcr) Changed() bool { return p.Before != p.After }

const shownChanges = 5

func (s *site) device(ctx context.Context, id evidence.DeviceID, r db.Recording) (d device, err error) {
	if d.Device, err = s.Catalog.Device(ctx, id); err != nil {
		return d, err
	}
	counter, err := catalog.CounterOf(d.Device)
	if err != nil {
		return d, err
	}
	if counter != nil {
		d.Value = counter.Value
	}
	account, err := s.Catalog.Account(ctx, r.Device)
	if err != nil {
		return d, err
	}
	d.Gaps = account.Gaps
	if d.Suspect, err = s.suspect(ctx, id, d.Device, r); err != nil {
		return d, err
	}
	changes, err := s.Catalog.SoftwareChanges(ctx, d.Device, uint64(r.LastSeq), shownChanges)
	if err != nil {
		return d, err
	}
	for _, c := range changes {
		values, err := valuesOf(c)
		if err != nil {
			return d, err
		}
		d.Changes = append(d.Changes, change{SoftwareChange: c, Values: values})
	}
	return d, nil
}

// suspect compares the server's time of the recording's last statement with the time from which on the device is suspect. A time
// that is not known counts as later.
func (s *site) suspect(ctx context.Context, id evidence.DeviceID, dev db.Device, r db.Recording) (bool, error) {
	if !dev.SuspectSince.Valid {
		return false, nil
	}
	batch, err := s.Catalog.BatchAt(ctx, id, uint64(r.LastSeq))
	if err != nil {
		return false, err
	}
	at, err := s.LoggedAt(ctx, uint64(batch.LogIndex))
	if err != nil {
		return false, err
	}
	return at == nil || !at.Before(time.UnixMilli(dev.SuspectSince.Int64)), nil
}

func valuesOf(c catalog.SoftwareChange) ([]pcr, error) {
	before, err := pcrsOf(c.Before)
	if err != nil {
		return nil, err
	}
	after, err := pcrsOf(c.After)
	if err != nil {
		return nil, err
	}
	var out []pcr
	for i := range min(len(before), len(after)) {
		out = append(out, pcr{Index: i, Before: before[i], After: after[i]})
	}
	return out, nil
}

func pcrsOf(b db.Boot) (out []evidence.Digest, err error) {
	if err := json.Unmarshal([]byte(b.Pcrs), &out); err != nil {
		return nil, fmt.Errorf("PCRs of boot %d: %w", b.Seq, err)
	}
	return out, nil
}
