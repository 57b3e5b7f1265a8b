package device

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"camseal/pkg/attestation"
)

// endorsementTimeout is how long a chip may take to make an RSA endorsement key anew: it works the primes out again.
const endorsementTimeout = 2 * time.Minute

// maxCert is more than the certificate of an endorsement key has, and maxRead what every TPM reads at once.
const (
	maxCert = 8 << 10
	maxRead = 512
)

// endorsements are the kinds of endorsement key, with the places of the TCG EK Credential Profile: the certificate's NV index, and where a
// maker or an operating system may have made the key persistent. The faster one is first.
var endorsements = []struct {
	cert, persistent uint32
	template         tpm2.TPMTPublic
}{
	{0x01c0000a, 0x81010002, tpm2.ECCEKTemplate},
	{0x01c00002, 0x81010001, tpm2.RSAEKTemplate},
}

// endorsement is the key that was chosen: the first that has a certificate, or the first that the TPM can make.
type endorsement struct {
	kind   int // index in endorsements
	public []byte
	cert   []byte // DER; nil: none
}

// Endorsement implements Identity.
func (c *chip) Endorsement(ctx context.Context) (ekPublic, ekCert []byte, err error) {
	err = c.doWithin(ctx, max(c.config.Timeout, endorsementTimeout), func(t transport.TPM) error {
		e, err := c.findEndorsement(t)
		if err == nil {
			ekPublic, ekCert = bytes.Clone(e.public), bytes.Clone(e.cert)
		}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("endorsement key: %w", err)
	}
	return ekPublic, ekCert, nil
}

// findEndorsement chooses the key, once.
func (c *chip) findEndorsement(t transport.TPM) (*endorsement, error) {
	if c.endorsement != nil {
		return c.endorsement, nil
	}
	var certs [][]byte
	for _, e := range endorsements {
		cert, err := readCert(t, e.cert)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		certs = append(certs, cert)
	}
	var why error
	for _, certified := range []bool{true, false} {
		for kind := range endorsements {
			if certified && certs[kind] == nil {
				continue
			}
			e := endorsement{kind: kind}
			err := c.withEndorsement(t, kind, func(_ tpm2.NamedHandle, public []byte) error {
				e.public = bytes.Clone(public)
				return nil
			})
			if errors.Is(err, ErrHanging) || errors.Is(err, ErrForeign) {
				return nil, err
			}
			if certified && err == nil {
				e.cert = certs[kind]
				err = matches(e)
			}
			if err == nil {
				c.endorsement = &e
				return c.endorsement, nil
			}
			why = errors.Join(why, err)
		}
	}
	return nil, why
}

func matches(e endorsement) error {
	key, err := attestation.ParseEK(e.public)
	if err != nil {
		return err
	}
	cert, err := attestation.ParseEKCert(e.cert)
	if err != nil {
		return err
	}
	return key.Matches(cert)
}

// readCert reads a certificate from an NV index, nil if there is none. What follows it in the index is filling.
func readCert(t transport.TPM, index uint32) ([]byte, error) {
	public, err := readIndex(t, index)
	if public == nil || err != nil {
		return nil, err
	}
	size := min(int(public.public.DataSize), maxCert)
	data, err := readNV(t, tpm2.AuthHandle{Handle: public.handle.Handle, Name: public.handle.Name, Auth: tpm2.PasswordAuth(nil)}, public.handle, size)
	if err != nil {
		return nil, err
	}
	var cert asn1.RawValue
	if _, err := asn1.Unmarshal(data, &cert); err != nil {
		return nil, nil // an index that was reserved and never filled
	}
	return cert.FullBytes, nil
}

func readNV(t transport.TPM, auth tpm2.AuthHandle, index tpm2.NamedHandle, size int) ([]byte, error) {
	var data []byte
	for len(data) < size {
		response, err := tpm2.NVRead{
			AuthHandle: auth, NVIndex: index, Size: uint16(min(size-len(data), maxRead)), Offset: uint16(len(data)),
		}.Execute(t)
		if err != nil {
			return nil, err
		}
		if len(response.Data.Buffer) == 0 {
			return nil, errors.New("the TPM reads nothing")
		}
		data = append(data, response.Data.Buffer...)
	}
	return data, nil
}

// withEndorsement lends f an endorsement key: the persistent one if it was made by the template, else one made for this.
func (c *chip) withEndorsement(t transport.TPM, kind int, f func(key tpm2.NamedHandle, public []byte) error) error {
	e := endorsements[kind]
	if key, public, err := persistentEndorsement(t, e.persistent, e.template.Type); err != nil || public != nil {
		return errors.Join(err, runWith(f, key, public))
	}
	permanent, err := readPermanent(t)
	if err != nil {
		return err
	}
	var made *tpm2.CreatePrimaryResponse
	err = c.auths.authorised(t, permanent, "endorsement", func(auth tpm2.AuthHandle) error {
		made, err = tpm2.CreatePrimary{PrimaryHandle: auth, InPublic: tpm2.New2B(e.template)}.Execute(t)
		return err
	})
	if err != nil {
		return fmt.Errorf("make endorsement key: %w", err)
	}
	err = runWith(f, tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, made.OutPublic.Bytes())
	return errors.Join(err, flush(t, made.ObjectHandle))
}

func runWith(f func(tpm2.NamedHandle, []byte) error, key tpm2.NamedHandle, public []byte) error {
	if public == nil {
		return nil
	}
	return f(key, public)
}

// persistentEndorsement reads the key at a persistent handle; nil if there is none, or one that is not a primary key of the endorsement
// hierarchy by the template.
func persistentEndorsement(t transport.TPM, handle uint32, kind tpm2.TPMIAlgPublic) (key tpm2.NamedHandle, public []byte, err error) {
	found, err := hasHandle(t, handle)
	if err != nil || !found {
		return key, nil, err
	}
	response, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(handle)}.Execute(t)
	if err != nil {
		return key, nil, fmt.Errorf("read key: %w", err)
	}
	public = response.OutPublic.Bytes()
	qualified := sha256.Sum256(append(binary.BigEndian.AppendUint32(nil, uint32(tpm2.TPMRHEndorsement)), response.Name.Buffer...))
	contents, err := response.OutPublic.Contents()
	if err != nil || contents.Type != kind || len(response.QualifiedName.Buffer) != 34 || !bytes.Equal(response.QualifiedName.Buffer[2:], qualified[:]) {
		return key, nil, nil
	}
	if _, err := attestation.ParseEK(public); err != nil {
		return key, nil, nil
	}
	return tpm2.NamedHandle{Handle: tpm2.TPMHandle(handle), Name: response.Name}, public, nil
}

