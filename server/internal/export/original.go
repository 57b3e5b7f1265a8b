package export

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sort"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/ingest/manifest"
)

// Original is a recording's bytes as they lie in the vault, as far as its stored receipt reaches. Chunks declared lost read as zeros.
// It is safe for concurrent use.
type Original struct {
	vault  archive.Vault
	chunks []verify.ChunkAt
	refs   []archive.Ref // Key is empty for absent chunks
	size   int64
}

// OpenOriginal finds the chunks of a recording by the manifest that its stored leaf names.
func OpenOriginal(ctx context.Context, v archive.Vault, rec *verify.Recording, stored *evidence.Stored) (*Original, error) {
	if stored.Chunks > uint64(len(rec.Chunks)) {
		return nil, fmt.Errorf("recording %s: %d chunks stored, %d sealed", rec.Rec, stored.Chunks, len(rec.Chunks))
	}
	o := &Original{vault: v, chunks: rec.Chunks[:stored.Chunks], refs: make([]archive.Ref, stored.Chunks)}
	err := manifest.Read(ctx, v, stored, func(l manifest.Line) error {
		if l.Index >= stored.Chunks || l.Hash != o.chunks[l.Index].Hash || l.Size != o.chunks[l.Index].Size {
			return fmt.Errorf("chunk %d is not the one that was sealed", l.Index)
		}
		o.refs[l.Index] = archive.Ref{Key: l.Key, Version: l.Version, Hash: l.Hash, Size: int64(l.Size)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, r := range o.refs {
		if r.Key == "" && !verifyAbsent(stored, uint64(i)) {
			return nil, fmt.Errorf("recording %s: the manifest does not name chunk %d", rec.Rec, i)
		}
	}
	if n := len(o.chunks); n > 0 {
		o.size = int64(o.chunks[n-1].Offset + o.chunks[n-1].Size)
	}
	return o, nil
}

func verifyAbsent(stored *evidence.Stored, index uint64) bool { return !verify.Holds(stored, index) }

// Size returns the number of bytes.
func (o *Original) Size() int64 { return o.size }

// block is how much is held back until a chunk is known to be right.
const block = 64 << 10

// WriteRange writes the bytes from from to before until. Every chunk that it touches is read whole and hashed; the last bytes of a
// chunk, or of what is wanted of it, are written only after its hash was found right. Errors: *archive.WrongBytes.
func (o *Original) WriteRange(ctx context.Context, w io.Writer, from, until int64) error {
	return o.eachChunk(from, until, func(i int, lo, hi int64) error { return o.writeChunk(ctx, w, i, lo, hi) })
}

// ShowRange is WriteRange for what people look at while it comes in: each chunk is read twice, first only to hash it, so that not one
// byte of a wrong chunk is written. Errors: *archive.WrongBytes.
func (o *Original) ShowRange(ctx context.Context, w io.Writer, from, until int64) error {
	return o.eachChunk(from, until, func(i int, lo, hi int64) error {
		if err := o.writeChunk(ctx, io.Discard, i, 0, 0); err != nil {
			return err
		}
		return o.writeChunk(ctx, w, i, lo, hi)
	})
}

// eachChunk calls f for each chunk with bytes from from to before until, and with what is wanted of it, counted from its begin.
func (o *Original) eachChunk(from, until int64, f func(i int, lo, hi int64) error) error {
	i := sort.Search(len(o.chunks), func(i int) bool { return int64(o.chunks[i].Offset+o.chunks[i].Size) > from })
	for ; i < len(o.chunks) && int64(o.chunks[i].Offset) < until; i++ {
		c := o.chunks[i]
		lo, hi := max(from-int64(c.Offset), 0), min(until-int64(c.Offset), int64(c.Size))
		if err := f(i, lo, hi); err != nil {
			return err
		}
	}
	return nil
}

func (o *Original) writeChunk(ctx context.Context, w io.Writer, i int, lo, hi int64) error {
	ref := o.refs[i]
	if ref.Key == "" {
		_, err := io.CopyN(w, zeros{}, hi-lo)
		return err
	}
	in, err := o.vault.Open(ctx, ref, 0)
	if err != nil {
		return fmt.Errorf("chunk %d: %w", i, err)
	}
	defer in.Close()
	h := sha256.New()
	held := make([]byte, 0, block) // the newest wanted bytes
	buf := make([]byte, block)
	for at := int64(0); ; {
		n, err := io.ReadFull(in, buf)
		h.Write(buf[:n])
		if a, b := max(lo-at, 0), min(hi-at, int64(n)); a < b {
			if _, err := w.Write(held); err != nil {
				return err
			}
			held = append(held[:0], buf[a:b]...)
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if got := evidence.Digest(h.Sum(nil)); got != ref.Hash || at != ref.Size {
				return &archive.WrongBytes{Key: ref.Key, Want: ref.Hash, Got: got, WantSize: ref.Size, GotSize: at}
			}
			_, err = w.Write(held)
			return err
		}
		if err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
		if at > ref.Size {
			return &archive.WrongBytes{Key: ref.Key, Want: ref.Hash, WantSize: ref.Size, GotSize: at}
		}
	}
}

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Part is one chunk of an original.
type Part struct {
	verify.ChunkAt
	Absent bool // declared lost: its bytes are nowhere
}

// Parts returns the chunks in order.
func (o *Original) Parts() []Part {
	out := make([]Part, len(o.chunks))
	for i, c := range o.chunks {
		out[i] = Part{ChunkAt: c, Absent: o.refs[i].Key == ""}
	}
	return out
}

// CheckPart reads a part and hashes it. Errors: *archive.WrongBytes; archive.ErrNotFound.
func (o *Original) CheckPart(ctx context.Context, i int) error {
	return o.writeChunk(ctx, io.Discard, i, 0, 0)
}

// OpenPart opens the bytes of chunk i as they lie in the vault. They are not checked: whoever reads them does. The caller closes the
// reader. Errors wrap archive.ErrNotFound if there is no such chunk, it is absent, or the vault has lost it.
func (o *Original) OpenPart(ctx context.Context, i uint64) (io.ReadCloser, error) {
	if i >= uint64(len(o.refs)) || o.refs[i].Key == "" {
		return nil, fmt.Errorf("chunk %d: %w", i, archive.ErrNotFound)
	}
	r, err := o.vault.Open(ctx, o.refs[i], 0)
	if err != nil {
		return nil, fmt.Errorf("chunk %d: %w", i, err)
	}
	return r, nil
}
