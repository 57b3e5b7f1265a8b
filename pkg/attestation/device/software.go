package device

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

type software struct {
	private *ecdsa.PrivateKey
	tls     *ecdsa.PrivateKey
	key     *attestation.Key
}

// OpenSoftware opens the device of class software whose key is in keyFile (PKCS #8, one PEM block, mode 0600), with its TLS key in
// keyFile.tls, and makes the keys if there are no such files. A file that others may read is refused.
func OpenSoftware(keyFile string) (TPM, error) {
	private, err := openKeyFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("open software key: %w", err)
	}
	tls, err := openKeyFile(keyFile + ".tls")
	if err != nil {
		return nil, fmt.Errorf("open software key: %w", err)
	}
	public, err := attestation.SoftwarePublic(&private.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("open software key: %w", err)
	}
	key, err := attestation.ParseKey(evidence.ClassSoftware, public)
	if err != nil {
		return nil, fmt.Errorf("open software key: %w", err)
	}
	return &software{private: private, tls: tls, key: key}, nil
}

func openKeyFile(path string) (*ecdsa.PrivateKey, error) {
	private, err := readSoftwareKey(path)
	if errors.Is(err, os.ErrNotExist) {
		if err = makeSoftwareKey(path); err == nil || errors.Is(err, os.ErrExist) {
			private, err = readSoftwareKey(path)
		}
	}
	return private, err
}

func makeSoftwareKey(path string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return writeDurably(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), true)
}

func readSoftwareKey(path string) (*ecdsa.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may use %s (mode %04o); nothing was changed: chmod 600 it, if nobody had it", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) != 0 {
		return nil, fmt.Errorf("%s is not one PEM block of a private key", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an ECDSA key", path)
	}
	return private, nil
}

// Key implements TPM.
func (s *software) Key() *attestation.Key { return s.key }

// ChainPCR implements TPM.
func (s *software) ChainPCR() int { return 0 }

// PCRs implements TPM.
func (s *software) PCRs(ctx context.Context) ([]evidence.Digest, error) { return nil, ctx.Err() }

// Extend implements TPM.
func (s *software) Extend(ctx context.Context, _ evidence.Digest) error { return ctx.Err() }

// Quote implements TPM.
func (s *software) Quote(ctx context.Context, head evidence.Digest, upto uint64) (evidence.Seal, error) {
	if err := ctx.Err(); err != nil {
		return evidence.Seal{}, err
	}
	attest := attestation.SoftwareAttest(head)
	d := sha256.Sum256(attest)
	r, n, err := ecdsa.Sign(rand.Reader, s.private, d[:])
	if err != nil {
		return evidence.Seal{}, fmt.Errorf("sign head %d: %w", upto, err)
	}
	sig, err := attestation.EncodeSignature(r, n)
	if err != nil {
		return evidence.Seal{}, fmt.Errorf("sign head %d: %w", upto, err)
	}
	seal := evidence.Seal{Attest: attest, Head: head, PCRs: []evidence.Digest{}, Sig: sig, Type: "seal", Upto: upto}
	if _, err := s.key.CheckSeal(&seal); err != nil {
		return evidence.Seal{}, fmt.Errorf("sign head %d: %w", upto, err)
	}
	return seal, nil
}

// Clock implements TPM.
func (s *software) Clock(ctx context.Context) (reset, restart uint32, clock uint64, err error) {
	return 0, 0, 0, ctx.Err()
}

// Endorsement implements Identity.
func (s *software) Endorsement(ctx context.Context) (ekPublic, ekCert []byte, err error) {
	return nil, nil, ctx.Err()
}

// Activate implements Identity.
func (s *software) Activate(context.Context, []byte, []byte) ([]byte, error) { return nil, ErrNoTPM }

// TLSKey implements Identity.
func (s *software) TLSKey() crypto.Signer { return s.tls }

// TLSProof implements Identity.
func (s *software) TLSProof() *attestation.KeyProof { return nil }

// Counter implements Identity.
func (s *software) Counter(ctx context.Context) (*evidence.CounterRef, uint64, error) {
	return nil, 0, ctx.Err()
}

// Increment implements Identity.
func (s *software) Increment(context.Context) error { return ErrNoCounter }

// Count implements Identity.
func (s *software) Count(context.Context, uint64, evidence.Digest) (evidence.Count, error) {
	return evidence.Count{}, ErrNoCounter
}

// Protect implements Identity.
func (s *software) Protect(context.Context, []byte) ([]byte, error) { return nil, ErrNoTPM }

// Reveal implements Identity.
func (s *software) Reveal(context.Context, []byte) ([]byte, error) { return nil, ErrNoTPM }

// Close implements TPM.
func (s *software) Close() error { return nil }
