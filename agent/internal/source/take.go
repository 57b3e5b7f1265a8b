package source

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"camseal/agent/internal/segment"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// take takes one file in. Errors end the run; what is wrong with the file is reported. When the chain goes on elsewhere meanwhile, the
// file is begun anew.
func (r *run) take(ctx context.Context, it item) error {
	f, now, err := r.openFile(it.Path)
	if err != nil {
		return r.failed(ctx, it.Path, err)
	}
	defer f.Close()
	if now, err = r.settle(ctx, it, f, now); err != nil {
		return r.failed(ctx, it.Path, err)
	}
	src := r.describe(now)
	release, err := r.claim(ctx, spool.Identity(src))
	if err != nil {
		return err
	}
	defer release()
	for {
		if err := r.read(ctx, f, it.Found, src, now); !errors.Is(err, spool.ErrForked) {
			return err
		}
	}
}

// read takes an open file in. Errors: those that end the run, and spool.ErrForked.
func (r *run) read(ctx context.Context, f *os.File, found Found, src evidence.Source, now spool.Origin) error {
	known, open, err := r.recognise(ctx, f, src, now)
	if errors.Is(err, spool.ErrForked) {
		return err
	}
	if err != nil {
		return r.failed(ctx, string(now.Path), err)
	}
	if known != nil {
		r.report(Event{Kind: EventKnown, Path: now.Path, Rec: known.ID, Bytes: now.Size, Size: now.Size, Text: knownText(*known)})
		return nil
	}
	if found.Elsewhere != "" && open == nil {
		r.report(Event{Kind: EventKnown, Path: now.Path, Bytes: now.Size, Size: now.Size, Text: found.Elsewhere})
		return nil
	}
	rd := &reading{run: r, f: r.medium(ctx, f, now), found: found, was: now, cut: segment.New(r.ChunkSize)}
	if open != nil {
		if rd.cut, err = segment.Resume(int64(open.ChunkSize), open.Next, open.Offset, open.HashState); err != nil {
			return err
		}
		rd.rec, rd.begun = open.ID, true
	} else {
		if _, err := rand.Read(rd.rec[:]); err != nil {
			return err
		}
		rd.src = src
	}
	return rd.all(ctx)
}

// failed reports an error about a file, or returns it when it is about the run.
func (r *run) failed(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.pulled(ctx, err) {
		return ErrGone
	}
	r.report(Event{Kind: EventFailed, Path: []byte(path), Text: plain(err)})
	return nil
}

func knownText(k spool.Recording) string {
	if k.Sound() || !k.Closed {
		return "it was taken in before"
	}
	return "it was taken in before, as faulty (" + k.Why + "), and has not changed since"
}

// recognise finds out whether the file is a recording already, or one that was begun and can be gone on with. It reads the file only
// when a recording from the same place with the same size exists and the file was touched since.
func (r *run) recognise(ctx context.Context, f *os.File, src evidence.Source, now spool.Origin) (known, open *spool.Recording, err error) {
	candidates, err := r.Spool.Known(src)
	if err != nil {
		return nil, nil, err
	}
	var hashed *evidence.Digest
	sure := r.Volume == nil || src.Serial != ""
	for i := range candidates {
		c := &candidates[i]
		same := c.Origin.Same(now)
		switch {
		case !c.Closed && !c.From.IsZero(): // on its way from the spool, not from this file
			if same {
				return c, nil, nil
			}
		case !c.Closed && same:
			open = c
		case !c.Closed:
			if err := r.abandon(ctx, *c, evidence.WhyChanged, "it was changed before all of it was read"); err != nil {
				return nil, nil, err
			}
		case same && !sure && c.Sound(): // nothing tells this recorder from another one like it but the bytes
			if hashed == nil {
				d, err := hashFile(ctx, f)
				if err != nil {
					return nil, nil, err
				}
				hashed = &d
			}
			if *hashed == c.Hash {
				return c, nil, nil
			}
		case same && (c.Sound() || !r.Retry):
			return c, nil, nil
		case c.Sound() && c.Source.Size == now.Size:
			if hashed == nil {
				d, err := hashFile(ctx, f)
				if err != nil {
					return nil, nil, err
				}
				hashed = &d
			}
			if *hashed == c.Hash {
				return c, nil, r.Spool.SetOrigin(c.ID, now)
			}
		}
	}
	return nil, open, nil
}

