package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// Custody events about derived copies. Both name device and recording.
const (
	ActDerivedAsked = "derived-asked" // somebody wants a copy that browsers can play
	ActDerivedMade  = "derived-made"  // it is in the vault: DetailHash, DetailSize and the members below
)

// Members of the detail of ActDerivedMade.
const (
	DetailHash      = "hash" // SHA-256 of the copy
	DetailMediaType = "media_type"
	DetailTool      = "tool"     // what made it, with its version
	DetailSettings  = "settings" // what it was told
	DetailFrom      = "from"     // SHA-256 of the original
)

func derivedAsked(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	return q.InsertDerived(ctx, db.InsertDerivedParams{Device: ev.Device.String(), Rec: ev.Rec.String(), AskedAt: ev.At, AskedBy: ev.Actor, AskedIndex: int64(e.Index)})
}

func derivedMade(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	hash, err := evidence.ParseDigest(ev.Detail[DetailHash])
	if err != nil {
		return fmt.Errorf("derived copy: %w", err)
	}
	size, err := strconv.ParseInt(ev.Detail[DetailSize], 10, 64)
	if err != nil {
		return fmt.Errorf("derived copy: %w", err)
	}
	if err := derivedAsked(ctx, q, e, ev); err != nil { // changes nothing if somebody asked, as ever
		return err
	}
	return q.DerivedMade(ctx, db.DerivedMadeParams{Device: ev.Device.String(), Rec: ev.Rec.String(), MadeAt: ev.At, MadeIndex: index(e), Hash: hash.String(), Size: size,
		MediaType: ev.Detail[DetailMediaType], Tool: ev.Detail[DetailTool], Settings: ev.Detail[DetailSettings], FromHash: ev.Detail[DetailFrom]})
}

// Derived returns what is known of a recording's derived copy; MadeIndex is not valid while it is only wanted. Errors: ErrUnknown: nobody asked for one.
func (c *Catalog) Derived(ctx context.Context, device, rec string) (db.Derived, error) {
	row, err := c.q.DerivedOf(ctx, db.DerivedOfParams{Device: device, Rec: rec})
	return one(row, err, "derived copy of "+rec)
}

// DerivedWanted returns up to n recordings of which a derived copy is wanted, tried fewer times than tries and due at a time, in the order of asking.
func (c *Catalog) DerivedWanted(ctx context.Context, now int64, tries, n int) ([]db.Recording, error) {
	return c.q.DerivedWanted(ctx, db.DerivedWantedParams{Now: now, Tries: int64(tries), Page: int32(n)})
}

// Media returns what was found in a recording and made of it. Errors: ErrUnknown: nothing yet.
func (c *Catalog) Media(ctx context.Context, device, rec string) (db.Medium, error) {
	row, err := c.q.MediaOf(ctx, db.MediaOfParams{Device: device, Rec: rec})
	return one(row, err, "media of "+rec)
}

// Look is what a list shows of what was made from a recording.
type Look struct {
	Poster   bool
	Duration int64 // milliseconds
}

// Looks returns what a list shows of recordings, by their ids, in one query. Recordings of which nothing was made are not in it.
func (c *Catalog) Looks(ctx context.Context, recs []string) (map[string]Look, error) {
	if len(recs) == 0 {
		return nil, nil
	}
	marks, args := make([]string, len(recs)), make([]any, len(recs))
	for i, rec := range recs {
		marks[i], args[i] = "$"+strconv.Itoa(i+1), rec
	}
	rows, err := c.sql.QueryContext(ctx, "SELECT media.rec, media.poster, media.duration FROM recordings JOIN media ON media.device = recordings.device"+
		" AND media.rec = recordings.rec WHERE recordings.rec IN ("+strings.Join(marks, ", ")+")", args...)
	if err != nil {
		return nil, fmt.Errorf("read media: %w", err)
	}
	defer rows.Close()
	out := map[string]Look{}
	for rows.Next() {
		var rec string
		var poster, duration int64
		if err := rows.Scan(&rec, &poster, &duration); err != nil {
			return nil, fmt.Errorf("read media: %w", err)
		}
		out[rec] = Look{Poster: poster == 1, Duration: duration}
	}
	return out, rows.Err()
}

// MediaMissing returns up to n recordings that are stored whole by a leaf after the given one and that nobody looked into as they are now, the newest first.
func (c *Catalog) MediaMissing(ctx context.Context, after int64, n int) ([]db.Recording, error) {
	return c.q.MediaMissing(ctx, db.MediaMissingParams{After: sql.NullInt64{Int64: after, Valid: true}, Page: int32(n)})
}

// MediaDue returns up to n recordings that are to be looked into again at a time.
func (c *Catalog) MediaDue(ctx context.Context, now int64, n int) ([]db.Recording, error) {
	return c.q.MediaDue(ctx, db.MediaDueParams{Now: sql.NullInt64{Int64: now, Valid: true}, Page: int32(n)})
}

// PutMedia keeps what was found and made. What it says of derived copies is not taken over.
func (c *Catalog) PutMedia(ctx context.Context, m db.Medium) error {
	return c.q.PutMedia(ctx, db.PutMediaParams{Device: m.Device, Rec: m.Rec, StoredChunks: m.StoredChunks, Kind: m.Kind, Container: m.Container, Video: m.Video,
		Audio: m.Audio, Duration: m.Duration, Width: m.Width, Height: m.Height, Rate: m.Rate, Playable: m.Playable, Poster: m.Poster, Strip: m.Strip,
		Wave: m.Wave, Bytes: m.Bytes, UsedAt: m.UsedAt, Failure: m.Failure, Detail: m.Detail, Tries: m.Tries, NextAt: m.NextAt})
}

// PutDeriveTry keeps how a try to make a derived copy went, and when the next one may begin.
func (c *Catalog) PutDeriveTry(ctx context.Context, m db.Medium) error {
	return c.q.PutDeriveTry(ctx, db.PutDeriveTryParams{Device: m.Device, Rec: m.Rec, DeriveFailure: m.DeriveFailure, DeriveDetail: m.DeriveDetail,
		DeriveTries: m.DeriveTries, DeriveNext: m.DeriveNext})
}

// MediaAgain has what was made from a recording made again; a try that is planned stays.
func (c *Catalog) MediaAgain(ctx context.Context, device, rec string) error {
	return c.q.MediaAgain(ctx, db.MediaAgainParams{Device: device, Rec: rec})
}

// MediaUsed notes when the files of a recording were used.
func (c *Catalog) MediaUsed(ctx context.Context, device, rec string, at int64) error {
	return c.q.MediaUsed(ctx, db.MediaUsedParams{Device: device, Rec: rec, UsedAt: at})
}

// MediaRemoved notes that the files of a recording are gone.
func (c *Catalog) MediaRemoved(ctx context.Context, device, rec string) error {
	return c.q.MediaRemoved(ctx, db.MediaRemovedParams{Device: device, Rec: rec})
}

// MediaOldest returns up to n recordings whose files were not used for longest.
func (c *Catalog) MediaOldest(ctx context.Context, n int) ([]db.Medium, error) {
	return c.q.MediaOldest(ctx, int32(n))
}

// MediaBytes returns how much all files take up.
func (c *Catalog) MediaBytes(ctx context.Context) (int64, error) { return c.q.MediaBytes(ctx) }
