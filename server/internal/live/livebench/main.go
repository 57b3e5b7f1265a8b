// Livebench measures the relay on loopback: how soon a viewer has its first picture, what viewers cost, and how many there may be before packets are lost. It
// writes JSON. The relay runs in a process of its own, so that its cost is apart from that of the clients, which share the machine.
//
//	livebench [--viewers 1,5,20,…] [--seconds 10] [--firsts 20] [--bits 4000000]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"camseal/server/internal/live/livetest"
)

const film = "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4"

const (
	startWait  = 20 * time.Second // for all viewers to have the stream
	unfinished = 300              // packets of the publisher that may be on their way: two keyframes
)

// step is what so many viewers at once meant.
type step struct {
	Viewers   int     `json:"viewers"`
	Packets   uint64  `json:"packets"` // of pictures, that should have come
	Lost      uint64  `json:"lost"`    // of those, by their numbers, or because the relay passed over them for a viewer that it fell behind with
	Behind    int     `json:"behind"`  // such viewers
	Without   int     `json:"without"` // viewers that had no stream within startWait; then nothing else was measured
	LostShare float64 `json:"lost_share"`
	Bits      float64 `json:"bits_per_second"`    // of the stream
	CPU       float64 `json:"cpu"`                // of the relay, share of a core
	PerViewer float64 `json:"cpu_per_viewer"`     // the same for each viewer
	Machine   float64 `json:"cpu_of_all_clients"` // share of a core that the clients took
}

type result struct {
	First    []float64 `json:"first_picture_ms"` // from asking until the first keyframe was whole
	FirstP50 float64   `json:"first_picture_p50_ms"`
	Steps    []step    `json:"steps"`
	Enough   int       `json:"viewers_below_0.1_percent"` // most viewers measured without losing more
	TooMany  int       `json:"viewers_above_0.1_percent"` // fewest that did; 0: none
}

func main() { os.Exit(run()) }

func run() int {
	viewers := flag.String("viewers", "1,5,10,20,30,40,60,80,100,120,150,200", "numbers of viewers, growing")
	seconds := flag.Int("seconds", 10, "how long each is measured")
	bits := flag.Int("bits", 4_000_000, "bits a second of the stream")
	firsts := flag.Int("firsts", 20, "how often the first picture is waited for")
	serve := flag.Bool("relay", false, "be the relay")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := error(nil)
	if *serve {
		err = relay(ctx)
	} else {
		err = measure(ctx, strings.Split(*viewers, ","), time.Duration(*seconds)*time.Second, *bits, *firsts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "livebench:", err)
		return 1
	}
	return 0
}

func measure(ctx context.Context, numbers []string, span time.Duration, bits, firsts int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "--relay")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // the relay ends when it is closed
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	base := ""
	_, err = fmt.Fscanln(out, &base)
	if err == nil {
		err = against(ctx, base, numbers, span, bits, firsts)
	}
	if e := in.Close(); err == nil {
		err = e
	}
	if e := cmd.Wait(); err == nil {
		err = e
	}
	return err
}

// against measures the relay at base.
func against(ctx context.Context, base string, numbers []string, span time.Duration, bits, firsts int) error {
	footage, err := livetest.Coded(ctx, film, 10, bits, 60, "-s", "1280x720")
	if err != nil {
		return err
	}
	p, err := livetest.Publish(ctx, base+"/whip/bench", footage, livetest.Options{})
	if err != nil {
		return err
	}
	r, err := figures(ctx, base, numbers, span, firsts, p)
	if err := errors.Join(err, p.Stop()); err != nil {
		return err
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "\t")
	return e.Encode(r)
}

