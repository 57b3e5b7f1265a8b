package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestCheckedPlayback: what is played was checked in the browser, and the verdict says what is known and no more.
func TestCheckedPlayback(t *testing.T) {
	s, recs, _ := withFootage(t, "--chunk-size", "256KiB")
	w := openBrowser(t, s)
	w.visit("/recordings/" + recs[film] + "?lang=en")
	w.until("the film from the worker", `(v => v.currentSrc.includes('/checked/') && v.readyState >= 2)(document.querySelector('video'))`)
	w.run(chromedp.Evaluate(`document.querySelector('video').play()`, nil))
	w.until("the film to play", `document.querySelector('video').currentTime > 1`)
	eventually(t, "verdict", func() bool { v := ask[string](w, `document.querySelector(".verdict").innerText + document.querySelector(".checked-lines").textContent`); return !strings.Contains(v, "being checked") })
	t.Log(ask[string](w, `document.querySelector(".verdict").innerText + document.querySelector(".checked-lines").textContent`), w.said())
	var shot []byte
	w.run(chromedp.FullScreenshot(&shot, 100))
	w.keep("checked-playing", shot)
	w.run(chromedp.Evaluate(`document.querySelector('.verdict button').click()`, nil))
	w.until("all parts to be checked", `document.querySelector('.verdict').dataset.state == 'sound'`)
	if got := ask[string](w, `document.querySelector('[data-verdict]').textContent`); !strings.Contains(got, "every part is what was sealed") {
		t.Errorf("the verdict says %q", got)
	}
	w.run(chromedp.FullScreenshot(&shot, 100))
	w.keep("checked-sound", shot)
	t.Log(ask[string](w, `document.querySelector('.verdict').innerText`))
	t.Log(ask[string](w, `document.querySelector('.checked-lines').textContent`))
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
	_ = fmt.Sprint
}
