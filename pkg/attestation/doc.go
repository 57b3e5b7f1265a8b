// Package attestation checks what a device's attestation key signed. It opens no TPM (pkg/attestation/device does) and
// needs no network, so it builds wherever a verifier runs.
//
// Two classes of key exist. Class tpm is a restricted ECDSA P-256 signing primary in the endorsement hierarchy of a
// TPM 2.0; it signs only what the TPM made, and a seal is a TPM2_Quote whose extraData is the chain's head. Class
// software is a key in a file; it signs SoftwareAttest(head), which does not begin with the TPM's magic number, so that
// neither can pass for the other.
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
