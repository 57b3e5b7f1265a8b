package people

import (
	"context"
	"crypto/rand"
	"errors"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"camseal/pkg/register"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
)

// What a password must have, by NIST SP 800-63B: length, and no rules on what it is made of.
const (
	MinPassword = 12   // characters
	MaxPassword = 1024 // bytes
)

// hash hashes a new password. Errors: ErrPassword.
func (k *Keeper) hash(ctx context.Context, login, password string) (hash string, err error) {
	password = norm.NFKC.String(password)
	if utf8.RuneCountInString(password) < MinPassword || len(password) > MaxPassword || !utf8.ValidString(password) || Login(password) == login {
		return "", ErrPassword
	}
	if err := k.slot(ctx); err != nil {
		return "", err
	}
	defer k.free()
	return register.HashPIN(rand.Reader, password)
}

// fits reports whether a password is the one that was hashed. It takes the same time for an empty hash.
func (k *Keeper) fits(ctx context.Context, hash, password string) (bool, error) {
	if err := k.slot(ctx); err != nil {
		return false, err
	}
	defer k.free()
	known := hash != ""
	if !known {
		hash = k.nobody
	}
	if password = norm.NFKC.String(password); len(password) > MaxPassword {
		password = "too long" // and too short
	}
	return register.CheckPIN(hash, password) && known, nil
}

// slot waits until a password may be hashed: each takes 19 MiB.
func (k *Keeper) slot(ctx context.Context) error {
	k.ready()
	select {
	case k.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Keeper) free() { <-k.hashing }

// SignIn returns the account whose login and password these are. An unknown login, a wrong password and a disabled account answer alike, and after
// the same time. Errors: ErrSignIn, ErrTooOften.
func (k *Keeper) SignIn(ctx context.Context, login, password, address string) (catalog.Person, error) {
	k.ready()
	login = Login(login)
	if !loginForm.MatchString(login) {
		login = "-" // nobody's
	}
	if !k.tries.take(login, address) {
		return catalog.Person{}, ErrTooOften
	}
	p, err := k.Catalog.PersonByLogin(ctx, login)
	if err != nil && !errors.Is(err, catalog.ErrUnknown) {
		return catalog.Person{}, err
	}
	ok, err := k.fits(ctx, p.Hash, password)
	if err != nil {
		return catalog.Person{}, err
	}
	if !ok || p.Disabled {
		return catalog.Person{}, ErrSignIn
	}
	k.tries.giveBack(login, address)
	return p, nil
}

// ChangePassword replaces an account's password; its sessions end. Errors: ErrOther, ErrTooOften, ErrPassword.
func (k *Keeper) ChangePassword(ctx context.Context, a auth.Account, old, password, address string) error {
	if _, err := k.SignIn(ctx, a.Login, old, address); err != nil {
		if errors.Is(err, ErrSignIn) {
			err = ErrOther
		}
		return err
	}
	hash, err := k.hash(ctx, a.Login, password)
	if err != nil {
		return err
	}
	return k.Catalog.SetPassword(ctx, a.ID, hash)
}
