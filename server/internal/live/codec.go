package live

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// codec is one entry of an offer that can be relayed.
type codec struct {
	webrtc.RTPCodecParameters
}

func (c codec) video() bool { return strings.HasPrefix(c.MimeType, "video/") }

// same reports whether a viewer of o can be shown c.
func (c codec) same(o codec) bool { return c.MimeType == o.MimeType && c.ClockRate == o.ClockRate }

var feedbackKept = []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "transport-cc"}}

const mimeAAC = "audio/mpeg4-generic" // RFC 3640; relayed only when it is re-coded

// offer is what a session description offers that can be relayed, in its order.
type offer struct {
	video, audio           []codec
	otherVideo, otherAudio bool // there is some, but only in codecs that can't be relayed
}

// choices reads an offer; with recode, what can be coded anew counts, too.
func choices(d *sdp.SessionDescription, recode bool) offer {
	var o offer
	known := map[string]sdp.Codec{}
	for pt, k := range d.GetCodecMap() {
		known[strconv.Itoa(int(pt))] = k
	}
	for _, m := range d.MediaDescriptions {
		into, other := &o.video, &o.otherVideo
		switch m.MediaName.Media {
		case "video":
		case "audio":
			into, other = &o.audio, &o.otherAudio
		default:
			continue
		}
		for _, format := range m.MediaName.Formats {
			if c, ok := relayed(known[format], m.MediaName.Media, recode); ok {
				*into = append(*into, c)
			}
		}
		*other = true
	}
	o.otherVideo, o.otherAudio = o.otherVideo && len(o.video) == 0, o.otherAudio && len(o.audio) == 0
	return o
}

func relayed(k sdp.Codec, media string, recode bool) (codec, bool) {
	c := codec{webrtc.RTPCodecParameters{PayloadType: webrtc.PayloadType(k.PayloadType),
		RTPCodecCapability: webrtc.RTPCodecCapability{ClockRate: k.ClockRate, SDPFmtpLine: k.Fmtp}}}
	mode := strings.Contains(strings.ReplaceAll(k.Fmtp, " ", "")+";", "packetization-mode=1;")
	switch name := strings.ToLower(k.Name); {
	case media == "video" && name == "h264" && k.ClockRate == 90000 && mode:
		c.MimeType, c.RTCPFeedback = webrtc.MimeTypeH264, feedbackKept
	case media == "audio" && name == "opus" && k.ClockRate == 48000:
		c.MimeType, c.Channels = webrtc.MimeTypeOpus, 2
	case media == "audio" && name == "pcma" && k.ClockRate == 8000:
		c.MimeType = webrtc.MimeTypePCMA
	case media == "audio" && name == "pcmu" && k.ClockRate == 8000:
		c.MimeType = webrtc.MimeTypePCMU
	case media == "video" && name == "h265" && recode && k.ClockRate == 90000:
		c.MimeType, c.RTCPFeedback = webrtc.MimeTypeH265, feedbackKept
	case media == "audio" && name == "mpeg4-generic" && recode && k.ClockRate > 0:
		c.MimeType = mimeAAC
		if n, err := strconv.ParseUint(k.EncodingParameters, 10, 8); err == nil {
			c.Channels = uint16(n)
		}
	default:
		return codec{}, false
	}
	return c, true
}

// profile is an H.264 codec's profile_idc and constraints, in hexadecimal.
func (c codec) profile() string {
	for _, p := range strings.Split(c.SDPFmtpLine, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "profile-level-id="); ok && len(v) == 6 {
			return strings.ToLower(v[:4])
		}
	}
	return "42e0"
}

// nearest is which of a viewer's codecs a track is sent in: one of the same profile, else any of the kind, since what a viewer decodes it says by
// level and profile only roughly.
func nearest(of []codec, t codec) (codec, bool) {
	best := slices.IndexFunc(of, func(c codec) bool { return c.same(t) && (!t.video() || c.profile() == t.profile()) })
	if best < 0 {
		best = slices.IndexFunc(of, t.same)
	}
	if best < 0 {
		return codec{}, false
	}
	return of[best], true
}
