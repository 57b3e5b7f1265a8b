package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrUnknownMaker says that no root that was given vouches for a certificate.
var ErrUnknownMaker = errors.New("no TPM maker's root that was given vouches for this certificate")

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidEKUsage        = asn1.ObjectIdentifier{2, 23, 133, 8, 1} // tcg-kp-EKCertificate
)

// Roots are certificates of TPM makers. It is immutable and safe for concurrent use; nil has none.
type Roots struct {
	roots, intermediates *x509.CertPool
	count                int
}

// LoadRoots reads every *.pem in dir; each may hold several certificates. Self-signed ones are roots, the others help to build
// chains. Errors: os.ErrNotExist if there is no such folder.
func LoadRoots(dir string) (*Roots, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("TPM makers' roots: %w", err)
	}
	var texts [][]byte
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".pem" {
			continue
		}
		path := filepath.Join(dir, f.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("TPM makers' roots: %w", err)
		}
		if _, err := NewRoots(text); err != nil { // names the file
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		texts = append(texts, text)
	}
	return NewRoots(texts...)
}

// NewRoots is LoadRoots with the contents of PEM files.
func NewRoots(texts ...[]byte) (*Roots, error) {
	r := &Roots{roots: x509.NewCertPool(), intermediates: x509.NewCertPool()}
	for _, text := range texts {
		found := false
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				return nil, fmt.Errorf("TPM makers' roots: a PEM block is a %q, not a certificate", block.Type)
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("TPM makers' roots: %w", err)
			}
			found = true
			r.add(cert)
		}
		if !found {
			return nil, errors.New("TPM makers' roots: no PEM certificate in a file")
		}
	}
	return r, nil
}

func (r *Roots) add(cert *x509.Certificate) {
	if bytes.Equal(cert.RawIssuer, cert.RawSubject) && cert.CheckSignatureFrom(cert) == nil {
		r.roots.AddCert(cert)
		r.count++
		return
	}
	r.intermediates.AddCert(cert)
}

// Len is how many roots there are.
func (r *Roots) Len() int {
	if r == nil {
		return 0
	}
	return r.count
}

// VerifyEK checks that a root vouches for an endorsement key's certificate, and returns the maker: its issuer's organisation and
// common name. Certificates outlive their dates in chips, so the chain is judged at the moment at which the certificate was issued; its expiry is not
// judged. The subject's other name (2.5.29.17), which says model and version and which Go does not read, may be critical. Errors: ErrUnknownMaker, *EKError.
func (r *Roots) VerifyEK(cert *x509.Certificate) (maker string, err error) {
	if err := checkEKUsage(cert); err != nil {
		return "", err
	}
	if r.Len() == 0 {
		return "", ErrUnknownMaker
	}
	known := *cert
	known.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(cert.UnhandledCriticalExtensions), oidSubjectAltName.Equal)
	_, err = known.Verify(x509.VerifyOptions{
		Roots: r.roots, Intermediates: r.intermediates, CurrentTime: cert.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnknownMaker, err)
	}
	return strings.Join(append(slices.Clone(cert.Issuer.Organization), cert.Issuer.CommonName), ", "), nil
}

// checkEKUsage holds what the TCG EK Credential Profile says about a certificate's usages: an endorsement key decrypts.
func checkEKUsage(cert *x509.Certificate) error {
	want, word := x509.KeyUsageKeyEncipherment, "key encipherment"
	if _, ok := cert.PublicKey.(*ecdsa.PublicKey); ok {
		want, word = x509.KeyUsageKeyAgreement, "key agreement"
	}
	if cert.IsCA {
		return &EKError{Reason: "its certificate is that of an authority"}
	}
	if cert.KeyUsage&want == 0 {
		return &EKError{Reason: "its certificate does not allow " + word}
	}
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0 && !slices.ContainsFunc(cert.UnknownExtKeyUsage, oidEKUsage.Equal) {
		return &EKError{Reason: "its certificate is for other uses"}
	}
	return nil
}
