package catalog

import (
	"context"
	"fmt"
	"time"

	"camseal/server/internal/catalog/db"
)

// MaxSavedSearches is how many searches an account may keep.
const MaxSavedSearches = 50

// DeviceNames returns ids and models of up to n devices, those first that enrolled last.
func (c *Catalog) DeviceNames(ctx context.Context, n int) ([]db.DeviceNamesRow, error) {
	list, err := c.q.DeviceNames(ctx, int32(n))
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return list, nil
}

// SavedSearches returns the searches that an account keeps, the oldest first.
func (c *Catalog) SavedSearches(ctx context.Context, account string) ([]db.SavedSearch, error) {
	list, err := c.q.SavedSearches(ctx, db.SavedSearchesParams{Account: account, Page: MaxSavedSearches})
	if err != nil {
		return nil, fmt.Errorf("read saved searches: %w", err)
	}
	return list, nil
}

// SaveSearch keeps a search for an account, and reports whether there was room for it.
func (c *Catalog) SaveSearch(ctx context.Context, account, id, name, query string, now time.Time) (saved bool, err error) {
	err = c.tx(ctx, func(q *db.Queries) error {
		n, err := q.CountSavedSearches(ctx, account)
		if err != nil || n >= MaxSavedSearches {
			return err
		}
		saved = true
		return q.SaveSearch(ctx, db.SaveSearchParams{ID: id, Account: account, Name: name, Query: query, At: now.UnixMilli()})
	})
	if err != nil {
		return false, fmt.Errorf("save search: %w", err)
	}
	return saved, nil
}

// DeleteSearch forgets a search of an account. It is no error if there is none.
func (c *Catalog) DeleteSearch(ctx context.Context, account, id string) error {
	if _, err := c.q.DeleteSavedSearch(ctx, db.DeleteSavedSearchParams{ID: id, Account: account}); err != nil {
		return fmt.Errorf("delete search: %w", err)
	}
	return nil
}
