package devices

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/attestation/challenge"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

// pending is an enrolment whose challenge was sent. It lives in memory only: after a restart the device begins again.
type pending struct {
	token  string // its hash
	req    transport.EnrolRequest
	id     evidence.DeviceID
	maker  maker
	secret []byte // what the answer must hold; empty in class software
	until  time.Time
	done   *transport.Enrolled // the answer, once it was given
}

// maker says who vouches for a TPM.
type maker struct {
	name    string
	vouched catalog.Vouched
}

const (
	maxPending    = 64
	challengeTime = 5 * time.Minute
	answerTime    = time.Hour // for a device that did not get the answer
	maxText       = 200       // bytes of the agent's name and version
)

// enrolledBy is who made the token: whoever may use the server's state folder.
const enrolledBy = "administrator"

func refuse(code transport.Code, format string, args ...any) *transport.Error {
	e := &transport.Error{Status: 403, Code: code, Message: fmt.Sprintf(format, args...),
		Kept: "nothing was changed; the device's keys and its chain are as they were",
		Do:   "ask for a new token (camseal-server enrol-token) and enrol again"}
	if code == transport.CodeBadRequest {
		e.Status, e.Do = 400, "see the device's log; the same request will be refused again"
	}
	return e
}

// Begin checks what a device says about itself and answers with a challenge. cert is what the connection was made with.
// Errors are *transport.Error where the device is at fault.
func (r *Registry) Begin(ctx context.Context, cert *x509.Certificate, req transport.EnrolRequest) (transport.EnrolChallenge, error) {
	hash := tokenHash(req.Token)
	req.Token = ""
	token, err := r.Tokens.find(hash)
	if err != nil {
		return transport.EnrolChallenge{}, tokenRefusal(err)
	}
	if token.Software != (req.Class == evidence.ClassSoftware) {
		return transport.EnrolChallenge{}, refuse(transport.CodeBadToken, "this token is for %s, and the device has %s",
			kindText(token.Software), kindText(!token.Software))
	}
	id, ek, err := checkKeys(cert, req)
	if err != nil {
		return transport.EnrolChallenge{}, err
	}
	p := &pending{token: hash, req: req, id: id, until: r.Now().Add(challengeTime), maker: maker{vouched: catalog.VouchedSoftware}}
	if ek != nil {
		if p.maker, err = r.vouchedFor(ek, req.EKCert); err != nil {
			return transport.EnrolChallenge{}, err
		}
	}
	if err := r.fits(ctx, p); err != nil {
		return transport.EnrolChallenge{}, err
	}
	c := transport.EnrolChallenge{}
	if ek != nil {
		p.secret = make([]byte, challenge.MaxSecret)
		if _, err := io.ReadFull(r.Rand, p.secret); err != nil {
			return c, err
		}
		if c.Credential, c.Encrypted, err = challenge.Make(r.Rand, ek, id, p.secret); err != nil {
			return c, refuse(transport.CodeBadRequest, "%v", err)
		}
	}
	c.ID, err = r.keep(p)
	return c, err
}

func kindText(software bool) string {
	if software {
		return "keys in a file"
	}
	return "a TPM"
}

func tokenRefusal(err error) error {
	for _, bad := range []error{ErrNoToken, ErrTokenExpired, ErrTokenTaken} {
		if errors.Is(err, bad) {
			return refuse(transport.CodeBadToken, "%v", bad)
		}
	}
	return err
}

// checkKeys checks that the keys are what they must be and belong together, as far as signatures can say. ek is nil in class software.
func checkKeys(cert *x509.Certificate, req transport.EnrolRequest) (id evidence.DeviceID, ek *attestation.EK, err error) {
	bad := func(err error) (evidence.DeviceID, *attestation.EK, error) {
		return id, nil, refuse(transport.CodeBadRequest, "%v", err)
	}
	ak, err := attestation.ParseKey(req.Class, req.AK)
	if err != nil {
		return bad(err)
	}
	if !bytes.Equal(cert.RawSubjectPublicKeyInfo, req.TLSKey) {
		return bad(errors.New("the connection was not made with the TLS key that is to be enrolled"))
	}
	if err := checkTLSKey(req.TLSKey); err != nil {
		return bad(err)
	}
	if len(req.Software) > maxText {
		return bad(errors.New("the agent's name and version are too long"))
	}
	if req.Class == evidence.ClassSoftware {
		if len(req.EK) > 0 || len(req.EKCert) > 0 || req.TLSProof != nil || req.Counter != nil {
			return bad(errors.New("a device without a TPM has no endorsement key, no proof of its TLS key and no counter"))
		}
		return ak.Name(), nil, nil
	}
	if req.TLSProof == nil {
		return bad(errors.New("the proof of the TLS key is missing"))
	}
	spki, err := ak.CheckTLSKey(*req.TLSProof)
	if err != nil {
		return bad(err)
	}
	if !bytes.Equal(spki, req.TLSKey) {
		return bad(errors.New("the attestation key certified another TLS key"))
	}
	if req.Counter != nil {
		if err := attestation.CheckCounterRef(req.Counter); err != nil {
			return bad(err)
		}
	}
	if ek, err = attestation.ParseEK(req.EK); err != nil {
		return bad(err)
	}
	return ak.Name(), ek, nil
}

