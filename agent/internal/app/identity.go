package app

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/agent/internal/spool"
	"camseal/pkg/attestation/device"
	"camseal/pkg/durable"
	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// certFile holds the certificate that the server issued over the device's TLS key.
const certFile = "device.crt"

// chip is what holds the device's keys.
type chip interface {
	device.TPM
	device.Identity
}

func openTPM(ctx context.Context, set *settings, path string) (chip, error) {
	if path == "software" {
		return asChip(device.OpenSoftware(set.path("ak.key")))
	}
	tpm, err := asChip(device.Open(ctx, tpmConfig(set, path)))
	if err != nil {
		return nil, fmt.Errorf("open TPM %s: %w", path, err)
	}
	return tpm, nil
}

func asChip(t device.TPM, err error) (chip, error) {
	if err != nil {
		return nil, err
	}
	return t.(chip), nil // what device opens is both
}

// sameDevice refuses keys that did not begin this chain.
func sameDevice(sp *spool.Spool, tpm chip) error {
	own, err := sp.Device()
	if errors.Is(err, spool.ErrNotEnrolled) {
		return fmt.Errorf("%w; nothing was changed; run camseal-agent enrol first", err)
	}
	if err != nil {
		return err
	}
	if name := tpm.Key().Name(); name != own {
		return fmt.Errorf("this state folder belongs to device %s, and the TPM holds the key of %s; nothing was changed; give the right --tpm or --state", own.Short(), name.Short())
	}
	was, err := enrolment(sp)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(tpm.TLSKey().Public())
	if err != nil {
		return fmt.Errorf("TLS key: %w", err)
	}
	if !bytes.Equal(was.TLSKey, spki) {
		return errors.New("the TLS key is not the one that this device enrolled with; nothing was changed; put the old one back, or begin anew in a new state folder")
	}
	return nil
}

// enrolment reads the chain's first statement.
func enrolment(sp *spool.Spool) (*evidence.Enrol, error) {
	line, err := sp.Enrolment()
	if err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	st, _, err := evidence.ParseUnverified(line)
	if err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	e, ok := st.Body.(*evidence.Enrol)
	if !ok {
		return nil, errors.New("enrolment: the first statement is another")
	}
	return e, nil
}

// homeLog returns the verifier of the log that the device enrolled with: the only one whose receipts count.
func homeLog(sp *spool.Spool) (note.Verifier, error) {
	e, err := enrolment(sp)
	if err != nil {
		return nil, err
	}
	return tlog.NewVerifier(e.HomeLog)
}

func readLogKey(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("log key: %w", err)
	}
	key := strings.TrimSpace(string(raw))
	if _, err := tlog.NewVerifier(key); err != nil {
		return "", fmt.Errorf("log key %s: %w", file, err)
	}
	return key, nil
}

// selfSigned returns a certificate over the TLS key made now, for enrolment. It says nothing, so that no clock can make it invalid.
func selfSigned(key crypto.Signer) (tls.Certificate, error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "camseal device"},
		NotBefore: time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate for enrolment: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// deviceCertificate checks that a certificate is over the device's TLS key. Its dates are the server's matter.
func deviceCertificate(der []byte, key crypto.Signer) (tls.Certificate, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("device certificate: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("device certificate: %w", err)
	}
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, spki) {
		return tls.Certificate{}, errors.New("device certificate: it is over another key")
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// readCertificate reads the certificate that is kept.
func readCertificate(set *settings, key crypto.Signer) (tls.Certificate, error) {
	raw, err := os.ReadFile(set.path(certFile))
	if errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, fmt.Errorf("this device has no certificate of the server (%s); nothing was changed; run camseal-agent enrol with a new token", set.path(certFile))
	}
	if err != nil {
		return tls.Certificate{}, err
	}
	block, rest := pem.Decode(raw)
	if block == nil || len(rest) != 0 {
		return tls.Certificate{}, fmt.Errorf("%s is not one PEM block; enrol again with a new token", set.path(certFile))
	}
	return deviceCertificate(block.Bytes, key)
}

// keepCertificate keeps a certificate durably.
func keepCertificate(set *settings, der []byte) error {
	return durable.Write(set.path(certFile), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

func keepCopy(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(to); err == nil && string(old) == string(raw) {
		return nil
	}
	return durable.Write(to, raw, 0o600)
}