func hashFile(ctx context.Context, f *os.File) (evidence.Digest, error) {
	h := sha256.New()
	buf := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return evidence.Digest{}, err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return evidence.Digest{}, err
		}
	}
	_, err := f.Seek(0, io.SeekStart)
	return evidence.Digest(h.Sum(nil)), err
}

// reading is one file on its way into the spool.
type reading struct {
	*run
	f     *medium
	found Found
	was   spool.Origin    // when reading began
	src   evidence.Source // of a new recording
	rec   evidence.RecordingID
	cut   *segment.Cutter
	begun bool // open is in the chain
}

// all reads the file to its end.
func (r *reading) all(ctx context.Context) error {
	r.f.back(r.cut.Offset())
	for {
		entries, err := r.chunk(ctx)
		over := r.cut.Offset() >= r.was.Size
		var failed *segment.ReadError
		switch {
		case errors.Is(err, ErrGone):
			discard(entries)
			return ErrGone
		case errors.As(err, &failed):
			return r.end(ctx, entries, evidence.WhyReadError, failed.Err.Error())
		case err != nil && !errors.Is(err, io.EOF):
			discard(entries)
			return err
		case over || err != nil:
			return r.end(ctx, entries, "", "")
		}
		if err := r.say(ctx, entries...); err != nil {
			return err
		}
		r.report(Event{Kind: EventReading, Path: r.was.Path, Rec: r.rec, Bytes: r.cut.Offset(), Size: r.was.Size})
	}
}

func (r *run) medium(ctx context.Context, f *os.File, now spool.Origin) *medium {
	m := &medium{ctx: ctx, f: f, end: int64(now.Size)}
	if r.Volume != nil {
		m.gone = r.Volume.Gone
	}
	return m
}

func discard(entries []spool.Entry) {
	for _, e := range entries {
		if e.File != nil {
			e.File.Discard()
		}
	}
}

// chunk reads one chunk and returns its statement, none when nothing was left to read. io.EOF and *segment.ReadError come together
// with what was read.
func (r *reading) chunk(ctx context.Context) ([]spool.Entry, error) {
	for {
		left := int64(r.was.Size - min(r.was.Size, r.cut.Offset()))
		if left == 0 {
			return nil, nil
		}
		room := min(left, r.cut.ChunkSize())
		tmp, c, err := r.next(ctx, room)
		if errors.Is(err, spool.ErrFull) {
			if err := r.again(ctx, tmp, room, err); err != nil {
				return nil, err
			}
			continue
		}
		if c.Size == 0 {
			if tmp != nil {
				tmp.Discard()
			}
			return nil, err
		}
		state, errState := r.cut.State()
		if errState != nil {
			tmp.Discard()
			return nil, errState
		}
		return []spool.Entry{{Rec: r.rec, Body: &c, File: tmp, HashState: state}}, err
	}
}

// next reads a chunk when it is this file's turn.
func (r *reading) next(ctx context.Context, room int64) (tmp *spool.Temp, c evidence.Chunk, err error) {
	if r.Gate != nil {
		leave, err := r.Gate.Enter(ctx, func() int { return r.Prior(r.found) })
		if err != nil {
			return nil, c, err
		}
		defer leave()
	}
	if tmp, err = r.Spool.Temp(r.rec, r.cut.Index(), room); err == nil {
		c, err = r.cut.Next(ctx, r.f, room, tmp)
	}
	return tmp, c, err
}

