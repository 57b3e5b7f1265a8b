package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"camseal/pkg/evidence"
)

// Temp is a chunk's file while it is written. It belongs to one goroutine. Either Append takes it, with the chunk's statement,
// or Discard removes it.
type Temp struct {
	s      *Spool
	f      *os.File
	w      io.WriteCloser // encrypts into f
	path   string
	max    int64
	size   int64
	done   bool
	synced bool
	named  bool // its name survives a power cut
}

// Temp promises room for a chunk of at most size bytes and makes its file, which only a chunk of that recording and index can
// take. Errors: ErrFull.
func (s *Spool) Temp(id evidence.RecordingID, index uint64, size int64) (*Temp, error) {
	s.mu.Lock()
	room, err := s.room()
	if err == nil && room < size {
		err = fmt.Errorf("%w: %d bytes can be taken in, %d are asked for", ErrFull, max(room, 0), size)
	}
	if err == nil && s.broken != nil {
		err = s.broken
	}
	if err == nil {
		s.promise += size
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.makeTemp(id, index, size)
}

// TempAgain is Temp for bytes that are held already and go from the old file after this: it needs no room but the disk's.
func (s *Spool) TempAgain(id evidence.RecordingID, index uint64, size int64) (*Temp, error) {
	s.mu.Lock()
	err := s.broken
	if err == nil {
		s.promise += size
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.makeTemp(id, index, size)
}

// TempLive is Temp for a chunk of a live recording, whose size is not known beforehand: room is promised by Reserve. What is on the disk
// of it is kept when the agent is killed: see Recovery.Partial.
func (s *Spool) TempLive(id evidence.RecordingID, index uint64) (*Temp, error) {
	s.mu.Lock()
	err := s.broken
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.cfg.Dir, "tmp", livePrefix+chunkName(id, index)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, full(err)
	}
	return s.encryptTemp(f, id, index, 0)
}

// Reserve promises room for n more bytes. Errors: ErrFull; the file is as before, and can be taken by Append as it is.
func (t *Temp) Reserve(n int64) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	room, err := t.s.room()
	if err == nil && room < n {
		err = fmt.Errorf("%w: %d bytes can be taken in, %d are asked for", ErrFull, max(room, 0), n)
	}
	if err == nil {
		t.s.promise += n
		t.max += n
	}
	return err
}

// Size is how many bytes were written.
func (t *Temp) Size() int64 { return t.size }

// Sync has what was written so far, but for the 64 KiB that encryption may hold back, survive a power cut.
func (t *Temp) Sync() error {
	if err := syscall.Fdatasync(int(t.f.Fd())); err != nil {
		return fmt.Errorf("write chunk: %w", full(err))
	}
	if !t.named {
		if err := syncFolder(filepath.Dir(t.path)); err != nil {
			return err
		}
		t.named = true
	}
	t.s.cfg.Step("part synced")
	return nil
}

// makeTemp makes the file of a chunk whose room is promised.
func (s *Spool) makeTemp(id evidence.RecordingID, index uint64, size int64) (*Temp, error) {
	f, err := os.CreateTemp(filepath.Join(s.cfg.Dir, "tmp"), "chunk-*")
	if err != nil {
		s.unpromise(size)
		return nil, full(err)
	}
	return s.encryptTemp(f, id, index, size)
}

func (s *Spool) encryptTemp(f *os.File, id evidence.RecordingID, index uint64, size int64) (t *Temp, err error) {
	t = &Temp{s: s, f: f, path: f.Name(), max: size}
	if t.w, err = s.encrypt(f, "chunk", chunkNames(id, index)...); err != nil {
		t.Discard()
		return nil, err
	}
	return t, nil
}

func (s *Spool) unpromise(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promise -= size
	s.wake()
}

