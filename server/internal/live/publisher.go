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
	maxPacket  = 2048
	askEvery   = time.Second
	outOfOrder = 3 // pictures shown before ones that were sent earlier, until it is clear that these are B-frames
)

// receive is called for each track of a publisher.
func (p *session) receive(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	t := p.audio
	if remote.Kind() == webrtc.RTPCodecTypeVideo {
		t = p.video
		p.ssrc.Store(uint32(remote.SSRC()))
	}
	p.start(func() { drain(receiver) })
	if t == nil {
		return
	}
	t.mu.Lock()
	epoch := t.epoch
	t.mu.Unlock()
	p.start(func() {
		if err := p.forward(remote, t, epoch); err != nil && !errors.Is(err, io.EOF) {
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

// forward puts a publisher's packets into the track.
func (p *session) forward(remote *webrtc.TrackRemote, t *track, epoch uint64) error {
	buf := make([]byte, maxPacket)
	order := sequence{}
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
		if t.byFrame && order.bFrames(k) {
			p.stopPictures()
			continue
		}
		if t.take(k, now, epoch, order.gap) {
			p.stream.askKey()
		}
	}
}

// sequence follows a publisher's numbering.
type sequence struct {
	newest  uint64
	gap     int // how the number of lost packets changed with the last one
	ts      uint32
	seen    bool
	backs   int
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
	if back := int32(s.ts - k.ts); s.seen && back > 0 && back < 10*90000 {
		if s.backs++; s.backs >= outOfOrder {
			s.bframes = true
		}
	}
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

// take adds a packet, unless another publisher has taken over, and reports whether a keyframe is wanted.
func (t *track) take(k *packet, now time.Time, epoch uint64, gap int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.epoch != epoch {
		return false
	}
	t.in++
	t.lost = uint64(max(0, int64(t.lost)+int64(gap)))
	t.add(k, now)
	return t.starving
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
