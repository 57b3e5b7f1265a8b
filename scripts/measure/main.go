// Measure is the program behind scripts/bench: it runs Camseal and what people use side by side and writes down the ratios.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
)

// row is one figure of a table.
type row struct {
	What   string `json:"what"`
	Value  string `json:"value"`
	Target string `json:"target,omitempty"`
	Holds  *bool  `json:"holds,omitempty"`
}

// bench is one named measurement.
type bench struct {
	name string
	run  func(*place) ([]row, error)
}

var benches = []bench{
	{"ingest-s3", func(p *place) ([]row, error) { return ingest(p, true) }},
	{"ingest-local", func(p *place) ([]row, error) { return ingest(p, false) }},
	{"slow-tpm", slowChip},
	{"verify", verifying},
	{"enrol-verify", sealing},
	{"memory", memory},
	{"speech", speech},
	{"dock", docking},
	{"review", review},
	{"playback", playback},
	{"viewers", viewers},
	{"relay", relay},
	{"live", recording},
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: measure DIR [NAME…]")
		return 2
	}
	dir, names := args[0], args[1:]
	known := func(n string) bool {
		return slices.ContainsFunc(benches, func(b bench) bool { return b.name == n })
	}
	for _, n := range names {
		if !known(n) {
			fmt.Fprintf(os.Stderr, "no bench is called %s\n", n)
			return 2
		}
	}
	for _, b := range benches {
		if len(names) > 0 && !slices.Contains(names, b.name) {
			continue
		}
		if err := measure(dir, b); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", b.name, err)
			return 1
		}
	}
	return 0
}

func measure(dir string, b bench) error {
	fmt.Printf("\n%s (on %d cores)\n", b.name, runtime.NumCPU())
	p, err := newPlace(dir)
	if err != nil {
		return err
	}
	defer p.close()
	rows, err := b.run(p)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
	for _, r := range rows {
		verdict := ""
		if r.Holds != nil {
			verdict = map[bool]string{true: "holds", false: "does not hold"}[*r.Holds]
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", r.What, r.Value, r.Target, verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	out, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, b.name+".json"), append(out, '\n'), 0o644)
}

// figure is a row without a target.
func figure(what, format string, args ...any) row {
	return row{What: what, Value: fmt.Sprintf(format, args...)}
}

// target is a row that should hold.
func target(what, value, target string, holds bool) row {
	return row{What: what, Value: value, Target: target, Holds: &holds}
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
