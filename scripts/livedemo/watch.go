package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"camseal/scripts/visitor"
)

// page is a tab of Chromium in which a custodian watches.
type page struct {
	ctx   context.Context
	close func()
}

// watch opens the live wall in Chromium and watches the recorder.
func (d *demo) watch(ctx context.Context) error {
	d.next("A custodian opens the live wall in Chromium, says what for, and watches")
	v, err := visitor.New("http://" + d.web)
	if err == nil {
		err = v.SignIn("custodian", d.password)
	}
	if err != nil {
		return err
	}
	cookies, err := v.Cookies()
	if err != nil {
		return err
	}
	profile, err := os.MkdirTemp(d.dir, "chromium-")
	if err != nil {
		return err
	}
	allocated, release := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"),
		chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 900))...)
	tab, shut := chromedp.NewContext(allocated)
	d.page = &page{ctx: tab, close: func() { shut(); release() }}
	set := chromedp.ActionFunc(func(ctx context.Context) error {
		for _, c := range cookies {
			err = errors.Join(err, network.SetCookie(c.Name, c.Value).WithURL(v.Base).WithHTTPOnly(true).WithSameSite(network.CookieSameSiteStrict).Do(ctx))
		}
		return err
	})
	if err := chromedp.Run(tab, network.Enable(), set, chromedp.Navigate(v.Base+"/live/purpose?next=/live&lang=en"), chromedp.Click(`input[value=supervision]`),
		chromedp.Click(`main button`), chromedp.WaitVisible(`camseal-live [data-do=watch]`), chromedp.Click(`camseal-live [data-do=watch]`)); err != nil {
		return fmt.Errorf("the live wall: %w", err)
	}
	if err := d.page.playing(ctx, "live"); err != nil {
		return err
	}
	var first string
	var there bool
	if err := chromedp.Run(tab, chromedp.AttributeValue(`camseal-live`, "data-first-ms", &first, &there)); err != nil {
		return err
	}
	s, err := d.recorder.until(ctx, "the recorder to show that it is watched", func(s state) bool { return s.Watched == 1 })
	if err != nil {
		return err
	}
	d.say("first picture %s ms after the click; the recorder shows: watched live by %d", first, s.Watched)
	var shot []byte
	if err := chromedp.Run(tab, chromedp.FullScreenshot(&shot, 100)); err != nil {
		return err
	}
	return os.WriteFile(d.path("live.png"), shot, 0o644)
}

// playing waits until pictures come, 20 of them.
func (p *page) playing(ctx context.Context, what string) error {
	const frames = `Number(document.querySelector('camseal-live').dataset.frames ?? 0)`
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	var n, begin float64
	for first := true; ; first = false {
		if err := chromedp.Run(p.ctx, chromedp.Evaluate(frames, &n)); err != nil {
			return err
		}
		if first || n < begin {
			begin = n
		}
		if n >= begin+20 {
			return nil
		}
		select {
		case <-ctx.Done():
			var says string
			err := chromedp.Run(p.ctx, chromedp.Text(`camseal-live`, &says))
			return errors.Join(fmt.Errorf("the picture does not play (%s): %q", what, says), err)
		case <-look.C:
		}
	}
}
