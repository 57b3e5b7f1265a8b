// Package people keeps the accounts: it makes, changes and disables them as custody events, hands out one-time links with which people set their
// passwords, and checks who signs in. What of it is evidence lies in the vault; passwords, links and sessions do not.
package people

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"camseal/pkg/evidence"
	"camseal/pkg/register"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

// LinkLife is how long a one-time link is good.
const LinkLife = 24 * time.Hour

// What a person did wrong. The key is a text of the pages, too.
var (
	ErrLogin     = errors.New("bad-login")      // not a login
	ErrTaken     = errors.New("login-taken")    // another account has it
	ErrField     = errors.New("bad-field")      // a name, body or certificate that is empty where it must not be, too long, or not one line
	ErrRole      = errors.New("bad-role")       // none of auth.Roles
	ErrLast      = errors.New("last-admin")     // nobody could make accounts any more
	ErrPassword  = errors.New("bad-password")   // too short, too long, or the login
	ErrLink      = errors.New("bad-link")       // used, replaced, out of date, or never made
	ErrSignIn    = errors.New("bad-sign-in")    // login and password do not fit, or the account is disabled
	ErrTooOften  = errors.New("too-often")      // of that, too often
	ErrHaveAdmin = errors.New("have-admin")     // there is an administrator already
	ErrUnknown   = errors.New("no-account")     // there is no such account
	ErrOther     = errors.New("wrong-password") // the old password is another one
)

// Keeper keeps the accounts. All members of the first part must be set. It is safe for concurrent use.
type Keeper struct {
	Catalog *catalog.Catalog
	Book    *casework.Book
	Now     func() time.Time

	once    sync.Once
	mu      sync.Mutex // held while accounts are made and changed, so that what was checked still holds when it is written
	hashing chan struct{}
	nobody  string // a hash that fits no password
	tries   *tries
}

const hashesAtOnce = 2

func (k *Keeper) ready() {
	k.once.Do(func() {
		k.hashing, k.tries = make(chan struct{}, hashesAtOnce), newTries(k.Now)
		k.nobody, _ = register.HashPIN(rand.Reader, rand.Text()) // crypto/rand never fails
	})
}

// loginForm is letters, digits and four signs, so that a login reads alike everywhere.
var loginForm = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{Nd}][\p{Ll}\p{Lo}\p{Nd}._@-]{0,63}$`)

// Login brings what was typed into the one form of a login.
func Login(typed string) string { return strings.ToLower(norm.NFKC.String(strings.TrimSpace(typed))) }

// maxField is how many bytes a name, body or certificate has at most.
const maxField = 200

func check(a *auth.Account) error {
	a.Login = Login(a.Login)
	if !loginForm.MatchString(a.Login) {
		return ErrLogin
	}
	for _, f := range []*string{&a.Name, &a.Body, &a.Certificate} {
		*f = strings.TrimSpace(*f)
		if len(*f) > maxField || strings.ToValidUTF8(*f, "") != *f || strings.ContainsFunc(*f, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return ErrField
		}
	}
	if a.Name == "" || a.Role == auth.Officer && a.Certificate == "" || a.Role != auth.Administrator && a.Role != auth.Supervisor && a.Body == "" {
		return ErrField
	}
	if !slices.Contains(auth.Roles, a.Role) {
		return ErrRole
	}
	return nil
}

// Make makes an account. Errors: ErrLogin, ErrTaken, ErrField, ErrRole.
func (k *Keeper) Make(ctx context.Context, actor string, a auth.Account) (auth.Account, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.make(ctx, actor, a)
}

func (k *Keeper) make(ctx context.Context, actor string, a auth.Account) (auth.Account, error) {
	if err := check(&a); err != nil {
		return a, err
	}
	if _, err := k.Catalog.PersonByLogin(ctx, a.Login); !errors.Is(err, catalog.ErrUnknown) {
		if err == nil {
			err = ErrTaken
		}
		return a, err
	}
	id := make([]byte, 16)
	if _, err := io.ReadFull(rand.Reader, id); err != nil {
		return a, fmt.Errorf("make account: %w", err)
	}
	a.ID = hex.EncodeToString(id)
	return a, k.record(ctx, catalog.ActAccountMade, actor, a)
}

func (k *Keeper) record(ctx context.Context, act, actor string, a auth.Account) error {
	d := evidence.Detail{catalog.DetailAccount: a.ID, catalog.DetailLogin: a.Login}
	if act == catalog.ActAccountMade || act == catalog.ActAccountChanged {
		d[catalog.DetailName], d[catalog.DetailRole], d[catalog.DetailBody], d[catalog.DetailCertificate] = a.Name, string(a.Role), a.Body, a.Certificate
	}
	_, err := k.Book.Record(ctx, casework.Act{Name: act, Actor: actor, Detail: d})
	return err
}

// Change gives an account another name, role, body and certificate; its sessions end. Errors: ErrUnknown, ErrField, ErrRole, ErrLast.
func (k *Keeper) Change(ctx context.Context, actor string, a auth.Account) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	was, err := k.Find(ctx, a.ID)
	if err != nil {
		return err
	}
	a.Login = was.Login
	if err := check(&a); err != nil {
		return err
	}
	if err := k.notLast(ctx, was.Account, a.Role != auth.Administrator); err != nil {
		return err
	}
	return k.record(ctx, catalog.ActAccountChanged, actor, a)
}

// Disable keeps an account from signing in, or lets it again; its sessions end and its links are taken back. Errors: ErrUnknown, ErrLast.
func (k *Keeper) Disable(ctx context.Context, actor, id string, disabled bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, err := k.Find(ctx, id)
	if err != nil || p.Disabled == disabled {
		return err
	}
	act := catalog.ActAccountEnabled
	if disabled {
		act = catalog.ActAccountDisabled
		if err := k.notLast(ctx, p.Account, true); err != nil {
			return err
		}
		if err := k.Catalog.DropLinks(ctx, id); err != nil {
			return err
		}
	}
	return k.record(ctx, act, actor, p.Account)
}

// notLast refuses that the last administrator stops being one.
func (k *Keeper) notLast(ctx context.Context, a auth.Account, stops bool) error {
	if !stops || a.Role != auth.Administrator || a.Disabled {
		return nil
	}
	n, err := k.Catalog.CountWithRole(ctx, auth.Administrator)
	if err == nil && n <= 1 {
		err = ErrLast
	}
	return err
}

// Find returns an account. Errors: ErrUnknown.
func (k *Keeper) Find(ctx context.Context, id string) (catalog.Person, error) {
	p, err := k.Catalog.Person(ctx, id)
	if errors.Is(err, catalog.ErrUnknown) {
		err = ErrUnknown
	}
	return p, err
}

// FindLogin returns the account with a login. Errors: ErrUnknown.
func (k *Keeper) FindLogin(ctx context.Context, login string) (catalog.Person, error) {
	p, err := k.Catalog.PersonByLogin(ctx, Login(login))
	if errors.Is(err, catalog.ErrUnknown) {
		err = ErrUnknown
	}
	return p, err
}
