package live

import (
	"math/rand/v2"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	burst      = 5 // packets of the past that go out at once …
	burstEvery = time.Millisecond
	// squeezed is how long, in ticks of the clock, what is sent of the past at once lasts: the viewer shows it as fast as it can, and not with the
	// delay that it once had.
	squeezed = 1450
	longPast = 5 // seconds since the keyframe, from which on a new one is asked for
	pliEvery = time.Second
	pliTrust = 3 * time.Second // who asks again so soon was not helped
)

// out sends one track to one viewer: each has numbers of its own, so that it sees no hole where it began, nor when another publisher goes on.
type out struct {
	stream *stream
	track  *track
	codec  codec // by the viewer's numbering

	ssrc   uint32
	pt     uint8
	writer webrtc.TrackLocalWriter

	// Under track.mu.
	stopped bool
	again   bool // the viewer asked for a keyframe
	started bool
	cursor  uint64
	epoch   uint64

	quit    chan struct{}
	lastPLI time.Time // of the listening goroutine

	// Of the sending goroutine.
	sent     uint64 // greatest number sent, unwrapped
	ts       uint32 // newest timestamp sent
	at       time.Time
	any      bool
	base     uint64 // publisher's number that this viewer's numbering begins with
	seqShift uint64
	tsShift  uint32
	past     past
}

// past is what lies between a keyframe and now, when a viewer begins.
type past struct {
	until uint64 // number of the first packet that is not of it
	end   uint32 // timestamp of its newest picture
	span  uint32 // ticks
}

func newOut(s *stream, t *track, c codec) *out {
	return &out{stream: s, track: t, codec: c, quit: make(chan struct{}), sent: 1<<16 + rand.Uint64N(1<<15), tsShift: rand.Uint32()}
}

// Bind implements webrtc.TrackLocal.
func (o *out) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, k := range c.CodecParameters() {
		if k.PayloadType == o.codec.PayloadType {
			o.ssrc, o.pt, o.writer = uint32(c.SSRC()), uint8(k.PayloadType), c.WriteStream()
			return k, nil
		}
	}
	return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
}

// Unbind implements webrtc.TrackLocal.
func (o *out) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID implements webrtc.TrackLocal.
func (o *out) ID() string { return o.Kind().String() }

// RID implements webrtc.TrackLocal.
func (o *out) RID() string { return "" }

// StreamID implements webrtc.TrackLocal.
func (o *out) StreamID() string { return "live" }

// Kind implements webrtc.TrackLocal.
func (o *out) Kind() webrtc.RTPCodecType {
	if o.track.codec.video() {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

func (o *out) stop() {
	o.track.mu.Lock()
	defer o.track.mu.Unlock()
	if !o.stopped {
		o.stopped = true
		close(o.quit)
		o.track.more.Broadcast()
	}
}

// listen takes what the viewer reports: the interceptors repair losses, and a wish for a keyframe is granted from what is held.
func (o *out) listen(sender *webrtc.RTPSender, now func() time.Time) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, k := range packets {
			switch k.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				o.repeat(now())
			}
		}
	}
}

// repeat grants the wish for a keyframe, from what is held. The publisher is bothered only if that did not help, or there is nothing: a camera can but send
// the same once more, over a line that may be narrow.
func (o *out) repeat(now time.Time) {
	last := now.Sub(o.lastPLI)
	if last < pliEvery {
		return
	}
	o.lastPLI = now
	t := o.track
	t.mu.Lock()
	defer t.mu.Unlock()
	o.again = o.started
	t.starving = t.starving || !t.usable() || last < pliTrust
	t.more.Broadcast()
}

// run sends until stop.
func (o *out) run() {
	pause := time.NewTimer(burstEvery)
	defer pause.Stop()
	batch, free := make([]*packet, 0, batchSize), burst
	for {
		first, ok := o.next(&batch)
		if !ok {
			return
		}
		for i, p := range batch {
			if first+uint64(i) < o.past.until {
				if free--; free <= 0 {
					free = burst
					if !o.pause(pause) {
						return
					}
				}
			}
			for !o.send(p) { // the keys are agreed upon, and are put to use in a moment
				if !o.pause(pause) {
					return
				}
			}
		}
	}
}

// pause waits a moment and reports whether to go on.
func (o *out) pause(timer *time.Timer) bool {
	timer.Reset(burstEvery)
	select {
	case <-timer.C:
		return true
	case <-o.quit:
		return false
	}
}

// next waits for packets, and says the number of the first.
func (o *out) next(batch *[]*packet) (uint64, bool) {
	t := o.track
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		if o.stopped {
			return 0, false
		}
		if o.epoch != t.epoch || o.cursor < t.tail {
			o.started = false
		}
		if t.usable() && (!o.started || o.again) {
			o.rebase()
		}
		if o.started && o.cursor < t.head {
			break
		}
		t.starving = t.starving || !o.started
		t.more.Wait()
	}
	*batch = (*batch)[:0]
	first := o.cursor
	o.at = t.last
	for o.cursor < t.head && len(*batch) < batchSize {
		*batch = append(*batch, t.ring[o.cursor%ringPackets])
		o.cursor++
	}
	return first, true
}

// rebase begins anew at the newest keyframe, with numbers that go on from those sent. The caller holds mu.
func (o *out) rebase() {
	t := o.track
	k := t.ring[t.key%ringPackets]
	rate := t.codec.ClockRate
	switch {
	case !o.any: // the shift is random
	case o.epoch != t.epoch:
		gone := uint32(max(t.last.Sub(o.at), 0).Seconds() * float64(rate))
		o.tsShift = o.ts + max(gone, squeezed+1) - t.newest
	default:
		o.tsShift += squeezed + 1
	}
	o.past = past{until: t.head, end: t.newest, span: t.newest - k.ts}
	if !t.byFrame {
		o.past = past{}
	}
	t.starving = t.starving || o.past.span > longPast*rate
	o.base, o.seqShift = k.seq, o.sent+1-k.seq
	o.cursor, o.epoch, o.started, o.again = t.key, t.epoch, true, false
}

// send sends a packet under this viewer's numbers, and reports whether it is done with: false if the connection is not quite ready.
func (o *out) send(p *packet) bool {
	if p.seq < o.base {
		return true // it came too late: it belongs to what this viewer was not sent
	}
	seq := p.seq + o.seqShift
	ts := p.ts + o.tsShift
	if o.past.span > squeezed {
		switch before := int64(int32(o.past.end - p.ts)); {
		case before > 0:
			ts = o.past.end + o.tsShift - uint32(min(before*squeezed/int64(o.past.span), squeezed))
		case before < -10*int64(o.track.codec.ClockRate):
			o.past.span = 0 // long over
		}
	}
	// The header is kept for repairs and must not be used again.
	h := &rtp.Header{Version: 2, Marker: p.marker, PayloadType: o.pt, SequenceNumber: uint16(seq), Timestamp: ts, SSRC: o.ssrc}
	n, err := o.writer.WriteRTP(h, p.payload)
	if err != nil {
		return true // the connection is about to be ended
	}
	if n == 0 {
		return false
	}
	o.stream.out.Add(1)
	if seq > o.sent || !o.any {
		o.sent, o.ts, o.any = seq, ts, true
	}
	return true
}
