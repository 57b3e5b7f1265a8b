package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// chosen is a track of a description.
type chosen struct {
	media  *description.Media
	format format.Format
	track  Track
}

// rtsp takes in what a camera sends by RTSP until it ends, and returns why.
func (s *Source) rtsp(ctx context.Context, in *intake, u *base.URL) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	protocol := gortsplib.ProtocolTCP
	if s.config.UDP {
		protocol = gortsplib.ProtocolUDP
	}
	c := &gortsplib.Client{Scheme: u.Scheme, Host: u.Host, TLSConfig: s.config.trust(u.Hostname()), Protocol: &protocol, UserAgent: "camseal",
		ReadTimeout: s.config.Stall + 2*time.Second, WriteTimeout: s.config.Stall,
		OnPacketsLost: in.missing, OnDecodeError: in.unreadable}
	if err := c.Start(); err != nil {
		return fmt.Errorf("the camera's address is wrong: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, c.Close)()
	desc, _, err := c.Describe(u)
	if err != nil {
		return fmt.Errorf("the camera can't be reached: %w", err)
	}
	video, audio, left := choose(desc)
	if video == nil && audio == nil {
		return fmt.Errorf("the camera has neither pictures nor sound that can be taken (%d tracks)", len(left))
	}
	for _, k := range []*chosen{video, audio} {
		if k == nil {
			continue
		}
		if _, err := c.Setup(desc.BaseURL, k.media, 0, 0); err != nil {
			return fmt.Errorf("the camera refuses its %s: %w", k.track.Codec, err)
		}
	}
	in.connected(video.said(), audio.said(), left)
	r := &receiver{client: c, in: in}
	if err := errors.Join(r.film(video), r.sound(audio)); err != nil {
		return err
	}
	if _, err := c.Play(nil); err != nil {
		return fmt.Errorf("the camera does not play: %w", err)
	}
	go s.watch(ctx, in, stop)
	err = c.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("the camera ended the connection: %w", err)
}

func (k *chosen) said() *Track {
	if k == nil {
		return nil
	}
	return &k.track
}

// choose takes the first track of pictures and of sound that are understood, and says which are left out.
func choose(desc *description.Session) (video, audio *chosen, left []string) {
	for _, m := range desc.Medias {
		for _, f := range m.Formats {
			t, ok := understand(f)
			into := &audio
			if t.Codec.Video() {
				into = &video
			}
			if m.IsBackChannel || !ok || *into != nil {
				what := f.RTPMap()
				if what == "" {
					what = f.Codec()
				}
				left = append(left, fmt.Sprintf("%s (%s)", m.Type, what))
				continue
			}
			*into = &chosen{media: m, format: f, track: t}
		}
	}
	return video, audio, left
}

func understand(f format.Format) (t Track, ok bool) {
	switch f := f.(type) {
	case *format.H264:
		return Track{Codec: H264, Params: [][]byte{f.SPS, f.PPS}}, f.PacketizationMode < 2
	case *format.H265:
		return Track{Codec: H265, Params: [][]byte{f.VPS, f.SPS, f.PPS}}, f.MaxDONDiff == 0
	case *format.MPEG4Audio:
		t, err := soundOf(f.Config)
		return t, err == nil
	case *format.G711:
		t := Track{Codec: PCMA, Rate: f.SampleRate, Channels: f.ChannelCount}
		if f.MULaw {
			t.Codec = PCMU
		}
		return t, t.Rate > 0 && t.Channels > 0
	}
	return t, false
}

// receiver gives packets of a connection to the intake.
type receiver struct {
	client *gortsplib.Client
	in     *intake
}

// film receives pictures.
func (r *receiver) film(k *chosen) error {
	if k == nil {
		return nil
	}
	c := r.client
	take := func(pts int64, timed bool, nals [][]byte) { r.in.pictures(pts, nil, timed, nals, r.in.config.Now()) }
	switch f := k.format.(type) {
	case *format.H264:
		d, err := f.CreateDecoder()
		if err != nil {
			return err
		}
		c.OnPacketRTP(k.media, f, receive(r, k, pictures, d.Decode, c.PacketPTS, c.PacketNTP, take))
	case *format.H265:
		d, err := f.CreateDecoder()
		if err != nil {
			return err
		}
		c.OnPacketRTP(k.media, f, receive(r, k, pictures, d.Decode, c.PacketPTS, c.PacketNTP, take))
	}
	return nil
}

// sound receives sound.
func (r *receiver) sound(k *chosen) error {
	if k == nil {
		return nil
	}
	c := r.client
	take := func(pts int64, timed bool, data [][]byte) {
		if timed {
			r.in.samples(duration(pts, k.format.ClockRate()), data, r.in.config.Now())
		}
	}
	switch f := k.format.(type) {
	case *format.MPEG4Audio:
		d, err := f.CreateDecoder()
		if err != nil {
			return err
		}
		c.OnPacketRTP(k.media, f, receive(r, k, sound, d.Decode, c.PacketPTS, c.PacketNTP, take))
	case *format.G711:
		d, err := f.CreateDecoder()
		if err != nil {
			return err
		}
		one := func(pts int64, timed bool, data []byte) { take(pts, timed, [][]byte{data}) }
		c.OnPacketRTP(k.media, f, receive(r, k, sound, d.Decode, c.PacketPTS, c.PacketNTP, one))
	}
	return nil
}

// receive makes of a decoder of packets what takes them. The type of packets is named nowhere: only the live packages know their module.
func receive[P, D any](r *receiver, k *chosen, line int, decode func(P) (D, error), pts func(*description.Media, P) (int64, bool),
	ntp func(*description.Media, P) (time.Time, bool), take func(pts int64, timed bool, data D)) func(P) {
	return func(packet P) {
		var data D
		var stamp int64
		var timed bool
		err := safely(func() (err error) {
			stamp, timed = pts(k.media, packet)
			data, err = decode(packet)
			return err
		})
		if partial(err) {
			return
		}
		if err != nil {
			r.in.unreadable(err)
			return
		}
		if at, ok := ntp(k.media, packet); ok && timed {
			r.in.reported(line, at, duration(stamp, k.format.ClockRate()))
		}
		take(stamp, timed, data)
	}
}

// partial reports whether more packets are wanted, or the beginning was missed.
func partial(err error) bool {
	for _, e := range []error{rtph264.ErrMorePacketsNeeded, rtph264.ErrNonStartingPacketAndNoPrevious, rtph265.ErrMorePacketsNeeded,
		rtph265.ErrNonStartingPacketAndNoPrevious, rtpmpeg4audio.ErrMorePacketsNeeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// soundOf describes AAC.
func soundOf(c *mpeg4audio.AudioSpecificConfig) (t Track, err error) {
	err = safely(func() error {
		if c == nil {
			return errors.New("AAC without a configuration")
		}
		params, err := c.Marshal()
		t = Track{Codec: AAC, Params: [][]byte{params}, Rate: c.SampleRate, Channels: int(c.ChannelConfig)}
		if t.Channels == 7 { // as the standard counts
			t.Channels = 8
		}
		return err
	})
	if err == nil && (t.Rate <= 0 || t.Channels < 1 || t.Channels > 8) {
		err = errors.New("AAC without a rate or channels")
	}
	return t, err
}
