package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify/verifytest"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
)

var hour = enrolTokenCommand{For: days(time.Hour)}

// events returns the custody events about a device itself, with this act.
func (r *rig) events(d evidence.DeviceID, act string) (out []evidence.CustodyEvent) {
	r.t.Helper()
	rows, err := r.core.catalog.Custody(context.Background(), d, evidence.RecordingID{})
	check(r.t, err)
	for _, row := range rows {
		if row.Act != act {
			continue
		}
		digest, err := evidence.ParseDigest(row.Event)
		check(r.t, err)
		raw, err := archive.Read(context.Background(), r.core.vault, archive.Ref{Key: archive.CustodyKey(digest), Hash: digest}, 1<<20)
		check(r.t, err)
		var ev evidence.CustodyEvent
		check(r.t, evidence.Decode(raw, &ev))
		out = append(out, ev)
	}
	return out
}

func TestEnrolment(t *testing.T) {
	r := newRig(t)
	token := r.token(enrolTokenCommand{Model: "DSJ-V6", For: days(time.Hour)})
	d := newDevice(t, "enrols", r.vkey)
	check(t, d.enrol(r, token))
	_, err := d.client(r).head()
	check(t, err)

	events := r.events(d.id(), catalog.ActEnrolled)
	if len(events) != 1 {
		t.Fatalf("%d enrolments on record", len(events))
	}
	text := func(b evidence.Bytes) string { x, _ := b.MarshalText(); return string(x) }
	for name, want := range map[string]string{"class": "tpm", "model": "DSJ-V6", "ak": text(d.sealer.Key().Bytes()), "ek": text(d.ek.public), "ek_cert": text(d.ek.cert),
		"tls_key": text(d.spki()), "maker": "Test TPM Works, EK Root", "vouched": "maker", "counter": "", "software": "test 1"} {
		if got := events[0].Detail[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(events[0].Detail["tls_proof"], `"attest":`) {
		t.Errorf("the proof of the TLS key is not on record: %v", events[0].Detail["tls_proof"])
	}

	// The token is nowhere: not in the log, not in the state folder.
	r.stop()
	if strings.Contains(r.log.String(), token) {
		t.Error("the token is in the server's log")
	}
	check(t, filepath.WalkDir(r.env.settings.State, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(token)) {
			t.Errorf("the token is in %s", path)
		}
		return err
	}))
	if left, err := filepath.Glob(filepath.Join(r.env.settings.path(dirTokens), "*")); err != nil || len(left) != 0 {
		t.Errorf("tokens left over: %v, %v", left, err)
	}
	// A stranger's tool agrees with the certificate.
	file := filepath.Join(t.TempDir(), "device.pem")
	check(t, os.WriteFile(file, pemOf("CERTIFICATE", d.cert.Certificate[0]), 0o600))
	out, err := exec.Command("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", r.env.settings.path(fileCA), file).CombinedOutput()
	if err != nil {
		t.Errorf("openssl: %v\n%s", err, out)
	}
}

