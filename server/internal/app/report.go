package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

type reportCommand struct {
	Missing missingCommand `cmd:"" help:"Which of the counted beginnings (recordings, dockings) never arrived, between which times."`
}

type missingCommand struct {
	Device string `help:"Only this device: its id, or its beginning." placeholder:"DEVICE"`
	JSON   bool   `name:"json" help:"Write JSON."`
}

// missingOf is what is missing of one device.
type missingOf struct {
	Device     string     `json:"device"`
	Model      string     `json:"model"`
	Counter    bool       `json:"counter"` // false: it has none, so that gaps can't be told
	Gaps       []gapLine  `json:"gaps"`
	Forks      []forkLine `json:"forks"`
	Recoveries []recovery `json:"recoveries"`
}

// gapLine is a run of counter values that never arrived.
type gapLine struct {
	From   string    `json:"from"` // decimal: the first value that never arrived
	To     string    `json:"to"`   // the last one
	After  neighbour `json:"after"`
	Before neighbour `json:"before"`
}

// neighbour is a statement beside a gap. Times are milliseconds since 1970 UTC.
type neighbour struct {
	Seq    int64  `json:"seq"`
	Kind   string `json:"kind,omitempty"`
	Value  string `json:"value,omitempty"`
	At     int64  `json:"at"`               // the device's clock, a claim
	Server *int64 `json:"server,omitempty"` // the server's clock on the checkpoint with which it was logged
}

// forkLine is a number under which a device said two things.
type forkLine struct {
	Seq      int64  `json:"seq"`
	Known    string `json:"known"` // digest of the accepted statement
	Sent     string `json:"sent"`  // digest of the refused one
	At       int64  `json:"at"`    // the server's clock, milliseconds since 1970 UTC
	LogIndex int64  `json:"log_index"`
}

// recovery is a boot with which a device went on behind the server's head, having lost some of its own statements.
type recovery struct {
	neighbour
	OwnLast int64 `json:"own_last"` // its own last statement then
}

// missing accounts for one device, or for all with an empty id.
func (l local) missing(ctx context.Context, id string) ([]missingOf, error) {
	if err := l.wait(ctx); err != nil {
		return nil, err
	}
	rows, err := l.catalog.Devices(ctx)
	if err != nil {
		return nil, err
	}
	out := []missingOf{}
	for _, row := range rows {
		if id != "" && row.Device != id {
			continue
		}
		m, err := l.missingOf(ctx, row)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (l local) missingOf(ctx context.Context, row db.Device) (missingOf, error) {
	m := missingOf{Device: row.Device, Model: row.Model, Counter: row.Counter != "", Gaps: []gapLine{}, Forks: []forkLine{}, Recoveries: []recovery{}}
	a, err := l.catalog.Account(ctx, row.Device)
	if err != nil {
		return m, err
	}
	beside := func(c db.Counted) (neighbour, error) {
		at, err := l.serverTime(ctx, c.LogIndex)
		return neighbour{Seq: c.Seq, Kind: c.Kind, Value: c.Value, At: c.At, Server: at}, err
	}
	for _, g := range a.Gaps {
		after, err := beside(g.After)
		if err != nil {
			return m, err
		}
		before, err := beside(g.Before)
		if err != nil {
			return m, err
		}
		m.Gaps = append(m.Gaps, gapLine{From: g.From, To: g.To, After: after, Before: before})
	}
	for _, f := range a.Forks {
		m.Forks = append(m.Forks, forkLine{Seq: f.Seq, Known: f.Known, Sent: f.Sent, At: f.At, LogIndex: f.LogIndex})
	}
	for _, b := range a.Recoveries {
		at, err := l.serverTime(ctx, b.LogIndex)
		if err != nil {
			return m, err
		}
		m.Recoveries = append(m.Recoveries, recovery{neighbour: neighbour{Seq: b.Seq, At: b.At, Server: at}, OwnLast: b.OwnLast.Int64})
	}
	return m, nil
}

func (l local) serverTime(ctx context.Context, index int64) (*int64, error) {
	at, err := l.loggedAt(ctx, uint64(index))
	if err != nil || at == nil {
		return nil, err
	}
	ms := at.UnixMilli()
	return &ms, nil
}

// Run prints the report.
func (c missingCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		id := ""
		if c.Device != "" {
			d, err := findDevice(e.ctx, a, c.Device)
			if err != nil {
				return err
			}
			id = d.String()
		}
		list, err := a.missing(e.ctx, id)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(e.out).Encode(list)
		}
		for _, m := range list {
			if _, err := fmt.Fprint(e.out, m.text()); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m missingOf) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "device %s %q\n", m.Device, m.Model)
	for _, g := range m.Gaps {
		fmt.Fprintf(&b, "  counter values %s to %s never arrived: begun\n    after statement %s\n    before statement %s\n", g.From, g.To, g.After, g.Before)
	}
	for _, f := range m.Forks {
		fmt.Fprintf(&b, "  two statements under number %d: %s was accepted, %s was refused at %s and is in quarantine (log leaf %d)\n",
			f.Seq, f.Known, f.Sent, stamp(f.At), f.LogIndex)
	}
	for _, r := range m.Recoveries {
		fmt.Fprintf(&b, "  it went on behind the server's head with statement %s; its own last one was %d\n", r.neighbour, r.OwnLast)
	}
	switch {
	case !m.Counter:
		b.WriteString("  it has no counter: what was begun and never arrived can't be told\n")
	case len(m.Gaps) == 0:
		b.WriteString("  no counter value is missing up to its newest statement\n")
	}
	return b.String()
}

