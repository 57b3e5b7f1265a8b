package uplink

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// upload sends the next chunk. It reports whether to go on.
func (u *Uplink) upload(ctx context.Context) bool {
	if u.device.wait(ctx) != nil || u.chunks.wait(ctx) != nil {
		return false
	}
	w, err := u.q.next(ctx)
	if err != nil {
		return false
	}
	defer u.q.off()
	if u.device.shut() || u.chunks.shut() { // another may be more urgent once they open
		u.q.again(w)
		return true
	}
	size, err := u.send(ctx, w)
	switch {
	case err == nil:
		u.cleared(ctx, "chunks", &u.chunks)
		u.q.done(w, size)
		u.consider(ctx, w.Rec)
	case ctx.Err() != nil:
		return false
	default:
		u.notSent(ctx, w, err)
	}
	return true
}

// send sends one chunk. Chunks that are not held any more are passed over.
func (u *Uplink) send(ctx context.Context, w transport.Wanted) (int64, error) {
	f, size, err := u.Spool.OpenChunk(w.Rec, w.Index)
	if errors.Is(err, spool.ErrNotFound) {
		return 0, u.missing(ctx, w)
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return size, u.Client.PutChunk(ctx, w, f, size)
}

// missing says what became of a chunk that has no file.
func (u *Uplink) missing(ctx context.Context, w transport.Wanted) error {
	r, err := u.Spool.Recording(w.Rec)
	switch {
	case errors.Is(err, spool.ErrNotFound):
		return nil // the server asks for what this device never had
	case err != nil:
		return err
	case slices.Contains(r.Absent, w.Index):
		return nil // the fault will tell the server
	case r.Gone || u.Spool.Forked(r):
		return nil // it is taken in again
	case w.Index < r.Covered:
		u.alarms.raise(ctx, Alarm{Key: "again " + w.Rec.String(),
			What: fmt.Sprintf("the server asks again for chunk %d of recording %s, for which it gave a stored receipt", w.Index, w.Rec),
			Kept: "the receipt is kept and proves that the vault had it", Do: "look at the server's vault now"})
		return nil
	}
	return u.Spool.DeclareLost(ctx, w.Rec, []uint64{w.Index}, "its file is gone from the spool")
}

// notSent decides what to do with a chunk that could not be sent.
func (u *Uplink) notSent(ctx context.Context, w transport.Wanted, err error) {
	var refusal *transport.Error
	switch {
	case errors.Is(err, spool.ErrDamaged):
		u.damaged(ctx, w, err.Error())
	case !errors.As(err, &refusal) || deviceWide(err):
		g := &u.chunks
		if deviceWide(err) {
			g = &u.device
		}
		u.failed(ctx, "chunks", g, err)
		u.q.again(w)
	case refusal.Code == transport.CodeWrongBytes:
		u.wrongBytes(ctx, w, refusal)
	case refusal.Code == transport.CodeUnknownChunk, refusal.Code == transport.CodeUnknownRec:
		u.forgotten()
		u.failed(ctx, "chunks", &u.chunks, err)
		u.park(ctx, w, refusal)
	case refusal.Final():
		u.park(ctx, w, refusal)
	default:
		u.failed(ctx, "chunks", &u.chunks, err)
		u.q.again(w)
	}
}

// park gives a recording up for a while; asking for its receipt brings its chunks back.
func (u *Uplink) park(ctx context.Context, w transport.Wanted, refusal *transport.Error) {
	key := "recording " + w.Rec.String()
	al, final := explain(key, u.Server, refusal)
	al.What = fmt.Sprintf("chunk %d of recording %s: %s", w.Index, w.Rec, al.What)
	u.alarms.raise(ctx, al)
	u.q.done(w, 0)
	u.q.drop(w.Rec)
	b := backoff{}
	u.after(ctx, b.next(final), func() { u.q.ask(w.Rec) })
}

// wrongBytes finds out whose fault it is that the server got other bytes than were sealed.
func (u *Uplink) wrongBytes(ctx context.Context, w transport.Wanted, refusal *transport.Error) {
	c, err := u.Spool.Chunk(w.Rec, w.Index)
	var got evidence.Digest
	if err == nil {
		got, err = u.rehash(w)
	}
	if errors.Is(err, spool.ErrDamaged) {
		u.damaged(ctx, w, err.Error())
		return
	}
	if err != nil || got == c.Hash {
		u.park(ctx, w, refusal)
		return
	}
	u.damaged(ctx, w, "its bytes in the spool were damaged: their SHA-256 is "+got.String())
}

// damaged declares a chunk lost whose bytes here are not those that were sealed.
func (u *Uplink) damaged(ctx context.Context, w transport.Wanted, detail string) {
	err := u.Spool.DeclareLost(ctx, w.Rec, []uint64{w.Index}, detail)
	if err != nil {
		u.Logger.ErrorContext(ctx, "a damaged chunk can't be declared", slog.String("rec", w.Rec.String()), slog.Uint64("chunk", w.Index), slog.Any("error", err))
		u.park(ctx, w, &transport.Error{Status: 422, Code: transport.CodeWrongBytes, Message: detail, Kept: "the other chunks are kept", Do: "replace this machine's disk"})
		return
	}
	u.alarms.raise(ctx, Alarm{Key: "lost " + w.Rec.String(),
		What: fmt.Sprintf("chunk %d of recording %s was damaged on this machine's disk", w.Index, w.Rec),
		Kept: "all other chunks are kept, the damaged file is in the spool's quarantine folder, and the chain says that it is lost",
		Do:   "import the file again if the recorder still has it, and replace this disk"})
	u.q.done(w, 0)
	u.consider(ctx, w.Rec)
}

func (u *Uplink) rehash(w transport.Wanted) (evidence.Digest, error) {
	f, _, err := u.Spool.OpenChunk(w.Rec, w.Index)
	if err != nil {
		return evidence.Digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return evidence.Digest{}, err
	}
	return evidence.Digest(h.Sum(nil)), nil
}
