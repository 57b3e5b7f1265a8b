package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/catalog"

	tpm "camseal/pkg/attestation/device"
)

// station is a device with a real (software) TPM, up to its enrolment.
type station struct {
	tpm.TPM
	tpm.Identity
	request transport.EnrolRequest
	client  *client
	d       *device // for its connections
}

func newStation(t *testing.T, r *rig, s *swtpmtest.TPM) *station {
	t.Helper()
	ctx := context.Background()
	config := tpm.Config{Path: s.Path(), State: t.TempDir()}
	_, err := tpm.Provision(ctx, config)
	check(t, err)
	x, err := tpm.Open(ctx, config)
	check(t, err)
	t.Cleanup(func() { check(t, x.Close()) })
	id, ok := x.(tpm.Identity)
	if !ok {
		t.Fatal("no identity")
	}
	ek, cert, err := id.Endorsement(ctx)
	check(t, err)
	ref, _, err := id.Counter(ctx)
	check(t, err)
	signer := id.TLSKey()
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)}
	own, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	check(t, err)
	d := &device{t: t, cert: tls.Certificate{Certificate: [][]byte{own}, PrivateKey: signer}}
	return &station{TPM: x, Identity: id, d: d, client: d.client(r), request: transport.EnrolRequest{Class: evidence.ClassTPM, AK: x.Key().Bytes(), EK: ek, EKCert: cert,
		TLSKey: spki, TLSProof: id.TLSProof(), Counter: ref, Software: "test"}}
}

// Real TPMs enrol by challenge, under their maker's root; keys of two TPMs mixed do not.
func TestEnrolmentOfRealTPMs(t *testing.T) {
	ctx := context.Background()
	maker := swtpmtest.NewMaker(t)
	one, two := maker.Start(t), maker.Start(t)
	r := newRig(t, func(s *settings) {
		s.EKRootsTrial = t.TempDir()
		check(t, os.WriteFile(filepath.Join(s.EKRootsTrial, "root.pem"), maker.Root(t), 0o600))
		check(t, os.WriteFile(filepath.Join(s.EKRootsTrial, "issuer.pem"), maker.Intermediate(t), 0o600))
	})
	a, b := newStation(t, r, one), newStation(t, r, two)
	token := r.token(hour)

	crossed := b.request // all of one TPM, but the certified endorsement key of another
	crossed.Token, crossed.EK, crossed.EKCert = token, a.request.EK, a.request.EKCert
	challenge, err := b.client.begin(crossed)
	check(t, err)
	for _, x := range []*station{a, b} {
		if _, err := x.Activate(ctx, challenge.Credential, challenge.Encrypted); !errors.Is(err, tpm.ErrChallenge) {
			t.Errorf("a TPM with only one of the keys: %v", err)
		}
	}
	_, err = b.client.finish(challenge.ID, make([]byte, 32))
	refused(t, err, transport.CodeBadChallenge)

	stolen := b.request // a proof that another TPM made
	stolen.Token, stolen.TLSProof = token, a.request.TLSProof
	_, err = b.client.begin(stolen)
	refused(t, err, transport.CodeBadRequest)

	a.request.Token = token
	challenge, err = a.client.begin(a.request)
	check(t, err)
	secret, err := a.Activate(ctx, challenge.Credential, challenge.Encrypted)
	check(t, err)
	done, err := a.client.finish(challenge.ID, secret)
	check(t, err)
	a.d.cert = tls.Certificate{Certificate: [][]byte{done.Certificate}, PrivateKey: a.TLSKey()}
	if _, err := a.d.client(r).head(); err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(done.Certificate)
	check(t, err)
	if pub, ok := a.TLSKey().Public().(*ecdsa.PublicKey); !ok || !pub.Equal(leaf.PublicKey) || leaf.Subject.CommonName != a.Key().Name().String()[4:] {
		t.Error("the certificate is about another key or device")
	}
	row, err := r.core.catalog.Device(ctx, a.Key().Name())
	check(t, err)
	if row.Vouched != catalog.VouchedTrial || row.Maker == "" || row.Counter == "" || !bytes.Contains([]byte(row.Counter), []byte(`"index":`)) {
		t.Errorf("%+v", row)
	}
}
