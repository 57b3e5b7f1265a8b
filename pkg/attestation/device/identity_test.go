//go:build linux

package device_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/attestation/challenge"
	"camseal/pkg/attestation/device"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
)

// identity provisions a TPM and opens it.
func identity(t *testing.T, s *swtpmtest.TPM) (device.TPM, device.Identity) {
	t.Helper()
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	if p := provision(t, config); p.Hardening != nil || p.CounterError != nil {
		t.Fatalf("%+v", p)
	}
	d := open(t, config)
	return d, d.(device.Identity)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func endorsement(t *testing.T, id device.Identity) (*attestation.EK, []byte) {
	t.Helper()
	public, cert, err := id.Endorsement(t.Context())
	must(t, err)
	ek, err := attestation.ParseEK(public)
	must(t, err)
	return ek, cert
}

func ask(t *testing.T, ek *attestation.EK, ak evidence.DeviceID) (secret, credential, encrypted []byte) {
	t.Helper()
	secret = make([]byte, challenge.MaxSecret)
	_, _ = rand.Read(secret)
	credential, encrypted, err := challenge.Make(rand.Reader, ek, ak, secret)
	must(t, err)
	return secret, credential, encrypted
}

// A challenge is answered by the one TPM that holds both keys, with an ECC and with an RSA endorsement key, and by no other.
func TestChallengeBindsBothKeys(t *testing.T) {
	plain, planned := swtpmtest.Start(t), swtpmtest.NewMaker(t).Start(t)
	d1, id1 := identity(t, plain)
	d2, id2 := identity(t, planned)
	ek1, cert1 := endorsement(t, id1)
	ek2, cert2 := endorsement(t, id2)
	if cert1 != nil || cert2 == nil {
		t.Fatalf("certificates of %d and %d bytes", len(cert1), len(cert2))
	}
	for _, c := range []struct {
		d  device.TPM
		id device.Identity
		ek *attestation.EK
	}{{d1, id1, ek1}, {d2, id2, ek2}} {
		for range 2 {
			secret, credential, encrypted := ask(t, c.ek, c.d.Key().Name())
			answer, err := c.id.Activate(t.Context(), credential, encrypted)
			if err != nil || !bytes.Equal(answer, secret) {
				t.Fatalf("%T: %x, %v, want %x", c.ek.Public(), answer, err, secret)
			}
		}
	}
	refused := func(what string, id device.Identity, credential, encrypted []byte) {
		t.Helper()
		if answer, err := id.Activate(t.Context(), credential, encrypted); !errors.Is(err, device.ErrChallenge) {
			t.Errorf("%s: %x, %v", what, answer, err)
		}
	}
	_, credential, encrypted := ask(t, ek1, d2.Key().Name())
	refused("EK of one TPM, AK of another, sent to the first", id1, credential, encrypted)
	refused("EK of one TPM, AK of another, sent to the second", id2, credential, encrypted)
	_, credential, encrypted = ask(t, ek1, d1.Key().Name())
	for i := range credential {
		changed := bytes.Clone(credential)
		changed[i] ^= 1
		refused("changed credential", id1, changed, encrypted)
	}
	changed := bytes.Clone(encrypted)
	changed[len(changed)-1] ^= 1
	refused("changed secret", id1, credential, changed)
	refused("nothing", id1, nil, nil)
	if list, err := tool(t, plain, "tpm2_getcap", "handles-transient"); err != nil || len(list) != 0 {
		t.Fatalf("left loaded: %s %v", list, err)
	}
	if list, err := tool(t, plain, "tpm2_getcap", "handles-loaded-session"); err != nil || len(list) != 0 {
		t.Fatalf("left loaded: %s %v", list, err)
	}
	if _, _, err := challenge.Make(rand.Reader, ek1, d1.Key().Name(), make([]byte, 33)); err == nil {
		t.Error("a secret of 33 bytes")
	}
	if _, _, err := challenge.Make(rand.Reader, ek1, d1.Key().Name(), nil); err == nil {
		t.Error("no secret")
	}
}

// What tpm2_makecredential makes, our agent answers; what our server makes, tpm2_activatecredential answers.
func TestTpm2ToolsMakeAndAnswerChallenges(t *testing.T) {
	s := swtpmtest.NewMaker(t).Start(t)
	d, id := identity(t, s)
	ek, _ := endorsement(t, id)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) { must(t, os.WriteFile(path(name), data, 0o600)) }

	der, err := x509.MarshalPKIXPublicKey(ek.Public())
	must(t, err)
	write("ek.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	write("secret", []byte("12345678901234567890123456789012"))
	c := exec.Command("tpm2_makecredential", "-T", "none", "-u", path("ek.pem"), "-G", "rsa", "-s", path("secret"), "-n", d.Key().Name().String(), "-o", path("blob"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	blob, err := os.ReadFile(path("blob"))
	must(t, err)
	credential, encrypted := splitBlob(t, blob)
	answer, err := id.Activate(t.Context(), credential, encrypted)
	if err != nil || string(answer) != "12345678901234567890123456789012" {
		t.Fatalf("tpm2_makecredential: %q, %v", answer, err)
	}

	// With tools, the endorsement hierarchy must be open: a TPM of its own.
	other := swtpmtest.NewMaker(t).Start(t)
	config := device.Config{Path: other.Path()}
	p := provision(t, config)
	ek, _ = endorsement(t, open(t, config).(device.Identity))
	secret, credential, encrypted := ask(t, ek, p.Key.Name())
	write("ours", append(append(append([]byte{0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1}, byte(len(credential)>>8), byte(len(credential))), credential...),
		append([]byte{byte(len(encrypted) >> 8), byte(len(encrypted))}, encrypted...)...))
	for _, args := range [][]string{
		{"tpm2_startauthsession", "--policy-session", "-S", path("session")},
		{"tpm2_policysecret", "-S", path("session"), "-c", "e"},
		{"tpm2_activatecredential", "-c", "0x81010C51", "-C", "0x81010001", "-P", "session:" + path("session"), "-i", path("ours"), "-o", path("answer")},
	} {
		if out, err := tool(t, other, args[0], args[1:]...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	answer, err = os.ReadFile(path("answer"))
	if err != nil || !bytes.Equal(answer, secret) {
		t.Fatalf("tpm2_activatecredential: %x, %v, want %x", answer, err, secret)
	}
}

// splitBlob reads a credential file of tpm2-tools: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET.
func splitBlob(t *testing.T, b []byte) (credential, encrypted []byte) {
	t.Helper()
	b = b[8:]
	n := int(b[0])<<8 + int(b[1])
	credential, b = b[2:2+n], b[2+n:]
	if len(b) != 2+int(b[0])<<8+int(b[1]) {
		t.Fatalf("%x", b)
	}
	return credential, b[2:]
}

// The endorsement key's certificate is the maker's word for this key, and openssl says so too.
func TestEndorsementCertificate(t *testing.T) {
	maker, stranger := swtpmtest.NewMaker(t), swtpmtest.NewMaker(t)
	_, id := identity(t, maker.Start(t))
	_, other := identity(t, stranger.Start(t))
	ek, der := endorsement(t, id)
	cert, err := attestation.ParseEKCert(der)
	must(t, err)
	must(t, ek.Matches(cert))

	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "root.pem"), maker.Root(t), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "intermediate.pem"), maker.Intermediate(t), 0o600))
	roots, err := attestation.LoadRoots(dir)
	if err != nil || roots.Len() != 1 {
		t.Fatal(roots.Len(), err)
	}
	if name, err := roots.VerifyEK(cert); err != nil || !strings.Contains(name, "swtpm-localca") {
		t.Fatalf("%q, %v", name, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "ek.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	c := exec.Command("openssl", "verify", "-CAfile", "root.pem", "-untrusted", "intermediate.pem", "ek.pem")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("openssl verify: %v\n%s", err, out)
	}

	ek2, der2 := endorsement(t, other)
	cert2, err := attestation.ParseEKCert(der2)
	must(t, err)
	if _, err := roots.VerifyEK(cert2); !errors.Is(err, attestation.ErrUnknownMaker) {
		t.Errorf("another maker: %v", err)
	}
	if ek.Matches(cert2) == nil || ek2.Matches(cert) == nil {
		t.Error("a certificate matches another key")
	}
	var none *attestation.Roots
	if _, err := none.VerifyEK(cert); !errors.Is(err, attestation.ErrUnknownMaker) {
		t.Errorf("no roots: %v", err)
	}
}

func TestCounterIsCertifiedAndSurvivesPowerCycles(t *testing.T) {
	s := swtpmtest.Start(t)
	d, id := identity(t, s)
	ref, base, err := id.Counter(t.Context())
	must(t, err)
	if ref == nil || attestation.CheckCounterRef(ref) != nil {
		t.Fatalf("%+v", ref)
	}
	var before attestation.Counter
	for i := range uint64(4) {
		head := evidence.Sum([]byte{byte(i)})
		record, err := id.Count(t.Context(), i, head)
		must(t, err)
		got, err := d.Key().CheckCount(&record, head)
		if err != nil || got.Value != base+i || !bytes.Equal(got.Name, ref.Name) {
			t.Fatalf("%+v, %v, want %d", got, err, base+i)
		}
		if i > 0 && got.Reset != before.Reset+1 {
			t.Fatalf("%+v after %+v", got, before)
		}
		before = got
		if _, err := d.Key().CheckCount(&record, evidence.Sum(nil)); err == nil {
			t.Fatal("a count record passes for another statement's")
		}
		must(t, id.Increment(t.Context()))
		s.PowerCycle()
		again, value, err := id.Counter(t.Context())
		if err != nil || value != base+i+1 || !bytes.Equal(again.Name, ref.Name) {
			t.Fatalf("%+v %d, %v", again, value, err)
		}
	}
	// One attestation is not another: neither a seal nor a proof of the TLS key is a count record.
	head := evidence.Sum([]byte("x"))
	seal, err := d.Quote(t.Context(), head, 1)
	must(t, err)
	for _, record := range []evidence.Count{
		{Type: "count", Seq: 1, Attest: seal.Attest, Sig: seal.Sig},
		{Type: "count", Seq: 1, Attest: id.TLSProof().Attest, Sig: id.TLSProof().Sig},
	} {
		if _, err := d.Key().CheckCount(&record, head); err == nil {
			t.Error("another attestation passes for a count record")
		}
	}
}

// Chips that can't have the counter are used without, and it is said why.
func TestChipsWithoutCounter(t *testing.T) {
	s := swtpmtest.Start(t)
	if out, err := tool(t, s, "tpm2_nvdefine", "0x01800C51", "-s", "8", "-a", "authread|authwrite"); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	if p := provision(t, config); !errors.Is(p.CounterError, device.ErrNoCounter) || p.Hardening != nil {
		t.Fatalf("%+v", p)
	}
	id := open(t, config).(device.Identity)
	if ref, _, err := id.Counter(t.Context()); ref != nil || err != nil {
		t.Fatal(ref, err)
	}
	if err := id.Increment(t.Context()); !errors.Is(err, device.ErrNoCounter) {
		t.Fatal(err)
	}
	if _, err := id.Count(t.Context(), 1, evidence.Digest{}); !errors.Is(err, device.ErrNoCounter) {
		t.Fatal(err)
	}

	full := swtpmtest.Start(t) // its NV memory is taken
	config = device.Config{Path: full.Path()}
	if p := provision(t, config); !errors.Is(p.CounterError, device.ErrNoCounter) || p.Hardening == nil {
		t.Fatalf("without a state folder: %+v", p)
	}
	for _, kind := range [][]string{{"-s", "2048"}, {"-s", "64"}, {"-s", "8", "-a", "nt=counter|authread|authwrite"}} {
		for n := 0; ; n++ {
			if _, err := tool(t, full, "tpm2_nvdefine", kind...); err != nil {
				break
			}
			if n > 2000 {
				t.Fatal("NV memory without end")
			}
		}
	}
	config.State = t.TempDir()
	if p := provision(t, config); p.CounterError == nil || errors.Is(p.CounterError, device.ErrNoCounter) || p.Hardening != nil {
		t.Fatalf("full: %+v", p)
	}

	lost := swtpmtest.Start(t) // the state folder was lost, and the hierarchies are closed
	_, _ = identity(t, lost)
	if p, err := device.Provision(t.Context(), device.Config{Path: lost.Path(), State: t.TempDir()}); err != nil || p.CounterError == nil {
		t.Fatalf("%+v, %v", p, err)
	}
}

func TestSecretsAreSealedToTheirTPM(t *testing.T) {
	s := swtpmtest.Start(t)
	d, id := identity(t, s)
	_, other := identity(t, swtpmtest.Start(t))
	secret := bytes.Repeat([]byte{7}, device.MaxProtected)
	blob, err := id.Protect(t.Context(), secret)
	must(t, err)
	if bytes.Contains(blob, secret[:16]) {
		t.Fatal("the blob holds the secret")
	}
	must(t, d.Extend(t.Context(), evidence.Sum(nil))) // whatever the PCRs are
	s.PowerCycle()
	if got, err := id.Reveal(t.Context(), blob); err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("%x, %v", got, err)
	}
	if _, err := other.Reveal(t.Context(), blob); !errors.Is(err, device.ErrSealed) {
		t.Errorf("another TPM: %v", err)
	}
	for _, bad := range [][]byte{nil, blob[:1], blob[:len(blob)-1], append(bytes.Clone(blob), 0)} {
		if _, err := id.Reveal(t.Context(), bad); !errors.Is(err, device.ErrSealed) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	changed := bytes.Clone(blob)
	changed[20] ^= 1
	if _, err := id.Reveal(t.Context(), changed); !errors.Is(err, device.ErrSealed) {
		t.Errorf("changed: %v", err)
	}
	for _, n := range []int{0, device.MaxProtected + 1} {
		if _, err := id.Protect(t.Context(), make([]byte, n)); err == nil {
			t.Errorf("%d bytes protected", n)
		}
	}
	if list, err := tool(t, s, "tpm2_getcap", "handles-transient"); err != nil || len(list) != 0 {
		t.Fatalf("left loaded: %s %v", list, err)
	}
}

func selfSigned(t *testing.T, key crypto.Signer) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		DNSNames: []string{"x"}, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Handshakes of TLS 1.3 with the key in the TPM as the client's, several at once, while seals are made.
func TestTLSWithTheKeyInTheTPM(t *testing.T) {
	s := swtpmtest.Start(t)
	d, id := identity(t, s)
	soft, err := device.OpenSoftware(filepath.Join(t.TempDir(), "key"))
	must(t, err)
	server := selfSigned(t, soft.(device.Identity).TLSKey())
	leaf, err := x509.ParseCertificate(server.Certificate[0])
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	client := selfSigned(t, id.TLSKey())
	spki, err := d.Key().CheckTLSKey(*id.TLSProof())
	must(t, err)

	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAnyClientCert})
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if c.(*tls.Conn).HandshakeContext(t.Context()) == nil {
					_, _ = c.Write(c.(*tls.Conn).ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
				}
			}()
		}
	}()
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{MinVersion: tls.VersionTLS13, ServerName: "x", RootCAs: pool, Certificates: []tls.Certificate{client}})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if seen, err := io.ReadAll(c); err != nil || !bytes.Equal(seen, spki) {
				t.Errorf("the server saw %x, %v", seen, err)
			}
		})
		all.Go(func() {
			if _, err := d.Quote(t.Context(), evidence.Sum(nil), 1); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := id.TLSKey().Sign(rand.Reader, make([]byte, 48), crypto.SHA384); err == nil {
		t.Error("the key signs what it should not")
	}
	s.Kill()
	if _, err := id.TLSKey().Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err == nil {
		t.Error("a dead TPM signs")
	}
}

// The TLS key stays the same over starts, differs between TPMs, and another TPM's proof does not pass.
func TestTLSKeyIsTheTPMs(t *testing.T) {
	s := swtpmtest.Start(t)
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	provision(t, config)
	d, err := device.Open(t.Context(), config)
	must(t, err)
	first := *d.(device.Identity).TLSProof()
	public, ok := d.(device.Identity).TLSKey().Public().(*ecdsa.PublicKey)
	if !ok {
		t.Fatal("no ECDSA key")
	}
	must(t, d.Close())
	provision(t, config)
	again := open(t, config)
	if !public.Equal(again.(device.Identity).TLSKey().Public()) || !bytes.Equal(again.(device.Identity).TLSProof().Public, first.Public) {
		t.Error("the key changed")
	}
	digest := sha256.Sum256([]byte("x"))
	sig, err := again.(device.Identity).TLSKey().Sign(nil, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(public, digest[:], sig) {
		t.Error(err)
	}
	other, id := identity(t, swtpmtest.Start(t))
	if _, err := again.Key().CheckTLSKey(*id.TLSProof()); err == nil {
		t.Error("another TPM's proof passes")
	}
	if _, err := other.Key().CheckTLSKey(first); err == nil {
		t.Error("another TPM's proof passes")
	}
}

// TPM2_Clear destroys both keys and the counter; what is made after it is another device. No counter starts again at a value that was used.
func TestClearDestroysTheDevice(t *testing.T) {
	s := swtpmtest.Start(t)
	dir := t.TempDir()
	config := device.Config{Path: s.Path(), State: dir}
	d, id := identity(t, s)
	for range 5 {
		must(t, id.Increment(t.Context()))
	}
	_, last, err := id.Counter(t.Context())
	must(t, err)
	proof := *id.TLSProof()
	for _, args := range [][]string{{"tpm2_clearcontrol", "-C", "p", "c"}, {"tpm2_clear", "-c", "p"}} { // as a firmware's settings do
		if out, err := tool(t, s, args[0], args[1:]...); err != nil {
			t.Fatalf("%v: %s %v", args, out, err)
		}
	}
	if _, err := d.Quote(t.Context(), evidence.Sum(nil), 1); !errors.Is(err, device.ErrReplaced) {
		t.Error(err)
	}
	if _, err := device.Open(t.Context(), config); !errors.Is(err, device.ErrNoKey) {
		t.Error(err)
	}
	provision(t, config)
	again := open(t, config)
	if again.Key().Name() == d.Key().Name() || bytes.Equal(again.(device.Identity).TLSProof().Public, proof.Public) {
		t.Error("a key came back")
	}
	ref, value, err := again.(device.Identity).Counter(t.Context())
	if err != nil || ref == nil || value <= last {
		t.Errorf("%+v %d after %d, %v", ref, value, last, err)
	}
}

// A TPM in dictionary-attack lockout goes on sealing, counting and signing: nothing of ours is under that protection.
func TestLockoutStopsNothingOfOurs(t *testing.T) {
	s := swtpmtest.NewMaker(t).Start(t)
	key := filepath.Join(t.TempDir(), "key")
	for _, args := range [][]string{
		{"tpm2_createprimary", "-C", "o", "-G", "ecc", "-p", "right", "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign", "-c", key},
		{"tpm2_evictcontrol", "-c", key, "0x81000099"},
		{"tpm2_flushcontext", "-t"},
	} {
		if out, err := tool(t, s, args[0], args[1:]...); err != nil {
			t.Fatalf("%v: %s %v", args, out, err)
		}
	}
	d, id := identity(t, s)
	ek, _ := endorsement(t, id)
	blob, err := id.Protect(t.Context(), []byte("secret"))
	must(t, err)
	for try := 0; ; try++ { // a protected key's value is guessed
		out, err := tool(t, s, "tpm2_unseal", "-c", "0x81000099", "-p", "wrong")
		if err == nil || try > 50 {
			t.Fatalf("%s %v", out, err)
		}
		if strings.Contains(out, "0x921") || strings.Contains(out, "lockout") {
			break
		}
	}
	if _, err := d.Quote(t.Context(), evidence.Sum(nil), 1); err != nil {
		t.Error(err)
	}
	if _, err := id.Count(t.Context(), 1, evidence.Sum(nil)); err != nil {
		t.Error(err)
	}
	if err := id.Increment(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := id.TLSKey().Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
		t.Error(err)
	}
	if got, err := id.Reveal(t.Context(), blob); err != nil || string(got) != "secret" {
		t.Error(err)
	}
	secret, credential, encrypted := ask(t, ek, d.Key().Name())
	if answer, err := id.Activate(t.Context(), credential, encrypted); err != nil || !bytes.Equal(answer, secret) {
		t.Error(err)
	}
}

// Another TPM stands in the place of the one that was opened: all that needs its keys says so, and nothing is signed.
func TestTPMReplacedUnderARunningAgent(t *testing.T) {
	s := swtpmtest.Start(t)
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	provision(t, config)
	d := open(t, config)
	id := d.(device.Identity)
	ek, _ := endorsement(t, id)
	_, credential, encrypted := ask(t, ek, d.Key().Name())
	blob, err := id.Protect(t.Context(), []byte("secret"))
	must(t, err)
	for _, fresh := range []bool{true, false} {
		s.Replace()
		if !fresh { // enrolled elsewhere: it has keys and a counter of its own
			provision(t, device.Config{Path: s.Path(), State: t.TempDir()})
		}
		for what, err := range map[string]error{
			"quote":    second(d.Quote(t.Context(), evidence.Sum(nil), 1)),
			"sign":     second(id.TLSKey().Sign(nil, make([]byte, 32), crypto.SHA256)),
			"counter":  third(id.Counter(t.Context())),
			"count":    second(id.Count(t.Context(), 1, evidence.Sum(nil))),
			"activate": second(id.Activate(t.Context(), credential, encrypted)),
			"reveal":   second(id.Reveal(t.Context(), blob)),
		} {
			if !errors.Is(err, device.ErrReplaced) {
				t.Errorf("fresh %v, %s: %v", fresh, what, err)
			}
		}
	}
}

func TestSoftwareHasNoTPM(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	d, err := device.OpenSoftware(path)
	must(t, err)
	id := d.(device.Identity)
	if public, cert, err := id.Endorsement(t.Context()); public != nil || cert != nil || err != nil {
		t.Error(public, cert, err)
	}
	if ref, _, err := id.Counter(t.Context()); ref != nil || err != nil {
		t.Error(ref, err)
	}
	for what, err := range map[string]error{
		"activate": second(id.Activate(t.Context(), nil, nil)), "protect": second(id.Protect(t.Context(), nil)), "reveal": second(id.Reveal(t.Context(), nil)),
	} {
		if !errors.Is(err, device.ErrNoTPM) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := id.Increment(t.Context()); !errors.Is(err, device.ErrNoCounter) {
		t.Error(err)
	}
	if id.TLSProof() != nil {
		t.Error("a proof")
	}
	again, err := device.OpenSoftware(path)
	must(t, err)
	if !id.TLSKey().Public().(*ecdsa.PublicKey).Equal(again.(device.Identity).TLSKey().Public()) {
		t.Error("the TLS key changed")
	}
	_ = selfSigned(t, id.TLSKey())
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }
