package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// consider asks for a stored receipt when it is time: the recording is closed and nothing of it is queued; or it grows and its turn has come;
// or much of it was sent; or the spool needs room.
func (u *Uplink) consider(ctx context.Context, id evidence.RecordingID) {
	r, err := u.Spool.Recording(id)
	if err != nil || r.Done {
		return
	}
	st := u.q.standing(id)
	queued := st.count > 0
	u.mu.Lock()
	forked := u.Spool.Forked(r)
	told := u.synced && (forked || r.Last < u.next)
	u.mu.Unlock()
	switch {
	case !queued && (st.cut || told && (r.Closed || forked)):
		u.q.wantsMore(id, false)
		u.q.ask(id)
	case st.bytes == 0, queued && st.newest: // the newest of it went first: what the server has of its beginning has not grown
	case st.captured:
		u.inTurn(ctx, id)
	default:
		tight, held, err := u.tight()
		covered := int64(r.Offset - min(r.Offset, r.HeldBytes))
		if !queued && (err == nil && tight || st.bytes > max(minAsk, covered/8)) || err == nil && tight && st.bytes > held/4 {
			u.q.ask(id)
		}
	}
}

// inTurn asks for a recording that grows, now or when it may be asked for again.
func (u *Uplink) inTurn(ctx context.Context, id evidence.RecordingID) {
	wait, mine := u.q.turn(id, u.Now())
	if wait <= 0 {
		u.q.ask(id)
	} else if mine {
		u.after(ctx, wait, func() {
			u.q.turned(id)
			u.consider(ctx, id)
		})
	}
}

