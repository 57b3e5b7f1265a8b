package live

import (
	"sync"
	"time"
)

// Bounds of what a track holds: what was sent since the last keyframe, for who comes now, and what slow viewers have not taken yet.
const (
	ringPackets = 4096 // a power of two
	ringBytes   = 8 << 20
	batchSize   = 32 // packets that a viewer takes at once
)

// packet is one RTP packet of a publisher. It is never changed, and its payload is shared by all viewers.
type packet struct {
	seq     uint64 // sequence number, unwrapped
	ts      uint32
	marker  bool
	payload []byte
}

// track is one track of a stream: a ring of the newest packets, from which each viewer reads at its own place. It outlives publishers.
type track struct {
	codec   codec
	byFrame bool // viewers can begin at keyframes only; else at any packet

	mu     sync.Mutex
	more   *sync.Cond // something was added, or a viewer has something to see to
	ring   [ringPackets]*packet
	tail   uint64 // number of the oldest packet held
	head   uint64 // number of the next one
	bytes  int
	epoch  uint64 // counts publishers
	key    uint64 // number of the packet with which the newest keyframe begins
	hasKey bool
	unit   uint64 // number of the packet with which the newest access unit begins
	newest uint32 // timestamp of that unit
	last   time.Time

	starving bool // somebody waits for a keyframe
	in, lost uint64
}

func newTrack(c codec) *track {
	t := &track{codec: c, byFrame: c.video()}
	t.more = sync.NewCond(&t.mu)
	return t
}

// begin makes room for a publisher: what the one before sent is of no use any more. It returns the number under which
// that publisher adds packets.
func (t *track) begin() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.renew()
	return t.epoch
}

// succeed is begin, for the same publisher: 0 if another one has begun.
func (t *track) succeed(epoch uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.epoch != epoch {
		return 0
	}
	t.renew()
	return t.epoch
}

func (t *track) renew() {
	for t.tail < t.head {
		t.drop()
	}
	t.epoch++
	t.hasKey = false
	t.more.Broadcast()
}

// count counts a packet that came, and by how much the number of lost ones has changed.
func (t *track) count(gap int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in++
	t.lost = uint64(max(0, int64(t.lost)+int64(gap)))
}

// take adds a packet, unless another publisher has taken over, and reports whether a keyframe is wanted.
func (t *track) take(k *packet, now time.Time, epoch uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.epoch != epoch {
		return false
	}
	t.add(k, now)
	starving := t.starving
	t.starving = starving && t.byFrame && !t.usable() // else asking once is enough
	return starving
}

func (t *track) drop() {
	slot := &t.ring[t.tail%ringPackets]
	t.bytes -= len((*slot).payload)
	*slot = nil
	t.tail++
}

// add puts the next packet into the ring. The caller holds mu.
func (t *track) add(p *packet, now time.Time) {
	key := t.byFrame && isKey(p.payload)
	for t.head-t.tail == ringPackets || t.bytes+len(p.payload) > ringBytes && t.tail < t.head {
		t.drop()
	}
	if t.head == t.tail || p.ts != t.newest && int32(p.ts-t.newest) > 0 {
		t.unit, t.newest = t.head, p.ts
	}
	switch {
	case !t.byFrame:
		t.key, t.hasKey, t.starving = t.head, true, false
	case key && p.ts == t.newest && !(t.hasKey && t.key == t.unit):
		t.key, t.hasKey, t.starving = t.unit, true, false
	}
	t.ring[t.head%ringPackets] = p
	t.head++
	t.bytes += len(p.payload)
	t.last = now
	t.more.Broadcast()
}

// usable reports whether a viewer can begin at the newest keyframe. The caller holds mu.
func (t *track) usable() bool { return t.hasKey && t.key >= t.tail && t.key < t.head }

// isKey reports whether an H.264 payload (RFC 6184) begins what decoding can begin at: parameters or an IDR picture.
func isKey(b []byte) bool {
	const idr, sps, stapA, fuA = 5, 7, 24, 28
	if len(b) < 2 {
		return false
	}
	starts := func(nal byte) bool { return nal&0x1f == idr || nal&0x1f == sps }
	switch b[0] & 0x1f {
	case idr, sps:
		return true
	case stapA:
		for rest := b[1:]; len(rest) > 2; {
			n := int(rest[0])<<8 | int(rest[1])
			if starts(rest[2]) {
				return true
			}
			if rest = rest[2:]; n == 0 || n > len(rest) {
				return false
			}
			rest = rest[n:]
		}
	case fuA:
		return b[1]&0x80 != 0 && starts(b[1])
	}
	return false
}
