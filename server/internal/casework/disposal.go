package casework

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// MayDispose says whether a recording may be disposed of now, whoever asks: nil or a *Refusal.
func (r *Retention) MayDispose(ctx context.Context, row db.Recording) error {
	k, err := catalog.KeyOf(row.Device, row.Rec)
	if err != nil {
		return err
	}
	until, err := r.KeptUntil(ctx, row)
	switch {
	case err != nil:
		return err
	case r.Disposer == nil:
		return &Refusal{"dispose-no-rights"}
	case !row.StoredIndex.Valid:
		return &Refusal{"dispose-not-stored"}
	case until > r.Now().UnixMilli():
		return &Refusal{"dispose-kept"}
	}
	return r.keepers(ctx, k)
}

// Propose proposes a recording for disposal. Somebody else has to confirm it.
func (r *Retention) Propose(ctx context.Context, by auth.Account, rec evidence.RecordingID, reason string) error {
	r.acts.Lock()
	defer r.acts.Unlock()
	reason = strings.TrimSpace(reason)
	switch {
	case !by.May(auth.Dispose):
		return &Refusal{"dispose-role"}
	case reason == "" || len(reason) > maxReason || !utf8.ValidString(reason):
		return &Refusal{"dispose-reason"}
	}
	row, err := r.Catalog.FindRecording(ctx, rec)
	if err != nil {
		return err
	}
	k, err := catalog.KeyOf(row.Device, row.Rec)
	if err != nil {
		return err
	}
	if _, err := r.Catalog.Disposal(ctx, k); !errors.Is(err, catalog.ErrUnknown) {
		return errors.Join(&Refusal{"dispose-proposed"}, err)
	}
	if err := r.MayDispose(ctx, row); err != nil {
		return err
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	_, err = r.Book.Record(ctx, Act{Name: catalog.ActDisposalProposed, Actor: by.Actor(), Device: &k.Device, Rec: k.Rec, Detail: evidence.Detail{
		catalog.DetailAccount: by.ID, catalog.DetailReason: reason, catalog.DetailName: row.Name, catalog.DetailHash: row.Hash,
		catalog.DetailSize: number(row.Size), catalog.DetailChunks: number(row.Chunks), catalog.DetailOpened: number(row.OpenedAt),
		catalog.DetailLastSeq: number(row.LastSeq), catalog.DetailStored: number(row.StoredIndex.Int64)}})
	return err
}

// proposal returns what is proposed for a recording and still open.
func (r *Retention) proposal(ctx context.Context, rec evidence.RecordingID) (db.Disposal, catalog.RecordingKey, error) {
	d, err := r.Catalog.FindDisposal(ctx, rec)
	if errors.Is(err, catalog.ErrUnknown) || err == nil && d.State != catalog.DisposalProposed {
		return d, catalog.RecordingKey{}, &Refusal{"dispose-no-proposal"}
	}
	if err != nil {
		return d, catalog.RecordingKey{}, err
	}
	k, err := catalog.KeyOf(d.Device, d.Rec)
	return d, k, err
}

// Withdraw takes a proposal back.
func (r *Retention) Withdraw(ctx context.Context, by auth.Account, rec evidence.RecordingID) error {
	r.acts.Lock()
	defer r.acts.Unlock()
	if !by.May(auth.Dispose) {
		return &Refusal{"dispose-role"}
	}
	_, k, err := r.proposal(ctx, rec)
	if err != nil {
		return err
	}
	_, err = r.Book.Record(ctx, Act{Name: catalog.ActDisposalWithdrawn, Actor: by.Actor(), Device: &k.Device, Rec: k.Rec,
		Detail: evidence.Detail{catalog.DetailAccount: by.ID}})
	return err
}

// MayConfirm says whether somebody may confirm a proposal now: nil or a *Refusal.
func (r *Retention) MayConfirm(ctx context.Context, by auth.Account, d db.Disposal) error {
	k, err := catalog.KeyOf(d.Device, d.Rec)
	if err != nil {
		return err
	}
	row, err := r.Catalog.Recording(ctx, k.Device, k.Rec)
	switch {
	case err != nil:
		return err
	case !by.May(auth.Dispose):
		return &Refusal{"dispose-role"}
	case by.ID == d.ProposedAccount:
		return &Refusal{"dispose-same"}
	case row.LastSeq != d.LastSeq || row.StoredIndex.Int64 != d.StoredIndex:
		return &Refusal{"dispose-newer"}
	}
	return r.MayDispose(ctx, row)
}

// Confirm confirms a disposal that somebody else proposed. From then on the recording is gone from the catalog, and its objects are removed.
func (r *Retention) Confirm(ctx context.Context, by auth.Account, rec evidence.RecordingID) error {
	r.acts.Lock()
	defer r.acts.Unlock()
	d, k, err := r.proposal(ctx, rec)
	if err != nil {
		return err
	}
	if err := r.MayConfirm(ctx, by, d); err != nil {
		return err
	}
	row, err := r.Catalog.Recording(ctx, k.Device, k.Rec)
	if err != nil {
		return err
	}
	detail := evidence.Detail{catalog.DetailAccount: by.ID, catalog.DetailOpenSeq: strconv.FormatInt(row.OpenSeq, 10),
		catalog.DetailOpened: strconv.FormatInt(row.OpenedAt, 10), catalog.DetailProposedBy: d.ProposedBy}
	counted, err := r.Catalog.CountedAt(ctx, k.Device, uint64(row.OpenSeq))
	if err == nil {
		detail[catalog.DetailValue] = counted.Value
	} else if !errors.Is(err, catalog.ErrUnknown) {
		return err
	}
	objects, size := 0, int64(0)
	for held, err := range r.Vault.List(ctx, archive.RecordingPrefix(k.Device, k.Rec)) {
		if err != nil {
			return err
		}
		objects, size = objects+1, size+held.Size
	}
	detail[catalog.DetailObjects], detail[catalog.DetailBytes] = strconv.Itoa(objects), strconv.FormatInt(size, 10)
	_, err = r.Book.Record(ctx, Act{Name: catalog.ActDisposalConfirmed, Actor: by.Actor(), Device: &k.Device, Rec: k.Rec, Detail: detail})
	r.Wake()
	return err
}

// remove removes the objects of a recording whose disposal was confirmed, then says so in the log. It is safe to redo: what a former run
// removed is found removed. A hold stops it.
func (r *Retention) remove(ctx context.Context, d db.Disposal) error {
	k, err := catalog.KeyOf(d.Device, d.Rec)
	if err != nil {
		return err
	}
	held, err := r.Catalog.HeldBy(ctx, k.Device, k.Rec)
	switch {
	case err != nil:
		return err
	case len(held) > 0:
		return &Refusal{"dispose-held"}
	case r.Disposer == nil:
		return &Refusal{"dispose-no-rights"}
	}
	if err := r.keepWhy(ctx, k, d); err != nil {
		return err
	}
	kept, keptBytes, until := int64(0), int64(0), int64(0)
	for held, err := range r.Vault.List(ctx, archive.RecordingPrefix(k.Device, k.Rec)) {
		if err != nil {
			return err
		}
		err := r.Disposer.Dispose(ctx, held.Key, r.Now())
		var locked *archive.Locked
		if errors.As(err, &locked) {
			kept, keptBytes, until = kept+1, keptBytes+held.Size, max(until, locked.Until.UnixMilli())
			continue
		}
		if err != nil {
			return err
		}
	}
	if d.State == catalog.DisposalDone && kept == d.Kept {
		return nil
	}
	number := func(n int64) string { return strconv.FormatInt(max(n, 0), 10) }
	_, err = r.Book.Record(ctx, Act{Name: catalog.ActDisposed, Actor: "camseal-server", Device: &k.Device, Rec: k.Rec, Detail: evidence.Detail{
		catalog.DetailObjects: number(d.Total - kept), catalog.DetailBytes: number(d.TotalBytes - keptBytes), catalog.DetailKept: number(kept),
		catalog.DetailKeptUntil: number(until), catalog.DetailHash: d.Hash, catalog.DetailStored: number(d.StoredIndex),
		catalog.DetailProposedBy: d.ProposedBy, catalog.DetailConfirmed: d.ConfirmedBy}})
	return err
}

// keepWhy puts a copy of the confirmation where whoever applies the log anew finds it once the recording's statements are gone.
func (r *Retention) keepWhy(ctx context.Context, k catalog.RecordingKey, d db.Disposal) error {
	hash, err := parsed(d.ConfirmedEvent)
	if err != nil {
		return err
	}
	raw, err := archive.Read(ctx, r.Vault, archive.Ref{Key: archive.CustodyKey(hash), Hash: hash}, evidence.MaxLine)
	if err != nil {
		return err
	}
	_, err = r.Vault.Put(ctx, archive.Object{Key: archive.DisposalKey(k.Device, k.Rec, hash), Hash: hash, Size: int64(len(raw)), Until: r.Book.Until()},
		bytes.NewReader(raw))
	return err
}
