package feed

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

// Limits of fragmented MP4.
const (
	maxHeader   = 1 << 20 // bytes of a box that is not footage
	maxFragment = 64 << 20
	maxSamples  = 40_000 // in a fragment
)

// mp4 reads fragmented MP4.
type mp4 struct {
	r            *bufio.Reader
	video, audio int // track numbers, 0: none
	rates        map[int]int
	moof         []byte // that waits for its footage
}

// box reads a box of at most so many bytes, header and all.
func box(r io.Reader) (kind string, whole []byte, err error) {
	head := make([]byte, 8, 16)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", nil, err
	}
	size := uint64(binary.BigEndian.Uint32(head))
	kind = string(head[4:8])
	if size == 1 {
		head = head[:16]
		if _, err := io.ReadFull(r, head[8:]); err != nil {
			return "", nil, err
		}
		size = binary.BigEndian.Uint64(head[8:])
	}
	limit := uint64(maxHeader)
	if kind == "mdat" {
		limit = maxFragment
	}
	if size < uint64(len(head)) || size > limit {
		return "", nil, fmt.Errorf("a %q box of %d bytes; it should have at most %d", kind, size, limit)
	}
	// Grown as it comes: a size alone takes no memory.
	var b bytes.Buffer
	b.Write(head)
	if _, err := io.CopyN(&b, r, int64(size)-int64(len(head))); err != nil {
		return "", nil, err
	}
	return kind, b.Bytes(), nil
}

func openMP4(r *bufio.Reader) (c container, video, audio *Track, left []string, err error) {
	var header []byte
	for {
		kind, b, err := box(r)
		if err != nil {
			return nil, nil, nil, nil, err
		}
		switch kind {
		case "ftyp", "moov":
			header = append(header, b...)
		case "moof", "mdat":
			return nil, nil, nil, nil, errors.New("it does not begin with what its tracks are")
		}
		if kind == "moov" {
			break
		}
	}
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(header)); err != nil {
		return nil, nil, nil, nil, err
	}
	s := &mp4{r: r, rates: map[int]int{}}
	for _, t := range init.Tracks {
		k, ok := boxed(t.Codec)
		switch {
		case ok && k.Codec.Video() && video == nil:
			video, s.video = &k, t.ID
		case ok && !k.Codec.Video() && audio == nil:
			audio, s.audio = &k, t.ID
		default:
			left = append(left, name(t.Codec))
		}
		s.rates[t.ID] = int(t.TimeScale)
	}
	return s, video, audio, left, nil
}

func boxed(codec codecs.Codec) (t Track, ok bool) {
	switch c := codec.(type) {
	case *codecs.H264:
		return Track{Codec: H264, Params: [][]byte{c.SPS, c.PPS}}, true
	case *codecs.H265:
		return Track{Codec: H265, Params: [][]byte{c.VPS, c.SPS, c.PPS}}, true
	case *codecs.MPEG4Audio:
		t, err := soundOf(&c.Config)
		return t, err == nil
	}
	return t, false
}

// sample is one of a fragment.
type sample struct {
	track int
	dts   time.Duration
	give  func(in *intake, due time.Time)
}

func (s *mp4) next(in *intake) error {
	kind, b, err := box(s.r)
	if err != nil {
		return err
	}
	switch kind {
	case "ftyp", "moov":
		return errors.New("the program that writes to the pipe began anew")
	case "moof":
		s.moof = b
	case "mdat":
		var parts fmp4.Parts
		moof := s.moof
		s.moof = nil
		if n := samples(moof); n > maxSamples {
			in.unreadable(fmt.Errorf("a fragment of %d samples", n))
			return nil
		}
		if err := safely(func() error { return parts.Unmarshal(append(moof, b...)) }); err != nil {
			in.unreadable(err)
			return nil
		}
		s.fragment(in, parts)
	}
	return nil
}

// samples counts what a fragment says it has, before memory is taken for it.
func samples(boxes []byte) (n uint64) {
	for len(boxes) >= 8 {
		size := int(binary.BigEndian.Uint32(boxes))
		if size < 8 || size > len(boxes) {
			size = len(boxes)
		}
		body := boxes[8:size]
		switch string(boxes[4:8]) {
		case "moof", "traf":
			n += samples(body)
		case "trun":
			if len(body) >= 8 {
				n += uint64(binary.BigEndian.Uint32(body[4:]))
			}
		}
		boxes = boxes[size:]
	}
	return n
}

// fragment gives out samples in the order of their times. All have come by now, but are taken for what came one by one until now.
func (s *mp4) fragment(in *intake, parts fmp4.Parts) {
	var all []sample
	var end time.Duration
	for _, p := range parts {
		for _, t := range p.Tracks {
			rate := s.rates[t.ID]
			if rate == 0 || t.ID != s.video && t.ID != s.audio || t.BaseTime/uint64(rate) > 1<<31 {
				continue
			}
			dts := int64(t.BaseTime)
			for _, x := range t.Samples {
				k := sample{track: t.ID, dts: duration(dts, rate)}
				k.give = s.unit(t.ID, x, dts, rate)
				dts += int64(x.Duration)
				all = append(all, k)
			}
			end = max(end, duration(dts, rate))
		}
	}
	slices.SortStableFunc(all, func(a, b sample) int { return cmp.Compare(a.dts, b.dts) })
	now := in.config.Now()
	for _, k := range all {
		k.give(in, now.Add(k.dts-end))
	}
}

func (s *mp4) unit(track int, x *fmp4.Sample, dts int64, rate int) func(in *intake, due time.Time) {
	if track == s.audio {
		return func(in *intake, due time.Time) { in.samples(duration(dts, rate), [][]byte{x.Payload}, due) }
	}
	return func(in *intake, due time.Time) {
		var nals [][]byte
		if err := safely(func() (err error) { nals, err = x.GetH264(); return err }); err != nil {
			in.unreadable(err)
			return
		}
		at := ticks(duration(dts, rate))
		in.pictures(at+ticks(duration(int64(x.PTSOffset), rate)), &at, true, nals, due)
	}
}
