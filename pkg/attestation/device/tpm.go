package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// Defaults of Config.
const (
	DefaultHandle  = 0x81010C51
	DefaultTimeout = 15 * time.Second
)

// Config says where the TPM is and what Camseal uses of it.
type Config struct {
	Path     string        // "/dev/tpmrm0", or "swtpm:" and the path of swtpm's command socket
	Handle   uint32        // persistent handle of the attestation key, the TLS key's is 0x10 behind it; 0: DefaultHandle
	ChainPCR int           // 8-15; 0: attestation.DefaultChainPCR
	State    string        // folder for the authorisation values and the lock
	Timeout  time.Duration // for one piece of work, waiting for the one before included; 0: DefaultTimeout
}

func (c Config) filled() (Config, error) {
	if c.Handle == 0 {
		c.Handle = DefaultHandle
	}
	if c.ChainPCR == 0 {
		c.ChainPCR = attestation.DefaultChainPCR
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.ChainPCR < attestation.FirstChainPCR || c.ChainPCR > attestation.LastChainPCR {
		return c, fmt.Errorf("chain PCR %d: it must be one of %d-%d, which software can't reset", c.ChainPCR, attestation.FirstChainPCR, attestation.LastChainPCR)
	}
	if c.Handle>>24 != 0x81 {
		return c, fmt.Errorf("handle %08x is not that of a persistent key (81xxxxxx)", c.Handle)
	}
	return c, nil
}

type chip struct {
	config Config
	line   *line
	key    *attestation.Key
	tls    *tlsKey
	auths  *auths
	unlock func() error

	// Only used in turn.
	known       []evidence.Digest // PCR values last seen or worked out
	endorsement *endorsement      // nil: not looked for yet
}

// Open opens a TPM that was provisioned. It takes the state folder's lock (ErrLocked). Errors: ErrNoKey, ErrWrongKey, ErrHanging.
// The attestation key certifies the TLS key at each Open.
func Open(ctx context.Context, config Config) (TPM, error) {
	config, err := config.filled()
	if err != nil {
		return nil, fmt.Errorf("open TPM: %w", err)
	}
	unlock, err := lockState(config.State)
	if err != nil {
		return nil, err
	}
	c := &chip{config: config, line: newLine(config.Path, config.Timeout), unlock: unlock}
	if c.auths, err = readAuths(config.State); err == nil {
		err = c.line.do(ctx, c.readKeys)
	}
	if err != nil {
		return nil, fmt.Errorf("open TPM %s: %w", config.Path, errors.Join(err, c.line.close(), unlock()))
	}
	return c, nil
}

func (c *chip) readKeys(t transport.TPM) error {
	if direct(c.config.Path) {
		if err := flushAll(t); err != nil { // of an agent that was killed at work
			return err
		}
	}
	key, err := readKey(t, c.config.Handle)
	if err != nil {
		return err
	}
	tls, err := openTLSKey(t, c.config, key)
	if err != nil {
		return err
	}
	tls.do = c.do
	c.key, c.tls = key, tls
	return nil
}

// do is line.do for what needs this device's keys: when it fails, the TPM is asked whether it still holds them (ErrReplaced).
func (c *chip) do(ctx context.Context, f func(transport.TPM) error) error {
	return c.doWithin(ctx, c.config.Timeout, f)
}

func (c *chip) doWithin(ctx context.Context, timeout time.Duration, f func(transport.TPM) error) error {
	return c.line.doWithin(ctx, timeout, func(t transport.TPM) error {
		err := f(t)
		if err == nil {
			return nil
		}
		key, other := readKey(t, c.config.Handle)
		if errors.Is(other, ErrNoKey) || errors.Is(other, ErrWrongKey) || other == nil && key.Name() != c.key.Name() {
			return fmt.Errorf("%w: %w", ErrReplaced, err)
		}
		return err
	})
}

// readKey reads the persistent key and checks that it is an attestation key in the endorsement hierarchy.
func readKey(t transport.TPM, handle uint32) (*attestation.Key, error) {
	found, err := hasHandle(t, handle)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("%w (%08x)", ErrNoKey, handle)
	}
	response, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(handle)}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, err := attestation.ParseKey(evidence.ClassTPM, response.OutPublic.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w (%08x): %w", ErrWrongKey, handle, err)
	}
	if !bytes.Equal(response.QualifiedName.Buffer, key.QualifiedName()) {
		return nil, fmt.Errorf("%w (%08x): it is not a primary key of the endorsement hierarchy", ErrWrongKey, handle)
	}
	return key, nil
}

func hasHandle(t transport.TPM, handle uint32) (bool, error) {
	list, err := handles(t, handle, 1)
	return len(list) == 1 && list[0] == tpm2.TPMHandle(handle), err
}

// handles lists up to n handles from the first on.
func handles(t transport.TPM, first, n uint32) ([]tpm2.TPMHandle, error) {
	response, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: n}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("list handles: %w", err)
	}
	list, err := response.CapabilityData.Data.Handles()
	if err != nil {
		return nil, fmt.Errorf("list handles: %w", err)
	}
	return list.Handle, nil
}

// Key implements TPM.
func (c *chip) Key() *attestation.Key { return c.key }

// ChainPCR implements TPM.
func (c *chip) ChainPCR() int { return c.config.ChainPCR }

