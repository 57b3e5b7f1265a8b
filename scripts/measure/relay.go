package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// relay measures the relay of live streams on loopback: one stream of 4 Mbit/s, and ever more viewers until packets are lost.
func relay(p *place) ([]row, error) { return relayed(p) }

// relayed is relay with other numbers.
func relayed(p *place, args ...string) ([]row, error) {
	var out bytes.Buffer
	cmd := exec.Command(filepath.Join(p.bin, "livebench"), args...)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("livebench: %w", err)
	}
	var r struct {
		First    []float64 `json:"first_picture_ms"`
		FirstP50 float64   `json:"first_picture_p50_ms"`
		Steps    []struct {
			Viewers   int     `json:"viewers"`
			Packets   uint64  `json:"packets"`
			Lost      uint64  `json:"lost"`
			LostShare float64 `json:"lost_share"`
			Bits      float64 `json:"bits_per_second"`
			CPU       float64 `json:"cpu"`
			PerViewer float64 `json:"cpu_per_viewer"`
			Without   int     `json:"without"`
		} `json:"steps"`
		Enough  int `json:"viewers_below_0.1_percent"`
		TooMany int `json:"viewers_above_0.1_percent"`
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return nil, fmt.Errorf("livebench: %w", err)
	}
	rows := []row{target("relay: from asking to the first keyframe, p50", fmt.Sprintf("%.0f ms (runs: %.0f)", r.FirstP50, r.First), "under 300 ms", r.FirstP50 < 300)}
	var steps []string
	for _, s := range r.Steps {
		if s.Without > 0 {
			steps = append(steps, fmt.Sprintf("%d: %d had no stream within 20 s", s.Viewers, s.Without))
			continue
		}
		steps = append(steps, fmt.Sprintf("%d: %.2f %% lost at %.1f Mbit/s, %.2f %% of a core", s.Viewers, 100*s.LostShare, s.Bits/1e6, 100*s.PerViewer))
		if s.Viewers == 20 {
			rows = append(rows, target("relay: packets lost, 20 viewers", fmt.Sprintf("%d of %d at %.1f Mbit/s", s.Lost, s.Packets, s.Bits/1e6), "under 0.1 %", s.LostShare < 0.001),
				figure("relay: processor, 20 viewers", "%.1f %% of a core, %.2f %% a viewer", 100*s.CPU, 100*s.PerViewer))
		}
	}
	last := fmt.Sprintf("none up to %d", r.Enough)
	if r.TooMany > 0 {
		last = fmt.Sprintf("between %d and %d; publisher and viewers share the machine", r.Enough, r.TooMany)
	}
	return append(rows, figure("relay: viewers at which loss passes 0.1 %", "%s", last), figure("relay: loss and processor a viewer", "%s", strings.Join(steps, "; "))), nil
}
