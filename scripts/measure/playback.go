package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"camseal/scripts/visitor"
)

// realFootage is what films are made of, repeated.
const realFootage = "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4"

// playback measures how long the first frame of a film takes in a browser, from when the page was read: checked part by part, and the same
// file from a plain file server. The first visit of each browser is cold, the others are warm; the sides take turns.
func playback(p *place) ([]row, error) {
	const browsers, visits = 5, 5
	dir := p.path("footage")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	film := filepath.Join(dir, "film.mp4")
	if out, err := exec.Command("ffmpeg", "-v", "error", "-stream_loop", "15", "-i", realFootage, "-c", "copy", film).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ffmpeg: %w\n%s", err, out)
	}
	ours, who, s, err := p.checkedFilm(dir)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	theirs, end, err := plainFilm(dir)
	if err != nil {
		return nil, err
	}
	defer end()
	var cold, warm [2][]float64
	for range browsers {
		for i, address := range []string{theirs, ours} {
			all, err := p.firstFrames(address, who, visits)
			if err != nil {
				return nil, err
			}
			cold[i], warm[i] = append(cold[i], all[0]), append(warm[i], all[1:]...)
		}
	}
	var rows []row
	for _, side := range []struct {
		name string
		ms   [2][]float64
	}{{"warm", warm}, {"cold, worker and verifier fetched", cold}} {
		ratio := median(side.ms[1]) / median(side.ms[0])
		rows = append(rows, figure("first frame from a plain file server, "+side.name, "%.0f ms (runs: %.0f)", median(side.ms[0]), side.ms[0]),
			figure("first frame, checked, "+side.name, "%.0f ms (runs: %.0f)", median(side.ms[1]), side.ms[1]),
			target("ratio, "+side.name, fmt.Sprintf("%.2f", ratio), "at most 1.5", ratio <= 1.5))
	}
	return rows, nil
}

// checkedFilm has a server take in a folder of one film, and returns the address of its page and somebody who may see it.
func (p *place) checkedFilm(dir string) (address string, who *visitor.Visitor, s *system, err error) {
	s, err = p.enrolled(p.path("system"), nil)
	if err != nil {
		return "", nil, nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	state := []string{"--state", p.path("system", "server")}
	if _, err := p.do(nil, "camseal-agent", append([]string{"import", "--recorder", "BENCH", "--json", dir}, s.flags...)...); err != nil {
		return "", nil, nil, err
	}
	list, err := p.do(nil, "camseal-server", append([]string{"recordings", "--json"}, state...)...)
	if err != nil {
		return "", nil, nil, err
	}
	var r struct{ Rec string }
	first, _, _ := strings.Cut(list.out.String(), "\n")
	if err := json.Unmarshal([]byte(first), &r); err != nil {
		return "", nil, nil, fmt.Errorf("recordings: %w\n%s", err, list.out.Bytes())
	}
	link, err := p.do(nil, "camseal-server", append([]string{"account", "add", "--login", "bench", "--name", "Bench", "--role", "custodian", "--body", "Bench"}, state...)...)
	if err != nil {
		return "", nil, nil, err
	}
	const web = "http://127.0.0.1:18080"
	if who, err = visitor.New(web); err == nil {
		err = who.UseLink(strings.TrimSpace(link.out.String()), "correct horse battery")
	}
	if err == nil {
		err = who.Say(r.Rec)
	}
	return web + "/recordings/" + r.Rec, who, s, err
}

// plainFilm serves a page with the film in it and nothing else.
func plainFilm(dir string) (address string, stop func(), err error) {
	const html = `<!DOCTYPE html><title>film</title><video controls preload="auto" src="film.mp4"></video>`
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte(html), 0o644); err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }() // ends with Close
	return "http://" + l.Addr().String() + "/page.html", func() { _ = s.Close() }, nil
}

// firstFrames visits a page with a film several times in a fresh browser, and returns how long each first frame took, in milliseconds.
func (p *place) firstFrames(address string, who *visitor.Visitor, times int) (all []float64, err error) {
	cookies, err := who.Cookies()
	if err != nil {
		return nil, err
	}
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
	const note = `document.addEventListener('loadeddata', () => { window.firstFrame ??= performance.now() - performance.timing.domInteractive + performance.timing.navigationStart; }, true)`
	noted := chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(note).Do(ctx)
		return err
	})
	actions := []chromedp.Action{noted}
	for _, c := range cookies {
		actions = append(actions, network.SetCookie(c.Name, c.Value).WithURL(who.Base).WithHTTPOnly(true).WithSameSite(network.CookieSameSiteStrict))
	}
	if err := chromedp.Run(ctx, actions...); err != nil {
		return nil, err
	}
	for range times {
		var ms float64
		if err := chromedp.Run(ctx, chromedp.Navigate(address)); err != nil {
			return nil, err
		}
		err := until("the first frame of "+address, func() bool {
			return chromedp.Run(ctx, chromedp.Evaluate(`window.firstFrame ?? 0`, &ms)) == nil && ms > 0
		})
		if err != nil {
			return nil, err
		}
		all = append(all, ms)
	}
	return all, chromedp.Cancel(ctx)
}
