// Package live publishes a camera's stream to the server by WHIP (RFC 9725), as it is: nothing is coded anew. What is seen live is a preview;
// the evidence is what package capture seals, and nothing here can hold that up.
package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"camseal/agent/internal/feed"
)

// The waits between two tries: for what may pass by itself, and for what needs a person.
const (
	minWait      = 500 * time.Millisecond
	maxWait      = 10 * time.Second
	minFinalWait = 5 * time.Second
	maxFinalWait = 2 * time.Minute
	steady       = 10 * time.Second // a connection that lasted this long makes the next wait short again
)

// cacheMax is how many bytes since the last key unit are kept. They are the same bytes that the pre-event buffer holds.
const cacheMax = 8 << 20

// Config says how to publish.
type Config struct {
	// Send sends a request to the server as this device and returns its answer, whatever its status: uplink.Client.Send.
	Send       func(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error)
	Path       string // of the WHIP endpoint at the server; empty: /v1/live/whip
	Now        func() time.Time
	Log        *slog.Logger
	ICEServers []ICEServer // besides those that the server names
	Rate       func() int  // bits a second that may be sent now, 0: no limit; may be nil
	Any        bool        // publish what WebRTC can't carry (B-frames, AAC, H.265) whether the server says that it codes that anew or not
}

// State is what a Publisher does now.
type State struct {
	Wanted     bool       // between Start and Stop
	Publishing bool       // the server gets the stream
	Since      time.Time  // when Publishing became true
	Video      feed.Codec // of the camera; empty: no pictures
	Audio      feed.Codec // the same of sound
	BFrames    bool       // pictures are coded out of their order
	Mute       bool       // there is sound, but it can't be carried
	Single     bool       // the link carries single pictures only
	Lost       float64    // share of packets that the server does not get, 0 to 1
	Trouble    string     // why nothing is published though it is wanted, for people
}

// Publisher is a feed.Sink that publishes while it is wanted. It is safe for concurrent use; as a Sink it never blocks.
type Publisher struct {
	c     Config
	cache *cache

	mu        sync.Mutex
	tracks    []feed.Track
	newest    time.Duration // PTS of pictures
	state     State
	changed   chan struct{} // closed with the next change of state
	plan      plan          // what is published, or would be
	why       string        // why plan is empty
	recodes   bool          // the server codes anew what can't be carried
	interrupt context.CancelCauseFunc
	kick      chan struct{} // ends a wait; holds one
	stop      context.CancelFunc
	done      chan struct{}
	goodbyes  sync.WaitGroup // sessions whose end is being told
}

var _ feed.Sink = (*Publisher)(nil)

// New returns a Publisher that publishes nothing yet.
func New(c Config) *Publisher {
	if c.Path == "" {
		c.Path = "/v1/live/whip"
	}
	c.ICEServers = slices.DeleteFunc(slices.Clone(c.ICEServers), func(v ICEServer) bool { return !usable(v) })
	p := &Publisher{c: c, cache: newCache(cacheMax), changed: make(chan struct{}), kick: make(chan struct{}, 1)}
	_, p.why = planFor(nil, false, false)
	return p
}

// Tracks implements feed.Sink.
func (p *Publisher) Tracks(t []feed.Track) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracks, p.newest = slices.Clone(t), 0
	p.state.Video, p.state.Audio, p.state.BFrames = "", "", false
	for _, k := range t {
		if k.Codec.Video() {
			p.state.Video = k.Codec
		} else {
			p.state.Audio = k.Codec
		}
	}
	p.cache.reset(p.state.Video != "")
	p.replan()
}

// Unit implements feed.Sink.
func (p *Publisher) Unit(u feed.Unit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.Track < 0 || u.Track >= len(p.tracks) {
		return
	}
	if t := p.tracks[u.Track]; !t.Codec.Video() {
		u.Key = false
	} else {
		if u.PTS < p.newest && !p.state.BFrames {
			p.state.BFrames = true
			p.replan()
		}
		if p.newest = max(p.newest, u.PTS); u.Key {
			u = complete(u, t)
		}
	}
	p.cache.add(u)
}

// Trouble implements feed.Sink: it is others' matter.
func (p *Publisher) Trouble(feed.Trouble) {}

// replan finds out what can be published now. A session that publishes something else ends.
func (p *Publisher) replan() {
	var pl plan
	pl, p.why = planFor(p.tracks, p.state.BFrames, p.c.Any || p.recodes)
	p.state.Mute = p.state.Audio != "" && !slices.ContainsFunc(pl, func(c carried) bool { return !c.track.Codec.Video() })
	if !pl.same(p.plan) || p.why != "" {
		p.plan = pl
		if p.interrupt != nil {
			p.interrupt(errChanged)
		}
		p.again()
	}
	p.tell()
}

