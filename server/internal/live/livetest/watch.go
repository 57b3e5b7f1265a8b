package livetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// Seen is what a viewer got.
type Seen struct {
	Pictures [][]byte // whole ones, in the order of their numbers: NAL units, each behind a start code
	Broken   int      // ones with a packet missing
	Packets  uint64   // of pictures
	Missing  uint64   // by their numbers, once they are waited for no longer
	Span     uint64   // how many there are by their numbers, from the first to the newest
	Bytes    uint64   // of their payloads
	Back     int      // timestamps that went back
	Sound    [][]byte
	First    time.Duration // from asking until the first keyframe was whole
}

// Viewer watches a stream.
type Viewer struct {
	*Session
	mu      sync.Mutex
	changed chan struct{}
	seen    Seen
	keep    bool
	ssrc    uint32
	asked   time.Time

	window map[uint64]*rtp.Packet // that wait for earlier ones
	next   uint64
	newest uint64
	ts     uint32
	unit   []*rtp.Packet
	hole   bool
	start  uint64
	wait   uint64 // packets that a missing one is waited for
}

const reorder = nackWindow // packets that one is waited for

// Watch connects to a WHEP endpoint. With keep, pictures are kept.
func Watch(ctx context.Context, to string, keep bool, o Options) (*Viewer, error) {
	pc, err := o.peer()
	if err != nil {
		return nil, err
	}
	v := &Viewer{changed: make(chan struct{}), keep: keep, window: map[uint64]*rtp.Packet{}, asked: time.Now(), wait: reorder}
	if o.NoRepair {
		v.wait = 1
	}
	fail := func(err error) (*Viewer, error) { return nil, errors.Join(err, pc.Close()) }
	kinds := []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo}
	if o.Audio != "" {
		kinds = append(kinds, webrtc.RTPCodecTypeAudio)
	}
	for _, k := range kinds {
		if _, err := pc.AddTransceiverFromKind(k, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return fail(err)
		}
	}
	pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			v.mu.Lock()
			v.ssrc = uint32(t.SSRC())
			v.mu.Unlock()
		}
		for {
			k, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			v.take(k, t.Kind() == webrtc.RTPCodecTypeVideo)
		}
	})
	if v.Session, err = join(ctx, pc, to, o.HTTP); err != nil {
		return fail(err)
	}
	return v, nil
}

// AskKey asks for a keyframe.
func (v *Viewer) AskKey() error {
	v.mu.Lock()
	ssrc := v.ssrc
	v.mu.Unlock()
	return v.PC.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
}

// Seen says what came until now.
func (v *Viewer) Seen() Seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.seen
	s.Pictures, s.Sound = append([][]byte(nil), s.Pictures...), append([][]byte(nil), s.Sound...)
	return s
}

// Until waits until what was seen suffices.
func (v *Viewer) Until(ctx context.Context, enough func(Seen) bool) (Seen, error) {
	for {
		v.mu.Lock()
		changed, ok := v.changed, enough(v.seen)
		v.mu.Unlock()
		if ok {
			return v.Seen(), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v.Seen(), ctx.Err()
		}
	}
}

func (v *Viewer) take(k *rtp.Packet, video bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer func() {
		close(v.changed)
		v.changed = make(chan struct{})
	}()
	if !video {
		v.seen.Sound = append(v.seen.Sound, k.Payload)
		return
	}
	v.seen.Packets++
	at := v.newest + uint64(int64(int16(k.SequenceNumber-uint16(v.newest))))
	if v.next == 0 {
		at = 1<<32 | uint64(k.SequenceNumber)
		v.next, v.start, v.ts = at, at, k.Timestamp
	}
	v.newest = max(v.newest, at)
	v.seen.Span, v.seen.Bytes = v.newest-v.start+1, v.seen.Bytes+uint64(len(k.Payload))
	if at < v.next {
		return // given up, or known
	}
	v.window[at] = k
	for len(v.window) > 0 {
		k, ok := v.window[v.next]
		if !ok && v.newest-v.next < v.wait {
			return
		}
		delete(v.window, v.next)
		v.next++
		if !ok {
			v.seen.Missing++
			v.hole = true
			continue
		}
		v.inOrder(k)
	}
}

// inOrder puts pictures together.
func (v *Viewer) inOrder(k *rtp.Packet) {
	if k.Timestamp != v.ts {
		if int32(k.Timestamp-v.ts) < 0 {
			v.seen.Back++
		}
		if len(v.unit) > 0 {
			v.seen.Broken++ // its end is missing
		}
		v.unit, v.ts = nil, k.Timestamp
	}
	v.unit = append(v.unit, k)
	if !k.Marker {
		return
	}
	picture, key := depacketise(v.unit)
	v.unit = nil
	if v.hole {
		v.seen.Broken++
		v.hole = false
		return
	}
	if key && v.seen.First == 0 {
		v.seen.First = time.Since(v.asked)
	}
	if !v.keep {
		picture = nil
	}
	v.seen.Pictures = append(v.seen.Pictures, picture)
}

func depacketise(unit []*rtp.Packet) (out []byte, key bool) {
	d := codecs.H264Packet{IsAVC: true}
	for _, k := range unit {
		b, err := d.Unmarshal(k.Payload)
		if err != nil {
			return nil, false
		}
		for len(b) > 4 {
			n := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
			nal := b[4 : 4+n]
			b = b[4+n:]
			key = key || nal[0]&0x1f == 5
			out = append(append(out, 0, 0, 0, 1), nal...)
		}
	}
	return out, key
}
