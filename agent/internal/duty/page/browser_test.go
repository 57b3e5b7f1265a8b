package page

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdp "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"camseal/pkg/evidence"
)

// tab opens a browser with one tab; what it complains of fails the test.
func tab(t *testing.T) (context.Context, *atomic.Bool) {
	t.Helper()
	over := &atomic.Bool{} // the recorder is gone: that the browser can't reach it is what is tried
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out browsers")
	}
	timed, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	allocated, release := chromedp.NewExecAllocator(timed, chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU, chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, closeTab := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
		closeTab()
		release()
		stop()
	})
	chromedp.ListenTarget(ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("exception: %s", e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			if !over.Load() && (e.Entry.Level == log.LevelError || e.Entry.Source == log.SourceSecurity) {
				t.Errorf("the browser complains: %s %s", e.Entry.Text, e.Entry.URL)
			}
		}
	})
	run(t, ctx, log.Enable(), runtime.Enable())
	return ctx, over
}

func run(t *testing.T, ctx context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func ask[T any](t *testing.T, ctx context.Context, expression string) (v T) {
	t.Helper()
	run(t, ctx, chromedp.Evaluate(expression, &v, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return v
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// The page follows the recorder by itself, is worked by keyboard, and fits the displays of recorders: what matters is seen without scrolling.
func TestBrowser(t *testing.T) {
	ctx, over := tab(t)
	r := newRecorder()
	s := serve(t, r)
	axe, err := os.ReadFile("../../../../.tools/axe.min.js")
	if err != nil {
		t.Fatalf("axe-core is needed: %v; scripts/test fetches it", err)
	}
	shots := os.Getenv("CAMSEAL_SHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	word := func() string { return ask[string](t, ctx, `document.querySelector('h1')?.innerText ?? ''`) }
	run(t, ctx, chromedp.Navigate(s.URL+"/"))
	focus := func(id string) { ask[any](t, ctx, `document.getElementById('`+id+`').focus()`) }
	focus("b-start")
	run(t, ctx, chromedp.KeyEvent(kb.Enter))
	until(t, "Enter on the button starts", func() bool { return word() == "● RECORDING" })
	until(t, "a page with nothing to send for says what was done", func() bool {
		return ask[bool](t, ctx, `document.body.innerText.includes('The recording has begun') && location.search === ''`)
	})
	focus("b-mark")
	r.set(func() { r.st.Watched, r.st.InHeader, r.st.Behind = 2, true, 4 })
	until(t, "watchers appear without loading", func() bool {
		return ask[bool](t, ctx, `document.getElementById('watched').innerText.includes('WATCHED LIVE: 2') && document.getElementById('header').innerText.includes('Say the header now')`)
	})
	if got := ask[string](t, ctx, `document.activeElement.id`); got != "b-mark" {
		t.Errorf("the focus went to %q", got)
	}
	until(t, "the clock runs", func() bool { return ask[string](t, ctx, `document.querySelector('#clock span').innerText`) >= "00:02" })
	recording := r.st
	states := map[string]func(){
		"recording": func() { r.st.InHeader, r.st.Watched = false, 0 },
		"header":    func() {},
		"ready":     func() { r.st.Recording, r.st.InHeader, r.st.Watched = nil, false, 0 },
		"no-camera": func() {
			r.st.Recording, r.st.InHeader, r.st.Video, r.st.Audio = nil, false, "", ""
			r.st.Troubles = []string{"rtsp://192.168.1.20/stream: connection refused; it is tried again by itself"}
			r.st.Online = false
		},
	}
	for state, change := range states {
		r.set(func() {
			r.st = recording
			r.st.Recording, r.st.Since = &evidence.RecordingID{1}, time.Now().Add(-754*time.Second)
			change()
		})
		for _, size := range [][2]int64{{320, 240}, {800, 480}, {1280, 800}} {
			for _, l := range []string{"en", "zh-CN"} {
				run(t, ctx, emulation.SetDeviceMetricsOverride(size[0], size[1], 1, false), chromedp.Navigate(s.URL+"/?lang="+l))
				if got := ask[float64](t, ctx, `document.documentElement.scrollWidth - innerWidth`); got > 0 {
					t.Errorf("%s %v %s: %v px wider than the display", state, size, l, got)
				}
				if got := ask[float64](t, ctx, `Math.max(...[...document.querySelectorAll('button')].map(b => b.getBoundingClientRect().bottom)) - innerHeight`); got > 0 {
					t.Errorf("%s %v %s: the buttons end %v px below the display", state, size, l, got)
				}
				if size[0] == 800 {
					for _, scheme := range []string{"light", "dark"} {
						run(t, ctx, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
						if found := ask[string](t, ctx, string(axe)+`; axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 200) + ' ' + n.failureSummary).slice(0, 2)).join('; '))`); found != "" {
							t.Errorf("%s %s %s: %s", state, l, scheme, found)
						}
					}
					run(t, ctx, emulation.SetEmulatedMedia())
				}
				shoot(t, ctx, filepath.Join(shots, fmt.Sprintf("recorder-%s-%d-%s.png", state, size[0], l)))
			}
		}
	}
	over.Store(true)
	s.Listener.Close()
	s.CloseClientConnections()
	until(t, "that nothing answers any more is said", func() bool { return ask[bool](t, ctx, `!document.getElementById('lost').hidden`) })
}

func shoot(t *testing.T, ctx context.Context, path string) {
	t.Helper()
	run(t, ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		raw, err := cdp.CaptureScreenshot().WithFormat(cdp.CaptureScreenshotFormatPng).Do(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(path, raw, 0o600)
	}))
}
