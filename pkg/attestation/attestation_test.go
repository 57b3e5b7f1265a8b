package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"
	"testing"

	"camseal/pkg/evidence"
)

// fakeTPM signs quotes as a TPM would, with a key of its own.
type fakeTPM struct {
	private *ecdsa.PrivateKey
	key     *Key
}

func newFake(t testing.TB, class evidence.Class) fakeTPM {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := SoftwarePublic(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if class == evidence.ClassTPM {
		binary.BigEndian.PutUint32(public[4:], tpmMust|tpmMay)
	}
	key, err := ParseKey(class, public)
	if err != nil {
		t.Fatal(err)
	}
	return fakeTPM{private, key}
}

func (f fakeTPM) attest(head evidence.Digest, pcrs []evidence.Digest, chainPCR int) []byte {
	b := binary.BigEndian.AppendUint32(nil, magicGenerated)
	b = binary.BigEndian.AppendUint16(b, tagQuote)
	b = append(append(b, 0, 34), f.key.qualified[:]...)
	b = append(append(b, 0, 32), head[:]...)
	b = binary.BigEndian.AppendUint64(b, 777) // clock
	b = binary.BigEndian.AppendUint32(b, 5)   // reset
	b = binary.BigEndian.AppendUint32(b, 2)   // restart
	b = append(b, 1)                          // safe
	b = binary.BigEndian.AppendUint64(b, 99)  // firmware
	b = append(b, 0, 0, 0, 1, 0, algSHA256, 3)
	b = append(b, Selection(chainPCR)...)
	h := sha256.New()
	for _, p := range pcrs {
		h.Write(p[:])
	}
	return h.Sum(append(b, 0, 32))
}

func (f fakeTPM) sign(t testing.TB, attest []byte) []byte {
	t.Helper()
	d := sha256.Sum256(attest)
	r, s, err := ecdsa.Sign(rand.Reader, f.private, d[:])
	if err != nil {
		t.Fatal(err)
	}
	sig, err := EncodeSignature(r, s)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func (f fakeTPM) seal(t testing.TB, chainPCR int) evidence.Seal {
	t.Helper()
	s := evidence.Seal{Type: "seal", Upto: 7, Head: evidence.Sum([]byte("head"))}
	if f.key.Class() == evidence.ClassSoftware {
		s.Attest = SoftwareAttest(s.Head)
	} else {
		s.PCRs = make([]evidence.Digest, FirmwarePCRs+1)
		s.PCRs[FirmwarePCRs] = Extend(evidence.Digest{}, s.Head)
		s.Attest = f.attest(s.Head, s.PCRs, chainPCR)
	}
	s.Sig = f.sign(t, s.Attest)
	return s
}

func TestCheckSealSaysWhatWasQuoted(t *testing.T) {
	f := newFake(t, evidence.ClassTPM)
	for chain := FirstChainPCR; chain <= LastChainPCR; chain++ {
		s := f.seal(t, chain)
		q, err := f.key.CheckSeal(&s)
		if err != nil {
			t.Fatal(err)
		}
		if q.Reset != 5 || q.Restart != 2 || q.Clock != 777 || !q.Safe || q.FirmwareVersion != 99 || q.ChainPCR != chain ||
			q.ChainValue != s.PCRs[FirmwarePCRs] {
			t.Fatalf("quote %+v", q)
		}
	}
}

func TestCheckSealFindsEveryChangedByte(t *testing.T) {
	for _, class := range []evidence.Class{evidence.ClassTPM, evidence.ClassSoftware} {
		f := newFake(t, class)
		good := f.seal(t, DefaultChainPCR)
		if _, err := f.key.CheckSeal(&good); err != nil {
			t.Fatal(err)
		}
		refuse := func(what string, s evidence.Seal) {
			t.Helper()
			var bad *SealError
			if _, err := f.key.CheckSeal(&s); !errors.As(err, &bad) || bad.Upto != 7 {
				t.Fatalf("%s, %s: got %v", class, what, err)
			}
		}
		for i := range good.Attest {
			s := good
			s.Attest = bytes.Clone(good.Attest)
			s.Attest[i] ^= 1
			refuse("attest", s)
			s.Sig = f.sign(t, s.Attest) // most members mean something; those that are data may be signed anew
			if i < 6 && class == evidence.ClassTPM {
				refuse("magic or type, signed again", s)
			}
		}
		for i := range good.Sig {
			s := good
			s.Sig = bytes.Clone(good.Sig)
			s.Sig[i] ^= 1
			refuse("sig", s)
		}
		for _, n := range []int{0, 1, len(good.Attest) - 1} {
			s := good
			s.Attest = good.Attest[:n]
			s.Sig = f.sign(t, s.Attest)
			refuse("short attest", s)
		}
		s := good
		s.Attest = append(bytes.Clone(good.Attest), 0)
		s.Sig = f.sign(t, s.Attest)
		refuse("long attest", s)
		s = good
		s.Sig = append(bytes.Clone(good.Sig), 0)
		refuse("long sig", s)
		s = good
		s.Head[0] ^= 1
		refuse("head", s)
		s = good
		s.Type = "count"
		refuse("type", s)
		s = good
		s.PCRs = append(append([]evidence.Digest(nil), good.PCRs...), evidence.Digest{})
		refuse("one PCR more", s)
		if class == evidence.ClassTPM {
			s = good
			s.PCRs = append([]evidence.Digest(nil), good.PCRs...)
			s.PCRs[0], s.PCRs[8] = s.PCRs[8], s.PCRs[0]
			refuse("PCRs swapped", s)
		}
	}
}

func TestCheckSealRefusesResettablePCRsAndOtherKeys(t *testing.T) {
	f := newFake(t, evidence.ClassTPM)
	for _, chain := range []int{0, 7, 16, 23} {
		s := f.seal(t, chain)
		if _, err := f.key.CheckSeal(&s); err == nil {
			t.Errorf("chain PCR %d accepted", chain)
		}
	}
	s := f.seal(t, DefaultChainPCR)
	copy(s.Attest[8:], bytes.Repeat([]byte{1}, 34)) // the qualified name of a key in another hierarchy
	s.Sig = f.sign(t, s.Attest)
	if _, err := f.key.CheckSeal(&s); err == nil {
		t.Error("quote by a key outside the endorsement hierarchy accepted")
	}
	soft := newFake(t, evidence.ClassSoftware)
	s = soft.seal(t, 0)
	if _, err := f.key.CheckSeal(&s); err == nil {
		t.Error("software seal accepted for a TPM key")
	}
}

// The second form of a signature is valid by mathematics; package doc says what finds it.
func TestCheckSealAcceptsTheOtherS(t *testing.T) {
	f := newFake(t, evidence.ClassTPM)
	s := f.seal(t, DefaultChainPCR)
	n := elliptic.P256().Params().N
	other, err := EncodeSignature(new(big.Int).SetBytes(s.Sig[6:38]), new(big.Int).Sub(n, new(big.Int).SetBytes(s.Sig[40:])))
	if err != nil {
		t.Fatal(err)
	}
	s.Sig = other
	if _, err := f.key.CheckSeal(&s); err != nil {
		t.Fatal(err)
	}
}

func TestParseKeyIsStrict(t *testing.T) {
	f := newFake(t, evidence.ClassTPM)
	good := f.key.Bytes()
	mutations := 0
	for i := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			k, err := ParseKey(evidence.ClassTPM, b)
			if err != nil {
				mutations++
				continue
			}
			if attrs := binary.BigEndian.Uint32(b[4:]); attrs&tpmMust != tpmMust || attrs&^(tpmMust|tpmMay) != 0 || k.Name() == f.key.Name() {
				t.Fatalf("byte %d bit %d accepted", i, bit)
			}
		}
	}
	if mutations < 8*len(good)-2 {
		t.Errorf("only %d of %d mutations refused", mutations, 8*len(good))
	}
	for _, b := range [][]byte{nil, good[:len(good)-1], append(bytes.Clone(good), 0)} {
		var bad *KeyError
		if _, err := ParseKey(evidence.ClassTPM, b); !errors.As(err, &bad) {
			t.Errorf("%x: %v", b, err)
		}
	}
	for _, class := range []evidence.Class{evidence.ClassSoftware, "", "hsm"} {
		if _, err := ParseKey(class, good); err == nil {
			t.Errorf("TPM key accepted as class %q", class)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, class := range []evidence.Class{evidence.ClassTPM, evidence.ClassSoftware} {
		f.Add(string(class), newFake(f, class).key.Bytes())
	}
	f.Add("tpm", []byte{})
	f.Fuzz(func(t *testing.T, class string, public []byte) {
		k, err := ParseKey(evidence.Class(class), public)
		if err == nil && !bytes.Equal(k.Bytes(), public) {
			t.Fatal("parsed key has other bytes")
		}
	})
}

func FuzzParseAttest(f *testing.F) {
	fake := newFake(f, evidence.ClassTPM)
	f.Add([]byte(fake.seal(f, DefaultChainPCR).Attest))
	f.Add(SoftwareAttest(evidence.Digest{}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAttest(b)
		if err == nil && len(b) != 4+2+2+len(a.signer)+2+len(a.extra)+25+4+6+2+len(a.pcrDigest) {
			t.Fatal("bytes left over")
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	fake := newFake(f, evidence.ClassSoftware)
	f.Add(fake.sign(f, []byte("x")))
	f.Add(make([]byte, signatureSize))
	f.Fuzz(func(t *testing.T, sig []byte) {
		r, s, err := parseSignature(sig)
		if err != nil || r.Sign() == 0 || s.Sign() == 0 {
			return
		}
		again, err := EncodeSignature(r, s)
		if err != nil || !bytes.Equal(again, sig) {
			t.Fatalf("re-encodes as %x, %v", again, err)
		}
	})
}

func BenchmarkCheckSeal(b *testing.B) {
	f := newFake(b, evidence.ClassTPM)
	s := f.seal(b, DefaultChainPCR)
	for b.Loop() {
		if _, err := f.key.CheckSeal(&s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "seals/s")
}
