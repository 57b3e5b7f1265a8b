// Package app is the agent's command line: it reads the configuration, puts the parts together, and closes them in
// reverse order.
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
	exitFault = 1 // something could not be taken in, was closed as faulty, or is not stored yet
	exitUsage = 2
)

// Version is set by the linker.
var Version = "0.1.0-dev"

// cli is all that can be said on the command line; the fields before the commands are also the keys of agent.yaml.
type cli struct {
	Config kong.ConfigFlag `help:"Configuration, YAML. Default: /etc/camseal/agent.yaml if it is there." placeholder:"FILE" short:"c"`
	settings

	Enrol   enrolCmd   `cmd:"" help:"Make this device's keys, and have the server certify them. Again with a new token: a new certificate."`
	Import  importCmd  `cmd:"" help:"Take in files and folder trees, and wait until the server has stored them."`
	Run     runCmd     `cmd:"" help:"Watch the configured folders, seal, and send, until stopped."`
	Status  statusCmd  `cmd:"" help:"Say what is held, sealed and stored, and what needs a person."`
	Prove   proveCmd   `cmd:"" help:"Answer an expert's own challenge (tpm2_makecredential) with this device's TPM."`
	Recover recoverCmd `cmd:"" help:"Write out what the spool holds, with the offline recovery key or the TPM. Stop the agent first."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// console is where a command writes.
type console struct {
	out, err io.Writer
}

// usageError is a mistake in how the program was called or configured.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSilent has been said in words already.
var errSilent = errors.New("see above")

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
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once; what is durable stays so
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	holdMemory(background)
	var c cli
	parser, err := kong.New(&c, kong.Name("camseal-agent"), kong.Description("Takes footage in, seals it with this machine's TPM, and brings it to the server."),
		kong.Configuration(configfile.YAML, "/etc/camseal/agent.yaml"), kong.UsageOnError(), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }))
	if err != nil {
		fmt.Fprintln(stderr, "camseal-agent:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "camseal-agent: %v\nSee camseal-agent --help.\n", err)
		return exitUsage
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(&c.settings, &console{stdout, stderr})
	return exitCode(parsed.Run(), stderr)
}

func exitCode(err error, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSilent):
		return exitFault
	}
	fmt.Fprintln(stderr, "camseal-agent:", err)
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFault
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(con *console) error {
	_, err := fmt.Fprintln(con.out, software())
	return err
}

// software is how this program names itself in boot statements.
func software() string { return "camseal-agent " + Version }

func newLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// now is the only clock of the program; everything takes it as a field.
var now = time.Now
