package duty

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"camseal/agent/internal/capture"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// carryTime is how long one command may take.
const carryTime = time.Minute

// carry carries out what comes, one after the other.
func (d *Duty) carry(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.work:
		}
		for ctx.Err() == nil {
			c, ok := d.journal.next()
			if !ok {
				break
			}
			d.one(ctx, c)
		}
	}
}

// one carries out a command and keeps what became of it.
func (d *Duty) one(ctx context.Context, c transport.Command) {
	log := d.Log.With(slog.Uint64("number", c.Number), slog.String("kind", string(c.Kind)), slog.String("by", c.By))
	r := transport.Result{Number: c.Number}
	if clock, known := d.Server.Clock(); known && clock.UnixMilli() > c.Until {
		r.Text = "not begun: it came here after its time was over"
	} else if err := d.journal.begin(c.Number); err != nil {
		r.Text = "not begun: it can't be written down here: " + clean(err.Error(), maxText)
	} else {
		log.InfoContext(ctx, "order carried out now")
		if rec, err := d.do(ctx, c); err != nil {
			r.Text, r.Rec = clean(err.Error(), maxText), rec
		} else {
			r.Done, r.Rec = true, rec
		}
		if ctx.Err() != nil && !r.Done {
			return // what a next run says of it: that is not known
		}
	}
	if err := d.journal.finish(r); err != nil {
		d.trouble("journal", err.Error())
	}
	log.InfoContext(ctx, "order answered", slog.Bool("done", r.Done), slog.String("text", r.Text))
	d.poke()
}

// do carries out a command; it returns the recording that it was about.
func (d *Duty) do(ctx context.Context, c transport.Command) (*evidence.RecordingID, error) {
	limited, cancel := context.WithTimeout(ctx, carryTime)
	defer cancel()
	by := c.By
	if by == "" {
		by = "the server"
	}
	switch c.Kind {
	case transport.CommandStart:
		rec, err := d.Start(limited, by)
		return d.about(rec, err)
	case transport.CommandStop:
		rec, err := d.Stop(limited, by)
		return d.about(rec, err)
	case transport.CommandMark:
		rec, err := d.Mark(limited, by, c.Text)
		return d.about(rec, err)
	case transport.CommandLive, transport.CommandLiveEnd:
		return d.Capture.State().Recording, d.live(limited, c.Kind == transport.CommandLive)
	case transport.CommandChunk:
		if c.Rec == nil {
			return nil, errors.New("it names no recording")
		}
		return c.Rec, d.Prefer(*c.Rec, c.Index)
	}
	return nil, fmt.Errorf("this agent knows no command %q", c.Kind)
}

// about returns the recording that something was about: of one that is being made already, that one.
func (d *Duty) about(rec evidence.RecordingID, err error) (*evidence.RecordingID, error) {
	if errors.Is(err, capture.ErrRecording) {
		return d.Capture.State().Recording, err
	}
	if rec.IsZero() {
		return nil, err
	}
	return &rec, err
}

func (d *Duty) live(ctx context.Context, on bool) error {
	if d.Live == nil {
		return errors.New("live viewing is switched off on this recorder (live: false)")
	}
	if !on {
		d.Live.Stop(ctx)
		return nil
	}
	if len(d.Capture.State().Tracks) == 0 {
		return capture.ErrNoCamera
	}
	return d.Live.Start(ctx)
}