// Activate implements Identity.
func (c *chip) Activate(ctx context.Context, credential, encrypted []byte) (secret []byte, err error) {
	err = c.doWithin(ctx, max(c.config.Timeout, endorsementTimeout), func(t transport.TPM) error {
		e, err := c.findEndorsement(t)
		if err != nil {
			return err
		}
		return c.withEndorsement(t, e.kind, func(key tpm2.NamedHandle, _ []byte) error {
			answer, err := c.activate(t, key, credential, encrypted)
			secret = answer
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("answer challenge: %w", err)
	}
	return secret, nil
}

func (c *chip) activate(t transport.TPM, key tpm2.NamedHandle, credential, encrypted []byte) ([]byte, error) {
	permanent, err := readPermanent(t)
	if err != nil {
		return nil, err
	}
	name := c.key.Name()
	var answer *tpm2.ActivateCredentialResponse
	var inner error
	err = c.auths.authorised(t, permanent, "endorsement", func(auth tpm2.AuthHandle) error {
		policy := func(t transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
			_, err := tpm2.PolicySecret{AuthHandle: auth, PolicySession: session, NonceTPM: nonce}.Execute(t)
			inner = err
			return err
		}
		answer, err = tpm2.ActivateCredential{
			ActivateHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(c.config.Handle), Name: tpm2.TPM2BName{Buffer: name[:]}, Auth: tpm2.PasswordAuth(nil)},
			KeyHandle:      tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, policy)},
			CredentialBlob: tpm2.TPM2BIDObject{Buffer: credential},
			Secret:         tpm2.TPM2BEncryptedSecret{Buffer: encrypted},
		}.Execute(t)
		return errors.Join(inner, err)
	})
	var rc tpm2.TPMRC
	if err != nil && inner == nil && errors.As(err, &rc) { // its parameters were wrong: integrity, value, size and more, by chip
		return nil, fmt.Errorf("%w: %w", ErrChallenge, err)
	}
	if err != nil {
		return nil, err
	}
	return answer.CertInfo.Buffer, nil
}
