package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/chromedp/chromedp"
)

// paints opens a page in a fresh browser, several times, and returns how long each first contentful paint took, in milliseconds; the first one is cold.
func (p *place) paints(address string, times int) (all []float64, err error) {
	dir, err := os.MkdirTemp(p.dir, "browser-")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	ctx, release := chromedp.NewExecAllocator(ctx, chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(dir), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 800))
	defer release()
	ctx, closeTab := chromedp.NewContext(ctx)
	defer closeTab()
	const painted = `performance.getEntriesByName("first-contentful-paint")`
	for range times {
		var ms float64
		if err := chromedp.Run(ctx, chromedp.Navigate(address), chromedp.Poll(painted+`.length === 1`, nil), chromedp.Evaluate(painted+`[0].startTime`, &ms)); err != nil {
			return nil, fmt.Errorf("first paint of %s: %w", address, err)
		}
		all = append(all, ms)
	}
	return all, chromedp.Cancel(ctx)
}
