package web

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/catalog"
	"camseal/server/internal/duty"
)

const (
	shownDuty = 100
	shownTold = 30
)

// onDutyRow is a recorder on duty as pages show it.
type onDutyRow struct {
	duty.Recorder
	ID    string
	Known bool // what it says that it records is in the catalog
}

// dutyRows are the recorders on duty now, and how many more there are.
func (s *site) dutyRows(ctx context.Context) (out []onDutyRow, more int, err error) {
	if s.Duty == nil {
		return nil, 0, nil
	}
	for _, r := range s.Duty.Recorders() {
		if !r.Online {
			continue
		}
		if len(out) == shownDuty {
			more++
			continue
		}
		x, err := s.dutyRow(ctx, r)
		if err != nil {
			return nil, 0, err
		}
		out = append(out, x)
	}
	return out, more, nil
}

// dutyOf is what the recorder of a device said last; nil: it was not on duty since the server began.
func (s *site) dutyOf(ctx context.Context, id evidence.DeviceID) (*onDutyRow, error) {
	if s.Duty == nil {
		return nil, nil
	}
	r, ok := s.Duty.Recorder(id)
	if !ok {
		return nil, nil
	}
	x, err := s.dutyRow(ctx, r)
	return &x, err
}

func (s *site) dutyRow(ctx context.Context, r duty.Recorder) (x onDutyRow, err error) {
	x = onDutyRow{Recorder: r, ID: r.Device.String()}
	if r.Report.Recording == nil {
		return x, nil
	}
	_, err = s.Catalog.Recording(ctx, r.Device, *r.Report.Recording)
	if errors.Is(err, catalog.ErrUnknown) {
		return x, nil
	}
	x.Known = err == nil
	return x, err
}

// told is what a recorder was told to do, what came of it, and who watched it, the newest first.
func (s *site) told(ctx context.Context, f Frame, id evidence.DeviceID) (out []lifeLine, err error) {
	rows, err := s.Catalog.OnDuty(ctx, id, shownTold)
	for i := range rows {
		l := lifeLine{Index: rows[i].LogIndex}
		s.custodyLine(ctx, f, &rows[i], &l)
		out = append(out, l)
	}
	return out, err
}

// Name is what to call the recorder.
func (r onDutyRow) Name() string {
	if r.Report.Station != "" {
		return r.Report.Station
	}
	return short(r.ID)
}

// Camera says what its camera gives.
func (r onDutyRow) Camera() string {
	var parts []string
	for _, c := range []string{r.Report.Video, r.Report.Audio} {
		if name, ok := formats[c]; ok {
			parts = append(parts, name)
		} else if c != "" {
			parts = append(parts, strings.ToUpper(c))
		}
	}
	if r.Report.Width > 0 && r.Report.Height > 0 {
		parts = append(parts, fmt.Sprintf("%d×%d", r.Report.Width, r.Report.Height))
	}
	return strings.Join(parts, " · ")
}

// Since is when it began to record, in words; empty if it does not say.
func (r onDutyRow) Since(f Frame) string {
	if r.Report.Since <= 0 {
		return ""
	}
	return fmt.Sprintf(f.T("duty-now"), whenText(r.Report.Since))
}

// Link is how it reaches the server, in words.
func (r onDutyRow) Link(f Frame) string {
	if r.Report.Link == "" {
		return "–"
	}
	return f.T("link-" + r.Report.Link)
}

// Place is where it is, in degrees; empty if it does not say.
func (r onDutyRow) Place() string {
	if r.Report.Position == nil {
		return ""
	}
	return positionText(*r.Report.Position)
}

func positionText(p transport.Position) string {
	side := func(s evidence.Signed, plus, minus string) string {
		if s.Sign == "-" {
			plus = minus
		}
		return fmt.Sprintf("%d.%06d° %s", s.Value/1e6, s.Value%1e6, plus)
	}
	return side(p.Lat, "N", "S") + ", " + side(p.Lon, "E", "W")
}
