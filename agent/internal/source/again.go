package source

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"camseal/agent/internal/segment"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// ErrBusy says that a recording's file is being taken in by somebody else now: try later.
var ErrBusy = errors.New("its file is being taken in just now")

// Again takes in again what is held of a recording that stayed behind when the chain went on elsewhere: as a new recording of the same
// source, chunk by chunk, each file gone only after its bytes are under a new statement. Where chunks are missing, one recording
// ends and the next begins. What the file itself was taken in for since, chunk by chunk, is not taken in twice. It can be repeated, after a
// crash too. A recording that did not stay behind is left alone. Errors: ErrBusy.
func (t *Taker) Again(ctx context.Context, id evidence.RecordingID) error {
	rec, err := t.Spool.Recording(id)
	if err != nil || !t.Spool.Forked(rec) || rec.Gone {
		return err
	}
	if !rec.From.IsZero() { // a try that stayed behind itself is part of what it took in
		if parent, err := t.Spool.Recording(rec.From); err != nil || !parent.Gone {
			return errors.Join(err, t.Again(ctx, rec.From))
		}
	}
	if rec.Mode == evidence.ModeCapture {
		return t.againCaptured(ctx, rec)
	}
	release, other := t.tryClaim(spool.Identity(rec.Source))
	if other == nil {
		defer release()
	}
	a := &again{Taker: t, old: rec, held: []spool.Recording{rec}}
	if err := t.Spool.Pending(ctx, func(p spool.Recording) bool {
		if p.From == id && t.Spool.Forked(p) {
			a.held = append(a.held, p)
		}
		return true
	}); err != nil {
		return err
	}
	open, err := a.dropTwins()
	if err != nil {
		return err
	}
	if other != nil || open {
		return ErrBusy
	}
	if err := a.all(ctx); err != nil {
		return fmt.Errorf("take in %s again: %w", id, err)
	}
	for _, h := range slices.Backward(a.held) {
		if err := t.Spool.Leave(h.ID, a.twin); err != nil {
			return err
		}
	}
	return nil
}

// again is one recording on its way.
type again struct {
	*Taker
	old  spool.Recording
	held []spool.Recording    // old, and tries to take it in again that stayed behind themselves
	twin evidence.RecordingID // the same file, sound, under another recording; zeros: none
	rec  evidence.RecordingID // the new one; zeros: none is open
	at   uint64               // the first chunk of the old one that it holds
	cut  *segment.Cutter
}

// first is where in the old recording the first chunk of one that is held belongs.
func (a *again) first(h spool.Recording) uint64 {
	if h.ID == a.old.ID {
		return 0
	}
	return h.FromAt
}

// dropTwins gives up chunks that are under a statement of another recording of the same file. open says that one of these is still being
// read.
func (a *again) dropTwins() (open bool, err error) {
	others, err := a.Spool.Known(a.old.Source)
	if err != nil {
		return false, err
	}
	for _, c := range others {
		if c.ChunkSize != a.old.ChunkSize || !c.From.IsZero() {
			continue
		}
		open = open || !c.Closed
		if c.Sound() {
			a.twin = c.ID
		}
		for _, h := range a.held {
			if err := a.dropTwin(h, c); err != nil {
				return open, err
			}
		}
	}
	return open, nil
}

func (a *again) dropTwin(h, twin spool.Recording) error {
	first := a.first(h)
	for i := range h.Next {
		if first+i >= twin.Next || slices.Contains(twin.Absent, first+i) {
			return nil
		}
		ours, err1 := a.Spool.Chunk(h.ID, i)
		theirs, err2 := a.Spool.Chunk(twin.ID, first+i)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if ours.Hash != theirs.Hash {
			return nil
		}
		if err := a.Spool.Drop(h.ID, i); err != nil {
			return err
		}
	}
	return nil
}

// all takes in what is held, from where an earlier try came to.
func (a *again) all(ctx context.Context) error {
	var i uint64
	if !a.old.Again.IsZero() {
		m, err := a.Spool.Recording(a.old.Again)
		if err != nil {
			return err
		}
		if !m.Closed && !a.Spool.Forked(m) {
			a.rec, a.at, i = m.ID, m.FromAt, m.FromAt+m.Next
			if a.cut, err = segment.Resume(int64(m.ChunkSize), m.Next, m.Offset, m.HashState); err != nil {
				return err
			}
		}
	}
	for ; i < a.old.Next; i++ {
		if err := a.chunk(ctx, i); err != nil {
			return err
		}
	}
	if a.old.Next == 0 && a.old.Again.IsZero() && a.twin.IsZero() { // a file without bytes
		if err := a.begin(ctx, 0); err != nil {
			return err
		}
	}
	return a.end(ctx, a.old.Next)
}

