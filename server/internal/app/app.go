// Package app is the camseal-server program: its command line, its configuration, and what is started and stopped in which order.
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

// Version is set when a release is built.
var Version = "dev"

// commandLine is what the program understands.
type commandLine struct {
	Config kong.ConfigFlag `help:"Configuration file (YAML)." short:"c" placeholder:"FILE"`
	settings

	Init         initCommand         `cmd:"" help:"Make keys, certificates, log and vault. Safe to run again."`
	Run          runCommand          `cmd:"" help:"Serve agents and the web page until interrupted."`
	EnrolToken   enrolTokenCommand   `cmd:"" help:"Make a one-time token with which one device can enrol."`
	Device       deviceCommand       `cmd:"" help:"List, show and revoke devices."`
	PCRs         pcrsCommand         `cmd:"" name:"pcrs" help:"Which software devices may boot: list it, and allow more."`
	Register     registerCommand     `cmd:"" help:"The department's officers and the words of case headers: set it, and show it."`
	Account      accountCommand      `cmd:"" help:"People's accounts for the web page: add one, list them, make a new link."`
	Report       reportCommand       `cmd:"" help:"Say what is missing."`
	Recordings   recordingsCommand   `cmd:"" help:"List the recordings."`
	Export       exportCommand       `cmd:"" help:"Write the bundle of one recording."`
	TrustExport  trustExportCommand  `cmd:"" help:"Write a trust folder for camseal-verify."`
	Reindex      reindexCommand      `cmd:"" help:"Make the catalog anew from the vault alone."`
	CheckArchive checkArchiveCommand `cmd:"" help:"Try out on the vault what camseal relies on."`
	Version      versionCommand      `cmd:"" help:"Print the version."`
}

// env is what commands work with.
type env struct {
	ctx      context.Context
	settings *settings
	out      io.Writer
	log      *slog.Logger
	now      func() time.Time
}

// usageError is a mistake in how the program was called or configured.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// Main runs the program and returns its exit status: 0 if all went well, 1 if not, 2 for wrong usage.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, stdout, stderr)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	var cli commandLine
	exit := -1
	parser, err := kong.New(&cli, kong.Name("camseal-server"), kong.Configuration(configfile.YAML), kong.Writers(stdout, stderr),
		kong.Description("Takes in sealed recordings, keeps them in a vault, logs them, and hands out bundles that anybody can verify."),
		kong.Exit(func(code int) { exit = code }), kong.UsageOnError())
	if err != nil {
		fmt.Fprintln(stderr, "camseal-server:", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // --help was printed
		return exit
	}
	if err == nil {
		err = cli.check()
	}
	if err != nil {
		fmt.Fprintln(stderr, "camseal-server:", err)
		return 2
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: cli.LogLevel}))
	err = parsed.Run(&env{ctx: ctx, settings: &cli.settings, out: stdout, log: logger, now: time.Now})
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "camseal-server:", err)
		return 2
	case err != nil:
		fmt.Fprintln(stderr, "camseal-server:", err)
		return 1
	}
	return 0
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(e *env) error {
	_, err := fmt.Fprintln(e.out, "camseal-server", Version)
	return err
}