// tell says that the state has changed.
func (p *Publisher) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Publisher) again() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// State says what it does now.
func (p *Publisher) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Changed returns a channel that is closed with the next change of the state other than of Lost.
func (p *Publisher) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// Start publishes from now on, whatever ctx does, until Stop: it connects in the background and again whenever that fails, with growing
// waits. While it is wanted already, the wait before the next try ends. It returns an error if the camera gives nothing; it is wanted all the
// same, and begins when the camera does.
func (p *Publisher) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop == nil {
		ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
		before, done := p.done, make(chan struct{})
		p.done = done
		p.state.Wanted = true
		if len(p.tracks) == 0 {
			p.state.Trouble = p.why
		}
		p.tell()
		go func() {
			defer close(done)
			if before != nil {
				<-before
			}
			p.run(ctx)
		}()
	}
	p.again()
	if len(p.tracks) == 0 {
		return errors.New(p.why)
	}
	return nil
}

// Stop ends it, and returns once the server was told, or when ctx ends: the rest then goes on in the background.
func (p *Publisher) Stop(ctx context.Context) {
	p.mu.Lock()
	stop, done := p.stop, p.done
	p.stop = nil
	p.mu.Unlock()
	if stop != nil {
		stop()
	}
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// run publishes until ctx ends.
func (p *Publisher) run(ctx context.Context) {
	defer p.goodbyes.Wait()
	fails := 0
	for ctx.Err() == nil {
		err := p.publish(ctx)
		if p.down(err) >= steady {
			fails = 0
		}
		if ctx.Err() != nil {
			break
		}
		d := pause(err, fails)
		fails++
		p.c.Log.InfoContext(ctx, "not live", slog.String("why", err.Error()), slog.Duration("again_in", d))
		p.rest(ctx, d)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop == nil { // else it was started anew
		lost := p.state
		p.state = State{Video: lost.Video, Audio: lost.Audio, BFrames: lost.BFrames, Mute: lost.Mute}
		p.tell()
	}
}

// pause says how long to wait after an error.
func pause(err error, fails int) time.Duration {
	var r *refused
	low, high := minWait, maxWait
	switch {
	case errors.As(err, &r) && r.after > 0:
		return r.after
	case errors.Is(err, errChanged):
		return minWait
	case errors.As(err, &r) && r.final():
		low, high = minFinalWait, maxFinalWait
	case errors.Is(err, errUnfit):
		return maxFinalWait // a change of the tracks ends it
	}
	d := min(low<<min(fails, 10), high)
	return d/2 + rand.N(d/2)
}

// rest waits, but not below the least wait, for the time or for something that makes trying again worth while.
func (p *Publisher) rest(ctx context.Context, d time.Duration) {
	least, most := time.NewTimer(min(minWait, d)), time.NewTimer(d)
	defer least.Stop()
	defer most.Stop()
	select {
	case <-ctx.Done():
		return
	case <-least.C:
	}
	select {
	case <-ctx.Done():
	case <-p.kick:
	case <-most.C:
	}
}

// errUnfit is what publish returns while the camera gives nothing that can be carried.
var errUnfit = errors.New("nothing to publish")

// publish makes one session, and returns why it ended.
func (p *Publisher) publish(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	select {
	case <-p.kick: // that is from before
	default:
	}
	if err := p.ask(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	pl, why := p.plan, p.why
	p.interrupt = cancel
	p.mu.Unlock()
	if why != "" {
		return fmt.Errorf("%w: %s", errUnfit, why)
	}
	s, err := newSession(p, pl)
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// ask finds out whether the server takes what can't be carried, if there is such a thing.
func (p *Publisher) ask(ctx context.Context) error {
	p.mu.Lock()
	pl, _ := planFor(p.tracks, p.state.BFrames, false)
	need := !p.c.Any && len(pl) < len(p.tracks)
	p.mu.Unlock()
	if !need {
		return nil
	}
	w := whip{send: p.c.Send, log: p.c.Log}
	yes, err := w.recodes(ctx, p.c.Path)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recodes != yes {
		p.recodes = yes
		p.replan()
	}
	return nil
}

// up notes that the server gets the stream, with its sound or without.
func (p *Publisher) up(sound bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Mute = p.state.Audio != "" && !sound
	p.state.Publishing, p.state.Since, p.state.Trouble = true, p.c.Now(), ""
	p.tell()
}

// down notes that it does not, and returns how long it did.
func (p *Publisher) down(err error) (lasted time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.interrupt = nil; p.state.Publishing {
		lasted = p.c.Now().Sub(p.state.Since)
	}
	p.state.Publishing, p.state.Since, p.state.Lost, p.state.Single = false, time.Time{}, 0, false
	p.state.Trouble = p.why
	if p.why == "" && !errors.Is(err, errChanged) && !errors.Is(err, context.Canceled) {
		p.state.Trouble = explain(err)
	}
	p.tell()
	return lasted
}

// measured notes how the link does.
func (p *Publisher) measured(lost float64, single bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.state.Single
	p.state.Lost, p.state.Single = lost, single
	if was != single {
		p.tell()
	}
}

// explain turns the end of a session into words.
func explain(err error) string {
	var r *refused
	if errors.As(err, &r) {
		return fmt.Sprintf("the server refuses live pictures: %s; recording and sealing go on; %s", r.err.Message, r.err.Do)
	}
	return fmt.Sprintf("no live pictures: %v; recording and sealing go on; this is tried again by itself", err)
}