// find opens the bytes of a chunk of the old recording, and says where they lie. Errors: spool.ErrNotFound.
func (a *again) find(i uint64) (in io.ReadCloser, rec evidence.RecordingID, index uint64, err error) {
	err = spool.ErrNotFound
	for _, h := range a.held {
		first := a.first(h)
		if i < first || i >= first+h.Next {
			continue
		}
		rec, index = h.ID, i-first
		if in, _, err = a.Spool.OpenChunk(rec, index); !errors.Is(err, spool.ErrNotFound) {
			return in, rec, index, err
		}
	}
	return nil, rec, index, err
}

// chunk takes one chunk in, or ends the recording where there is none.
func (a *again) chunk(ctx context.Context, i uint64) error {
	was, err := a.Spool.Chunk(a.old.ID, i)
	if err != nil {
		return err
	}
	in, rec, index, err := a.find(i)
	if errors.Is(err, spool.ErrNotFound) {
		return a.end(ctx, i)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if a.rec.IsZero() {
		if err := a.begin(ctx, i); err != nil {
			return err
		}
	}
	size := int64(was.Size)
	tmp, err := a.Spool.TempAgain(a.rec, i-a.at, size)
	if err != nil {
		return err
	}
	defer tmp.Discard()
	before, err := a.cut.State()
	if err != nil {
		return err
	}
	c, err := a.cut.Next(ctx, in, size, tmp)
	if errors.Is(err, spool.ErrDamaged) || err == nil && c.Hash != was.Hash {
		a.Log.ErrorContext(ctx, "a chunk was damaged on this machine's disk and can't be taken in again; its file stays",
			slog.String("rec", rec.String()), slog.Uint64("chunk", index))
		if a.cut, err = segment.Resume(int64(a.old.ChunkSize), i-a.at, a.cut.Offset()-c.Size, before); err != nil {
			return err
		}
		return a.end(ctx, i)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	state, err := a.cut.State()
	if err != nil {
		return err
	}
	if _, err := a.append(ctx, spool.Entry{Rec: a.rec, Body: &c, File: tmp, HashState: state}); err != nil {
		return err
	}
	return a.Spool.Drop(rec, index)
}

// begin opens a new recording from chunk i on.
func (a *again) begin(ctx context.Context, i uint64) error {
	if a.Anchor != nil {
		a.Anchor(ctx)
	}
	intake, err := a.takeCount(ctx, evidence.Intake{Recorder: a.old.Source.Serial, Slot: "again"})
	if err != nil {
		return err
	}
	if _, err := rand.Read(a.rec[:]); err != nil {
		return err
	}
	entry := spool.Entry{Rec: a.rec, Again: &spool.Again{Rec: a.old.ID, At: i}, Docked: a.old.Docked, Body: &evidence.Open{ChunkSize: a.old.ChunkSize, Intake: intake,
		Mode: evidence.ModeImport, Source: a.old.Source, MediaType: a.old.MediaType}}
	if a.whole(i, a.old.Next) {
		entry.Origin = &a.old.Origin // so that the file is recognised
	}
	a.at, a.cut = i, segment.New(int64(a.old.ChunkSize))
	_, err = a.append(ctx, entry)
	return err
}

// whole reports whether the chunks from one on to before another are all of the source.
func (a *again) whole(from, to uint64) bool {
	return from == 0 && to == a.old.Next && a.old.Closed && a.old.Why == evidence.WhyComplete
}

// end closes the new recording, which reaches up to before chunk i of the old one.
func (a *again) end(ctx context.Context, i uint64) error {
	if a.rec.IsZero() {
		return nil
	}
	closing := &evidence.Close{Chunks: a.cut.Index(), Hash: a.cut.Sum(), Size: a.cut.Offset(), Why: evidence.WhyComplete}
	var entries []spool.Entry
	if !a.whole(a.at, i) || closing.Hash != a.old.Hash {
		closing.Why = evidence.WhyInterrupted
		entries = append(entries, spool.Entry{Rec: a.rec, Body: &evidence.Fault{Why: evidence.WhyInterrupted, Size: a.old.Source.Size - min(a.old.Source.Size, closing.Size),
			Detail: fmt.Sprintf("this is what was held, from chunk %d on, of recording %s, behind which the chain went on elsewhere", a.at, a.old.ID)}})
	}
	_, err := a.append(ctx, append(entries, spool.Entry{Rec: a.rec, Body: closing})...)
	a.rec = evidence.RecordingID{}
	return err
}
