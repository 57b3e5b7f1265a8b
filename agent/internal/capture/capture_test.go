package capture

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"camseal/agent/internal/feed"
	"camseal/agent/internal/header"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// What is recorded is one file that plays, all of it, and its statements hold by the verifier's rules.
func TestRecordsWhatPlays(t *testing.T) {
	t.Parallel()
	for name, coding := range map[string][]string{
		"h264":      plain,
		"reordered": {"-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-bf", "2", "-c:a", "aac"},
		"h265":      {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=30:log-level=error", "-c:a", "aac"},
	} {
		t.Run(name, func(t *testing.T) {
			c := footage(t, "9", coding...)
			g := newSoftRig(t, nil)
			if name == "h264" {
				g = newRig(t, nil)
			}
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

// record records a clip from its begin on and returns the recording's id.
func (g *rig) record(c *clip, from, until time.Duration) evidence.RecordingID {
	g.t.Helper()
	g.rec.Tracks(c.tracks)
	g.until("camera", func(s State) bool { return len(s.Tracks) > 0 })
	id, err := g.rec.Start(g.t.Context(), "")
	must(g.t, err)
	c.play(g.rec, from, until)
	return id
}

func (g *rig) stop() {
	g.t.Helper()
	_, err := g.rec.Stop(g.t.Context(), "")
	must(g.t, err)
}

// inOrder are the recordings in the order of their open statements.
func inOrder(all map[evidence.RecordingID]recording) (out []recording) {
	for _, r := range all {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b recording) int { return int(a.OpenAt.Seq) - int(b.OpenAt.Seq) })
	return out
}

// Another picture size, and a recording that grows too long, end the recording; the next one continues it, and has the header too. Nothing in
// between is lost.
func TestGoesOnInAnother(t *testing.T) {
	t.Parallel()
	c := footage(t, "9", plain...)
	other := footage(t, "3", append(slices.Clone(plain), "-s", "160x90")...).later(9 * time.Second)
	g := newSoftRig(t, func(c *Config) { c.Length, c.Buffer = 4*time.Second, 0 })
	g.start()
	first := g.record(c, 0, time.Second)
	g.until("open", func(s State) bool { return s.Recording != nil })
	c.play(g.rec, time.Second, 2500*time.Millisecond)
	g.until("a segment", func(s State) bool { return s.Segments > 0 })
	must(t, g.rec.Header(t.Context(), first, evidence.Header{Cause: "patrol", Confirmed: "an officer"}))
	c.play(g.rec, 2500*time.Millisecond, time.Minute)
	g.rec.Tracks(other.tracks)
	other.play(g.rec, 0, time.Minute)
	g.stop()
	must(t, g.end())
	all, total := inOrder(g.walk()), 0
	if len(all) != 4 {
		t.Fatalf("%d recordings", len(all))
	}
	for i, r := range all {
		why := []string{evidence.WhyComplete, evidence.WhyComplete, evidence.WhyMediaChanged, evidence.WhyComplete}[i]
		if r.Close == nil || r.Close.Why != why || r.Header == nil || r.Header.Cause != "patrol" || r.Open.Sequence.ID != first || r.Open.Sequence.Index != uint64(i) {
			t.Errorf("recording %d: %+v %+v %+v", i, r.Open.Sequence, r.Close, r.Header)
		}
		if i > 0 && (r.Open.Continues == nil || *r.Open.Continues != all[i-1].Rec) {
			t.Errorf("recording %d does not continue the one before", i)
		}
		n, err := strconv.Atoi(frames(t, r.file))
		must(t, err)
		total += n
	}
	if total != c.frames+other.frames {
		t.Errorf("%d pictures, want %d", total, c.frames+other.frames)
	}
}

// While the TPM hangs, the footage is kept as an import, and says so; when it answers again, the recording goes on as a capture. Nothing is lost.
func TestTPMHangs(t *testing.T) {
	t.Parallel()
	c := footage(t, "9", plain...)
	g := newRig(t, func(c *Config) { c.CountWait, c.ImportLength = 2*time.Second, 6*time.Second })
	g.start()
	g.until("intake", func(State) bool { return g.spool.LastIntake() != 0 })
	g.chip.Stop()
	id := g.record(c, 0, 5*time.Second)
	g.until("said", func(s State) bool { return strings.Contains(s.Trouble, "TPM") })
	g.chip.Continue()
	g.until("sealed", func(State) bool {
		tip, err := g.spool.Tip(t.Context())
		must(t, err)
		return g.spool.Sealed() == tip
	})
	c.play(g.rec, 5*time.Second, time.Minute)
	g.stop()
	must(t, g.end())
	all := inOrder(g.walk())
	if len(all) != 2 || all[0].Rec != id || all[0].Open.Mode != evidence.ModeImport || all[0].Open.Intake == 0 || all[0].Close.Why != evidence.WhyComplete || all[0].Faults == 0 ||
		all[1].Open.Mode != evidence.ModeCapture || all[1].Open.Continues == nil || all[1].Faults != 0 {
		t.Fatalf("%+v", all)
	}
	total := 0
	for _, r := range all {
		n, err := strconv.Atoi(frames(t, r.file))
		must(t, err)
		total += n
	}
	if total != c.frames {
		t.Errorf("%d pictures, want %d", total, c.frames)
	}
}

// A clock that is set back is said, and neither stops the recording nor changes its times; beats come while no segment ends; a camera that
// complains without end does not fill the chain.
func TestClockBeatsAndTroubles(t *testing.T) {
	t.Parallel()
	var off atomic.Int64
	c := footage(t, "9", plain...)
	g := newSoftRig(t, func(c *Config) {
		c.BeatEvery = 300 * time.Millisecond
		c.Now = func() time.Time { return time.Now().Round(0).Add(time.Duration(off.Load())) }
	})
	g.start()
	id := g.record(c, 0, 5*time.Second)
	g.until("segments", func(s State) bool { return s.Segments >= 2 })
	off.Store(-int64(time.Hour))
	for range 5000 {
		g.rec.Trouble(feed.Trouble{Why: "nonsense", Detail: strings.Repeat("x", 10000), At: time.Now()})
	}
	beats := func() bool {
		r, err := g.spool.Recording(id)
		must(t, err)
		return r.N >= 9
	}
	g.until("beats", func(State) bool { return beats() })
	c.play(g.rec, 5*time.Second, time.Minute)
	g.stop()
	must(t, g.end())
	r := g.walk()[id]
	jumps := slices.DeleteFunc(r.faults(), func(f string) bool { return !strings.Contains(f, "set back by 3600") })
	if len(jumps) != 1 || r.Faults > 3 || r.kinds(evidence.KindBeat) < 3 || r.Close.Duration < 8900 || r.Close.Duration > 9200 {
		t.Errorf("%v, %d beats, %+v", r.faults(), r.kinds(evidence.KindBeat), r.Close)
	}
	if got := frames(t, r.file); got != strconv.Itoa(c.frames) {
		t.Errorf("%s pictures, want %d", got, c.frames)
	}
}

// When the spool is full, what is recorded is kept, what is left out is said once, and it goes on by itself when there is room.
func TestSpoolFull(t *testing.T) {
	t.Parallel()
	c := footage(t, "9", plain...).twice()
	g := newSoftRig(t, func(c *Config) { c.Buffer = 0 })
	must(t, g.spool.Close())
	g.conf.MaxBytes = 2<<20 + 400<<10
	g.open()
	var other evidence.RecordingID
	rand.Read(other[:])
	tmp, err := g.spool.Temp(other, 0, 2<<20)
	must(t, err)
	_, err = tmp.Write(make([]byte, 2<<20))
	must(t, err)
	_, err = g.spool.Append(t.Context(), spool.Entry{Rec: other, Body: &evidence.Open{Mode: evidence.ModeImport, ChunkSize: 2 << 20, MediaType: "x/y"}},
		spool.Entry{Rec: other, File: tmp, Body: &evidence.Chunk{Size: 2 << 20, Hash: evidence.Sum(make([]byte, 2<<20))}})
	must(t, err)
	g.start()
	id := g.record(c, 0, 14*time.Second)
	g.until("full", func(s State) bool { return strings.Contains(s.Trouble, "full") })
	must(t, g.spool.DeclareLost(t.Context(), other, []uint64{0}, "to make room"))
	c.play(g.rec, 14*time.Second, time.Minute)
	g.stop()
	must(t, g.end())
	r := g.walk()[id]
	got, err := strconv.Atoi(frames(t, r.file))
	must(t, err)
	if r.Close == nil || r.Close.Why != evidence.WhyComplete || r.Faults != 2 || got < 300 || got >= c.frames {
		t.Errorf("%d pictures of %d, %+v, %v", got, c.frames, r.Close, r.faults())
	}
}

// ear hears a header in sound that ffmpeg can decode.
type ear struct{ t *testing.T }

func (e ear) Listen(_ context.Context, f *os.File, _ *transport.Register) (header.Heard, []byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return header.Heard{}, nil, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return header.Heard{}, nil, err
	}
	path := e.t.TempDir() + "/a.mp4"
	must(e.t, os.WriteFile(path, b, 0o600))
	run(e.t, "ffmpeg", "-v", "error", "-xerror", "-i", path, "-map", "0:a:0", "-f", "null", "-")
	return header.Heard{From: 100, Until: 1900, Transcript: "traffic patrol", Engine: "ear", Confidence: 900,
		Fields: []header.Field{{Name: "cause", State: header.FieldMatched, Value: "traffic"}, {Name: "officers", Value: "Li Wei 12345"}}}, nil, nil
}

// The spoken header ends with silence after it; what was heard is a claim, and the recording goes on waiting for one that is confirmed.
func TestSpokenHeader(t *testing.T) {
	t.Parallel()
	c := footage(t, "9", plain...)
	g := newSoftRig(t, func(c *Config) { c.ListenEvery, c.Listen = 300*time.Millisecond, ear{t} })
	g.start()
	id := g.record(c, 0, 2*time.Second)
	g.until("header", func(s State) bool { return s.InHeader })
	c.play(g.rec, 2*time.Second, time.Minute)
	g.until("silence", func(s State) bool { return !s.InHeader })
	if err := g.rec.EndHeader(t.Context(), ""); !errors.Is(err, ErrIdle) {
		t.Error(err)
	}
	waits := 0
	must(t, g.spool.Waiting(func(r spool.Recording) bool {
		waits++
		return true
	}))
	must(t, g.rec.Header(t.Context(), id, evidence.Header{Cause: "traffic", Confirmed: "Li Wei 12345"}))
	must(t, g.spool.Waiting(func(r spool.Recording) bool {
		waits = -1
		return true
	}))
	g.stop()
	must(t, g.end())
	r := g.walk()[id]
	var heard *evidence.Header
	for _, s := range r.statements {
		if h, ok := s.Body.(*evidence.Header); ok && heard == nil {
			heard = h
		}
	}
	if waits != 1 || heard == nil || heard.Confirmed != "" || heard.Spoken == nil || heard.Spoken.Until != 1900 || heard.Cause != "traffic" ||
		len(heard.Officers) != 1 || r.Header.Confirmed == "" || r.Header.Corrects == 0 {
		t.Errorf("waits %d, heard %+v, then %+v", waits, heard, r.Header)
	}
}