// again goes back to the beginning of a chunk for which there was no room, and waits for room.
func (r *reading) again(ctx context.Context, tmp *spool.Temp, room int64, why error) error {
	if tmp != nil {
		tmp.Discard()
		if err := r.cut.Rewind(); err != nil {
			return err
		}
		r.f.back(r.cut.Offset())
	}
	r.report(Event{Kind: EventWaiting, Path: r.was.Path, Rec: r.rec, Bytes: r.cut.Offset(), Size: r.was.Size,
		Text: "waiting for room in the spool; everything read so far is kept"})
	return r.waitRoom(ctx, room, why)
}

// say appends statements, with the open before the first ones. Errors: spool.ErrForked when what was said before stayed behind.
func (r *reading) say(ctx context.Context, entries ...spool.Entry) error {
	for {
		all := entries
		if !r.begun {
			open, err := r.open(ctx)
			if err != nil {
				discard(entries)
				return err
			}
			all = append([]spool.Entry{open}, entries...)
		}
		_, err := r.append(ctx, all...)
		if !r.begun && errors.Is(err, spool.ErrForked) {
			continue // with another intake
		}
		if err != nil {
			discard(entries)
			return fmt.Errorf("take in %q: %w", r.was.Path, err)
		}
		r.begun = true
		return nil
	}
}

func (r *reading) open(ctx context.Context) (spool.Entry, error) {
	intake, err := r.intakeSeq(ctx)
	open := &evidence.Open{ChunkSize: uint64(r.ChunkSize), Intake: intake, Mode: evidence.ModeImport, Source: r.src,
		MediaType: mediaType(string(r.src.RawName()), r.cut.Head())}
	if d := r.found.Docked; d != nil && d.Sequence != nil {
		open.Sequence = &evidence.Sequence{ID: *d.Sequence, Index: d.Index}
	}
	return spool.Entry{Rec: r.rec, Body: open, Origin: &r.was, Docked: r.found.Docked}, err
}

// end closes the recording: after the last entries, with a fault if something was wrong.
func (r *reading) end(ctx context.Context, entries []spool.Entry, why, detail string) error {
	if why == "" {
		why, detail = r.changedSince(r.f.f, r.was)
	}
	if why != "" && r.pulled(ctx, nil) {
		discard(entries)
		return ErrGone
	}
	if why == "" && r.cut.Offset() != r.was.Size {
		why, detail = evidence.WhyChanged, "it was cut while it was read"
	}
	for _, f := range r.f.faults() {
		entries = append(entries, spool.Entry{Rec: r.rec, Body: f})
	}
	ev := Event{Kind: EventTaken, Path: r.was.Path, Rec: r.rec, Bytes: r.cut.Offset(), Size: r.was.Size}
	if why != "" {
		at := r.cut.Offset()
		fault := &evidence.Fault{Why: why, Detail: detail, Offset: at, Size: r.was.Size - min(r.was.Size, at)}
		entries = append(entries, spool.Entry{Rec: r.rec, Body: fault})
		ev.Kind, ev.Text = EventFaulty, fmt.Sprintf("%s; the %d bytes that were read are kept and sealed; import it again once it is whole", detail, at)
	} else if why = evidence.WhyComplete; r.f.sum > 0 {
		why, detail = evidence.WhyReadError, fmt.Sprintf("%d bytes in %d places could not be read, the first at byte %d", r.f.sum, len(r.f.bad), r.f.bad[0].from)
		ev.Kind, ev.Text = EventFaulty, detail+"; zeros stand in their place, and the rest is kept and sealed"
	}
	entries = append(entries, spool.Entry{Rec: r.rec, Body: &evidence.Close{Chunks: r.cut.Index(), Hash: r.cut.Sum(), Size: r.cut.Offset(), Why: why}})
	if err := r.say(ctx, entries...); err != nil {
		return err
	}
	if ev.Kind == EventFaulty {
		r.Log.WarnContext(ctx, "recording closed as faulty", slog.String("path", string(r.was.Path)), slog.String("rec", r.rec.String()),
			slog.String("why", why), slog.String("detail", detail))
	}
	r.report(ev)
	return nil
}
