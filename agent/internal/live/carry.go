package live

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtplpcm"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"camseal/agent/internal/feed"
)

const (
	payloadMax = 1180 // bytes: with all headers, those of TURN too, a packet stays under 1280, which every IPv6 link carries
	g711Max    = 320  // bytes: 40 ms
)

// carried says how a track goes over WebRTC.
type carried struct {
	index int // of the feed's track
	codec webrtc.RTPCodecParameters
	track feed.Track
}

// plan is what is published of a feed: pictures, sound, or both.
type plan []carried

// same reports whether the same offer would be made.
func (p plan) same(o plan) bool {
	return slices.EqualFunc(p, o, func(a, b carried) bool {
		return a.index == b.index && a.codec.MimeType == b.codec.MimeType && a.codec.SDPFmtpLine == b.codec.SDPFmtpLine && a.codec.ClockRate == b.codec.ClockRate
	})
}

// planFor says what of these tracks can be published, and if that is nothing, why. Any: also what only a server can take that codes it anew.
func planFor(tracks []feed.Track, reorder, anyCodec bool) (p plan, why string) {
	if len(tracks) == 0 {
		return nil, "the camera gives nothing"
	}
	for i, t := range tracks {
		if t.Codec.Video() && reorder && !anyCodec {
			return nil, "the camera codes its pictures out of their order (B-frames), which can't be carried live; switch that off in the camera"
		}
		codec, ok := codecFor(t, anyCodec)
		if !ok && t.Codec.Video() {
			return nil, fmt.Sprintf("the camera's pictures are coded as %s, which can't be carried live; set the camera to H.264", t.Codec)
		}
		if ok {
			p = append(p, carried{index: i, codec: codec, track: t})
		}
	}
	if len(p) == 0 {
		return nil, fmt.Sprintf("the camera's sound is coded as %s, which can't be carried live; set the camera to G.711", tracks[0].Codec)
	}
	return p, ""
}

func codecFor(t feed.Track, anyCodec bool) (c webrtc.RTPCodecParameters, ok bool) {
	switch {
	case t.Codec == feed.H264:
		c.MimeType, c.ClockRate, c.PayloadType = webrtc.MimeTypeH264, 90000, 96
		c.SDPFmtpLine = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile(t.Params)
	case t.Codec == feed.H265 && anyCodec:
		c.MimeType, c.ClockRate, c.PayloadType = webrtc.MimeTypeH265, 90000, 96
	case t.Codec == feed.PCMA && t.Rate == 8000 && t.Channels <= 1:
		c.MimeType, c.ClockRate, c.PayloadType = webrtc.MimeTypePCMA, 8000, 8
	case t.Codec == feed.PCMU && t.Rate == 8000 && t.Channels <= 1:
		c.MimeType, c.ClockRate, c.PayloadType = webrtc.MimeTypePCMU, 8000, 0
	case t.Codec == feed.AAC && anyCodec && len(t.Params) > 0 && t.Rate > 0:
		c.MimeType, c.ClockRate, c.PayloadType = "audio/mpeg4-generic", uint32(t.Rate), 97
		c.Channels = uint16(t.Channels)
		c.SDPFmtpLine = fmt.Sprintf("streamtype=5;mode=AAC-hbr;profile-level-id=1;config=%x;sizelength=13;indexlength=3;indexdeltalength=3", t.Params[0])
	default:
		return c, false
	}
	if t.Codec.Video() {
		c.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	}
	return c, true
}

// profile gives the profile-level-id of an SPS (RFC 6184, 8.1). Encoders set constraint flags in many ways for one profile; browsers and
// relays compare them with the few usual ones.
func profile(params [][]byte) string {
	for _, p := range params {
		if len(p) < 4 || p[0]&0x1f != 7 {
			continue
		}
		idc, flags, level := p[1], p[2], p[3]
		switch {
		case idc == 66 && flags&0x40 != 0:
			flags = 0xe0 // constrained baseline
		case idc == 100 && flags&0x0c == 0x0c:
			flags = 0x0c // constrained high
		default:
			flags = 0
		}
		return fmt.Sprintf("%02x%02x%02x", idc, flags, level)
	}
	return "42e01f"
}

