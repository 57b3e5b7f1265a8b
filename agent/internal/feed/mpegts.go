package feed

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
)

const (
	packetSize = 188
	maxHeld    = 4 * maxUnit // bytes of all units that have begun
)

// packets gives the reader of MPEG-TS whole packets only, and bounds what it must hold: units are as long as their source likes.
type packets struct {
	r     *bufio.Reader
	held  [1 << 13]int // bytes since a unit began, by stream
	total int
	rest  []byte
}

// Read implements io.Reader.
func (p *packets) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		whole, err := p.next()
		if err != nil {
			return 0, err
		}
		p.rest = whole
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *packets) next() ([]byte, error) {
	for {
		head, err := p.r.Peek(packetSize)
		if err != nil {
			return nil, err
		}
		if at := bytes.IndexByte(head, 0x47); at != 0 {
			if at < 0 {
				at = len(head)
			}
			if _, err := p.r.Discard(at); err != nil {
				return nil, err
			}
			continue
		}
		whole := make([]byte, packetSize)
		if _, err := io.ReadFull(p.r, whole); err != nil {
			return nil, err
		}
		stream := int(whole[1]&0x1f)<<8 | int(whole[2])
		if stream == len(p.held)-1 { // stuffing
			continue
		}
		if whole[1]&0x40 != 0 {
			p.total -= p.held[stream]
			p.held[stream] = 0
		}
		if whole[3]&0x10 != 0 {
			p.held[stream] += packetSize
			p.total += packetSize
		}
		if p.total > maxHeld {
			return nil, fmt.Errorf("units of more than %d bytes", maxHeld)
		}
		return whole, nil
	}
}

// ts reads MPEG-TS.
type ts struct {
	reader mpegts.Reader
	time   mpegts.TimeDecoder
	failed []error
	ready  []func(*intake) // what was read
}

func openTS(r *bufio.Reader) (c container, video, audio *Track, left []string, err error) {
	s := &ts{reader: mpegts.Reader{R: &packets{r: r}}}
	s.time.Initialize()
	if err := s.reader.Initialize(); err != nil {
		return nil, nil, nil, nil, err
	}
	s.reader.OnDecodeError(func(err error) { s.failed = append(s.failed, err) })
	for _, t := range s.reader.Tracks() {
		switch codec := t.Codec.(type) {
		case *codecs.H264:
			if video == nil {
				video = &Track{Codec: H264}
				s.reader.OnDataH264(t, s.picture)
				continue
			}
		case *codecs.H265:
			if video == nil {
				video = &Track{Codec: H265}
				s.reader.OnDataH265(t, s.picture)
				continue
			}
		case *codecs.MPEG4Audio:
			if k, err := soundOf(&codec.Config); err == nil && audio == nil {
				audio = &k
				s.reader.OnDataMPEG4Audio(t, s.sound)
				continue
			}
		}
		left = append(left, name(t.Codec))
	}
	return s, video, audio, left, nil
}

// name is what a codec's type is called.
func name(codec any) string {
	n := fmt.Sprintf("%T", codec)
	return n[strings.LastIndexByte(n, '.')+1:]
}

func (s *ts) picture(pts, dts int64, nals [][]byte) error {
	lead := (pts - dts) & (1<<33 - 1) // they turn over at 33 bits
	if lead >= 1<<32 {
		lead = 0
	}
	dts = s.time.Decode(dts)
	s.ready = append(s.ready, func(in *intake) { in.pictures(dts+lead, &dts, true, nals, in.config.Now()) })
	return nil
}

func (s *ts) sound(pts int64, aus [][]byte) error {
	pts = s.time.Decode(pts)
	s.ready = append(s.ready, func(in *intake) { in.samples(duration(pts, videoRate), aus, in.config.Now()) })
	return nil
}

func (s *ts) next(in *intake) error {
	s.ready, s.failed = s.ready[:0], s.failed[:0]
	err := safely(s.reader.Read)
	for _, e := range s.failed {
		in.unreadable(e)
	}
	for _, give := range s.ready {
		give(in)
	}
	return err
}
