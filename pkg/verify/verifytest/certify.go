package verifytest

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"

	"camseal/pkg/attestation"
)

// Certify makes the attestation key's word for a TLS key, as if that key were in the same TPM. TPMS_CERTIFY_INFO: TPM 2.0 Part 2, 10.12.3.
func (e *Emulated) Certify(key *ecdsa.PublicKey) (*attestation.KeyProof, error) {
	public, err := attestation.SoftwarePublic(key)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(public[4:], 1<<1|1<<4|1<<5|1<<6|1<<18) // fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, sign
	data, name := attestation.TLSKeyData(), sha256.Sum256(public)
	a := e.attest(0x8017, data[:])
	a = append(append(a, 0, 34, 0, 0x0B), name[:]...)
	qualified := sha256.Sum256(append([]byte{0x40, 0, 0, 0x0B}, name[:]...))
	a = append(append(a, 0, 34, 0, 0x0B), qualified[:]...)
	sig, err := Sign(e.private, a)
	return &attestation.KeyProof{Attest: a, Public: public, Sig: sig}, err
}
