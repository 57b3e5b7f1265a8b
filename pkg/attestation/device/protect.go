package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Protect implements Identity. The secret is a data object under the owner hierarchy's storage key, which TPM2_Clear destroys. It crosses the bus
// encrypted.
func (c *chip) Protect(ctx context.Context, secret []byte) (blob []byte, err error) {
	if len(secret) == 0 || len(secret) > MaxProtected {
		return nil, fmt.Errorf("protect: a secret of %d bytes, a TPM takes 1 to %d", len(secret), MaxProtected)
	}
	err = c.withStorage(ctx, func(t transport.TPM, parent tpm2.AuthHandle, salt tpm2.AuthOption) error {
		made, err := tpm2.Create{
			ParentHandle: parent,
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret}),
			}},
			InPublic: tpm2.New2B(tpm2.TPMTPublic{
				Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
				ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true},
			}),
		}.Execute(t, tpm2.HMAC(tpm2.TPMAlgSHA256, 16, salt, tpm2.AESEncryption(128, tpm2.EncryptIn)))
		if err == nil {
			blob = append(tpm2.Marshal(made.OutPrivate), tpm2.Marshal(made.OutPublic)...)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("protect: %w", err)
	}
	return blob, nil
}

// Reveal implements Identity.
func (c *chip) Reveal(ctx context.Context, blob []byte) (secret []byte, err error) {
	private, public, err := splitBlob(blob)
	if err != nil {
		return nil, fmt.Errorf("reveal: %w: %w", ErrSealed, err)
	}
	err = c.withStorage(ctx, func(t transport.TPM, parent tpm2.AuthHandle, salt tpm2.AuthOption) error {
		loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: private, InPublic: public}.Execute(t)
		var rc tpm2.TPMRC
		if errors.As(err, &rc) {
			return fmt.Errorf("%w: %w", ErrSealed, err)
		}
		if err != nil {
			return err
		}
		opened, err := tpm2.Unseal{
			ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: tpm2.PasswordAuth(nil)},
		}.Execute(t, tpm2.HMAC(tpm2.TPMAlgSHA256, 16, salt, tpm2.AESEncryption(128, tpm2.EncryptOut)))
		if err == nil {
			secret = opened.OutData.Buffer
		}
		return errors.Join(err, flush(t, loaded.ObjectHandle))
	})
	if err != nil {
		return nil, fmt.Errorf("reveal: %w", err)
	}
	return secret, nil
}

// splitBlob reads TPM2B_PRIVATE and TPM2B_PUBLIC, with nothing after them.
func splitBlob(blob []byte) (private tpm2.TPM2BPrivate, public tpm2.TPM2BPublic, err error) {
	if len(blob) < 2 {
		return private, public, errors.New("too short")
	}
	n := 2 + int(blob[0])<<8 + int(blob[1])
	if len(blob) < n {
		return private, public, errors.New("too short")
	}
	p, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](blob[:n])
	if err != nil {
		return private, public, err
	}
	q, err := tpm2.Unmarshal[tpm2.TPM2BPublic](blob[n:])
	if err != nil {
		return private, public, err
	}
	if again := append(tpm2.Marshal(*p), tpm2.Marshal(*q)...); !bytes.Equal(again, blob) {
		return private, public, errors.New("not in its one form")
	}
	return *p, *q, nil
}

// withStorage lends f the owner hierarchy's storage key, made by the TCG's template, and sessions salted with it.
func (c *chip) withStorage(ctx context.Context, f func(t transport.TPM, parent tpm2.AuthHandle, salt tpm2.AuthOption) error) error {
	return c.do(ctx, func(t transport.TPM) error {
		permanent, err := readPermanent(t)
		if err != nil {
			return err
		}
		var made *tpm2.CreatePrimaryResponse
		err = c.auths.authorised(t, permanent, "owner", func(auth tpm2.AuthHandle) error {
			made, err = tpm2.CreatePrimary{PrimaryHandle: auth, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
			return err
		})
		if err != nil {
			return fmt.Errorf("make storage key: %w", err)
		}
		public, err := made.OutPublic.Contents()
		if err == nil {
			parent := tpm2.AuthHandle{Handle: made.ObjectHandle, Name: made.Name, Auth: tpm2.PasswordAuth(nil)}
			err = f(t, parent, tpm2.Salted(made.ObjectHandle, *public))
		}
		return errors.Join(err, flush(t, made.ObjectHandle))
	})
}