func figures(ctx context.Context, base string, numbers []string, span time.Duration, firsts int, p *livetest.Publisher) (r result, err error) {
	for range firsts {
		ms, err := first(ctx, base)
		if err != nil {
			return r, err
		}
		r.First = append(r.First, ms)
	}
	if sorted := slices.Sorted(slices.Values(r.First)); len(sorted) > 0 {
		r.FirstP50 = sorted[len(sorted)/2]
	}
	c := crowd{base: base}
	defer c.leave(ctx)
	for _, n := range numbers {
		n, err := strconv.Atoi(n)
		if err != nil {
			return r, err
		}
		s, err := c.with(ctx, n, span, &p.Sent)
		if err != nil {
			return r, err
		}
		fmt.Fprintf(os.Stderr, "%+v\n", s)
		r.Steps = append(r.Steps, s)
		if s.LostShare > 0.001 || s.Without > 0 {
			r.TooMany = n
			break
		}
		r.Enough = n
	}
	return r, nil
}

// first is how long one viewer's first keyframe took, ms.
func first(ctx context.Context, base string) (float64, error) {
	v, err := livetest.Watch(ctx, base+"/whep/bench", false, livetest.Options{})
	if err != nil {
		return 0, err
	}
	s, err := v.Until(ctx, func(s livetest.Seen) bool { return s.First > 0 && len(s.Pictures) > 75 }) // so that the next one begins elsewhere between keyframes
	if err != nil {
		return 0, err
	}
	return float64(s.First.Microseconds()) / 1000, v.Delete(ctx)
}

// crowd are viewers of one stream.
type crowd struct {
	base string
	all  []*livetest.Viewer
}

// with measures so many viewers at once of what is sent. Those that there are stay.
func (c *crowd) with(ctx context.Context, n int, span time.Duration, sent *atomic.Uint64) (s step, err error) {
	s.Viewers = n
	for len(c.all) < n {
		if err := c.enter(ctx); err != nil {
			return s, err
		}
	}
	all, base := c.all, c.base
	if s.Without = await(ctx, all); s.Without > 0 {
		return s, nil
	}
	before := make([]livetest.Seen, n)
	for i, v := range all {
		before[i] = v.Seen()
	}
	theirs, err := usageOf(ctx, base)
	if err != nil {
		return s, err
	}
	ours, first, now := cpu(), sent.Load(), time.Now
	began := now()
	select {
	case <-time.After(span):
	case <-ctx.Done():
		return s, ctx.Err()
	}
	last := sent.Load()
	after, err := usageOf(ctx, base)
	if err != nil {
		return s, err
	}
	took := now().Sub(began).Seconds()
	s.CPU, s.Machine = (after-theirs)/took, (cpu()-ours)/took
	s.PerViewer = s.CPU / float64(n)
	for i, v := range all {
		got := v.Seen()
		should, came := got.Span-before[i].Span, got.Packets-before[i].Packets
		if last-first > came+unfinished {
			should = max(should, last-first)
			s.Behind++
		}
		s.Packets += should
		s.Lost += max(should, came) - came
		s.Bits += float64(got.Bytes-before[i].Bytes) * 8 / took / float64(n)
	}
	s.LostShare = float64(s.Lost) / float64(max(s.Packets, 1))
	return s, nil
}

// enter connects one more.
func (c *crowd) enter(ctx context.Context) error {
	v, err := livetest.Watch(ctx, c.base+"/whep/bench", false, livetest.Options{NoRepair: true})
	if err == nil {
		c.all = append(c.all, v)
	}
	return err
}

// leave ends all.
func (c *crowd) leave(ctx context.Context) {
	for _, v := range c.all {
		_ = v.Delete(ctx) // the relay may have ended it before
	}
}

// await waits until viewers have the stream, and says how many have not in time.
func await(ctx context.Context, all []*livetest.Viewer) (without int) {
	ctx, done := context.WithTimeout(ctx, startWait)
	defer done()
	for _, v := range all {
		if _, err := v.Until(ctx, func(s livetest.Seen) bool { return s.Packets > 500 }); err != nil {
			without++
		}
	}
	return without
}

func usageOf(ctx context.Context, base string) (seconds float64, err error) {
	_, body, err := livetest.Request(ctx, nil, http.MethodGet, base+"/usage", "", "", nil)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(body, 64)
}
