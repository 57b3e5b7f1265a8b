package feed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// pipe takes in what a program writes to a FIFO until it ends, and returns why.
func (s *Source) pipe(ctx context.Context, in *intake) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	f, err := os.OpenFile(s.config.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("the pipe can't be opened: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		return fmt.Errorf("%s is not a pipe", s.config.Path)
	}
	defer context.AfterFunc(ctx, func() { _ = f.Close() })()
	first, err := writer(ctx, in, f)
	if err == nil {
		err = s.stream(ctx, in, f, bufio.NewReaderSize(io.MultiReader(bytes.NewReader(first), f), 64<<10), stop)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the program that writes to the pipe ended")
	}
	return err
}

// writer waits for a program that writes, and returns what it wrote first.
func writer(ctx context.Context, in *intake, f *os.File) (first []byte, err error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	first, began, said := make([]byte, 4096), in.config.Now(), false
	for {
		n, err := f.Read(first)
		if n > 0 {
			return first[:n], nil
		}
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		if !said && in.config.Now().Sub(began) >= in.config.Stall {
			said = true
			in.ended(errors.New("no program writes to the pipe"))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
}

// container is a stream whose tracks are known.
type container interface {
	// next reads on and gives what it read to the intake.
	next(in *intake) error
}

// stream takes in a container, which its first bytes tell apart.
func (s *Source) stream(ctx context.Context, in *intake, f *os.File, r *bufio.Reader, stop context.CancelCauseFunc) error {
	if err := f.SetReadDeadline(in.config.Now().Add(s.config.Stall)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return err
	}
	head, err := r.Peek(8)
	if err != nil {
		return silent(err)
	}
	open := openTS
	if string(head[4:]) == "ftyp" {
		open = openMP4
	}
	var c container
	var video, audio *Track
	var left []string
	if err := safely(func() (err error) {
		c, video, audio, left, err = open(r)
		return err
	}); err != nil {
		return silent(err)
	}
	if video == nil && audio == nil {
		return fmt.Errorf("the pipe has neither pictures nor sound that can be taken (%d tracks)", len(left))
	}
	if err := f.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return err
	}
	in.connected(video, audio, left)
	go s.watch(ctx, in, stop)
	for {
		if err := c.next(in); err != nil {
			return err
		}
	}
}

func silent(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the program that writes to the pipe writes nothing that can be understood")
	}
	return fmt.Errorf("the pipe holds neither MPEG-TS nor fragmented MP4: %w", err)
}
