package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// Custody events that tables are made from.
const (
	ActEnrolled        = "device-enrolled"   // a device is known from now on: Detail… below
	ActRegistered      = "device-registered" // the same, as servers wrote it before devices enrolled by challenge: class, ak and tls_key
	ActSoftwareChanged = "software-changed"  // a device booted with other PCRs 0-7 than before: DetailSeq names the boot
	ActPCRsAllowed     = "pcrs-allowed"      // an administrator allows a device's PCRs 0-7 for its model: DetailModel, DetailPCRs
	ActQuarantined     = "quarantined"       // something was refused; a fork has DetailSeq, DetailKnown and DetailSent
)

// Members of these events' detail. Bytes are base64.
const (
	DetailClass    = "class"
	DetailModel    = "model"
	DetailAK       = "ak"
	DetailEK       = "ek"
	DetailEKCert   = "ek_cert"
	DetailMaker    = "maker"
	DetailVouched  = "vouched"   // a Vouched
	DetailTLSKey   = "tls_key"   // SubjectPublicKeyInfo
	DetailTLSProof = "tls_proof" // attestation.KeyProof in JSON; empty in class software
	DetailCounter  = "counter"   // evidence.CounterRef in JSON; empty if there is none
	DetailSoftware = "software"

	DetailSeq   = "seq"
	DetailPCRs  = "pcrs" // 0-7 in JSON
	DetailKnown = "known"
	DetailSent  = "sent"
	DetailCode  = "code"
)

// Vouched says who vouches for it that a device's keys are in a TPM.
type Vouched = string

// The values of Vouched.
const (
	VouchedMaker    Vouched = "maker"    // a TPM maker whose root the administrator gave
	VouchedTrial    Vouched = "trial"    // an emulator's root: no TPM at all
	VouchedNobody   Vouched = "nobody"   // allowed by configuration
	VouchedSoftware Vouched = "software" // class software: there is no TPM
)

// Where a set of PCRs comes from.
const (
	SourceFirst   = "first-seen"
	SourceAllowed = "allowed"
)

