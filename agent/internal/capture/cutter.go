package capture

import (
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"camseal/agent/internal/feed"
)

const (
	partLength = 500 * time.Millisecond
	maxSegment = 32 << 20 // bytes after which a segment is cut wherever it is
	maxSample  = 16 << 20 // bytes of one unit; what is larger is left out
	jitter     = 100      // ms that sound may come late or early without a hole being made of it
)

// segment is what becomes a chunk.
type segment struct {
	start, end time.Duration // in the feed's time; end once it is done
	ended      time.Time     // when the first unit of the next one was there; zero: it ended without one
	key        bool          // decoding can begin with it
	early      bool          // it was begun before the open statement
	done       bool          // nothing more comes to it
	parts      []part        // that are complete
	size       int           // bytes of all samples
	written    int           // parts that are written, or left out
	dropped    bool          // what comes to it is left out
}

// held is the newest sample of a track, whose duration the next one tells.
type held struct {
	sample  *fmp4.Sample
	at      int64 // ticks of the feed's time
	nominal int64 // duration if the next one does not come, ticks
}

// cutter makes segments of units. The durations of a track's samples add up to its time, whatever the units' times are.
type cutter struct {
	tracks     []feed.Track
	least, cap time.Duration
	held       []*held
	seg        *segment // that units go to; nil: waits for a key unit
	part       part
	highest    time.Duration // time of presentation
	reordered  bool          // pictures are coded out of their order
}

func newCutter(tracks []feed.Track, least, limit time.Duration) *cutter {
	return &cutter{tracks: tracks, least: least, cap: limit, held: make([]*held, len(tracks))}
}

// leads reports whether a track is the one at whose key units segments are cut.
func (c *cutter) leads(track int) bool {
	return c.tracks[track].Codec.Video() || !c.tracks[0].Codec.Video()
}

// add takes a unit in. Afterwards seg may be another one, and the one before is done.
func (c *cutter) add(u feed.Unit) {
	if u.Track < 0 || u.Track >= len(c.tracks) || len(u.Data) == 0 {
		return
	}
	t := c.tracks[u.Track]
	leads := c.leads(u.Track)
	key := leads && (u.Key || !t.Codec.Video())
	if c.look(u); !t.Codec.Video() {
		u.DTS = u.PTS
	}
	if c.seg == nil {
		if !key {
			return
		}
		c.begin(u.DTS, true)
	}
	samples := samplesOf(t, u)
	for i, h := range samples {
		c.settle(u.Track, h)
		if i == 0 {
			c.divide(u.DTS, key)
		}
		c.held[u.Track] = h
	}
}

// look sees whether pictures are coded out of their order.
func (c *cutter) look(u feed.Unit) {
	if u.Track >= 0 && u.Track < len(c.tracks) && c.tracks[u.Track].Codec.Video() {
		c.reordered = c.reordered || u.PTS < c.highest
		c.highest = max(c.highest, u.PTS)
	}
}

// divide ends the segment or the part if one is due before a unit at that time.
func (c *cutter) divide(at time.Duration, key bool) {
	n := at - c.seg.start
	switch {
	case key && n >= c.least, n >= c.cap, c.seg.size >= maxSegment:
		c.cut(at, key)
	case at-c.part.start >= partLength:
		c.endPart(at)
	}
}

// cut ends the segment and begins the next; an empty one goes on.
func (c *cutter) cut(at time.Duration, key bool) {
	if c.seg == nil {
		return
	}
	c.endPart(at)
	if len(c.seg.parts) == 0 {
		return
	}
	c.seg.end, c.seg.done = max(at, c.seg.start), true
	c.begin(c.seg.end, key)
}

func (c *cutter) begin(at time.Duration, key bool) {
	c.seg = &segment{start: at, key: key}
	c.part = newPart(len(c.tracks), at)
}

func (c *cutter) endPart(at time.Duration) {
	if !c.part.empty() {
		c.seg.parts = append(c.seg.parts, c.part)
		c.part = newPart(len(c.tracks), at)
	}
}

