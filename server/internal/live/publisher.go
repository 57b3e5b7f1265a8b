package live

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	maxPacket = 2048
	askEvery  = time.Second

	// B-frames show by pictures that are to be shown before the one ahead of them, again and again: each counts stepBack, each other picture takes one away.
	stepBack    = 4
	outOfOrder  = 12
	farthestWay = 90000 // ticks
)

// receive is called for each track of a publisher.
func (p *session) receive(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	p.relay.mu.Lock()
	from := &p.audio
	if remote.Kind() == webrtc.RTPCodecTypeVideo {
		from = &p.video
	}
	to := *from
	*from = lane{} // the first of a kind has it
	p.relay.mu.Unlock()
	p.start(func() { drain(receiver) })
	if to.track == nil {
		return
	}
	if to.track.byFrame {
		p.ssrc.Store(uint32(remote.SSRC()))
	}
	p.start(func() {
		if err := p.forward(remote, to.track, to.epoch); !errors.Is(err, io.EOF) {
			p.relay.cfg.Slog.Debug("a publisher's track ended", slog.String("stream", p.stream.name), slog.Any("error", err))
		}
	})
}

// drain reads what the other side reports, so that the interceptors see it.
func drain(r *webrtc.RTPReceiver) {
	buf := make([]byte, maxPacket)
	for {
		if _, _, err := r.Read(buf); err != nil {
			return
		}
	}
}

// forward puts a publisher's packets into the track, until there are no more.
func (p *session) forward(remote *webrtc.TrackRemote, t *track, epoch uint64) error {
	buf := make([]byte, maxPacket)
	order := sequence{}
	recoder, err := p.recodeFrom(t, epoch)
	if err != nil {
		return err
	}
	for {
		n, _, err := remote.Read(buf)
		if err != nil {
			return err
		}
		var h rtp.Packet
		if err := h.Unmarshal(buf[:n]); err != nil {
			continue // the next one may be whole
		}
		now := p.relay.cfg.Now()
		k := &packet{seq: order.place(h.SequenceNumber), ts: h.Timestamp, marker: h.Marker, payload: append([]byte(nil), h.Payload...)}
		t.count(order.gap)
		switch {
		case recoder != nil:
			recoder.take(k)
			continue
		case t.byFrame && order.bFrames(k):
			if !p.relay.cfg.Recode {
				p.stopPictures()
				continue
			}
			v, err := newPictures(t.codec)
			if err != nil {
				return err
			}
			if epoch = t.succeed(epoch); epoch == 0 {
				return nil // somebody else publishes
			}
			recoder = p.recode(t, v, epoch)
			continue
		}
		if t.take(k, now, epoch) {
			p.stream.askKey()
		}
	}
}

// recodeFrom begins to code a track anew, if it must be; nil: it need not.
func (p *session) recodeFrom(t *track, epoch uint64) (*recoder, error) {
	if from := p.from[0]; from != nil && t.byFrame && from.MimeType == webrtc.MimeTypeH265 {
		v, err := newPictures(*from)
		if err != nil {
			return nil, err
		}
		return p.recode(t, v, epoch), nil
	}
	if from := p.from[1]; from != nil && !t.byFrame && from.MimeType == mimeAAC {
		s, err := newSound(*from)
		if err != nil {
			return nil, err
		}
		return p.recode(t, s, epoch), nil
	}
	return nil, nil
}

// sequence follows a publisher's numbering.
type sequence struct {
	newest  uint64
	gap     int // how the number of lost packets changed with the last one
	ts      uint32
	seen    bool
	score   int
	bframes bool
}

// place unwraps a sequence number.
func (s *sequence) place(n uint16) uint64 {
	if s.newest == 0 {
		s.newest = 1<<32 | uint64(n)
		s.gap = 0
		return s.newest
	}
	at := s.newest + uint64(int64(int16(n-uint16(s.newest))))
	if at > s.newest {
		s.gap = int(at-s.newest) - 1
		s.newest = at
	} else {
		s.gap = -1
	}
	return at
}

// bFrames reports whether pictures come in another order than they are to be shown.
func (s *sequence) bFrames(k *packet) bool {
	if k.seq != s.newest {
		return s.bframes
	}
	switch back := int32(s.ts - k.ts); {
	case !s.seen || back == 0:
	case back > 0 && back < farthestWay:
		s.score += stepBack
	default:
		s.score = max(0, s.score-1)
	}
	s.bframes = s.bframes || s.score >= outOfOrder
	s.ts, s.seen = k.ts, true
	return s.bframes
}

// stopPictures says why no pictures are shown.
func (p *session) stopPictures() {
	p.relay.mu.Lock()
	defer p.relay.mu.Unlock()
	if p.stream.publisher == p {
		p.stream.reason = ReasonBFrames
	}
}

// askKey asks the publisher for a keyframe, but not too often.
func (s *stream) askKey() {
	r := s.relay
	now := r.cfg.Now().UnixNano()
	last := s.asked.Load()
	if now-last < int64(askEvery) || !s.asked.CompareAndSwap(last, now) {
		return
	}
	r.mu.Lock()
	p := s.publisher
	r.mu.Unlock()
	if p == nil || p.ssrc.Load() == 0 {
		s.asked.Store(0)
		return
	}
	if err := p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: p.ssrc.Load()}}); err != nil {
		r.cfg.Slog.Debug("a keyframe could not be asked for", slog.String("stream", s.name), slog.Any("error", err))
	}
}
