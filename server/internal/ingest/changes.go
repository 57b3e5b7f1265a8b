package ingest

import (
	"context"
	"log/slog"
	"strconv"

	"camseal/pkg/evidence"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

// tell records a custody event for each boot that shows other software than the boot before it, unless there is one.
// It never fails a request: what is left is told after the next batch, or at the next start.
func (s *Service) tell(ctx context.Context) {
	s.telling.Lock()
	defer s.telling.Unlock()
	changes, err := s.Catalog.UntoldChanges(ctx)
	for _, c := range changes {
		if err == nil {
			err = s.tellOne(ctx, c)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.Slog.ErrorContext(ctx, "a change of a device's software is not on record yet; it is tried again", slog.Any("error", err))
	}
}

func (s *Service) tellOne(ctx context.Context, c catalog.SoftwareChange) error {
	id, err := evidence.ParseDeviceID(c.After.Device)
	if err != nil {
		return err
	}
	s.Slog.WarnContext(ctx, "a device booted other software than before", slog.String("device", id.Short()), slog.Int64("seq", c.After.Seq),
		slog.Bool("allowed", c.Allowed))
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	_, err = s.Book.Record(ctx, casework.Act{Name: catalog.ActSoftwareChanged, Actor: "camseal-server", Device: &id, Detail: evidence.Detail{
		catalog.DetailSeq: number(c.After.Seq), "at": number(c.After.At), "pcrs": c.After.Pcrs, "software": c.After.Software,
		"seq_before": number(c.Before.Seq), "at_before": number(c.Before.At), "pcrs_before": c.Before.Pcrs, "software_before": c.Before.Software,
		"allowed": strconv.FormatBool(c.Allowed)}})
	return err
}

// Resume does what a former run left undone. The catalog must have caught up.
func (s *Service) Resume(ctx context.Context) error {
	s.tell(ctx)
	return s.Quarantine.Resume(ctx)
}
