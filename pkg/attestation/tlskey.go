package attestation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"camseal/pkg/evidence"
)

// Attributes of a device's TLS key: made in its TPM and never outside it, for signing, not restricted, so that it signs
// handshakes and can't sign what looks like the TPM's word.
const tlsMust = attrFixedTPM | attrFixedParent | attrSensitiveDataOrigin | attrSign

// TLSKeyData is the qualifyingData of the one TPM2_Certify that an attestation key makes: of its device's TLS key.
func TLSKeyData() [sha256.Size]byte { return sha256.Sum256([]byte("camseal tls v1\n")) }

// KeyProof is the attestation key's word for the device's TLS key.
type KeyProof struct {
	Attest evidence.Bytes `json:"attest"` // TPMS_ATTEST of TPM2_Certify
	Public evidence.Bytes `json:"public"` // TPMT_PUBLIC of the TLS key
	Sig    evidence.Bytes `json:"sig"`    // TPMT_SIGNATURE by the attestation key
}

// KeyProofError says why a proof of a TLS key does not hold.
type KeyProofError struct{ Reason string }

func (e *KeyProofError) Error() string { return "proof of the TLS key: " + e.Reason }

// CheckTLSKey checks that k's TPM certified the proof's key, and that this is a P-256 signing key that was made in that TPM and
// can't leave it. It returns the key's SubjectPublicKeyInfo. Errors are *KeyProofError.
func (k *Key) CheckTLSKey(p KeyProof) (spki []byte, err error) {
	if spki, err = k.checkTLSKey(p); err != nil {
		return nil, &KeyProofError{Reason: err.Error()}
	}
	return spki, nil
}

func (k *Key) checkTLSKey(p KeyProof) ([]byte, error) {
	if k.class != evidence.ClassTPM {
		return nil, errors.New("a device without a TPM can't prove where a key is")
	}
	public, attrs, err := parseSigningKey(p.Public)
	if err != nil {
		return nil, err
	}
	if attrs&tlsMust != tlsMust || attrs&^(tlsMust|tpmMay) != 0 {
		return nil, fmt.Errorf("attributes %08x: it must be fixed to its TPM, made in it, and for signing alone", attrs)
	}
	certified, extra, err := k.parseCertify(p.Attest)
	if err != nil {
		return nil, fmt.Errorf("attestation: %w", err)
	}
	name := sha256.Sum256(p.Public)
	if !bytes.Equal(certified[2:], name[:]) {
		return nil, errors.New("the attestation is about another key")
	}
	if want := TLSKeyData(); !bytes.Equal(extra, want[:]) {
		return nil, errors.New("the attestation was made for something else")
	}
	if err := k.verify(p.Attest, p.Sig); err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(public)
}

// parseCertify reads the TPMS_ATTEST of TPM2_Certify (TPM 2.0 Part 2, 10.12.12 and 10.12.3) and returns the certified object's name.
func (k *Key) parseCertify(b []byte) (name, extra []byte, err error) {
	r := &reader{b: b}
	common, err := k.attestHead(r, tagCertify, "not of a key")
	if err != nil {
		return nil, nil, err
	}
	name = r.sized()
	qualified := r.sized()
	if err := r.end(); err != nil {
		return nil, nil, err
	}
	if !isName(name) || !isName(qualified) {
		return nil, nil, errors.New("its key has no SHA-256 name")
	}
	return name, common.extra, nil
}
