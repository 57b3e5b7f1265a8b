// Package attestation checks what a device's attestation key signed. It opens no TPM (pkg/attestation/device does) and
// needs no network, so it builds wherever a verifier runs.
//
// Two classes of key exist. Class tpm is a restricted ECDSA P-256 signing primary in the endorsement hierarchy of a
// TPM 2.0; it signs only what the TPM made: a seal is a TPM2_Quote whose extraData is the chain's head, a count record a TPM2_NV_Certify of the
// counter, and there is one TPM2_Certify, of the device's TLS key. The structures say which of the three they are, and each has qualifying data of its
// own, so none can pass for another; no server's nonce is ever signed. Class
// software is a key in a file; it signs SoftwareAttest(head), which does not begin with the TPM's magic number, so that
// neither can pass for the other.
//
// Who a device is rests on its endorsement key, which its maker certified (EK, Roots), and on a challenge that only a TPM with both that key
// and the attestation key can answer (package challenge).
//
// # Strictness
//
// Every structure (TPMT_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE of TPM 2.0 Part 2) is read by a parser that knows exactly
// one layout with fixed sizes and refuses any byte left over, so each accepted value has one spelling. The numbers r and s
// stand as 32 bytes each, with leading zeros: some chips strip them, and the agent puts them back before it writes a seal.
//
// # One thing that a signature check can't see
//
// For any ECDSA signature (r, s), the pair (r, n-s) is a second valid signature over the same content. TPMs emit
// either, so no "low s" is demanded. Whoever changes s to n-s in a bundle changes no claim, and CheckSeal accepts it; the changed bytes
// are found by the bundle's manifest, whose hash the export leaf states.
package attestation
