package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"camseal/agent/internal/feed"
	"camseal/agent/internal/header"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

const (
	maxVoice = 8 << 20         // bytes of sound that are kept to be listened to
	silence  = 2 * time.Second // that ends the spoken header
)

// voice is the spoken header under way: the sound from the recording's begin on, as a file of its own, so that it can be listened to whether or not
// the footage is still here.
type voice struct {
	take      *take
	began     time.Duration // elapsed
	over      bool          // nothing more is spoken
	track     int           // of sound; -1: there is none
	parts     []part
	size      int
	heard     time.Duration // elapsed, when it was listened to last
	listening bool
	last      bool // listen once more, now that it is over
}

// hear begins the spoken header of a recording.
func (r *Recorder) hear(t *take) {
	sound := slices.IndexFunc(t.tracks, func(t feed.Track) bool { return !t.Codec.Video() })
	r.voice = &voice{take: t, began: r.elapsed(), heard: r.elapsed(), track: sound}
}

// hearPart keeps the sound of a part that is written.
func (r *Recorder) hearPart(t *take, p *part) {
	v := r.voice
	if v == nil || v.over || v.take != t || v.track < 0 || r.config.Listen == nil || len(p.samples[v.track]) == 0 {
		return
	}
	one := newPart(1, p.start)
	one.base[0], one.samples[0] = p.base[v.track], p.samples[v.track]
	for _, s := range one.samples[0] {
		v.size += len(s.Payload)
	}
	if v.size <= maxVoice {
		v.parts = append(v.parts, one)
	}
}

// headerTick ends the header when it is too long, and listens whether it has ended.
func (r *Recorder) headerTick() {
	v := r.voice
	switch {
	case v == nil || v.over:
	case r.elapsed()-v.began >= r.config.HeaderMax:
		r.endHeader()
	case r.elapsed()-v.heard >= r.config.ListenEvery:
		r.listen(v)
	}
}

// endHeader ends the spoken header and has it listened to.
func (r *Recorder) endHeader() {
	v := r.voice
	v.over, v.last = true, true
	r.listen(v)
}

// listen listens to what was said so far.
func (r *Recorder) listen(v *voice) {
	if v.listening || r.config.Listen == nil || v.track < 0 || len(v.parts) == 0 {
		return
	}
	v.listening, v.heard = true, r.elapsed()
	last := v.last
	v.last = false
	t, parts, base := v.take.tracks[v.track], slices.Clone(v.parts), v.take.base
	length := parts[len(parts)-1].start - base
	id := v.take.id
	r.work.Go(func() {
		h, err := listenTo(r.run, r.config, t, parts, base)
		if err != nil && r.run.Err() == nil {
			r.config.Log.Error("the spoken header can't be listened to; it can be typed", slog.String("rec", id.String()), slog.Any("error", err))
		}
		r.post(func() { r.wasHeard(v, h, err, last, length) })
	})
}