func checkTLSKey(spki []byte) error {
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return fmt.Errorf("TLS key: %w", err)
	}
	if k, ok := pub.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		return errors.New("TLS key: not an ECDSA key on P-256")
	}
	again, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil || !bytes.Equal(again, spki) {
		return errors.New("TLS key: not in its one form")
	}
	return nil
}

// vouchedFor looks for a root that vouches for the endorsement key.
func (r *Registry) vouchedFor(ek *attestation.EK, der []byte) (maker, error) {
	reason := "the TPM has no certificate from its maker"
	if len(der) > 0 {
		cert, err := attestation.ParseEKCert(der)
		if err == nil {
			err = ek.Matches(cert)
		}
		if err != nil {
			return maker{}, refuse(transport.CodeBadRequest, "%v", err)
		}
		name, err := r.Roots.VerifyEK(cert)
		if err == nil {
			return maker{name, catalog.VouchedMaker}, nil
		}
		if !errors.Is(err, attestation.ErrUnknownMaker) {
			return maker{}, refuse(transport.CodeBadRequest, "%v", err)
		}
		if name, err := r.TrialRoots.VerifyEK(cert); err == nil {
			return maker{name, catalog.VouchedTrial}, nil
		}
		reason = fmt.Sprintf("no root that this server was given vouches for the TPM's certificate, which names %q as its issuer", cert.Issuer.String())
	}
	if !r.AllowUnknownMaker {
		e := refuse(transport.CodeUnknownMaker, "%s", reason)
		e.Do = "the administrator adds the maker's root (ek-roots), or allows unknown makers (allow-unknown-maker), which every recording shows; " +
			"then enrol again with the same token"
		return maker{}, e
	}
	return maker{"", catalog.VouchedNobody}, nil
}

// fits refuses what contradicts an earlier enrolment.
func (r *Registry) fits(ctx context.Context, p *pending) error {
	tls := evidence.Sum(p.req.TLSKey)
	dev, err := r.Catalog.Device(ctx, p.id)
	if err == nil {
		if err := Active(dev); err != nil {
			return err
		}
		if dev.TlsKey != tls.String() {
			return refuse(transport.CodeBadRequest, "device %s is enrolled with another TLS key; a device that lost its TLS key needs a new attestation key too",
				p.id.Short())
		}
		return nil
	}
	if !errors.Is(err, catalog.ErrUnknown) {
		return err
	}
	other, err := r.Catalog.DeviceByTLSKey(ctx, tls)
	if err == nil {
		return refuse(transport.CodeBadRequest, "this TLS key is that of device %s", other.Device)
	}
	if !errors.Is(err, catalog.ErrUnknown) {
		return err
	}
	return nil
}

// keep remembers a challenge. Each token has one at a time, so there are no more than tokens; an old one is forgotten.
func (r *Registry) keep(p *pending) (id string, err error) {
	raw := make([]byte, 16)
	if _, err := io.ReadFull(r.Rand, raw); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, old := range r.pending {
		if old.token == p.token || r.Now().After(old.until) {
			delete(r.pending, k)
		}
	}
	if len(r.pending) >= maxPending && !r.forget() {
		return "", &transport.Error{Status: 503, Code: transport.CodeUnavailable, Message: "too many devices are enrolling at once",
			Kept: "the token is still good", Do: "try again in a few minutes"}
	}
	id = hex.EncodeToString(raw)
	r.pending[id] = p
	return id, nil
}

