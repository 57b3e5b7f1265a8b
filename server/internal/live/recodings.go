package live

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/h264reader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

// pictures are coded anew without B-frames. ffmpeg is handed no times: pictures leave it in the order in which they are shown, one for each.
type pictures struct {
	h265   bool
	decode func(*rtp.Packet) ([][]byte, error)
	begun  bool // a keyframe has come
	times  times
}

func newPictures(c codec) (*pictures, error) {
	if c.MimeType == webrtc.MimeTypeH265 {
		d := &rtph265.Decoder{}
		return &pictures{h265: true, decode: d.Decode}, d.Init()
	}
	d := &rtph264.Decoder{PacketizationMode: 1}
	return &pictures{decode: d.Decode}, d.Init()
}

func (v *pictures) args() []string {
	format := "h264"
	if v.h265 {
		format = "hevc"
	}
	return []string{"-threads", "1", "-probesize", "65536", "-fpsprobesize", "0", "-fflags", "nobuffer", "-f", format, "-i", "pipe:0", "-an", "-fps_mode", "passthrough",
		"-c:v", "libx264", "-threads", "1", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "60",
		"-crf", "25", "-maxrate", "6M", "-bufsize", "3M", "-flush_packets", "1", "-f", "h264", "pipe:1"}
}

func (v *pictures) unit(p *rtp.Packet) ([]byte, error) {
	nals, err := v.decode(p)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, n := range nals {
		if len(n) == 0 {
			continue
		}
		kind := n[0] & 0x1f
		v.begun = v.begun || !v.h265 && kind == 5 || v.h265 && n[0]>>1 >= 16 && n[0]>>1 <= 21
		out = append(append(out, 0, 0, 0, 1), n...)
	}
	if !v.begun {
		return nil, nil
	}
	v.times.put(p.Timestamp)
	return out, nil
}

func (v *pictures) read(out io.Reader, send func([][]byte, uint32)) error {
	r, err := h264reader.NewReader(out)
	if err != nil {
		return err
	}
	pack := &codecs.H264Payloader{}
	var picture []byte
	whole := false
	for {
		nal, err := r.NextNAL()
		if err != nil {
			return ended(err)
		}
		slice := nal.UnitType == h264reader.NalUnitTypeCodedSliceNonIdr || nal.UnitType == h264reader.NalUnitTypeCodedSliceIdr
		if whole && (!slice || len(nal.Data) > 1 && nal.Data[1]&0x80 != 0) { // the next picture begins
			send(pack.Payload(mtu, picture), v.times.take())
			picture, whole = nil, false
		}
		whole = whole || slice
		picture = append(append(picture, 0, 0, 0, 1), nal.Data...)
	}
}

// sound is coded from AAC to Opus.
type sound struct {
	decode rtpmpeg4audio.Decoder
	config mpeg4audio.AudioSpecificConfig
}

const opusFrame = 20 // ms

func newSound(c codec) (*sound, error) {
	s := &sound{decode: rtpmpeg4audio.Decoder{SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}}
	for f := range strings.SplitSeq(c.SDPFmtpLine, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(f), "config="); ok {
			raw, err := hex.DecodeString(v)
			if err != nil {
				return nil, fmt.Errorf("configuration of AAC: %w", err)
			}
			if err := s.config.Unmarshal(raw); err != nil {
				return nil, fmt.Errorf("configuration of AAC: %w", err)
			}
			return s, s.decode.Init()
		}
	}
	return nil, errors.New("the offer has no configuration of AAC")
}

func (s *sound) args() []string {
	return []string{"-probesize", "4096", "-analyzeduration", "0", "-fflags", "nobuffer", "-f", "aac", "-i", "pipe:0", "-vn", "-ac", "2", "-ar", "48000", "-c:a", "libopus", "-b:a", "48k",
		"-application", "lowdelay", "-frame_duration", number(opusFrame), "-flush_packets", "1", "-page_duration", number(opusFrame * 1000), "-f", "ogg", "pipe:1"}
}

func (s *sound) unit(p *rtp.Packet) ([]byte, error) {
	units, err := s.decode.Decode(p)
	if err != nil {
		return nil, err
	}
	var out mpeg4audio.ADTSPackets
	for _, u := range units {
		out = append(out, &mpeg4audio.ADTSPacket{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: s.config.SampleRate, ChannelConfig: s.config.ChannelConfig, AU: u})
	}
	return out.Marshal()
}

func (s *sound) read(out io.Reader, send func([][]byte, uint32)) error {
	r, err := oggreader.NewWithOptions(out)
	if err != nil {
		return err
	}
	ts := uint32(0)
	for {
		page, _, err := r.ParseNextPage()
		if err != nil {
			return ended(err)
		}
		if bytes.HasPrefix(page, []byte("OpusHead")) || bytes.HasPrefix(page, []byte("OpusTags")) {
			continue
		}
		send([][]byte{page}, ts)
		ts += opusFrame * 48
	}
}

// ended is nil at the end of a program's output.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
