package feed

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// Limits of what is taken from a source.
const (
	maxNAL        = 4 << 20
	maxUnit       = 8 << 20
	maxParameters = 4 << 10
	maxLoose      = 32       // NAL units that wait for their picture
	maxLooseSize  = 64 << 10 // of those that come at once
	maxSide       = 16384
)

// film is the track of pictures of one connection.
type film struct {
	codec Codec
	sets  [3][]byte // the parameter sets that came last: VPS of H.265, SPS, PPS
	loose [][]byte  // what came before its picture
	order interface {
		Extract(au [][]byte, pts int64) (int64, error)
	}
	shift int64 // ticks that jumps have put the time of showing off
}

// kind of a NAL unit.
type kind int

const (
	broken kind = iota
	delimiter
	parameter
	slice
	keySlice
	other
)

// kind says what a NAL unit is; of a parameter set, which.
func (f *film) kind(nal []byte) (k kind, set int) {
	if len(nal) < 2 || nal[0]&0x80 != 0 {
		return broken, 0
	}
	if f.codec == H264 {
		return kind264(h264.NALUType(nal[0] & 0x1f))
	}
	if nal[0]&1 != 0 || nal[1]>>3 != 0 || nal[1]&7 == 0 {
		return broken, 0 // layers other than the first
	}
	return kind265(h265.NALUType(nal[0] >> 1))
}

func kind264(t h264.NALUType) (kind, int) {
	switch {
	case t == h264.NALUTypeIDR:
		return keySlice, 0
	case t == h264.NALUTypeSPS:
		return parameter, 1
	case t == h264.NALUTypePPS:
		return parameter, 2
	case t == h264.NALUTypeAccessUnitDelimiter:
		return delimiter, 0
	case t == h264.NALUTypeNonIDR:
		return slice, 0
	case t < h264.NALUTypeIDR || t >= 24: // partitions, which no camera makes, of packets, or nobody's
		return broken, 0
	}
	return other, 0
}

func kind265(t h265.NALUType) (kind, int) {
	switch {
	case t >= h265.NALUType_BLA_W_LP && t <= h265.NALUType_CRA_NUT:
		return keySlice, 0
	case t < h265.NALUType_BLA_W_LP:
		return slice, 0
	case t == h265.NALUType_VPS_NUT:
		return parameter, 0
	case t == h265.NALUType_SPS_NUT:
		return parameter, 1
	case t == h265.NALUType_PPS_NUT:
		return parameter, 2
	case t == h265.NALUType_AUD_NUT:
		return delimiter, 0
	case t > h265.NALUType_PREFIX_SEI_NUT+1: // of packets, or nobody's
		return broken, 0
	}
	return other, 0
}

var (
	errNoPicture  = errors.New("a unit of pictures holds no picture: the codec may be another than the source says")
	errBrokenUnit = errors.New("a unit of pictures is broken or too big")
)

// sort makes an access unit of what came: delimiters go, parameter sets are remembered too, what belongs to the next picture is kept for it. au
// is nil if there is no picture in it; that is an error only if something in it can't be right.
func (f *film) sort(nals [][]byte) (au [][]byte, key bool, err error) {
	size, picture := 0, false
	for _, nal := range nals {
		if size += len(nal); len(nal) > maxNAL || size > maxUnit {
			return nil, false, errBrokenUnit
		}
		k, set := f.kind(nal)
		switch k {
		case broken:
			err = errNoPicture
			continue
		case delimiter:
			continue
		case parameter:
			f.remember(set, nal)
		case keySlice:
			key, picture = true, true
		case slice:
			picture = true
		}
		au = append(au, nal)
	}
	au = append(f.loose, au...)
	f.loose = nil
	switch {
	case !picture:
		if size <= maxLooseSize && len(au) <= maxLoose {
			f.loose = au
		}
		return nil, false, err
	case err != nil:
		err = errBrokenUnit
	}
	return au, key, err
}

// remember takes a parameter set if it can be understood.
func (f *film) remember(set int, nal []byte) {
	if len(nal) > maxParameters {
		return
	}
	if set == 1 {
		if w, h := f.size(nal); w == 0 || h == 0 {
			return
		}
	}
	f.sets[set] = nal
}

// size is that of pictures by an SPS, 0 if it is not understood.
func (f *film) size(sps []byte) (width, height int) {
	err := safely(func() error {
		if f.codec == H265 {
			var s h265.SPS
			if err := s.Unmarshal(sps); err != nil {
				return err
			}
			width, height = s.Width(), s.Height()
			return nil
		}
		var s h264.SPS
		if err := s.Unmarshal(sps); err != nil {
			return err
		}
		width, height = s.Width(), s.Height()
		return nil
	})
	if err != nil || min(width, height) < 1 || max(width, height) > maxSide {
		return 0, 0
	}
	return width, height
}

// track says what the pictures are, as far as parameter sets are known.
func (f *film) track() (t Track, ok bool) {
	t.Codec = f.codec
	t.Params = f.sets[:]
	if f.codec == H264 {
		t.Params = t.Params[1:]
	}
	t.Params = slices.Clone(t.Params)
	if slices.ContainsFunc(t.Params, func(p []byte) bool { return len(p) == 0 }) {
		return t, false
	}
	t.Width, t.Height = f.size(f.sets[1])
	return t, true
}

// lead is by how much a picture is decoded before it is shown. If that can't be told, it is 0, and the error says why.
func (f *film) lead(au [][]byte, key bool, pts int64) (time.Duration, error) {
	pts += f.shift
	if f.order == nil {
		if !key {
			return 0, nil
		}
		f.order = newOrder(f.codec)
	}
	if key { // parameter sets may have been said only in the description
		au = append(slices.DeleteFunc(slices.Clone(f.sets[:]), func(p []byte) bool { return len(p) == 0 }), au...)
	}
	var dts int64
	err := safely(func() (err error) {
		dts, err = f.order.Extract(au, pts)
		return err
	})
	if err != nil {
		f.order = nil
		return 0, fmt.Errorf("order of pictures: %w", err)
	}
	return max(duration(pts-dts, videoRate), 0), nil
}

func newOrder(c Codec) interface {
	Extract(au [][]byte, pts int64) (int64, error)
} {
	if c == H265 {
		e := &h265.DTSExtractor{}
		e.Initialize()
		return e
	}
	e := &h264.DTSExtractor{}
	e.Initialize()
	return e
}

// safely turns a panic in a parser of others, which hostile input may bring about, into an error.
func safely(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return f()
}
