package devices

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify/verifytest"
)

// goodRequest is what a device with a TPM says of itself.
func goodRequest(t testing.TB) transport.EnrolRequest {
	t.Helper()
	sealer, err := verifytest.NewEmulated("request")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32)) // the same in all of a fuzzer's processes
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	proof, err := sealer.Certify(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ek, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := []byte{0, 1, 0, 11, 0, 3, 0, 0xb2, 0, 32, 0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
		0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa, 0, 6, 0, 0x80, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0, 1, 0}
	return transport.EnrolRequest{Class: evidence.ClassTPM, AK: sealer.Key().Bytes(), EK: append(public, ek.N.Bytes()...), TLSKey: spki, TLSProof: proof}
}

// Whatever is sent, it is refused, or the keys are what they must be.
func FuzzCheckKeys(f *testing.F) {
	good := goodRequest(f)
	f.Add("tpm", []byte(good.AK), []byte(good.EK), []byte(good.TLSKey), []byte(good.TLSProof.Public), []byte(good.TLSProof.Attest), []byte(good.TLSProof.Sig))
	f.Add("software", []byte(good.AK), []byte{}, []byte(good.TLSKey), []byte{}, []byte{}, []byte{})
	f.Add("", []byte{}, []byte{}, []byte{}, []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, class string, ak, ek, spki, public, attest, sig []byte) {
		q := transport.EnrolRequest{Class: evidence.Class(class), AK: ak, EK: ek, TLSKey: spki, TLSProof: &attestation.KeyProof{Public: public, Attest: attest, Sig: sig}}
		if class == "software" {
			q.TLSProof = nil
		}
		id, got, err := checkKeys(&x509.Certificate{RawSubjectPublicKeyInfo: spki}, q)
		if err != nil {
			var e *transport.Error
			if !errors.As(err, &e) || e.Code != transport.CodeBadRequest {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		key, err := attestation.ParseKey(q.Class, ak)
		if err != nil || key.Name() != id || (got == nil) != (class == "software") {
			t.Fatalf("accepted as %s: %v", id, err)
		}
		if class == "tpm" && (!bytes.Equal(got.Bytes(), ek) || !bytes.Equal(ak, good.AK) || !bytes.Equal(spki, good.TLSKey)) {
			t.Fatal("another key was accepted under the first one's proof")
		}
	})
}

func TestTokens(t *testing.T) {
	now := time.Unix(1790000000, 0)
	tokens := &Tokens{Dir: t.TempDir() + "/tokens", Now: func() time.Time { return now }}
	token, err := tokens.Make(Token{Model: "m", Until: now.Add(time.Hour).UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	hash := tokenHash(strings.ToUpper(token[:4]) + "-" + token[4:] + "\n") // as somebody types it
	if k, err := tokens.find(hash); err != nil || k.Model != "m" {
		t.Fatalf("%+v, %v", k, err)
	}
	var all sync.WaitGroup
	taken := make([]error, 8)
	one, two := evidence.DeviceID{1}, evidence.DeviceID{2}
	if _, err := tokens.claim(hash, one); err != nil {
		t.Fatal(err)
	}
	for i := range taken {
		all.Go(func() { _, taken[i] = tokens.claim(hash, two) })
	}
	all.Wait()
	for _, err := range taken {
		if !errors.Is(err, ErrTokenTaken) {
			t.Errorf("claimed by another: %v", err)
		}
	}
	if _, err := tokens.claim(hash, one); err != nil {
		t.Errorf("claimed again by the first: %v", err)
	}
	if err := tokens.burn(hash); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.claim(hash, one); !errors.Is(err, ErrNoToken) {
		t.Errorf("burnt: %v", err)
	}
	old, err := tokens.Make(Token{Until: now.Add(time.Minute).UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if _, err := tokens.find(tokenHash(old)); !errors.Is(err, ErrTokenExpired) {
		t.Errorf("expired: %v", err)
	}
	if _, err := tokens.find(tokenHash(strings.Repeat("x", 1<<20))); !errors.Is(err, ErrNoToken) {
		t.Errorf("endless: %v", err)
	}
}