func enrolled(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	var tls evidence.Bytes
	if err := tls.UnmarshalText([]byte(ev.Detail[DetailTLSKey])); err != nil {
		return fmt.Errorf("enrolment of device %s: %w", ev.Device, err)
	}
	id, key := ev.Device.String(), evidence.Sum(tls).String()
	known, err := q.DeviceByID(ctx, id)
	if err == nil && known.TlsKey != key {
		return nil // a device has one TLS key for life
	}
	if errors.Is(err, sql.ErrNoRows) {
		if _, err = q.DeviceByTLSKey(ctx, key); err == nil {
			return nil // and a TLS key has one device
		}
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	vouched := ev.Detail[DetailVouched]
	if ev.Act == ActRegistered {
		vouched = VouchedNobody
		if evidence.Class(ev.Detail[DetailClass]) == evidence.ClassSoftware {
			vouched = VouchedSoftware
		}
	}
	return q.PutDevice(ctx, db.PutDeviceParams{Device: id, Class: ev.Detail[DetailClass], Model: ev.Detail[DetailModel], Ak: ev.Detail[DetailAK],
		Ek: ev.Detail[DetailEK], EkCert: ev.Detail[DetailEKCert], Maker: ev.Detail[DetailMaker], Vouched: vouched,
		TlsKey: key, Counter: ev.Detail[DetailCounter], EnrolledAt: ev.At, EnrolledIndex: int64(e.Index),
		Head: evidence.FirstHead(*ev.Device).String()})
}

func told(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	seq, err := strconv.ParseInt(ev.Detail[DetailSeq], 10, 64)
	if err != nil {
		return fmt.Errorf("software change of device %s: %w", ev.Device, err)
	}
	return q.ToldChange(ctx, db.ToldChangeParams{Told: index(e), Device: ev.Device.String(), Seq: seq})
}

func allowed(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	return q.InsertPCRSet(ctx, db.InsertPCRSetParams{Model: ev.Detail[DetailModel], Pcrs: ev.Detail[DetailPCRs], Device: ev.Device.String(),
		Source: SourceAllowed, At: ev.At, LogIndex: int64(e.Index)})
}

func forked(ctx context.Context, q *db.Queries, e ledger.Entry, ev *evidence.CustodyEvent) error {
	if ev.Detail[DetailKnown] == "" {
		return nil // something else was refused
	}
	seq, err := strconv.ParseInt(ev.Detail[DetailSeq], 10, 64)
	if err != nil {
		return fmt.Errorf("fork of device %s: %w", ev.Device, err)
	}
	return q.InsertFork(ctx, db.InsertForkParams{LogIndex: int64(e.Index), Device: ev.Device.String(), Seq: seq, Known: ev.Detail[DetailKnown],
		Sent: ev.Detail[DetailSent], At: ev.At})
}

// ofDevice reports whether a statement goes to the tables of boots and of what was counted.
func ofDevice(s *evidence.Statement) bool {
	_, counted := countedValue(s)
	return counted
}

// countedValue returns the counter's value that a counted statement names.
func countedValue(s *evidence.Statement) (value string, counted bool) {
	switch b := s.Body.(type) {
	case *evidence.Enrol:
		return "", true
	case *evidence.Boot:
		return b.Counter, true
	case *evidence.Intake:
		return b.Counter, true
	case *evidence.Open:
		return b.Counter, b.Mode == evidence.ModeCapture
	}
	return "", false
}

// writeOwn writes what a batch says about the device itself.
func writeOwn(ctx context.Context, q *db.Queries, e ledger.Entry, w *Walked) error {
	dev, err := q.DeviceByID(ctx, w.Batch.Device.String())
	if err != nil {
		return err
	}
	for _, s := range w.Own {
		if value, _ := countedValue(s); w.State.Counter != nil {
			err := q.InsertCounted(ctx, db.InsertCountedParams{Device: dev.Device, Seq: int64(s.Seq), Kind: string(s.Kind), Value: value, At: s.At, LogIndex: int64(e.Index)})
			if err != nil {
				return err
			}
		}
		if b, ok := s.Body.(*evidence.Boot); ok {
			if err := writeBoot(ctx, q, e, dev, s, b); err != nil {
				return err
			}
		}
	}
	for _, o := range w.opens {
		if w.State.Counter != nil {
			err := q.InsertCounted(ctx, db.InsertCountedParams{Device: dev.Device, Seq: int64(o.seq), Kind: string(evidence.KindOpen),
				Value: strconv.FormatUint(*o.value, 10), At: o.at, LogIndex: int64(e.Index)})
			if err != nil {
				return err
			}
		}
	}
	for _, g := range w.Gaps {
		err := q.InsertGap(ctx, db.InsertGapParams{Device: dev.Device, AfterSeq: int64(g.After), BeforeSeq: int64(g.Before),
			FromValue: strconv.FormatUint(g.From, 10), ToValue: strconv.FormatUint(g.To, 10)})
		if err != nil {
			return err
		}
	}
	return nil
}

// writeBoot compares a boot with the one before. The first PCRs that are seen of a model begin the list of what is allowed for it.
func writeBoot(ctx context.Context, q *db.Queries, e ledger.Entry, dev db.Device, s *evidence.Statement, b *evidence.Boot) error {
	row := db.InsertBootParams{Device: dev.Device, Seq: int64(s.Seq), At: s.At, Software: b.Software, LogIndex: int64(e.Index)}
	if b.Last != nil {
		row.OwnLast = sql.NullInt64{Int64: int64(*b.Last), Valid: true}
	}
	if len(b.PCRs) > attestation.FirmwarePCRs {
		pcrs, err := json.Marshal(b.PCRs[:attestation.FirmwarePCRs])
		if err != nil {
			return err
		}
		row.Pcrs = string(pcrs)
	}
	before, err := q.LastBoot(ctx, dev.Device)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case before.Pcrs != row.Pcrs:
		row.Changed = sql.NullInt64{Int64: before.Seq, Valid: true}
	}
	if err := q.InsertBoot(ctx, row); err != nil || row.Pcrs == "" {
		return err
	}
	n, err := q.CountPCRSets(ctx, Policy(dev))
	if err != nil || n > 0 {
		return err
	}
	return q.InsertPCRSet(ctx, db.InsertPCRSetParams{Model: Policy(dev), Pcrs: row.Pcrs, Device: dev.Device, Source: SourceFirst, At: s.At, LogIndex: int64(e.Index)})
}

// Policy is the name under which the allowed PCRs of a device are kept: its model, or its own id if it has none.
func Policy(dev db.Device) string {
	if dev.Model == "" {
		return dev.Device
	}
	return dev.Model
}

// CounterOf says where a device's TPM counter stands, as far as its statements have arrived; nil if it has none, or said nothing yet.
func CounterOf(dev db.Device) (*verify.CounterState, error) {
	if dev.Chain == "" {
		return nil, nil
	}
	s, err := ChainState(dev)
	return s.Counter, err
}

