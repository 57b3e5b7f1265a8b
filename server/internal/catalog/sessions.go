package catalog

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"camseal/server/internal/catalog/db"
)

// Sessions keeps sessions, as scs wants it; their ends are its own. The token is a hash already. It is safe for concurrent use.
type Sessions struct {
	Catalog *Catalog
	Idle    time.Duration // from the newest request
	Life    time.Duration // from the beginning
	Now     func() time.Time
}

// touchEvery is how exactly the newest request is written down.
const touchEvery = time.Minute

type beginning struct{}

// Begin marks a context in which a session may begin. In any other, one that has ended stays so, whatever is still under way.
func Begin(ctx context.Context) context.Context { return context.WithValue(ctx, beginning{}, true) }

type glance struct{}

// Glance marks a context of what a page asks for by itself: it does not keep a session alive.
func Glance(ctx context.Context) context.Context { return context.WithValue(ctx, glance{}, true) }

// FindCtx implements scs.CtxStore.
func (s *Sessions) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	row, err := s.Catalog.q.SessionByToken(ctx, token)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("find session: %w", err)
	}
	now := s.Now()
	if now.Sub(time.UnixMilli(row.Seen)) >= s.Idle || now.Sub(time.UnixMilli(row.Began)) >= s.Life {
		return nil, false, nil
	}
	data, err := base64.StdEncoding.DecodeString(row.Data)
	if err != nil {
		return nil, false, fmt.Errorf("find session: %w", err)
	}
	if ctx.Value(glance{}) == nil && now.Sub(time.UnixMilli(row.Seen)) >= min(touchEvery, s.Idle/4) {
		if err := s.Catalog.q.TouchSession(ctx, db.TouchSessionParams{Token: token, Seen: now.UnixMilli()}); err != nil {
			return nil, false, fmt.Errorf("touch session: %w", err)
		}
	}
	return data, true, nil
}

// CommitCtx implements scs.CtxStore. When the session ends is not for scs to say.
func (s *Sessions) CommitCtx(ctx context.Context, token string, b []byte, _ time.Time) error {
	data, now := base64.StdEncoding.EncodeToString(b), s.Now()
	if ctx.Value(beginning{}) == nil {
		return s.Catalog.q.ChangeSession(ctx, db.ChangeSessionParams{Token: token, Data: data})
	}
	return s.Catalog.tx(ctx, func(q *db.Queries) error {
		return errors.Join(q.DeleteSessionsBefore(ctx, now.Add(-s.Idle).UnixMilli()), q.DeleteLooksBefore(ctx, now.Add(-s.Life).UnixMilli()),
			q.InsertSession(ctx, db.InsertSessionParams{Token: token, Data: data, Began: now.UnixMilli(), Seen: now.UnixMilli()}))
	})
}

// DeleteCtx implements scs.CtxStore.
func (s *Sessions) DeleteCtx(ctx context.Context, token string) error {
	return s.Catalog.q.DeleteSession(ctx, token)
}

// Find implements scs.Store.
func (s *Sessions) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (s *Sessions) Commit(token string, b []byte, until time.Time) error {
	return s.CommitCtx(context.Background(), token, b, until)
}

// Delete implements scs.Store.
func (s *Sessions) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// PutLook writes down for what a session looks at a recording.
func (c *Catalog) PutLook(ctx context.Context, session, rec, purpose string, at time.Time) error {
	return c.q.PutLook(ctx, db.PutLookParams{Session: session, Rec: rec, Purpose: purpose, Chosen: at.UnixMilli()})
}

// Look returns for what a session looks at a recording. Errors: ErrUnknown: that was not said.
func (c *Catalog) Look(ctx context.Context, session, rec string) (db.Look, error) {
	row, err := c.q.LookOf(ctx, db.LookOfParams{Session: session, Rec: rec})
	return one(row, err, "look")
}

// SetViewed writes down when a session's look at a recording was recorded.
func (c *Catalog) SetViewed(ctx context.Context, session, rec string, at time.Time) error {
	return c.q.SetViewed(ctx, db.SetViewedParams{Session: session, Rec: rec, Viewed: at.UnixMilli()})
}
