package app

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"camseal/pkg/configfile"
)

// TestAnchorsWhileRunning: an opening gets a new anchor when the last is over a minute old, and a running agent makes one an hour by
// itself.
func TestAnchorsWhileRunning(t *testing.T) {
	var ahead atomic.Int64 // minutes
	defer func() { now = time.Now }()
	now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Minute) }
	s := newSite(t, "software")
	var c cli
	parser, err := kong.New(&c, kong.Configuration(configfile.YAML))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"run", "--state", s.state, "--tpm", s.tpm, "--server", s.server.URL, "--settle", "0s"}); err != nil {
		t.Fatal(err)
	}
	n, err := start(t.Context(), &c.settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	until := func(want int) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for got := 0; got != want; {
			select {
			case <-tick.C:
			case <-limit:
				t.Fatalf("%d anchors, want %d", got, want)
			}
			s.server.With(func() { got = s.server.Anchors })
		}
	}
	until(1) // the start's
	for _, c := range []struct {
		minutes int64
		opening bool
		want    int
	}{{0, true, 1}, {2, true, 2}, {2, true, 2}, {50, false, 2}, {61, false, 2}, {63, false, 3}, {64, false, 3}} {
		ahead.Store(c.minutes)
		if c.opening {
			n.uplink.Anchor(t.Context())
		} else {
			n.uplink.Upkeep(t.Context())
		}
		until(c.want)
	}
}