func TestEnrolmentBadInput(t *testing.T) {
	r := newRig(t)
	other := newEndorsement("Another Maker")
	another := newDevice(t, "another", r.vkey)
	strange, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	for name, c := range map[string]struct {
		change func(*transport.EnrolRequest)
		code   transport.Code
	}{
		"unknown token": {func(q *transport.EnrolRequest) { q.Token = "nonsense" }, transport.CodeBadToken},
		"no token":      {func(q *transport.EnrolRequest) { q.Token = "" }, transport.CodeBadToken},
		"token for keys in a file": {func(q *transport.EnrolRequest) {
			q.Token = r.token(enrolTokenCommand{For: days(time.Hour), Software: true})
		}, transport.CodeBadToken},
		"software with a TPM's token": {func(q *transport.EnrolRequest) { q.Class = evidence.ClassSoftware }, transport.CodeBadToken},
		"unknown class":               {func(q *transport.EnrolRequest) { q.Class = "hsm" }, transport.CodeBadRequest},
		"attestation key cut":         {func(q *transport.EnrolRequest) { q.AK = q.AK[:len(q.AK)-1] }, transport.CodeBadRequest},
		"another attestation key":     {func(q *transport.EnrolRequest) { q.AK = another.sealer.Key().Bytes() }, transport.CodeBadRequest},
		"TLS key of somebody else":    {func(q *transport.EnrolRequest) { q.TLSKey = another.spki() }, transport.CodeBadRequest},
		"no proof of the TLS key":     {func(q *transport.EnrolRequest) { q.TLSProof = nil }, transport.CodeBadRequest},
		"proof of another TLS key":    {func(q *transport.EnrolRequest) { q.TLSProof = certify(t, "bad input", strange) }, transport.CodeBadRequest},
		"another's word for it":       {func(q *transport.EnrolRequest) { q.TLSProof.Sig = another.request("").TLSProof.Sig }, transport.CodeBadRequest},
		"no endorsement key":          {func(q *transport.EnrolRequest) { q.EK = nil }, transport.CodeBadRequest},
		"endorsement key cut":         {func(q *transport.EnrolRequest) { q.EK = q.EK[:100] }, transport.CodeBadRequest},
		"certificate of another EK":   {func(q *transport.EnrolRequest) { q.EK = other.public }, transport.CodeBadRequest},
		"certificate is none":         {func(q *transport.EnrolRequest) { q.EKCert = []byte("nonsense") }, transport.CodeBadRequest},
		"unknown maker":               {func(q *transport.EnrolRequest) { q.EK, q.EKCert = other.public, other.cert }, transport.CodeUnknownMaker},
		"no maker's certificate":      {func(q *transport.EnrolRequest) { q.EKCert = nil }, transport.CodeUnknownMaker},
		"a counter that is none": {func(q *transport.EnrolRequest) {
			q.Counter = &evidence.CounterRef{Index: 0x01800100, Name: []byte("x")}
		}, transport.CodeBadRequest},
		"a counter at no NV index": {func(q *transport.EnrolRequest) {
			q.Counter = &evidence.CounterRef{Index: 0x81000001, Name: []byte("x")}
		}, transport.CodeBadRequest},
		"software's name without end":  {func(q *transport.EnrolRequest) { q.Software = strings.Repeat("x", 1000) }, transport.CodeBadRequest},
		"more bytes than are accepted": {func(q *transport.EnrolRequest) { q.Software = strings.Repeat("x", transport.MaxEnrol) }, transport.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t, "bad input", r.vkey)
			q := d.request(r.token(hour))
			c.change(&q)
			_, err := d.client(r).begin(q)
			refused(t, err, c.code)
		})
	}
	d := newDevice(t, "bad input", r.vkey)
	for _, body := range []string{"", "{", `{"token":1}`, `{"unknown":"x"}`, `{"ak":"!"}`} {
		refused(t, d.client(r).do("POST", "/v1/enrol", []byte(body), nil), transport.CodeBadRequest)
	}
	if list, err := r.core.catalog.Devices(context.Background()); err != nil || len(list) != 0 {
		t.Fatalf("%d devices are known, %v", len(list), err)
	}
}

func certify(t *testing.T, seed string, key *ecdsa.PrivateKey) *attestation.KeyProof {
	t.Helper()
	e, err := verifytest.NewEmulated(seed)
	check(t, err)
	p, err := e.Certify(&key.PublicKey)
	check(t, err)
	return p
}