// full turns "no space" errors of the system into ErrFull.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// Write implements io.Writer. Errors: ErrFull; the file is to be discarded then.
func (t *Temp) Write(b []byte) (int, error) {
	if t.size+int64(len(b)) > t.max {
		return 0, fmt.Errorf("chunk larger than the %d bytes promised", t.max)
	}
	n, err := t.w.Write(b)
	t.size += int64(n)
	return n, full(err)
}

// Discard gives up the file and its room. After a successful Append it does nothing.
func (t *Temp) Discard() {
	if t.done {
		return
	}
	t.done = true
	if t.f != nil {
		t.f.Close()
	}
	t.s.mu.Lock()
	broken := t.s.broken
	t.s.mu.Unlock()
	if broken == nil { // else its statement may be durable
		os.Remove(t.path)
	}
	t.s.unpromise(t.max)
}

// Leave ends the writing of a live recording's chunk with what is on the disk kept: see Recovery.Partial.
func (t *Temp) Leave() {
	if t.done {
		return
	}
	t.done = true
	if t.f != nil {
		if err := errors.Join(t.w.Close(), t.f.Sync(), t.f.Close()); err != nil {
			t.s.cfg.Log.Error("what was written of a chunk may not be whole", "error", err)
		}
	}
	t.s.unpromise(t.max)
}

// place makes the file durable under its chunk's name. It can be repeated.
func (t *Temp) place(e Entry) error {
	c, ok := e.Body.(*evidence.Chunk)
	if !ok || t.done {
		return fmt.Errorf("%w: a file without its chunk", errOrder)
	}
	if !t.synced {
		if err := errors.Join(t.w.Close(), t.f.Sync(), t.f.Close()); err != nil {
			t.f = nil
			return fmt.Errorf("write chunk: %w", full(err))
		}
		t.f, t.synced = nil, true
		t.s.cfg.Step("chunk synced")
	}
	path := t.s.chunkPath(chunkName(e.Rec, c.Index))
	if t.path != path {
		if err := os.Rename(t.path, path); err != nil {
			return fmt.Errorf("write chunk: %w", full(err))
		}
		t.path = path
	}
	if err := t.s.chunks.Sync(); err != nil {
		return fmt.Errorf("write chunk: %w", full(err))
	}
	t.s.cfg.Step("chunk in place")
	return nil
}

func chunkName(r evidence.RecordingID, index uint64) string {
	return fmt.Sprintf("%s-%08d", r, index)
}

func parseChunkName(name string) (evidence.RecordingID, uint64, bool) {
	id, number, _ := strings.Cut(name, "-")
	r, err := evidence.ParseRecordingID(id)
	index, errN := strconv.ParseUint(number, 10, 63)
	return r, index, err == nil && errN == nil && chunkName(r, index) == name
}

func (s *Spool) chunkPath(name string) string { return filepath.Join(s.cfg.Dir, "chunks", name) }

// OpenChunk opens the bytes of a chunk that is held, and says how many they are. Errors: ErrNotFound when it is released, lost, or
// never was; reading gives ErrDamaged when they are not those that were written.
func (s *Spool) OpenChunk(id evidence.RecordingID, index uint64) (io.ReadCloser, int64, error) {
	f, err := os.Open(s.chunkPath(chunkName(id, index)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, fmt.Errorf("chunk %d of %s: %w", index, id, ErrNotFound)
	}
	if err != nil {
		return nil, 0, err
	}
	c, err := s.Chunk(id, index)
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	r, err := s.decrypt(f, "chunk", chunkNames(id, index)...)
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return r, int64(c.Size), nil
}

// quarantine moves what is left of a file aside; nobody reads it again but a person.
func (s *Spool) quarantine(name string) {
	to := filepath.Join(s.cfg.Dir, "quarantine", fmt.Sprintf("%s.%d", name, s.now().UnixMilli()))
	if err := os.Rename(s.chunkPath(name), to); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.cfg.Log.Error("damaged chunk stays where it is", "file", name, "error", err)
	}
}
