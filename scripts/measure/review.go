package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

const reviewed = 1_000_000 // recordings

// review measures the page of recordings on a catalog of a million, on each database, by a program that lives beside the catalog.
func review(p *place) ([]row, error) {
	said, err := p.do(nil, "review", p.path(""), fmt.Sprint(reviewed))
	if err != nil {
		return nil, err
	}
	var rows []row
	for line := range strings.Lines(said.out.String()) {
		if !strings.HasPrefix(line, "{") { // how the filling went
			continue
		}
		var f struct {
			Database          string
			Recordings        int
			First, Later, Row []float64 // milliseconds, sorted
			Kinds             map[string][]float64
			Empty, Bounded    int
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			return nil, fmt.Errorf("figures: %w", err)
		}
		name := func(what string) string { return f.Database + ", " + what }
		last := percentile(f.First, 99)
		rows = append(rows,
			target(name(fmt.Sprintf("first page of %d searches in %d recordings, p50 · p99 · longest", len(f.First), f.Recordings)), times(f.First), "p99 under 100 ms", last < 100),
			target(name(fmt.Sprintf("%d pages after it", len(f.Later))), times(f.Later), "p99 under 100 ms", percentile(f.Later, 99) < 100),
			target(name("the row of a recording"), times(f.Row), "p99 under 50 ms", percentile(f.Row, 99) < 50),
			figure(name("searches that found nothing; pages that say how far they looked"), "%d; %d", f.Empty, f.Bounded))
		kinds := make([]string, 0, len(f.Kinds))
		for k := range f.Kinds {
			kinds = append(kinds, k)
		}
		slices.Sort(kinds)
		for _, k := range kinds {
			rows = append(rows, figure(name(k), "%s", times(f.Kinds[k])))
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("the program printed no figures")
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil, err
	}
	return append(rows, figure("load of the machine meanwhile", "%s", strings.Fields(string(load))[0])), nil
}

// percentile is of a sorted list; nothing takes no time.
func percentile(sorted []float64, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func times(sorted []float64) string {
	if len(sorted) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f · %.1f · %.1f ms", percentile(sorted, 50), percentile(sorted, 99), sorted[len(sorted)-1])
}
