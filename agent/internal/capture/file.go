package capture

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"camseal/agent/internal/feed"
)

// mediaType is what a recording is.
const mediaType = "video/mp4"

// videoScale is how many ticks a second of pictures has; sound has its sample rate.
const videoScale = 90000

func scaleOf(t feed.Track) int64 {
	if t.Codec.Video() {
		return videoScale
	}
	return int64(t.Rate)
}

// ticks rounds a time to a scale. It does not overflow within 3000 years.
func ticks(d time.Duration, scale int64) int64 {
	whole, rest := int64(d/time.Second), int64(d%time.Second)
	half := int64(time.Second) / 2
	if rest < 0 {
		half = -half
	}
	return whole*scale + (rest*scale+half)/int64(time.Second)
}

func millis(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }

// initOf returns the bytes that a file of these tracks begins with: its ftyp and moov.
func initOf(tracks []feed.Track) ([]byte, error) {
	var all fmp4.Init
	var g711 string
	for i, t := range tracks {
		c, err := codecOf(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Codec, err)
		}
		all.Tracks = append(all.Tracks, &fmp4.InitTrack{ID: i + 1, TimeScale: uint32(scaleOf(t)), Codec: c})
		switch t.Codec {
		case feed.PCMA:
			g711 = "alaw"
		case feed.PCMU:
			g711 = "ulaw"
		}
	}
	var b seekablebuffer.Buffer
	if err := all.Marshal(&b); err != nil {
		return nil, fmt.Errorf("begin of a file: %w", err)
	}
	if g711 == "" {
		return b.Bytes(), nil
	}
	return asG711(b.Bytes(), g711)
}

// asG711 turns the entry of 16-bit linear sound into the one of G.711: the same box under another name, without what belongs to linear sound.
// QuickTime's file format (Apple, "Sound sample descriptions") has G.711 as alaw and ulaw, with 16 as the sample size.
func asG711(b []byte, name string) ([]byte, error) {
	for _, box := range [][2]string{{"ipcm", name}, {"pcmC", "free"}} {
		if bytes.Count(b, []byte(box[0])) != 1 {
			return nil, errors.New("begin of a file: parameters of the pictures can't stand beside G.711")
		}
		b = bytes.Replace(b, []byte(box[0]), []byte(box[1]), 1)
	}
	return b, nil
}

func codecOf(t feed.Track) (codecs.Codec, error) {
	need := map[feed.Codec]int{feed.H264: 2, feed.H265: 3, feed.AAC: 1}[t.Codec]
	switch {
	case len(t.Params) < need:
		return nil, errors.New("its parameters are missing")
	case !t.Codec.Video() && (t.Rate <= 0 || t.Channels <= 0 || t.Rate > 1<<16 || t.Channels > 8):
		return nil, fmt.Errorf("%d samples a second in %d channels", t.Rate, t.Channels)
	}
	switch t.Codec {
	case feed.H264:
		return &codecs.H264{SPS: t.Params[0], PPS: t.Params[1]}, nil
	case feed.H265:
		return &codecs.H265{VPS: t.Params[0], SPS: t.Params[1], PPS: t.Params[2]}, nil
	case feed.AAC:
		var c mpeg4audio.AudioSpecificConfig
		if err := c.Unmarshal(t.Params[0]); err != nil {
			return nil, err
		}
		return &codecs.MPEG4Audio{Config: c}, nil
	case feed.PCMA, feed.PCMU:
		return &codecs.LPCM{BitDepth: 16, SampleRate: t.Rate, ChannelCount: t.Channels}, nil
	}
	return nil, errors.New("unknown codec")
}

// part is a moof and its mdat to be: some samples of each track, without a hole.
type part struct {
	start   time.Duration    // in the feed's time
	base    []int64          // of the first sample of each track, in ticks of the feed's time
	samples [][]*fmp4.Sample // of each track
	size    int              // bytes of samples
}

func newPart(tracks int, start time.Duration) part {
	return part{start: start, base: make([]int64, tracks), samples: make([][]*fmp4.Sample, tracks)}
}

func (p *part) empty() bool { return p.size == 0 }

// bytes returns the part as it stands in a file whose time begins at base and whose parts before it were number.
func (p *part) bytes(tracks []feed.Track, base time.Duration, number uint32) ([]byte, error) {
	out := fmp4.Part{SequenceNumber: number}
	for i, s := range p.samples {
		if len(s) == 0 {
			continue
		}
		at := p.base[i] - ticks(base, scaleOf(tracks[i]))
		out.Tracks = append(out.Tracks, &fmp4.PartTrack{ID: i + 1, BaseTime: uint64(max(0, at)), Samples: s})
	}
	var b seekablebuffer.Buffer
	if err := out.Marshal(&b); err != nil {
		return nil, fmt.Errorf("part of a file: %w", err)
	}
	return b.Bytes(), nil
}

// begins returns the feed's time of the earliest sample.
func (p *part) begins(tracks []feed.Track) time.Duration {
	first := p.start
	for i, s := range p.samples {
		if len(s) > 0 {
			scale := scaleOf(tracks[i])
			first = min(first, time.Duration(p.base[i]/scale)*time.Second+time.Duration(p.base[i]%scale)*time.Second/time.Duration(scale))
		}
	}
	return first
}
