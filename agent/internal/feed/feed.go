// Package feed takes a camera's stream in: from an RTSP server, or from a local pipe of fragmented MP4 or MPEG-TS. It depacketises and
// nothing else: nothing is decoded, nothing encoded. Whatever the source does (it stalls, goes away, lies about its codecs, jumps in time), a
// feed goes on, says what happened, and keeps its own time going forward.
package feed

import (
	"slices"
	"time"
)

// Codec names how a track is coded.
type Codec string

// The codecs that are understood. Other tracks are left out, and said so by a Trouble.
const (
	H264 Codec = "h264"
	H265 Codec = "h265"
	AAC  Codec = "aac"
	PCMA Codec = "pcma" // G.711 A-law
	PCMU Codec = "pcmu" // G.711 µ-law
)

// Video reports whether it is a codec of pictures.
func (c Codec) Video() bool { return c == H264 || c == H265 }

// Track is one elementary stream of a feed. A feed has one track of pictures, or one of sound, or one of each, pictures first.
type Track struct {
	Codec    Codec
	Params   [][]byte // H264: SPS, PPS; H265: VPS, SPS, PPS; AAC: AudioSpecificConfig; G.711: none
	Width    int      // pixels, of pictures
	Height   int
	Rate     int // samples a second, of sound
	Channels int
}

// Same reports whether what follows can go into the same file: codec, parameters and size are equal.
func (t Track) Same(o Track) bool {
	return t.Codec == o.Codec && t.Width == o.Width && t.Height == o.Height && t.Rate == o.Rate && t.Channels == o.Channels &&
		slices.EqualFunc(t.Params, o.Params, func(a, b []byte) bool { return string(a) == string(b) })
}

// SameTracks reports whether the tracks are equal, one by one.
func SameTracks(a, b []Track) bool { return slices.EqualFunc(a, b, Track.Same) }

// Unit is one access unit of pictures, or some sound. Its bytes are never changed again, so that a Sink may keep them.
type Unit struct {
	Track int           // index into the tracks said last
	PTS   time.Duration // since the feed began
	DTS   time.Duration // the same, in the order of decoding: in a track it grows with each unit; of sound it is PTS
	Data  [][]byte      // pictures: NAL units without start codes or lengths; sound: AAC access units, or one run of G.711 samples
	Key   bool          // pictures: decoding can begin here
	At    time.Time     // when its last byte came
}

// Trouble is what a feed has to say about its source. Why is one of the reasons of package evidence (gap, clock-jump, read-error,
// media-changed); Detail is for people. Nothing need be done about it: the feed goes on by itself.
type Trouble struct {
	Why    string
	Detail string
	From   time.Duration // where in the feed's time it began; the next unit says where it ended
	At     time.Time
}

// Sink is who takes a feed. Its methods are called one at a time and must not block: the camera does not wait.
type Sink interface {
	// Tracks says what the units that follow are of. It is called before the first one, and again whenever that changes. The first unit
	// of pictures after it is a key one.
	Tracks([]Track)
	Unit(Unit)
	Trouble(Trouble)
}

// Sinks gives a feed to several.
type Sinks []Sink

// Tracks implements Sink.
func (s Sinks) Tracks(t []Track) {
	for _, k := range s {
		k.Tracks(t)
	}
}

// Unit implements Sink.
func (s Sinks) Unit(u Unit) {
	for _, k := range s {
		k.Unit(u)
	}
}

// Trouble implements Sink.
func (s Sinks) Trouble(t Trouble) {
	for _, k := range s {
		k.Trouble(t)
	}
}
