package capture

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"camseal/agent/internal/feed"
	"camseal/pkg/evidence"
)

const (
	tick         = 250 * time.Millisecond
	syncs        = 4                // ticks between two syncs of a segment under way
	endWait      = 5 * time.Second  // beyond CountWait: how long the end waits for what is under way
	recoverAgain = 10 * time.Second // when there was no room

	spareMem = 16 << 20 // bytes beyond BufferBytes that may wait for a recording to be opened
)

func newID() (id evidence.RecordingID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

func (r *Recorder) elapsed() time.Duration { return time.Since(r.begun) }

// Run records until the context ends. A recording that runs then is closed as interrupted, durably. It ends what an earlier run left first, as
// far as the TPM answers.
func (r *Recorder) Run(ctx context.Context) error {
	r.begun, r.run = r.config.Now(), ctx
	r.clock.at(r.begun, 0)
	defer r.work.Wait()
	defer close(r.ended)
	if err := clearInits(r.config); err != nil {
		return err
	}
	r.work.Go(func() {
		err := Recover(ctx, r.config)
		for again := time.NewTicker(recoverAgain); isFull(err); again.Reset(recoverAgain) {
			select {
			case <-again.C:
				err = Recover(ctx, r.config)
			case <-ctx.Done():
				return
			}
		}
		if err != nil && ctx.Err() == nil {
			r.config.Log.ErrorContext(ctx, "what an earlier run left of recordings can't be ended yet; it is kept, and is tried at the next start", slog.Any("error", err))
		}
	})
	every := time.NewTicker(tick)
	defer every.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return r.end(every.C)
		case <-r.more:
			r.takeIn()
		case f := <-r.do:
			r.takeIn()
			f()
		case <-every.C:
			r.tick(n%syncs == 0)
		}
		r.publish()
	}
}

// end ends what runs, and waits for it as long as it must.
func (r *Recorder) end(every <-chan time.Time) error {
	r.takeIn()
	if t := r.current(); t != nil {
		r.sayLater(t, &evidence.Fault{Why: evidence.WhyInterrupted, Detail: "the agent was stopped while it recorded"})
		r.finish(t, evidence.WhyInterrupted)
	}
	r.pump()
	timer := time.NewTimer(r.config.CountWait + endWait)
	defer timer.Stop()
	for len(r.takes) > 0 {
		select {
		case f := <-r.do:
			f()
		case <-every:
			r.pump()
		case <-timer.C:
			for _, t := range r.takes {
				if t.w != nil {
					t.w.leave()
				}
			}
			r.publish()
			return fmt.Errorf("%d recordings could not be closed; what is written of them is kept, and is closed as interrupted at the next start", len(r.takes))
		}
	}
	r.publish()
	return nil
}

// takeIn works through what the feed said.
func (r *Recorder) takeIn() {
	for _, i := range r.take() {
		switch {
		case i.tracks != nil:
			r.retrack(i.tracks)
		case i.trouble != nil:
			r.trouble(*i.trouble)
		case i.lost != nil:
			r.feedSays = "the disk is too slow: pictures were left out"
			r.sayNow(&evidence.Fault{Why: evidence.WhyGap, Detail: fmt.Sprintf("%.3f s of footage, %d units, were left out: the disk did not keep up",
				(i.lost.until - i.lost.from).Seconds(), i.lost.units)})
		case i.unit != nil && r.cut != nil:
			r.unit(*i.unit)
		}
	}
	r.pump()
}

// retrack is for a camera whose streams are others than before.
func (r *Recorder) retrack(tracks []feed.Track) {
	if feed.SameTracks(r.tracks, tracks) && r.cut != nil {
		return
	}
	before := r.current()
	if before != nil {
		r.finish(before, evidence.WhyMediaChanged)
	}
	r.tracks, r.ring, r.unfit = tracks, nil, ""
	r.cut = newCutter(tracks, r.config.SegmentMin, r.config.SegmentCap)
	if _, err := initOf(tracks); err != nil || len(tracks) > 2 || len(tracks) == 0 {
		r.unfit = fmt.Sprintf("the camera's stream can't be stored (%v); look at its settings", err)
		r.config.Log.Error("the camera's stream can't be stored", slog.Any("error", err))
		r.cut = nil
		return
	}
	if before != nil {
		if _, err := r.newTake(before); err != nil {
			r.config.Log.Error("the recording can't be gone on with", slog.Any("error", err))
		}
	}
}

// unit takes in one unit.
func (r *Recorder) unit(u feed.Unit) {
	t := r.current()
	if silent := r.elapsed() - r.lastUnit; silent > r.config.LongGap && u.DTS-r.newest > r.config.LongGap {
		t = r.afterGap(t)
	}
	r.lastUnit = r.elapsed()
	if t == nil && r.config.Buffer <= 0 {
		r.newest = max(r.newest, u.DTS)
		r.cut.look(u)
		return
	}
	before := r.cut.seg
	r.cut.add(u)
	r.newest = max(r.newest, u.DTS)
	if s := r.cut.seg; s != nil && s != before {
		if before != nil {
			before.ended = u.At
		}
		r.segment(t, s)
	}
	if t == nil {
		r.trim()
	} else if t.phase != opened {
		r.bound()
	}
}

