package app

import (
	"context"
	"encoding/json"
	"fmt"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog"
)

// recordingLine is one line of `recordings`.
type recordingLine struct {
	Rec    string `json:"rec"`
	Device string `json:"device"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`           // bytes sealed so far
	Opened int64  `json:"opened"`         // the device's clock, milliseconds since 1970 UTC: a claim
	Why    string `json:"why,omitempty"`  // how it was closed; empty while it is open
	State  string `json:"state"`          // seen, or stored once all of a closed recording is archived and locked
	Until  int64  `json:"until,omitzero"` // end of retention, milliseconds since 1970 UTC
}

// page asks for the recordings after the one opened at a time with an id, newest first.
type page struct {
	Opened int64  `json:"opened"`
	Rec    string `json:"rec"`
}

const pageSize = 500

func (l local) recordings(ctx context.Context, after page) ([]recordingLine, error) {
	if err := l.wait(ctx); err != nil {
		return nil, err
	}
	rows, err := l.catalog.Recordings(ctx, after.Opened, after.Rec, pageSize)
	out := []recordingLine{}
	for _, r := range rows {
		out = append(out, recordingLineOf(r))
	}
	return out, err
}

func recordingLineOf(r catalog.Listed) recordingLine {
	line := recordingLine{Rec: r.Rec, Device: r.Device, Name: r.Name, Size: r.Size, Opened: r.OpenedAt, Why: r.Why, State: "seen", Until: r.StoredUntil}
	if r.StoredClosed != 0 {
		line.State = "stored"
	}
	return line
}

func (r remote) recordings(ctx context.Context, after page) (out []recordingLine, err error) {
	return out, r.call(ctx, "/recordings", after, &out)
}

type recordingsCommand struct {
	JSON bool `name:"json" help:"Write a line of JSON for each."`
}

// Run lists all recordings, newest first.
func (c recordingsCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		for after := (page{Opened: evidence.MaxInt}); ; {
			lines, err := a.recordings(e.ctx, after)
			if err != nil || len(lines) == 0 {
				return err
			}
			for _, r := range lines {
				if err := c.print(e, r); err != nil {
					return err
				}
			}
			last := lines[len(lines)-1]
			after = page{Opened: last.Opened, Rec: last.Rec}
		}
	})
}

func (c recordingsCommand) print(e *env, r recordingLine) error {
	if c.JSON {
		return json.NewEncoder(e.out).Encode(r)
	}
	_, err := fmt.Fprintf(e.out, "%s  %-6s  %12d bytes  %s  %q\n", r.Rec, r.State, r.Size, stamp(r.Opened), r.Name)
	return err
}