// PCRs implements TPM.
func (c *chip) PCRs(ctx context.Context) ([]evidence.Digest, error) {
	var values []evidence.Digest
	err := c.line.do(ctx, func(t transport.TPM) error {
		var err error
		c.known, err = readPCRs(t, c.config.ChainPCR)
		values = append(values, c.known...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read PCRs: %w", err)
	}
	return values, nil
}

// readPCRs reads all values of one moment: TPMs give eight at a time, and count changes.
func readPCRs(t transport.TPM, chainPCR int) ([]evidence.Digest, error) {
	for range 5 {
		values := make([]evidence.Digest, attestation.FirmwarePCRs+1)
		low, err := readInto(t, []byte{0xff, 0, 0}, values[:attestation.FirmwarePCRs])
		if err != nil {
			return nil, err
		}
		mask := attestation.Selection(chainPCR)
		mask[0] = 0
		high, err := readInto(t, mask, values[attestation.FirmwarePCRs:])
		if err != nil {
			return nil, err
		}
		if low == high {
			return values, nil
		}
	}
	return nil, errors.New("PCRs change all the time")
}

func readInto(t transport.TPM, mask []byte, values []evidence.Digest) (counter uint32, err error) {
	response, err := tpm2.PCRRead{PCRSelectionIn: selection(mask)}.Execute(t)
	if err != nil {
		return 0, err
	}
	if len(response.PCRValues.Digests) != len(values) {
		return 0, errors.New("the TPM has no SHA-256 PCRs; nothing was changed: switch the SHA-256 bank on in the firmware's settings")
	}
	for i, d := range response.PCRValues.Digests {
		if len(d.Buffer) != len(values[i]) {
			return 0, errors.New("a PCR value has a wrong length")
		}
		copy(values[i][:], d.Buffer)
	}
	return response.PCRUpdateCounter, nil
}

func selection(mask []byte) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: mask}}}
}

// Extend implements TPM.
func (c *chip) Extend(ctx context.Context, head evidence.Digest) error {
	handle := tpm2.TPMHandle(c.config.ChainPCR)
	err := c.line.do(ctx, func(t transport.TPM) error {
		before := c.known
		c.known = nil
		_, err := tpm2.PCRExtend{
			PCRHandle: tpm2.AuthHandle{Handle: handle, Name: tpm2.HandleName(handle), Auth: tpm2.PasswordAuth(nil)},
			Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: head[:]}}},
		}.Execute(t)
		if err == nil && before != nil {
			last := &before[attestation.FirmwarePCRs]
			*last = attestation.Extend(*last, head)
			c.known = before
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("extend PCR %d: %w", c.config.ChainPCR, err)
	}
	return nil
}

// Quote implements TPM.
func (c *chip) Quote(ctx context.Context, head evidence.Digest, upto uint64) (evidence.Seal, error) {
	seal := evidence.Seal{Head: head, Type: "seal", Upto: upto}
	err := c.do(ctx, func(t transport.TPM) error { return c.quote(t, &seal) })
	if err != nil {
		return evidence.Seal{}, fmt.Errorf("quote head %d: %w", upto, err)
	}
	return seal, nil
}

// quote fills in the seal. The PCR values that it states are those worked out, or read again if the TPM quoted others.
func (c *chip) quote(t transport.TPM, seal *evidence.Seal) error {
	var err error
	for range 5 {
		if err = c.quoteOnce(t, seal); err != nil {
			return err
		}
		if c.known != nil {
			seal.PCRs = append([]evidence.Digest(nil), c.known...)
			if _, err = c.key.CheckSeal(seal); err == nil {
				return nil
			}
		}
		if c.known, err = readPCRs(t, c.config.ChainPCR); err != nil {
			return err
		}
		seal.PCRs = append([]evidence.Digest(nil), c.known...)
		if _, err = c.key.CheckSeal(seal); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the TPM's quotes do not hold: %w", err)
}

func (c *chip) quoteOnce(t transport.TPM, seal *evidence.Seal) error {
	name := c.key.Name()
	response, err := tpm2.Quote{
		SignHandle: tpm2.AuthHandle{
			Handle: tpm2.TPMHandle(c.config.Handle),
			Name:   tpm2.TPM2BName{Buffer: name[:]},
			Auth:   tpm2.PasswordAuth(nil),
		},
		QualifyingData: tpm2.TPM2BData{Buffer: seal.Head[:]},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		PCRSelect:      selection(attestation.Selection(c.config.ChainPCR)),
	}.Execute(t)
	if err != nil {
		return err
	}
	seal.Attest = response.Quoted.Bytes()
	seal.Sig, err = encodeSignature(response.Signature)
	return err
}

func number(p tpm2.TPM2BECCParameter) *big.Int { return new(big.Int).SetBytes(p.Buffer) }

// Clock implements TPM.
func (c *chip) Clock(ctx context.Context) (reset, restart uint32, clock uint64, err error) {
	var info tpm2.TPMSClockInfo // not read after an error: the command may still be running
	err = c.line.do(ctx, func(t transport.TPM) error {
		response, err := tpm2.ReadClock{}.Execute(t)
		if err == nil {
			info = response.CurrentTime.ClockInfo
		}
		return err
	})
	if err != nil {
		return 0, 0, 0, fmt.Errorf("read TPM clock: %w", err)
	}
	return info.ResetCount, info.RestartCount, info.Clock, nil
}

// Close implements TPM.
func (c *chip) Close() error {
	err := c.line.close()
	if errors.Is(err, ErrClosed) {
		return err
	}
	return errors.Join(err, c.unlock())
}
