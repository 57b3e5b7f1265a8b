package devices

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/catalog/db"
)

const (
	certYears = 1
	clockSkew = 48 * time.Hour // a device whose clock is behind must still take its certificate
)

// issue makes a device's certificate over its TLS key.
func (r *Registry) issue(id evidence.DeviceID, spki []byte) ([]byte, error) {
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive, and always of the same length
	now := r.Now()
	t := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: commonName(id.String())}, NotBefore: now.Add(-clockSkew),
		NotAfter: now.AddDate(certYears, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, t, r.CA, pub, r.CAKey)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return der, nil
}

// Renew issues a new certificate over the key of an authenticated device.
func (r *Registry) Renew(dev db.Device, cert *x509.Certificate) (transport.Certificate, error) {
	id, err := evidence.ParseDeviceID(dev.Device)
	if err != nil {
		return transport.Certificate{}, err
	}
	der, err := r.issue(id, cert.RawSubjectPublicKeyInfo)
	return transport.Certificate{Certificate: der}, err
}

// checkCertificate demands the server's own certificate for this device, in its time.
func (r *Registry) checkCertificate(cert *x509.Certificate, dev db.Device) error {
	refuse := func(format string, args ...any) error {
		return &transport.Error{Status: 403, Code: transport.CodeCertificate, Message: fmt.Sprintf(format, args...), Kept: "the device keeps everything",
			Do: "ask for a new token (camseal-server enrol-token) and enrol the device again: it keeps its keys and its chain"}
	}
	if cert.CheckSignatureFrom(r.CA) != nil || cert.Subject.CommonName != commonName(dev.Device) {
		return refuse("the device's certificate was not issued by this server for this device")
	}
	now := r.Now()
	switch {
	case now.After(cert.NotAfter):
		return refuse("the device's certificate ended at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.NotBefore):
		return refuse("the device's certificate begins at %s; the server's clock says %s", cert.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// commonName is a device's id as a certificate's subject has it: without the 000b that every id begins with, for X.509 allows 64
// characters (RFC 5280, ub-common-name).
func commonName(device string) string { return strings.TrimPrefix(device, "000b") }
