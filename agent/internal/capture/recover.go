package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	chunks "camseal/agent/internal/segment"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// partialChunk is the chunk size of a partial segment taken in by itself.
const partialChunk = 48 << 20

// Recover ends the live recordings that an earlier run left open, Config.Found, as interrupted: up to the last whole segment, or, of one in import
// mode, as far as it was written. What was written of the segment after it is taken in as an import of its own that continues the recording: it was
// sealed after the restart, and claims no more. It can be repeated; it waits for the TPM only if this device never took anything in.
func Recover(ctx context.Context, c Config) error {
	c.defaults()
	ids := slices.Clone(c.Found.Open)
	for _, p := range c.Found.Partial {
		if !slices.Contains(ids, p.Rec) {
			ids = append(ids, p.Rec)
		}
	}
	var failed []error
	for _, id := range ids {
		rec, err := c.Spool.Recording(id)
		if err == nil && rec.Live && !rec.Closed {
			err = endLeft(ctx, c, rec)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("end %s: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// left is a recording that an earlier run left open.
type left struct {
	Config
	rec     spool.Recording
	at      *spool.Partial
	bytes   []byte // of the partial segment
	entries []spool.Entry
}

func endLeft(ctx context.Context, c Config, rec spool.Recording) (err error) {
	l := left{Config: c, rec: rec}
	for _, p := range c.Found.Partial {
		if p.Rec == rec.ID && p.Index == rec.Next {
			l.at = &p
		}
	}
	if l.at != nil {
		if l.bytes, err = c.Spool.ReadPartial(*l.at); err != nil {
			return err
		}
	}
	defer func() {
		for _, e := range l.entries {
			if e.File != nil {
				e.File.Discard()
			}
		}
	}()
	if rec.Mode == evidence.ModeImport {
		err = l.endImport(ctx)
	} else {
		err = l.endCapture(ctx)
	}
	if err != nil {
		return err
	}
	if l.at != nil {
		if err := c.Spool.DropPartial(*l.at); err != nil {
			return err
		}
	}
	return c.Spool.Keep(spool.InitName(rec.ID), nil)
}

// add appends the bytes of a recording chunk by chunk.
func (l *left) add(ctx context.Context, id evidence.RecordingID, cut *chunks.Cutter, b []byte) error {
	in := bytes.NewReader(b)
	for in.Len() > 0 {
		n := min(int64(in.Len()), cut.ChunkSize())
		f, err := l.Spool.TempAgain(id, cut.Index(), n) // the partial file, which goes, has the same bytes
		if err != nil {
			return err
		}
		c, err := cut.Next(ctx, in, n, f)
		if err != nil {
			f.Discard()
			return err
		}
		state, err := cut.State()
		if err != nil {
			f.Discard()
			return err
		}
		l.entries = append(l.entries, spool.Entry{Rec: id, Body: &c, File: f, HashState: state})
	}
	return nil
}

func (l *left) say(id evidence.RecordingID, b evidence.Body) {
	l.entries = append(l.entries, spool.Entry{Rec: id, Body: b})
}

const cutOff = "the agent, or the machine, was stopped while it recorded"

// endImport closes a live recording in import mode with what there is of its last chunk.
func (l *left) endImport(ctx context.Context) error {
	cut, err := chunks.Resume(int64(l.rec.ChunkSize), l.rec.Next, l.rec.Offset, l.rec.HashState)
	if err != nil {
		return err
	}
	if err := l.add(ctx, l.rec.ID, cut, l.bytes); err != nil {
		return err
	}
	l.say(l.rec.ID, &evidence.Fault{Why: evidence.WhyInterrupted, Detail: cutOff})
	l.say(l.rec.ID, &evidence.Close{Chunks: cut.Index(), Hash: cut.Sum(), Size: cut.Offset(), Why: evidence.WhyInterrupted})
	return l.append(ctx)
}

// endCapture closes a captured recording, and takes in the whole parts of its last segment.
func (l *left) endCapture(ctx context.Context) error {
	cut, err := chunks.Resume(1, l.rec.Next, l.rec.Offset, l.rec.HashState)
	if err != nil {
		return err
	}
	duration, err := l.duration()
	if err != nil {
		return err
	}
	detail := cutOff
	b := l.bytes[:wholeParts(l.bytes)]
	if len(b) > 0 && l.rec.Next > 0 {
		id, err := l.takePartial(ctx, b)
		if err != nil {
			return err
		}
		detail += "; what there was of the segment under way is kept as recording " + id.String()
	}
	l.say(l.rec.ID, &evidence.Fault{Why: evidence.WhyInterrupted, Detail: detail})
	l.say(l.rec.ID, &evidence.Close{Chunks: l.rec.Next, Hash: cut.Sum(), Size: l.rec.Offset, Duration: duration, Why: evidence.WhyInterrupted})
	return l.append(ctx)
}

// append says all in one transaction. Of a recording that stayed behind when the chain went on elsewhere, only the partial segment is said.
func (l *left) append(ctx context.Context) error {
	_, err := l.Spool.Append(ctx, l.entries...)
	if errors.Is(err, spool.ErrForked) {
		l.entries = slices.DeleteFunc(l.entries, func(e spool.Entry) bool { return e.Rec == l.rec.ID && e.File == nil })
		if len(l.entries) == 0 {
			return nil
		}
		_, err = l.Spool.Append(ctx, l.entries...)
	}
	if err != nil {
		return err
	}
	l.Log.WarnContext(ctx, "a recording that was interrupted is closed up to its last whole segment", slog.String("rec", l.rec.ID.String()),
		slog.Uint64("chunks", l.rec.Next), slog.Int("partial", len(l.bytes)))
	return nil
}

// duration is where the last whole segment ends, milliseconds.
func (l *left) duration() (uint64, error) {
	if l.rec.Next == 0 {
		return 0, nil
	}
	c, err := l.Spool.Chunk(l.rec.ID, l.rec.Next-1)
	if err != nil {
		return 0, err
	}
	line, err := l.Spool.Statement(c.Seq)
	if errors.Is(err, spool.ErrNotFound) {
		return 0, nil // it stayed behind
	}
	if err != nil {
		return 0, err
	}
	s, _, err := evidence.ParseUnverified(line)
	if b, ok := s.Body.(*evidence.Chunk); ok {
		return b.Start + b.Duration, err
	}
	return 0, err
}

// takePartial takes in the parts of an unfinished segment as a file that plays by itself.
func (l *left) takePartial(ctx context.Context, parts []byte) (id evidence.RecordingID, err error) {
	init, err := l.Spool.Kept(spool.InitName(l.rec.ID))
	if err != nil && !errors.Is(err, spool.ErrNotFound) { // without it the parts are kept all the same
		return id, fmt.Errorf("begin of the file: %w", err)
	}
	intake, err := needIntake(ctx, l.Config)
	if err != nil {
		return id, err
	}
	id = newID()
	src := l.rec.Source
	name := []byte(strings.TrimSuffix(string(src.RawName()), ".mp4") + ".partial.mp4")
	src.SetPath(name, name)
	src.Size = uint64(len(init) + len(parts))
	seq := evidence.Sequence{ID: id}
	begun := int64(0)
	if d := l.rec.Docked; d != nil && d.Sequence != nil {
		seq, begun = evidence.Sequence{ID: *d.Sequence, Index: d.Index + 1}, d.Begun
	}
	l.entries = append(l.entries, spool.Entry{Rec: id, Docked: docked(begun, seq), Body: &evidence.Open{ChunkSize: partialChunk, Continues: &l.rec.ID,
		Intake: intake, MediaType: mediaType, Mode: evidence.ModeImport, Sequence: &seq, Source: src}})
	cut := chunks.New(partialChunk)
	if err := l.add(ctx, id, cut, slices.Concat(init, parts)); err != nil {
		return id, err
	}
	l.say(id, &evidence.Fault{Why: evidence.WhyInterrupted, Detail: "this is what was on the disk of a segment that was not complete, of recording " + l.rec.ID.String()})
	l.say(id, &evidence.Close{Chunks: cut.Index(), Hash: cut.Sum(), Size: cut.Offset(), Why: evidence.WhyInterrupted})
	return id, nil
}

// wholeParts returns where the last whole moof with its mdat ends.
func wholeParts(b []byte) (end int) {
	for at, want := 0, "moof"; len(b)-at >= 8; {
		size := int(binary.BigEndian.Uint32(b[at:]))
		if size < 8 || size > len(b)-at || string(b[at+4:at+8]) != want {
			break
		}
		if at += size; want == "mdat" {
			end, want = at, "moof"
		} else {
			want = "mdat"
		}
	}
	return end
}

// clearInits forgets what recordings began with that are closed, or were never opened.
func clearInits(c Config) error {
	names, err := c.Spool.AllKept(spool.InitPrefix)
	if err != nil {
		return err
	}
	for _, n := range names {
		id, err := evidence.ParseRecordingID(n)
		if err == nil {
			var rec spool.Recording
			if rec, err = c.Spool.Recording(id); err == nil && !rec.Closed {
				continue
			}
		}
		if err != nil && !errors.Is(err, spool.ErrNotFound) {
			return err
		}
		if err := c.Spool.Keep(spool.InitPrefix+n, nil); err != nil {
			return err
		}
	}
	return nil
}
