package segment

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"camseal/pkg/evidence"
)

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// TestCuts cuts files of telling sizes, by readers that give what they like, and goes on from a saved state at every chunk.
func TestCuts(t *testing.T) {
	const size = 4096
	for _, n := range []int{0, 1, size - 1, size, size + 1, 2 * size, 2*size + 1, 300_000} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{"plain": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "data with EOF": iotest.DataErrReader} {
			file := noise(n)
			c, r := New(size), wrap(bytes.NewReader(file))
			var got []byte
			for i := uint64(0); c.Offset() < uint64(n); i++ {
				var w bytes.Buffer
				chunk, err := c.Next(t.Context(), r, int64(n)-int64(c.Offset()), &w)
				if err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				if chunk.Index != i || chunk.Offset != uint64(len(got)) || chunk.Size != uint64(w.Len()) || chunk.Hash != evidence.Sum(w.Bytes()) || chunk.Size > size {
					t.Fatalf("%s, %d bytes: chunk %+v", name, n, chunk)
				}
				got = append(got, w.Bytes()...)
				state, err := c.State()
				if err != nil {
					t.Fatal(err)
				}
				if c, err = Resume(size, c.Index(), c.Offset(), state); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, file) || c.Sum() != evidence.Sum(file) || c.Index() != uint64((n+size-1)/size) {
				t.Errorf("%s, %d bytes: %d chunks, other bytes or another hash", name, n, c.Index())
			}
		}
	}
}

// TestShortAndFailing: a source that ends early or fails gives what it gave.
func TestShortAndFailing(t *testing.T) {
	broken := errors.New("medium gone")
	for _, c := range []struct {
		r    io.Reader
		want error
	}{{bytes.NewReader(noise(1000)), io.EOF}, {io.MultiReader(bytes.NewReader(noise(1000)), iotest.ErrReader(broken)), broken}} {
		cut := New(4096)
		chunk, err := cut.Next(t.Context(), c.r, 9000, io.Discard)
		var read *ReadError
		if !errors.Is(err, c.want) || errors.As(err, &read) != (c.want == broken) || chunk.Size != 1000 || cut.Sum() != evidence.Sum(noise(1000)) {
			t.Errorf("%+v %v", chunk, err)
		}
	}
}

// TestRewind: no room for a chunk; the next try gives the same chunk and hash.
func TestRewind(t *testing.T) {
	file := noise(10_000)
	r, c := bytes.NewReader(file), New(4096)
	full := errors.New("full")
	if _, err := c.Next(t.Context(), r, 10_000, io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(t.Context(), r, 10_000, writerFunc(func([]byte) (int, error) { return 0, full })); !errors.Is(err, full) {
		t.Fatal(err)
	}
	if err := c.Rewind(); err != nil {
		t.Fatal(err)
	}
	r.Seek(int64(c.Offset()), io.SeekStart)
	for c.Offset() < 10_000 {
		if _, err := c.Next(t.Context(), r, 10_000-int64(c.Offset()), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	if c.Sum() != evidence.Sum(file) || c.Index() != 3 {
		t.Errorf("%d chunks, %s", c.Index(), c.Sum())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
