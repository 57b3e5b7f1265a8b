package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	browserpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"camseal/pkg/transport"
	"camseal/server/internal/auth"
	"camseal/server/internal/live/livetest"
)

// A recorder on duty is asked to publish when somebody clicks, its real footage goes through the relay to the browser, the recorder hears that it
// is watched, and both ends of the watch are on record.
func TestWatchingARecorderThroughTheRelay(t *testing.T) {
	r := newRig(t)
	d := r.register("live")
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	film, err := livetest.Coded(ctx, "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4", 8, 2_000_000, 60)
	check(t, err)
	watched := make(chan int, 64)
	go func() {
		report := transport.Report{Station: "BZ02712", Video: "h264", Link: "wifi"}
		for ctx.Err() == nil {
			orders, err := r.core.duty.Poll(ctx, d.id(), report)
			if err != nil {
				return
			}
			select {
			case watched <- orders.Watched:
			default:
			}
			report.Results, report.Watched = nil, orders.Watched
			for _, c := range orders.Commands {
				report.Known = c.Number
				if c.Kind != transport.CommandLive {
					continue
				}
				_, err := livetest.Publish(ctx, "https://"+r.agents+"/v1/live/whip", film, livetest.Options{HTTP: d.client(r).http})
				report.Results = append(report.Results, transport.Result{Number: c.Number, Done: err == nil})
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("publish: %v", err)
				}
			}
		}
	}()
	tab := browse(t, loopback...)
	v := r.by(person("watcher", auth.Supervisor, "监督局"))
	v.sends("/live/purpose", map[string][]string{"purpose": {"duty"}}, 303)
	check(t, chromedp.Run(tab, browserpage.BringToFront(), v.cookies(), chromedp.Navigate(r.page+"/live?lang=zh-CN")))
	press := func(selector string) {
		t.Helper()
		appears(t, tab, selector, "document.querySelector('"+selector+":not([hidden])')")
		check(t, chromedp.Run(tab, chromedp.Focus(selector, chromedp.ByQuery), chromedp.KeyEvent(kb.Enter)))
	}
	for i := range 6 {
		press(`[data-do=watch]`)
		appears(t, tab, "the picture", `Number(document.querySelector('camseal-live').dataset.frames) > 10 && document.querySelector('camseal-live').dataset.state === 'playing'`)
		t.Logf("watch %d: first picture after %s ms", i, valueOf[string](t, tab, `document.querySelector('camseal-live').dataset.firstMs`))
		if shots := os.Getenv("CAMSEAL_SHOTS"); shots != "" && i == 0 {
			var picture []byte
			check(t, chromedp.Run(tab, chromedp.FullScreenshot(&picture, 100)))
			check(t, os.WriteFile(filepath.Join(shots, "live-relay.png"), picture, 0o600))
		}
		if i == 0 {
			within(t, "the recorder to hear of it", func() bool {
				select {
				case n := <-watched:
					return n == 1
				default:
					return false
				}
			})
		}
		press(`[data-do=stop]`)
		within(t, "the session to end", func() bool { s := r.core.live.Streams(); return len(s) == 0 || s[0].Viewers == 0 })
	}
	done()
	check(t, chromedp.Run(tab, chromedp.Navigate("about:blank")))
	r.stop()
	r.start()
	if begun, ended := r.acts(t, "watched-live"), r.acts(t, "watched-live-end"); begun != 1 || ended != 1 {
		t.Errorf("%d begins and %d ends are on record", begun, ended)
	}
}
