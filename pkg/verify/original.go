package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"

	"camseal/pkg/evidence"
)

func newHash() hash.Hash { return sha256.New() }

// blockSize is how much of the original is read at once. Both hashes take the same block while it is in the cache.
const (
	blockSize = 512 << 10
	blocks    = 16
)

// block is a piece of the original that two goroutines hash.
type block struct {
	b     []byte
	users sync.WaitGroup
}

// checkOriginal reads the exhibit once: each chunk and the whole file are hashed from the same bytes, side by side.
func (c *check) checkOriginal() {
	want := OriginalPath(c.rec.Open)
	if c.onlyOriginal(want); !c.has(want) {
		c.broken(CodeMissingFile, Place{File: want, Rec: &c.rec.Rec}, "", "")
		return
	}
	cut := &cutter{chunks: c.rec.Chunks, bad: c.chunkChanged(want)}
	cut.absent = c.checkAbsent(want)
	whole, n, err := c.read(want, cut, int64(c.rec.Size))
	if err != nil {
		if c.ctx.Err() == nil {
			c.unreadable(CodeIO, want, fmt.Sprintf("at byte %d: %v", n, err))
		}
		return
	}
	c.hashes[want] = whole
	c.checkLength(want, n)
	if n == c.rec.Size && c.rec.Close != nil && whole != c.rec.Close.Hash && len(cut.absent) == 0 {
		c.broken(CodeWholeHash, Place{File: want, Rec: &c.rec.Rec}, "", fmt.Sprintf("want %s, got %s", c.rec.Close.Hash, whole))
	}
}

// checkAbsent says which chunks are not here, by the newest stored receipt.
func (c *check) checkAbsent(path string) map[uint64]bool {
	absent := map[uint64]bool{}
	if c.stored != nil {
		for _, i := range c.stored.Absent {
			absent[i] = true
			c.incomplete(CodeAbsent, c.chunkPlace(path, int(i)), fmt.Sprint(i), "")
		}
	}
	return absent
}

func (c *check) checkLength(path string, n uint64) {
	at := Place{File: path, Rec: &c.rec.Rec}
	switch {
	case n > c.rec.Size:
		c.broken(CodeLong, at, fmt.Sprint(c.rec.Size), "")
	case n == c.rec.Size:
	case c.stored != nil && c.stored.Chunks < uint64(len(c.rec.Chunks)) && n == c.rec.Chunks[c.stored.Chunks].Offset:
		// Not all was stored when the bundle was made; CodePartlyStored says so.
	default:
		i := 0
		for i < len(c.rec.Chunks) && c.rec.Chunks[i].Offset+c.rec.Chunks[i].Size <= n {
			i++
		}
		c.broken(CodeShort, c.chunkPlace(path, i), fmt.Sprint(n), fmt.Sprintf("want %d bytes", c.rec.Size))
	}
}

// onlyOriginal says which files stand where only the original may.
func (c *check) onlyOriginal(want string) {
	for p := range c.files {
		if strings.HasPrefix(p, DirOriginal) && p != want {
			c.broken(CodeUnexpected, Place{File: p}, "", "the original is "+want)
		}
	}
}

// chunkChanged reports a changed chunk.
func (c *check) chunkChanged(path string) func(i int, got evidence.Digest) {
	return func(i int, got evidence.Digest) {
		c.broken(CodeChunk, c.chunkPlace(path, i), fmt.Sprint(i), fmt.Sprintf("want %s, got %s", c.rec.Chunks[i].Hash, got))
	}
}

func (c *check) chunkPlace(path string, i int) Place {
	ch, index := c.rec.Chunks[i], uint64(i)
	p := Place{File: path, Rec: &c.rec.Rec, Seq: &ch.Seq, Chunk: &index, From: ch.Offset, Until: ch.Offset + ch.Size}
	p.Seconds = c.seconds(p.From, p.Until)
	return p
}

