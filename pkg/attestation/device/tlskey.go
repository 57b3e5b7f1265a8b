package device

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"camseal/pkg/attestation"
)

// tlsOffset is how far behind the attestation key's handle the TLS key lies.
const tlsOffset = 0x10

// tlsKey is a key that signs in the TPM. It is a crypto.Signer, safe for concurrent use.
type tlsKey struct {
	do     func(context.Context, func(transport.TPM) error) error
	handle tpm2.NamedHandle
	public *ecdsa.PublicKey
	proof  attestation.KeyProof
}

// Public implements crypto.Signer.
func (k *tlsKey) Public() crypto.PublicKey { return k.public }

// Sign implements crypto.Signer. It waits for the TPM no longer than Config.Timeout.
func (k *tlsKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != crypto.SHA256 || len(digest) != crypto.SHA256.Size() {
		return nil, fmt.Errorf("TLS key: it signs SHA-256 alone, not %v", opts.HashFunc())
	}
	var sig []byte
	err := k.do(context.Background(), func(t transport.TPM) error {
		response, err := tpm2.Sign{
			KeyHandle:  tpm2.AuthHandle{Handle: k.handle.Handle, Name: k.handle.Name, Auth: tpm2.PasswordAuth(nil)},
			Digest:     tpm2.TPM2BDigest{Buffer: digest},
			InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
		}.Execute(t)
		if err != nil {
			return err
		}
		numbers, err := response.Signature.Signature.ECDSA()
		if err != nil {
			return err
		}
		sig, err = asn1.Marshal(struct{ R, S *big.Int }{number(numbers.SignatureR), number(numbers.SignatureS)})
		if err == nil && !ecdsa.VerifyASN1(k.public, digest, sig) {
			err = errors.New("the TPM signed with another key")
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sign with the TLS key: %w", err)
	}
	return sig, nil
}

// TLSKey implements Identity.
func (c *chip) TLSKey() crypto.Signer { return c.tls }

// TLSProof implements Identity.
func (c *chip) TLSProof() *attestation.KeyProof {
	proof := c.tls.proof
	return &proof
}

// openTLSKey reads the TLS key and has the attestation key certify it.
func openTLSKey(t transport.TPM, config Config, ak *attestation.Key) (*tlsKey, error) {
	handle := config.Handle + tlsOffset
	found, err := hasHandle(t, handle)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("TLS key: %w (%08x)", ErrNoKey, handle)
	}
	response, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(handle)}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("read TLS key: %w", err)
	}
	k := &tlsKey{handle: tpm2.NamedHandle{Handle: tpm2.TPMHandle(handle), Name: response.Name}}
	k.proof.Public = response.OutPublic.Bytes()
	name := ak.Name()
	data := attestation.TLSKeyData()
	certified, err := tpm2.Certify{
		ObjectHandle: tpm2.AuthHandle{Handle: k.handle.Handle, Name: k.handle.Name, Auth: tpm2.PasswordAuth(nil)},
		SignHandle: tpm2.AuthHandle{
			Handle: tpm2.TPMHandle(config.Handle), Name: tpm2.TPM2BName{Buffer: name[:]}, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: data[:]},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
	}.Execute(t)
	if errors.Is(err, tpm2.TPMRCAuthFail) || errors.Is(err, tpm2.TPMRCBadAuth) {
		return nil, fmt.Errorf("certify TLS key: %w (%08x): %w", ErrWrongKey, handle, err)
	}
	if err != nil {
		return nil, fmt.Errorf("certify TLS key: %w", err)
	}
	k.proof.Attest = certified.CertifyInfo.Bytes()
	if k.proof.Sig, err = encodeSignature(certified.Signature); err != nil {
		return nil, fmt.Errorf("certify TLS key: %w", err)
	}
	spki, err := ak.CheckTLSKey(k.proof)
	if err != nil {
		return nil, fmt.Errorf("%w (%08x): %w", ErrWrongKey, handle, err)
	}
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("read TLS key: %w", err)
	}
	k.public, _ = public.(*ecdsa.PublicKey) // CheckTLSKey takes no other
	return k, nil
}

func encodeSignature(s tpm2.TPMTSignature) ([]byte, error) {
	numbers, err := s.Signature.ECDSA()
	if err != nil {
		return nil, err
	}
	return attestation.EncodeSignature(number(numbers.SignatureR), number(numbers.SignatureS))
}
