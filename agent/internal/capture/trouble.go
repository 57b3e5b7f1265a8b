package capture

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"camseal/agent/internal/feed"
	"camseal/pkg/evidence"
)

const (
	clockOff     = 2 * time.Second  // a jump of the clock that is said
	troubleEvery = 10 * time.Second // between two statements about troubles of one kind
	maxDetail    = 500
)

// clock compares the wall clock with the time that passes.
type clock struct {
	wall    time.Time
	elapsed time.Duration
}

func (c *clock) at(wall time.Time, elapsed time.Duration) { c.wall, c.elapsed = wall.Round(0), elapsed }

// jumped returns by how much the wall clock went ahead of, or behind, the time that passed since it was looked at last.
func (c *clock) jumped(wall time.Time, elapsed time.Duration) time.Duration {
	d := wall.Round(0).Sub(c.wall) - (elapsed - c.elapsed)
	c.at(wall, elapsed)
	if d.Abs() < clockOff {
		return 0
	}
	return d
}

func (r *Recorder) clockJumps() {
	d := r.clock.jumped(r.config.Now(), r.elapsed())
	if d == 0 {
		return
	}
	way := "ahead"
	if d < 0 {
		way = "back"
	}
	r.config.Log.Warn("this machine's clock was set", slog.Duration("by", d))
	r.sayNow(&evidence.Fault{Why: evidence.WhyClockJump, Detail: fmt.Sprintf("this machine's clock was set %s by %.1f s at %.3f s", way, d.Abs().Seconds(), r.moment().Seconds())})
}

// moment is how far the present recording is.
func (r *Recorder) moment() time.Duration {
	if t := r.current(); t != nil {
		return max(0, r.newest-t.from())
	}
	return 0
}

// sayNow says something about the recording that runs, if one does.
func (r *Recorder) sayNow(b evidence.Body) {
	if t := r.current(); t != nil {
		r.sayLater(t, b)
	}
}

// troubles keeps a source that has much to complain of from filling the chain: of each kind one is said at once, and how many more there
// were some time later.
type troubles struct{ kinds map[string]*kind }

type kind struct {
	said time.Duration // elapsed
	more int
	last string
}

var reasons = []string{evidence.WhyGap, evidence.WhyClockJump, evidence.WhyReadError, evidence.WhyMediaChanged}

// trouble is for what the feed says of its source.
func (r *Recorder) trouble(t feed.Trouble) {
	if !slices.Contains(reasons, t.Why) {
		t.Why = evidence.WhyReadError
	}
	detail := words(t.Detail, "")
	detail = words(detail[:min(len(detail), maxDetail)], "")
	r.feedSays = detail
	if r.current() == nil {
		return
	}
	if r.troubles.kinds == nil {
		r.troubles.kinds = map[string]*kind{}
	}
	detail = fmt.Sprintf("%s (at %.3f s)", detail, max(0, t.From-r.current().from()).Seconds())
	k := r.troubles.kinds[t.Why]
	if k == nil || r.elapsed()-k.said >= troubleEvery && k.more == 0 {
		r.troubles.kinds[t.Why] = &kind{said: r.elapsed()}
		r.sayNow(&evidence.Fault{Why: t.Why, Detail: detail})
		return
	}
	k.more++
	k.last = detail
}

// tick says what was held back.
func (t *troubles) tick(r *Recorder) {
	for why, k := range t.kinds {
		if r.elapsed()-k.said < troubleEvery {
			continue
		}
		if k.more > 0 {
			r.sayNow(&evidence.Fault{Why: why, Detail: fmt.Sprintf("%d more, the last: %s", k.more, k.last)})
		}
		delete(t.kinds, why)
	}
	if len(t.kinds) == 0 && r.elapsed()-r.lastUnit < time.Second {
		r.feedSays = "" // it goes on
	}
}
