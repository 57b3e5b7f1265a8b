// Package app is the program camseal-verify.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"camseal/pkg/verify"
)

const exitUsage = 2

// options are what the command line says.
type options struct {
	json   bool
	trust  string
	lang   verify.Lang
	bundle string
	log    string // folder of a log to walk instead
}

// Main runs the program and returns its exit code: 0 verified, 2 unreadable or wrong usage, 3 broken, 4 sound but
// incomplete, 5 consistent but vouched for only by itself.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "camseal-verify: %v\n", err)
		return exitUsage
	}
	out, err := check(ctx, o, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "camseal-verify: %s\n", verify.Display(err.Error()))
		return exitUsage
	}
	if err := out.write(stdout, o); err != nil {
		fmt.Fprintf(stderr, "camseal-verify: %v\n", err)
		return exitUsage
	}
	return out.exit
}

// outcome is a report, whatever it is about.
type outcome struct {
	report any
	human  string
	exit   int
}

func check(ctx context.Context, o options, stderr io.Writer) (outcome, error) {
	if o.log != "" {
		r, err := runLog(ctx, o, stderr)
		if err != nil {
			return outcome{}, err
		}
		return outcome{r, humanLog(r, o.lang), r.Exit}, nil
	}
	r, err := run(ctx, o, stderr)
	if err != nil {
		return outcome{}, err
	}
	return outcome{r, human(r, o.lang), r.Exit}, nil
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{lang: fromLocale()}
	fs := flag.NewFlagSet("camseal-verify", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.BoolVar(&o.json, "json", false, "")
	fs.StringVar(&o.trust, "trust", "", "")
	lang := fs.String("lang", "", "")
	var bundles []string
	for rest := args; len(rest) > 0; {
		if err := fs.Parse(rest); err != nil {
			fmt.Fprint(stderr, usage.in(o.lang))
			return o, err
		}
		if rest = fs.Args(); len(rest) > 0 {
			bundles, rest = append(bundles, rest[0]), rest[1:]
		}
	}
	switch strings.ToLower(*lang) {
	case "":
	case "en":
		o.lang = verify.English
	case "zh", "zh-cn":
		o.lang = verify.Chinese
	default:
		return o, fmt.Errorf("--lang %s: there is en and zh", *lang)
	}
	switch {
	case len(bundles) == 1:
		o.bundle = bundles[0]
	case len(bundles) == 2 && bundles[0] == "log":
		o.log = bundles[1]
	default:
		fmt.Fprint(stderr, usage.in(o.lang))
		return o, errors.New(oneBundle.in(o.lang))
	}
	return o, nil
}

// fromLocale chooses the language by the environment, as POSIX says (LC_ALL, LC_MESSAGES, LANG).
func fromLocale() verify.Lang {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := os.Getenv(name); v != "" {
			if strings.HasPrefix(strings.ToLower(v), "zh") {
				return verify.Chinese
			}
			return verify.English
		}
	}
	return verify.English
}

func run(ctx context.Context, o options, stderr io.Writer) (*verify.Report, error) {
	trust, err := loadTrust(o)
	if err != nil {
		return nil, err
	}
	opts := verify.Options{Now: time.Now, Trust: trust}
	src, err := verify.OpenBundle(o.bundle)
	if err != nil {
		return verify.Unopened(o.bundle, err), nil
	}
	bar := newBar(stderr, barFrom)
	opts.Progress = bar.show
	r, err := verify.Bundle(ctx, src, opts)
	bar.end()
	return r, errors.Join(err, src.Close())
}

func loadTrust(o options) (*verify.Trust, error) {
	if o.trust == "" {
		return nil, nil
	}
	return verify.LoadTrust(o.trust)
}

func runLog(ctx context.Context, o options, stderr io.Writer) (*verify.LogReport, error) {
	trust, err := loadTrust(o)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.log)
	if err != nil {
		return verify.UnopenedLog(o.log, err), nil
	}
	bar := newBar(stderr, barFromLeaves)
	r, err := verify.Log(ctx, root.FS(), verify.LogOptions{Trust: trust, Progress: bar.show})
	bar.end()
	return r, errors.Join(err, root.Close())
}

func (x outcome) write(w io.Writer, o options) error {
	if !o.json {
		_, err := io.WriteString(w, x.human)
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(x.report)
}

// bar shows on a terminal how far the reading of a large original, or of a long log, is.
type bar struct {
	w     io.Writer // nil: not a terminal
	from  int64     // totals below it are done at once
	shown int64
	on    bool
}

const (
	barFrom       = 64 << 20 // bytes
	barFromLeaves = 1 << 18
)

func newBar(w io.Writer, from int64) *bar {
	f, ok := w.(*os.File)
	if !ok {
		return &bar{}
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &bar{}
	}
	return &bar{w: w, from: from}
}

func (b *bar) show(done, total int64) {
	if b.w == nil || total < b.from || b.on && done*100/total == b.shown {
		return
	}
	b.shown, b.on = done*100/total, true
	n := int(b.shown) / 4
	fmt.Fprintf(b.w, "\r[%s%s] %3d %%", strings.Repeat("=", n), strings.Repeat(" ", 25-n), b.shown)
}

func (b *bar) end() {
	if b.on {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
