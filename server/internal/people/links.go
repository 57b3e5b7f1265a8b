package people

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
)

// tokenHash is what is kept of a link.
func tokenHash(token string) evidence.Digest {
	return evidence.Sum([]byte("camseal account link\n" + token))
}

// Link makes a one-time link with which the account's owner sets a password, instead of links made before, and returns its token.
// Errors: ErrUnknown, also for an account that is disabled.
func (k *Keeper) Link(ctx context.Context, id string) (string, error) {
	p, err := k.Find(ctx, id)
	if err != nil {
		return "", err
	}
	if p.Disabled {
		return "", ErrUnknown
	}
	return k.link(ctx, id)
}

func (k *Keeper) link(ctx context.Context, id string) (string, error) {
	token := rand.Text()
	if err := k.Catalog.PutLink(ctx, tokenHash(token), id, k.Now().Add(LinkLife)); err != nil {
		return "", fmt.Errorf("make link: %w", err)
	}
	return token, nil
}

// FirstLink makes the link with which the first administrator's account is made. Errors: ErrHaveAdmin.
func (k *Keeper) FirstLink(ctx context.Context) (string, error) {
	n, err := k.Catalog.CountWithRole(ctx, auth.Administrator)
	if err != nil {
		return "", err
	}
	if n > 0 {
		if err := k.Catalog.DropLinks(ctx, ""); err != nil {
			return "", err
		}
		return "", ErrHaveAdmin
	}
	return k.link(ctx, "")
}

// Owner returns whose password a link sets; the zero account for the first administrator's. It leaves the link as it is. Errors: ErrLink.
func (k *Keeper) Owner(ctx context.Context, token string) (auth.Account, error) {
	id, err := k.Catalog.Link(ctx, tokenHash(token), k.Now())
	if errors.Is(err, catalog.ErrUnknown) {
		err = ErrLink
	}
	if err != nil || id == "" {
		return auth.Account{}, err
	}
	p, err := k.Find(ctx, id)
	if errors.Is(err, ErrUnknown) || p.Disabled {
		err = ErrLink
	}
	return p.Account, err
}

// UseLink sets the password of a link's account and takes the link back; only one of several at once succeeds. For the first administrator's link,
// first describes the account to make. Errors: ErrLink, ErrPassword, ErrHaveAdmin, and those of Make.
func (k *Keeper) UseLink(ctx context.Context, token, password string, first auth.Account) (auth.Account, error) {
	owner, err := k.Owner(ctx, token)
	if err != nil {
		return owner, err
	}
	login := owner.Login
	if owner.ID == "" {
		login = Login(first.Login)
	}
	hash, err := k.hash(ctx, login, password)
	if err != nil {
		return owner, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if owner, err = k.Owner(ctx, token); err != nil { // it may have been used by now
		return owner, err
	}
	if owner.ID == "" {
		n, err := k.Catalog.CountWithRole(ctx, auth.Administrator)
		if err == nil && n > 0 {
			err = ErrHaveAdmin
		}
		if err != nil {
			return owner, err
		}
		first.Role = auth.Administrator
		if owner, err = k.make(ctx, "camseal-server", first); err != nil {
			return auth.Account{}, err
		}
	}
	err = k.Catalog.UseLink(ctx, tokenHash(token), owner.ID, hash)
	if errors.Is(err, catalog.ErrUnknown) {
		err = ErrLink
	}
	return owner, err
}
