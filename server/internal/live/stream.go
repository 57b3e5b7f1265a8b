package live

import (
	"context"
	"sync/atomic"
	"time"
)

// stream is one name under which somebody publishes or wants to watch. All of it is under the relay's mu but for what is atomic.
type stream struct {
	relay *Relay
	name  string

	publisher *session
	since     time.Time
	video     *track // nil: none
	audio     *track
	recoded   bool
	reason    Reason

	viewers map[string]*session
	coming  int           // viewers that wait for a publisher or are being connected
	changed chan struct{} // closed when there is news of a publisher
	grace   *time.Timer   // running while there is none, and somebody may still watch

	asked atomic.Int64 // ns since 1970: when the publisher was last asked for a keyframe
	out   atomic.Uint64
}

// enter finds or makes a stream. The caller holds mu.
func (r *Relay) enter(name string) (*stream, error) {
	if r.closed {
		return nil, refuse(503, "live viewing ends here: the server is being shut down", "try again in a minute")
	}
	s := r.streams[name]
	if s == nil {
		if len(r.streams) >= r.cfg.MaxStreams {
			return nil, refuse(503, "as many streams are live as this server takes", "try again when another one has ended")
		}
		s = &stream{relay: r, name: name, viewers: map[string]*session{}, changed: make(chan struct{})}
		r.streams[name] = s
	}
	return s, nil
}

// leave forgets a stream that nobody has to do with. The caller holds mu.
func (s *stream) leave() {
	if s.publisher == nil && s.grace == nil && len(s.viewers) == 0 && s.coming == 0 {
		delete(s.relay.streams, s.name)
	}
}

func (s *stream) news() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) cancelGrace() {
	if s.grace != nil {
		s.grace.Stop()
		s.grace = nil
	}
}

// startGrace lets viewers stay for a while without a publisher. The caller holds mu.
func (s *stream) startGrace() {
	s.cancelGrace()
	var timer *time.Timer
	timer = time.AfterFunc(s.relay.cfg.Grace, func() {
		s.relay.mu.Lock()
		var ended []*session
		if s.grace == timer {
			s.grace = nil
			for _, v := range s.viewers {
				ended = append(ended, v)
			}
			s.leave()
		}
		s.relay.mu.Unlock()
		for _, v := range ended {
			v.end("nothing is published any more")
		}
	})
	s.grace = timer
}

func (s *stream) sessions() (out []*session) {
	if s.publisher != nil {
		out = append(out, s.publisher)
	}
	for _, v := range s.viewers {
		out = append(out, v)
	}
	return out
}

func (s *stream) state() Stream {
	out := Stream{Name: s.name, Publishing: s.publisher != nil, Viewers: len(s.viewers), Out: s.out.Load(), Reason: s.reason, Recoded: s.recoded}
	if out.Publishing {
		out.Since = s.since
	}
	for _, t := range []*track{s.video, s.audio} {
		if t == nil {
			continue
		}
		t.mu.Lock()
		out.In, out.Lost = out.In+t.in, out.Lost+t.lost
		t.mu.Unlock()
	}
	if s.video != nil && s.reason != ReasonBFrames {
		out.Video = s.video.codec.MimeType
	}
	if s.audio != nil {
		out.Audio = s.audio.codec.MimeType
	}
	return out
}

// publish makes p the publisher of its stream. Whoever published before is ended; viewers go on, unless what is shown is of another kind now.
func (r *Relay) publish(p *session, video, audio *codec, reason Reason) error {
	r.mu.Lock()
	s, err := r.enter(p.stream.name)
	if err == nil && s != p.stream {
		err = refuse(503, "the stream was ended meanwhile", "publish it again")
	}
	if err != nil {
		r.mu.Unlock()
		return err
	}
	var ended []*session
	if s.publisher != nil {
		ended = append(ended, s.publisher)
	}
	if !fits(s.video, video) || !fits(s.audio, audio) {
		s.video, s.audio = made(video), made(audio)
		for _, v := range s.viewers {
			ended = append(ended, v)
		}
	}
	p.video, p.audio = begin(s.video), begin(s.audio)
	s.cancelGrace()
	s.publisher, s.since, s.reason, s.recoded = p, r.cfg.Now(), reason, false
	s.news()
	r.mu.Unlock()
	for _, old := range ended {
		old.end("another publisher took over")
	}
	return nil
}

