// Package devices registers devices and knows them by their TLS keys.
package devices

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// ErrConflict says that a registration contradicts an earlier one. The earlier one stays.
var ErrConflict = errors.New("contradicts an earlier registration")

// Registry registers and finds devices. It is safe for concurrent use.
type Registry struct {
	Catalog *catalog.Catalog
	Book    *casework.Book

	mu sync.Mutex // one registration at a time, so that two can't contradict each other
}

// Register makes a device known, by a custody event. The same registration again changes nothing and is no error.
// Errors: ErrConflict if the attestation key has another TLS key already, or the TLS key belongs to another device.
func (r *Registry) Register(ctx context.Context, actor string, reg transport.Registration) (evidence.DeviceID, error) {
	key, err := attestation.ParseKey(reg.Class, reg.AK)
	if err != nil {
		return evidence.DeviceID{}, fmt.Errorf("register device: %w", err)
	}
	if err := checkTLSKey(reg.TLSKey); err != nil {
		return evidence.DeviceID{}, fmt.Errorf("register device: %w", err)
	}
	id := key.Name()
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.known(ctx, id, evidence.Sum(reg.TLSKey))
	if err != nil || known {
		return id, err
	}
	text := func(b evidence.Bytes) string { t, _ := b.MarshalText(); return string(t) } // never fails
	_, err = r.Book.Record(ctx, casework.Act{Name: catalog.ActRegistered, Actor: actor, Device: &id, Detail: evidence.Detail{
		catalog.DetailClass: string(reg.Class), catalog.DetailAK: text(reg.AK), catalog.DetailTLSKey: text(reg.TLSKey)}})
	return id, err
}

func (r *Registry) known(ctx context.Context, id evidence.DeviceID, tls evidence.Digest) (bool, error) {
	dev, err := r.Catalog.Device(ctx, id)
	if err == nil && dev.TlsKey == tls.String() {
		return true, nil
	}
	if err == nil {
		return false, fmt.Errorf("device %s has another TLS key: %w; a device that lost its TLS key needs a new attestation key too", id.Short(), ErrConflict)
	}
	if !errors.Is(err, catalog.ErrUnknown) {
		return false, err
	}
	dev, err = r.Catalog.DeviceByTLSKey(ctx, tls)
	if err == nil {
		return false, fmt.Errorf("this TLS key is device %s's: %w", dev.Device, ErrConflict)
	}
	if !errors.Is(err, catalog.ErrUnknown) {
		return false, err
	}
	return false, nil
}

func checkTLSKey(spki []byte) error {
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return fmt.Errorf("TLS key: %w", err)
	}
	if k, ok := pub.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		return errors.New("TLS key: not an ECDSA key on P-256")
	}
	again, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil || string(again) != string(spki) {
		return errors.New("TLS key: not in its one form")
	}
	return nil
}

// Authenticate finds the device whose registered TLS key a client proved to hold. Errors are *transport.Error.
func (r *Registry) Authenticate(ctx context.Context, cert *x509.Certificate) (db.Device, error) {
	dev, err := r.Catalog.DeviceByTLSKey(ctx, evidence.Sum(cert.RawSubjectPublicKeyInfo))
	if errors.Is(err, catalog.ErrUnknown) {
		return dev, &transport.Error{Status: 403, Code: transport.CodeUnknownDevice, Message: "this device is not registered with this server",
			Kept: "the device keeps everything", Do: "register it: camseal-server device register FILE"}
	}
	if err != nil {
		return dev, err
	}
	if dev.RevokedIndex.Valid {
		return dev, &transport.Error{Status: 403, Code: transport.CodeRevoked, Message: "this device was revoked",
			Kept: "what it sent before is kept; the device keeps the rest", Do: "set it up anew with a new key, or ask the custodian"}
	}
	return dev, nil
}
