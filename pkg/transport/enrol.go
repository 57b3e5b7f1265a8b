package transport

import (
	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// MaxEnrol is how many bytes a request of enrolment may have.
const MaxEnrol = 64 << 10

// EnrolRequest asks to make a device known. The connection it comes over must be made with the TLS key in it.
type EnrolRequest struct {
	Token    string                `json:"token"` // one-time, from `camseal-server enrol-token`
	Class    evidence.Class        `json:"class"`
	AK       evidence.Bytes        `json:"ak"`                  // TPMT_PUBLIC of the attestation key
	EK       evidence.Bytes        `json:"ek,omitempty"`        // TPMT_PUBLIC of the endorsement key; none in class software
	EKCert   evidence.Bytes        `json:"ek_cert,omitempty"`   // the maker's certificate of it, if the chip has one
	TLSKey   evidence.Bytes        `json:"tls_key"`             // SubjectPublicKeyInfo
	TLSProof *attestation.KeyProof `json:"tls_proof,omitempty"` // the attestation key's word for the TLS key; none in class software
	Counter  *evidence.CounterRef  `json:"counter"`             // null: no usable counter
	Software string                `json:"software"`            // name and version of the agent
}

// EnrolChallenge is what only the TPM with both the endorsement key and the attestation key can open (TPM2_ActivateCredential).
// Both members are empty in class software: there the proof is empty too.
type EnrolChallenge struct {
	ID         string         `json:"id"` // of this enrolment; a few minutes long
	Credential evidence.Bytes `json:"credential"`
	Encrypted  evidence.Bytes `json:"encrypted"`
}

// EnrolAnswer shows that the challenge was opened.
type EnrolAnswer struct {
	Proof evidence.Bytes `json:"proof"` // the secret
}

// Enrolled says that the device is known from now on.
type Enrolled struct {
	Device      evidence.DeviceID `json:"device"`
	Certificate evidence.Bytes    `json:"certificate"` // X.509, DER: over the TLS key, by the server's authority
	HomeLog     string            `json:"home_log"`    // verifier key of the log that issues this device's receipts
}

// Certificate is a new certificate over the device's TLS key.
type Certificate struct {
	Certificate evidence.Bytes `json:"certificate"` // X.509, DER
}
