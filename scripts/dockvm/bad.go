package dockvm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Range is a stretch of a medium, in bytes. Both ends are multiples of 512.
type Range struct{ From, Until int64 }

// badMedium is an nbdkit that serves an image and gives errors.
type badMedium struct {
	cmd    *exec.Cmd
	socket string
}

// serveBad starts nbdkit with two filters: ddrescue gives EIO for what a map of ddrescue calls bad (and allows no writing), error gives EIO for
// everything while a file is there.
func serveBad(ctx context.Context, r Recorder, name string) (*badMedium, error) {
	b := &badMedium{socket: name + ".socket"}
	args := []string{"--foreground", "--unix", b.socket}
	var settings []string
	if r.Failing != "" {
		args = append(args, "--filter=error")
		settings = append(settings, "error=EIO", "error-rate=100%", "error-file="+r.Failing)
	}
	if len(r.Bad) > 0 {
		if err := writeMap(name+".map", r); err != nil {
			return nil, err
		}
		args = append(args, "--filter=ddrescue")
		settings = append(settings, "ddrescue-mapfile="+name+".map")
	}
	b.cmd = exec.Command("nbdkit", append(append(args, "file", r.Image), settings...)...)
	var said strings.Builder
	b.cmd.Stderr = &said
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", b.socket)
		if err == nil {
			return b, conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("nbdkit: %w: %s", ctx.Err(), &said), b.close())
		}
	}
}

func writeMap(path string, r Recorder) error {
	info, err := os.Stat(r.Image)
	if err != nil {
		return err
	}
	bad := slices.SortedFunc(slices.Values(r.Bad), func(a, b Range) int { return int(a.From - b.From) })
	text := &strings.Builder{}
	fmt.Fprintf(text, "# Mapfile. Created by GNU ddrescue\n0x0 + 1\n")
	at := int64(0)
	for _, b := range bad {
		if b.From < at || b.Until <= b.From || b.Until > info.Size() || b.From%512 != 0 || b.Until%512 != 0 {
			return fmt.Errorf("bad stretch %d-%d of %d bytes: it must lie on sectors, within, and not over another", b.From, b.Until, info.Size())
		}
		if b.From > at {
			fmt.Fprintf(text, "0x%x 0x%x +\n", at, b.From-at)
		}
		fmt.Fprintf(text, "0x%x 0x%x -\n", b.From, b.Until-b.From)
		at = b.Until
	}
	if at < info.Size() {
		fmt.Fprintf(text, "0x%x 0x%x +\n", at, info.Size()-at)
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

func (b *badMedium) close() error {
	if b == nil {
		return nil
	}
	if err := b.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = b.cmd.Wait() // it was killed
	return nil
}
