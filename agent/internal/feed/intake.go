package feed

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"camseal/pkg/evidence"
)

// How a connection ends for its source's silence.
var (
	errSilent     = errors.New("nothing came from the camera")
	errNoPictures = errors.New("no pictures came from the camera")
	errOdd        = errors.New("what the camera sends is no longer pictures as it said them to be")
)

// maxOdd is how many units in a row that can't be pictures end a connection that gave some: the camera is asked anew what it sends.
const maxOdd = 25

// maxSound is how much sound is taken at once.
const maxSound = 64 << 10

// maxPause is how often it is said at least that there is more that can't be read.
const maxPause = 5 * time.Minute

// maxPatience bounds how long a connection that gives sound is kept although its pictures can't be used: doublings of Config.Stall.
const maxPatience = 6

// intake is what is between a source and its sink: it lasts as long as the feed, over all connections. It is safe for concurrent use.
type intake struct {
	config Config
	sink   Sink

	mu     sync.Mutex
	clock  clock
	tracks []Track // said last
	conn   connection
	begun  bool      // a unit was given out
	away   string    // why the camera is away, if it is
	futile int       // connections in a row that gave no picture although one was promised
	leapt  time.Time // when the camera's time jumped last
	left   string    // tracks left out, said last
	bad    faulty    // what could not be read
	lost   faulty    // what was lost on the way
	leaps  faulty    // jumps of the camera's time
}

// connection is what is known about the one there is, or was.
type connection struct {
	film      *film // nil: no pictures
	audio     *Track
	began     time.Time
	picture   time.Time // when a picture came last
	sound     time.Time
	keyed     bool // a key picture came, and all after it is given out
	odd       int  // units in a row that can't be pictures
	waiting   time.Time
	waited    int              // pictures left out because no key one came yet
	sayWait   time.Duration    // when that is said next
	soundGone bool             // that was said
	clocks    [2]time.Duration // the camera's time less that of a track, by its reports
	clocked   [2]bool
	given     bool
}

// faulty counts what is not worth a Trouble each.
type faulty struct {
	n     int
	last  string
	from  time.Duration
	said  time.Time
	pause time.Duration // until it is said again; it grows while it goes on
}

// connected says that units of these tracks come now: pictures, sound, or both, and what was left out because it is not understood.
func (in *intake) connected(video, audio *Track, left []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.config.Now()
	in.conn = connection{audio: audio, began: now, picture: now, sound: now, sayWait: in.config.NoKey}
	if video != nil {
		in.conn.film = &film{codec: video.Codec}
		for _, nal := range video.Params {
			if k, set := in.conn.film.kind(nal); k == parameter {
				in.conn.film.remember(set, nal)
			}
		}
	}
	in.clock.reconnect()
	if l := strings.Join(left, ", "); l != in.left {
		if in.left = l; l != "" {
			in.say(evidence.WhyReadError, "left out, for such tracks are not taken: "+l, in.clock.end())
		}
	}
}

// pictures takes an access unit as it came, with the source's times by a clock of 90 kHz. dts is nil where the source doesn't say it. due is
// when the unit would have come if it had not been held back by what came with it. timed is false while the source's time is not known yet.
func (in *intake) pictures(pts int64, dts *int64, timed bool, nals [][]byte, due time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	f, now := in.conn.film, in.config.Now()
	au, key, err := f.sort(nals)
	if err != nil {
		in.count(&in.bad, 1, err.Error())
	}
	if au == nil {
		if err != nil {
			in.conn.odd++
		}
		return
	}
	in.conn.picture, in.conn.odd = now, 0
	if !timed {
		in.wait(now)
		return
	}
	src, back := duration(pts, videoRate), maxReorder
	if dts != nil {
		src, back = duration(*dts, videoRate), maxBack
	}
	t, jump := in.clock.place(pictures, src, due, back)
	if jump != 0 {
		f.shift += ticks(jump)
		in.jumped(jump)
	}
	if !in.conn.keyed && !key || key && !in.announce(true) {
		in.wait(now)
		return
	}
	in.conn.keyed = true
	var lead time.Duration
	if dts != nil {
		lead = max(duration(pts-*dts, videoRate), 0)
	} else {
		if lead, err = f.lead(au, key, pts); err != nil {
			in.count(&in.bad, 1, err.Error())
		}
		t -= lead
	}
	in.futile = 0
	in.give(Unit{Track: 0, DTS: t, Data: au, Key: key, At: now}, pictures, lead)
}

