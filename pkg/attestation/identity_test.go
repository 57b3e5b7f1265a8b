package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"camseal/pkg/evidence"
)

// head writes what every TPMS_ATTEST begins with.
func (f fakeTPM) head(tag uint16, extra []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, magicGenerated)
	b = binary.BigEndian.AppendUint16(b, tag)
	b = append(append(b, 0, 34), f.key.qualified[:]...)
	b = append(append(b, 0, byte(len(extra))), extra...)
	b = binary.BigEndian.AppendUint64(b, 777) // clock
	b = binary.BigEndian.AppendUint32(b, 5)   // reset
	b = binary.BigEndian.AppendUint32(b, 2)   // restart
	b = append(b, 1)                          // safe
	return binary.BigEndian.AppendUint64(b, 99)
}

func (f fakeTPM) count(t testing.TB, head evidence.Digest, value uint64) evidence.Count {
	t.Helper()
	extra := CountData(head)
	b := append(append(f.head(tagNVCertify, extra[:]), 0, nameSize), CounterName(0x01800C51)...)
	b = binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), value)
	return evidence.Count{Type: "count", Seq: 7, Attest: b, Sig: f.sign(t, b)}
}

// tlsProof certifies a key with the attributes given.
func (f fakeTPM) tlsProof(t testing.TB, attrs uint32) KeyProof {
	t.Helper()
	public := newFake(t, evidence.ClassTPM).key.Bytes()
	binary.BigEndian.PutUint32(public[4:], attrs)
	data := TLSKeyData()
	sum := evidence.Sum(public)
	name := append([]byte{0, algSHA256}, sum[:]...)
	b := append(append(f.head(tagCertify, data[:]), 0, nameSize), name...)
	b = append(append(b, 0, nameSize), name...)
	return KeyProof{Public: public, Attest: b, Sig: f.sign(t, b)}
}