// Nobody gets a certificate by the messages of others, or by the same ones once more.
func TestEnrolmentForgedReplayedCrossed(t *testing.T) {
	r := newRig(t)
	d, thief := newDevice(t, "honest", r.vkey), newDevice(t, "thief", r.vkey)
	token := r.token(hour)

	// Crossed: the endorsement key of one TPM, the attestation key of another.
	mixed := thief.request(token) // thief's own keys, with the certified endorsement key of a TPM that it does not hold
	challenge, err := thief.client(r).begin(mixed)
	check(t, err)
	if _, err := d.ek.activate(challenge, d.id()); err == nil {
		t.Fatal("the TPM with the endorsement key opened a challenge for another attestation key")
	}
	_, err = thief.client(r).finish(challenge.ID, make([]byte, 32))
	refused(t, err, transport.CodeBadChallenge)
	secret, err := thief.ek.activate(challenge, thief.id())
	check(t, err)
	_, err = thief.client(r).finish(challenge.ID, secret) // one wrong answer ends it
	refused(t, err, transport.CodeBadChallenge)

	// Replayed on another connection.
	challenge, err = d.client(r).begin(d.request(token))
	check(t, err)
	secret, err = d.ek.activate(challenge, d.id())
	check(t, err)
	_, err = thief.client(r).begin(d.request(token))
	refused(t, err, transport.CodeBadRequest)
	_, err = thief.client(r).finish(challenge.ID, secret)
	refused(t, err, transport.CodeBadChallenge)
	_, err = thief.client(r).finish("00000000000000000000000000000000", secret)
	refused(t, err, transport.CodeBadChallenge)

	first, err := d.client(r).finish(challenge.ID, secret)
	check(t, err)
	again, err := d.client(r).finish(challenge.ID, secret)
	check(t, err)
	if !bytes.Equal(first.Certificate, again.Certificate) {
		t.Error("the same answer got another certificate")
	}
	// The token is used, for everybody.
	_, err = thief.client(r).begin(thief.request(token))
	refused(t, err, transport.CodeBadToken)
	_, err = d.client(r).begin(d.request(token))
	refused(t, err, transport.CodeBadToken)
	if n := len(r.events(d.id(), catalog.ActEnrolled)); n != 1 {
		t.Errorf("%d enrolments on record", n)
	}

	// Two devices with one token at the same time: the first one to finish has it.
	token = r.token(hour)
	one, two := newDevice(t, "one", r.vkey), newDevice(t, "two", r.vkey)
	challenge, err = one.client(r).begin(one.request(token))
	check(t, err)
	check(t, two.enrol(r, token))
	secret, err = one.ek.activate(challenge, one.id())
	check(t, err)
	_, err = one.client(r).finish(challenge.ID, secret)
	refused(t, err, transport.CodeBadChallenge)
}

func TestEnrolmentTimes(t *testing.T) {
	r := newRig(t)
	d := newDevice(t, "late", r.vkey)
	token := r.token(hour)
	challenge, err := d.client(r).begin(d.request(token))
	check(t, err)
	secret, err := d.ek.activate(challenge, d.id())
	check(t, err)
	r.pass(6 * time.Minute)
	_, err = d.client(r).finish(challenge.ID, secret)
	refused(t, err, transport.CodeBadChallenge)
	challenge, err = d.client(r).begin(d.request(token))
	check(t, err)
	secret, err = d.ek.activate(challenge, d.id())
	check(t, err)
	r.stop()
	r.start()
	_, err = d.client(r).finish(challenge.ID, secret)
	refused(t, err, transport.CodeBadChallenge) // challenges do not outlive the server; the token does
	r.pass(2 * time.Hour)
	_, err = d.client(r).begin(d.request(token))
	refused(t, err, transport.CodeBadToken)
	check(t, d.enrol(r, r.token(hour)))
	if left, err := filepath.Glob(filepath.Join(r.env.settings.path(dirTokens), "*")); err != nil || len(left) != 0 {
		t.Errorf("tokens left over: %v, %v", left, err)
	}
}

func TestMakersOfTPMs(t *testing.T) {
	trial := newEndorsement("Emulator")
	unknown := newEndorsement("Nobody Knows")
	r := newRig(t, func(s *settings) {
		s.AllowUnknownMaker, s.EKRootsTrial = true, filepath.Join(t.TempDir(), "trial")
		check(t, os.MkdirAll(s.EKRootsTrial, 0o700))
		check(t, os.WriteFile(filepath.Join(s.EKRootsTrial, "root.pem"), trial.root, 0o600))
	})
	for _, c := range []struct {
		seed    string
		ek      *endorsement
		cert    bool
		vouched string
		maker   string
		shown   string
	}{
		{"real", sharedEK(), true, catalog.VouchedMaker, "Test TPM Works, EK Root", "Test TPM Works, EK Root"},
		{"trial", trial, true, catalog.VouchedTrial, "Emulator, EK Root", "emulated TPM, trial"},
		{"unknown", unknown, true, catalog.VouchedNobody, "", "TPM maker unknown"},
		{"bare", &endorsement{key: unknown.key, public: unknown.public}, false, catalog.VouchedNobody, "", "TPM maker unknown"},
	} {
		d := newDeviceOf(t, c.seed, r.vkey, 0, c.ek)
		check(t, d.enrol(r, r.token(hour)))
		out, err := r.says(showCommand{Device: d.id().Short(), JSON: true})
		check(t, err)
		var shown deviceDetail
		check(t, json.Unmarshal([]byte(out), &shown))
		if shown.Vouched != c.vouched || shown.Maker != c.maker || (len(shown.EKCert) > 0) != c.cert {
			t.Errorf("%s: %+v", c.seed, shown)
		}
		rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1))
		_, err = d.client(r).statements(d.all())
		check(t, err)
		_, _, body, err := r.get("/recordings/" + rec.String() + "?lang=en")
		check(t, err)
		if !bytes.Contains(body, []byte(c.shown)) {
			t.Errorf("%s: %q is not on the page", c.seed, c.shown)
		}
	}
}

