//go:build linux

package device

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"camseal/pkg/attestation/device/swtpmtest"
)

var errCut = errors.New("cut off")

// cutter stops working at a command: before the TPM gets it, or after the TPM has done it.
type cutter struct {
	transport.TPMCloser
	left  *int
	after bool
}

func (c cutter) Send(b []byte) ([]byte, error) {
	*c.left--
	if *c.left < 0 && !(c.after && *c.left == -1) {
		return nil, errCut
	}
	response, err := c.TPMCloser.Send(b)
	if *c.left < 0 {
		return nil, errCut
	}
	return response, err
}

func cutProvision(ctx context.Context, config Config, commands int, after bool) error {
	config, err := config.filled()
	if err != nil {
		return err
	}
	l := newLine(config.Path, config.Timeout)
	open := l.open
	l.open = func() (transport.TPMCloser, error) {
		t, err := open()
		return cutter{t, &commands, after}, err
	}
	p := provisioner{config: config, line: l}
	result, err := p.run(ctx)
	return errors.Join(err, result.Hardening)
}

// The agent dies between any two commands of provisioning: the next try takes it up and ends with everything held.
func TestProvisionTakesUpWhatACrashLeft(t *testing.T) {
	for _, after := range []bool{false, true} {
		whole := false
		for n := 0; !whole; n++ {
			s := swtpmtest.Start(t)
			config := Config{Path: s.Path(), State: t.TempDir()}
			err := cutProvision(t.Context(), config, n, after)
			if whole = err == nil; !whole && !errors.Is(err, errCut) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			p, err := Provision(t.Context(), config)
			if err != nil || !p.ClearDisabled || p.Hardening != nil || p.CounterError != nil {
				t.Fatalf("after a cut at %d (after: %v): %+v, %v", n, after, p, err)
			}
			if n > 200 {
				t.Fatal("never ends")
			}
			s.Kill()
			if whole {
				t.Logf("cut at each of %d commands, after the TPM did it: %v", n, after)
			}
		}
	}
}

// A TPM that never stops asking to be asked again.
type busy struct{ asked int }

func (b *busy) Send([]byte) ([]byte, error) {
	b.asked++
	return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0x09, 0x22}, nil
}
func (*busy) Close() error { return nil }

func TestBusyTPMIsAskedAgainWithinBounds(t *testing.T) { synctest.Test(t, testBusy) }

func testBusy(t *testing.T) {
	b := &busy{}
	l := newLine("", DefaultTimeout)
	l.open = func() (transport.TPMCloser, error) { return b, nil }
	ctx, cancel := context.WithCancel(t.Context())
	err := l.do(ctx, func(t transport.TPM) error {
		_, err := t.Send(make([]byte, 10))
		return err
	})
	cancel()
	if err == nil || b.asked != maxTries {
		t.Fatalf("asked %d times: %v", b.asked, err)
	}
	l.open = func() (transport.TPMCloser, error) { return lockedOut{}, nil }
	if err := l.drop(); err != nil {
		t.Fatal(err)
	}
	err = l.do(t.Context(), func(t transport.TPM) error {
		_, err := t.Send(make([]byte, 10))
		return err
	})
	if !errors.Is(err, ErrLockout) {
		t.Fatal(err)
	}
}

type lockedOut struct{}

func (lockedOut) Send([]byte) ([]byte, error) {
	return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0x09, 0x21}, nil
}
func (lockedOut) Close() error { return nil }

// What is under dictionary-attack protection, which nothing of ours is, gives ErrLockout once the TPM is in lockout.
func TestLockoutIsNamed(t *testing.T) {
	s := swtpmtest.Start(t)
	l := newLine(s.Path(), DefaultTimeout)
	template, err := keyTemplate(false)
	if err != nil {
		t.Fatal(err)
	}
	template.ObjectAttributes.NoDA = false
	err = l.do(t.Context(), func(t transport.TPM) error {
		made, err := tpm2.CreatePrimary{
			PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Name: tpm2.HandleName(tpm2.TPMRHOwner), Auth: tpm2.PasswordAuth(nil)},
			InSensitive:   tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte("right")}}},
			InPublic:      tpm2.New2B(template),
		}.Execute(t)
		for try := 0; err == nil || errors.Is(err, tpm2.TPMRCAuthFail); try++ {
			if try == 50 {
				return errors.New("wrong values are taken without end")
			}
			_, err = tpm2.Certify{
				ObjectHandle: tpm2.AuthHandle{Handle: made.ObjectHandle, Name: made.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))},
				SignHandle:   tpm2.AuthHandle{Handle: made.ObjectHandle, Name: made.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))},
				InScheme:     tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
			}.Execute(t)
		}
		return err
	})
	if !errors.Is(err, ErrLockout) {
		t.Fatal(err)
	}
}