func TestCheckCountFindsEveryChangedByte(t *testing.T) {
	f := newFake(t, evidence.ClassTPM)
	head := evidence.Sum([]byte("head"))
	good := f.count(t, head, 1<<40+3)
	c, err := f.key.CheckCount(&good, head)
	if err != nil || c.Value != 1<<40+3 || c.Reset != 5 || c.Restart != 2 || c.Clock != 777 || !bytes.Equal(c.Name, CounterName(0x01800C51)) {
		t.Fatalf("%+v, %v", c, err)
	}
	refuse := func(what string, c evidence.Count, head evidence.Digest) {
		t.Helper()
		var bad *CountError
		if _, err := f.key.CheckCount(&c, head); !errors.As(err, &bad) || bad.Seq != 7 {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range good.Attest {
		c := good
		c.Attest = bytes.Clone(good.Attest)
		c.Attest[i] ^= 1
		refuse("attest", c, head)
	}
	for i := range good.Sig {
		c := good
		c.Sig = bytes.Clone(good.Sig)
		c.Sig[i] ^= 1
		refuse("sig", c, head)
	}
	for _, n := range []int{0, 1, len(good.Attest) - 1, len(good.Attest) + 1} {
		c := good
		c.Attest = append(bytes.Clone(good.Attest), 0)[:n]
		c.Sig = f.sign(t, c.Attest)
		refuse("length", c, head)
	}
	refuse("another head", good, evidence.Sum(nil))
	part := good // a part of an index, and one that is too large
	part.Attest = bytes.Clone(good.Attest)
	part.Attest[len(part.Attest)-11] = 1
	part.Sig = f.sign(t, part.Attest)
	refuse("offset", part, head)
	kind := good
	kind.Type = "seal"
	refuse("type", kind, head)
	seal := f.seal(t, DefaultChainPCR)
	refuse("a seal", evidence.Count{Type: "count", Seq: 7, Attest: seal.Attest, Sig: seal.Sig}, seal.Head)
	soft := newFake(t, evidence.ClassSoftware)
	if _, err := soft.key.CheckCount(&good, head); err == nil {
		t.Error("a device without a TPM counts")
	}
}

func TestCheckCounterRef(t *testing.T) {
	good := evidence.CounterRef{Index: 0x01800C51, Name: CounterName(0x01800C51)}
	if err := CheckCounterRef(&good); err != nil {
		t.Fatal(err)
	}
	ordinary := good // an index that can be written anew has another name
	ordinary.Name = bytes.Clone(good.Name)
	ordinary.Name[5] ^= 1
	for _, bad := range []evidence.CounterRef{ordinary, {Index: 0x01800C52, Name: good.Name}, {Index: 0x81010C51, Name: CounterName(0x81010C51)},
		{Index: 1<<32 + 0x01800C51, Name: good.Name}, {}} {
		if CheckCounterRef(&bad) == nil {
			t.Errorf("%+v", bad)
		}
	}
}

func TestCheckTLSKeyDemandsAKeyOfTheTPM(t *testing.T) {
	f := newFake(t, evidence.ClassTPM)
	good := f.tlsProof(t, tlsMust|tpmMay)
	spki, err := f.key.CheckTLSKey(good)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := x509.ParsePKIXPublicKey(spki); err != nil || key.(*ecdsa.PublicKey).Curve != elliptic.P256() {
		t.Fatal(err)
	}
	refuse := func(what string, p KeyProof) {
		t.Helper()
		var bad *KeyProofError
		if _, err := f.key.CheckTLSKey(p); !errors.As(err, &bad) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for name, attrs := range map[string]uint32{
		"restricted": tlsMust | attrRestricted, "not for signing": tlsMust &^ attrSign, "may leave": tlsMust &^ attrFixedTPM, "moved": tlsMust &^ attrFixedParent,
		"made elsewhere": tlsMust &^ attrSensitiveDataOrigin, "decrypts": tlsMust | 1<<17, "in a file": softwareMust,
	} {
		refuse(name, f.tlsProof(t, attrs))
	}
	for _, part := range []func(*KeyProof) *evidence.Bytes{
		func(p *KeyProof) *evidence.Bytes { return &p.Public }, func(p *KeyProof) *evidence.Bytes { return &p.Attest }, func(p *KeyProof) *evidence.Bytes { return &p.Sig },
	} {
		for i := range *part(&good) {
			p := good
			*part(&p) = bytes.Clone(*part(&good))
			(*part(&p))[i] ^= 1
			refuse("changed", p)
		}
		p := good
		*part(&p) = append(bytes.Clone(*part(&good)), 0)
		refuse("longer", p)
	}
	other := f.tlsProof(t, tlsMust)
	other.Public = good.Public
	refuse("another key", other)
	data := bytes.Repeat([]byte{1}, 32) // a certification for something else
	elsewhere := good
	elsewhere.Attest = bytes.Clone(good.Attest)
	copy(elsewhere.Attest[44:], data)
	elsewhere.Sig = f.sign(t, elsewhere.Attest)
	refuse("made for something else", elsewhere)
	stranger := newFake(t, evidence.ClassTPM)
	if _, err := stranger.key.CheckTLSKey(good); err == nil {
		t.Error("another device's proof passes")
	}
	soft := newFake(t, evidence.ClassSoftware)
	if _, err := soft.key.CheckTLSKey(good); err == nil {
		t.Error("a device without a TPM proves something")
	}
}

func ekRSA(t testing.TB) ([]byte, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(bytes.Clone(ekHeadRSA), 1, 0), key.N.Bytes()...), key
}

func ekECC(t testing.TB) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b := append(append(bytes.Clone(ekHeadECC), 0, 32), point[1:33]...)
	return append(append(b, 0, 32), point[33:]...), key
}

func TestParseEKIsStrict(t *testing.T) {
	for _, good := range [][]byte{first(ekRSA(t)), first(ekECC(t))} {
		e, err := ParseEK(good)
		if err != nil || !bytes.Equal(e.Bytes(), good) {
			t.Fatal(err)
		}
		for i := range len(good) - 256 { // all but the numbers, of which many values are good
			b := bytes.Clone(good)
			b[i] ^= 1
			var bad *EKError
			if _, err := ParseEK(b); !errors.As(err, &bad) {
				t.Errorf("byte %d: %v", i, err)
			}
		}
		for _, b := range [][]byte{nil, good[:len(good)-1], append(bytes.Clone(good), 0)} {
			if _, err := ParseEK(b); err == nil {
				t.Errorf("%d of %d bytes", len(b), len(good))
			}
		}
	}
	even := first(ekRSA(t))
	even[len(even)-1] &^= 1
	if _, err := ParseEK(even); err == nil {
		t.Error("an even modulus")
	}
	short := first(ekRSA(t))
	short[len(ekHeadRSA)+2] &^= 0x80
	if _, err := ParseEK(short); err == nil {
		t.Error("a modulus of 2047 bits")
	}
}

func first[A, B any](a A, _ B) A { return a }

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (a *authority) issue(t testing.TB, template *x509.Certificate, public any) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(7)
	template.NotBefore, template.NotAfter = time.Unix(1000, 0), time.Unix(2000, 0) // long ago
	parent := template
	if a.cert != nil {
		parent = a.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseEKCert(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseEKCert(append(bytes.Clone(der), 0)); err == nil {
		t.Error("a byte after a certificate")
	}
	return cert
}

func newAuthority(t testing.TB, name string, by *authority) *authority {
	t.Helper()
	_, key := ekECC(t)
	if by == nil {
		by = &authority{key: key}
	}
	cert := by.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{"Chips Ltd"}}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}, key.Public())
	return &authority{cert: cert, key: key}
}

