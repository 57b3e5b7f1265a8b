package app

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"camseal/agent/internal/spool"
	"camseal/agent/internal/uplink"
	"camseal/pkg/attestation/device"
	"camseal/pkg/durable"
	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/transport"
)

type enrolCmd struct {
	Token             string `help:"One-time token, from camseal-server enrol-token." required:"" env:"CAMSEAL_TOKEN" placeholder:"TOKEN"`
	RecoveryRecipient string `help:"Public half of an offline recovery key (age1…), which can open the spool without this TPM." placeholder:"AGE1…"`
}

// pendingFile holds, until enrolment has ended, what the server was answered, so that an enrolment that broke off after that can be
// taken up with a token that is used already.
const pendingFile = "enrol.json"

type pendingEnrolment struct {
	Token string         `json:"token"`
	ID    string         `json:"id"`
	Proof evidence.Bytes `json:"proof"`
}

// Run makes what is missing of the device's keys, shows the server that they live in one TPM, and keeps the certificate that it
// issues. It can be repeated, after a crash at any step too.
func (c *enrolCmd) Run(ctx context.Context, set *settings, con *console) (err error) {
	if err := set.check(); err != nil {
		return err
	}
	path, err := set.tpm()
	if err != nil {
		return err
	}
	recipient, err := recoveryRecipient(c.RecoveryRecipient)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(set.State, 0o700); err != nil {
		return err
	}
	e := &enroller{set: set, con: con, token: c.Token}
	defer func() {
		if e.tpm != nil {
			err = errors.Join(err, e.tpm.Close())
		}
	}()
	sp, _, err := openSpool(ctx, set, newLog(con.err, set.LogLevel), func() ([]byte, error) {
		if err := e.openTPM(ctx, path); err != nil {
			return nil, err
		}
		return makeSpoolKey(ctx, set, e.tpm, recipient)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sp.Close()) }()
	e.spool = sp
	if err := e.run(ctx); err != nil {
		return err
	}
	fmt.Fprintf(con.out, "enrolled as device %s\n", e.tpm.Key().Name())
	return nil
}

// enroller is one enrolment.
type enroller struct {
	set   *settings
	con   *console
	token string
	tpm   chip
	spool *spool.Spool

	clearDisabled bool
	client        *uplink.Client
	body          evidence.Enrol // all but the home log
}

// openTPM makes what is missing of the keys.
func (e *enroller) openTPM(ctx context.Context, path string) (err error) {
	if path != "software" {
		p, err := device.Provision(ctx, tpmConfig(e.set, path))
		if err != nil {
			return fmt.Errorf("set up the TPM: %w", err)
		}
		e.clearDisabled = p.ClearDisabled
		if p.Hardening != nil {
			fmt.Fprintln(e.con.err, "camseal-agent: the TPM could not be protected against being cleared; this is on record in the enrolment:", p.Hardening)
		}
		if p.CounterError != nil {
			fmt.Fprintln(e.con.err, "camseal-agent: the TPM has no usable counter, so that a recording that never arrives can't be told by it; "+
				"this is on record in the enrolment:", p.CounterError)
		}
	}
	e.tpm, err = openTPM(ctx, e.set, path)
	return err
}

func (e *enroller) run(ctx context.Context) error {
	if _, err := e.spool.Device(); err == nil {
		if err := sameDevice(e.spool, e.tpm); err != nil {
			return err
		}
	}
	want := ""
	if e.set.LogKey != "" {
		var err error
		if want, err = readLogKey(e.set.LogKey); err != nil {
			return usageError{err}
		}
	}
	if err := e.describe(ctx); err != nil {
		return err
	}
	cert, err := selfSigned(e.tpm.TLSKey())
	if err != nil {
		return err
	}
	if e.client, err = newClient(e.set, cert); err != nil {
		return err
	}
	defer e.client.Close()
	done, err := e.patiently(ctx)
	if err != nil {
		return explainEnrol(e.set, err)
	}
	return e.keep(ctx, done, want)
}

// How long an enrolment waits for a server that says that it is not ready, such as one that has just started, and how often it asks.
const (
	readyWait = 30 * time.Second
	readyTry  = 500 * time.Millisecond
)

// patiently asks until the server is ready.
func (e *enroller) patiently(ctx context.Context) (transport.Enrolled, error) {
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tick := time.NewTicker(readyTry)
	defer tick.Stop()
	for {
		done, err := e.ask(ctx)
		var refusal *transport.Error
		if !errors.As(err, &refusal) || refusal.Code != transport.CodeUnavailable {
			return done, err
		}
		select {
		case <-tick.C:
		case <-wait.Done():
			return done, err
		}
	}
}

