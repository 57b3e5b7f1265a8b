package source

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"camseal/agent/internal/segment"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// maxAgain is how many bytes of segments are taken in again as one recording.
const maxAgain = 32 << 20

// againCaptured takes in again what is held of a captured recording. Its segments have no one size, as an import's chunks must, so some segments at a
// time become an import of one chunk, with the file's beginning ahead of them: a file that plays. It can be repeated.
func (t *Taker) againCaptured(ctx context.Context, old spool.Recording) error {
	release, other := t.tryClaim(spool.Identity(old.Source))
	if other != nil {
		return ErrBusy
	}
	defer release()
	init, err := t.initOf(old)
	if err != nil {
		return err
	}
	from := old.Covered
	if !old.Again.IsZero() {
		m, err := t.Spool.Recording(old.Again)
		if err != nil {
			return err
		}
		from = m.FromTo
	}
	for from < old.Next {
		if from, err = t.someAgain(ctx, old, init, from); err != nil {
			return fmt.Errorf("take in %s again: %w", old.ID, err)
		}
	}
	return t.Spool.Leave(old.ID, evidence.RecordingID{})
}

// initOf returns what a captured recording begins with; nothing if that is not here any more.
func (t *Taker) initOf(old spool.Recording) ([]byte, error) {
	b, err := t.Spool.Kept(spool.InitName(old.ID))
	if !errors.Is(err, spool.ErrNotFound) {
		return b, err
	}
	f, _, err := t.Spool.OpenChunk(old.ID, 0)
	if errors.Is(err, spool.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// someAgain takes in some segments from one on, and returns where the next ones begin. Those that are not held are passed over, and so are damaged
// ones, whose files stay.
func (t *Taker) someAgain(ctx context.Context, old spool.Recording, init []byte, from uint64) (to uint64, err error) {
	for limit := int64(maxAgain); ; limit = 0 {
		from, to, err = t.heldFrom(old, from, limit)
		if err != nil || from == to {
			return to, err
		}
		switch err := t.sayAgain(ctx, old, init, from, to); {
		case !errors.Is(err, spool.ErrDamaged):
			return to, err
		case to == from+1:
			t.Log.ErrorContext(ctx, "a segment was damaged on this machine's disk and can't be taken in again; its file stays",
				slog.String("rec", old.ID.String()), slog.Uint64("chunk", from))
			return to, nil
		}
	}
}

// heldFrom returns the next segments that are held: at least one, and more up to limit bytes.
func (t *Taker) heldFrom(old spool.Recording, at uint64, limit int64) (from, to uint64, err error) {
	from, size := at, int64(0)
	for to = at; to < old.Next; to++ {
		f, n, err := t.Spool.OpenChunk(old.ID, to)
		if errors.Is(err, spool.ErrNotFound) {
			if size == 0 {
				from = to + 1
				continue
			}
			break
		}
		if err != nil {
			return at, at, err
		}
		if err := f.Close(); err != nil {
			return at, at, err
		}
		if size > 0 && size+n > limit {
			break
		}
		size += n
	}
	return from, to, nil
}

// sayAgain takes in the segments from one up to before another as one chunk, and lets the old files go.
func (t *Taker) sayAgain(ctx context.Context, old spool.Recording, init []byte, from, to uint64) error {
	if t.Anchor != nil {
		t.Anchor(ctx)
	}
	intake, err := t.takeCount(ctx, evidence.Intake{Recorder: old.Source.Serial, Slot: "again"})
	if err != nil {
		return err
	}
	var id evidence.RecordingID
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	readers, size := []io.Reader{bytes.NewReader(init)}, int64(len(init))
	for i := max(from, 1); i < to; i++ { // chunk 0 is init
		f, n, err := t.Spool.OpenChunk(old.ID, i)
		if err != nil {
			return err
		}
		defer f.Close()
		readers, size = append(readers, f), size+n
	}
	tmp, err := t.Spool.TempAgain(id, 0, size)
	if err != nil {
		return err
	}
	defer tmp.Discard()
	cut := segment.New(size)
	c, err := cut.Next(ctx, io.MultiReader(readers...), size, tmp)
	if err != nil {
		return err
	}
	_, err = t.append(ctx, spool.Entry{Rec: id, Again: &spool.Again{Rec: old.ID, At: from, To: to}, Docked: old.Docked,
		Body: &evidence.Open{ChunkSize: uint64(size), Intake: intake, Mode: evidence.ModeImport, Source: old.Source, MediaType: old.MediaType, Continues: &old.ID}},
		spool.Entry{Rec: id, Body: &c, File: tmp},
		spool.Entry{Rec: id, Body: &evidence.Fault{Why: evidence.WhyInterrupted,
			Detail: fmt.Sprintf("these are segments %d to %d of recording %s, behind which the chain went on elsewhere", from, to-1, old.ID)}},
		spool.Entry{Rec: id, Body: &evidence.Close{Chunks: 1, Hash: cut.Sum(), Size: cut.Offset(), Why: evidence.WhyInterrupted}})
	if err != nil {
		return err
	}
	for i := from; i < to; i++ {
		if err := t.Spool.Drop(old.ID, i); err != nil {
			return err
		}
	}
	return nil
}