// Certificates of endorsement keys as makers issue them: an empty subject, a critical other name with model and version, and dates that
// are over.
func TestVerifyEK(t *testing.T) {
	root := newAuthority(t, "root", nil)
	middle := newAuthority(t, "middle", root)
	dir := t.TempDir()
	var both []byte
	for _, a := range []*authority{middle, root} {
		both = append(both, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	for name, text := range map[string][]byte{"chips.pem": both, "README": []byte("words")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots, err := LoadRoots(dir)
	if err != nil || roots.Len() != 1 {
		t.Fatal(roots.Len(), err)
	}
	_, rsaKey := ekRSA(t)
	_, eccKey := ekECC(t)
	name := pkix.Extension{Id: oidSubjectAltName, Critical: true, Value: []byte{0x30, 0x04, 0xa4, 0x02, 0x30, 0x00}}
	odd := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	for _, c := range []struct {
		what     string
		template x509.Certificate
		public   any
		by       *authority
		good     bool
	}{
		{"RSA", x509.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment, ExtraExtensions: []pkix.Extension{name}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidEKUsage}}, rsaKey.Public(), middle, true},
		{"ECC, no further usage", x509.Certificate{KeyUsage: x509.KeyUsageKeyAgreement, ExtraExtensions: []pkix.Extension{name}}, eccKey.Public(), root, true},
		{"by nobody known", x509.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment}, rsaKey.Public(), newAuthority(t, "root", nil), false},
		{"RSA that signs", x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature}, rsaKey.Public(), middle, false},
		{"ECC that signs", x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature}, eccKey.Public(), middle, false},
		{"for a web server", x509.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, rsaKey.Public(), middle, false},
		{"an authority", x509.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment, IsCA: true, BasicConstraintsValid: true}, rsaKey.Public(), middle, false},
		{"something critical that nobody knows", x509.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment, ExtraExtensions: []pkix.Extension{odd}}, rsaKey.Public(), middle, false},
	} {
		cert := c.by.issue(t, &c.template, c.public)
		maker, err := roots.VerifyEK(cert)
		if (err == nil) != c.good || c.good && maker != "Chips Ltd, "+c.by.cert.Subject.CommonName {
			t.Errorf("%s: %q, %v", c.what, maker, err)
		}
	}
	for what, text := range map[string]string{"nothing": "", "another block": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := NewRoots([]byte(text)); err == nil {
			t.Errorf("roots from %s", what)
		}
	}
	if _, err := LoadRoots(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Some makers name RSAES-OAEP over the key, which Go does not read as an RSA key.
func TestMatchesAnotherAlgorithmOverTheSameKey(t *testing.T) {
	public, key := ekRSA(t)
	ek, err := ParseEK(public)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}}, asn1.BitString{Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey), BitLength: 8 * 270}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ek.Matches(&x509.Certificate{RawSubjectPublicKeyInfo: spki}); err != nil {
		t.Error(err)
	}
	spki[len(spki)-10] ^= 1
	if ek.Matches(&x509.Certificate{RawSubjectPublicKeyInfo: spki}) == nil || ek.Matches(&x509.Certificate{}) == nil {
		t.Error("another key matches")
	}
}

func FuzzParseNVCertify(f *testing.F) {
	fake := newFake(f, evidence.ClassTPM)
	f.Add([]byte(fake.count(f, evidence.Digest{}, 1).Attest))
	f.Add([]byte(fake.seal(f, DefaultChainPCR).Attest))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, extra, err := fake.key.parseNVCertify(b)
		if err == nil && (len(b) != 4+2+2+34+2+len(extra)+25+2+34+2+2+8 || c.Value != binary.BigEndian.Uint64(b[len(b)-8:])) {
			t.Fatalf("%x gives %+v", b, c)
		}
	})
}

func FuzzParseCertify(f *testing.F) {
	fake := newFake(f, evidence.ClassTPM)
	f.Add([]byte(fake.tlsProof(f, tlsMust).Attest))
	f.Add([]byte(fake.count(f, evidence.Digest{}, 1).Attest))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		name, extra, err := fake.key.parseCertify(b)
		if err == nil && (len(b) != 4+2+2+34+2+len(extra)+25+2+34+2+34 || !isName(name)) {
			t.Fatalf("%x", b)
		}
	})
}

func FuzzParseEK(f *testing.F) {
	f.Add(first(ekRSA(f)))
	f.Add(first(ekECC(f)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, public []byte) {
		e, err := ParseEK(public)
		if err == nil && (!bytes.Equal(e.Bytes(), public) || e.Public() == nil) {
			t.Fatal("parsed key has other bytes")
		}
	})
}
