package app

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

const footage = "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4"

// segments are real footage as a recorder captures it: what comes before all pictures, then two seconds in each piece.
func segments(t *testing.T, n int) (out [][]byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.mp4")
	cmd := exec.Command("ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", footage, "-t", fmt.Sprint(2*n), "-vf", "scale=320:-2", "-r", "25", "-c:v", "libx264", "-preset", "ultrafast",
		"-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "0", "-an", "-movflags", "frag_keyframe+empty_moov+default_base_moof+skip_trailer", file)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	raw, err := os.ReadFile(file)
	check(t, err)
	var part []byte
	for len(raw) > 0 {
		size := binary.BigEndian.Uint32(raw)
		kind := string(raw[4:8])
		part, raw = append(part, raw[:size]...), raw[size:]
		if kind == "moov" || kind == "mdat" {
			out, part = append(out, part), nil
		}
	}
	return out[:n+1]
}

// holds waits until an expression holds in the page, also across pages.
func holds(t *testing.T, ctx context.Context, what, expression string) {
	t.Helper()
	timed, stop := context.WithTimeout(ctx, 25*time.Second)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var is bool
		if err := chromedp.Run(timed, chromedp.Evaluate("!!("+expression+")", &is)); err == nil && is {
			return
		}
		select {
		case <-tick.C:
		case <-timed.Done():
			var page string
			_ = chromedp.Run(ctx, chromedp.Evaluate(`document.body.innerText.slice(0, 3000) + JSON.stringify([...document.querySelectorAll('video')].map(v => [v.currentTime, v.duration, v.ended, v.paused, v.error?.message]))`, &page))
			t.Fatalf("%s: not within 25 seconds\n%s", what, page)
		}
	}
}

// A recording that grows is watched while it does: it plays as far as it is stored, newer footage is offered, and where playing came to the end it goes on by
// itself; the figures follow; when it was ended the page says so.
func TestWatchingARecordingThatGrows(t *testing.T) {
	axe, err := os.ReadFile(axeFile)
	if err != nil {
		t.Fatalf("axe-core is needed: %v; scripts/test fetches it", err)
	}
	shots := os.Getenv("CAMSEAL_SHOTS")
	r := newRig(t)
	d := r.register("one")
	d.today(r)
	all := segments(t, 12)
	c := d.capture("20261126-010203.mp4", nil)
	c.piece(all[0], 0, false)
	sent, put := uint64(0), 0
	grows := func(upto int) {
		t.Helper()
		for _, p := range all[len(c.parts):upto] {
			c.piece(p, 2000, false)
		}
		c.send(r, sent, put)
		sent, put = uint64(len(d.lines)), len(c.parts)
	}
	grows(3)
	d.poll(r, transport.Report{Recording: &c.rec, Link: "wifi", Video: "h264"})
	ctx := browse(t)
	check(t, chromedp.Run(ctx, r.by(keeper).cookies(), chromedp.Navigate(r.page+"/recordings/"+c.rec.String()+"?lang=en")))
	check(t, chromedp.Run(ctx, chromedp.Evaluate(`document.querySelector('input[name=purpose], button[name=purpose]').click(); document.querySelector('main form')?.requestSubmit()`, nil)))
	holds(t, ctx, "the page says that it grows", `document.querySelector('[data-word=badge]')?.textContent === 'recording now' && document.querySelector('[data-word=far]').textContent === 'seen 00:04 · stored 00:04'`)
	holds(t, ctx, "it can be played", `document.querySelector('video')?.readyState >= 2`)
	var duration any
	check(t, chromedp.Run(ctx, chromedp.Evaluate(`String(document.querySelector('video').duration)`, &duration)))
	t.Logf("the length that the browser finds: %v", duration)
	grows(7)
	holds(t, ctx, "the figures follow", `document.querySelector('[data-word=far]').textContent === 'seen 00:12 · stored 00:12'`)
	holds(t, ctx, "newer footage is offered", `document.querySelector('[data-note=newer] button')`)
	check(t, chromedp.Run(ctx, chromedp.Evaluate(`document.querySelector('video').muted = true; document.querySelector('[data-do=play]').click()`, nil)))
	holds(t, ctx, "it goes on by itself", `document.querySelector('video').currentTime > 4.5`)
	check(t, chromedp.Run(ctx, chromedp.Evaluate(`document.querySelector('video').pause()`, nil)))
	for i, path := range []string{"/recordings/" + c.rec.String(), "/fleet", "/fleet/" + d.id().String()} {
		x := lookedAt{[]string{"growing", "fleet", "fleet-device"}[i], path, keeper, nil}
		looksRight(t, ctx, r, x, []int64{1280, 820}[i%2], []string{"en", "zh-CN"}[i%2], []string{"light", "dark"}[i%2], string(axe), shots)
		looksRight(t, ctx, r, x, []int64{820, 1280}[i%2], []string{"zh-CN", "en"}[i%2], []string{"dark", "light"}[i%2], string(axe), shots)
	}
	check(t, chromedp.Run(ctx, chromedp.Navigate(r.page+"/recordings/"+c.rec.String()+"?lang=en")))
	holds(t, ctx, "it can be played again", `document.querySelector('video')?.readyState >= 2`)
	grows(13)
	c.ended(evidence.WhyComplete)
	c.send(r, sent, put)
	_, err = d.client(r).stored(c.rec)
	check(t, err)
	holds(t, ctx, "the page says that it was ended", `document.querySelector('[data-word=says]').textContent.includes('ended')`)
	holds(t, ctx, "the rest is offered", `document.querySelector('[data-note=newer] button')`)
	check(t, chromedp.Run(ctx, chromedp.Evaluate(`document.querySelector('[data-note=newer] button').click()`, nil)))
	holds(t, ctx, "the new parts are there", `document.querySelector('camseal-picture').parts.length === 13`)
	check(t, chromedp.Run(ctx, chromedp.Navigate(r.page+"/recordings/"+c.rec.String()+"?lang=en&at=newest")))
	holds(t, ctx, "the newest is shown", `document.querySelector('video')?.currentTime > 18`)
}
