package verify

import (
	"fmt"
	"strconv"

	"camseal/pkg/evidence"
)

// history is what the leaves of a log said so far: a few numbers for each device and each recording.
type history struct {
	devices    map[evidence.DeviceID]lastSeen
	recordings map[recKey]lastStored
	suspects   []suspect // seen leaves that went back
}

type recKey struct {
	device evidence.DeviceID
	rec    evidence.RecordingID
}

type lastSeen struct {
	seq   uint64
	head  evidence.Digest
	index int64
}

type lastStored struct {
	open, list evidence.Digest
	close      evidence.Digest // zeros: open
	chunks     uint64
	until      int64
	index      int64
}

type suspect struct {
	device evidence.DeviceID
	lastSeen
}

// maxSuspects bounds how many are looked for in the second walk.
const maxSuspects = 1 << 10

func newHistory() *history {
	return &history{devices: map[evidence.DeviceID]lastSeen{}, recordings: map[recKey]lastStored{}}
}

// leaf compares a leaf with those before it.
func (h *history) leaf(index int64, leaf evidence.Leaf) (Problem, bool) {
	switch l := leaf.(type) {
	case *evidence.Seen:
		return h.seen(index, l)
	case *evidence.Stored:
		return h.stored(index, l)
	}
	return Problem{}, false
}

func (h *history) seen(index int64, s *evidence.Seen) (Problem, bool) {
	last, known := h.devices[s.Device]
	this := lastSeen{seq: s.Seq, head: s.Head, index: index}
	reason := ""
	switch {
	case !known && s.Prev != nil:
		reason = fmt.Sprintf("it names leaf %d before it, there is none of this device", *s.Prev)
	case known && (s.Prev == nil || *s.Prev != uint64(last.index)):
		reason = fmt.Sprintf("the device's seen leaf before it is %d", last.index)
	case known && s.Seq <= last.seq:
		reason = fmt.Sprintf("statement %d after statement %d", s.Seq, last.seq)
	}
	if known && s.Seq <= last.seq && len(h.suspects) < maxSuspects {
		h.suspects = append(h.suspects, suspect{s.Device, this})
	}
	if !known || s.Seq > last.seq {
		h.devices[s.Device] = this
	}
	if reason == "" {
		return Problem{}, false
	}
	device, seq := s.Device, s.Seq
	return Problem{Verdict: Broken, Code: CodeSeenBack, Place: Place{Device: &device, Seq: &seq}, Value: strconv.FormatInt(index, 10), Detail: reason, rank: 1}, true
}

func (h *history) stored(index int64, s *evidence.Stored) (Problem, bool) {
	key := recKey{s.Device, s.Rec}
	last, known := h.recordings[key]
	this := lastStored{open: s.Open, list: s.List, chunks: s.Chunks, until: s.Until, index: index}
	if s.Close != nil {
		this.close = *s.Close
	}
	reason := ""
	switch {
	case !known:
	case s.Chunks < last.chunks:
		reason = fmt.Sprintf("%d chunks, leaf %d had %d", s.Chunks, last.index, last.chunks)
	case s.Until < last.until:
		reason = fmt.Sprintf("kept until %d, leaf %d said %d", s.Until, last.index, last.until)
	case !last.close.IsZero() && this.close != last.close:
		reason = fmt.Sprintf("it was closed otherwise by leaf %d", last.index)
	case s.Open != last.open:
		reason = fmt.Sprintf("another open statement than leaf %d", last.index)
	case s.Chunks == last.chunks && s.List != last.list:
		reason = fmt.Sprintf("other chunks than leaf %d", last.index)
	}
	if reason == "" {
		h.recordings[key] = this
		return Problem{}, false
	}
	device, rec := s.Device, s.Rec
	return Problem{Verdict: Broken, Code: CodeStoredBack, Place: Place{Device: &device, Rec: &rec}, Value: strconv.FormatInt(index, 10), Detail: reason, rank: 1}, true
}
