package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/devices"
)

type enrolTokenCommand struct {
	Model    string `help:"Model of the device; devices of one model share the list of software that they may boot."`
	For      days   `help:"How long the token is good." default:"24h"`
	Software bool   `help:"For a device without TPM, whose keys are in a file. A trial."`
}

const maxModel = 100

// Run prints a new token. It stands nowhere else: the state folder keeps its hash.
func (c enrolTokenCommand) Run(e *env) error {
	if _, err := os.Stat(e.settings.path(fileLogKey)); errors.Is(err, fs.ErrNotExist) {
		return usagef("%s is no state folder of a server; nothing was made; run `camseal-server init` first", e.settings.State)
	}
	if c.For <= 0 {
		return usagef("for: it must be longer than nothing")
	}
	if len(c.Model) > maxModel || strings.ContainsFunc(c.Model, func(r rune) bool { return r < ' ' }) {
		return usagef("model: one line of at most %d bytes", maxModel)
	}
	token, err := tokensOf(e).Make(devices.Token{Model: c.Model, Software: c.Software, Until: e.now().Add(time.Duration(c.For)).UnixMilli()})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, token)
	return err
}

type deviceCommand struct {
	List   listCommand   `cmd:"" help:"List the devices that are enrolled."`
	Show   showCommand   `cmd:"" help:"Say all that is known of one device."`
	Revoke revokeCommand `cmd:"" help:"Take nothing in any more from a device, at once. What it sent before stays valid."`
}

// deviceLine is one line of `device list`. Times are milliseconds since 1970 UTC.
type deviceLine struct {
	Device       string          `json:"device"`
	Class        evidence.Class  `json:"class"`
	Model        string          `json:"model"`
	Maker        string          `json:"maker"`   // of the TPM, as its certificate says; empty if nobody vouches for it
	Vouched      catalog.Vouched `json:"vouched"` // maker, trial, nobody; software if there is no TPM
	Enrolled     int64           `json:"enrolled"`
	Revoked      bool            `json:"revoked"`
	SuspectSince *int64          `json:"suspect_since,omitempty"`
	Statements   int64           `json:"statements"`
}

func lineOf(r db.Device) deviceLine {
	l := deviceLine{Device: r.Device, Class: evidence.Class(r.Class), Model: r.Model, Maker: r.Maker, Vouched: r.Vouched, Enrolled: r.EnrolledAt,
		Revoked: r.RevokedIndex.Valid, Statements: r.NextSeq}
	if r.SuspectSince.Valid {
		l.SuspectSince = &r.SuspectSince.Int64
	}
	return l
}

// deviceDetail is what `device show` prints.
type deviceDetail struct {
	deviceLine
	TLSKey   string           `json:"tls_key"` // SHA-256 of the SubjectPublicKeyInfo
	EKCert   evidence.Bytes   `json:"ek_cert,omitempty"`
	Counter  *counterState    `json:"counter"` // null: the TPM offers none
	Head     evidence.Digest  `json:"head"`
	Boot     *bootLine        `json:"boot,omitempty"`   // the newest
	Changes  []softwareChange `json:"software_changes"` // newest first
	LogIndex int64            `json:"enrolled_index"`   // of the custody event
	Revoke   *int64           `json:"revoked_index"`    // of the revoke leaf
	Seen     *int64           `json:"seen_index"`       // of the newest seen leaf
}

type counterState struct {
	Index uint64   `json:"index"`
	Value *uint64  `json:"value"` // the newest that arrived
	Owed  []uint64 `json:"owed"`  // statements whose count records are still to come
}

type bootLine struct {
	Seq      int64             `json:"seq"`
	At       int64             `json:"at"` // the device's clock, a claim
	Software string            `json:"software"`
	PCRs     []evidence.Digest `json:"pcrs"`
	Allowed  bool              `json:"allowed"` // for the device's model
}

type softwareChange struct {
	Before bootLine `json:"before"`
	After  bootLine `json:"after"`
}

const shownChanges = 20

func bootOf(b db.Boot, allowed bool) (bootLine, error) {
	out := bootLine{Seq: b.Seq, At: b.At, Software: b.Software, Allowed: allowed}
	if b.Pcrs == "" {
		return out, nil
	}
	return out, json.Unmarshal([]byte(b.Pcrs), &out.PCRs)
}

