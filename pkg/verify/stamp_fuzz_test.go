package verify

import (
	"path/filepath"
	"testing"
)

// FuzzStamp reads what may be a time stamp: nothing that a bundle holds makes the reader fall over, and only the token over this content
// holds.
func FuzzStamp(f *testing.F) {
	src, err := OpenBundle(filepath.Join("testdata", "bundles", "sound.zip"))
	if err != nil {
		f.Fatal(err)
	}
	read := func(path string) []byte {
		in, err := src.Open(path)
		if err != nil {
			f.Fatal(err)
		}
		b := make([]byte, 1<<16)
		n, _ := in.Read(b)
		return b[:n]
	}
	checkpoint, token, _ := TimePaths(6)
	content, good := read(checkpoint), read(token)
	for _, cut := range []int{0, 1, 2, 9, 40, len(good) / 2, len(good) - 1, len(good)} {
		f.Add(good[:cut])
	}
	for at := 0; at < len(good); at += 17 {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x81
		f.Add(bad)
	}
	roots, err := loadTSARoots(filepath.Join("testdata", "bundles", "tsa-roots"))
	if err != nil {
		f.Fatal(err)
	}
	want, err := openStamp(good, content)
	if err != nil || roots.vouches(want) != nil {
		f.Fatal(err, roots.vouches(want))
	}
	f.Fuzz(func(t *testing.T, tsr []byte) {
		s, err := openStamp(tsr, content)
		if err == nil && roots.vouches(s) == nil && !s.at.Equal(want.at) {
			t.Errorf("time %s, the authority said %s", s.at, want.at)
		}
		if _, err := openStamp(tsr, []byte("something else")); err == nil {
			t.Error("holds over something else")
		}
	})
	if err := src.Close(); err != nil {
		f.Error(err)
	}
}
