package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const thePlayer = `document.querySelector('camseal-player')`

// TestPlayer: everything that the player does, by its keys, over real footage.
func TestPlayer(t *testing.T) {
	s, recs, _ := withFootage(t, "--chunk-size", "1MiB")
	w := openBrowser(t, s)
	w.open(recs[film], "?lang=en")
	playsByKeys(t, w)
	stepsByFrames(t, w)
	loops(t, w)
	picturesAFrame(t, w, recs[film])
	listsKeys(t, w)
	w.open(recs[film], "?lang=en&t=3.5")
	w.until("the moment of the address", `Math.abs(`+theVideo+`.currentTime - 3.5) < 0.01`)
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// open shows a recording and waits until it can be played.
func (w *window) open(rec, query string) {
	w.t.Helper()
	w.visit("/recordings/" + rec + query)
	w.until("the player", thePlayer+`?.timeline?.facts.length > 0 && `+theVideo+`?.readyState >= 2`)
	w.run(chromedp.Evaluate(`document.activeElement.blur()`, nil))
}

func (w *window) press(keys ...string) {
	w.t.Helper()
	for _, k := range keys {
		if len(k) == 1 && k[0] >= ' ' { // KeyEvent sends the character by itself, whatever the page does with the key
			w.run(input.DispatchKeyEvent(input.KeyDown).WithKey(k).WithText(k), input.DispatchKeyEvent(input.KeyUp).WithKey(k))
			continue
		}
		w.run(chromedp.KeyEvent(k))
	}
}

func (w *window) at() float64 {
	w.t.Helper()
	return ask[float64](w, theVideo+`.currentTime`)
}

func playsByKeys(t *testing.T, w *window) {
	t.Helper()
	w.press(" ")
	w.until("space to play", theVideo+`.currentTime > 0.3 && !`+theVideo+`.paused`)
	w.press("k")
	w.until("K to pause", theVideo+`.paused`)
	for _, c := range []struct {
		key  string
		want string
	}{
		{kb.End, `.currentTime > ` + theVideo + `.duration - 0.1`}, {kb.ArrowLeft, `.currentTime < ` + theVideo + `.duration - 4.9`}, {kb.Home, `.currentTime < 0.05`}, {kb.ArrowRight, `.currentTime > 4.9`},
		{"l", `.playbackRate == 1`}, {"l", `.playbackRate == 2`}, {"k", `.paused`},
	} {
		w.press(c.key)
		w.until(fmt.Sprintf("key %q to do %s", c.key, c.want), theVideo+c.want)
	}
	before := w.at()
	w.press("j")
	w.until("J to play backwards", fmt.Sprintf(`%s.currentTime < %f - 0.3`, theVideo, before))
	w.press("k", "<", "<", "<")
	w.until("a quarter of the speed", theVideo+`.playbackRate == 0.5`)
	w.run(chromedp.Evaluate(thePlayer+`.setRate(8)`, nil))
	w.press(kb.Home, " ")
	w.until("eightfold speed to reach the end", theVideo+`.ended`)
	w.run(chromedp.Evaluate(thePlayer+`.setRate(1)`, nil))
}

// stepsByFrames goes over fifteen frames, each once, and back over the same ones.
func stepsByFrames(t *testing.T, w *window) {
	t.Helper()
	w.press(kb.Home)
	w.until("the begin", theVideo+`.currentTime < 0.05 && !`+theVideo+`.seeking && document.querySelector('camseal-picture').shown < 0.05`)
	step := func(key string) float64 {
		before := ask[float64](w, `document.querySelector('camseal-picture').shown`)
		w.press(key)
		w.until("a step", fmt.Sprintf(`document.querySelector('camseal-picture').shown != %v && !%s.stepping`, before, thePlayer))
		return ask[float64](w, `document.querySelector('camseal-picture').shown`)
	}
	way := []float64{ask[float64](w, `document.querySelector('camseal-picture').shown`)}
	for range 15 {
		way = append(way, step("."))
	}
	for i := 1; i < len(way); i++ {
		if gap := way[i] - way[i-1]; gap < 0.025 || gap > 0.042 { // 30 frames a second
			t.Errorf("step %d went from %.4f to %.4f s", i, way[i-1], way[i])
		}
	}
	for i := len(way) - 2; i >= 0; i-- {
		if got := step(","); math.Abs(got-way[i]) > 0.002 {
			t.Errorf("the step back to frame %d shows %.4f s, not %.4f s", i, got, way[i])
		}
	}
}

func loops(t *testing.T, w *window) {
	t.Helper()
	settled := func(at string) {
		w.run(chromedp.Evaluate(thePlayer+`.go(`+at+`)`, nil))
		w.until("second "+at, `(v => !v.seeking && Math.abs(v.currentTime - `+at+`) < 0.05)(`+theVideo+`)`)
	}
	settled("2")
	w.press("i")
	settled("2.6")
	w.press("o", "p", " ")
	w.run(chromedp.Evaluate(`(v => { window.turns = 0; v.addEventListener('seeking', () => { if (Math.abs(v.currentTime - 2) < 0.05) window.turns++; }); })(`+theVideo+`)`, nil))
	w.until("three turns of the loop", `window.turns >= 3`)
	if at := w.at(); at < 1.9 || at > 2.9 {
		t.Errorf("the loop from 2 to 2.6 s is at %.2f s", at)
	}
	w.press("k", "x")
	if got := ask[string](w, `document.querySelector('.points').textContent`); got != "" {
		t.Errorf("after clearing: %q", got)
	}
}

// picturesAFrame saves the picture of a frame and its sheet.
func picturesAFrame(t *testing.T, w *window, rec string) {
	t.Helper()
	w.run(chromedp.Evaluate(thePlayer+`.go(4)`, nil))
	w.until("the frame", `Math.abs(document.querySelector('camseal-picture').shown - 4) < 0.04`)
	w.press("s")
	w.until("the picture", `document.querySelector('dialog.frame img')?.naturalHeight == 720 + 44`)
	png, raw := w.save(`dialog.frame a[download$=png]`), w.save(`dialog.frame a[download$=json]`)
	var sheet struct {
		Recording string
		AtMS      int64 `json:"at_ms"`
		Part      *struct {
			Index int
			Hash  string
		}
		Checked struct{ State, Verdict, Says string }
		Picture struct {
			Width, Height int
			SHA256        string
		}
		Proven []string
	}
	if err := json.Unmarshal(raw, &sheet); err != nil {
		t.Fatal(err)
	}
	if sheet.Recording != rec || sheet.AtMS < 3960 || sheet.AtMS > 4040 || sheet.Picture.Width != 1280 || sheet.Picture.Height != 720 || sheet.Picture.SHA256 != fmt.Sprintf("%x", sha256.Sum256(png)) || len(sheet.Proven) == 0 || sheet.Checked.Says == "" {
		t.Errorf("the sheet says %+v", sheet)
	}
	if n := colours(t, png); n < 200 {
		t.Errorf("the picture has %d colours", n)
	}
	w.shot("player-frame")
	w.press(kb.Escape)
	w.until("the window to close", `!document.querySelector('dialog')`)
}

// save clicks on a link that saves something, and returns it.
func (w *window) save(link string) []byte {
	w.t.Helper()
	dir, done := w.t.TempDir(), make(chan string, 1)
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*browser.EventDownloadProgress); ok && e.State == browser.DownloadProgressStateCompleted {
			done <- e.GUID
		}
	})
	w.run(browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllowAndName).WithDownloadPath(dir).WithEventsEnabled(true), chromedp.Click(link))
	select {
	case name := <-done:
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			w.t.Fatal(err)
		}
		return raw
	case <-w.ctx.Done():
		w.t.Fatal("nothing was saved")
	}
	return nil
}

func listsKeys(t *testing.T, w *window) {
	t.Helper()
	w.press("?")
	w.until("the list of keys", `document.querySelectorAll('dialog.keys kbd').length >= 20`)
	w.shot("player-keys")
	w.click(`dialog.keys input`)
	w.press(kb.Escape)
	w.until("the list to close", `!document.querySelector('dialog')`)
	w.run(chromedp.Evaluate(thePlayer+`.go(1)`, nil))
	w.press("l", " ", kb.Home)
	if playing := ask[bool](w, `!`+theVideo+`.paused`); playing {
		t.Error("keys that were turned off act")
	}
	w.run(chromedp.Evaluate(`localStorage.clear()`, nil))
}
