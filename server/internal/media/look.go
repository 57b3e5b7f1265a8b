package media

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"camseal/pkg/durable"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// look finds out what a recording holds and makes its pictures. The try is written down before it begins: a file that brings the server
// down does so three times at most.
func (m *Maker) look(ctx context.Context, r db.Recording) error {
	old, err := m.Catalog.Media(ctx, r.Device, r.Rec)
	if err != nil && !errors.Is(err, catalog.ErrUnknown) {
		return err
	}
	known := err == nil && old.StoredChunks == r.StoredChunks
	if known && (!old.NextAt.Valid || old.NextAt.Int64 > m.Now().UnixMilli()) {
		return nil // meanwhile it was done
	}
	if !known {
		if kept, ok := m.kept(r); ok {
			return m.keep(ctx, kept, old.Bytes)
		}
		old.Tries = 0
	}
	row := old
	row.Device, row.Rec, row.StoredChunks = r.Device, r.Rec, r.StoredChunks
	row.Tries, row.Failure, row.Detail = old.Tries+1, FailureInterrupted, ""
	row.NextAt = m.retry(row.Tries)
	if err := m.Catalog.PutMedia(ctx, row); err != nil {
		return err
	}
	begin := m.Now()
	facts, files, err := m.make(ctx, r)
	if ctx.Err() != nil {
		row.Tries, row.NextAt = old.Tries, catalog.Moment(time.UnixMilli(0))
		return m.Catalog.PutMedia(context.WithoutCancel(ctx), row)
	}
	var counts bool
	row.Failure, row.Detail, counts = m.failed(ctx, r, err)
	switch {
	case err == nil:
		row.NextAt = catalog.Never
	case !counts:
		row.Tries, row.NextAt = old.Tries, catalog.Moment(m.Now().Add(later))
	default:
		row.NextAt = m.retry(row.Tries)
	}
	fill(&row, facts, files)
	if err := m.write(row, files); err != nil {
		return err
	}
	if err := m.keep(ctx, row, old.Bytes); err != nil {
		return err
	}
	m.Slog.InfoContext(ctx, "recording looked into", slog.String("rec", r.Rec), slog.String("kind", row.Kind), slog.String("container", row.Container),
		slog.Bool("playable", facts.Playable), slog.Duration("took", m.Now().Sub(begin)))
	if !m.Always || !Derivable(row) {
		return nil
	}
	if err := m.Ask(ctx, Actor, r); err != nil {
		row.NextAt = catalog.Moment(m.Now().Add(later))
		return errors.Join(err, m.Catalog.PutMedia(context.WithoutCancel(ctx), row))
	}
	return nil
}

// make looks into a checked copy of the original. What was made before an error is returned with it.
func (m *Maker) make(ctx context.Context, r db.Recording) (Facts, map[string][]byte, error) {
	if r.StoredChunks == 0 {
		return Facts{}, nil, nil
	}
	f, err := m.original(ctx, r)
	if err != nil {
		return Facts{}, nil, err
	}
	defer f.Close()
	facts, err := Probe(ctx, f)
	if err != nil {
		return Facts{}, nil, fmt.Errorf("look into it: %w", err)
	}
	files, err := pictures(ctx, f, facts)
	return facts, files, err
}

func fill(row *db.Medium, f Facts, files map[string][]byte) {
	row.Kind, row.Container, row.Video, row.Audio = f.Kind, f.Container, f.Video, f.Audio
	row.Duration, row.Width, row.Height, row.Rate = f.Duration.Milliseconds(), int64(f.Width), int64(f.Height), int64(f.Rate)
	row.Playable, row.Poster, row.Strip, row.Wave = one(f.Playable), one(files[PosterFile] != nil), one(files[StripFile] != nil), one(files[WaveFile] != nil)
	row.Bytes = 0
	for _, b := range files {
		row.Bytes += int64(len(b))
	}
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// dir is where the files of a recording are.
func (m *Maker) dir(device, rec string) string {
	return filepath.Join(m.Dir, rec[:2], rec+"-"+device)
}

// write puts the files down in place of older ones, last what was found: where that is, the rest is.
func (m *Maker) write(row db.Medium, files map[string][]byte) error {
	dir := m.dir(row.Device, row.Rec)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return fmt.Errorf("keep what was made: %w", err)
	}
	for name, b := range files {
		if err := durable.Write(filepath.Join(dir, name), b, 0o600); err != nil {
			return fmt.Errorf("keep what was made: %w", err)
		}
	}
	raw, err := json.Marshal(row)
	if err == nil && row.Failure == "" {
		err = durable.Write(filepath.Join(dir, factsFile), raw, 0o600)
	}
	return err
}

