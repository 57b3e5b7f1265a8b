package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"camseal/firmware-bridge/internal/dock"
	"camseal/firmware-bridge/internal/erase"
	"camseal/firmware-bridge/internal/serve"
	"camseal/firmware-bridge/internal/vendors"
)

type runCmd struct{}

// Run serves until it is stopped.
func (runCmd) Run(ctx context.Context, s *settings, con *console) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return usagef("mounting needs root; nothing was started. Run it by its systemd unit, or as root")
	}
	reader, err := s.agent()
	if err != nil {
		return err
	}
	checker, err := s.checker()
	if err != nil {
		return err
	}
	table, err := vendors.Load(s.Profiles)
	if err != nil {
		return usageError{err}
	}
	log := newLog(con.err, s.LogLevel)
	if err := s.folders(reader); err != nil {
		return err
	}
	unlock, err := lock(s.State, s.Mounts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	var eraser *erase.Eraser
	var check serve.Check
	if checker != nil {
		journal, failed := erase.OpenJournal(s.State)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, journal.Close()) }()
		eraser, check = &erase.Eraser{Journal: journal, Log: log}, checker.Read
	}
	station := dock.New(dock.Config{Slots: s.Slots, Controls: s.Controls, SetClock: s.SetClock, Mounts: filepath.Clean(s.Mounts), Reader: reader, Eraser: eraser,
		Table: table, Dialer: vendors.Dialer{Password: s.ControlPassword}, Rescan: s.Rescan, Log: log, Now: now})
	l, err := serve.Listen(s.Socket, reader.UID, reader.GID, log)
	if err != nil {
		return err
	}
	log.Info("camseal-bridge runs", slog.String("version", Version), slog.String("socket", s.Socket), slog.Int("slots", len(s.Slots)), slog.Bool("erase", s.Erase))
	return both(ctx, station.Run, func(ctx context.Context) error {
		return serve.Run(ctx, l, serve.New(serve.Config{Source: station, Check: check, Log: log, Now: now}))
	})
}

// both runs two things until ctx ends or one fails; then the other ends too.
func both(ctx context.Context, a, b func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	for _, f := range []func(context.Context) error{a, b} {
		go func() { ended <- f(ctx) }()
	}
	err := <-ended
	cancel()
	return errors.Join(err, <-ended)
}

// lock sees to it that one bridge at a time has these folders.
func lock(dirs ...string) (unlock func() error, err error) {
	var held []*os.File
	unlock = func() (err error) {
		for _, f := range held {
			err = errors.Join(err, f.Close())
		}
		return err
	}
	for _, dir := range dirs {
		f, err := os.Open(dir)
		if err == nil {
			held = append(held, f)
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("another bridge uses %s (%w); nothing was started. Stop it, or give this one folders and a socket of its own", dir, err), unlock())
		}
	}
	return unlock, nil
}
