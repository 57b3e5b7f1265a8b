package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"camseal/scripts/visitor"
)

// What viewers do at once.
const (
	viewerCount = 50
	viewerRate  = 4_000_000 / 8 // bytes a second
	viewerTime  = 40 * time.Second
	viewerChunk = 8 << 20
)

// viewers measures what 50 people cost the server who watch a film of 4 Mbit/s each, part by part as their browsers ask for it.
func viewers(p *place) ([]row, error) {
	dir := p.path("long")
	if err := footage(dir, 1, 64<<20); err != nil {
		return nil, err
	}
	at, who, s, err := p.checkedFilm(dir)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	page, err := pageTimes(at, who)
	if err != nil {
		return nil, err
	}
	before, begin := s.server.cpu(), time.Now()
	bytes, slow, err := watchers(at, who)
	if err != nil {
		return nil, err
	}
	wall := time.Since(begin)
	cores := (s.server.cpu() - before).Seconds() / wall.Seconds()
	slowest := percentile(page, 99)
	return []row{
		target("a recording's page, client and all", times(page), "p99 under 50 ms", slowest < 50),
		figure("viewers at once, 4 Mbit/s each", "%d for %.0f s: %.1f MB/s", viewerCount, wall.Seconds(), float64(bytes)/1e6/wall.Seconds()),
		figure("parts that came too late for a viewer", "%d", slow),
		target("processor of the server", fmt.Sprintf("%.2f cores", cores), "under 1 core", cores < 1 && slow == 0),
		figure("server RssAnon at its peak", "%.0f MiB", float64(s.server.peak)/(1<<20)),
	}, nil
}

// watchers has all viewers ask for one part after the other, each when the one before would have been played.
func watchers(at string, who *visitor.Visitor) (bytes int64, slow int, err error) {
	const every = time.Duration(viewerChunk) * time.Second / viewerRate
	var wg sync.WaitGroup
	var mu sync.Mutex
	for v := range viewerCount {
		wg.Go(func() {
			timer := time.NewTimer(every * time.Duration(v) / viewerCount) // nobody begins at the same moment
			defer timer.Stop()
			for i := range int(viewerTime / every) {
				<-timer.C
				begin := time.Now()
				n, e := fetch(who, fmt.Sprintf("%s/parts/%d", at, i%8))
				took := time.Since(begin)
				mu.Lock()
				bytes += n
				if took > every {
					slow++
				}
				if e != nil {
					err = e
				}
				mu.Unlock()
				timer.Reset(max(0, every-took))
			}
		})
	}
	wg.Wait()
	return bytes, slow, err
}

func fetch(who *visitor.Visitor, at string) (int64, error) {
	resp, err := who.Get(at)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", at, resp.Status)
	}
	return io.Copy(io.Discard, resp.Body)
}

// pageTimes asks for a recording's page many times and returns how long each answer took, in milliseconds, sorted. The first look is not counted: it
// waits for its entry in the log.
func pageTimes(at string, who *visitor.Visitor) (ms []float64, err error) {
	for i := range 301 {
		begin := time.Now()
		if _, err := fetch(who, at); err != nil {
			return nil, err
		}
		if i > 0 {
			ms = append(ms, float64(time.Since(begin).Microseconds())/1000)
		}
	}
	slices.Sort(ms)
	return ms, nil
}
