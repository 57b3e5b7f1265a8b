package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// Custody events about accounts. They say nothing of passwords.
const (
	ActAccountMade     = "account-made"
	ActAccountChanged  = "account-changed"
	ActAccountDisabled = "account-disabled"
	ActAccountEnabled  = "account-enabled"
)

// Members of these events' details. Disabling and enabling give the first two.
const (
	DetailAccount     = "account" // id
	DetailLogin       = "login"
	DetailName        = "name"
	DetailRole        = "role"
	DetailBody        = "body"
	DetailCertificate = "certificate"
)

// applyAccount brings an event about an account into the table. One that contradicts what is known changes nothing.
func applyAccount(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	d, i := ev.Detail, int64(e.Index)
	switch ev.Act {
	case ActAccountMade:
		return q.InsertAccount(ctx, db.InsertAccountParams{ID: d[DetailAccount], Login: d[DetailLogin], Name: d[DetailName], Role: d[DetailRole],
			Body: d[DetailBody], Certificate: d[DetailCertificate], MadeAt: ev.At, ChangedIndex: i})
	case ActAccountChanged:
		return q.ChangeAccount(ctx, db.ChangeAccountParams{ID: d[DetailAccount], Name: d[DetailName], Role: d[DetailRole], Body: d[DetailBody],
			Certificate: d[DetailCertificate], ChangedIndex: i})
	case ActAccountDisabled:
		return q.DisableAccount(ctx, db.DisableAccountParams{ID: d[DetailAccount], Disabled: 1, ChangedIndex: i})
	case ActAccountEnabled:
		return q.DisableAccount(ctx, db.DisableAccountParams{ID: d[DetailAccount], Disabled: 0, ChangedIndex: i})
	}
	return nil
}

// Person is an account with what is needed to sign in.
type Person struct {
	auth.Account
	Hash  string // of the password; empty: there is none
	Stamp string // changes when the account or its password does: sessions begun under another one have ended
	Made  int64  // milliseconds since 1970 UTC
}

func personOf(a db.Account, hash string, version int64, language string) Person {
	return Person{Hash: hash, Stamp: fmt.Sprintf("%d.%d", a.ChangedIndex, version), Made: a.MadeAt,
		Account: auth.Account{ID: a.ID, Login: a.Login, Name: a.Name, Role: auth.Role(a.Role), Body: a.Body, Certificate: a.Certificate,
			Language: language, Disabled: a.Disabled == 1}}
}

// Person returns an account. Errors: ErrUnknown.
func (c *Catalog) Person(ctx context.Context, id string) (Person, error) {
	row, err := c.q.PersonByID(ctx, id)
	row, err = one(row, err, "account")
	return personOf(row.Account, row.Hash, row.Version, row.Language), err
}

// PersonByLogin returns the account with a login. Errors: ErrUnknown.
func (c *Catalog) PersonByLogin(ctx context.Context, login string) (Person, error) {
	row, err := c.q.PersonByLogin(ctx, login)
	row, err = one(row, err, "account")
	return personOf(row.Account, row.Hash, row.Version, row.Language), err
}

// People returns up to n accounts by login, those behind the given one; "" begins.
func (c *Catalog) People(ctx context.Context, after string, n int) ([]Person, error) {
	rows, err := c.q.People(ctx, db.PeopleParams{Login: after, Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	out := make([]Person, len(rows))
	for i, r := range rows {
		out[i] = personOf(r.Account, r.Hash, r.Version, r.Language)
	}
	return out, nil
}

// CountWithRole counts the accounts of a role that may sign in.
func (c *Catalog) CountWithRole(ctx context.Context, r auth.Role) (int64, error) {
	n, err := c.q.CountWithRole(ctx, string(r))
	if err != nil {
		return 0, fmt.Errorf("count accounts: %w", err)
	}
	return n, nil
}

// SetLanguage writes down in which language an account reads the pages.
func (c *Catalog) SetLanguage(ctx context.Context, account, language string) error {
	return c.q.SetLanguage(ctx, db.SetLanguageParams{Account: account, Language: language})
}

// SetPassword replaces an account's password and takes back its links: all its sessions have ended.
func (c *Catalog) SetPassword(ctx context.Context, account, hash string) error {
	return c.tx(ctx, func(q *db.Queries) error {
		return errors.Join(q.DeleteLinksOf(ctx, account), q.SetPassword(ctx, db.SetPasswordParams{Account: account, Hash: hash}))
	})
}

// PutLink makes a one-time link instead of the ones that an account had. An empty account is the first administrator's.
func (c *Catalog) PutLink(ctx context.Context, token evidence.Digest, account string, until time.Time) error {
	return c.tx(ctx, func(q *db.Queries) error {
		return errors.Join(q.DeleteLinksOf(ctx, account),
			q.InsertLink(ctx, db.InsertLinkParams{Token: token.String(), Account: account, ValidUntil: until.UnixMilli()}))
	})
}

// DropLinks takes back an account's links.
func (c *Catalog) DropLinks(ctx context.Context, account string) error {
	return c.q.DeleteLinksOf(ctx, account)
}

// Link returns whose password a link sets. Errors: ErrUnknown.
func (c *Catalog) Link(ctx context.Context, token evidence.Digest, now time.Time) (account string, err error) {
	row, err := c.q.LinkByToken(ctx, token.String())
	if row, err = one(row, err, "link"); err != nil {
		return "", err
	}
	if now.UnixMilli() >= row.ValidUntil {
		return "", fmt.Errorf("link: %w", ErrUnknown)
	}
	return row.Account, nil
}

// UseLink sets a password by a link and takes the link back, both or neither. Errors: ErrUnknown: somebody used it before.
func (c *Catalog) UseLink(ctx context.Context, token evidence.Digest, account, hash string) error {
	return c.tx(ctx, func(q *db.Queries) error {
		n, err := q.TakeLink(ctx, token.String())
		if err != nil {
			return fmt.Errorf("use link: %w", err)
		}
		if n != 1 {
			return fmt.Errorf("link: %w", ErrUnknown)
		}
		return errors.Join(q.DeleteLinksOf(ctx, account), q.SetPassword(ctx, db.SetPasswordParams{Account: account, Hash: hash}))
	})
}
