package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// relay has the relay's own measurement run: many viewers of one stream of 4 Mbit/s, which share this machine with it.
func (p *place) relay() ([]row, error) {
	run, err := p.start(nil, "livebench", "--viewers", "20,100,160,220,280,340", "--seconds", "5", "--firsts", "4")
	if err != nil {
		return nil, err
	}
	<-run.done
	if run.err != nil {
		return nil, fmt.Errorf("livebench: %w\n%s", run.err, run.out.Bytes())
	}
	var r struct {
		First float64 `json:"first_picture_p50_ms"`
		Steps []struct {
			Viewers   int     `json:"viewers"`
			Lost      float64 `json:"lost_share"`
			PerViewer float64 `json:"cpu_per_viewer"`
			Without   int     `json:"without"`
			Bits      float64 `json:"bits_per_second"`
		} `json:"steps"`
		Enough  int `json:"viewers_below_0.1_percent"`
		TooMany int `json:"viewers_above_0.1_percent"`
	}
	out := run.out.Bytes()
	if i := bytes.Index(out, []byte("{\n")); i > 0 {
		out = out[i:] // what it said while it measured stands before
	}
	if err := json.Unmarshal(out, &r); err != nil || len(r.Steps) == 0 {
		return nil, fmt.Errorf("livebench: %w\n%s", err, run.out.Bytes())
	}
	first, newest := r.Steps[0], r.Steps[len(r.Steps)-1]
	limit := fmt.Sprintf("between %d and %d", r.Enough, r.TooMany)
	switch {
	case newest.Without > 0:
		limit += fmt.Sprintf("; of %d, %d had no stream within 20 s", newest.Viewers, newest.Without)
	case r.TooMany == 0:
		limit = fmt.Sprintf("above %d", r.Enough)
		fallthrough
	default:
		limit += fmt.Sprintf("; publisher, relay and %d viewers on this one machine: %.1f Mbit/s each", newest.Viewers, newest.Bits/1e6)
	}
	return []row{
		figure("relay alone: a client's first keyframe", "p50 %.0f ms", r.First),
		target(fmt.Sprintf("relay, %d viewers of %.1f Mbit/s: packets lost", first.Viewers, first.Bits/1e6), fmt.Sprintf("%.3f %%", 100*first.Lost), "under 0.1 %", first.Lost < 0.001),
		figure("relay: processor for each viewer", "%.2f %% of a core", 100*first.PerViewer),
		figure("viewers at which 0.1 % are lost", "%s", limit),
	}, nil
}
