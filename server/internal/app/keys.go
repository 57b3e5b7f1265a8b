package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/durable"
	"camseal/pkg/tlog"
	"camseal/server/internal/ledger"
)

// Files in the state folder. The private ones have mode 0600.
const (
	fileCA      = "ca.pem"
	fileCAKey   = "ca.key"
	fileTLS     = "tls.pem"
	fileTLSKey  = "tls.key"
	fileLogKey  = "log.key"   // signer key of the log
	fileLogVKey = "log.vkey"  // its verifier key, for agents
	fileClock   = "clock.key" // signer key of the server's clock, whose times stand on checkpoints
	fileClockV  = "clock.vkey"
	fileCatalog = "catalog.db"
	fileAdmin   = "admin.sock"
	fileLock    = "lock"
	fileS3Key   = "s3.secret"
	dirLedger   = "ledger"
	dirTemp     = "tmp"
	dirMedia    = "media"
	dirHeld     = "quarantine"
	dirTokens   = "tokens" // enrolment tokens, hashed
)

const (
	caYears   = 20
	certDays  = 397
	renewDays = 30
)

// ensureCA makes the certificate authority that agents know the server by, unless there is one.
func ensureCA(s *settings, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	if _, err := os.Stat(s.path(fileCAKey)); errors.Is(err, fs.ErrNotExist) {
		if err := makeCA(s, now); err != nil {
			return nil, nil, fmt.Errorf("make certificate authority: %w", err)
		}
	}
	key, err := readKey(s.path(fileCAKey))
	if err != nil {
		return nil, nil, err
	}
	cert, err := readCert(s.path(fileCA))
	if err != nil {
		return nil, nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s and %s do not belong together; nothing was changed; restore both from one backup", fileCA, fileCAKey)
	}
	return cert, key, nil
}

func makeCA(s *settings, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "camseal server authority " + serial.Text(16)[:8]},
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.AddDate(caYears, 0, 0), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	if err := writeFile(s.path(fileCA), pemOf("CERTIFICATE", der), 0o644); err != nil {
		return err
	}
	return writeKey(s.path(fileCAKey), key)
}

// ensureServerCert makes a new server certificate when there is none, when its time is nearly over, or when names changed.
func ensureServerCert(s *settings, now time.Time) (tls.Certificate, error) {
	ca, caKey, err := ensureCA(s, now)
	if err != nil {
		return tls.Certificate{}, err
	}
	if cert, err := readCert(s.path(fileTLS)); err != nil || !stillGood(cert, ca, s.Names, now) {
		if err := makeServerCert(s, ca, caKey, now); err != nil {
			return tls.Certificate{}, fmt.Errorf("make server certificate: %w", err)
		}
	}
	return tls.LoadX509KeyPair(s.path(fileTLS), s.path(fileTLSKey))
}

func stillGood(cert, ca *x509.Certificate, names []string, now time.Time) bool {
	have := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		have = append(have, ip.String())
	}
	want := slices.Clone(names)
	slices.Sort(have)
	slices.Sort(want)
	return slices.Equal(have, want) && cert.CheckSignatureFrom(ca) == nil && now.After(cert.NotBefore) && now.AddDate(0, 0, renewDays).Before(cert.NotAfter)
}

func makeServerCert(s *settings, ca *x509.Certificate, caKey *ecdsa.PrivateKey, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "camseal server"}, NotBefore: now.Add(-48 * time.Hour),
		NotAfter: now.AddDate(0, 0, certDays), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range s.Names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	if err := writeKey(s.path(fileTLSKey), key); err != nil {
		return err
	}
	return writeFile(s.path(fileTLS), pemOf("CERTIFICATE", der), 0o644)
}

// ensureLogKey makes the log's key, unless there is one, and returns it: signer key and verifier key.
func ensureLogKey(s *settings) (skey, vkey string, err error) {
	raw, err := os.ReadFile(s.path(fileLogKey))
	if errors.Is(err, fs.ErrNotExist) {
		name := s.LogName
		if name == "" {
			var id [8]byte
			if _, err := rand.Read(id[:]); err != nil {
				return "", "", err
			}
			name = "camseal.invalid/log/" + hex.EncodeToString(id[:])
		}
		if skey, _, err = note.GenerateKey(rand.Reader, name); err != nil {
			return "", "", fmt.Errorf("make log key: %w", err)
		}
		raw = []byte(skey + "\n")
		if err := writeFile(s.path(fileLogKey), raw, 0o600); err != nil {
			return "", "", fmt.Errorf("make log key: %w", err)
		}
	} else if err != nil {
		return "", "", fmt.Errorf("log key: %w", err)
	}
	skey = string(bytes.TrimSpace(raw))
	vkey, err = tlog.VerifierKey(skey)
	if err != nil {
		return "", "", fmt.Errorf("log key %s: %w", s.path(fileLogKey), err)
	}
	return skey, vkey, writeFile(s.path(fileLogVKey), []byte(vkey+"\n"), 0o644)
}

// ensureClockKey makes the key that cosigns checkpoints with the server's time, unless there is one.
func ensureClockKey(s *settings) (skey, vkey string, err error) {
	_, log, err := ensureLogKey(s)
	if err != nil {
		return "", "", err
	}
	raw, err := os.ReadFile(s.path(fileClock))
	if errors.Is(err, fs.ErrNotExist) {
		if skey, _, err = ledger.NewClockKey(log); err != nil {
			return "", "", fmt.Errorf("make clock key: %w", err)
		}
		raw = []byte(skey + "\n")
		err = writeFile(s.path(fileClock), raw, 0o600)
	}
	if err != nil {
		return "", "", fmt.Errorf("clock key: %w", err)
	}
	skey = string(bytes.TrimSpace(raw))
	if vkey, err = ledger.ClockVKey(skey); err != nil {
		return "", "", fmt.Errorf("%s: %w", s.path(fileClock), err)
	}
	return skey, vkey, writeFile(s.path(fileClockV), []byte(vkey+"\n"), 0o644)
}

func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	b[0] = b[0]&0x7f | 0x40 // positive, and always of the same length
	return new(big.Int).SetBytes(b), nil
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(path, pemOf("PRIVATE KEY", der), 0o600)
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an ECDSA key", path)
	}
	return ec, nil
}

func readCert(path string) (*x509.Certificate, error) {
	der, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readPEM(path, kind string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b, _ := pem.Decode(raw)
	if b == nil || b.Type != kind {
		return nil, fmt.Errorf("%s: no %s in it", path, kind)
	}
	return b.Bytes, nil
}

// writeFile makes a file durably, unless it has these bytes already.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, b) {
		return nil
	}
	return durable.Write(path, b, mode)
}
