package live

import (
	"context"
	"sync"
	"time"
)

// The limits of how fast is sent, bytes a second.
const (
	fastest = 40_000_000 / 8
	slowest = 8_000 / 8
)

// The steps in which the speed follows the losses that the receiver reports.
const (
	lossMuch   = 0.10                 // above: slower
	lossLittle = 0.02                 // below: faster
	faster     = 1.15                 // a report
	slack      = 5 * time.Millisecond // what may be sent at once after a pause
	silence    = 5 * time.Second      // without a report: as if half was lost
	tryLeast   = 10 * time.Second     // from single pictures to the next try with all of them
	tryMost    = 2 * time.Minute
)

// pace spreads packets so that a group of pictures that is sent at once does not overflow the buffers on the way, and finds out how much the
// way carries: pictures can't be coded smaller here, so a link that is too narrow gets single ones. It is safe for concurrent use.
type pace struct {
	now   func() time.Time
	limit func() int // bits a second; 0: none

	mu     sync.Mutex
	rate   float64 // bytes a second
	due    time.Time
	sent   int       // bytes since the last report
	report time.Time // when that came
	lost   float64   // share of packets, smoothed

	spare     float64 // bytes that may be sent once more
	spareFrom time.Time

	group      int           // bytes of the group of pictures that comes in
	groupBegan time.Duration // its time
	stream     float64       // bytes a second that pictures need
	whole      bool          // the group is sent, not only its first picture
	single     time.Time     // when a first picture was sent last
	wholeFrom  time.Time     // since when groups are sent whole
	again      time.Duration // how long after that failed it is tried again
	tryAt      time.Time     // when
}

func newPace(now func() time.Time, limit func() int) *pace {
	return &pace{now: now, limit: limit, rate: fastest, whole: true}
}

// speed is the rate that is allowed now.
func (p *pace) speed() float64 {
	r := p.rate
	if p.limit != nil {
		if l := p.limit(); l > 0 {
			r = min(r, float64(l)/8)
		}
	}
	return max(r, slowest)
}

// wait returns when n bytes more may be sent.
func (p *pace) wait(ctx context.Context, n int) error {
	p.mu.Lock()
	now := p.now()
	if oldest := now.Add(-slack); p.due.Before(oldest) {
		p.due = oldest
	}
	p.due = p.due.Add(time.Duration(float64(n) / p.speed() * float64(time.Second)))
	p.sent += n
	d := p.due.Sub(now)
	p.mu.Unlock()
	if d < time.Millisecond { // timers are no finer
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// repair reports whether n bytes may be sent once more, and counts them.
func (p *pace) repair(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, speed := p.now(), p.speed()
	most := max(speed*repairShare/2, 4*payloadMax) // half a second's
	if p.spareFrom.IsZero() {
		p.spare = most
	} else {
		p.spare = min(p.spare+now.Sub(p.spareFrom).Seconds()*speed*repairShare, most)
	}
	p.spareFrom = now
	if p.spare < float64(n) {
		return false
	}
	p.spare -= float64(n)
	p.sent += n
	p.due = p.due.Add(time.Duration(float64(n) / speed * float64(time.Second)))
	return true
}

// share is how many bytes may be sent once more within a second.
func (p *pace) share() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(p.speed() * repairShare)
}

// heard takes in the share of packets that the receiver lost since its last report.
func (p *pace) heard(lost float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hear(lost)
}

func (p *pace) hear(lost float64) {
	now := p.now()
	p.lost = p.lost*0.7 + lost*0.3
	took := now.Sub(p.report).Seconds()
	switch {
	case lost > lossMuch:
		if p.whole && !p.report.IsZero() && took > 0 {
			p.rate = min(p.rate, float64(p.sent)/took)
		}
		p.rate = max(p.rate*(1-lost/2), slowest)
	case lost < lossLittle:
		p.rate = min(p.rate*faster, fastest)
	}
	p.sent, p.report = 0, now
}

// admits reports whether a unit of pictures is to be sent. Where the whole stream does not fit, the first picture of a group is, as often as
// the link allows: the others could not be decoded without each other.
func (p *pace) admits(t taken, n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if !p.report.IsZero() && now.Sub(p.report) > silence {
		p.hear(0.5)
	}
	if !t.again {
		if t.Key {
			if took := t.PTS - p.groupBegan; p.group > 0 && took > 0 {
				p.stream = float64(p.group) / took.Seconds()
			}
			p.group, p.groupBegan = 0, t.PTS
		}
		p.group += n
	}
	speed := p.speed()
	if !t.Key {
		if took := t.PTS - p.groupBegan; p.whole && took >= time.Second && float64(p.group)/took.Seconds() > 2*speed {
			p.stream = float64(p.group) / took.Seconds()
			p.choose(now, speed) // far too much: the next group would come too late to see that
		}
		return p.whole
	}
	p.choose(now, speed)
	if p.whole || p.single.IsZero() || now.Sub(p.single).Seconds() >= float64(n)/(speed*0.8) {
		p.single = now
		return true
	}
	return false
}

// choose decides whether groups are sent whole. Single pictures leave room on the link, so that only trying shows whether the stream fits
// again: that is done ever more rarely while it fails.
func (p *pace) choose(now time.Time, speed float64) {
	fits := p.stream <= speed && !now.Before(p.tryAt)
	switch {
	case p.whole && !fits:
		if now.Sub(p.wholeFrom) > steady && !p.wholeFrom.IsZero() {
			p.again = 0
		}
		p.again = min(max(p.again*2, tryLeast), tryMost)
		p.tryAt = now.Add(p.again)
	case !p.whole && fits:
		p.wholeFrom = now
	}
	p.whole = fits
}

// room reports whether sound has room beside pictures.
func (p *pace) room(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.speed() >= 2*8000 || n == 0
}

// view says what is lost and whether only single pictures are sent.
func (p *pace) view() (lost float64, single bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost, !p.whole
}