func (l local) devices(ctx context.Context) ([]deviceLine, error) {
	if err := l.wait(ctx); err != nil {
		return nil, err
	}
	rows, err := l.catalog.Devices(ctx)
	out := []deviceLine{}
	for _, r := range rows {
		out = append(out, lineOf(r))
	}
	return out, err
}

func (l local) device(ctx context.Context, id evidence.DeviceID) (d deviceDetail, err error) {
	if err := l.wait(ctx); err != nil {
		return d, err
	}
	row, err := l.catalog.Device(ctx, id)
	if err != nil {
		return d, err
	}
	d = deviceDetail{deviceLine: lineOf(row), TLSKey: row.TlsKey, LogIndex: row.EnrolledIndex, Changes: []softwareChange{}}
	if row.RevokedIndex.Valid {
		d.Revoke = &row.RevokedIndex.Int64
	}
	if row.SeenIndex.Valid {
		d.Seen = &row.SeenIndex.Int64
	}
	err = errors.Join(d.EKCert.UnmarshalText([]byte(row.EkCert)), d.Head.UnmarshalText([]byte(row.Head)))
	if err == nil {
		d.Counter, err = counterOf(row)
	}
	if err == nil {
		err = l.boots(ctx, row, &d)
	}
	return d, err
}

func counterOf(row db.Device) (*counterState, error) {
	if row.Counter == "" {
		return nil, nil
	}
	var ref evidence.CounterRef
	if err := json.Unmarshal([]byte(row.Counter), &ref); err != nil {
		return nil, err
	}
	out := &counterState{Index: ref.Index}
	s, err := catalog.CounterOf(row)
	out.Owed = catalog.OwedIn(s)
	if s != nil {
		out.Value = s.Value
	}
	return out, err
}

func (l local) boots(ctx context.Context, row db.Device, d *deviceDetail) error {
	last, err := l.catalog.LastBoot(ctx, row.Device)
	if errors.Is(err, catalog.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	ok, err := l.catalog.PCRsAllowed(ctx, row, last)
	if err != nil {
		return err
	}
	b, err := bootOf(last, ok)
	if err != nil {
		return err
	}
	d.Boot = &b
	changes, err := l.catalog.SoftwareChanges(ctx, row, evidence.MaxInt, shownChanges)
	if err != nil {
		return err
	}
	for _, c := range changes {
		before, err := l.bootLine(ctx, row, c.Before)
		if err != nil {
			return err
		}
		after, err := bootOf(c.After, c.Allowed)
		if err != nil {
			return err
		}
		d.Changes = append(d.Changes, softwareChange{Before: before, After: after})
	}
	return nil
}

func (l local) bootLine(ctx context.Context, dev db.Device, b db.Boot) (bootLine, error) {
	ok, err := l.catalog.PCRsAllowed(ctx, dev, b)
	if err != nil {
		return bootLine{}, err
	}
	return bootOf(b, ok)
}

// revokeRequest asks to revoke a device.
type revokeRequest struct {
	Device       evidence.DeviceID `json:"device"`
	SuspectSince *int64            `json:"suspect_since"` // milliseconds since 1970 UTC
}

func (l local) revoke(ctx context.Context, req revokeRequest) (uint64, error) {
	if err := l.wait(ctx); err != nil {
		return 0, err
	}
	index, err := l.registry.Revoke(ctx, actor, req.Device, req.SuspectSince)
	if err == nil {
		l.live.End(req.Device.String())
	}
	return index, err
}

type listCommand struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// Run lists devices.
func (c listCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		list, err := a.devices(e.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(e.out).Encode(list)
		}
		for _, d := range list {
			state := "enrolled"
			if d.Revoked {
				state = "revoked"
			}
			_, err := fmt.Fprintf(e.out, "%s  %-8s  %-8s  %s  %d statements  %q  %s\n", d.Device, d.Class, state, stamp(d.Enrolled), d.Statements, d.Model, vouchText(d))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// vouchText says who vouches for a device's TPM.
func vouchText(d deviceLine) string {
	switch d.Vouched {
	case catalog.VouchedMaker:
		return "TPM by " + d.Maker
	case catalog.VouchedTrial:
		return "emulated TPM, trial: " + d.Maker
	case catalog.VouchedSoftware:
		return "no TPM, trial"
	}
	return "TPM maker unknown"
}

// findDevice reads a device's id, or enough of its beginning.
func findDevice(ctx context.Context, a admin, word string) (evidence.DeviceID, error) {
	const least = 4
	if id, err := evidence.ParseDeviceID(word); err == nil {
		return id, nil
	}
	list, err := a.devices(ctx)
	if err != nil {
		return evidence.DeviceID{}, err
	}
	found := ""
	for _, d := range list {
		if len(word) < least || !strings.HasPrefix(d.Device, word) && !strings.HasPrefix(d.Device[4:], word) {
			continue
		}
		if found != "" {
			return evidence.DeviceID{}, usagef("several devices begin with %s; give more of it", word)
		}
		found = d.Device
	}
	if found == "" {
		return evidence.DeviceID{}, usagef("there is no device %s; `camseal-server device list` names them", word)
	}
	return evidence.ParseDeviceID(found)
}

type showCommand struct {
	Device string `arg:"" help:"Id of the device, or its beginning."`
	JSON   bool   `name:"json" help:"Write JSON."`
}

// Run shows one device.
func (c showCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		id, err := findDevice(e.ctx, a, c.Device)
		if err != nil {
			return err
		}
		d, err := a.device(e.ctx, id)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(e.out).Encode(d)
		}
		_, err = fmt.Fprint(e.out, d.text())
		return err
	})
}

