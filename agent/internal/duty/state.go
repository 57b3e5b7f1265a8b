package duty

import (
	"context"
	"maps"
	"slices"
	"time"

	"camseal/agent/internal/feed"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// State is all that a recorder shows of itself.
type State struct {
	At      time.Time `json:"at"` // by the recorder's clock
	Station string    `json:"station"`

	Video   string `json:"video"` // codec; empty: no camera
	Audio   string `json:"audio"` // empty: no sound
	Width   int    `json:"width,omitempty"`
	Height  int    `json:"height,omitempty"`
	BFrames bool   `json:"b_frames,omitempty"`

	Recording *evidence.RecordingID `json:"recording"`
	Since     time.Time             `json:"since,omitzero"`
	BegunBy   string                `json:"begun_by,omitempty"`
	InHeader  bool                  `json:"in_header"`
	Segments  uint64                `json:"segments"`
	Buffered  float64               `json:"buffered_seconds"` // of the pre-event buffer

	LiveOn     bool `json:"live_on"`    // somebody wants the stream
	Publishing bool `json:"publishing"` // it goes out
	Watched    int  `json:"watched"`    // people who watch
	Orders     bool `json:"orders"`     // the server answers reports

	Link     string              `json:"link"`
	Position *transport.Position `json:"position,omitempty"`
	Troubles []string            `json:"troubles"`
	Health
}

// Camera reports whether a camera is there.
func (s State) Camera() bool { return s.Video != "" || s.Audio != "" }

// firstTrouble is what is told to the server.
func (s State) firstTrouble() string {
	switch {
	case len(s.Troubles) > 0:
		return clean(s.Troubles[0], maxText)
	case len(s.Alarms) > 0:
		return clean(s.Alarms[0], maxText)
	}
	return ""
}

// State returns how things are now.
func (d *Duty) State(ctx context.Context) State {
	c := d.Capture.State()
	s := State{At: d.Now(), Station: d.Station, BFrames: c.BFrames, Recording: c.Recording, InHeader: c.InHeader, Segments: c.Segments, Buffered: c.Buffered.Seconds(),
		Troubles: []string{}, Health: d.Health(ctx)}
	if c.Recording != nil {
		s.Since = c.Since
	}
	if d.Gone().IsZero() {
		s.describe(c.Tracks)
	}
	if c.Trouble != "" {
		s.Troubles = append(s.Troubles, c.Trouble)
	}
	if d.Live != nil {
		l := d.Live.State()
		s.LiveOn, s.Publishing = l.Wanted, l.Publishing
		if l.Trouble != "" {
			s.Troubles = append(s.Troubles, l.Trouble)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.Recording != nil {
		s.BegunBy = d.begunBy
	}
	s.Watched, s.Orders, s.Link = d.watched, d.online, d.link
	if p := d.position; p != nil && s.At.UnixMilli()-p.At < positionOld.Milliseconds() {
		s.Position = p
	}
	for _, part := range slices.Sorted(maps.Keys(d.troubles)) {
		s.Troubles = append(s.Troubles, d.troubles[part])
	}
	return s
}

func (s *State) describe(tracks []feed.Track) {
	for _, t := range tracks {
		if t.Codec.Video() {
			s.Video, s.Width, s.Height = string(t.Codec), t.Width, t.Height
		} else {
			s.Audio = string(t.Codec)
		}
	}
}
