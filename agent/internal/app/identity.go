package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
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
	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/transport"
)

type identityCmd struct{}

// Run makes what is missing of the device's identity, and prints its registration.
func (identityCmd) Run(ctx context.Context, set *settings, con *console) (err error) {
	if err := set.check(); err != nil {
		return err
	}
	path, err := set.tpm()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(set.State, 0o700); err != nil {
		return err
	}
	sp, _, err := openSpool(ctx, set, newLog(con.err, set.LogLevel))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sp.Close()) }()
	clearDisabled := false
	if path != "software" {
		p, err := device.Provision(ctx, tpmConfig(set, path))
		if err != nil {
			return fmt.Errorf("set up the TPM: %w", err)
		}
		clearDisabled = p.ClearDisabled
		if p.Hardening != nil {
			fmt.Fprintln(con.err, "camseal-agent: the TPM could not be protected against being cleared; this is on record in the identity:", p.Hardening)
		}
	}
	tpm, err := openTPM(ctx, set, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tpm.Close()) }()
	cert, err := tlsIdentity(set)
	if err != nil {
		return err
	}
	if err := enrol(ctx, set, sp, tpm, cert, clearDisabled); err != nil {
		return err
	}
	if set.CA != "" {
		if err := keepCopy(set.CA, set.path("ca.pem")); err != nil {
			return err
		}
	}
	spki, err := spkiOf(cert)
	if err != nil {
		return err
	}
	out := json.NewEncoder(con.out)
	out.SetIndent("", "  ")
	return out.Encode(transport.Registration{Class: tpm.Key().Class(), AK: tpm.Key().Bytes(), TLSKey: spki})
}

// enrol writes the first statement, or checks that the one there is about these keys.
func enrol(ctx context.Context, set *settings, sp *spool.Spool, tpm device.TPM, cert tls.Certificate, clearDisabled bool) error {
	spki, err := spkiOf(cert)
	if err != nil {
		return err
	}
	if _, err := sp.Device(); err == nil {
		if err := sameDevice(sp, tpm); err != nil {
			return err
		}
		was, err := enrolment(sp)
		if err != nil {
			return err
		}
		if string(was.TLSKey) != string(spki) {
			return errors.New("tls.key is not the key that this device enrolled with; nothing was changed; put the old file back")
		}
		if set.LogKey == "" {
			return nil
		}
		key, err := readLogKey(set.LogKey)
		if err == nil && key != was.HomeLog {
			err = errors.New("this device has its home at another log already; nothing was changed; a new home needs a new identity, in a new state folder")
		}
		return err
	}
	if set.LogKey == "" {
		return usagef("identity needs --log-key: the file log.vkey that the server wrote at its init")
	}
	key, err := readLogKey(set.LogKey)
	if err != nil {
		return err
	}
	return sp.Enrol(ctx, tpm.Key().Name(), &evidence.Enrol{AK: tpm.Key().Bytes(), Class: tpm.Key().Class(), ClearDisabled: clearDisabled, HomeLog: key, TLSKey: spki})
}

// sameDevice refuses a TPM whose key did not begin this chain.
func sameDevice(sp *spool.Spool, tpm device.TPM) error {
	own, err := sp.Device()
	if errors.Is(err, spool.ErrNotEnrolled) {
		return fmt.Errorf("%w; nothing was changed; run camseal-agent identity first", err)
	}
	if err != nil {
		return err
	}
	if name := tpm.Key().Name(); name != own {
		return fmt.Errorf("this state folder belongs to device %s, and the TPM holds the key of %s; nothing was changed; give the right --tpm or --state", own.Short(), name.Short())
	}
	return nil
}

// enrolment reads the chain's first statement.
func enrolment(sp *spool.Spool) (*evidence.Enrol, error) {
	line, err := sp.Statement(0)
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

// tlsIdentity returns the device's TLS key with a certificate made for it now. The server knows the key, not the certificate, so
// that its dates say nothing and no clock can make it invalid.
func tlsIdentity(set *settings) (tls.Certificate, error) {
	key, err := tlsKey(set.path("tls.key"))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("TLS key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "camseal device"},
		NotBefore: time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("TLS certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func tlsKey(path string) (*ecdsa.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, writeDurably(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(raw)
	if block == nil || len(rest) != 0 {
		return nil, fmt.Errorf("%s is not one PEM block", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is no ECDSA key", path)
	}
	return ec, nil
}

func spkiOf(cert tls.Certificate) ([]byte, error) {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, err
	}
	return leaf.RawSubjectPublicKeyInfo, nil
}

func keepCopy(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(to); err == nil && string(old) == string(raw) {
		return nil
	}
	return writeDurably(to, raw, 0o600)
}