// idle ends a segment to which nothing comes any more, all but the newest samples.
func (c *cutter) idle() {
	if c.seg == nil || len(c.seg.parts) == 0 && c.part.empty() {
		return
	}
	at := c.seg.start
	for i, h := range c.held {
		if h != nil {
			scale := scaleOf(c.tracks[i])
			at = max(at, time.Duration(h.at/scale)*time.Second+time.Duration(h.at%scale)*time.Second/time.Duration(scale))
		}
	}
	c.cut(at, false)
}

// flush ends the segment with all that came. The next one begins with a key unit.
func (c *cutter) flush() {
	if c.seg == nil {
		return
	}
	at := c.seg.start
	for i, h := range c.held {
		if h == nil {
			continue
		}
		end, scale := h.at+h.nominal, scaleOf(c.tracks[i])
		c.put(i, h, h.nominal)
		if c.leads(i) {
			at = max(at, time.Duration(end/scale)*time.Second+time.Duration(end%scale)*time.Second/time.Duration(scale))
		}
	}
	c.endPart(at)
	c.seg.end, c.seg.done, c.seg = at, true, nil
	clear(c.held)
}

// settle gives a track's newest sample its duration, now that the next one, h, is there, and h its time.
func (c *cutter) settle(track int, h *held) {
	before := c.held[track]
	c.held[track] = nil
	if before == nil {
		return
	}
	d := h.at - before.at
	if !c.tracks[track].Codec.Video() {
		if off := d - before.nominal; off >= -scaleOf(c.tracks[track])*jitter/1000 && off <= scaleOf(c.tracks[track])*jitter/1000 {
			d = before.nominal
		}
	}
	d = min(max(1, d), 1<<31)
	c.put(track, before, d)
	late := before.at + d - h.at
	h.at = before.at + d
	if c.tracks[track].Codec.Video() {
		h.sample.PTSOffset -= int32(late)
		h.nominal = min(d, videoScale)
	}
}

// put adds a sample to the part.
func (c *cutter) put(track int, h *held, duration int64) {
	h.sample.Duration = uint32(duration)
	if len(c.part.samples[track]) == 0 {
		c.part.base[track] = h.at
	}
	c.part.samples[track] = append(c.part.samples[track], h.sample)
	c.part.size += len(h.sample.Payload)
	c.seg.size += len(h.sample.Payload)
}

// aacFrame is how long an AAC unit is, in samples at the track's rate: with SBR, that may be twice the rate of the units.
func aacFrame(t feed.Track) int64 {
	var c mpeg4audio.AudioSpecificConfig
	if t.Codec != feed.AAC || len(t.Params) == 0 || c.Unmarshal(t.Params[0]) != nil || c.SampleRate == 0 {
		return mpeg4audio.SamplesPerAccessUnit
	}
	n := mpeg4audio.SamplesPerAccessUnit
	if c.FrameLengthFlag {
		n = 960
	}
	return int64(n * t.Rate / c.SampleRate)
}

// samplesOf makes the samples of a unit: bit for bit what came.
func samplesOf(t feed.Track, u feed.Unit) (out []*held) {
	scale := scaleOf(t)
	if t.Codec.Video() {
		b, err := h264.AVCC(u.Data).Marshal()
		if err != nil || len(b) == 0 || len(b) > maxSample {
			return nil
		}
		at := ticks(u.DTS, scale)
		return []*held{{at: at, nominal: scale / 25, sample: &fmp4.Sample{PTSOffset: int32(ticks(u.PTS, scale) - at), IsNonSyncSample: !u.Key, Payload: b}}}
	}
	at := ticks(u.PTS, scale)
	frame := aacFrame(t)
	for _, b := range u.Data {
		n := frame
		if t.Codec != feed.AAC {
			n = int64(len(b) / max(1, t.Channels))
		}
		if n == 0 || len(b) == 0 || len(b) > maxSample {
			continue
		}
		out = append(out, &held{at: at, nominal: n, sample: &fmp4.Sample{Payload: b}})
		at += n
	}
	return out
}
