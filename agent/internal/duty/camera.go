package duty

import (
	"context"
	"log/slog"
	"time"

	"camseal/agent/internal/feed"
)

const (
	cameraQuiet = 7 * time.Second // without a unit: then there is no camera. The feed asks it anew after 5 s
	cameraEvery = time.Second
)

// presence is a feed.Sink that notes that the camera sends.
type presence struct{ *Duty }

var _ feed.Sink = presence{}

// Tracks implements feed.Sink.
func (p presence) Tracks([]feed.Track) {}

// Trouble implements feed.Sink.
func (p presence) Trouble(feed.Trouble) {}

// Unit implements feed.Sink.
func (p presence) Unit(u feed.Unit) {
	t := p.Now()
	p.lastly.Store(&t)
}

// Feed returns what is to be given the camera's feed, so that a camera that goes away is seen. It must be called before Run.
func (d *Duty) Feed() feed.Sink {
	t := d.Now()
	d.lastly.Store(&t)
	return presence{d}
}

// Gone returns since when the camera has sent nothing; zero: it sends.
func (d *Duty) Gone() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

// watch notes when the camera goes and comes.
func (d *Duty) watch(ctx context.Context) {
	if d.lastly.Load() == nil {
		return
	}
	tick := time.NewTicker(cameraEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		last, gone := *d.lastly.Load(), d.Gone()
		switch quiet := d.Now().Sub(last) > cameraQuiet; {
		case quiet && gone.IsZero():
			d.update(func() { d.gone = last })
			d.Log.WarnContext(ctx, "the camera sends nothing; it is asked again until it does")
		case !quiet && !gone.IsZero():
			d.update(func() { d.gone = time.Time{} })
			d.Log.InfoContext(ctx, "the camera sends again", slog.Duration("away", d.Now().Sub(gone)))
		}
	}
}
