package verify

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// seconds says which seconds of the footage a stretch of bytes is about. The bytes are taken as evenly spread over the
// footage's duration, which the device stated or an MP4 index in the file states; nil if neither does.
func (c *check) seconds(from, until uint64) *Seconds {
	if !c.timed {
		c.timed = true
		c.duration = c.footage()
	}
	if c.duration <= 0 || c.rec.Size == 0 {
		return nil
	}
	at := func(n uint64) float64 {
		return math.Round(c.duration*float64(n)/float64(c.rec.Size)*10) / 10
	}
	return &Seconds{From: at(from), Until: at(until)}
}

// footage returns the footage's duration in seconds, 0 if it is not known.
func (c *check) footage() float64 {
	if c.rec.Close != nil && c.rec.Close.Duration > 0 {
		return float64(c.rec.Close.Duration) / 1000
	}
	f, err := c.src.Open(OriginalPath(c.rec.Open))
	if err != nil {
		return 0
	}
	defer f.Close()
	d, err := mp4Duration(f)
	if err != nil || math.IsNaN(d) || d > 1e7 {
		return 0
	}
	return d
}

const (
	maxBoxes = 1 << 12  // looked at on one level
	maxSkip  = 64 << 20 // bytes read to get past a box when the file can't be sought in
)

var errNoIndex = errors.New("no MP4 index found")

// mp4Duration reads the duration in the movie header box (ISO/IEC 14496-12 section 8.2.2). The file is not trusted: the
// answer only helps to point at a place.
func mp4Duration(r io.Reader) (float64, error) {
	b := boxes{r: r}
	if err := b.find("moov"); err != nil {
		return 0, err
	}
	if err := b.find("mvhd"); err != nil {
		return 0, err
	}
	var head [32]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	scale, duration := uint64(binary.BigEndian.Uint32(head[12:])), uint64(binary.BigEndian.Uint32(head[16:]))
	if head[0] == 1 { // version with 64-bit times
		scale, duration = uint64(binary.BigEndian.Uint32(head[20:])), binary.BigEndian.Uint64(head[24:])
	}
	if scale == 0 {
		return 0, errNoIndex
	}
	return float64(duration) / float64(scale), nil
}

// boxes walks over the boxes of an MP4 file.
type boxes struct{ r io.Reader }

// find reads up to the content of the next box of a type on this level.
func (b boxes) find(kind string) error {
	for range maxBoxes {
		var head [8]byte
		if _, err := io.ReadFull(b.r, head[:]); err != nil {
			return err
		}
		size, used := uint64(binary.BigEndian.Uint32(head[:4])), uint64(8)
		if size == 1 {
			var wide [8]byte
			if _, err := io.ReadFull(b.r, wide[:]); err != nil {
				return err
			}
			size, used = binary.BigEndian.Uint64(wide[:]), 16
		}
		if string(head[4:]) == kind {
			return nil
		}
		if size < used || size > 1<<62 {
			return errNoIndex
		}
		if err := b.skip(int64(size - used)); err != nil {
			return err
		}
	}
	return errNoIndex
}

func (b boxes) skip(n int64) error {
	if s, ok := b.r.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekCurrent)
		return err
	}
	if n > maxSkip {
		return errNoIndex
	}
	_, err := io.CopyN(io.Discard, b.r, n)
	return err
}