func (d deviceDetail) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("device", "%s", d.Device)
	line("class", "%s (%s)", d.Class, vouchText(d.deviceLine))
	line("model", "%q", d.Model)
	line("enrolled", "%s, log leaf %d", stamp(d.Enrolled), d.LogIndex)
	if d.Revoke != nil {
		line("revoked", "log leaf %d: what comes after it is not accepted", *d.Revoke)
		if d.SuspectSince != nil {
			line("suspect", "since %s", stamp(*d.SuspectSince))
		}
	}
	line("TLS key", "SHA-256 %s", d.TLSKey)
	switch {
	case d.Counter == nil:
		line("counter", "none: what was begun and never arrived can't be told")
	case d.Counter.Value == nil:
		line("counter", "NV index %08x, nothing arrived yet", d.Counter.Index)
	default:
		line("counter", "NV index %08x stands at %d as far as statements arrived; %d count records to come", d.Counter.Index, *d.Counter.Value, len(d.Counter.Owed))
	}
	line("statements", "%d, head %s", d.Statements, d.Head)
	if d.Boot != nil {
		word := "allowed for its model"
		if !d.Boot.Allowed {
			word = "NOT among what is allowed for its model"
		}
		line("boot", "statement %d at %s (the device's clock): %s, PCRs 0-7 %s", d.Boot.Seq, stamp(d.Boot.At), d.Boot.Software, word)
	}
	for _, c := range d.Changes {
		line("changed", "the recorder's software changed between %s and %s (statements %d and %d)", stamp(c.Before.At), stamp(c.After.At), c.Before.Seq, c.After.Seq)
		for i := range min(len(c.Before.PCRs), len(c.After.PCRs)) {
			if c.Before.PCRs[i] != c.After.PCRs[i] {
				line("", "PCR %d: %s → %s", i, c.Before.PCRs[i], c.After.PCRs[i])
			}
		}
	}
	return b.String()
}

type revokeCommand struct {
	Device       string     `arg:"" help:"Id of the device, or its beginning."`
	SuspectSince *time.Time `help:"From when on its word is suspect, such as 2026-05-01T08:00:00+08:00." placeholder:"TIME"`
	JSON         bool       `name:"json" help:"Write JSON."`
}

// Run revokes a device.
func (c revokeCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		id, err := findDevice(e.ctx, a, c.Device)
		if err != nil {
			return err
		}
		req := revokeRequest{Device: id}
		if c.SuspectSince != nil {
			ms := c.SuspectSince.UnixMilli()
			req.SuspectSince = &ms
		}
		index, err := a.revoke(e.ctx, req)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(e.out).Encode(map[string]any{"device": id, "revoked_index": index})
		}
		_, err = fmt.Fprintf(e.out, "%s revoked by log leaf %d\n", id, index)
		return err
	})
}
