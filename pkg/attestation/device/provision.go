package device

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"camseal/pkg/attestation"
)

// Provisioned says what Provision did and found.
type Provisioned struct {
	Key           *attestation.Key
	Created       bool  // false: the key at the handle was fitting and is used
	ClearDisabled bool  // TPM2_Clear is disabled, and enabling it needs a lockout authorisation that is set
	Hardening     error // why authorisations could not be set or Clear not be disabled; nil if all of that held
	CounterError  error // why the TPM has no usable counter; nil if it has one
}

// Provision makes the attestation key and the TLS key, unless fitting ones are at their handles, and the counter, and then protects them: it sets authorisation
// values for the owner, endorsement and lockout hierarchies where they are empty and disables TPM2_Clear. That this protection or a counter could not be had fails nothing; it is
// reported. It may be repeated and takes up what a crash left undone: values are durable in config.State
// (tpm-auth.json, mode 0600) before they are set. With an empty config.State nothing is protected, and there is no counter.
//
// Both keys are ECDSA P-256 signing primaries of the endorsement hierarchy, made with 64 random bytes as unique that nobody keeps: TPM2_Clear destroys
// them for good. The attestation key is restricted; the TLS key is not. The endorsement key is not made here: it can be made anew at
// any time. At most two objects and two sessions are loaded at a time. New
// authorisation values cross the bus encrypted, under a session salted with a key of the TPM's null hierarchy: that is proof against listening, not against somebody
// who answers in the TPM's place.
//
// Errors: ErrWrongKey, ErrForeign, ErrLockout, ErrHanging, ErrLocked.
func Provision(ctx context.Context, config Config) (Provisioned, error) {
	config, err := config.filled()
	if err != nil {
		return Provisioned{}, fmt.Errorf("provision TPM: %w", err)
	}
	unlock, err := lockState(config.State)
	if err != nil {
		return Provisioned{}, err
	}
	p := provisioner{config: config, line: newLine(config.Path, config.Timeout)}
	result, err := p.run(ctx)
	if err = errors.Join(err, p.line.close(), unlock()); err != nil {
		return Provisioned{}, fmt.Errorf("provision TPM %s: %w", config.Path, err)
	}
	return result, nil
}

type provisioner struct {
	config Config
	line   *line
	auths  *auths
}

func (p *provisioner) run(ctx context.Context) (Provisioned, error) {
	var err error
	if p.auths, err = readAuths(p.config.State); err != nil {
		return Provisioned{}, err
	}
	if direct(p.config.Path) {
		if err := p.line.do(ctx, flushAll); err != nil {
			return Provisioned{}, err
		}
	}
	var permanent uint32
	err = p.line.do(ctx, func(t transport.TPM) (err error) {
		permanent, err = readPermanent(t)
		return err
	})
	if err != nil {
		return Provisioned{}, err
	}
	if err := p.auths.prepare(permanent); err != nil {
		return Provisioned{}, err
	}
	var result Provisioned
	if err := p.line.do(ctx, func(t transport.TPM) error { return p.ensureKeys(t, permanent, &result) }); err != nil {
		return Provisioned{}, err
	}
	err = p.line.do(ctx, func(t transport.TPM) error { return p.ensureCounter(t, permanent) })
	var rc tpm2.TPMRC
	switch {
	case errors.As(err, &rc) || errors.Is(err, ErrNoCounter) || errors.Is(err, ErrForeign):
		result.CounterError = err
	case err != nil:
		return Provisioned{}, err
	}
	result.Hardening = p.harden(ctx, permanent)
	err = p.line.do(ctx, func(t transport.TPM) error {
		now, err := readPermanent(t)
		result.ClearDisabled = now&permanentDisableClear != 0 && now&permanentLockoutSet != 0
		return err
	})
	return result, err
}

func (p *provisioner) ensureKeys(t transport.TPM, permanent uint32, result *Provisioned) error {
	var err error
	result.Key, err = readKey(t, p.config.Handle)
	if errors.Is(err, ErrNoKey) {
		if err = p.makeKey(t, permanent, "attestation key", p.config.Handle, true); err == nil {
			result.Created = true
			result.Key, err = readKey(t, p.config.Handle)
		}
	}
	if err != nil {
		return err
	}
	_, err = openTLSKey(t, p.config, result.Key)
	if errors.Is(err, ErrNoKey) {
		if err = p.makeKey(t, permanent, "TLS key", p.config.Handle+tlsOffset, false); err == nil {
			_, err = openTLSKey(t, p.config, result.Key)
		}
	}
	return err
}

func (p *provisioner) makeKey(t transport.TPM, permanent uint32, what string, handle uint32, restricted bool) error {
	template, err := keyTemplate(restricted)
	if err != nil {
		return err
	}
	var made *tpm2.CreatePrimaryResponse
	err = p.auths.authorised(t, permanent, "endorsement", func(auth tpm2.AuthHandle) error {
		made, err = tpm2.CreatePrimary{PrimaryHandle: auth, InPublic: tpm2.New2B(template)}.Execute(t)
		return err
	})
	if err != nil {
		return fmt.Errorf("make %s: %w", what, err)
	}
	err = p.auths.authorised(t, permanent, "owner", func(auth tpm2.AuthHandle) error {
		_, err := tpm2.EvictControl{
			Auth:             auth,
			ObjectHandle:     tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name},
			PersistentHandle: tpm2.TPMHandle(handle),
		}.Execute(t)
		return err
	})
	if err != nil {
		err = fmt.Errorf("make %s persistent: %w", what, err)
	}
	return errors.Join(err, flush(t, made.ObjectHandle))
}

