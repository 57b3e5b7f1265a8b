package recorder

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtplpcm"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
)

const (
	soundRate    = 8000 // of G.711
	soundSamples = 160  // of it in a packet: 20 ms
	aacSamples   = 1024
	turnover     = 1<<32 - 20*pictureClock // where RTP timestamps begin: they pass 2^32 soon
)

// stream is what is described to those who come, with the sequence numbers that they have got.
type stream struct {
	*gortsplib.ServerStream
	video, audio       *description.Media
	videoSeq, audioSeq uint16
}

func newStream(server *gortsplib.Server, k *clip, lie, metadata bool) (*stream, error) {
	s := &stream{video: &description.Media{Type: description.MediaTypeVideo}}
	switch {
	case lie && k.codec == "h265":
		s.video.Formats = []format.Format{&format.H264{PayloadTyp: 96, PacketizationMode: 1}}
	case lie:
		s.video.Formats = []format.Format{&format.H265{PayloadTyp: 96}}
	case k.codec == "h265":
		s.video.Formats = []format.Format{&format.H265{PayloadTyp: 96, VPS: k.parameters[0], SPS: k.parameters[1], PPS: k.parameters[2]}}
	default:
		s.video.Formats = []format.Format{&format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: k.parameters[0], PPS: k.parameters[1]}}
	}
	desc := &description.Session{Medias: []*description.Media{s.video}}
	if f := k.audio(); f != nil {
		s.audio = &description.Media{Type: description.MediaTypeAudio, Formats: []format.Format{f}}
		desc.Medias = append(desc.Medias, s.audio)
	}
	if metadata {
		f := &format.Generic{PayloadTyp: 107, RTPMa: "vnd.onvif.metadata/90000"}
		if err := f.Init(); err != nil {
			return nil, err
		}
		desc.Medias = append(desc.Medias, &description.Media{Type: description.MediaTypeApplication, Formats: []format.Format{f}})
	}
	s.ServerStream = &gortsplib.ServerStream{Server: server, Desc: desc}
	return s, s.Initialize()
}

func (k *clip) audio() format.Format {
	switch {
	case k.aac != nil:
		return &format.MPEG4Audio{PayloadTyp: 97, Config: k.aac, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}
	case k.alaw != nil:
		return &format.G711{PayloadTyp: 8, SampleRate: soundRate, ChannelCount: 1}
	}
	return nil
}

// rate is how many samples a second there are, 0 without sound.
func (k *clip) rate() int64 {
	switch {
	case k.aac != nil:
		return int64(k.aac.SampleRate)
	case k.alaw != nil:
		return soundRate
	}
	return 0
}

// encoders make packets. Their types are named by no variable: those of packets belong to a module that only live packages import.
type encoders struct {
	h264 *rtph264.Encoder
	h265 *rtph265.Encoder
	aac  *rtpmpeg4audio.Encoder
	g711 *rtplpcm.Encoder
}

func newEncoders() (e encoders, err error) {
	e.h264 = &rtph264.Encoder{PayloadType: 96, PacketizationMode: 1}
	e.h265 = &rtph265.Encoder{PayloadType: 96}
	e.g711 = &rtplpcm.Encoder{PayloadType: 8, BitDepth: 8, ChannelCount: 1}
	e.aac = &rtpmpeg4audio.Encoder{PayloadType: 97, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}
	return e, errors.Join(e.h264.Init(), e.h265.Init(), e.g711.Init(), e.aac.Init())
}

// player sends a clip over and over.
type player struct {
	*Camera
	*clip
	encoders
	began time.Time // pictures: when the clip began first, and its RTP timestamp then
	base  int64
	loops int64     // times that it ended
	at    int       // next picture
	heard time.Time // sound: when it began
	sent  int64     // samples of it
}

// play sends footage at its own pace until the context ends.
func (c *Camera) play(ctx context.Context, k *clip, e encoders) {
	defer close(c.done)
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.streams {
			s.Close()
		}
	}()
	now := time.Now()
	p := &player{Camera: c, clip: k, encoders: e, began: now, heard: now, base: turnover}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		for time.Until(p.due()) <= 0 {
			if p.config.Once && p.loops > 0 {
				return
			}
			p.send()
		}
		timer.Reset(time.Until(p.due()))
	}
}