func listenTo(ctx context.Context, c Config, t feed.Track, parts []part, base time.Duration) (h header.Heard, err error) {
	fd, err := unix.MemfdCreate("header", unix.MFD_CLOEXEC) // no plain sound lies on the disk
	if err != nil {
		return h, fmt.Errorf("memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "header")
	defer f.Close()
	b, err := initOf([]feed.Track{t})
	for i := 0; err == nil; i++ {
		if _, err = f.Write(b); err != nil || i == len(parts) {
			break
		}
		b, err = parts[i].bytes([]feed.Track{t}, base, uint32(i+1))
	}
	if err != nil {
		return h, fmt.Errorf("write sound: %w", err)
	}
	h, _, err = c.Listen.Listen(ctx, f, c.Register(ctx))
	return h, err
}

// wasHeard takes in what was understood. Before the header's end it counts only if silence followed.
func (r *Recorder) wasHeard(v *voice, h header.Heard, err error, last bool, length time.Duration) {
	v.listening = false
	spoken := err == nil && h.Until > h.From
	switch {
	case last || spoken && h.Failed == "" && time.Duration(h.Until)*time.Millisecond+silence <= length:
		v.over, v.last = true, false
		if err == nil {
			r.keepHeard(v.take.sequence.ID, h, spoken)
		}
		v.parts = nil
		r.publish()
	case v.last:
		r.listen(v)
	}
}

// keepHeard says a header that was heard, and keeps it for the officer who confirms it.
func (r *Recorder) keepHeard(group evidence.RecordingID, h header.Heard, spoken bool) {
	raw, err := json.Marshal(h)
	if err == nil {
		err = r.config.Spool.Keep("heard/"+group.String(), raw)
	}
	if err == nil && spoken {
		err = r.sayHeader(group, headerOf(h))
	}
	if err != nil {
		r.config.Log.Error("the spoken header can't be kept; it can be typed", slog.String("rec", group.String()), slog.Any("error", err))
	}
}

// headerOf is what was heard as a statement that nobody has confirmed.
func headerOf(h header.Heard) evidence.Header {
	out := evidence.Header{Spoken: &evidence.SpokenHeader{Confidence: h.Confidence, Engine: h.Engine, From: h.From, Transcript: h.Transcript, Until: h.Until}}
	for _, f := range h.Fields {
		switch f.Name {
		case "department":
			out.Department = f.Value
		case "officers":
			out.Officers = header.ParseOfficers(f.Value)
		case "cause":
			out.Cause = f.Value
		case "time":
			out.Time = f.Value
		case "place":
			out.Place = f.Value
		}
	}
	return out
}

// Header says a case header, typed or confirmed, for every recording of the sequence that rec belongs to; those that continue it get it too.
// Errors: spool.ErrNotFound.
func (r *Recorder) Header(ctx context.Context, rec evidence.RecordingID, h evidence.Header) error {
	return r.call(ctx, func() error {
		is, err := r.config.Spool.Recording(rec)
		if err != nil {
			return err
		}
		return r.sayHeader(is.Group, h)
	})
}

// sayHeader says a header for each recording of a group that is in the chain, all or none.
func (r *Recorder) sayHeader(group evidence.RecordingID, h evidence.Header) error {
	var entries []spool.Entry
	err := r.config.Spool.InGroup(group, func(is spool.Recording) bool {
		one := h
		one.Corrects = is.Header
		one.Spoken = spokenIn(h.Spoken, is.Docked.Index)
		entries = append(entries, spool.Entry{Rec: is.ID, Body: &one})
		return true
	})
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return spool.ErrNotFound
	}
	_, err = r.config.Spool.Append(r.context(), entries...)
	return err
}

// spokenIn is a spoken header as it stands in a recording of the sequence: the span lies in the first one.
func spokenIn(s *evidence.SpokenHeader, index uint64) *evidence.SpokenHeader {
	if s == nil || index == 0 {
		return s
	}
	elsewhere := *s
	elsewhere.From, elsewhere.Until = 0, 0
	return &elsewhere
}

// copyHeader says the sequence's header for a recording that continues it.
func (r *Recorder) copyHeader(t *take) {
	if t.sequence.Index == 0 {
		return
	}
	h, err := r.headerOfGroup(t.sequence.ID)
	if err != nil {
		r.config.Log.Error("the case header is not written again for the recording that continues", slog.String("rec", t.id.String()), slog.Any("error", err))
	}
	if h != nil {
		h.Corrects = 0
		h.Spoken = spokenIn(h.Spoken, t.sequence.Index)
		t.unsaid = append(t.unsaid, spool.Entry{Rec: t.id, Body: h})
	}
}

// headerOfGroup returns the newest header of a group; nil if there is none.
func (r *Recorder) headerOfGroup(group evidence.RecordingID) (*evidence.Header, error) {
	var seq uint64
	if err := r.config.Spool.InGroup(group, func(is spool.Recording) bool {
		seq = max(seq, is.Header)
		return true
	}); err != nil || seq == 0 {
		return nil, err
	}
	line, err := r.config.Spool.Statement(seq)
	if err != nil {
		return nil, err
	}
	s, _, err := evidence.ParseUnverified(line)
	if err != nil {
		return nil, err
	}
	h, ok := s.Body.(*evidence.Header)
	if !ok {
		return nil, errors.New("it is another statement")
	}
	return h, nil
}
