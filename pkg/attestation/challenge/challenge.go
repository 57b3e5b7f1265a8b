// Package challenge makes the question that only a TPM with both keys can answer: a secret, encrypted to an endorsement key, that
// the TPM gives out only if the named attestation key is loaded in it too (TPM2_MakeCredential, done in software).
package challenge

import (
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// MaxSecret is how many bytes a secret may have: the size of a SHA-256 digest.
const MaxSecret = 32

// Make encrypts secret to ek for the TPM that holds ak: the contents of TPM2B_ID_OBJECT and of TPM2B_ENCRYPTED_SECRET, as
// TPM2_ActivateCredential takes them (TPM 2.0 Part 1, "Credential Protection"; Part 3, 12.5). secret has 1 to MaxSecret bytes and is to be random, and used once.
func Make(rand io.Reader, ek *attestation.EK, ak evidence.DeviceID, secret []byte) (credential, encrypted []byte, err error) {
	if len(secret) == 0 || len(secret) > MaxSecret {
		return nil, nil, fmt.Errorf("challenge: a secret of %d bytes, want 1 to %d", len(secret), MaxSecret)
	}
	if ek == nil {
		return nil, nil, errors.New("challenge: no endorsement key")
	}
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](ek.Bytes())
	if err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	key, err := tpm2.ImportEncapsulationKey(public)
	if err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	credential, encrypted, err = tpm2.CreateCredential(rand, key, ak[:], secret)
	if err != nil {
		return nil, nil, fmt.Errorf("challenge: %w", err)
	}
	return credential, encrypted, nil
}
