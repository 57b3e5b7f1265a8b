// Package device opens an attestation key's home, a TPM 2.0 or a key file, and makes seals with it.
//
// A TPM answers in its own time and may not answer at all. Commands run one at a time under a lock; a caller waits
// for the answer no longer than Config.Timeout and its context allow, then gets ErrHanging or the context's error, and a command
// that is still in the TPM goes on alone. The caller can't know whether such a command took effect and must read the TPM's state again.
package device

import (
	"context"
	"errors"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// TPM is what makes seals. All methods are safe for concurrent use; they are done one after the other.
type TPM interface {
	// Key is the attestation key that signs seals.
	Key() *attestation.Key
	// ChainPCR is the index of the PCR that takes the heads; 0 in class software.
	ChainPCR() int
	// PCRs reads PCRs 0-7 and the chain PCR; nil in class software.
	PCRs(ctx context.Context) ([]evidence.Digest, error)
	// Extend extends the chain PCR by the head; nothing in class software.
	Extend(ctx context.Context, head evidence.Digest) error
	// Quote returns a seal of the head that Key has checked.
	Quote(ctx context.Context, head evidence.Digest, upto uint64) (evidence.Seal, error)
	// Clock reads the TPM's counts and its clock in milliseconds; zeros in class software.
	Clock(ctx context.Context) (reset, restart uint32, clock uint64, err error)
	// Close waits for a running command, bounded by its time-out, and releases the device. TPM keys stay.
	Close() error
}

// Errors to decide on.
var (
	ErrHanging   = errors.New("the TPM does not answer; what was recorded stays unsealed and is sealed once it answers again: if it lasts, restart the device")
	ErrLockout   = errors.New("the TPM is in dictionary-attack lockout; nothing is lost: wait until it ends, then try again")
	ErrClosed    = errors.New("the device is closed")
	ErrLocked    = errors.New("another process uses this device's state; end it first")
	ErrNoKey     = errors.New("the TPM holds no attestation key at this handle; nothing was changed: enrol this device")
	ErrWrongKey  = errors.New("the TPM holds another kind of key at this handle; nothing was changed: choose another handle")
	ErrForeign   = errors.New("the TPM's hierarchies belong to somebody else; nothing was changed: clear the TPM in the firmware's settings or choose another device")
	ErrReplaced  = errors.New("the TPM is not the one that this device enrolled with any more: it was replaced, or cleared; what was recorded is kept unsealed: put the old one back, or enrol this device again in a new state folder")
	ErrNoTPMHere = errors.New("TPMs can't be opened on this operating system")
)