// hashOriginal hashes whatever stands in the original's place, for the manifest only.
func (c *check) hashOriginal() {
	for _, p := range c.paths() {
		if !strings.HasPrefix(p, DirOriginal) {
			continue
		}
		whole, _, err := c.read(p, nil, limitNone-1)
		if err == nil {
			c.hashes[p] = whole
		} else if c.ctx.Err() == nil {
			c.unreadable(CodeIO, p, err.Error())
		}
	}
}

// read hashes a file and gives its bytes to cut beside. It stops right after byte limit; then the hash is of no use and n
// is above limit.
func (c *check) read(path string, cut *cutter, limit int64) (evidence.Digest, uint64, error) {
	f, err := c.src.Open(path)
	if err != nil {
		return evidence.Digest{}, 0, err
	}
	defer f.Close()
	progress := func(n int64) {
		if c.opts.Progress != nil {
			c.opts.Progress(n, c.files[path])
		}
	}
	whole := newHash()
	sinks := []io.Writer{whole}
	if cut != nil {
		cut.h = newHash()
		sinks = append(sinks, cut)
	}
	size := min(limit, c.files[path]) + 1
	n, err := fanOut(c.ctx, io.LimitReader(f, limit+1), int(min(size, blockSize)), sinks, progress)
	return evidence.Digest(whole.Sum(nil)), uint64(n), err
}

// fanOut reads r to its end and gives every block of size bytes to all sinks, each of which has a goroutine of its own. Sinks
// do not fail. It returns once all of them are done.
func fanOut(ctx context.Context, r io.Reader, size int, sinks []io.Writer, progress func(int64)) (int64, error) {
	free := make(chan *block, blocks)
	for range blocks {
		free <- &block{b: make([]byte, size)}
	}
	var done sync.WaitGroup
	queues := make([]chan *block, len(sinks))
	for i, s := range sinks {
		queues[i] = make(chan *block, blocks)
		done.Go(func() {
			for b := range queues[i] {
				_, _ = s.Write(b.b) // hashes do not fail
				b.users.Done()
			}
		})
	}
	n, err := feed(ctx, r, free, queues, progress)
	for _, q := range queues {
		close(q)
	}
	done.Wait()
	return n, err
}

func feed(ctx context.Context, r io.Reader, free chan *block, queues []chan *block, progress func(int64)) (int64, error) {
	total := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		b := <-free
		b.users.Wait()
		n, err := io.ReadFull(r, b.b[:cap(b.b)])
		if n > 0 {
			b.b = b.b[:n]
			b.users.Add(len(queues))
			for _, q := range queues {
				q <- b
			}
			total += int64(n)
			progress(total)
		}
		free <- b
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// cutter hashes the bytes written to it chunk by chunk.
type cutter struct {
	chunks []ChunkAt
	absent map[uint64]bool // these hold zeros
	bad    func(i int, got evidence.Digest)
	h      hash.Hash
	i      int
	done   uint64 // bytes of chunk i
	filled bool   // an absent chunk holds something else than zeros
}

var zeros [blockSize]byte

// Write implements io.Writer. It never fails; bytes after the last chunk are left out.
func (c *cutter) Write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 && c.i < len(c.chunks) {
		n := int(min(uint64(len(p)), c.chunks[c.i].Size-c.done))
		if c.absent[uint64(c.i)] {
			c.filled = c.filled || !bytes.Equal(p[:n], zeros[:n])
		} else {
			c.h.Write(p[:n])
		}
		p, c.done = p[n:], c.done+uint64(n)
		if c.done == c.chunks[c.i].Size {
			c.end()
		}
	}
	return all, nil
}

func (c *cutter) end() {
	var got evidence.Digest
	if c.absent[uint64(c.i)] {
		if c.filled {
			c.bad(c.i, got)
		}
	} else if c.h.Sum(got[:0]); got != c.chunks[c.i].Hash {
		c.bad(c.i, got)
	}
	c.h.Reset()
	c.i, c.done, c.filled = c.i+1, 0, false
}
