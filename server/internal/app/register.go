package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/officers"
)

type registerCommand struct {
	Set  registerSetCommand  `cmd:"" help:"Bring a register into force for all docks, instead of the one before."`
	Show registerShowCommand `cmd:"" help:"Show the register in force, without cards and PINs."`
}

// registerShown is what `register show` prints: no card, no PIN, no hash of either.
type registerShown struct {
	Version     evidence.Digest `json:"version"`
	At          int64           `json:"at"` // since when it is in force, milliseconds since 1970 UTC
	Departments []string        `json:"departments"`
	Officers    []officerShown  `json:"officers"`
	Causes      []string        `json:"causes"`
	Places      []string        `json:"places"`
	Activities  []string        `json:"activities"`
	LogIndex    uint64          `json:"log_index,omitempty"` // of the custody event; register set only
}

type officerShown struct {
	Name        string `json:"name"`
	Spoken      string `json:"spoken,omitempty"`
	Certificate string `json:"certificate"`
	ValidUntil  string `json:"valid_until"` // YYYY-MM-DD; empty: not known
	Department  string `json:"department"`
	Number      string `json:"number,omitempty"`
	Card        bool   `json:"card"` // whether there is one
	PIN         bool   `json:"pin"`
}

func shownRegister(r *transport.Register) registerShown {
	out := registerShown{Version: r.Version, At: r.At, Departments: r.Departments, Officers: []officerShown{}, Causes: r.Causes, Places: r.Places, Activities: r.Activities}
	for _, o := range r.Officers {
		out.Officers = append(out.Officers, officerShown{Name: o.Name, Spoken: o.Spoken, Certificate: o.Certificate, ValidUntil: o.ValidUntil,
			Department: o.Department, Number: o.Number, Card: len(o.Card) > 0, PIN: o.PIN != ""})
	}
	return out
}

func (l local) setRegister(ctx context.Context, c *officers.Content) (registerShown, error) {
	if err := l.wait(ctx); err != nil {
		return registerShown{}, err
	}
	r, index, err := l.officers.Set(ctx, actor, c)
	if err != nil {
		return registerShown{}, err
	}
	out := shownRegister(r)
	out.LogIndex = index
	return out, nil
}

func (l local) register(ctx context.Context) (registerShown, error) {
	if err := l.wait(ctx); err != nil {
		return registerShown{}, err
	}
	r, err := l.officers.Current(ctx)
	if err != nil {
		return registerShown{}, err
	}
	if r == nil {
		return registerShown{}, errors.New("there is no register of officers yet; make one and run `camseal-server register set FILE`")
	}
	return shownRegister(r), nil
}

func (r remote) setRegister(ctx context.Context, c *officers.Content) (out registerShown, err error) {
	return out, r.call(ctx, "/register/set", c, &out)
}

func (r remote) register(ctx context.Context) (out registerShown, err error) {
	return out, r.call(ctx, "/register", struct{}{}, &out)
}

type registerSetCommand struct {
	File string `arg:"" help:"The register in YAML (deploy/register.yaml is an example). - reads standard input." placeholder:"FILE"`
}

// Run hashes cards and PINs in this process, so that they go nowhere in clear.
func (c registerSetCommand) Run(e *env) error {
	f, err := c.read(e)
	if err != nil {
		return usagef("%s: %v; nothing was changed", c.File, err)
	}
	content, err := f.Content()
	if err != nil {
		return err
	}
	return withAdmin(e, func(a admin) error {
		r, err := a.setRegister(e.ctx, content)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.out, "register %s is in force: %d officers, log leaf %d. Docks fetch it by themselves\n", r.Version, len(r.Officers), r.LogIndex)
		return err
	})
}

func (c registerSetCommand) read(e *env) (*officers.File, error) {
	var in io.Reader = os.Stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if info.Mode().Perm()&0o077 != 0 {
			e.log.WarnContext(e.ctx, "others than you can read this file, which holds cards and PINs in clear: chmod 600, or delete it after this",
				slog.String("file", c.File))
		}
		in = f
	}
	return officers.Parse(in)
}

type registerShowCommand struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// Run shows the register in force.
func (c registerShowCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		r, err := a.register(e.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(e.out).Encode(r)
		}
		_, err = fmt.Fprint(e.out, r.text(e.now()))
		return err
	})
}

func (r registerShown) text(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "register %s, in force since %s\n", r.Version, stamp(r.At))
	for _, o := range r.Officers {
		until := "valid until " + o.ValidUntil
		switch {
		case o.ValidUntil == "":
			until = "validity not known"
		case o.ValidUntil < now.Format(time.DateOnly):
			until = "NOT VALID since the end of " + o.ValidUntil
		}
		signs := []string{}
		if o.Card {
			signs = append(signs, "card")
		}
		if o.PIN {
			signs = append(signs, "PIN")
		}
		if len(signs) == 0 {
			signs = append(signs, "can't sign in")
		}
		fmt.Fprintf(&b, "  %s  certificate %s, %s  %s  %s\n", o.Name, o.Certificate, until, o.Department, strings.Join(signs, " and "))
	}
	for _, l := range []struct {
		name  string
		texts []string
	}{{"departments", r.Departments}, {"causes", r.Causes}, {"places", r.Places}, {"activities", r.Activities}} {
		fmt.Fprintf(&b, "%s: %s\n", l.name, strings.Join(l.texts, ", "))
	}
	return b.String()
}
