package attestation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// What stands before the public numbers in a TPMT_PUBLIC that was made with the default templates of the TCG EK Credential Profile: L-1 (RSA 2048) and
// L-2 (ECC P-256). Both decrypt only, restricted, with AES-128-CFB, under PolicySecret of the endorsement hierarchy.
var (
	ekAttributes = []byte{0x00, 0x03, 0x00, 0xb2}
	ekPolicy     = []byte{0, 32,
		0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
		0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa}
	ekHeadRSA = bytes.Join([][]byte{{0, 0x01, 0, algSHA256}, ekAttributes, ekPolicy,
		{0, 0x06, 0, 0x80, 0, 0x43, 0, algNull, 0x08, 0, 0, 0, 0, 0}}, nil) // AES-128-CFB, no scheme, 2048 bits, exponent 65537
	ekHeadECC = bytes.Join([][]byte{{0, algECC, 0, algSHA256}, ekAttributes, ekPolicy,
		{0, 0x06, 0, 0x80, 0, 0x43, 0, algNull, 0, curveP256, 0, algNull}}, nil)
)

const rsaSize = 256 // bytes of an RSA 2048 modulus

// EK is a TPM's endorsement key, the one that its maker certifies. It is immutable and safe for concurrent use.
type EK struct {
	bytes  []byte
	public crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey
}

// EKError says why bytes are no endorsement key, or a certificate none for it.
type EKError struct{ Reason string }

func (e *EKError) Error() string { return "endorsement key: " + e.Reason }

// ParseEK reads the TPMT_PUBLIC of an endorsement key that was made with a default template (RSA 2048 or ECC P-256). Errors are
// *EKError. It keeps no reference to public.
func ParseEK(public []byte) (*EK, error) {
	e := &EK{bytes: bytes.Clone(public)}
	var err error
	if body, ok := bytes.CutPrefix(e.bytes, ekHeadRSA); ok {
		e.public, err = parseModulus(body)
	} else if body, ok := bytes.CutPrefix(e.bytes, ekHeadECC); ok {
		e.public, err = parsePoint(body)
	} else {
		err = errors.New("not made with the default template for RSA 2048 or ECC P-256")
	}
	if err != nil {
		return nil, &EKError{Reason: err.Error()}
	}
	return e, nil
}

func parseModulus(b []byte) (crypto.PublicKey, error) {
	r := &reader{b: b}
	n := r.sized()
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("TPMT_PUBLIC: %w", err)
	}
	if len(n) != rsaSize || n[0]&0x80 == 0 || n[rsaSize-1]&1 == 0 {
		return nil, errors.New("its modulus is not an odd number of 2048 bits")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, nil
}

func parsePoint(b []byte) (crypto.PublicKey, error) {
	r := &reader{b: b}
	x, y := r.sized(), r.sized()
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("TPMT_PUBLIC: %w", err)
	}
	return pointOf(x, y)
}

// Public returns the key: *rsa.PublicKey or *ecdsa.PublicKey. The caller must not change it.
func (e *EK) Public() crypto.PublicKey { return e.public }

// Bytes returns the TPMT_PUBLIC that the key was read from. The caller owns the copy.
func (e *EK) Bytes() []byte { return bytes.Clone(e.bytes) }

// ParseEKCert reads one DER certificate, with nothing after it. It judges nothing: see Roots.VerifyEK.
func ParseEKCert(der []byte) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, &EKError{Reason: "its certificate can't be read: " + err.Error()}
	}
	return cert, nil
}

// Matches returns nil if the certificate is about this key.
func (e *EK) Matches(cert *x509.Certificate) error {
	same := false
	switch public := e.public.(type) {
	case *rsa.PublicKey: // some makers name another algorithm (RSAES-OAEP) over the same key
		var spki struct {
			Algorithm asn1.RawValue
			Key       asn1.BitString
		}
		rest, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &spki)
		same = err == nil && len(rest) == 0 && bytes.Equal(spki.Key.RightAlign(), x509.MarshalPKCS1PublicKey(public))
	case *ecdsa.PublicKey:
		same = public.Equal(cert.PublicKey)
	}
	if !same {
		return &EKError{Reason: "its certificate is about another key"}
	}
	return nil
}