func begin(t *track) lane {
	if t == nil {
		return lane{}
	}
	return lane{t, t.begin()}
}

func fits(t *track, c *codec) bool {
	return t == nil && c == nil || t != nil && c != nil && t.codec.same(*c)
}

func made(c *codec) *track {
	if c == nil {
		return nil
	}
	return newTrack(*c)
}

// gone takes a session that has ended out.
func (r *Relay) gone(p *session) {
	r.mu.Lock()
	s := p.stream
	switch {
	case s.publisher == p:
		s.publisher = nil
		s.startGrace()
	case s.viewers[p.id] == p:
		delete(s.viewers, p.id)
		r.viewers--
		s.leave()
	}
	r.mu.Unlock()
	r.tell(s.name)
}

// reserve holds a viewer's place and waits until something is published.
func (r *Relay) reserve(ctx context.Context, name string) (*stream, error) {
	r.mu.Lock()
	s, err := r.enter(name)
	switch {
	case err != nil:
	case len(s.viewers)+s.coming >= r.cfg.MaxViewers:
		err = refuse(503, "as many people watch this as may at once", "try again when somebody has left")
	case r.viewers >= r.cfg.MaxAllViewers:
		err = refuse(503, "as many people watch live as this server serves at once", "try again when somebody has left")
	}
	if err != nil {
		r.mu.Unlock()
		return nil, err
	}
	s.coming++
	r.viewers++
	r.mu.Unlock()
	if err := r.await(ctx, s); err != nil {
		r.release(s)
		return nil, err
	}
	return s, nil
}

func (r *Relay) await(ctx context.Context, s *stream) error {
	ctx, done := context.WithTimeout(ctx, r.cfg.Patience)
	defer done()
	asked := false
	for {
		r.mu.Lock()
		here, changed, reason := s.publisher != nil, s.changed, s.reason
		r.mu.Unlock()
		switch {
		case here && reason == ReasonBFrames:
			return refuse(503, "the pictures are coded out of their order (B-frames), which browsers can't be sent live", "have the camera set to code without B-frames, or have an administrator allow re-coding")
		case here:
			return nil
		case !asked:
			asked = true
			r.cfg.Need(s.name)
			continue
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return refuse(503, "live viewing ends here: the server is being shut down", "try again in a minute")
		case <-ctx.Done():
			if reason == ReasonVideo || reason == ReasonAudio {
				return refuse(503, "what the recorder shows is coded in a way that browsers can't be sent live", "look at the recording once it is stored")
			}
			return refuse(503, "nothing is shown here yet: the recorder has been asked and has not answered", "try again in a moment")
		}
	}
}

// release gives a place back that was reserved and not taken.
func (r *Relay) release(s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.coming--
	r.viewers--
	s.leave()
}

// watch makes v a viewer, in the place that was reserved.
func (r *Relay) watch(v *session) error {
	s := v.stream
	r.mu.Lock()
	if r.closed || s.publisher == nil && s.grace == nil {
		r.mu.Unlock()
		return refuse(503, "nothing is published any more", "try again in a moment")
	}
	s.coming--
	s.viewers[v.id] = v
	r.mu.Unlock()
	r.tell(s.name)
	return nil
}

// find is a session of a stream; nil: there is none.
func (r *Relay) find(name, id string, publishing bool) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.streams[name]
	switch {
	case s == nil:
		return nil
	case !publishing:
		return s.viewers[id]
	case s.publisher != nil && s.publisher.id == id:
		return s.publisher
	}
	return nil
}