// Owed are a device's statements whose count records are still to come, in order.
func Owed(dev db.Device) ([]uint64, error) {
	s, err := CounterOf(dev)
	return OwedIn(s), err
}

// OwedIn is Owed for a counter's state; nil is a device without counter.
func OwedIn(s *verify.CounterState) []uint64 {
	out := []uint64{}
	if s != nil {
		for _, o := range s.Owed {
			out = append(out, o.Seq)
		}
	}
	return out
}

// SoftwareChange is a boot with other PCRs 0-7 than the one before.
type SoftwareChange struct {
	Before, After db.Boot
	Allowed       bool // the new set is on the list of the device's model
}

// SoftwareChanges returns a device's newest changes up to statement upto, at most n, newest first.
func (c *Catalog) SoftwareChanges(ctx context.Context, dev db.Device, upto uint64, n int) ([]SoftwareChange, error) {
	rows, err := c.q.SoftwareChanges(ctx, db.SoftwareChangesParams{Device: dev.Device, Upto: int64(upto), Page: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("read software changes: %w", err)
	}
	return c.changes(ctx, rows)
}

// UntoldChanges returns the changes of all devices that no custody event speaks of yet.
func (c *Catalog) UntoldChanges(ctx context.Context) ([]SoftwareChange, error) {
	rows, err := c.q.UntoldChanges(ctx)
	if err != nil {
		return nil, fmt.Errorf("read software changes: %w", err)
	}
	return c.changes(ctx, rows)
}

func (c *Catalog) changes(ctx context.Context, rows []db.Boot) ([]SoftwareChange, error) {
	out := make([]SoftwareChange, 0, len(rows))
	for _, row := range rows {
		before, err := c.q.BootAt(ctx, db.BootAtParams{Device: row.Device, Seq: row.Changed.Int64})
		if err != nil {
			return nil, fmt.Errorf("read boot %d: %w", row.Changed.Int64, err)
		}
		dev, err := c.q.DeviceByID(ctx, row.Device)
		if err != nil {
			return nil, fmt.Errorf("read device %s: %w", row.Device, err)
		}
		ok, err := c.PCRsAllowed(ctx, dev, row)
		if err != nil {
			return nil, err
		}
		out = append(out, SoftwareChange{Before: before, After: row, Allowed: ok})
	}
	return out, nil
}

// PCRsAllowed reports whether a boot's PCRs 0-7 are on the list of the device's model.
func (c *Catalog) PCRsAllowed(ctx context.Context, dev db.Device, boot db.Boot) (bool, error) {
	n, err := c.q.PCRSetAllowed(ctx, db.PCRSetAllowedParams{Model: Policy(dev), Pcrs: boot.Pcrs})
	if err != nil {
		return false, fmt.Errorf("read allowed PCRs: %w", err)
	}
	return n > 0 || boot.Pcrs == "", nil
}

// LastBoot returns a device's newest boot. Errors: ErrUnknown.
func (c *Catalog) LastBoot(ctx context.Context, device string) (db.Boot, error) {
	row, err := c.q.LastBoot(ctx, device)
	return one(row, err, "boot of device "+device)
}

// PCRSets returns what is allowed, by model.
func (c *Catalog) PCRSets(ctx context.Context) ([]db.PcrSet, error) { return c.q.PCRSets(ctx) }

// Account is what a device's counter, its boots and the quarantine say about statements that never arrived.
type Account struct {
	Gaps       []Gap
	Forks      []db.Fork
	Recoveries []db.Boot // boots that go on behind the server's head
}

// Gap is a run of counter values that never arrived, between two statements that did.
type Gap struct {
	From, To      string // decimal
	After, Before db.Counted
}

// Account returns what is known to be missing of a device.
func (c *Catalog) Account(ctx context.Context, device string) (a Account, err error) {
	gaps, err := c.q.GapsOf(ctx, device)
	if err == nil {
		a.Forks, err = c.q.ForksOf(ctx, device)
	}
	if err == nil {
		a.Recoveries, err = c.q.Recoveries(ctx, device)
	}
	for _, g := range gaps {
		gap := Gap{From: g.FromValue, To: g.ToValue}
		if err == nil {
			gap.After, err = c.q.CountedAt(ctx, db.CountedAtParams{Device: device, Seq: g.AfterSeq})
		}
		if err == nil {
			gap.Before, err = c.q.CountedAt(ctx, db.CountedAtParams{Device: device, Seq: g.BeforeSeq})
		}
		a.Gaps = append(a.Gaps, gap)
	}
	if err != nil {
		return Account{}, fmt.Errorf("account for device %s: %w", device, err)
	}
	return a, nil
}
