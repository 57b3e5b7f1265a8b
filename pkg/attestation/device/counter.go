package device

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// CounterIndex is the NV index of the counter, in the range of the owner.
const CounterIndex = 0x01800C51

const (
	counterSize = 8
	counterAuth = "counter" // its name among the authorisation values
)

// index is an NV index as the TPM describes it.
type index struct {
	handle tpm2.NamedHandle
	public tpm2.TPMSNVPublic
}

// readIndex returns nil if there is no such index.
func readIndex(t transport.TPM, handle uint32) (*index, error) {
	found, err := hasHandle(t, handle)
	if err != nil || !found {
		return nil, err
	}
	response, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(handle)}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("read NV index %08x: %w", handle, err)
	}
	public, err := response.NVPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("read NV index %08x: %w", handle, err)
	}
	return &index{handle: tpm2.NamedHandle{Handle: tpm2.TPMHandle(handle), Name: response.NVName}, public: *public}, nil
}

// counterPublic is the index as it is defined: its first write sets one attribute more (attestation.CounterAttributes).
var counterPublic = tpm2.TPMSNVPublic{
	NVIndex: CounterIndex, NameAlg: tpm2.TPMAlgSHA256, DataSize: counterSize,
	Attributes: tpm2.TPMANV{NT: tpm2.TPMNTCounter, AuthWrite: true, AuthRead: true, NoDA: true},
}

// counter is a counter that was made and can be used.
type counter struct {
	handle tpm2.NamedHandle
	auth   secret
}

// authHandle authorises by a session that proves knowledge of the value, which does not cross the bus.
func (c *counter) authHandle() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: c.handle.Handle, Name: c.handle.Name, Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(c.auth))}
}

func (c *counter) read(t transport.TPM) (uint64, error) {
	data, err := readNV(t, c.authHandle(), c.handle, counterSize)
	if errors.Is(err, tpm2.TPMRCAuthFail) || errors.Is(err, tpm2.TPMRCBadAuth) {
		return 0, fmt.Errorf("%w: it has another authorisation value than the state folder", ErrNoCounter)
	}
	if err != nil {
		return 0, fmt.Errorf("read counter: %w", err)
	}
	return binary.BigEndian.Uint64(data), nil
}

// findCounter returns the counter, or an error that says why there is no usable one; ErrNoCounter if that will not change by
// trying again.
func findCounter(t transport.TPM, a *auths) (*counter, error) {
	found, err := readIndex(t, CounterIndex)
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, fmt.Errorf("%w: none was made (%08x)", ErrNoCounter, CounterIndex)
	case !bytes.Equal(found.handle.Name.Buffer, attestation.CounterName(CounterIndex)):
		return nil, fmt.Errorf("%w: its place (%08x) is taken by something else", ErrNoCounter, CounterIndex)
	case len(a.values[counterAuth]) == 0:
		return nil, fmt.Errorf("%w: its authorisation value is not in the state folder", ErrNoCounter)
	}
	return &counter{handle: found.handle, auth: a.values[counterAuth]}, nil
}

// ensureCounter makes the counter unless it is there, and increments it once, so that its name is final.
func (p *provisioner) ensureCounter(t transport.TPM, permanent uint32) error {
	value := p.auths.values[counterAuth]
	if len(value) == 0 {
		return fmt.Errorf("%w: no state folder was given to keep its authorisation value in", ErrNoCounter)
	}
	found, err := readIndex(t, CounterIndex)
	if err == nil && found == nil {
		if err = p.defineCounter(t, permanent, value); err == nil {
			found, err = readIndex(t, CounterIndex)
		}
	}
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("%w: the TPM does not keep it", ErrNoCounter)
	}
	unwritten, err := tpm2.NVName(&counterPublic)
	if err != nil {
		return err
	}
	if bytes.Equal(found.handle.Name.Buffer, unwritten.Buffer) {
		c := counter{handle: found.handle, auth: value}
		if _, err := (tpm2.NVIncrement{AuthHandle: c.authHandle(), NVIndex: c.handle}).Execute(t); err != nil {
			return fmt.Errorf("first increment: %w", err)
		}
	}
	c, err := findCounter(t, p.auths)
	if err == nil {
		_, err = c.read(t)
	}
	return err
}

func (p *provisioner) defineCounter(t transport.TPM, permanent uint32, value secret) error {
	err := p.auths.authorised(t, permanent, "owner", func(auth tpm2.AuthHandle) error {
		return withSalt(t, func(salt tpm2.AuthOption) error {
			_, err := tpm2.NVDefineSpace{
				AuthHandle: auth, Auth: tpm2.TPM2BAuth{Buffer: value}, PublicInfo: tpm2.New2B(counterPublic),
			}.Execute(t, tpm2.HMAC(tpm2.TPMAlgSHA256, 16, salt, tpm2.AESEncryption(128, tpm2.EncryptIn)))
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("make counter: %w", err)
	}
	return nil
}

// withCounter runs f with the counter.
func (c *chip) withCounter(ctx context.Context, f func(t transport.TPM, n *counter) error) error {
	return c.do(ctx, func(t transport.TPM) error {
		n, err := findCounter(t, c.auths)
		if err != nil {
			return err
		}
		return f(t, n)
	})
}

// Counter implements Identity.
func (c *chip) Counter(ctx context.Context) (*evidence.CounterRef, uint64, error) {
	var value uint64
	var name []byte
	err := c.withCounter(ctx, func(t transport.TPM, n *counter) (err error) {
		name = n.handle.Name.Buffer
		value, err = n.read(t)
		return err
	})
	if errors.Is(err, ErrNoCounter) && !errors.Is(err, ErrReplaced) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("counter: %w", err)
	}
	return &evidence.CounterRef{Index: CounterIndex, Name: name}, value, nil
}

// Increment implements Identity.
func (c *chip) Increment(ctx context.Context) error {
	err := c.withCounter(ctx, func(t transport.TPM, n *counter) error {
		_, err := tpm2.NVIncrement{AuthHandle: n.authHandle(), NVIndex: n.handle}.Execute(t)
		return err
	})
	if err != nil {
		return fmt.Errorf("increment counter: %w", err)
	}
	return nil
}

// Count implements Identity.
func (c *chip) Count(ctx context.Context, seq uint64, head evidence.Digest) (evidence.Count, error) {
	record := evidence.Count{Seq: seq, Type: "count"}
	err := c.withCounter(ctx, func(t transport.TPM, n *counter) error { return c.certifyCounter(t, n, &record, head) })
	if err != nil {
		return evidence.Count{}, fmt.Errorf("count statement %d: %w", seq, err)
	}
	return record, nil
}

func (c *chip) certifyCounter(t transport.TPM, n *counter, record *evidence.Count, head evidence.Digest) error {
	name := c.key.Name()
	data := attestation.CountData(head)
	response, err := tpm2.NVCertify{
		SignHandle:     tpm2.AuthHandle{Handle: tpm2.TPMHandle(c.config.Handle), Name: tpm2.TPM2BName{Buffer: name[:]}, Auth: tpm2.PasswordAuth(nil)},
		AuthHandle:     n.authHandle(),
		NVIndex:        n.handle,
		QualifyingData: tpm2.TPM2BData{Buffer: data[:]},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		Size:           counterSize,
	}.Execute(t)
	if err != nil {
		return err
	}
	record.Attest = response.CertifyInfo.Bytes()
	if record.Sig, err = encodeSignature(response.Signature); err != nil {
		return err
	}
	_, err = c.key.CheckCount(record, head)
	return err
}
