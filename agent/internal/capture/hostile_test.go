package capture

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"camseal/agent/internal/feed"
	"camseal/pkg/evidence"
)

// A camera without key pictures for long, whose sound stops: segments are cut all the same, say so, and nothing is left out.
func TestNoKeyPictures(t *testing.T) {
	t.Parallel()
	c := footage(t, "9", plain...)
	bad := &clip{tracks: c.tracks, frames: c.frames}
	for i, u := range c.units {
		u.Key = u.Key && i == 0
		if u.Track == 0 || u.DTS < 3*time.Second {
			bad.units = append(bad.units, u)
		}
	}
	g := newSoftRig(t, func(c *Config) { c.SegmentCap = 3 * time.Second })
	g.start()
	id := g.record(bad, 0, time.Minute)
	g.stop()
	must(t, g.end())
	r := g.walk()[id]
	keys := 0
	for _, s := range r.statements {
		if b, ok := s.Body.(*evidence.Chunk); ok && b.Keyframe {
			keys++
		}
	}
	if len(r.Chunks) < 4 || keys != 1 {
		t.Errorf("%d chunks, %d with a key picture", len(r.Chunks), keys)
	}
	if got := frames(t, r.file); got != strconv.Itoa(c.frames) {
		t.Errorf("%s pictures, want %d", got, c.frames)
	}
}

// While the disk stands still the camera does not wait: whole groups of pictures are left out, that is said, and what is kept plays.
func TestDiskStandsStill(t *testing.T) {
	t.Parallel()
	c := footage(t, "9", plain...)
	g := newSoftRig(t, nil)
	must(t, g.spool.Close())
	var still atomic.Bool
	moves := make(chan struct{})
	g.conf.Step = func(string) {
		if still.Load() {
			<-moves
		}
	}
	g.open()
	g.start()
	g.rec.limit = 1 << 20
	id := g.record(c, 0, 2500*time.Millisecond)
	g.until("segments", func(s State) bool { return s.Segments > 0 })
	still.Store(true)
	c.play(g.rec, 2500*time.Millisecond, 7900*time.Millisecond)
	lost := func() bool {
		g.rec.inbox.mu.Lock()
		defer g.rec.inbox.mu.Unlock()
		return g.rec.lost != nil
	}
	for from := 10 * time.Second; !lost(); from += 10 * time.Second { // what was taken up before it stood still had room
		c.later(from).play(g.rec, 0, time.Hour)
	}
	still.Store(false)
	close(moves)
	g.until("room", func(State) bool {
		g.rec.inbox.mu.Lock()
		defer g.rec.inbox.mu.Unlock()
		return g.rec.size == 0
	})
	c.later(time.Hour).play(g.rec, 0, 2*time.Hour)
	g.stop()
	must(t, g.end())
	r := g.walk()[id]
	if r.Faults == 0 || !strings.Contains(strings.Join(r.faults(), " "), "did not keep up") {
		t.Errorf("%v", r.faults())
	}
	if n, err := strconv.Atoi(frames(t, r.file)); err != nil || n < c.frames {
		t.Errorf("%d pictures, %v", n, err)
	}
}

// A feed that breaks every rule neither stops the recorder nor what it says.
func TestFeedThatLies(t *testing.T) {
	t.Parallel()
	c := footage(t, "3", plain...)
	g := newSoftRig(t, nil)
	g.start()
	id := g.record(c, 0, time.Second)
	for _, u := range []feed.Unit{{Track: 7, Data: [][]byte{{1}}}, {Track: -1, Data: [][]byte{{1}}}, {Track: 0}, {Track: 0, Data: [][]byte{nil}},
		{Track: 1, PTS: -time.Hour, Data: [][]byte{{1}}}, {Track: 0, DTS: -time.Hour, PTS: 200 * 365 * 24 * time.Hour, Data: [][]byte{{0x41}}}} {
		g.rec.Unit(u)
	}
	c.later(time.Minute).play(g.rec, 0, time.Hour)
	g.rec.Tracks([]feed.Track{{Codec: feed.H264, Params: [][]byte{{1}, {2}}}})
	g.until("unfit", func(s State) bool { return s.Trouble != "" && s.Recording == nil })
	if _, err := g.rec.Start(t.Context(), ""); err != ErrNoCamera {
		t.Error(err)
	}
	must(t, g.end())
	if r := g.walk()[id]; r.Close == nil || r.Close.Why != evidence.WhyMediaChanged {
		t.Errorf("%+v", r.Close)
	}
}

