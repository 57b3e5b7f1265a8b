package verifytest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"time"

	"github.com/digitorus/timestamp"

	"camseal/pkg/evidence"
)

// authority is a certificate authority whose key follows from its name.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	Root []byte // PEM
}

func newAuthority(name string) (*authority, error) {
	key, err := keyOf(name)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Camseal test"}, CommonName: name}, NotBefore: time.Unix(1700000000, 0),
		NotAfter: time.Unix(1900000000, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert: cert, key: key, Root: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

func keyOf(name string) (*ecdsa.PrivateKey, error) {
	d := evidence.Sum([]byte("verifytest certificate " + name))
	return ecdsa.ParseRawPrivateKey(curve, d[:])
}

func (a *authority) issue(t *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	t.SerialNumber, t.NotBefore, t.NotAfter = big.NewInt(2), a.cert.NotBefore, a.cert.NotAfter
	return x509.CreateCertificate(rand.Reader, t, a.cert, public, a.key)
}

// Authority is a time stamping authority (RFC 3161).
type Authority struct {
	*authority
	stamper *x509.Certificate
	key     *ecdsa.PrivateKey
}

// NewAuthority makes one.
func NewAuthority(name string) (*Authority, error) {
	a, err := newAuthority(name)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(name + " stamper")
	if err != nil {
		return nil, err
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, err
	}
	der, err := a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: name + " stamper"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{authority: a, stamper: cert, key: key}, err
}

// Stamp makes a TimeStampResp over content.
func (a *Authority) Stamp(content []byte, at time.Time) ([]byte, error) {
	imprint := evidence.Sum(content)
	t := timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: imprint[:], Time: at, Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: true}
	return t.CreateResponseWithOpts(a.stamper, a.key, crypto.SHA256)
}

// EKMaker certifies endorsement keys.
type EKMaker struct{ *authority }

// NewEKMaker makes one.
func NewEKMaker(name string) (*EKMaker, error) {
	a, err := newAuthority(name)
	return &EKMaker{a}, err
}

// EK makes an endorsement key's TPMT_PUBLIC (template L-2 of the TCG EK Credential Profile) and its certificate.
func (m *EKMaker) EK(name string) (public, cert []byte, err error) {
	key, err := keyOf(name)
	if err != nil {
		return nil, nil, err
	}
	policy := []byte{0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
		0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, nil, err
	}
	public = bytes.Join([][]byte{{0, 0x23, 0, 0x0b, 0, 3, 0, 0xb2, 0, 32}, policy, {0, 6, 0, 0x80, 0, 0x43, 0, 0x10, 0, 3, 0, 0x10},
		{0, 32}, point[1:33], {0, 32}, point[33:]}, nil)
	cert, err = m.issue(&x509.Certificate{Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageKeyAgreement}, &key.PublicKey)
	return public, cert, err
}
