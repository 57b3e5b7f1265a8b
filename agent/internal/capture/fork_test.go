package capture

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"camseal/agent/internal/source"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// held is the file of a recording as far as it is in the spool.
func (g *rig) held(r spool.Recording) (file []byte) {
	g.t.Helper()
	for i := range r.Next {
		f, _, err := g.spool.OpenChunk(r.ID, i)
		must(g.t, err)
		b, err := io.ReadAll(f)
		must(g.t, err)
		must(g.t, f.Close())
		file = append(file, b...)
	}
	return file
}

// When the chain goes on elsewhere while a recording runs, the recording goes on as another one, and what is held of the first is taken in
// again as imports that play. All that is left out is the rest of the segment that was being written.
func TestChainGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	c := footage(t, "9", plain...)
	g := newSoftRig(t, func(c *Config) { c.Buffer = 0 })
	g.config.Spool = g.spool
	begin := func() func() {
		var err error
		g.config.Found = g.found
		g.rec, err = New(g.config)
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.rec.Run(ctx) }()
		return func() {
			stop()
			must(t, <-ended)
		}
	}
	end := begin()
	g.until("intake", func(State) bool { return g.spool.LastIntake() != 0 })
	first := g.record(c, 0, 5*time.Second)
	g.until("segments", func(s State) bool { return s.Segments >= 2 })
	g.spool.Adopt(spool.Adoption{Seq: 5000, Head: evidence.Digest{5, 5}, N: 3})
	must(t, g.spool.AppendBoot(t.Context(), evidence.Boot{Software: "test"}))
	c.play(g.rec, 5*time.Second, 8*time.Second)
	g.until("another", func(s State) bool { return s.Recording != nil && *s.Recording != first })
	c.play(g.rec, 8*time.Second, time.Minute)
	g.stop()
	taker := &source.Taker{Spool: g.spool, ChunkSize: 1 << 20, Now: time.Now, Log: slog.Default()}
	must(t, taker.Again(t.Context(), first))
	must(t, taker.Again(t.Context(), first))
	end()
	must(t, g.spool.Close())
	g.open()
	g.config.Spool = g.spool
	if len(g.found.Partial) != 1 {
		t.Errorf("%+v", g.found)
	}
	must(t, Recover(t.Context(), func() Config { c := g.config; c.Found = g.found; return c }()))
	total, kinds := 0, map[evidence.Mode]int{}
	must(t, g.spool.Pending(t.Context(), func(r spool.Recording) bool {
		if r.ID == first || r.Gone {
			t.Errorf("the one that stayed behind is still to be sent: %+v", r)
		}
		kinds[r.Mode]++
		if !r.Closed {
			t.Errorf("%s is open", r.ID)
		}
		n, err := strconv.Atoi(frames(t, g.held(r)))
		must(t, err)
		total += n
		return true
	}))
	if total < c.frames-75 || kinds[evidence.ModeCapture] != 1 || kinds[evidence.ModeImport] != 2 {
		t.Errorf("%d pictures of %d, %v", total, c.frames, kinds)
	}
}