// forget makes room by the oldest enrolment that is done, whose answer was only kept for a device that did not get it. r.mu is held.
func (r *Registry) forget() bool {
	oldest := ""
	for id, p := range r.pending {
		if p.done != nil && (oldest == "" || p.until.Before(r.pending[oldest].until)) {
			oldest = id
		}
	}
	delete(r.pending, oldest)
	return oldest != ""
}

// Finish checks the answer to a challenge and enrols the device: the custody event first, then the certificate. The same answer again
// gets the same device. Errors are *transport.Error where the device is at fault; a wrong answer ends the enrolment.
func (r *Registry) Finish(ctx context.Context, cert *x509.Certificate, id string, answer transport.EnrolAnswer) (transport.Enrolled, error) {
	r.acting.Lock()
	defer r.acting.Unlock()
	p, err := r.answered(cert, id, answer)
	if err != nil || p.done != nil {
		return deref(p), err
	}
	if err := r.fits(ctx, p); err != nil {
		return transport.Enrolled{}, err
	}
	token, err := r.Tokens.claim(p.token, p.id)
	if err != nil {
		return transport.Enrolled{}, tokenRefusal(err)
	}
	detail, err := detailOf(p, token)
	if err != nil {
		return transport.Enrolled{}, err
	}
	if _, err := r.Book.Record(ctx, casework.Act{Name: catalog.ActEnrolled, Actor: enrolledBy, Device: &p.id, Detail: detail}); err != nil {
		return transport.Enrolled{}, err
	}
	der, err := r.issue(p.id, p.req.TLSKey)
	if err != nil {
		return transport.Enrolled{}, err
	}
	if err := r.Tokens.burn(p.token); err != nil {
		return transport.Enrolled{}, err
	}
	r.mu.Lock()
	p.done, p.until = &transport.Enrolled{Device: p.id, Certificate: der, HomeLog: r.HomeLog}, r.Now().Add(answerTime)
	r.mu.Unlock()
	r.Slog.InfoContext(ctx, "device enrolled", slog.String("device", p.id.Short()), slog.String("class", string(p.req.Class)), slog.String("model", token.Model),
		slog.String("vouched", p.maker.vouched), slog.String("maker", p.maker.name))
	return *p.done, nil
}

func deref(p *pending) transport.Enrolled {
	if p == nil || p.done == nil {
		return transport.Enrolled{}
	}
	return *p.done
}

// answered finds the enrolment that an answer is for.
func (r *Registry) answered(cert *x509.Certificate, id string, answer transport.EnrolAnswer) (*pending, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pending[id]
	if p == nil || r.Now().After(p.until) || !bytes.Equal(cert.RawSubjectPublicKeyInfo, p.req.TLSKey) {
		e := refuse(transport.CodeBadChallenge, "no such enrolment is under way for this key: it is over its time, or the server was started anew")
		e.Do = "enrol again with the same token"
		return nil, e
	}
	if subtle.ConstantTimeCompare(p.secret, answer.Proof) != 1 {
		delete(r.pending, id)
		e := refuse(transport.CodeBadChallenge, "the answer to the challenge is wrong: endorsement key and attestation key are not in one TPM")
		e.Do = "see that no other TPM is in use; then enrol again with the same token"
		return nil, e
	}
	return p, nil
}

func detailOf(p *pending, token Token) (evidence.Detail, error) {
	text := func(b evidence.Bytes) string { t, _ := b.MarshalText(); return string(t) } // never fails
	d := evidence.Detail{catalog.DetailClass: string(p.req.Class), catalog.DetailModel: token.Model, catalog.DetailAK: text(p.req.AK),
		catalog.DetailEK: text(p.req.EK), catalog.DetailEKCert: text(p.req.EKCert), catalog.DetailMaker: p.maker.name, catalog.DetailVouched: p.maker.vouched,
		catalog.DetailTLSKey: text(p.req.TLSKey), catalog.DetailTLSProof: "", catalog.DetailCounter: "", catalog.DetailSoftware: p.req.Software}
	if p.req.TLSProof != nil {
		raw, err := evidence.Encode(p.req.TLSProof)
		if err != nil {
			return nil, err
		}
		d[catalog.DetailTLSProof] = string(raw)
	}
	if p.req.Counter != nil {
		raw, err := evidence.Encode(p.req.Counter)
		if err != nil {
			return nil, err
		}
		d[catalog.DetailCounter] = string(raw)
	}
	return d, nil
}
