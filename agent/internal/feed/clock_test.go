package feed

import (
	"testing"
	"time"
)

// TestClock: a source's clock that is a little fast or slow is followed for days, footage that was held up keeps its times, and so does a
// burst at the beginning.
func TestClock(t *testing.T) {
	began := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for name, k := range map[string]struct {
		arrival func(i int) time.Duration // of second i of the source
		seconds int
	}{
		"fast for two days": {func(i int) time.Duration { return time.Duration(i) * (time.Second - 100*time.Microsecond) }, 48 * 3600},
		"slow for two days": {func(i int) time.Duration { return time.Duration(i) * (time.Second + 100*time.Microsecond) }, 48 * 3600},
		"held up": {func(i int) time.Duration {
			if i > 20 && i < 30 {
				return 30 * time.Second
			}
			return time.Duration(i) * time.Second
		}, 60},
		"begins with what it has in store": {func(i int) time.Duration { return max(time.Duration(i)-5, 0) * time.Second }, 60},
	} {
		t.Run(name, func(t *testing.T) {
			var c clock
			for i := range k.seconds {
				src := time.Hour + time.Duration(i)*time.Second
				got, jump := c.place(pictures, src, began.Add(k.arrival(i)), maxReorder)
				if jump != 0 || got != time.Duration(i)*time.Second {
					t.Fatalf("second %d: %v, jump %v", i, got, jump)
				}
				c.next(pictures, got)
			}
		})
	}
}

// TestStep: sound that began out of step with the pictures is drawn towards them by the camera's reports, without going back.
func TestStep(t *testing.T) {
	began := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for _, off := range []time.Duration{-300 * time.Millisecond, 300 * time.Millisecond} {
		var c clock
		var last time.Duration
		for i := range 1000 {
			at := time.Duration(i) * 20 * time.Millisecond
			c.place(pictures, at, began.Add(at), maxReorder)
			got, jump := c.place(sound, at+off, began.Add(at), maxBack)
			if got = c.next(sound, got); jump != 0 || i > 0 && got <= last {
				t.Fatalf("%v after %v, jump %v", got, last, jump)
			}
			last = got
			c.skew(-off)
		}
		if want := 999 * 20 * time.Millisecond; last != want {
			t.Errorf("sound ends at %v, pictures at %v", last, want)
		}
	}
}

// TestJumpTogether: tracks that jump one after the other stay in step.
func TestJumpTogether(t *testing.T) {
	began := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	var c clock
	var jumps int
	for i := range 200 {
		at := time.Duration(i) * 20 * time.Millisecond
		video, audio := at, at+7*time.Millisecond
		if i >= 100 {
			video -= time.Hour
		}
		if i >= 104 {
			audio -= time.Hour
		}
		v, j := c.place(pictures, video, began.Add(at), maxReorder)
		a, k := c.place(sound, audio, began.Add(at+time.Duration(i%5)*time.Millisecond), maxBack)
		if j != 0 || k != 0 {
			jumps++
		}
		c.next(pictures, v)
		c.next(sound, a)
		if (i < 100 || i >= 104) && a-v != 7*time.Millisecond {
			t.Fatalf("at %v sound is %v after the pictures", at, a-v)
		}
	}
	if jumps != 2 {
		t.Errorf("%d jumps", jumps)
	}
}
