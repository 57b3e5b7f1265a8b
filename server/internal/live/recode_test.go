package live_test

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"sync"
	"testing"

	"camseal/server/internal/live"
	"camseal/server/internal/live/livetest"
)

// reordered is footage with B-frames, and with AAC.
var reordered = sync.OnceValues(func() (livetest.Footage, error) {
	f, err := livetest.Coded(context.Background(), film, 2, 1_000_000, 30, "-s", "640x360", "-bf", "2", "-b_strategy", "0", "-x264-params", "b-pyramid=0:b-adapt=0:ref=1:weightb=0")
	if err != nil {
		return f, err
	}
	return f.WithAAC(context.Background(), film)
})

func (g *rig) publishReordered(audio string) {
	g.t.Helper()
	f, err := reordered()
	if err != nil {
		g.t.Fatal(err)
	}
	p, err := livetest.Publish(g.ctx, g.url+"/whip/cam", f, livetest.Options{Audio: audio})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = p.Stop() })
}

// TestBFrames: pictures that are coded out of their order are not shown, and it is said why.
func TestBFrames(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{})
	g.publishReordered("")
	g.eventually("the reason to be known", func() bool { s := g.Streams(); return len(s) == 1 && s[0].Reason == live.ReasonBFrames })
	if s := g.Streams()[0]; s.Video != "" || s.Audio != "" || !s.Publishing {
		t.Errorf("%+v", s)
	}
	_, err := livetest.Watch(g.ctx, g.url+"/whep/cam", true, livetest.Options{})
	var refused *livetest.Refused
	if !errors.As(err, &refused) || refused.Status != 503 {
		t.Error(err)
	}
}

// TestRecode: where it is allowed, they are coded anew, and so is the sound; time goes forward, and pictures can be decoded.
func TestRecode(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{Recode: true})
	g.publishReordered(livetest.AAC)
	v := g.watch("cam", livetest.Options{Audio: "audio/opus"})
	g.eventually("re-coding to begin", func() bool { s := g.Streams(); return len(s) == 1 && s[0].Recoded })
	s := g.until(v, "pictures and sound", func(s livetest.Seen) bool { return len(s.Pictures) > 75 && len(s.Sound) > 60 })
	for i, b := range s.Sound {
		if len(b) < 3 || b[0]>>3 < 12 { // Opus: hybrid or CELT, which is all that low delay makes
			t.Fatalf("sound %d is %x", i, b)
		}
	}
	late := g.watch("cam", livetest.Options{})
	l := g.until(late, "pictures for a late viewer", pictures(40))
	if l.Back > 0 || l.Broken > 0 || l.Missing > 0 {
		t.Errorf("%d times back, %d broken, %d missing", l.Back, l.Broken, l.Missing)
	}
	if s := g.Streams()[0]; s.Video != "video/H264" || s.Audio != "audio/opus" || s.Reason != "" || !s.Recoded {
		t.Errorf("%+v", s)
	}
	if n := playable(t, l.Pictures); n < 30 {
		t.Errorf("%d pictures can be decoded", n)
	}
}

// TestRecodeHEVC: so are pictures in H.265, which without re-coding are refused.
func TestRecodeHEVC(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{Recode: true})
	f, err := livetest.HEVC(g.ctx, film, 1, 15)
	if err != nil {
		t.Fatal(err)
	}
	p, err := livetest.Publish(g.ctx, g.url+"/whip/cam", f, livetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	s := g.until(g.watch("cam", livetest.Options{}), "pictures", pictures(40))
	if n := playable(t, s.Pictures); n < 30 || s.Back > 0 {
		t.Errorf("%d pictures can be decoded, %d times back", n, s.Back)
	}
	plain := newRig(t, live.Config{})
	_, err = livetest.Publish(g.ctx, plain.url+"/whip/cam", f, livetest.Options{})
	var refused *livetest.Refused
	if !errors.As(err, &refused) || refused.Status != 406 {
		t.Error(err)
	}
}

// playable is how many pictures ffmpeg decodes without a complaint.
func playable(t *testing.T, pictures [][]byte) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "h264", "-i", "pipe:0", "-f", "framecrc", "-")
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(bytes.Join(pictures, nil)), &said
	out, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Errorf("ffmpeg: %v: %s", err, &said)
	}
	n := 0
	for line := range bytes.Lines(out) {
		if line[0] != '#' {
			n++
		}
	}
	return n
}
