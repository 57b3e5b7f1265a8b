package capture

import (
	"strconv"
	"testing"
	"time"

	"camseal/pkg/evidence"
)

// What is recorded is one file that plays, all of it, and its statements hold by the verifier's rules.
func TestRecordsWhatPlays(t *testing.T) {
	for name, coding := range map[string][]string{
		"h264":      plain,
		"reordered": {"-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-bf", "2", "-c:a", "aac"},
		"h265":      {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=30:log-level=error", "-c:a", "aac"},
	} {
		t.Run(name, func(t *testing.T) {
			c := footage(t, "9", coding...)
			g := newRig(t, nil)
			g.start()
			g.rec.Tracks(c.tracks)
			c.play(g.rec, 0, 4*time.Second)
			g.until("buffered", func(s State) bool { return s.Buffered > 3800*time.Millisecond })
			id, err := g.rec.Start(t.Context(), "an officer")
			must(t, err)
			g.until("open", func(s State) bool { return s.Segments > 0 })
			c.play(g.rec, 4*time.Second, time.Minute)
			if _, err := g.rec.Mark(t.Context(), "an officer", "look"); err != nil {
				t.Fatal(err)
			}
			if got, err := g.rec.Stop(t.Context(), "an officer"); err != nil || got != id {
				t.Fatal(got, err)
			}
			if got := g.rec.State().BFrames; got != (name != "h264") {
				t.Error("B-frames", got)
			}
			must(t, g.end())
			r := g.walk()[id]
			if r.Open.Mode != evidence.ModeCapture || r.Close == nil || r.Close.Why != evidence.WhyComplete || r.Marks != 1 {
				t.Fatalf("%+v %+v", r.Open, r.Close)
			}
			var end uint64
			early := 0
			for i, ch := range r.Chunks[1:] {
				if ch.Start != end || ch.Duration > 4100 || ch.Duration < 900 {
					t.Errorf("segment %d from %d for %d ms, want from %d", i+1, ch.Start, ch.Duration, end)
				}
				end = ch.Start + ch.Duration
				if ch.Early {
					early++
				}
			}
			if early != 2 || end != r.Close.Duration || end < 8900 || end > 9200 {
				t.Errorf("%d chunks, %d early, %d ms, close says %d", len(r.Chunks), early, end, r.Close.Duration)
			}
			if got := frames(t, r.file); got != strconv.Itoa(c.frames) {
				t.Errorf("%s pictures, want %d", got, c.frames)
			}
		})
	}
}
