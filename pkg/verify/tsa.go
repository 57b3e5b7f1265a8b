package verify

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"

	"camseal/pkg/evidence"
)

// TSARoots are certificates of time stamping authorities. It is immutable; nil has none.
type TSARoots struct {
	roots, others *x509.CertPool
	count         int
}

// NewTSARoots reads PEM files. Self-signed certificates are roots, the others help to build chains.
func NewTSARoots(texts ...[]byte) (*TSARoots, error) {
	r := &TSARoots{roots: x509.NewCertPool(), others: x509.NewCertPool()}
	for _, text := range texts {
		n := 0
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("time stamping authority's certificate: %w", err)
			}
			if n++; bytes.Equal(cert.RawIssuer, cert.RawSubject) {
				r.roots.AddCert(cert)
				r.count++
			} else {
				r.others.AddCert(cert)
			}
		}
		if n == 0 {
			return nil, errors.New("time stamping authority's certificate: no PEM block in a file")
		}
	}
	return r, nil
}

// Len is how many roots there are.
func (r *TSARoots) Len() int {
	if r == nil {
		return 0
	}
	return r.count
}

// loadTSARoots reads every *.pem in dir; a folder that is not there holds none.
func loadTSARoots(dir string) (*TSARoots, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var texts [][]byte
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".pem" {
			continue
		}
		text, err := readBounded(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	r, err := NewTSARoots(texts...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return r, nil
}

// stamped is what a time stamp says that holds.
type stamped struct {
	at     time.Time // no later than this
	signer *x509.Certificate
	token  *pkcs7.PKCS7
}

var oidTSTInfo = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4} // id-ct-TSTInfo, RFC 3161 section 2.4.2

// openStamp checks a TimeStampResp (RFC 3161) over content: its one signature, by the certificate in it. It does not say whether
// that certificate is to be trusted: TSARoots.vouches does.
func openStamp(tsr, content []byte) (stamped, error) {
	if !isDER(tsr, 0) {
		return stamped{}, errors.New("not DER")
	}
	t, err := timestamp.ParseResponse(tsr)
	if err != nil {
		return stamped{}, err
	}
	imprint := evidence.Sum(content)
	if t.HashAlgorithm != crypto.SHA256 || !bytes.Equal(t.HashedMessage, imprint[:]) {
		return stamped{}, errors.New("it is over something else")
	}
	p, err := pkcs7.Parse(t.RawToken)
	if err != nil {
		return stamped{}, err
	}
	signer := p.GetOnlySigner()
	if signer == nil {
		return stamped{}, errors.New("not one signer whose certificate is in it")
	}
	var kind asn1.ObjectIdentifier
	if err := p.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &kind); err != nil || !kind.Equal(oidTSTInfo) {
		return stamped{}, errors.New("what is signed does not say that it is a time stamp")
	}
	if err := p.Verify(); err != nil {
		return stamped{}, err
	}
	if !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageTimeStamping) {
		return stamped{}, errors.New("its certificate is not for time stamping")
	}
	return stamped{at: t.Time.Add(t.Accuracy).UTC(), signer: signer, token: p}, nil
}

const maxNested = 24

// isDER reports whether b is a row of values in DER, all the way down. The pkcs7 library reads BER too, in which one value has many spellings.
func isDER(b []byte, depth int) bool {
	for len(b) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(b, &v)
		if err != nil || depth == maxNested || v.IsCompound && !isDER(v.Bytes, depth+1) {
			return false
		}
		b = rest
	}
	return true
}

// vouches checks that a root stands behind the stamp's certificate, at the time that it states.
func (r *TSARoots) vouches(s stamped) error {
	if r.Len() == 0 {
		return errors.New("no root was given")
	}
	others := r.others.Clone()
	for _, c := range s.token.Certificates {
		others.AddCert(c)
	}
	_, err := s.signer.Verify(x509.VerifyOptions{Roots: r.roots, Intermediates: others, CurrentTime: s.at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}})
	return err
}
