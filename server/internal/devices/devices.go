// Package devices enrols devices, knows them by their TLS keys, and revokes them.
//
// Enrolment is one act: who holds a one-time token sends the device's keys; a challenge shows that attestation key and
// endorsement key are in one TPM; the act is a custody event, and the device gets a certificate over its TLS key.
package devices

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// ErrRevoked says that a device was revoked already.
var ErrRevoked = errors.New("this device was revoked already; nothing was changed")

// Config says what a Registry works with. All members must be set, but the roots, which may be nil.
type Config struct {
	Catalog *catalog.Catalog
	Log     *catalog.Projector
	Book    *casework.Book
	Tokens  *Tokens
	HomeLog string // verifier key of this server's log

	CA    *x509.Certificate // the server's own authority, which issues the devices' certificates
	CAKey crypto.Signer

	Roots             *attestation.Roots // TPM makers
	TrialRoots        *attestation.Roots // emulators
	AllowUnknownMaker bool               // enrol TPMs that no root vouches for

	Rand io.Reader
	Now  func() time.Time
	Slog *slog.Logger
}

// Registry enrols, finds and revokes devices. It is safe for concurrent use.
type Registry struct {
	Config

	acting sync.Mutex // one enrolment is recorded at a time, so that two can't contradict each other

	mu      sync.Mutex
	pending map[string]*pending // by id
}

// New makes a Registry.
func New(c Config) *Registry { return &Registry{Config: c, pending: map[string]*pending{}} }

// Authenticate finds the device whose enrolled TLS key a client proved to hold, and demands the certificate that this server issued for
// it. Errors are *transport.Error where the client is at fault.
func (r *Registry) Authenticate(ctx context.Context, cert *x509.Certificate) (db.Device, error) {
	dev, err := r.Catalog.DeviceByTLSKey(ctx, evidence.Sum(cert.RawSubjectPublicKeyInfo))
	if errors.Is(err, catalog.ErrUnknown) {
		return dev, &transport.Error{Status: 403, Code: transport.CodeUnknownDevice, Message: "this device is not enrolled with this server",
			Kept: "the device keeps everything", Do: "ask for a token (camseal-server enrol-token) and enrol it: camseal-agent enrol --token TOKEN"}
	}
	if err != nil {
		return dev, err
	}
	if err := Active(dev); err != nil {
		return dev, err
	}
	return dev, r.checkCertificate(cert, dev)
}

// Active returns a refusal if the device was revoked.
func Active(dev db.Device) error {
	if !dev.RevokedIndex.Valid {
		return nil
	}
	return &transport.Error{Status: 403, Code: transport.CodeRevoked, Message: "this device was revoked",
		Kept: "what it sent before is kept; the device keeps the rest", Do: "set it up anew with a new key, or ask the custodian"}
}

// Revoke ends what a device may say, at once: the leaf first, then the custody event that says who did it. since, if not nil, is from
// when on its word is suspect, milliseconds since 1970 UTC. Errors: ErrRevoked, catalog.ErrUnknown.
func (r *Registry) Revoke(ctx context.Context, actor string, id evidence.DeviceID, since *int64) (index uint64, err error) {
	r.acting.Lock()
	defer r.acting.Unlock()
	dev, err := r.Catalog.Device(ctx, id)
	if err != nil {
		return 0, err
	}
	if dev.RevokedIndex.Valid {
		return 0, ErrRevoked
	}
	index, _, err = r.Log.Append(ctx, &evidence.Revoke{Device: id, SuspectSince: since})
	if err != nil {
		return 0, fmt.Errorf("revoke device %s: %w", id.Short(), err)
	}
	r.Slog.WarnContext(ctx, "device revoked", slog.String("device", id.Short()), slog.Uint64("log_index", index))
	detail := evidence.Detail{"leaf": fmt.Sprint(index)}
	if since != nil {
		detail["suspect_since"] = fmt.Sprint(*since)
	}
	if _, err := r.Book.Record(ctx, casework.Act{Name: casework.ActRevoked, Actor: actor, Device: &id, Detail: detail}); err != nil {
		return index, fmt.Errorf("device %s is revoked, but who did it is not recorded: %w", id.Short(), err)
	}
	return index, nil
}
