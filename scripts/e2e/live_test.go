package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"camseal/scripts/camera/recorder"
)

// TestLiveExhibitPlays: what was captured is, byte for byte, what was sealed; it plays as one file in ffmpeg, ffplay and Chromium, with every
// picture that the camera sent.
func TestLiveExhibitPlays(t *testing.T) {
	s := newSystem(t)
	recs := map[string]string{}
	for name, c := range map[string]recorder.Config{"H.264 and G.711": {}, "H.265 and AAC": {Codec: "h265", Audio: "aac"}} {
		d := s.onDuty(camera(t, c).URL())
		recs[name] = d.press("start")
		d.segments(6)
		if rec := d.press("stop"); rec != recs[name] {
			t.Errorf("%s: %s was ended, not %s", name, rec, recs[name])
		}
		s.stored(recs[name])
		d.terminate()
	}
	trust := s.trust()
	for name, rec := range recs {
		c := s.inBundle(rec)
		c.contiguous(t)
		said := verify(t, 0, "--trust", trust, c.bundle)
		if !strings.Contains(said, "capture-sealed") || len(c.faults) > 0 {
			t.Errorf("%s: faults %+v; the verifier says\n%s", name, c.faults, said)
		}
		decodes(t, c.file)
		playsInFFplay(t, c.file)
		end := c.chunks[len(c.chunks)-1]
		if want, got := int(float64(end.Start+end.Duration)*30/1000+0.5), pictures(t, c.file); got != want {
			t.Errorf("%s: %d pictures in %d ms, want %d", name, got, end.Start+end.Duration, want)
		}
	}
	t.Run("Chromium", func(t *testing.T) { playsInChromium(t, s, recs["H.264 and G.711"]) })
}

func playsInChromium(t *testing.T, s *system, rec string) {
	skipQuick(t)
	w := openBrowser(t, s)
	w.checkedPage(rec, "en")
	w.run(chromedp.Evaluate(theVideo+`.play().catch(() => 0)`, nil))
	w.until("the recording to play to its end", theVideo+`.ended`)
	length := ask[float64](w, theVideo+`.duration`)
	w.state("sound")
	if said := ask[string](w, theVerdict+`.textContent`); !regexp.MustCompile(`(\d+) of (\d+) checked in this browser`).MatchString(said) {
		t.Errorf("the verdict is %q", said)
	}
	for _, at := range []float64{length * 0.7, length * 0.2} {
		n := ask[int](w, theVideo+`.getVideoPlaybackQuality().totalVideoFrames`)
		w.run(chromedp.Evaluate(fmt.Sprintf(theVideo+`.currentTime = %f, `+theVideo+`.play().catch(() => 0)`, at), nil))
		w.until("playback from another place", fmt.Sprintf(`(v => v.currentTime > %f && v.currentTime < %f && v.getVideoPlaybackQuality().totalVideoFrames > %d)(%s)`, at+0.3, at+3, n, theVideo))
	}
	w.shot("live-exhibit")
	quiet(w)
}

// quiet expects that the browser had nothing to complain of.
func quiet(w *window) {
	w.t.Helper()
	if got := w.said(); len(got) > 0 {
		w.t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}
