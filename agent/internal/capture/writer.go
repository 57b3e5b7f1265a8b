package capture

import (
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// importChunk is the chunk size of a live recording in import mode.
const importChunk = 1 << 20

// writer writes one recording's bytes into the spool, chunk by chunk: a chunk is what is written between two calls of end, or, with size, that many
// bytes.
type writer struct {
	spool *spool.Spool
	rec   evidence.RecordingID
	size  int // bytes of a full chunk; 0: end says

	index, offset uint64 // of the chunk under way
	whole, chunk  hash.Hash
	files         []*spool.Temp // of the chunk under way, and with size of further ones
	room          int           // bytes that files can still take, with size
	dirty         bool          // something is written and not synced
	full          []spool.Entry // with size: chunks that are complete
	before        []byte        // state of whole before the chunk under way
}

func newWriter(s *spool.Spool, rec evidence.RecordingID, size int) *writer {
	return &writer{spool: s, rec: rec, size: size, whole: sha256.New(), chunk: sha256.New()}
}

// write writes all of b or, if there is no room for it (spool.ErrFull), nothing. After any other error the chunk under way is lost: see discard.
func (w *writer) write(b []byte) error {
	if w.empty() {
		var err error
		if w.before, err = w.whole.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
			return fmt.Errorf("state of hash: %w", err)
		}
	}
	if err := w.reserve(len(b)); err != nil {
		return err
	}
	for len(b) > 0 {
		n := len(b)
		if w.size > 0 {
			n = min(n, w.size-int(w.files[0].Size()))
		}
		if _, err := w.files[0].Write(b[:n]); err != nil {
			return fmt.Errorf("write chunk %d: %w", w.index, broken{err})
		}
		w.chunk.Write(b[:n])
		w.whole.Write(b[:n])
		w.room -= n
		w.dirty, b = true, b[n:]
		if w.size > 0 && int(w.files[0].Size()) == w.size {
			e, err := w.end(evidence.Chunk{})
			if err != nil {
				return err
			}
			w.full = append(w.full, e)
		}
	}
	return nil
}

// broken hides that an error is spool.ErrFull: the file that it came from can't be gone on with.
type broken struct{ error }

func (w *writer) reserve(n int) error {
	if w.size == 0 {
		if len(w.files) == 0 {
			f, err := w.spool.TempLive(w.rec, w.index)
			if err != nil {
				return err
			}
			w.files = append(w.files, f)
		}
		return w.files[0].Reserve(int64(n))
	}
	for w.room < n {
		f, err := w.spool.TempLive(w.rec, w.index+uint64(len(w.files)))
		if err != nil {
			return err
		}
		if err := f.Reserve(int64(w.size)); err != nil {
			f.Discard()
			return err
		}
		w.files = append(w.files, f)
		w.room += w.size
	}
	return nil
}

// empty reports whether nothing is written of the chunk under way.
func (w *writer) empty() bool { return len(w.files) == 0 || w.files[0].Size() == 0 }

// end completes the chunk under way, of which something is written; c holds its times.
func (w *writer) end(c evidence.Chunk) (spool.Entry, error) {
	state, err := w.whole.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return spool.Entry{}, fmt.Errorf("state of hash: %w", err)
	}
	f := w.files[0]
	c.Index, c.Offset, c.Size, c.Hash = w.index, w.offset, uint64(f.Size()), evidence.Digest(w.chunk.Sum(nil))
	w.files = w.files[1:]
	w.index++
	w.offset += c.Size
	w.chunk.Reset()
	w.dirty = false
	return spool.Entry{Rec: w.rec, Body: &c, File: f, HashState: state}, nil
}

// last completes the last chunk of a recording with size, if something is written of it.
func (w *writer) last() error {
	if w.size == 0 || w.empty() {
		return nil
	}
	e, err := w.end(evidence.Chunk{})
	w.full = append(w.full, e)
	return err
}

// sync has what is written survive a power cut.
func (w *writer) sync() error {
	if !w.dirty || len(w.files) == 0 {
		return nil
	}
	w.dirty = false
	return w.files[0].Sync()
}

// back gives up what was written of the chunk under way.
func (w *writer) back() error {
	w.discard()
	w.chunk.Reset()
	return w.whole.(encoding.BinaryUnmarshaler).UnmarshalBinary(w.before)
}

// lose gives up a chunk that end completed and no statement names.
func (w *writer) lose(e spool.Entry) error {
	c := e.Body.(*evidence.Chunk)
	e.File.Discard()
	w.index, w.offset = c.Index, c.Offset
	return w.back()
}

// leave ends writing with what is on the disk kept for the next start.
func (w *writer) leave() {
	for _, f := range w.files {
		f.Leave()
	}
	w.files, w.full = nil, nil
}

// discard gives up files that are written and named by no statement.
func (w *writer) discard() {
	for _, f := range w.files {
		f.Discard()
	}
	for _, e := range w.full {
		e.File.Discard()
	}
	w.files, w.full, w.room, w.dirty = nil, nil, 0, false
}

// closing is the close statement.
func (w *writer) closing(duration uint64, why string) *evidence.Close {
	return &evidence.Close{Chunks: w.index, Hash: evidence.Digest(w.whole.Sum(nil)), Size: w.offset, Duration: duration, Why: why}
}

// isFull reports whether there was no room, and nothing is broken.
func isFull(err error) bool { return errors.Is(err, spool.ErrFull) }
