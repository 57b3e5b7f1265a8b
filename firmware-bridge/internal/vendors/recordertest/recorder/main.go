// Command recorder is a simulated recorder with a control interface. It prints its address, and serves until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"camseal/firmware-bridge/internal/vendors"
	"camseal/firmware-bridge/internal/vendors/recordertest"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	r := recordertest.New()
	flags := flag.NewFlagSet("recorder", flag.ContinueOnError)
	flags.SetOutput(stderr)
	socket := flags.String("socket", "", "Unix socket to serve on; without it a terminal is opened")
	clock := flags.String("clock", "", "what its clock shows at the start, as 1970-01-01T00:00:00Z; empty: the right time")
	fault := flags.String("fault", "", "hangs, rubbish, oversized, bad-checksum, cut, wrong-answer, nonsense, short, forgets or busy")
	on := flags.Int("on", 0, "number of the command that the fault befalls; 0: each but the first")
	flags.StringVar(&r.Identity.Serial, "serial", r.Identity.Serial, "serial number")
	flags.StringVar(&r.Identity.Model, "model", r.Identity.Model, "model")
	flags.StringVar(&r.Password, "password", "", "password that it asks for")
	flags.IntVar(&r.Battery, "battery", r.Battery, "per cent")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	r.Fault, r.On = recordertest.Fault(*fault), vendors.Command(*on)
	r.Storage = func() { fmt.Fprintln(stdout, "storage") }
	if *clock != "" {
		t, err := time.Parse(time.RFC3339, *clock)
		if err != nil {
			fmt.Fprintln(stderr, "recorder: --clock:", err)
			return 2
		}
		r.SetClock(t)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, r, *socket, stdout); err != nil {
		fmt.Fprintln(stderr, "recorder:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, r *recordertest.Recorder, socket string, stdout io.Writer) error {
	if socket == "" {
		line, err := recordertest.OpenTerminal()
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		context.AfterFunc(ctx, func() { ended <- line.Close() })
		fmt.Fprintln(stdout, line.Path)
		var rubbish *vendors.Rubbish
		for err == nil || errors.As(err, &rubbish) {
			err = r.Serve(line)
		}
		if ctx.Err() != nil {
			return <-ended
		}
		return errors.Join(err, line.Close())
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	fmt.Fprintln(stdout, "unix:"+socket)
	return r.Listen(l)
}
