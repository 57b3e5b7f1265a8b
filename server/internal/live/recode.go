package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"camseal/pkg/sandbox"
)

const (
	recodeQueue  = 1024                // packets that ffmpeg may be behind
	recodeTime   = 30 * 24 * time.Hour // of one stream
	recodeMemory = 2 << 30             // bytes of address space
	recodeOutput = 1 << 42             // bytes
	recodeWindow = 64                  // packets that a missing one is waited for
	mtu          = 1200                // bytes of a payload
)

// The codings that re-coding ends in.
var (
	recodedVideo = codec{webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine: "packetization-mode=1;profile-level-id=42e01f"}}}
	recodedAudio = codec{webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}}}
)

// recoder codes one track of a publisher anew. The program that does it reads what nobody vouches for, and runs in the sandbox.
type recoder struct {
	queue chan *packet
	part  coding
	track *track
	epoch uint64
	seq   uint64 // of what is sent
	now   func() time.Time

	late map[uint64]*packet // that wait for earlier ones
	next uint64
}

// coding is what a kind of track needs.
type coding interface {
	args() []string                                                    // of ffmpeg, from standard input to standard output
	unit(p *rtp.Packet) ([]byte, error)                                // what goes to ffmpeg with the packet; nil: nothing yet
	read(out io.Reader, send func(payloads [][]byte, ts uint32)) error // ffmpeg's output
}

// recode begins to code a track anew, and returns where its packets go.
func (p *session) recode(t *track, c coding, epoch uint64) *recoder {
	r := &recoder{queue: make(chan *packet, recodeQueue), part: c, track: t, epoch: epoch, seq: 1 << 32, now: p.relay.cfg.Now, late: map[uint64]*packet{}}
	p.relay.mu.Lock()
	p.stream.recoded = p.stream.recoded || p.stream.publisher == p
	p.relay.mu.Unlock()
	p.start(func() {
		if err := p.runRecoder(r); err != nil && p.ctx.Err() == nil {
			p.relay.cfg.Slog.Warn("a live stream is coded anew no more", slog.String("stream", p.stream.name), slog.Any("error", err))
			p.relay.mu.Lock()
			if p.stream.publisher == p {
				p.stream.reason = ReasonRecode
			}
			p.relay.mu.Unlock()
		}
	})
	return r
}

// take hands a packet over; when ffmpeg can't keep up, packets are lost.
func (r *recoder) take(k *packet) {
	select {
	case r.queue <- k:
	default:
	}
}

func (p *session) runRecoder(r *recoder) error {
	in, feed, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("hand a stream to ffmpeg: %w", err)
	}
	ctx, done := context.WithCancel(p.ctx)
	var fed error
	var work sync.WaitGroup
	work.Go(func() {
		fed = r.feed(ctx, feed)
		if err := feed.Close(); fed == nil {
			fed = err
		}
	})
	box := sandbox.Box{Time: recodeTime, Memory: recodeMemory, Output: recodeOutput}
	err = box.Run(ctx, sandbox.Command{Name: "ffmpeg", Args: append([]string{"-v", "error", "-nostdin"}, r.part.args()...), In: in}, func(out io.Reader) error {
		return r.part.read(out, r.send)
	})
	done()
	err = errors.Join(err, in.Close()) // feeding ends with it
	work.Wait()
	return errors.Join(err, fed)
}

// feed writes the track to ffmpeg, in order.
func (r *recoder) feed(ctx context.Context, to io.Writer) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case k := <-r.queue:
			for _, k := range r.inOrder(k) {
				b, err := r.part.unit(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(k.seq), Timestamp: k.ts, Marker: k.marker}, Payload: k.payload})
				if err != nil || len(b) == 0 {
					continue // a packet that makes no sense, or is not the last of its unit
				}
				if _, err := to.Write(b); err != nil && ctx.Err() == nil {
					return fmt.Errorf("hand a stream to ffmpeg: %w", err)
				}
			}
		}
	}
}

// inOrder takes a packet and returns those whose turn it is; a missing one is waited for only so long.
func (r *recoder) inOrder(k *packet) (out []*packet) {
	if r.next == 0 {
		r.next = k.seq
	}
	if k.seq < r.next {
		return nil
	}
	r.late[k.seq] = k
	for {
		k, ok := r.late[r.next]
		switch {
		case ok:
			out = append(out, k)
			delete(r.late, r.next)
		case len(r.late) < recodeWindow:
			return out
		}
		r.next++
	}
}

// send puts what ffmpeg made into the track.
func (r *recoder) send(payloads [][]byte, ts uint32) {
	for i, b := range payloads {
		r.seq++
		r.track.take(&packet{seq: r.seq, ts: ts, marker: i == len(payloads)-1, payload: b}, r.now(), r.epoch)
	}
}

// times puts times into the order in which pictures are shown.
type times struct {
	mu   sync.Mutex
	list []uint32
	last uint32
}

const maxTimes = 64

func (s *times) put(ts uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.list, ts, func(a, b uint32) int { return int(int32(a - b)) })
	s.list = slices.Insert(s.list, i, ts)
	if len(s.list) > maxTimes { // pictures that ffmpeg left out
		s.list = slices.Delete(s.list, 0, 1)
	}
}

// take is the time of the next picture shown.
func (s *times) take() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) > 0 {
		s.last, s.list = s.list[0], slices.Delete(s.list, 0, 1)
	} else {
		s.last++
	}
	return s.last
}

func number(n int) string { return strconv.Itoa(n) }