func TestReEnrolment(t *testing.T) {
	r := newRig(t)
	d := r.register("again")
	old := d.cert
	_, err := d.client(r).statements(d.all())
	check(t, err)
	d.cert = selfSigned(t, d.key)
	_, err = d.client(r).head()
	refused(t, err, transport.CodeCertificate) // foreign
	r.pass(366 * 24 * time.Hour)
	d.cert = old
	e := refusalOf(t, d.client(r).do("GET", "/v1/head", nil, nil), transport.CodeCertificate)
	if !strings.Contains(e.Message, "ended at") || !strings.Contains(e.Do, "enrol-token") {
		t.Errorf("%+v", e)
	}
	refused(t, d.client(r).do("POST", "/v1/certificate", nil, nil), transport.CodeCertificate)
	check(t, d.enrol(r, r.token(enrolTokenCommand{Model: "new model", For: days(time.Hour)})))
	h, err := d.client(r).head()
	check(t, err)
	if h.Seq == nil || h.Head != d.head {
		t.Errorf("the chain is gone: %+v", h)
	}
	r.pass(300 * 24 * time.Hour)
	var fresh transport.Certificate
	check(t, d.client(r).do("POST", "/v1/certificate", nil, &fresh))
	d.use(fresh.Certificate)
	r.pass(300 * 24 * time.Hour)
	_, err = d.client(r).head()
	check(t, err)

	lost := newDevice(t, "again", r.vkey) // the same attestation key with another TLS key
	refused(t, lost.enrol(r, r.token(hour)), transport.CodeBadRequest)
	stolen := newDevice(t, "another", r.vkey) // a known TLS key with another attestation key
	stolen.key, stolen.cert = d.key, selfSigned(t, d.key)
	refused(t, stolen.enrol(r, r.token(hour)), transport.CodeBadRequest)
}

func TestSoftwareDevices(t *testing.T) {
	r := newRig(t)
	sealer, err := verifytest.NewSoftware("software")
	check(t, err)
	d := newDevice(t, "for its TLS key", r.vkey)
	q := transport.EnrolRequest{Token: r.token(hour), Class: evidence.ClassSoftware, AK: sealer.Key().Bytes(), TLSKey: d.spki(), Software: "test"}
	_, err = d.client(r).begin(q)
	refused(t, err, transport.CodeBadToken)
	q.Token = r.token(enrolTokenCommand{For: days(time.Hour), Software: true})
	with := q
	with.EK, with.EKCert = d.ek.public, d.ek.cert
	_, err = d.client(r).begin(with)
	refused(t, err, transport.CodeBadRequest)
	challenge, err := d.client(r).begin(q)
	check(t, err)
	if len(challenge.Credential)+len(challenge.Encrypted) != 0 {
		t.Error("a challenge that nobody can open")
	}
	done, err := d.client(r).finish(challenge.ID, nil)
	check(t, err)
	d.use(done.Certificate)
	_, err = d.client(r).head()
	check(t, err)
	out, err := r.says(listCommand{})
	check(t, err)
	if done.Device != sealer.Key().Name() || !strings.Contains(out, "no TPM, trial") {
		t.Errorf("%s", out)
	}
}