// samples takes sound with the source's time.
func (in *intake) samples(src time.Duration, data [][]byte, due time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now, size := in.config.Now(), 0
	for _, d := range data {
		if size += len(d); len(d) == 0 || size > maxSound {
			in.count(&in.bad, 1, "sound of a wrong size")
			return
		}
	}
	if len(data) == 0 {
		return
	}
	in.conn.sound, in.conn.soundGone = now, false
	t, jump := in.clock.place(sound, src, due, maxBack)
	if jump != 0 {
		in.jumped(jump)
	}
	if !in.hears() && (in.conn.film != nil && now.Sub(in.conn.began) < in.config.NoKey || !in.announce(false)) {
		return
	}
	in.give(Unit{Track: len(in.tracks) - 1, DTS: t, Data: data, At: now}, sound, 0)
}

// hears reports whether sound as it comes now fits the tracks said last.
func (in *intake) hears() bool {
	n := len(in.tracks)
	return n > 0 && in.tracks[n-1].Same(*in.conn.audio) && (in.conn.film != nil || n == 1)
}

// announce says the tracks if they are others than those said last: pictures, if they can be used, and sound. It reports whether there are any.
func (in *intake) announce(film bool) bool {
	var tracks []Track
	if film {
		t, ok := in.conn.film.track()
		if !ok {
			return false
		}
		tracks = append(tracks, t)
	}
	if in.conn.audio != nil {
		tracks = append(tracks, *in.conn.audio)
	}
	if SameTracks(tracks, in.tracks) {
		return true
	}
	if in.tracks != nil {
		in.say(evidence.WhyMediaChanged, describe(in.tracks)+" before, "+describe(tracks)+" now", in.clock.end())
	}
	in.tracks = tracks
	in.sink.Tracks(tracks)
	return true
}

// give gives a unit out; DTS is what it should be, and PTS is by lead later.
func (in *intake) give(u Unit, line int, lead time.Duration) {
	if !in.begun {
		in.clock.begin(u.DTS)
		in.begun, u.DTS = true, 0
	}
	pts := u.DTS + lead
	u.DTS = in.clock.next(line, u.DTS)
	u.PTS = max(pts, u.DTS)
	in.conn.given, in.away = true, ""
	in.sink.Unit(u)
}

// wait counts a picture that is left out because none before it can be decoded.
func (in *intake) wait(now time.Time) {
	if in.conn.waited == 0 {
		in.conn.waiting = now
	}
	in.conn.waited++
}