// harden sets authorisation values and disables Clear, hierarchy by hierarchy, as far as that goes.
func (p *provisioner) harden(ctx context.Context, permanent uint32) error {
	if p.config.State == "" {
		return errors.New("no state folder was given to keep authorisation values in")
	}
	var all []error
	if permanent&(permanentDisableClear|permanentLockoutSet) == 0 { // before lockout has a value: no secret is needed then
		if err := p.line.do(ctx, disableClear); err != nil {
			all = append(all, fmt.Errorf("disable Clear: %w", err))
		}
	}
	for _, h := range hierarchies {
		if permanent&h.bit != 0 {
			if len(p.auths.values[h.name]) == 0 {
				all = append(all, fmt.Errorf("%s: %w", h.name, ErrForeign))
			}
			continue
		}
		err := p.line.do(ctx, func(t transport.TPM) error { return p.setAuth(t, h.handle, p.auths.values[h.name]) })
		if err != nil {
			all = append(all, fmt.Errorf("set %s authorisation: %w", h.name, err))
		}
	}
	return errors.Join(all...)
}

func (p *provisioner) setAuth(t transport.TPM, handle tpm2.TPMHandle, value secret) error {
	return withSalt(t, func(salt tpm2.AuthOption) error {
		_, err := tpm2.HierarchyChangeAuth{
			AuthHandle: tpm2.AuthHandle{Handle: handle, Name: tpm2.HandleName(handle), Auth: tpm2.PasswordAuth(nil)},
			NewAuth:    tpm2.TPM2BAuth{Buffer: value},
		}.Execute(t, tpm2.HMAC(tpm2.TPMAlgSHA256, 16, salt, tpm2.AESEncryption(128, tpm2.EncryptIn)))
		return err
	})
}

// disableClear sends TPM2_ClearControl(TPM_RH_LOCKOUT, disable) with an empty password (TPM 2.0 Part 3, 24.7), which the
// library does not have.
func disableClear(t transport.TPM) error {
	response, err := t.Send([]byte{
		0x80, 0x02, 0, 0, 0, 28, 0, 0, 0x01, 0x27, // TPM_ST_SESSIONS, size, TPM_CC_ClearControl
		0x40, 0, 0, 0x0A, // TPM_RH_LOCKOUT
		0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0, // TPM_RS_PW: no nonce, no attributes, empty password
		1, // YES
	})
	if err != nil {
		return err
	}
	if rc := tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])); rc != tpm2.TPMRCSuccess {
		return rc
	}
	return nil
}

// withSalt lends f a decryption key of the null hierarchy for salting sessions.
func withSalt(t transport.TPM, f func(tpm2.AuthOption) error) error {
	null := tpm2.TPMRHNull
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: null, Name: tpm2.HandleName(null), Auth: tpm2.PasswordAuth(nil)},
		InPublic:      tpm2.New2B(tpm2.ECCSRKTemplate),
	}.Execute(t)
	if err != nil {
		return fmt.Errorf("make salting key: %w", err)
	}
	public, err := made.OutPublic.Contents()
	if err == nil {
		err = f(tpm2.Salted(made.ObjectHandle, *public))
	}
	return errors.Join(err, flush(t, made.ObjectHandle))
}

func keyTemplate(restricted bool) (tpm2.TPMTPublic, error) {
	var unique [64]byte
	if _, err := rand.Read(unique[:]); err != nil {
		return tpm2.TPMTPublic{}, err
	}
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true,
			Restricted: restricted, SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme: tpm2.TPMTECCScheme{
				Scheme:  tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
			CurveID: tpm2.TPMECCNistP256,
			KDF:     tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull},
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: unique[:32]},
			Y: tpm2.TPM2BECCParameter{Buffer: unique[32:]},
		}),
	}, nil
}

func readPermanent(t transport.TPM) (uint32, error) {
	response, err := tpm2.GetCapability{
		Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTPermanent), PropertyCount: 1,
	}.Execute(t)
	if err != nil {
		return 0, fmt.Errorf("read TPM properties: %w", err)
	}
	list, err := response.CapabilityData.Data.TPMProperties()
	if err != nil {
		return 0, fmt.Errorf("read TPM properties: %w", err)
	}
	if len(list.TPMProperty) != 1 || list.TPMProperty[0].Property != tpm2.TPMPTPermanent {
		return 0, errors.New("read TPM properties: no permanent attributes")
	}
	return list.TPMProperty[0].Value, nil
}

func flush(t transport.TPM, handle tpm2.TPMHandle) error {
	if _, err := (tpm2.FlushContext{FlushHandle: handle}).Execute(t); err != nil {
		return fmt.Errorf("flush %08x: %w", uint32(handle), err)
	}
	return nil
}

// flushAll removes what a crash left loaded: transient objects and sessions.
func flushAll(t transport.TPM) error {
	for _, first := range []uint32{0x80000000, 0x02000000} {
		list, err := handles(t, first, 64)
		if err != nil {
			return err
		}
		for _, h := range list {
			if err := flush(t, h); err != nil {
				return err
			}
		}
	}
	return nil
}
