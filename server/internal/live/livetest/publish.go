package livetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

const mtu = 1200

// Publisher sends footage in a loop.
type Publisher struct {
	*Session
	Sent atomic.Uint64 // packets of pictures
	PLIs atomic.Int64  // times that a keyframe was asked for

	video, audio *webrtc.TrackLocalStaticRTP
	stop         context.CancelFunc
	work         sync.WaitGroup
}

// Publish connects to a WHIP endpoint and begins to send once it is connected. The sound is a run of numbered packets.
func Publish(ctx context.Context, to string, f Footage, o Options) (*Publisher, error) {
	mime := webrtc.MimeTypeH264
	if o.HEVC = f.HEVC; f.HEVC {
		mime = webrtc.MimeTypeH265
	}
	pc, err := o.peer()
	if err != nil {
		return nil, err
	}
	p := &Publisher{}
	fail := func(err error) (*Publisher, error) { return nil, errors.Join(err, pc.Close()) }
	if p.video, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90000}, "video", "film"); err != nil {
		return fail(err)
	}
	if err := p.send(pc, p.video, true); err != nil {
		return fail(err)
	}
	if o.Audio != "" {
		if p.audio, err = webrtc.NewTrackLocalStaticRTP(soundOf(o.Audio), "audio", "film"); err != nil {
			return fail(err)
		}
		if err := p.send(pc, p.audio, false); err != nil {
			return fail(err)
		}
	}
	connected, once := make(chan struct{}), sync.Once{}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(connected) })
		}
	})
	if p.Session, err = join(ctx, pc, to, o.HTTP); err != nil {
		return fail(err)
	}
	select {
	case <-connected:
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	sending, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.work.Go(func() { p.play(sending, f) })
	return p, nil
}

func (p *Publisher) send(pc *webrtc.PeerConnection, track webrtc.TrackLocal, count bool) error {
	t, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return err
	}
	go func() { // ends with the connection
		for {
			got, _, err := t.Sender().ReadRTCP()
			if err != nil {
				return
			}
			for _, k := range got {
				if _, ok := k.(*rtcp.PictureLossIndication); ok && count {
					p.PLIs.Add(1)
				}
			}
		}
	}()
	return nil
}

func (p *Publisher) play(ctx context.Context, f Footage) {
	payloader := rtp.Payloader(&codecs.H264Payloader{})
	if f.HEVC {
		payloader = &codecs.H265Payloader{}
	}
	pack := rtp.NewPacketizer(mtu, 96, 1, payloader, rtp.NewRandomSequencer(), 90000)
	ticks := uint32(f.Every.Seconds() * 90000)
	tick := time.NewTicker(f.Every)
	defer tick.Stop()
	sound, aac, began := uint16(0), aacSender{units: f.AAC, to: p.audio}, time.Now()
	for {
		for _, picture := range f.Pictures {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			for _, k := range pack.Packetize(picture.Bytes(), ticks) {
				k.Timestamp += uint32(picture.Later) * ticks
				if p.video.WriteRTP(k) != nil {
					return
				}
				p.Sent.Add(1)
			}
			if p.audio != nil && len(f.AAC) > 0 {
				if aac.until(time.Since(began)) != nil {
					return
				}
			} else if p.audio != nil {
				sound++
				k := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: sound, Timestamp: uint32(sound) * 960}, Payload: []byte{byte(sound >> 8), byte(sound)}}
				if p.audio.WriteRTP(k) != nil {
					return
				}
			}
		}
	}
}

// aacSender sends access units at their pace.
type aacSender struct {
	units [][]byte
	to    *webrtc.TrackLocalStaticRTP
	sent  int
}

func (a *aacSender) until(now time.Duration) error {
	for ; float64(a.sent)*1024/48000 < now.Seconds(); a.sent++ {
		u := a.units[a.sent%len(a.units)]
		header := []byte{0, 16, byte(len(u) >> 5), byte(len(u) << 3)} // RFC 3640: the length of the headers in bits; 13 bits of size, 3 of index
		k := &rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, SequenceNumber: uint16(a.sent), Timestamp: uint32(a.sent) * 1024}, Payload: append(header, u...)}
		if err := a.to.WriteRTP(k); err != nil {
			return err
		}
	}
	return nil
}

// Stop stops sending and drops the connection without a word.
func (p *Publisher) Stop() error {
	p.stop()
	p.work.Wait()
	return p.PC.Close()
}