// describe gathers what the TPM says of itself.
func (e *enroller) describe(ctx context.Context) error {
	ek, ekCert, err := e.tpm.Endorsement(ctx)
	if err != nil {
		return err
	}
	counter, _, err := e.tpm.Counter(ctx)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(e.tpm.TLSKey().Public())
	if err != nil {
		return fmt.Errorf("TLS key: %w", err)
	}
	e.body = evidence.Enrol{AK: e.tpm.Key().Bytes(), Class: e.tpm.Key().Class(), ClearDisabled: e.clearDisabled, Counter: counter,
		EK: ek, EKCert: ekCert, TLSKey: spki}
	return nil
}

// ask goes through the server's challenge, or takes up one that was answered.
func (e *enroller) ask(ctx context.Context) (transport.Enrolled, error) {
	if p, err := e.pending(); err != nil {
		return transport.Enrolled{}, err
	} else if p != nil && p.Token == e.token {
		done, err := e.client.AnswerEnrol(ctx, p.ID, transport.EnrolAnswer{Proof: p.Proof})
		var refusal *transport.Error
		if !errors.As(err, &refusal) || refusal.Code != transport.CodeBadChallenge && refusal.Code != transport.CodeBadToken {
			return done, err
		}
	}
	b := e.body
	challenge, err := e.client.Enrol(ctx, transport.EnrolRequest{Token: e.token, Class: b.Class, AK: b.AK, EK: b.EK, EKCert: b.EKCert, TLSKey: b.TLSKey,
		TLSProof: e.tpm.TLSProof(), Counter: b.Counter, Software: software()})
	if err != nil {
		return transport.Enrolled{}, err
	}
	p := pendingEnrolment{Token: e.token, ID: challenge.ID}
	if b.Class != evidence.ClassSoftware {
		if p.Proof, err = e.tpm.Activate(ctx, challenge.Credential, challenge.Encrypted); err != nil {
			return transport.Enrolled{}, err
		}
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return transport.Enrolled{}, err
	}
	if err := durable.Write(e.set.path(pendingFile), raw, 0o600); err != nil {
		return transport.Enrolled{}, err
	}
	return e.client.AnswerEnrol(ctx, p.ID, transport.EnrolAnswer{Proof: p.Proof})
}

// pending reads what an earlier run left; nil if there is nothing.
func (e *enroller) pending() (*pendingEnrolment, error) {
	raw, err := os.ReadFile(e.set.path(pendingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := new(pendingEnrolment)
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("%s: %w", e.set.path(pendingFile), err)
	}
	return p, nil
}

// keep checks what the server says, and makes it durable: certificate and authority first, then the chain's first statement.
func (e *enroller) keep(ctx context.Context, done transport.Enrolled, want string) error {
	if done.Device != e.tpm.Key().Name() {
		return fmt.Errorf("the server enrolled device %s, and this is %s; nothing was kept; look at the server", done.Device.Short(), e.tpm.Key().Name().Short())
	}
	if _, err := deviceCertificate(done.Certificate, e.tpm.TLSKey()); err != nil {
		return fmt.Errorf("the server's answer: %w; nothing was kept; look at the server", err)
	}
	if _, err := tlog.NewVerifier(done.HomeLog); err != nil {
		return fmt.Errorf("the server's answer: %w; nothing was kept; look at the server", err)
	}
	if want != "" && want != done.HomeLog {
		return fmt.Errorf("the server's log has another key than %s; nothing was kept; this is not the server that was meant, or the file is of another", e.set.LogKey)
	}
	was, err := enrolment(e.spool)
	enrolled := err == nil
	switch {
	case enrolled && was.HomeLog != done.HomeLog:
		return errors.New("this device has its home at another log already; nothing was kept; a new home needs a new identity, in a new state folder")
	case !enrolled && !errors.Is(err, spool.ErrNotFound):
		return err
	}
	if err := keepCertificate(e.set, done.Certificate); err != nil {
		return err
	}
	if e.set.CA != "" {
		if err := keepCopy(e.set.CA, e.set.path("ca.pem")); err != nil {
			return err
		}
	}
	if !enrolled {
		e.body.HomeLog = done.HomeLog
		if err := e.spool.Enrol(ctx, done.Device, &e.body); err != nil {
			return err
		}
	}
	if err := os.Remove(e.set.path(pendingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// explainEnrol says what an enrolment's failure means and what to do.
func explainEnrol(set *settings, err error) error {
	var refusal *transport.Error
	if !errors.As(err, &refusal) {
		al := uplink.Explain(set.Server, err)
		return fmt.Errorf("enrol: %s; this device's keys are kept, and nothing else was changed; %s, then run the same command again", al.What, al.Do)
	}
	do := refusal.Do
	switch refusal.Code {
	case transport.CodeBadToken:
		do = "ask the administrator for a new token (camseal-server enrol-token); it can be used once, in its time, and for software keys it must say so"
	case transport.CodeUnknownMaker:
		do = "the administrator must know the TPM's maker (--ek-roots), or allow unknown ones; then run the same command again"
	}
	return fmt.Errorf("enrol: the server refuses: %s (%s); this device's keys are kept, and nothing else was changed; %s", refusal.Message, refusal.Code, do)
}
