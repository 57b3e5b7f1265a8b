package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"camseal/pkg/evidence"
)

// Recovery is what Open found of an earlier run.
type Recovery struct {
	Removed int                    // files of chunks that no statement names, or that were released: left by an interrupted write
	Aside   []string               // files in the chunk folder that no interrupted write explains; moved to quarantine
	Lost    []Lost                 // chunks whose statement stands and whose file is gone or has another size
	Open    []evidence.RecordingID // recordings not closed, oldest first
	Partial []Partial              // what is there of chunks of live recordings that no statement names
}

// Partial is a file of a live recording's next chunk, as far as it was written when the agent was killed.
type Partial struct {
	Rec   evidence.RecordingID
	Index uint64
	path  string
}

// InitName is under what Keep keeps the bytes that a captured recording begins with, while it is not closed.
func InitName(id evidence.RecordingID) string { return InitPrefix + id.String() }

// InitPrefix is what all InitNames begin with.
const InitPrefix = "capture/init/"

const (
	livePrefix = "live-"
	maxPartial = 64 << 20
)

// Lost names missing chunks of one recording.
type Lost struct {
	Rec    evidence.RecordingID
	Chunks []uint64
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// recover clears what an interrupted write left and counts what is held.
func (s *Spool) recover() (Recovery, error) {
	var rec Recovery
	if err := s.clearTemp(&rec); err != nil {
		return rec, err
	}
	if err := s.checkFiles(&rec); err != nil {
		return rec, err
	}
	err := s.Pending(context.Background(), func(r Recording) bool {
		if !r.Closed && r.From.IsZero() && !s.meta.left(&r) {
			rec.Open = append(rec.Open, r.ID)
		}
		var lost []uint64
		left := s.meta.left(&r)
		again, err := s.moved(r)
		if err != nil {
			s.cfg.Log.Error("a recording that is taken in again can't be read", "rec", r.ID.String(), "error", err)
		}
		err = s.Chunks(r.ID, r.Covered, func(c Chunk) bool {
			if slices.Contains(r.Absent, c.Index) {
				return true
			}
			path := s.chunkPath(chunkName(r.ID, c.Index))
			st, err := os.Lstat(path)
			sound := err == nil && st.Size() == s.onDisk(c.Size)
			switch {
			case left && c.Index < again: // taken in again, durably
				if err == nil && os.Remove(path) == nil {
					rec.Removed++
				}
				return true
			case left && err != nil: // nothing can be said of it any more
				return true
			case !sound && !left:
				lost = append(lost, c.Index)
			}
			s.held += int64(c.Size)
			return true
		})
		if err != nil {
			s.cfg.Log.Error("chunks of a recording can't be listed", "rec", r.ID.String(), "error", err)
		}
		if len(lost) > 0 {
			rec.Lost = append(rec.Lost, Lost{r.ID, lost})
		}
		return true
	})
	return rec, err
}

// clearTemp removes what interrupted writes left, but for live recordings, whose source does not have the bytes any more.
func (s *Spool) clearTemp(rec *Recovery) error {
	dir := filepath.Join(s.cfg.Dir, "tmp")
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		path := filepath.Join(dir, n.Name())
		if name, live := strings.CutPrefix(n.Name(), livePrefix); live {
			if id, index, ok := parseChunkName(name); ok {
				r, err := s.Recording(id)
				if err != nil && !isNotFound(err) {
					return err
				}
				if err == nil && r.Live && !r.Closed && index == r.Next {
					rec.Partial = append(rec.Partial, Partial{id, index, path})
					continue
				}
			}
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// ReadPartial returns the bytes of a partial chunk up to where they hold.
func (s *Spool) ReadPartial(p Partial) ([]byte, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	r, err := s.decrypt(f, "chunk", chunkNames(p.Rec, p.Index)...)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxPartial))
	if errors.Is(err, ErrDamaged) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // it ends there
	}
	return b, err
}

// DropPartial removes the file of a partial chunk. It can be repeated.
func (s *Spool) DropPartial(p Partial) error {
	if err := os.Remove(p.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// checkFiles removes chunk files that an interrupted write or release left, and moves others that nothing explains aside.
func (s *Spool) checkFiles(rec *Recovery) error {
	dir, err := os.Open(filepath.Join(s.cfg.Dir, "chunks"))
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, _ := dir.Readdirnames(1024)
		if len(names) == 0 {
			return nil
		}
		for _, name := range names {
			if err := s.checkFile(rec, name); err != nil {
				return fmt.Errorf("chunk file %s: %w", name, err)
			}
		}
	}
}

func (s *Spool) checkFile(rec *Recovery, name string) error {
	id, index, ok := parseChunkName(name)
	if !ok {
		return s.aside(rec, name)
	}
	r, err := s.Recording(id)
	switch {
	case err == nil && index == r.Next && !r.Closed && r.Live: // nobody else has the bytes
		to := filepath.Join(s.cfg.Dir, "tmp", livePrefix+name)
		rec.Partial = append(rec.Partial, Partial{id, index, to})
		return os.Rename(s.chunkPath(name), to)
	case isNotFound(err) && index == 0 && s.meta.Next > 0, // its open was in the same transaction
		err == nil && index == r.Next && !r.Closed, // its statement was not committed: the source still has the bytes
		err == nil && index < r.Covered:            // under a stored receipt
		rec.Removed++
		return os.Remove(s.chunkPath(name))
	case err == nil && index < r.Next && !slices.Contains(r.Absent, index):
		return nil
	case err == nil || isNotFound(err):
		return s.aside(rec, name)
	}
	return err
}

func (s *Spool) aside(rec *Recovery, name string) error {
	rec.Aside = append(rec.Aside, name)
	to := filepath.Join(s.cfg.Dir, "quarantine", fmt.Sprintf("%s.%d", name, s.now().UnixMilli()))
	return os.Rename(s.chunkPath(name), to)
}