// While a recording can't be opened at all, its footage waits in memory, bounded; what had no room is said once it is open.
func TestWaitsInMemory(t *testing.T) {
	t.Parallel()
	c := footage(t, "9", constant...)
	var answers atomic.Bool
	g := newSoftRig(t, func(c *Config) {
		c.BufferBytes, c.CountWait = 1<<20, 20*time.Millisecond
		c.Counted = func(ctx context.Context, say func(string) error) error {
			if answers.Load() {
				return say("")
			}
			<-ctx.Done()
			return ctx.Err()
		}
	})
	g.start()
	id := g.record(c, 0, time.Minute)
	empty := func(State) bool {
		g.rec.inbox.mu.Lock()
		defer g.rec.inbox.mu.Unlock()
		return g.rec.size == 0
	}
	n := 1
	for ; n < 6; n++ { // 27 MB, of which 17 have room
		g.until("taken in", empty)
		c.later(time.Duration(n)*10*time.Second).play(g.rec, 0, time.Hour)
	}
	g.until("said", func(s State) bool { return strings.Contains(s.Trouble, "TPM") })
	answers.Store(true)
	g.until("open", func(s State) bool { return s.Segments > 5 })
	c.later(time.Duration(n)*10*time.Second).play(g.rec, 0, time.Hour)
	g.stop()
	must(t, g.end())
	r := g.walk()[id]
	got, err := strconv.Atoi(frames(t, r.file))
	must(t, err)
	if got < 4*c.frames-60 || got > 6*c.frames || r.Faults != 2 || r.Open.Mode != evidence.ModeCapture || len(r.file) > 24<<20 {
		t.Errorf("%d pictures of %d, %v, %d bytes", got, 7*c.frames, r.faults(), len(r.file))
	}
}

// BenchmarkRecord says how much of a core recording at 4 Mbit/s takes: cpu/s is milliseconds of processor time for a second of footage.
func BenchmarkRecord(b *testing.B) {
	c := footage(b, "9", constant...)
	g := newSoftRig(b, func(c *Config) { c.Buffer = 0 })
	g.start()
	g.rec.Tracks(c.tracks)
	g.until("camera", func(s State) bool { return len(s.Tracks) > 0 })
	_, err := g.rec.Start(b.Context(), "")
	must(b, err)
	cpu := func() time.Duration {
		var u syscall.Rusage
		must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	from, n := cpu(), 0
	for b.Loop() {
		c.later(time.Duration(n)*10*time.Second).play(g.rec, 0, time.Hour*10000)
		g.until("taken in", func(State) bool {
			g.rec.inbox.mu.Lock()
			defer g.rec.inbox.mu.Unlock()
			return g.rec.size == 0
		})
		n++
	}
	b.ReportMetric(float64((cpu()-from).Milliseconds())/float64(9*n), "cpu-ms/s")
	g.stop()
}

// A camera that was away for long goes on in another recording; one without pictures is recorded too.
func TestSoundAloneAndLongGap(t *testing.T) {
	t.Parallel()
	c := footage(t, "9", plain...)
	sound := &clip{tracks: c.tracks[1:]}
	for _, u := range c.units {
		if u.Track == 1 {
			u.Track = 0
			sound.units = append(sound.units, u)
		}
	}
	g := newSoftRig(t, func(c *Config) { c.LongGap = 500 * time.Millisecond })
	g.start()
	first := g.record(sound, 0, 5*time.Second)
	g.until("segments", func(s State) bool { return s.Segments >= 2 })
	<-time.After(600 * time.Millisecond)
	sound.play(g.rec, 6*time.Second, time.Minute)
	g.stop()
	must(t, g.end())
	all := inOrder(g.walk())
	if len(all) != 2 || all[0].Rec != first || all[0].Close.Why != evidence.WhyComplete || all[0].Close.Duration > 5100 || all[1].Close.Duration > 3200 {
		t.Fatalf("%+v", all)
	}
	for _, r := range all {
		path := t.TempDir() + "/a.mp4"
		must(t, os.WriteFile(path, r.file, 0o600))
		run(t, "ffmpeg", "-v", "error", "-xerror", "-i", path, "-map", "0:a:0", "-f", "null", "-")
	}
}
