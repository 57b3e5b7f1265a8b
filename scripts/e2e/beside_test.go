package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestSideBySide: two recordings of one event play in step by their recorders' clocks, less than a frame apart, each checked by itself; one
// that is not as sealed stops both.
func TestSideBySide(t *testing.T) {
	s, recs := twoFilms(t)
	w := openBrowser(t, s)
	w.visit(fmt.Sprintf("/side-by-side?rec=%s&rec=%s&lang=en", recs["a.mp4"], recs["b.mp4"]))
	w.until("both to be in step", thePlayer+`.first > 0 && [...document.querySelectorAll('video')].every(v => v.readyState >= 3 && v.currentSrc.includes('/checked/'))`)
	if got := ask[[]float64](w, thePlayer+`.reel.offsets`); got[0] != 2 || got[1] != 0 {
		t.Errorf("they begin at %v, want 2 and 0: the second one ended two seconds earlier", got)
	}
	w.run(chromedp.Evaluate(`document.activeElement.blur()`, nil))
	w.press(" ")
	w.until("both to play", `[...document.querySelectorAll('video')].every(v => !v.paused && v.currentTime > 1)`)
	w.run(chromedp.Evaluate(`window.apart = []; (function look() { apart.push(`+thePlayer+`.reel.apart()); requestAnimationFrame(look); })()`, nil))
	w.until("two seconds of playing", thePlayer+`.reel.time > 5.5`)
	w.press("k")
	apart := ask[[]float64](w, `apart.slice(apart.length / 3).sort((a, b) => a - b)`)
	t.Logf("apart over %d pictures: half below %.1f ms, 95 of 100 below %.1f ms, at most %.1f ms", len(apart), apart[len(apart)/2]*1000, apart[len(apart)*95/100]*1000, apart[len(apart)-1]*1000)
	if apart[len(apart)/2] > 0.033 { // a machine that is busy with other tests drops pictures now and then
		t.Errorf("they are more than a frame apart")
	}
	w.until("both to stand at one moment", `(r => Math.abs(r.pictures[0].media.currentTime + r.offsets[0] - r.pictures[1].media.currentTime - r.offsets[1]) < 0.034)(`+thePlayer+`.reel)`)
	w.shot("side-by-side")
	w.run(chromedp.Evaluate(thePlayer+`.go(1)`, nil))
	w.until("the one that had not begun to say so", `!document.querySelectorAll('.away')[0].hidden && document.querySelectorAll('.away')[1].hidden`)
	w.shot("side-by-side-away")
	if got := ask[int](w, `document.querySelectorAll('.notes li').length`); got < 2 {
		t.Errorf("%d lines say what is proven of the times", got)
	}

	damage(t, s, recs["b.mp4"], 3)
	w.visit(fmt.Sprintf("/side-by-side?rec=%s&rec=%s&lang=zh-CN", recs["a.mp4"], recs["b.mp4"]))
	w.until("both to be in step", thePlayer+`?.first > 0 && document.querySelector('video').readyState >= 3`)
	w.run(chromedp.Evaluate(thePlayer+`.play()`, nil))
	w.until("both to stop", `!document.querySelectorAll('.stop')[1].hidden && [...document.querySelectorAll('video')].every(v => v.paused)`)
	w.shot("side-by-side-broken")
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
	for query, want := range map[string]int{"": 200, "?rec=" + recs["a.mp4"]: 200, "?rec=x&rec=y": 404, "?rec=%3Cscript%3E": 404, "?rec=" + strings.Repeat("1", 5000): 404,
		"?rec=1&rec=2&rec=3&rec=4&rec=5": 400} {
		resp, err := s.as("custodian").Get("http://" + s.web + "/side-by-side" + query)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("/side-by-side%.60s: %s, want %d", query, resp.Status, want)
		}
	}
}

// twoFilms starts a system with the same footage from two files, of which the second one ended two seconds earlier.
func twoFilms(t *testing.T) (*system, map[string]string) {
	t.Helper()
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out browsers")
	}
	s, recs := newSystem(t), map[string]string{}
	raw, err := os.ReadFile(filepath.Join(samples, "movie2", film))
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(-time.Hour).Truncate(time.Second)
	for name, at := range map[string]time.Time{"a.mp4": end, "b.mp4": end.Add(-2 * time.Second)} {
		path := filepath.Join(s.recorder, name)
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	mustRun(t, "camseal-agent", s.importing("--chunk-size", "512KiB")...)
	for _, r := range s.recordings() {
		recs[r.Name] = r.Rec
	}
	return s, recs
}

