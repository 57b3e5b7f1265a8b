package feed

import "time"

// What a source's time may do against the clock of arrival before it is called a jump.
const (
	maxBack     = 100 * time.Millisecond // back, in the order of decoding
	maxReorder  = 500 * time.Millisecond // back, if only the times of showing are known
	maxAhead    = 2 * time.Second
	maxBehind   = 15 * time.Second // footage that was held up on its way
	maxBurst    = 10 * time.Second // ahead, while a connection is young: some sources begin with what they have in store
	settling    = 5 * time.Second
	together    = 2 * time.Second // within this, two tracks that jump alike have jumped once
	maxSkew     = 2 * time.Second
	slew        = time.Millisecond // how far one unit's time is drawn towards the other track's
	tick        = time.Second / videoRate
	driftWindow = 10 * time.Second
	videoRate   = 90_000
)

// The two lines of time.
const (
	pictures = iota
	sound
)

// clock turns the times that sources give into the feed's, which begins at 0, never goes back in a track, and follows the clock of arrival
// wherever a source's time is broken off.
type clock struct {
	epoch   time.Time // arrival of the feed's beginning
	running bool
	lines   [2]line
	jumped  time.Time // when a track jumped last, and how far
	jump    time.Duration
}

// line is the time of one track. Source time and offset make the feed's.
type line struct {
	on     bool // in this connection
	offset time.Duration
	aim    time.Duration // where offset is drawn to
	young  time.Time     // until then a burst is no jump
	prev   time.Duration // feed time of what was placed last
	base   time.Duration // usual delay of arrival behind the feed's time; source and arrival drift apart in the course of days
	low    time.Duration // least delay in the window that ends at window
	window time.Time
	used   bool
	last   time.Duration // DTS of the last unit given out
}

// reconnect says that what follows comes by a new connection.
func (c *clock) reconnect() {
	for i := range c.lines {
		c.lines[i].on = false
	}
}

// end is where the feed is: no unit given out is later.
func (c *clock) end() time.Duration { return max(c.lines[pictures].last, c.lines[sound].last) }

// place gives the feed's time of what came at a time, and how far that is off what the source's time would have made of it: 0 unless it jumped.
// back is how far a track's time may go back.
func (c *clock) place(i int, src time.Duration, at time.Time, back time.Duration) (t, jump time.Duration) {
	if !c.running {
		c.running, c.epoch = true, at
	}
	arrival, l, other := at.Sub(c.epoch), &c.lines[i], &c.lines[1-i]
	if !l.on {
		l.start(at)
		if other.on {
			l.offset = other.offset
		} else {
			l.offset = max(arrival, c.end()) - src
		}
		l.aim, l.prev = l.offset, src+l.offset
	}
	if d := l.aim - l.offset; d != 0 {
		l.offset += max(min(d, slew), -slew)
	}
	t = src + l.offset
	ahead := l.base - (arrival - t)
	if at.Before(l.young) && ahead > 0 && ahead < maxBurst {
		l.base, ahead = arrival-t, 0
	}
	if l.prev-t > back || ahead > maxAhead || ahead < -maxBehind {
		jump = max(arrival, l.last+time.Millisecond) - t
		if d := jump - c.jump; at.Sub(c.jumped) < together && d.Abs() < together {
			jump = c.jump // with the other track, to stay in step
		}
		c.jumped, c.jump = at, jump
		t += jump
		l.offset += jump
		l.aim = l.offset
		l.start(at)
	}
	l.drift(arrival-t, at)
	l.prev = t
	return t, jump
}

func (l *line) start(at time.Time) {
	l.on, l.base, l.young = true, 0, at.Add(settling)
	l.low, l.window = maxBehind, at.Add(driftWindow)
}

// drift lets base follow the least delay seen of late.
func (l *line) drift(delay time.Duration, at time.Time) {
	l.low = min(l.low, delay)
	if at.After(l.window) {
		l.base, l.low, l.window = l.low, maxBehind, at.Add(driftWindow)
	}
}

// skew says by how much the offset of sound should differ from that of pictures, which the source's reports tell.
func (c *clock) skew(d time.Duration) {
	v, a := &c.lines[pictures], &c.lines[sound]
	if !v.on || !a.on || d.Abs() > maxSkew || (v.offset+d-a.offset).Abs() > maxSkew {
		return
	}
	a.aim = v.offset + d
}

// begin makes a time the feed's 0. Nothing has been given out yet.
func (c *clock) begin(t time.Duration) {
	c.epoch = c.epoch.Add(t)
	for i := range c.lines {
		l := &c.lines[i]
		l.offset, l.aim, l.prev = l.offset-t, l.aim-t, l.prev-t
	}
}

// next gives out a time in the order of decoding: later than the one before in its track.
func (c *clock) next(i int, dts time.Duration) time.Duration {
	l := &c.lines[i]
	if l.used {
		dts = max(dts, l.last+tick)
	}
	l.used, l.last = true, max(dts, 0)
	return l.last
}

// duration is n ticks of a clock with so many a second.
func duration(n int64, rate int) time.Duration {
	r := int64(rate)
	return time.Duration(n/r)*time.Second + time.Duration(n%r)*time.Second/time.Duration(r)
}

// ticks are those of 90 kHz in a duration.
func ticks(d time.Duration) int64 {
	return int64(d/time.Second)*videoRate + int64((d%time.Second)*videoRate/time.Second)
}
