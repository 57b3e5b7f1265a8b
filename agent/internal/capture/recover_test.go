package capture

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func mp4Box(kind string, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint32(b, uint32(size))
	copy(b[4:], kind)
	return b
}

// Whatever bytes a crash leaves, only whole parts are taken, and cutting again changes nothing.
func FuzzWholeParts(f *testing.F) {
	whole := append(mp4Box("moof", 40), mp4Box("mdat", 100)...)
	f.Add(whole)
	f.Add(append(bytes.Repeat(whole, 3), mp4Box("moof", 40)...))
	f.Add(append(whole, make([]byte, 4096)...))
	f.Add(append(whole, 0, 0, 0, 1, 'm', 'd', 'a', 't'))
	f.Add(append(whole, 0xff, 0xff, 0xff, 0xff, 'm', 'o', 'o', 'f'))
	f.Add(mp4Box("mdat", 30))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := wholeParts(b)
		if n < 0 || n > len(b) || wholeParts(b[:n]) != n || n > 0 && (string(b[4:8]) != "moof" || n < 16) {
			t.Fatalf("%d of %d bytes", n, len(b))
		}
		if bytes.HasPrefix(b, whole) && n < len(whole) {
			t.Fatal("a whole part is left out")
		}
	})
}
