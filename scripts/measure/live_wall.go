package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"camseal/scripts/visitor"
)

// wall is a browser in which somebody sees the live wall.
type wall struct {
	ctx   context.Context
	close func()
}

// openWall opens the wall of live pictures, with the purpose said.
func (p *place) openWall(who *visitor.Visitor) (w *wall, err error) {
	cookies, err := who.Cookies()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(p.dir, "browser-")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	ctx, release := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(dir),
		chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-background-networking", true), chromedp.WindowSize(1280, 900))...)
	tab, shut := chromedp.NewContext(ctx)
	w = &wall{ctx: tab, close: func() { shut(); release(); stop() }}
	set := chromedp.ActionFunc(func(ctx context.Context) (err error) {
		for _, c := range cookies {
			err = errors.Join(err, network.SetCookie(c.Name, c.Value).WithURL(who.Base).WithHTTPOnly(true).WithSameSite(network.CookieSameSiteStrict).Do(ctx))
		}
		return err
	})
	err = chromedp.Run(tab, network.Enable(), set, chromedp.Navigate(who.Base+"/live/purpose?next=/live&lang=en"), chromedp.Click(`input[value=supervision]`),
		chromedp.Click(`main button`), chromedp.WaitVisible(`camseal-live [data-do=watch]`))
	if err != nil {
		w.close()
		return nil, fmt.Errorf("the live wall: %w", err)
	}
	return w, nil
}

// value evaluates an expression about the recorder's screen, s.
func (w *wall) value(of string) (v float64, err error) {
	err = chromedp.Run(w.ctx, chromedp.Evaluate(`(s => Number(`+of+`))(document.querySelector('camseal-live'))`, &v))
	return v, err
}

// watch clicks on Watch and returns after how many ms the first picture was there, once it plays.
func (w *wall) watch() (ms float64, err error) {
	if err := chromedp.Run(w.ctx, chromedp.Click(`camseal-live [data-do=watch]`)); err != nil {
		return 0, err
	}
	err = until("the picture to play", func() bool {
		var frames float64
		frames, err = w.value(`s.dataset.state === 'playing' && s.dataset.frames || 0`)
		return err != nil || frames >= 10
	})
	if err != nil {
		return 0, err
	}
	return w.value(`s.dataset.firstMs`)
}

// clicks watches that often and returns how long the first picture took each time, ms. There: the recorder sends already, because somebody has just watched;
// otherwise nobody has for a while.
func (w *wall) clicks(times int, there bool) (all []float64, err error) {
	for range times {
		if there { // at any time between two keyframes
			<-time.After(200*time.Millisecond + rand.N(time.Second))
		} else if err := until("the recorder to send no more", func() bool { s := stateOf(); return s.Orders && !s.LiveOn && !s.Publishing }); err != nil {
			return nil, err
		}
		ms, err := w.watch()
		if err != nil {
			return nil, err
		}
		all = append(all, ms)
		if err := chromedp.Run(w.ctx, chromedp.Click(`camseal-live [data-do=stop]`), chromedp.WaitVisible(`camseal-live [data-do=watch]`)); err != nil {
			return nil, err
		}
	}
	return all, nil
}