func (n neighbour) String() string {
	server := "the server's time is not on record"
	if n.Server != nil {
		server = "the server had it by " + time.UnixMilli(*n.Server).UTC().Format(time.RFC3339)
	}
	what := ""
	if n.Kind != "" {
		what = " (" + n.Kind + ", value " + n.Value + ")"
	}
	return fmt.Sprintf("%d%s: its own clock said %s, %s", n.Seq, what, stamp(n.At), server)
}

type pcrsCommand struct {
	List  pcrsListCommand  `cmd:"" help:"List the PCRs 0-7 that are allowed, by model."`
	Allow pcrsAllowCommand `cmd:"" help:"Allow for a model what one device booted last."`
}

// pcrSet is one set that is allowed for a model.
type pcrSet struct {
	Model    string            `json:"model"` // a device's id for a device without model
	PCRs     []evidence.Digest `json:"pcrs"`  // 0-7
	Device   string            `json:"device"`
	Source   string            `json:"source"` // first-seen or allowed
	At       int64             `json:"at"`     // milliseconds since 1970 UTC
	LogIndex int64             `json:"log_index"`
}

func (l local) pcrs(ctx context.Context) ([]pcrSet, error) {
	if err := l.wait(ctx); err != nil {
		return nil, err
	}
	rows, err := l.catalog.PCRSets(ctx)
	out := []pcrSet{}
	for _, r := range rows {
		s := pcrSet{Model: r.Model, Device: r.Device, Source: r.Source, At: r.At, LogIndex: r.LogIndex}
		err = errors.Join(err, json.Unmarshal([]byte(r.Pcrs), &s.PCRs))
		out = append(out, s)
	}
	return out, err
}

// allowRequest asks to allow for a model what a device booted last.
type allowRequest struct {
	Model  string            `json:"model"`
	Device evidence.DeviceID `json:"device"`
}

func (l local) allow(ctx context.Context, req allowRequest) (pcrSet, error) {
	if err := l.wait(ctx); err != nil {
		return pcrSet{}, err
	}
	boot, err := l.catalog.LastBoot(ctx, req.Device.String())
	if errors.Is(err, catalog.ErrUnknown) || err == nil && boot.Pcrs == "" {
		return pcrSet{}, fmt.Errorf("device %s has not said yet which PCRs it booted with; nothing was changed", req.Device.Short())
	}
	if err != nil {
		return pcrSet{}, err
	}
	list, err := l.catalog.Devices(ctx)
	if err != nil {
		return pcrSet{}, err
	}
	if !slices.ContainsFunc(list, func(d db.Device) bool { return catalog.Policy(d) == req.Model }) {
		return pcrSet{}, fmt.Errorf("no device of model %q is enrolled; nothing was changed; `camseal-server device list` names the models", req.Model)
	}
	r, err := l.book.Record(ctx, casework.Act{Name: catalog.ActPCRsAllowed, Actor: actor, Device: &req.Device,
		Detail: evidence.Detail{catalog.DetailModel: req.Model, catalog.DetailPCRs: boot.Pcrs, catalog.DetailSeq: fmt.Sprint(boot.Seq)}})
	if err != nil {
		return pcrSet{}, err
	}
	out := pcrSet{Model: req.Model, Device: boot.Device, Source: catalog.SourceAllowed, At: l.book.Now().UnixMilli(), LogIndex: int64(r.Index)}
	return out, json.Unmarshal([]byte(boot.Pcrs), &out.PCRs)
}

type pcrsListCommand struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// Run lists what is allowed.
func (c pcrsListCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		list, err := a.pcrs(e.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(e.out).Encode(list)
		}
		for _, s := range list {
			if err := s.print(e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s pcrSet) print(e *env) error {
	_, err := fmt.Fprintf(e.out, "%s  %s on device %s, %s, log leaf %d\n", s.Model, s.Source, s.Device, stamp(s.At), s.LogIndex)
	for i, d := range s.PCRs {
		if err == nil {
			_, err = fmt.Fprintf(e.out, "  PCR %d  %s\n", i, d)
		}
	}
	return err
}

type pcrsAllowCommand struct {
	Model  string `arg:"" help:"Model, as the enrolment token said; the device's id if it has none."`
	Device string `arg:"" help:"Device whose last boot is the example: its id, or its beginning."`
}

// Run allows a set.
func (c pcrsAllowCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		id, err := findDevice(e.ctx, a, c.Device)
		if err != nil {
			return err
		}
		s, err := a.allow(e.ctx, allowRequest{Model: c.Model, Device: id})
		if err != nil {
			return err
		}
		return s.print(e)
	})
}
