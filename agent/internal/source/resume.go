package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"camseal/agent/internal/segment"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// Resume goes on with recordings that an earlier run left open: it reads the rest of a file that is unchanged, and closes the recording as
// faulty if it was changed or is gone. Live ones are left alone. One that stays behind because the chain goes on elsewhere is passed over: see Again. One of a
// docked volume stays open: it is gone on with when its recorder is back.
func (t *Taker) Resume(ctx context.Context, open []evidence.RecordingID, o Options) error {
	r := &run{Taker: t, Options: o}
	for _, id := range open {
		rec, err := t.Spool.Recording(id)
		if err != nil {
			return err
		}
		if rec.Closed || rec.Origin.Docked || rec.Live {
			continue
		}
		if err := r.resume(ctx, rec); err != nil && !errors.Is(err, spool.ErrForked) {
			return fmt.Errorf("go on with %s: %w", id, err)
		}
	}
	return nil
}

func (r *run) resume(ctx context.Context, rec spool.Recording) error {
	release, err := r.claim(ctx, spool.Identity(rec.Source))
	if err != nil {
		return err
	}
	defer release()
	if rec, err = r.Spool.Recording(rec.ID); err != nil || rec.Closed {
		return err
	}
	f, now, err := r.openFile(string(rec.Origin.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r.abandon(ctx, rec, evidence.WhyVanished, "it was gone before all of it was read")
	case err != nil:
		return r.abandon(ctx, rec, evidence.WhyReadError, "the rest can't be read: "+err.Error())
	}
	defer f.Close()
	if !rec.Origin.Same(now) {
		return r.abandon(ctx, rec, evidence.WhyChanged, "it was changed before all of it was read")
	}
	cut, err := segment.Resume(int64(rec.ChunkSize), rec.Next, rec.Offset, rec.HashState)
	if err != nil {
		return err
	}
	rd := &reading{run: r, f: r.medium(ctx, f, now), was: rec.Origin, rec: rec.ID, begun: true, cut: cut}
	return rd.all(ctx)
}

// abandon closes a recording whose rest can't be read any more.
func (r *run) abandon(ctx context.Context, rec spool.Recording, why, detail string) error {
	cut, err := segment.Resume(int64(rec.ChunkSize), rec.Next, rec.Offset, rec.HashState)
	if err != nil {
		return err
	}
	fault := &evidence.Fault{Why: why, Detail: detail, Offset: rec.Offset, Size: rec.Source.Size - min(rec.Source.Size, rec.Offset)}
	closing := &evidence.Close{Chunks: rec.Next, Hash: cut.Sum(), Size: rec.Offset, Why: why}
	if _, err := r.append(ctx, spool.Entry{Rec: rec.ID, Body: fault}, spool.Entry{Rec: rec.ID, Body: closing}); err != nil {
		return err
	}
	r.report(Event{Kind: EventFaulty, Path: rec.Origin.Path, Rec: rec.ID, Bytes: rec.Offset, Size: rec.Source.Size,
		Text: fmt.Sprintf("%s; the %d bytes that were read are kept and sealed", detail, rec.Offset)})
	return nil
}
