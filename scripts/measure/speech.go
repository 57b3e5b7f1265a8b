package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

const spokenTime = "a header of 20 s transcribed by the built-in engine, median"

// speech measures the built-in speech engine: twenty spoken headers in five voices, by a program that lives beside it.
func speech(p *place) ([]row, error) {
	said, err := p.do(nil, "speech")
	if err != nil {
		return nil, err
	}
	var rows []row
	var errors, words, right, wrong, fields int
	var times []float64
	for in := bufio.NewScanner(&said.out); in.Scan(); {
		var v struct {
			Voice                               string
			Words, Errors, Fields, Right, Wrong int
			Twenty                              []float64 `json:"twenty_speed"`
		}
		if !strings.HasPrefix(in.Text(), "{") { // a transcript
			continue
		}
		if err := json.Unmarshal(in.Bytes(), &v); err != nil {
			return nil, fmt.Errorf("figures of a voice: %w", err)
		}
		rows = append(rows, figure(v.Voice, "%.1f %% of %d words wrong; %d of %d fields right, %d taken for another entry",
			percent(v.Errors, v.Words), v.Words, v.Right, v.Fields, v.Wrong))
		errors, words, right, wrong, fields = errors+v.Errors, words+v.Words, right+v.Right, wrong+v.Wrong, fields+v.Fields
		times = append(times, v.Twenty...)
	}
	if len(times) == 0 {
		return nil, fmt.Errorf("no figures in %.200q", said.out.String())
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil, err
	}
	all := percent(errors, words)
	return append(rows,
		target("all voices: words wrong", fmt.Sprintf("%.1f %% of %d", all, words), "at most 25 %", all <= 25),
		figure("all voices: fields right", "%.1f %% of %d", percent(right, fields), fields),
		figure("all voices: fields taken for another entry", "%.1f %%", percent(wrong, fields)),
		target(spokenTime, fmt.Sprintf("%.2f s (longest %.2f s)", median(times), slices.Max(times)), "under 2 s", median(times) < 2),
		figure("load of the machine meanwhile", "%s", strings.Fields(string(load))[0]),
	), nil
}

func percent(part, whole int) float64 { return 100 * float64(part) / float64(max(whole, 1)) }
