package capture

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// errElsewhere says that the take is another recording now.
var errElsewhere = errors.New("the chain went on elsewhere")

// giveUp is how often a chunk that the disk does not take is tried before it is left out.
const giveUp = 8

// drain writes what there is of an open take. It reports whether the take is over and closed.
func (r *Recorder) drain(t *take) bool {
	for len(t.ahead) > 0 {
		s := t.ahead[0]
		if !t.based && len(s.parts) > 0 {
			t.base, t.based = s.parts[0].begins(t.tracks), true
			s.start, t.until = t.base, t.base // its sound may begin before its pictures
		}
		r.writeParts(t, s)
		if !s.done || t.phase != opened {
			return false
		}
		if !s.dropped {
			r.endChunk(t, s, s.end)
		}
		if t.phase != opened {
			return false
		}
		t.ahead = t.ahead[1:]
	}
	return t.ended != "" && r.close(t)
}

// writeParts writes the parts of a segment that are complete, or leaves them out when there is no room.
func (r *Recorder) writeParts(t *take, s *segment) {
	for ; s.written < len(s.parts); s.written++ {
		p := s.parts[s.written]
		s.parts[s.written] = part{start: p.start}
		if s.dropped && t.missing == nil {
			r.missing(t, s.start, evidence.WhyGap, "it could not be kept until the recording was open")
		}
		if s.dropped || t.missing != nil && (!s.key || s.written > 0 || !r.roomAgain(t)) {
			s.dropped = true
			continue
		}
		switch err := r.writePart(t, &p); {
		case errors.Is(err, errElsewhere):
			return
		case err != nil:
			r.noRoom(t, s, &p, err)
		}
	}
}

// roomAgain reports whether it is worth while to go on: there is room for two segments.
func (r *Recorder) roomAgain(t *take) bool {
	st, err := r.config.Spool.Status()
	return err == nil && st.Free >= 2*int64(max(t.largest, len(t.init)))
}

func (r *Recorder) writePart(t *take, p *part) error {
	if err := r.unload(t); err != nil {
		return err
	}
	if t.w.offset == 0 && t.w.empty() {
		if err := t.w.write(t.init); err != nil {
			return err
		}
		if t.mode == evidence.ModeCapture {
			e, err := t.w.end(evidence.Chunk{Early: true})
			if err != nil {
				return err
			}
			t.unsaid = append(t.unsaid, e)
			if err := r.unload(t); err != nil {
				return err
			}
		}
	}
	b, err := p.bytes(t.tracks, t.base, t.number)
	if err != nil {
		return err
	}
	if err := t.w.write(b); err != nil {
		return err
	}
	t.number++
	r.spoolIs = ""
	r.hearPart(t, p)
	if t.missing != nil {
		r.found(t, p.start)
	}
	t.unsaid = append(t.unsaid, t.w.full...)
	t.w.full = nil
	r.unloadLater(t)
	return nil
}

// unloadLater is unload for what can wait.
func (r *Recorder) unloadLater(t *take) {
	if err := r.unload(t); err != nil && !isFull(err) && !errors.Is(err, errElsewhere) {
		r.config.Log.Error("statements can't be made; they are tried again", slog.String("rec", t.id.String()), slog.Any("error", err))
	}
}

// noRoom leaves a segment out from a part on. What is written of it becomes a chunk, unless its file is broken.
func (r *Recorder) noRoom(t *take, s *segment, p *part, err error) {
	from, why, detail := p.start, evidence.WhyDiskFull, "there is no room for more; what is recorded until then is kept"
	r.spoolIs = "the spool is full: what is recorded now is not kept; what is kept goes on being sent, and recording goes on by itself when there is room"
	switch {
	case !isFull(err):
		r.config.Log.Error("footage can't be written; what is written before is kept", slog.String("rec", t.id.String()), slog.Any("error", err))
		why, detail = evidence.WhyGap, "the disk does not take the footage"
		r.spoolIs = "footage can't be written: " + err.Error()
		if len(t.w.files) > 0 {
			from = s.start
			if err := t.w.back(); err != nil {
				r.config.Log.Error("the hash of the whole recording is lost", slog.Any("error", err))
			}
		}
	case len(t.unsaid) == 0:
		r.endChunk(t, s, p.start)
	}
	s.dropped = true
	if t.missing == nil {
		r.missing(t, from, why, detail)
	}
}

// missing says that footage is left out from a moment on.
func (r *Recorder) missing(t *take, from time.Duration, why, detail string) {
	t.missing = &lost{from: from}
	r.sayLater(t, &evidence.Fault{Why: why, Detail: fmt.Sprintf("from %.3f s on: %s", (from - t.base).Seconds(), detail)})
}

// found says that footage goes on after it was left out.
func (r *Recorder) found(t *take, at time.Duration) {
	from := t.missing.from
	t.missing = nil
	r.sayLater(t, &evidence.Fault{Why: evidence.WhyGap, Detail: fmt.Sprintf("%.3f s of footage were not kept, from %.3f s to %.3f s",
		(at - from).Seconds(), (from - t.base).Seconds(), (at - t.base).Seconds())})
}

