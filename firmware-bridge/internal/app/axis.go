package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"camseal/firmware-bridge/internal/axis"
	"camseal/firmware-bridge/internal/serve"
	"camseal/pkg/configfile"
	"camseal/pkg/evidence"
)

// axisCLI is the command line of the content destination: the same binary, and a process of its own without root, with a configuration of its own.
type axisCLI struct {
	Config kong.ConfigFlag `help:"Configuration, YAML. Default: /etc/camseal/axis.yaml if it is there." placeholder:"FILE" short:"c"`
	axisSettings

	Run  axisRun  `cmd:"" default:"1" help:"Receive recordings until stopped. Needs no root."`
	User axisUser `cmd:"" help:"Read a key from standard input, and print the line for the file of users."`
}

// axisSettings are the keys of axis.yaml; each is a flag of the same name.
type axisSettings struct {
	Listen      string          `help:"Address for body-worn systems. Without certificate and key, only one of this machine's own." default:"127.0.0.1:8090" placeholder:"HOST:PORT"`
	Certificate string          `help:"File with the certificate and its chain, PEM." placeholder:"FILE"`
	Key         string          `help:"File with the certificate's key, PEM." placeholder:"FILE"`
	Users       string          `help:"File with the body-worn systems that may send. There is no default." placeholder:"FILE"`
	State       string          `help:"Folder for what is staged until it is released." default:"/var/lib/camseal-axis" placeholder:"DIR"`
	Socket      string          `help:"Socket that the agent talks to." default:"/run/camseal-axis/axis.sock" placeholder:"PATH"`
	AgentUser   string          `help:"User that the agent runs as: name or number." default:"camseal" placeholder:"USER"`
	Slot        string          `help:"What the kiosk calls this way in." default:"axis"`
	Reserve     configfile.Size `help:"Bytes of the disk that stay free: below that, uploads are refused with 507." default:"2GiB"`
	MaxObject   configfile.Size `help:"Bytes of one object at most." default:"16GiB"`
	Uploads     int             `help:"Objects received at once at most; more are told to come again (503)." default:"16"`
	TokenLife   time.Duration   `help:"How long a sign-in lasts." default:"1h"`
	Idle        time.Duration   `help:"How long a sender may be silent in the middle of an object." default:"1m"`
	Drain       time.Duration   `help:"How long uploads may go on when it is stopped." default:"1m"`

	Erase         bool            `help:"Erase staged copies on permits."`
	LogKey        string          `help:"File with the verifier key of the server's log (log.vkey): only its receipts count. Needed with erase." placeholder:"FILE"`
	WitnessKeys   []string        `sep:"none" help:"Verifier keys of the log's witnesses." placeholder:"VKEY"`
	WitnessQuorum int             `help:"How many of them must have signed a permit's receipt."`
	EraseDays     int             `help:"For how many days from now at least the vault must keep what is erased." default:"30"`
	Lock          []evidence.Lock `help:"Locks of the server's vault that permits may name." default:"compliance,folder"`

	LogLevel slog.Level `help:"debug, info, warn or error." default:"info"`
}

func (s *axisSettings) check() error {
	switch {
	case s.Users == "":
		return usagef("users: nobody is named who may send, so nothing was started. Make the file with: camseal-bridge axis user NAME < KEYFILE")
	case s.Slot == "":
		return usagef("slot: it needs a name")
	case s.MaxObject < 1 || s.Reserve < 0:
		return usagef("max-object and reserve are numbers of bytes such as 16GiB")
	case s.Uploads < 1 || s.Uploads > 256:
		return usagef("uploads: %d is not between 1 and 256", s.Uploads)
	case s.TokenLife < time.Minute || s.Idle <= 0 || s.Drain < 0:
		return usagef("token-life, of a minute at least, idle and drain are times such as 1m")
	}
	return nil
}

// shared are the settings whose rules are the same for both ways in.
func (s *axisSettings) shared() *settings {
	return &settings{Socket: s.Socket, AgentUser: s.AgentUser, Erase: s.Erase, LogKey: s.LogKey, WitnessKeys: s.WitnessKeys, WitnessQuorum: s.WitnessQuorum,
		EraseDays: s.EraseDays, Lock: s.Lock, Mounts: "/", Rescan: 1} // these two mount nothing here
}

// axisMain runs the content destination and returns the program's exit code.
func axisMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c axisCLI
	parser, err := kong.New(&c, kong.Name("camseal-bridge axis"), kong.Description("Receives recordings that body-worn systems push (Axis content destination), for the agent."),
		kong.Configuration(configfile.YAML, "/etc/camseal/axis.yaml"), kong.UsageOnError(), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }))
	if err != nil {
		fmt.Fprintln(stderr, "camseal-bridge axis:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "camseal-bridge axis: %v\nSee camseal-bridge axis --help.\n", err)
		return exitUsage
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(&c.axisSettings, &console{stdout, stderr})
	return exitCode(parsed.Run(), stderr)
}

type axisUser struct {
	Name string `arg:"" help:"Name of the body-worn system, as in its connection file (BlobAPIUserName)."`
}

// Run prints the line.
func (u axisUser) Run(con *console) error {
	line, err := axis.HashKey(u.Name, os.Stdin)
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintln(con.out, line)
	return err
}

type axisRun struct{}

// Run receives until it is stopped, and then finishes what is being sent.
func (axisRun) Run(ctx context.Context, s *axisSettings, con *console) (err error) {
	shared := s.shared()
	if err := errors.Join(s.check(), shared.check()); err != nil {
		return err
	}
	reader, err := shared.agent()
	if err != nil {
		return err
	}
	checker, err := shared.checker()
	if err != nil {
		return err
	}
	users, err := axis.ReadUsers(s.Users)
	if err != nil {
		return usagef("users: %w", err)
	}
	unix.Umask(0o027) // what is staged may be read by the agent's group, and by nobody else
	log := newLog(con.err, s.LogLevel)
	d, err := axis.Open(axis.Config{State: s.State, Users: users, Slot: s.Slot, Reserve: int64(s.Reserve), MaxObject: int64(s.MaxObject), Uploads: s.Uploads,
		TokenLife: s.TokenLife, Idle: s.Idle, Erases: s.Erase, Now: now, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	web, err := axis.Listen(s.Listen, s.Certificate, s.Key)
	if err != nil {
		return usagef("listen: %w", err)
	}
	defer web.Close()
	socket, err := serve.Listen(s.Socket, reader.UID, reader.GID, log)
	if err != nil {
		return err
	}
	var check serve.Check
	if checker != nil {
		check = checker.Read
	}
	log.Info("camseal-bridge axis runs", slog.String("version", Version), slog.String("listen", web.Addr().String()), slog.Bool("tls", s.Certificate != ""),
		slog.String("socket", s.Socket), slog.Bool("erase", s.Erase))
	return both(ctx, func(ctx context.Context) error { return d.Serve(ctx, web, s.Drain) }, func(ctx context.Context) error {
		return serve.Run(ctx, socket, serve.New(serve.Config{Source: d, Check: check, Log: log, Now: now}))
	})
}

// axisHelp lets the program's help speak of the content destination, whose own command line it is not.
type axisHelp struct {
	Args []string `arg:"" optional:""`
}

// Run is come to when flags of bridge.yaml stand before the word axis.
func (axisHelp) Run() error {
	return usagef("axis comes first, and has flags and a configuration of its own; nothing was started. Say: camseal-bridge axis --help")
}
