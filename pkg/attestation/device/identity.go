package device

import (
	"context"
	"crypto"
	"errors"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// Identity is what a device has besides its attestation key: the key that its maker certified, a TLS key, a counter, and a place
// for secrets. What Open and OpenSoftware return implements it. All methods are safe for concurrent use; they are done one after the other,
// in turn with those of TPM.
type Identity interface {
	// Endorsement returns the TPMT_PUBLIC of the endorsement key and its certificate (DER). The certificate is nil if the chip has none
	// for a key of the default templates; both are nil in class software. A real chip may need half a minute for the first call.
	Endorsement(ctx context.Context) (ekPublic, ekCert []byte, err error)
	// Activate answers a challenge (pkg/attestation/challenge) that was made for this endorsement key and this attestation key. Errors:
	// ErrChallenge if it was not, ErrNoTPM.
	Activate(ctx context.Context, credential, encrypted []byte) (secret []byte, err error)
	// TLSKey is the device's TLS key: ECDSA P-256. It signs SHA-256 digests, in the TPM, within Config.Timeout.
	TLSKey() crypto.Signer
	// TLSProof is the attestation key's word for the TLS key; nil in class software.
	TLSProof() *attestation.KeyProof
	// Counter reads the counter. The reference is nil if the device has no usable one.
	Counter(ctx context.Context) (*evidence.CounterRef, uint64, error)
	// Increment adds one. After an error the counter must be read again: it may have been done. Errors: ErrNoCounter.
	Increment(ctx context.Context) error
	// Count returns a count record about the counter as it is now, for statement seq, after which the head is head. Key has checked
	// it. Errors: ErrNoCounter.
	Count(ctx context.Context, seq uint64, head evidence.Digest) (evidence.Count, error)
	// Protect seals a secret of up to MaxProtected bytes to this TPM, whatever its PCRs are. Errors: ErrNoTPM.
	Protect(ctx context.Context, secret []byte) (blob []byte, err error)
	// Reveal gives back what Protect sealed in this TPM. Errors: ErrSealed if another did or the TPM was cleared since, ErrNoTPM.
	Reveal(ctx context.Context, blob []byte) ([]byte, error)
}

// MaxProtected is how many bytes a TPM seals at least (MAX_SYM_DATA).
const MaxProtected = 128

// Errors of Identity to decide on.
var (
	ErrNoTPM     = errors.New("this device keeps its key in a file and has no TPM")
	ErrNoCounter = errors.New("this device has no usable counter in its TPM")
	ErrChallenge = errors.New("this challenge is not for the keys of this TPM, or it was changed on its way; nothing was changed: ask the server for a new one")
	ErrSealed    = errors.New("this secret was not sealed by this TPM, or the TPM was cleared since; nothing was changed: use the offline recovery key")
)

var (
	_ Identity = (*chip)(nil)
	_ Identity = (*software)(nil)
	_ Identity = (*delayed)(nil)
)