// complete gives a key unit the parameters that it lacks.
func complete(u feed.Unit, t feed.Track) feed.Unit {
	kind := func(n []byte) byte { return n[0] & 0x1f }
	if t.Codec == feed.H265 {
		kind = func(n []byte) byte { return n[0] >> 1 & 0x3f }
	}
	var missing [][]byte
	for _, p := range t.Params {
		if len(p) > 0 && !slices.ContainsFunc(u.Data, func(n []byte) bool { return len(n) > 0 && kind(n) == kind(p) }) {
			missing = append(missing, p)
		}
	}
	u.Data = append(missing, u.Data...)
	return u
}

// carrier makes RTP packets of a track's units.
type carrier struct {
	carried
	out    *webrtc.TrackLocalStaticRTP
	sender *webrtc.RTPSender
	encode func(feed.Unit) ([]*rtp.Packet, error)
	base   uint32 // RTP time of the feed's zero
	last   uint32 // RTP time of what was sent last
}

func newCarrier(c carried) (*carrier, error) {
	kind := "video"
	if !c.track.Codec.Video() {
		kind = "audio"
	}
	out, err := webrtc.NewTrackLocalStaticRTP(c.codec.RTPCodecCapability, kind, "camseal")
	if err != nil {
		return nil, err
	}
	k := &carrier{carried: c, out: out, base: rand.Uint32()}
	switch c.track.Codec {
	case feed.H264:
		e := &rtph264.Encoder{PayloadMaxSize: payloadMax, PacketizationMode: 1}
		k.encode = func(u feed.Unit) ([]*rtp.Packet, error) { return e.Encode(u.Data) }
		err = e.Init()
	case feed.H265:
		e := &rtph265.Encoder{PayloadMaxSize: payloadMax}
		k.encode = func(u feed.Unit) ([]*rtp.Packet, error) { return e.Encode(u.Data) }
		err = e.Init()
	case feed.AAC:
		e := &rtpmpeg4audio.Encoder{PayloadMaxSize: payloadMax, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}
		k.encode = func(u feed.Unit) ([]*rtp.Packet, error) { return e.Encode(u.Data) }
		err = e.Init()
	default:
		e := &rtplpcm.Encoder{PayloadMaxSize: g711Max, BitDepth: 8, ChannelCount: 1}
		k.encode = func(u feed.Unit) ([]*rtp.Packet, error) { return e.Encode(slices.Concat(u.Data...)) }
		err = e.Init()
	}
	return k, err
}

// packets makes a unit's packets. Their times are the feed's; but what is sent once more follows the last one closely, so that time does not
// go back. Delimiters and filler, which say nothing, are left out.
func (k *carrier) packets(t taken) ([]*rtp.Packet, error) {
	u := t.Unit
	u.Data = slices.DeleteFunc(slices.Clone(u.Data), func(n []byte) bool {
		return len(n) == 0 || k.track.Codec == feed.H264 && (n[0]&0x1f == 9 || n[0]&0x1f == 12) || k.track.Codec == feed.AAC && len(n) >= 1<<13
	})
	if len(u.Data) == 0 {
		return nil, nil
	}
	pkts, err := k.encode(u)
	if err != nil {
		return nil, fmt.Errorf("make packets of %s: %w", strings.ToLower(k.codec.MimeType), err)
	}
	rate := int64(k.codec.ClockRate)
	sec, rest := int64(u.PTS/time.Second), int64(u.PTS%time.Second)
	at := k.base + uint32(sec*rate+rest*rate/int64(time.Second))
	if t.again {
		at = k.last + 1
	}
	k.last = at
	for _, p := range pkts {
		p.Timestamp += at
	}
	return pkts, nil
}
