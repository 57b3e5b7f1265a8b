package capture

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"camseal/agent/internal/feed"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// phase is how far a take's open statement is.
type phase int

const (
	waiting phase = iota // for the take before it
	opening
	opened
)

// take is one recording on its way into the spool.
type take struct {
	id        evidence.RecordingID
	sequence  evidence.Sequence
	continues *evidence.RecordingID
	tracks    []feed.Track
	init      []byte
	begun     time.Time // by the clock
	base      time.Duration
	based     bool
	phase     phase
	asked     time.Duration // elapsed, when opening began
	mode      evidence.Mode
	ended     string // why; "": it goes on
	closed    chan struct{}

	ahead   []*segment // not written yet, or not to the end
	w       *writer
	number  uint32          // of the next part
	unsaid  []spool.Entry   // statements that are to be made
	tries   int             // that failed
	missing *lost           // footage is being left out
	largest int             // segment so far, bytes
	until   time.Duration   // the end of what is written, in the feed's time
	said    time.Duration   // elapsed, when the newest statement was made
	chunks  uint64          // of segments, under a statement
	early   []evidence.Body // to be said once it is open
}

// newTake begins a recording; it goes on from another if that is given.
func (r *Recorder) newTake(before *take) (*take, error) {
	t := &take{tracks: r.tracks, begun: r.config.Now(), closed: make(chan struct{}), number: 1}
	if _, err := rand.Read(t.id[:]); err != nil {
		return nil, err
	}
	init, err := initOf(t.tracks)
	if err != nil {
		return nil, err
	}
	t.init = init
	t.sequence = evidence.Sequence{ID: t.id}
	if before != nil {
		t.continues = &before.id
		t.sequence = evidence.Sequence{ID: before.sequence.ID, Index: before.sequence.Index + 1}
	}
	r.takes = append(r.takes, t)
	return t, nil
}

// current is the take that still grows; nil if there is none.
func (r *Recorder) current() *take {
	if n := len(r.takes); n > 0 && r.takes[n-1].ended == "" {
		return r.takes[n-1]
	}
	return nil
}

// from is where in the feed's time the recording begins, as far as that is known.
func (t *take) from() time.Duration {
	switch {
	case t.based:
		return t.base
	case len(t.ahead) > 0:
		return t.ahead[0].start
	}
	return 0
}

func (t *take) name() string { return t.begun.Format("20060102-150405") + ".mp4" }

func (r *Recorder) source(name string) evidence.Source {
	s := evidence.Source{Serial: r.config.Serial, Firmware: r.config.Firmware, Officer: r.config.Officer, Volume: r.config.Volume}
	s.SetPath([]byte(name), []byte(name))
	return s
}

// docked has the recording wait for a case header, as docked footage does.
func docked(begun int64, seq evidence.Sequence) *spool.Docked {
	return &spool.Docked{Slot: slot, Kind: string(handoff.KindVideo), Begun: begun, Footage: true, Sequence: &seq.ID, Index: seq.Index}
}

const slot = "capture"

// finish ends a take with all that came.
func (r *Recorder) finish(t *take, why string) {
	r.cut.flush()
	t.ended = why
	if r.voice != nil && !r.voice.over {
		r.endHeader()
	}
	r.pump()
}

// pump brings the takes forward as far as they can go now.
func (r *Recorder) pump() {
	for len(r.takes) > 0 {
		t := r.takes[0]
		switch t.phase {
		case waiting:
			t.phase, t.asked = opening, r.elapsed()
			r.work.Go(func() {
				mode, err := r.open(r.config, t)
				r.post(func() { r.isOpen(t, mode, err) })
			})
			return
		case opening:
			return
		}
		if !r.drain(t) {
			return
		}
		r.takes = slices.Delete(r.takes, 0, 1)
		close(t.closed)
	}
}

// isOpen is called when a take's open statement is durable. What was begun before is early.
func (r *Recorder) isOpen(t *take, mode evidence.Mode, err error) {
	if err != nil { // the context's: the recorder ends
		r.config.Log.Error("a recording could not be opened before the agent ended; its footage is lost", "rec", t.id.String(), "error", err)
		return
	}
	t.phase, t.mode, t.said = opened, mode, r.elapsed()
	size := 0
	r.tpmIs = ""
	if mode == evidence.ModeImport {
		size = importChunk
		r.tpmIs = "the TPM did not answer when the recording began: it is sealed as an import, which proves less; look at the TPM"
		t.early = append([]evidence.Body{&evidence.Fault{Why: evidence.WhyTPM,
			Detail: fmt.Sprintf("the TPM did not count this recording within %v of its begin: it was captured, and is sealed as an import", r.config.CountWait)}}, t.early...)
	}
	t.w = newWriter(r.config.Spool, t.id, size)
	for _, s := range t.ahead {
		s.early = true
	}
	for _, b := range t.early {
		t.unsaid = append(t.unsaid, spool.Entry{Rec: t.id, Body: b})
	}
	t.early = nil
	r.copyHeader(t)
	r.pump()
	r.publish()
}

// say makes a statement about a recording, or as soon as it can be made.
func (r *Recorder) say(t *take, b evidence.Body) error {
	if t.phase != opened {
		if len(t.early) < maxUnsaid {
			t.early = append(t.early, b)
		}
		return nil
	}
	if len(t.unsaid) < maxUnsaid {
		t.unsaid = append(t.unsaid, spool.Entry{Rec: t.id, Body: b})
	}
	return r.unload(t)
}

const maxUnsaid = 64

// words is a text for a statement: bounded, with who says it.
func words(text, by string) string {
	const most = 2000
	if len(text) > most {
		text = text[:most]
	}
	if len(by) > most/4 {
		by = by[:most/4]
	}
	if by != "" {
		text += " — " + by
	}
	return strings.TrimSpace(strings.ToValidUTF8(text, "�"))
}

// context is for what must be written whatever ends.
func (r *Recorder) context() context.Context { return context.Background() }