// kept is what was made of a recording before the catalog was made anew.
func (m *Maker) kept(r db.Recording) (row db.Medium, ok bool) {
	raw, err := os.ReadFile(filepath.Join(m.dir(r.Device, r.Rec), factsFile))
	if err != nil || json.Unmarshal(raw, &row) != nil {
		return db.Medium{}, false // it is made again
	}
	return row, row.Device == r.Device && row.Rec == r.Rec && row.StoredChunks == r.StoredChunks
}

// keep writes the row, whose files took up was bytes before, and makes room if there are too many files now.
func (m *Maker) keep(ctx context.Context, row db.Medium, was int64) error {
	row.UsedAt = m.Now().UnixMilli()
	if err := m.Catalog.PutMedia(ctx, row); err != nil {
		return err
	}
	m.mu.Lock()
	m.bytes += row.Bytes - was
	over := m.bytes > m.MaxBytes
	m.mu.Unlock()
	if !over {
		return nil
	}
	return m.makeRoom(ctx, row.Rec)
}

// makeRoom removes the files that were not used for longest until a tenth of the space is free; those of one recording stay.
func (m *Maker) makeRoom(ctx context.Context, spare string) error {
	for {
		list, err := m.Catalog.MediaOldest(ctx, page)
		if err != nil {
			return err
		}
		removed := 0
		for _, row := range list {
			m.mu.Lock()
			enough := m.bytes <= m.MaxBytes/10*9
			m.mu.Unlock()
			if enough {
				return nil
			}
			if row.Rec == spare {
				continue
			}
			if err := errors.Join(os.RemoveAll(m.dir(row.Device, row.Rec)), m.Catalog.MediaRemoved(ctx, row.Device, row.Rec)); err != nil {
				return fmt.Errorf("make room for media: %w", err)
			}
			m.mu.Lock()
			m.bytes -= row.Bytes
			m.mu.Unlock()
			removed++
		}
		if removed == 0 {
			return nil
		}
	}
}

// clean removes what was made of recordings that were disposed of. m.mu is held.
func (m *Maker) clean(ctx context.Context) error {
	list, err := m.Catalog.MediaOfGone(ctx, page)
	for _, row := range list {
		if m.busy[key{row.Device, row.Rec, false}] {
			continue // next time
		}
		if err == nil {
			err = os.RemoveAll(m.dir(row.Device, row.Rec))
		}
		if err == nil {
			err = m.Catalog.ForgetMedia(ctx, row.Device, row.Rec)
		}
		m.bytes -= row.Bytes
	}
	if err != nil {
		return fmt.Errorf("remove pictures of what was disposed of: %w", err)
	}
	return nil
}

// Open opens one of a recording's files for reading. One that was removed to make room is made again meanwhile. Errors: catalog.ErrUnknown.
func (m *Maker) Open(ctx context.Context, r db.Recording, name string) (*os.File, error) {
	row, err := m.Catalog.Media(ctx, r.Device, r.Rec)
	if err != nil {
		return nil, err
	}
	there := map[string]int64{PosterFile: row.Poster, StripFile: row.Strip, TilesFile: row.Strip, WaveFile: row.Wave}[name]
	f, err := os.Open(filepath.Join(m.dir(r.Device, r.Rec), name))
	switch {
	case errors.Is(err, os.ErrNotExist):
		if there == 1 {
			if err := m.Catalog.MediaAgain(ctx, r.Device, r.Rec); err != nil {
				return nil, err
			}
			m.wake()
		}
		return nil, fmt.Errorf("%s of %s: %w", name, r.Rec, catalog.ErrUnknown)
	case err != nil:
		return nil, err
	}
	if now := m.Now(); now.Sub(time.UnixMilli(row.UsedAt)) > usedOften {
		if err := m.Catalog.MediaUsed(ctx, r.Device, r.Rec, now.UnixMilli()); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}
