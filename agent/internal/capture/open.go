package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

const openAgain = time.Second

// open says a take's open statement, as a capture if the TPM answers in time, else as an import. It tries until it is said.
func (r *Recorder) open(c Config, t *take) (mode evidence.Mode, err error) {
	ctx := r.context()
	for tries := 0; ; tries++ {
		if err = c.Spool.Keep(spool.InitName(t.id), t.init); err == nil {
			c.Anchor(ctx)
			mode, err = r.openOnce(ctx, t)
		}
		if err == nil {
			return mode, nil
		}
		r.config.Log.Warn("a recording can't be opened yet; its footage is kept in memory as long as there is room", slog.String("rec", t.id.String()), slog.Any("error", err))
		timer := time.NewTimer(openAgain)
		select {
		case <-timer.C:
		case <-r.ended:
			timer.Stop()
			return "", err
		}
	}
}

func (r *Recorder) openOnce(ctx context.Context, t *take) (evidence.Mode, error) {
	c := r.config
	body := evidence.Open{Mode: evidence.ModeCapture, MediaType: mediaType, Source: r.source(t.name()), Sequence: &t.sequence, Continues: t.continues}
	entry := spool.Entry{Rec: t.id, Body: &body, Live: true, Docked: docked(t.begun.UnixMilli(), t.sequence)}
	wait, cancel := context.WithTimeout(ctx, c.CountWait)
	defer cancel()
	said := false
	err := c.Counted(wait, func(value string) error {
		body.Counter = value
		_, err := c.Spool.Append(ctx, entry)
		said = err == nil
		return err
	})
	if said {
		return evidence.ModeCapture, nil
	}
	if err == nil || wait.Err() == nil {
		return "", fmt.Errorf("open: %w", err)
	}
	intake := c.Spool.LastIntake()
	if intake == 0 {
		return "", fmt.Errorf("open: the TPM does not answer, and nothing was ever taken in here: %w", err)
	}
	body.Mode, body.Counter, body.Intake, body.ChunkSize = evidence.ModeImport, "", intake, importChunk
	if _, err := c.Spool.Append(ctx, entry); err != nil {
		return "", fmt.Errorf("open as an import: %w", err)
	}
	c.Log.Warn("the TPM does not answer: what is recorded now is sealed as an import", slog.String("rec", t.id.String()), slog.Uint64("intake", intake))
	return evidence.ModeImport, nil
}

// needIntake sees to it that the chain has an intake that an import can name. It waits for the TPM.
func needIntake(ctx context.Context, c Config) (seq uint64, err error) {
	for {
		if seq := c.Spool.LastIntake(); seq != 0 {
			return seq, nil
		}
		c.Anchor(ctx)
		err := c.Counted(ctx, func(value string) error {
			said, err := c.Spool.Append(ctx, spool.Entry{Body: &evidence.Intake{Counter: value, Recorder: c.Serial, Slot: slot}})
			if err == nil {
				seq = said[0].Seq
			}
			return err
		})
		if seq != 0 {
			return seq, nil
		}
		if !errors.Is(err, spool.ErrFull) {
			return 0, fmt.Errorf("intake: %w", err)
		}
		if err := c.Spool.WaitRoom(ctx, 0); err != nil {
			return 0, err
		}
	}
}
