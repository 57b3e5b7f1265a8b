// Package app is the bridge's command line: it reads the configuration, puts the parts together, and closes them in reverse order.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"camseal/pkg/configfile"
)

// Exit codes.
const (
	exitOK    = 0
	exitFault = 1
	exitUsage = 2
)

// Version is set by the linker.
var Version = "0.1.0-dev"

// cli is all that can be said on the command line; the fields before the commands are also the keys of bridge.yaml.
type cli struct {
	Config kong.ConfigFlag `help:"Configuration, YAML. Default: /etc/camseal/bridge.yaml if it is there." placeholder:"FILE" short:"c"`
	settings

	Run     runCmd     `cmd:"" help:"Take in recorders that are plugged in, until stopped. Needs root."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// console is where a command writes.
type console struct {
	out, err io.Writer
}

// usageError is a mistake in how the program was called or configured.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

type exited int

// Main runs the program and returns its exit code.
func Main(args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once; nothing on a recorder suffers from it
	var c cli
	parser, err := kong.New(&c, kong.Name("camseal-bridge"), kong.Description("Finds recorders on the ports of a dock, and lets the agent read them."),
		kong.Configuration(configfile.YAML, "/etc/camseal/bridge.yaml"), kong.UsageOnError(), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }))
	if err != nil {
		fmt.Fprintln(stderr, "camseal-bridge:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "camseal-bridge: %v\nSee camseal-bridge --help.\n", err)
		return exitUsage
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(&c.settings, &console{stdout, stderr})
	return exitCode(parsed.Run(), stderr)
}

func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "camseal-bridge:", err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFault
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(con *console) error {
	_, err := fmt.Fprintln(con.out, "camseal-bridge "+Version)
	return err
}

func newLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// now is the only clock of the program; everything takes it as a field.
var now = time.Now