func ticks(n, rate int64) time.Duration {
	return time.Duration(n/rate)*time.Second + time.Duration(n%rate)*time.Second/time.Duration(rate)
}

// picture is when the next picture is due, and its sound, when the next sound is.
func (p *player) picture() time.Time {
	return p.began.Add(ticks(p.loops*p.period+p.pictures[p.at].dts, pictureClock))
}

func (p *player) sound() time.Time {
	if rate := p.rate(); rate > 0 {
		return p.heard.Add(ticks(p.sent, rate) + p.config.SoundDelay)
	}
	return p.picture().Add(time.Hour)
}

func (p *player) due() time.Time {
	if s := p.sound(); s.Before(p.picture()) {
		return s
	}
	return p.picture()
}

// send sends what is due, to all.
func (p *player) send() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sound().Before(p.picture()) {
		p.sendSound()
		return
	}
	if p.next != nil {
		now := time.Now()
		p.base += int64(now.Sub(p.began).Seconds() * pictureClock)
		p.clip, p.next, p.began, p.loops, p.at = p.next, nil, now, 0, 0
	}
	p.sendPicture()
}

func (p *player) sendPicture() {
	now, u := time.Now(), p.pictures[p.at]
	stamp := p.base + p.loops*p.period + u.pts + int64(p.jump.Seconds()*pictureClock)
	due := p.picture()
	if p.at++; p.at == len(p.pictures) {
		p.at, p.loops = 0, p.loops+1
	}
	if now.Before(p.stallUntil) || u.key && now.Before(p.noKeyUntil) {
		return
	}
	nals := u.nals
	if now.Before(p.garbageUntil) {
		nals = garbage(nals)
	}
	encode := p.h264.Encode
	if p.codec == "h265" {
		encode = p.h265.Encode
	}
	packets, err := encode(nals)
	if err != nil {
		p.failed(err)
		return
	}
	for _, packet := range packets {
		packet.Timestamp = uint32(stamp)
		for _, s := range p.streams {
			packet.SequenceNumber = s.videoSeq
			s.videoSeq++
			p.failed(s.WritePacketRTPWithNTP(s.video, packet, due))
		}
	}
}

// sendSound sends what belongs to the pictures that are sent: sound is contiguous, although the footage's begins anew now and then.
func (p *player) sendSound() {
	now, rate := time.Now(), p.rate()
	due := p.sound().Add(-p.config.SoundDelay)
	stamp := turnover + p.sent + int64(p.jump.Seconds()*float64(rate))
	place := p.sent * pictureClock / rate % p.period * rate / pictureClock
	encode, data := p.encoders.aac.Encode, [][]byte(nil)
	if p.clip.aac != nil {
		data = [][]byte{p.frames[int(place/aacSamples)%len(p.frames)]}
		p.sent += aacSamples
	} else {
		from := min(int(place), len(p.alaw)-soundSamples)
		encode, data = each(p.g711.Encode), [][]byte{p.alaw[from : from+soundSamples]}
		p.sent += soundSamples
	}
	if now.Before(p.stallUntil) || now.Before(p.noSoundUntil) {
		return
	}
	packets, err := encode(data)
	if err != nil {
		p.failed(err)
		return
	}
	for _, packet := range packets {
		packet.Timestamp = uint32(stamp)
		for _, s := range p.streams {
			packet.SequenceNumber = s.audioSeq
			s.audioSeq++
			p.failed(s.WritePacketRTPWithNTP(s.audio, packet, due))
		}
	}
}

// each lets an encoder of bytes be used as one of units.
func each[P any](encode func([]byte) (P, error)) func([][]byte) (P, error) {
	return func(units [][]byte) (P, error) { return encode(slices.Concat(units...)) }
}

// garbage is as long as what it stands for.
func garbage(nals [][]byte) [][]byte {
	bad := make([][]byte, len(nals))
	for i, n := range nals {
		bad[i] = make([]byte, len(n))
		for j := range bad[i] {
			bad[i][j] = byte(rand.Uint32())
		}
	}
	return bad
}
