package dock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/tlog"
)

// erasing is where the intent to have a recording erased is kept until its release statement is in the chain.
const erasing = "erasing/"

// eraseAll has released what is stored, recording by recording, until all of it is or the recorder is pulled out. What the bridge refuses
// stays on the recorder, and a person is told.
func (k *docking) eraseAll() {
	k.finishErasing(k.whole, k.bridge) // what an earlier docking left uncertain
	for {
		spooled := k.Spool.Changed()
		k.look(k.ctx)
		k.Dock.mu.Lock()
		changed := k.changed
		var due []evidence.RecordingID
		waiting := false
		for _, id := range k.recs {
			switch p := k.state[id]; {
			case p.released, p.refused, p.faulty:
			case p.stored:
				due = append(due, id)
			default:
				waiting = true
			}
		}
		k.Dock.mu.Unlock()
		for _, id := range due {
			if k.ctx.Err() != nil {
				return
			}
			if err := k.erase(id); err != nil {
				if k.ctx.Err() == nil {
					k.keep(id, err)
				}
			}
		}
		if !waiting {
			return
		}
		select {
		case <-k.ctx.Done():
			return
		case <-spooled:
		case <-changed:
		}
	}
}

// keep notes that a file stays on the recorder.
func (k *docking) keep(id evidence.RecordingID, err error) {
	why := err.Error()
	var refusal *handoff.Error
	if errors.As(err, &refusal) {
		why = refusal.Message
	}
	k.Logger.WarnContext(k.ctx, "a file is stored and stays on the recorder", slog.String("rec", id.String()), slog.String("why", why))
	k.Dock.mu.Lock()
	defer k.Dock.mu.Unlock()
	k.state[id].refused = true
	k.kept++
	k.change()
}

func (k *docking) erase(id evidence.RecordingID) error {
	r, err := k.newest(id)
	if err != nil || r.Released {
		return err
	}
	if !r.Sound() {
		return errors.New("it was taken in as faulty; a person must look at it before the recorder's copy goes")
	}
	// Not in k.ctx: a recorder may be gone the moment its last file is, and what was erased must be said all the same.
	err = k.release(k.whole, k.bridge, r)
	if errors.Is(err, errNotThere) {
		return errors.New("it is not on the recorder any more, and not by a permit of ours")
	}
	if err != nil {
		return err
	}
	k.Dock.mu.Lock()
	defer k.Dock.mu.Unlock()
	k.state[id].released = true
	k.change()
	return nil
}

// errNotThere says that the bridge neither finds the file nor erased it.
var errNotThere = errors.New("the file is not there")

// release has the recorder's copy erased and says so in the chain. It can be repeated, and done twice at once: the bridge remembers what it
// erased, and the chain says it once.
func (d *Dock) release(ctx context.Context, b *bridge, r spool.Recording) error {
	receipt, err := d.permit(r)
	if err != nil {
		return err
	}
	name := erasing + r.ID.String()
	if err := d.Spool.Keep(name, []byte{1}); err != nil {
		return err
	}
	erased, err := d.ask(ctx, b, r, receipt)
	var refusal *handoff.Error
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case handoff.CodeNoFile:
			return errors.Join(errNotThere, d.Spool.Keep(name, nil))
		case handoff.CodeChanged, handoff.CodeBadRequest:
			return errors.Join(err, d.Spool.Keep(name, nil))
		}
		return err // it may have been erased, now or before: asked again when the bridge can tell
	}
	if err != nil {
		return err
	}
	if erased.Hash != r.Hash {
		return fmt.Errorf("the bridge says that it erased other bytes (%s)", erased.Hash)
	}
	d.releaseMu.Lock()
	defer d.releaseMu.Unlock()
	if r, err = d.Spool.Recording(r.ID); err != nil || r.Released {
		return err
	}
	if _, err := d.Spool.Append(ctx, spool.Entry{Rec: r.ID, Body: &evidence.Release{Erased: erased.Hash, Permit: erased.Permit}}); err != nil {
		return err
	}
	d.Logger.InfoContext(ctx, "released from the recorder on its permit", slog.String("rec", r.ID.String()))
	return d.Spool.Keep(name, nil)
}

// permit returns the newest receipt that covers the whole recording.
func (d *Dock) permit(r spool.Recording) (tlog.Receipt, error) {
	all, err := d.Spool.StoredReceipts(r.ID)
	if err != nil {
		return tlog.Receipt{}, err
	}
	if len(all) == 0 {
		return tlog.Receipt{}, errors.New("there is no stored receipt")
	}
	return all[len(all)-1], nil
}

// ask asks the bridge. If it wants a better receipt than the one at hand (more witnesses, a longer lock), the server is asked for its newest, once.
func (d *Dock) ask(ctx context.Context, b *bridge, r spool.Recording, receipt tlog.Receipt) (handoff.Erased, error) {
	statements := func(line func([]byte) error) error { return d.Spool.StatementsOf(r.ID, line) }
	erased, err := b.erase(ctx, handoff.Permit{Leaf: receipt.Leaf, Proof: receipt.Proof}, statements)
	var refusal *handoff.Error
	if d.Server == nil || !errors.As(err, &refusal) || refusal.Code != handoff.CodeBadPermit {
		return erased, err
	}
	answer, errAsk := d.Server.AskStored(ctx, r.ID)
	if errAsk != nil {
		return erased, errors.Join(err, errAsk)
	}
	better, errAsk := spool.VerifyStored(answer.Receipt.Tlog(), d.Log)
	if errAsk == nil {
		errAsk = d.Spool.Release(ctx, better)
	}
	if errAsk != nil {
		return erased, errors.Join(err, errAsk)
	}
	return b.erase(ctx, handoff.Permit{Leaf: answer.Receipt.Leaf, Proof: answer.Receipt.Proof}, statements)
}

// finishErasing says the release statements that a crash kept from being said.
func (d *Dock) finishErasing(ctx context.Context, b *bridge) {
	names, err := d.Spool.AllKept(erasing)
	for _, name := range names {
		if err != nil || ctx.Err() != nil {
			break
		}
		var id evidence.RecordingID
		if id, err = evidence.ParseRecordingID(name); err != nil {
			break
		}
		var r spool.Recording
		if r, err = d.Spool.Recording(id); err == nil && !r.Released {
			if e := d.release(ctx, b, r); e != nil {
				d.Logger.InfoContext(ctx, "whether a file was released is not known yet", slog.String("rec", name), slog.Any("error", e))
			}
		} else if err == nil {
			err = d.Spool.Keep(erasing+name, nil)
		}
	}
	if err != nil && ctx.Err() == nil {
		d.Logger.ErrorContext(ctx, "what was being released can't be looked up", slog.Any("error", err))
	}
}
