package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

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

	Kind     string        `json:"kind"`               // video, sound, photo, other
	Original string        `json:"original,omitempty"` // the same for every attempt to take in one file of one recorder
	Shown    bool          `json:"shown"`              // it stands for its original
	Serial   string        `json:"serial,omitempty"`   // of the recorder
	Sequence *sequenceLine `json:"sequence,omitempty"`
	Header   *headerLine   `json:"header"`   // null: there is none
	Late     bool          `json:"late"`     // the first header came after the deadline, or that passed without one that is needed
	Note     string        `json:"note"`     //
	Marks    int64         `json:"marks"`    //
	Released bool          `json:"released"` // from the recorder
}

type sequenceLine struct {
	ID    string `json:"id"`
	Index int64  `json:"index"`
}

// headerLine is the newest header. First is when the first one was given. Times are the device's clock, milliseconds since 1970 UTC.
type headerLine struct {
	First      int64           `json:"first"`
	At         int64           `json:"at"`
	Spoken     bool            `json:"spoken"` // one of them was
	Department string          `json:"department"`
	Officers   json.RawMessage `json:"officers"` // certificate and name of each
	Cause      string          `json:"cause"`
	Time       string          `json:"time"`
	Place      string          `json:"place"`
	Activity   string          `json:"activity"`
	Case       string          `json:"case"`
	Confirmed  string          `json:"confirmed"` // by whom
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
		out = append(out, recordingLineOf(r, l.book.Now(), l.headerDeadline))
	}
	return out, err
}

func recordingLineOf(r catalog.Listed, now time.Time, deadline time.Duration) recordingLine {
	line := recordingLine{Rec: r.Rec, Device: r.Device, Name: r.Name, Size: r.Size, Opened: r.OpenedAt, Why: r.Why, State: "seen", Until: r.StoredUntil,
		Kind: r.Kind, Original: r.Original, Shown: r.Shown == 1, Serial: r.Serial, Late: catalog.Late(r.Recording, now, deadline), Note: r.Note, Marks: r.Marks,
		Released: r.Released == 1}
	if r.StoredClosed != 0 {
		line.State = "stored"
	}
	if r.Sequence != "" {
		line.Sequence = &sequenceLine{r.Sequence, r.SequenceIndex}
	}
	if r.HeaderFirstAt.Valid {
		line.Header = &headerLine{First: r.HeaderFirstAt.Int64, At: r.HeaderAt.Int64, Spoken: r.Spoken == 1, Department: r.Department,
			Officers: json.RawMessage(r.Officers), Cause: r.Cause, Time: r.HeaderTime, Place: r.Place, Activity: r.Activity, Case: r.CaseNumber,
			Confirmed: r.Confirmed}
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