func (r *Recorder) sayLater(t *take, b evidence.Body) {
	if err := r.say(t, b); err != nil && !isFull(err) && !errors.Is(err, errElsewhere) {
		r.config.Log.Error("a statement can't be made; it is tried again", slog.String("rec", t.id.String()), slog.Any("error", err))
	}
}

// endChunk has what is written of a segment become a chunk.
func (r *Recorder) endChunk(t *take, s *segment, end time.Duration) {
	if t.w.size > 0 || t.w.empty() {
		t.until, t.largest = max(t.until, end), max(t.largest, s.size, t.w.size)
		return
	}
	start := millis(s.start - t.base)
	e, err := t.w.end(evidence.Chunk{Start: start, Duration: max(millis(end-t.base), start) - start, Keyframe: s.key, Early: s.early})
	if err != nil {
		r.config.Log.Error("a segment can't be ended", slog.String("rec", t.id.String()), slog.Any("error", err))
		return
	}
	r.config.Log.Debug("segment ended", slog.Uint64("chunk", t.w.index-1), slog.Time("at", s.ended))
	t.until = max(t.until, end)
	t.largest = max(t.largest, s.size)
	t.unsaid = append(t.unsaid, e)
	r.unloadLater(t)
}

// unload makes the statements that wait. Errors: spool.ErrFull and others, and they go on waiting.
func (r *Recorder) unload(t *take) error {
	if len(t.unsaid) == 0 {
		return nil
	}
	said, err := r.config.Spool.Append(r.context(), t.unsaid...)
	switch {
	case err == nil:
		for i, e := range t.unsaid {
			if c, ok := e.Body.(*evidence.Chunk); ok && (c.Index > 0 || t.mode == evidence.ModeImport) { // else it is init
				t.chunks++
				r.config.Log.Debug("segment said", slog.Uint64("chunk", c.Index), slog.Uint64("seq", said[i].Seq))
			}
		}
		t.unsaid, t.tries, t.said = nil, 0, r.elapsed()
		return nil
	case errors.Is(err, spool.ErrForked):
		r.forked(t)
		return errElsewhere
	case isFull(err):
		return err
	}
	if t.tries++; t.tries >= giveUp {
		r.loseChunks(t)
	}
	r.spoolIs = err.Error()
	return err
}

// loseChunks gives up chunks whose files the disk does not take.
func (r *Recorder) loseChunks(t *take) {
	kept := t.unsaid[:0]
	first := true
	for _, e := range t.unsaid {
		switch {
		case e.File == nil:
			kept = append(kept, e)
		case first:
			first = false
			if err := t.w.lose(e); err != nil {
				r.config.Log.Error("the hash of the whole recording is lost", slog.Any("error", err))
			}
		default:
			e.File.Discard()
		}
	}
	t.unsaid, t.tries = kept, 0
	if !first {
		t.unsaid = append(t.unsaid, spool.Entry{Rec: t.id, Body: &evidence.Fault{Why: evidence.WhyGap,
			Detail: fmt.Sprintf("the disk did not take a segment that ends at %.3f s; it is lost", (t.until - t.base).Seconds())}})
	}
}

// forked goes on in another recording: this one stayed behind when the chain went on elsewhere. What is on the disk of it is kept.
func (r *Recorder) forked(t *take) {
	r.config.Log.Warn("the chain went on elsewhere: the recording goes on as another one", slog.String("rec", t.id.String()))
	for _, e := range t.unsaid {
		if e.File != nil {
			e.File.Leave()
		}
	}
	t.w.leave()
	for _, s := range t.ahead {
		s.dropped = s.dropped || s.written > 0
	}
	old := t.id
	next := take{tracks: t.tracks, begun: r.config.Now(), closed: t.closed, init: t.init, number: 1, continues: &old, ended: t.ended,
		sequence: evidence.Sequence{ID: t.sequence.ID, Index: t.sequence.Index + 1}, id: newID(), ahead: t.ahead}
	*t = next
}

// close closes the recording. It reports whether that is durable.
func (r *Recorder) close(t *take) bool {
	if err := t.w.last(); err != nil {
		r.config.Log.Error("the last chunk can't be ended", slog.Any("error", err))
	}
	if t.missing != nil {
		r.found(t, max(t.until, t.missing.from, r.newest))
	}
	t.unsaid = append(t.unsaid, t.w.full...)
	t.w.full = nil
	if err := r.unload(t); err != nil {
		return false
	}
	t.w.discard() // files that were made ahead
	t.unsaid = append(t.unsaid, spool.Entry{Rec: t.id, Body: t.w.closing(millis(t.until-t.base), t.ended)})
	if err := r.unload(t); err != nil {
		t.unsaid = nil // it is made anew
		return false
	}
	if err := r.config.Spool.Keep(spool.InitName(t.id), nil); err != nil {
		r.config.Log.Warn("what a recording began with stays in the index until the next start", slog.Any("error", err))
	}
	r.config.Log.Info("recording closed", slog.String("rec", t.id.String()), slog.String("why", t.ended), slog.Uint64("chunks", t.w.index),
		slog.Uint64("bytes", t.w.offset))
	return true
}