// check says what is wrong by silence, and ends the connection if it should be made anew.
func (in *intake) check() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	c, now, stall := &in.conn, in.config.Now(), in.config.Stall
	in.flush(&in.bad, evidence.WhyReadError, "what the camera sent could not be read, %d×; the last time: %s", now)
	in.flush(&in.lost, evidence.WhyGap, "packets were lost on the way, %d%s; pictures may be damaged until the next keyframe", now)
	in.flushLeaps(now)
	picture, heard := now.Sub(c.picture), now.Sub(c.sound)
	switch {
	case c.film == nil:
		if heard >= stall {
			return fmt.Errorf("%w for %v", errSilent, stall)
		}
		return nil
	case c.audio == nil && picture >= stall || picture >= stall && heard >= stall:
		return fmt.Errorf("%w for %v", errSilent, stall)
	case c.keyed && c.odd >= maxOdd:
		return errOdd
	case picture >= stall<<min(in.futile, maxPatience):
		in.futile++
		return fmt.Errorf("%w for %v, only sound", errNoPictures, picture.Round(time.Millisecond))
	}
	if c.audio != nil && heard >= stall && !c.soundGone {
		c.soundGone = true
		in.say(evidence.WhyGap, fmt.Sprintf("no sound came for %v; pictures go on", stall), in.clock.lines[sound].last)
	}
	if waited := now.Sub(c.waiting); !c.keyed && c.waited > 0 && waited >= c.sayWait {
		in.say(evidence.WhyGap, fmt.Sprintf("no keyframe for %v: %d pictures could not be used", waited.Round(time.Millisecond), c.waited), in.clock.end())
		c.sayWait *= 2
	}
	return nil
}

// ended says why there is no connection, unless that was said before. It reports whether the last one was good: it gave units for long.
func (in *intake) ended(err error) (good bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if why := err.Error(); why != in.away {
		in.away = why
		in.say(evidence.WhyGap, why+". It is tried again until it works.", in.clock.end())
	}
	good = in.conn.given && in.config.Now().Sub(in.conn.began) > in.config.Wait
	in.conn.given = false
	return good
}

// jumped says so, once if both tracks jump.
func (in *intake) jumped(by time.Duration) {
	now := in.config.Now()
	if !in.begun || now.Sub(in.leapt) < together {
		return
	}
	in.leapt = now
	in.count(&in.leaps, 1, (-by).Round(time.Millisecond).String())
	in.flushLeaps(now)
}

func (in *intake) flushLeaps(now time.Time) {
	in.flush(&in.leaps, evidence.WhyClockJump, "the camera's time jumped (%d×; by %s); the time of arrival goes on", now)
}

// reported takes what a track's time is by the camera's own clock, which its reports tell: sound and pictures are in step by that.
func (in *intake) reported(line int, at time.Time, src time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	c := &in.conn
	c.clocks[line], c.clocked[line] = at.Sub(c.began)-src, true
	if c.clocked[pictures] && c.clocked[sound] {
		in.clock.skew(c.clocks[sound] - c.clocks[pictures])
	}
}

func (in *intake) unreadable(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.count(&in.bad, 1, err.Error())
}

func (in *intake) missing(n uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.count(&in.lost, int(min(n, 1<<16)), "")
}

func (in *intake) count(f *faulty, n int, what string) {
	if f.n == 0 {
		f.from = in.clock.end()
	}
	f.n, f.last = f.n+n, what
}

func (in *intake) flush(f *faulty, why, text string, now time.Time) {
	quiet := now.Sub(f.said)
	if f.n == 0 || quiet < f.pause {
		return
	}
	in.say(why, fmt.Sprintf(text, f.n, f.last), f.from)
	if quiet > 2*f.pause {
		f.pause = in.config.Stall
	} else {
		f.pause = min(2*f.pause, maxPause)
	}
	f.n, f.said = 0, now
}

// say tells people. Much of a detail is what the camera says: it is kept short and plain.
func (in *intake) say(why, detail string, from time.Duration) {
	detail = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, in.config.hide(detail))
	if r := []rune(detail); len(r) > maxDetail {
		detail = string(r[:maxDetail]) + "…"
	}
	in.sink.Trouble(Trouble{Why: why, Detail: detail, From: from, At: in.config.Now()})
}

const maxDetail = 300

func describe(tracks []Track) string {
	var parts []string
	for _, t := range tracks {
		if t.Codec.Video() {
			parts = append(parts, fmt.Sprintf("%s %dx%d", t.Codec, t.Width, t.Height))
		} else {
			parts = append(parts, fmt.Sprintf("%s %d Hz", t.Codec, t.Rate))
		}
	}
	return strings.Join(parts, " and ")
}
