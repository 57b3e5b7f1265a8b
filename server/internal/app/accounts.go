package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"camseal/server/internal/auth"
	"camseal/server/internal/people"
)

type accountCommand struct {
	Add  accountAddCommand  `cmd:"" help:"Make an account, and print the one-time link with which its owner sets a password."`
	List accountListCommand `cmd:"" help:"List the accounts."`
	Link accountLinkCommand `cmd:"" help:"Make a new one-time link for an account: it sets a new password."`
}

// accountLine is one line of `account list`.
type accountLine struct {
	ID          string    `json:"id"`
	Login       string    `json:"login"`
	Name        string    `json:"name"`
	Role        auth.Role `json:"role"`
	Body        string    `json:"body"`
	Certificate string    `json:"certificate"`
	Disabled    bool      `json:"disabled"`
	Password    bool      `json:"password"` // whether one is set
}

// linkLine is an account's one-time link.
type linkLine struct {
	Link string `json:"link"`
}

const pageOfAccounts = 500

func (l local) accounts(ctx context.Context, after string) ([]accountLine, error) {
	if err := l.wait(ctx); err != nil {
		return nil, err
	}
	list, err := l.catalog.People(ctx, after, pageOfAccounts)
	out := []accountLine{}
	for _, p := range list {
		out = append(out, accountLine{ID: p.ID, Login: p.Login, Name: p.Name, Role: p.Role, Body: p.Body, Certificate: p.Certificate, Disabled: p.Disabled,
			Password: p.Hash != ""})
	}
	return out, err
}

func (l local) addAccount(ctx context.Context, req accountLine) (linkLine, error) {
	if err := l.wait(ctx); err != nil {
		return linkLine{}, err
	}
	a, err := l.people.Make(ctx, actor, auth.Account{Login: req.Login, Name: req.Name, Role: req.Role, Body: req.Body, Certificate: req.Certificate})
	if err != nil {
		return linkLine{}, inWords(err)
	}
	return l.newLink(ctx, a)
}

func (l local) linkAccount(ctx context.Context, login string) (linkLine, error) {
	if err := l.wait(ctx); err != nil {
		return linkLine{}, err
	}
	p, err := l.people.FindLogin(ctx, login)
	if err != nil {
		return linkLine{}, inWords(err)
	}
	return l.newLink(ctx, p.Account)
}

func (l local) newLink(ctx context.Context, a auth.Account) (linkLine, error) {
	token, err := l.people.Link(ctx, a.ID)
	return linkLine{l.origin + "/link/" + token}, inWords(err)
}

// inWords says for a command line what a mistake is.
func inWords(err error) error {
	for known, words := range map[error]string{
		people.ErrLogin:   "login: 1 to 64 letters, digits, dots, dashes, underscores and @ signs, beginning with a letter or digit",
		people.ErrTaken:   "login: another account has it",
		people.ErrField:   "name, body or certificate: missing, longer than 200 bytes, or not one line; officers need a certificate, all but administrators and supervisors a body",
		people.ErrRole:    fmt.Sprintf("role: one of %v", auth.Roles),
		people.ErrUnknown: "there is no such account, or it is disabled",
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s; nothing was changed", words)
		}
	}
	return err
}

func (r remote) accounts(ctx context.Context, after string) (out []accountLine, err error) {
	return out, r.call(ctx, "/accounts", after, &out)
}

func (r remote) addAccount(ctx context.Context, req accountLine) (out linkLine, err error) {
	return out, r.call(ctx, "/account/add", req, &out)
}

func (r remote) linkAccount(ctx context.Context, login string) (out linkLine, err error) {
	return out, r.call(ctx, "/account/link", login, &out)
}

type accountAddCommand struct {
	Login       string `required:"" help:"What is typed to sign in."`
	Name        string `required:"" help:"The person's full name."`
	Role        string `required:"" help:"officer, custodian, reviewer, leader, supervisor or administrator."`
	Body        string `help:"The body that the person belongs to, as the register calls departments."`
	Certificate string `help:"An officer's certificate number."`
}

// Run makes an account and prints its link. The link stands nowhere else.
func (c accountAddCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		l, err := a.addAccount(e.ctx, accountLine{Login: c.Login, Name: c.Name, Role: auth.Role(c.Role), Body: c.Body, Certificate: c.Certificate})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(e.out, l.Link)
		return err
	})
}

type accountLinkCommand struct {
	Login string `arg:"" help:"Whose."`
}

// Run makes a link and prints it.
func (c accountLinkCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		l, err := a.linkAccount(e.ctx, c.Login)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(e.out, l.Link)
		return err
	})
}

type accountListCommand struct {
	JSON bool `name:"json" help:"Write a line of JSON for each."`
}

// Run lists all accounts by login.
func (c accountListCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		for after := ""; ; {
			lines, err := a.accounts(e.ctx, after)
			if err != nil || len(lines) == 0 {
				return err
			}
			for _, l := range lines {
				if err := c.print(e, l); err != nil {
					return err
				}
			}
			after = lines[len(lines)-1].Login
		}
	})
}

func (c accountListCommand) print(e *env, l accountLine) error {
	if c.JSON {
		return json.NewEncoder(e.out).Encode(l)
	}
	state := "may sign in"
	switch {
	case l.Disabled:
		state = "DISABLED"
	case !l.Password:
		state = "no password yet"
	}
	_, err := fmt.Fprintf(e.out, "%-20s  %-13s  %-15s  %s  %s  %s\n", l.Login, l.Role, state, l.Name, l.Body, l.Certificate)
	return err
}
