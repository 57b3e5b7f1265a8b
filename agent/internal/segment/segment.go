// Package segment cuts footage into chunks. A file is cut at a fixed size, never at boxes or frames, and each byte is read
// once: into the chunk's hash, the whole file's hash and the chunk's copy.
package segment

import (
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"

	"camseal/pkg/evidence"
)

// pieceSize is how much is read at once.
const pieceSize = 256 << 10

// HeadSize is how many of a file's first bytes are kept to recognise its type.
const HeadSize = 512

// ReadError says that the source failed, and not the copy.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return fmt.Sprintf("read source: %v", e.Err) }

// Unwrap returns the system's error.
func (e *ReadError) Unwrap() error { return e.Err }

// Cutter cuts one file. It belongs to one goroutine.
type Cutter struct {
	size   int64
	buf    []byte
	whole  hash.Hash
	index  uint64
	offset uint64
	head   []byte
	before []byte // state of whole before the last Next
}

// New returns a cutter at the beginning of a file. size is the size of a chunk in bytes.
func New(size int64) *Cutter {
	return &Cutter{size: size, buf: make([]byte, min(pieceSize, size)), whole: sha256.New()}
}

// Resume returns a cutter that goes on at chunk index, offset bytes into the file, with the state that State gave there.
func Resume(size int64, index, offset uint64, state []byte) (*Cutter, error) {
	c := New(size)
	c.index, c.offset = index, offset
	if offset == 0 {
		return c, nil
	}
	if err := c.whole.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return nil, fmt.Errorf("resume hash at %d: %w", offset, err)
	}
	return c, nil
}

// Next reads the next chunk, at most limit bytes of it, from r and writes it to w. The chunk's Size is 0 when there was nothing to read.
// io.EOF says that the source ended before the chunk was full; a *ReadError, that it failed. With both, the chunk holds
// what was read. After any other error (of w, or the context) the chunk is void: Rewind, and go back to Offset in the source.
func (c *Cutter) Next(ctx context.Context, r io.Reader, limit int64, w io.Writer) (evidence.Chunk, error) {
	var err error
	if c.before, err = c.State(); err != nil {
		return evidence.Chunk{}, err
	}
	part := sha256.New()
	chunk := evidence.Chunk{Index: c.index, Offset: c.offset}
	for want := min(c.size, limit); int64(chunk.Size) < want && err == nil; {
		var n int
		if err = ctx.Err(); err != nil {
			return evidence.Chunk{}, err
		}
		n, err = r.Read(c.buf[:min(int64(len(c.buf)), want-int64(chunk.Size))])
		piece := c.buf[:n]
		part.Write(piece)
		c.whole.Write(piece)
		if len(c.head) < HeadSize && c.offset == 0 {
			c.head = append(c.head, piece[:min(n, HeadSize-len(c.head))]...)
		}
		if _, errW := w.Write(piece); errW != nil {
			return evidence.Chunk{}, errW
		}
		chunk.Size += uint64(n)
	}
	part.Sum(chunk.Hash[:0])
	if chunk.Size > 0 {
		c.index++
		c.offset += chunk.Size
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &ReadError{err}
	}
	return chunk, err
}

// Rewind takes back an unfinished Next.
func (c *Cutter) Rewind() error {
	if c.before == nil {
		return nil
	}
	if err := c.whole.(encoding.BinaryUnmarshaler).UnmarshalBinary(c.before); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	return nil
}

// State is what Resume needs to know of the whole file's hash.
func (c *Cutter) State() ([]byte, error) {
	state, err := c.whole.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("state of hash: %w", err)
	}
	return state, nil
}

// Sum is the SHA-256 of all chunks so far.
func (c *Cutter) Sum() evidence.Digest { return evidence.Digest(c.whole.Sum(nil)) }

// Offset is how many bytes were cut, and so where the next chunk begins.
func (c *Cutter) Offset() uint64 { return c.offset }

// Index is how many chunks were cut.
func (c *Cutter) Index() uint64 { return c.index }

// Head returns up to HeadSize of the file's first bytes; none after a Resume.
func (c *Cutter) Head() []byte { return c.head }

// ChunkSize is the size of a full chunk in bytes.
func (c *Cutter) ChunkSize() int64 { return c.size }