// TestPlayerPages: footage, a photo and a sound in both languages: axe-core finds nothing, nothing is cut off, and strip and waveform are drawn.
func TestPlayerPages(t *testing.T) {
	axe, err := os.ReadFile("../../.tools/axe.min.js")
	if err != nil {
		t.Fatalf("axe-core is needed (scripts/test puts it there): %v", err)
	}
	s, recs, _ := withFootage(t, "--chunk-size", "1MiB")
	w := openBrowser(t, s)
	eventually(t, "strip and waveform", func() bool { l := timelineOf(t, s, recs[film]); return l.Strip && l.Wave && l.Duration > 8000 })
	w.open(recs[film], "?lang=en")
	marks(t, w, s, recs[film])
	pages := map[string]string{"film": "/recordings/" + recs[film] + "?t=2", "photo": "/recordings/" + recs[photo] + "?", "sound": "/recordings/" + recs[sound] + "?",
		"beside": "/side-by-side?rec=" + recs[film] + "&rec=" + recs[sound], "which": "/side-by-side?"}
	for _, lang := range []string{"en", "zh-CN"} {
		for _, width := range []int64{1280, 800} {
			w.run(chromedp.EmulateViewport(width, 900))
			for name, path := range pages {
				w.visit(path + "&lang=" + lang)
				if name != "which" {
					w.until("all of "+name, `[...document.querySelectorAll('camseal-picture')].every(p => p.timed ? p.media?.readyState >= 2 : p.media?.complete) && document.querySelector('camseal-player').timeline.facts.length > 0`)
				}
				if name == "film" {
					w.until("strip and waveform", `(l => !!l?.image && l.peaks.length > 100)(`+thePlayer+`.timeline.looks[0])`)
				}
				at := fmt.Sprintf("player-%s-%s-%d", name, lang, width)
				if over := ask[int](w, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
					t.Errorf("%s: %d pixels too wide", at, over)
				}
				w.run(chromedp.Evaluate(string(axe), nil))
				w.run(chromedp.Evaluate(`axe.run().then(r => { window.found = r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join(" | ").slice(0, 600)); })`, nil))
				w.until("axe", `window.found !== undefined`)
				for _, v := range ask[[]string](w, `window.found`) {
					t.Errorf("%s: %s", at, v)
				}
				w.shot(at)
			}
		}
	}
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

type shownTimeline struct {
	Duration    int
	Strip, Wave bool
	Marks       []struct {
		At       int
		Text, By string
	}
	Clock struct {
		End  *int64
		Says []string
	}
}

func timelineOf(t *testing.T, s *system, rec string) (l shownTimeline) {
	t.Helper()
	resp, err := s.as("custodian").Get("http://" + s.web + "/recordings/" + rec + "/timeline")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(raw, &l)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", resp.Status, err)
	}
	return l
}

// marks writes a mark by the keyboard and one by a plain form, and goes from one to the other.
func marks(t *testing.T, w *window, s *system, rec string) {
	t.Helper()
	const nasty = `<img src=x onerror=alert(1)> 当事人签字 "&amp;`
	w.run(chromedp.Evaluate(thePlayer+`.go(3)`, nil))
	w.until("the moment", `Math.abs(`+theVideo+`.currentTime - 3) < 0.05 && !`+theVideo+`.seeking`)
	w.press("m")
	w.run(chromedp.KeyEvent(nasty))
	w.press("\r")
	w.until("the mark", thePlayer+`.timeline.facts[0].marks.length == 1`)
	resp, err := s.as("custodian").PostForm("http://"+s.web+"/recordings/"+rec+"/marks", map[string][]string{"at": {"00:06.5"}, "text": {"the end"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if !strings.HasSuffix(resp.Request.URL.String(), "/recordings/"+rec+"?t=6.5") {
		t.Errorf("a plain form leads to %s", resp.Request.URL)
	}
	l := timelineOf(t, s, rec)
	if len(l.Marks) != 2 || l.Marks[0].Text != nasty || l.Marks[0].By == "" || l.Marks[1].At != 6500 {
		t.Errorf("marks: %+v", l.Marks)
	}
	w.open(rec, "?lang=en")
	if got := ask[[]string](w, `[...document.querySelectorAll('.marked li > bdi')].map(e => e.textContent)`); len(got) != 2 || got[0] != nasty {
		t.Errorf("the page lists %q", got)
	}
	w.press("]", "]")
	w.until("the second mark", `Math.abs(`+theVideo+`.currentTime - 6.5) < 0.05`)
	w.press("[")
	w.until("the first mark", `Math.abs(`+theVideo+`.currentTime - 3) < 0.05`)
	w.run(chromedp.Evaluate(`document.querySelectorAll('.marked a.seek')[1].click()`, nil))
	w.until("the mark of the list", `Math.abs(`+theVideo+`.currentTime - 6.5) < 0.05 && location.search == '?lang=en'`)
	for name, form := range map[string]map[string][]string{"no text": {"at": {"1"}}, "no time": {"text": {"x"}}, "an odd time": {"at": {"1:99"}, "text": {"x"}},
		"a text that is too long": {"at": {"1"}, "text": {strings.Repeat("长", 3000)}}, "a huge form": {"at": {"1"}, "text": {strings.Repeat("x", 1<<20)}}} {
		resp, err := s.as("custodian").PostForm("http://"+s.web+"/recordings/"+rec+"/marks", form)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a mark with %s: %s", name, resp.Status)
		}
	}
	if l := timelineOf(t, s, rec); len(l.Marks) != 2 {
		t.Errorf("refused marks were written: %+v", l.Marks)
	}
}