// scan asks for all recordings that the server should know, at the start and whenever the list of what a batch made it want was cut.
func (u *Uplink) scan(ctx context.Context) {
	for {
		changed := u.Spool.Changed()
		idle, queue := u.q.idle()
		u.mu.Lock()
		due, next := u.synced && u.rescan && idle, u.next
		if due {
			u.rescan = false
		}
		u.mu.Unlock()
		if due {
			err := u.Spool.Pending(ctx, func(r spool.Recording) bool {
				if r.OpenSeq < next && r.Next > r.Covered || r.Closed && r.Last < next || u.Spool.Forked(r) {
					u.q.ask(r.ID)
				}
				return true
			})
			if err != nil && ctx.Err() == nil {
				u.Logger.ErrorContext(ctx, "pending recordings can't be listed", slog.Any("error", err))
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-queue:
		}
	}
}

// receipts asks for stored receipts, one after the other.
func (u *Uplink) receipts(ctx context.Context) {
	for {
		id, err := u.q.nextAsk(ctx)
		if err != nil {
			return
		}
		if u.device.wait(ctx) != nil || u.asks.wait(ctx) != nil {
			return
		}
		again, stored := u.askStored(ctx, id)
		if more := u.q.asked(id, stored); more || again {
			u.q.ask(id)
		}
		if stored {
			u.consider(ctx, id)
		}
	}
}

// askStored asks once. again says that the same question is to be put once more.
func (u *Uplink) askStored(ctx context.Context, id evidence.RecordingID) (again, stored bool) {
	r, err := u.Spool.Recording(id)
	if err == nil && (r.Done || r.Gone) {
		return false, false
	}
	forked := err == nil && u.Spool.Forked(r)
	key := "recording " + id.String()
	answer, err := u.Client.AskStored(ctx, id)
	var refusal *transport.Error
	switch {
	case ctx.Err() != nil:
		return false, false
	case err == nil && forked:
		return false, u.releaseForked(ctx, id, answer)
	case err == nil:
		stored = u.release(ctx, key, id, answer)
		return stored && u.unknown(r), stored
	case errors.As(err, &refusal) && refusal.Code == transport.CodeMissing && (!forked || u.holds(refusal.Wanted)):
		u.asks.ok()
		return u.wantedAgain(ctx, id, refusal.Wanted), false
	case forked && refusal != nil && (refusal.Code == transport.CodeMissing || refusal.Code == transport.CodeUnknownRec || refusal.Final() && !deviceWide(err)):
		u.again(ctx, id) // the server does not know it, or can't have the whole of it
		return false, false
	case errors.As(err, &refusal) && refusal.Code == transport.CodeUnknownRec:
		u.forgotten()
		u.failed(ctx, "receipts", &u.asks, err)
		return true, false
	case deviceWide(err):
		u.failed(ctx, "receipts", &u.device, err)
		return true, false
	case refusal != nil && refusal.Final():
		al, _ := explain(key, u.Server, err)
		al.What = fmt.Sprintf("no receipt for recording %s: %s", id, al.What)
		u.alarms.raise(ctx, al)
		u.retry(ctx, id)
		return false, false
	}
	u.failed(ctx, "receipts", &u.asks, err)
	return true, false
}

// releaseForked acts on a receipt for a recording that stayed behind: if the server has stored the whole of it, as it was made here,
// nothing needs to be taken in again.
func (u *Uplink) releaseForked(ctx context.Context, id evidence.RecordingID, answer transport.Stored) bool {
	receipt, err := spool.VerifyStored(answer.Receipt.Tlog(), u.Log)
	if err == nil && (receipt.Leaf().Rec != id || receipt.Leaf().Close == nil) {
		err = errors.New("it is not about the whole")
	}
	if err == nil {
		err = u.Spool.Release(ctx, receipt)
	}
	if err != nil {
		u.Logger.InfoContext(ctx, "the server has not the whole of a recording that stayed behind; what is held is taken in again", slog.String("rec", id.String()), slog.Any("why", err))
	}
	if r, errRec := u.Spool.Recording(id); errRec == nil && !r.Done {
		u.again(ctx, id)
	}
	return err == nil
}

// holds reports whether any of these chunks is held.
func (u *Uplink) holds(wanted []transport.Wanted) bool {
	return slices.ContainsFunc(wanted, func(w transport.Wanted) bool {
		f, _, err := u.Spool.OpenChunk(w.Rec, w.Index)
		return err == nil && f.Close() == nil
	})
}

// wantedAgain queues what the server lacks. It reports whether to ask once more: nothing that it lacks is held here.
func (u *Uplink) wantedAgain(ctx context.Context, id evidence.RecordingID, wanted []transport.Wanted) (again bool) {
	if len(wanted) == 0 {
		u.retry(ctx, id)
		return false
	}
	if len(wanted) >= transport.MaxWanted {
		u.q.wantsMore(id, true)
	}
	u.q.want(wanted)
	return false
}

// unknown reports whether the server was told of chunks that it has not confirmed, of which it is not known here whether it wants them, and has
// confirmed more than before, when the recording was so.
func (u *Uplink) unknown(before spool.Recording) bool {
	r, err := u.Spool.Recording(before.ID)
	if err != nil || r.Done || r.Covered == before.Covered || r.Covered == r.Next || u.q.standing(r.ID).count > 0 {
		return false
	}
	c, err := u.Spool.Chunk(r.ID, r.Covered)
	u.mu.Lock()
	defer u.mu.Unlock()
	return err == nil && u.synced && c.Seq < u.next
}

// retry asks again much later.
func (u *Uplink) retry(ctx context.Context, id evidence.RecordingID) {
	b := backoff{}
	u.after(ctx, b.next(true), func() { u.q.ask(id) })
}

// release checks a stored receipt and lets the spool act on it.
func (u *Uplink) release(ctx context.Context, key string, id evidence.RecordingID, answer transport.Stored) bool {
	receipt, err := spool.VerifyStored(answer.Receipt.Tlog(), u.Log)
	if err == nil && receipt.Leaf().Rec != id {
		err = errors.New("it is about another recording")
	}
	if err == nil {
		err = u.Spool.Release(ctx, receipt)
	}
	if err != nil {
		if ctx.Err() == nil {
			u.alarms.raise(ctx, Alarm{Key: key, What: fmt.Sprintf("the stored receipt for recording %s frees nothing: %v", id, err),
				Kept: "all of it is kept here", Do: "look at the server: its log key, its vault and its clock"})
			u.retry(ctx, id)
		}
		return false
	}
	u.cleared(ctx, "receipts", &u.asks)
	u.alarms.clear(ctx, key)
	u.mu.Lock()
	u.receipt = u.Now()
	u.mu.Unlock()
	leaf := receipt.Leaf()
	if leaf.Close != nil {
		u.q.forget(id)
	}
	u.Logger.InfoContext(ctx, "stored receipt checked", slog.String("rec", id.String()), slog.Uint64("chunks", leaf.Chunks),
		slog.Bool("whole", leaf.Close != nil), slog.String("lock", string(leaf.Lock)))
	return true
}