// afterGap is for a camera that is there again after so long that what comes is not to be in one file with what was.
func (r *Recorder) afterGap(t *take) *take {
	r.cut.flush()
	r.ring = nil
	if t == nil {
		return nil
	}
	next, err := r.newTake(t)
	if err != nil {
		r.config.Log.Error("the recording can't be gone on with in another one", slog.Any("error", err))
		return t
	}
	t.ended = evidence.WhyComplete
	return next
}

// segment takes in a segment that begins.
func (r *Recorder) segment(t *take, s *segment) {
	switch {
	case t == nil:
		r.ring = append(r.ring, s)
	case s.key && (t.based || len(t.ahead) > 0) && s.start-t.from() >= r.length(t):
		t.ended = evidence.WhyComplete
		next, err := r.newTake(t)
		if err != nil {
			r.config.Log.Error("the recording can't be gone on with in another one", slog.Any("error", err))
			t.ended, next = "", t
		}
		next.ahead = append(next.ahead, s)
	default:
		t.ahead = append(t.ahead, s)
	}
}

// length is how long a recording gets: one in import mode soon makes way for another try to capture.
func (r *Recorder) length(t *take) time.Duration {
	if t.mode == evidence.ModeImport {
		return min(r.config.Length, r.config.ImportLength)
	}
	return r.config.Length
}

// trim lets go of what is too old, or too much, before a start.
func (r *Recorder) trim() {
	size := 0
	for _, s := range r.ring {
		size += s.size
	}
	for len(r.ring) > 1 && (r.newest-r.ring[1].start >= r.config.Buffer || size > r.config.BufferBytes) {
		size -= r.ring[0].size
		r.ring = slices.Delete(r.ring, 0, 1)
	}
	if size > r.config.BufferBytes { // one that has no end
		r.cut.flush()
		r.ring = nil
	}
}

// bound leaves out what memory has no room for while recordings wait to be opened.
func (r *Recorder) bound() {
	size := 0
	for _, t := range r.takes {
		for _, s := range t.ahead {
			for _, p := range s.parts {
				size += p.size
			}
		}
	}
	if s := r.cut.seg; s != nil && size > r.config.BufferBytes+spareMem {
		s.dropped = true
		for i := range s.parts {
			s.parts[i] = part{start: s.parts[i].start}
		}
	}
}

// tick does what is due.
func (r *Recorder) tick(sync bool) {
	r.clockJumps()
	if r.cut != nil && r.elapsed()-r.lastUnit > 2*r.config.SegmentMin {
		if before := r.cut.seg; before != nil {
			if r.cut.idle(); r.cut.seg != before {
				r.segment(r.current(), r.cut.seg)
				if r.current() == nil {
					r.trim()
				}
			}
		}
	}
	if r.cut != nil && r.current() == nil && r.elapsed()-r.lastUnit > r.config.Buffer+r.config.SegmentCap { // what is there is too old by now
		r.cut.flush()
		r.ring = nil
	}
	r.pump()
	if len(r.takes) > 0 && r.takes[0].phase == opening && r.elapsed()-r.takes[0].asked > 2*time.Second {
		r.tpmIs = "the TPM has not counted this recording yet: its footage waits in memory as long as there is room"
	}
	r.needIntake()
	r.troubles.tick(r)
	r.headerTick()
	for _, t := range r.takes {
		if t.phase != opened {
			continue
		}
		if sync {
			if err := t.w.sync(); err != nil {
				r.config.Log.Error("what is written can't be made durable yet", slog.String("rec", t.id.String()), slog.Any("error", err))
			}
		}
		if r.elapsed()-t.said >= r.config.BeatEvery {
			r.sayLater(t, &evidence.Beat{})
		}
	}
}

// needIntake has the chain have an intake, which stands for the open's count while the TPM does not answer: at the first start, and when the
// chain went on elsewhere.
func (r *Recorder) needIntake() {
	if r.config.Spool.LastIntake() != 0 || r.intaking {
		return
	}
	r.intaking = true
	r.work.Go(func() {
		if _, err := needIntake(r.run, r.config); err != nil && r.run.Err() == nil {
			r.config.Log.Error("no intake can be said; it is tried again at the next start", slog.Any("error", err))
			return
		}
		r.post(func() { r.intaking = false })
	})
}

// publish shows the state to others.
func (r *Recorder) publish() {
	s := State{Tracks: r.tracks, InHeader: r.voice != nil && !r.voice.over}
	if r.cut != nil {
		s.BFrames = r.cut.reordered
	}
	if len(r.ring) > 0 {
		s.Buffered = r.newest - r.ring[0].start
	}
	if t := r.current(); t != nil {
		id := t.id
		s.Recording, s.Since, s.Segments = &id, t.begun, t.chunks
	}
	for _, what := range []string{r.spoolIs, r.unfit, r.tpmIs, r.feedSays} {
		if s.Trouble == "" {
			s.Trouble = what
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !sameState(r.state, s) {
		close(r.changed)
		r.changed = make(chan struct{})
	}
	r.state = s
}

func sameState(a, b State) bool {
	if (a.Recording == nil) != (b.Recording == nil) || a.Recording != nil && *a.Recording != *b.Recording {
		return false
	}
	return a.Since.Equal(b.Since) && feed.SameTracks(a.Tracks, b.Tracks) && a.BFrames == b.BFrames && a.InHeader == b.InHeader &&
		a.Segments == b.Segments && a.Trouble == b.Trouble
}
