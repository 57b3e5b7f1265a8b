package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/bits"

	"camseal/pkg/evidence"
)

// Chain PCRs that a seal may use: software cannot reset any of 0-15, and 0-7 belong to the firmware.
const (
	FirstChainPCR   = 8
	LastChainPCR    = 15
	DefaultChainPCR = 13
)

// FirmwarePCRs is how many PCRs, from 0 on, a seal quotes besides the chain PCR.
const FirmwarePCRs = 8

// Quote is what a checked seal says beyond its head. Class software has no TPM: all members are zero.
type Quote struct {
	Reset           uint32 // TPM resets so far: power cycles
	Restart         uint32 // TPM restarts and resumes since the last reset
	Clock           uint64 // the TPM's clock, milliseconds
	Safe            bool   // false: the clock may have stepped back since it was last told
	FirmwareVersion uint64
	PCRs            []evidence.Digest // 0-7 and the chain PCR, in this order
	ChainPCR        int               // its index
	ChainValue      evidence.Digest   // its value: the last of PCRs
}

// SealError says why a seal does not hold.
type SealError struct {
	Upto   uint64 // the last statement that the seal covers
	Reason string
}

func (e *SealError) Error() string { return fmt.Sprintf("seal up to %d: %s", e.Upto, e.Reason) }

// Extend returns the value of a SHA-256 PCR with value prev after TPM2_PCR_Extend by head.
func Extend(prev, head evidence.Digest) evidence.Digest {
	var b [64]byte
	copy(b[:32], prev[:])
	copy(b[32:], head[:])
	return sha256.Sum256(b[:])
}

const softwarePrefix = "camseal software attest v1\n"

// SoftwareAttest is what a key of class software signs for a head.
func SoftwareAttest(head evidence.Digest) []byte {
	return append([]byte(softwarePrefix), head[:]...)
}

// EncodeSignature writes the numbers of an ECDSA P-256 SHA-256 signature as the one TPMT_SIGNATURE that the format allows:
// both at 32 bytes.
func EncodeSignature(r, s *big.Int) ([]byte, error) {
	if r.Sign() <= 0 || s.Sign() <= 0 || r.BitLen() > 8*scalarSize || s.BitLen() > 8*scalarSize {
		return nil, errors.New("encode signature: a number is out of range")
	}
	b := make([]byte, signatureSize)
	copy(b, signatureHead)
	r.FillBytes(b[6 : 6+scalarSize])
	b[39] = scalarSize
	s.FillBytes(b[40:])
	return b, nil
}

const signatureSize = 4 + 2*(2+scalarSize)

var signatureHead = []byte{0, algECDSA, 0, algSHA256, 0, scalarSize}

func parseSignature(sig []byte) (r, s *big.Int, err error) {
	if len(sig) != signatureSize || !bytes.Equal(sig[:6], signatureHead) || sig[38] != 0 || sig[39] != scalarSize {
		return nil, nil, errors.New("not a TPMT_SIGNATURE of ECDSA P-256 with SHA-256")
	}
	return new(big.Int).SetBytes(sig[6:38]), new(big.Int).SetBytes(sig[40:]), nil
}

// CheckSeal checks that k signed the seal's head and, in class tpm, that a TPM quoted it together with the PCR values
// that the seal states. It says nothing about the order of seals: a verifier compares neighbours. Errors are *SealError.
func (k *Key) CheckSeal(s *evidence.Seal) (Quote, error) {
	q, err := k.checkSeal(s)
	if err != nil {
		return Quote{}, &SealError{Upto: s.Upto, Reason: err.Error()}
	}
	return q, nil
}

func (k *Key) checkSeal(s *evidence.Seal) (Quote, error) {
	if s.Type != "seal" {
		return Quote{}, fmt.Errorf("type %q", s.Type)
	}
	var q Quote
	var err error
	if k.class == evidence.ClassSoftware {
		err = checkSoftware(s)
	} else {
		q, err = k.checkQuote(s)
	}
	if err != nil {
		return Quote{}, err
	}
	if err := k.verify(s.Attest, s.Sig); err != nil {
		return Quote{}, err
	}
	return q, nil
}

func (k *Key) verify(attest, sig []byte) error {
	r, s, err := parseSignature(sig)
	if err != nil {
		return err
	}
	d := sha256.Sum256(attest)
	if !ecdsa.Verify(k.public, d[:], r, s) {
		return errors.New("the signature is not this device's over this attestation")
	}
	return nil
}

func checkSoftware(s *evidence.Seal) error {
	if len(s.PCRs) != 0 {
		return errors.New("a device without a TPM states PCR values")
	}
	if !bytes.Equal(s.Attest, SoftwareAttest(s.Head)) {
		return errors.New("the attestation is not about this head")
	}
	return nil
}

func (k *Key) checkQuote(s *evidence.Seal) (Quote, error) {
	a, err := parseAttest(s.Attest)
	switch {
	case err != nil:
		return Quote{}, fmt.Errorf("attestation: %w", err)
	case !bytes.Equal(a.signer, k.qualified[:]):
		return Quote{}, errors.New("the quote names another key, or one outside the endorsement hierarchy")
	case !bytes.Equal(a.extra, s.Head[:]):
		return Quote{}, errors.New("the quote is about another head")
	case len(s.PCRs) != FirmwarePCRs+1:
		return Quote{}, fmt.Errorf("%d PCR values, want %d", len(s.PCRs), FirmwarePCRs+1)
	}
	h := sha256.New()
	for i := range s.PCRs {
		h.Write(s.PCRs[i][:])
	}
	var sum [sha256.Size]byte
	if !bytes.Equal(h.Sum(sum[:0]), a.pcrDigest) {
		return Quote{}, errors.New("the PCR values are not those that were quoted")
	}
	a.quote.PCRs = append([]evidence.Digest(nil), s.PCRs...)
	a.quote.ChainValue = s.PCRs[FirmwarePCRs]
	return a.quote, nil
}

type attest struct {
	signer, extra, pcrDigest []byte // slices of the input
	quote                    Quote  // without PCR values; of other kinds of attestation the clock and the counts
}

// parseAttest reads the TPMS_ATTEST of a quote (TPM 2.0 Part 2, 10.12.12) over the SHA-256 bank's PCRs 0-7 and one more.
func parseAttest(b []byte) (attest, error) {
	r := &reader{b: b}
	a, err := readAttestHead(r, tagQuote, "not a quote")
	if err != nil {
		return attest{}, err
	}
	selections := r.u32()
	bank, size := r.u16(), r.u8()
	mask := r.take(3)
	a.pcrDigest = r.sized()
	if r.err != nil {
		return attest{}, r.err
	}
	if selections != 1 || bank != algSHA256 || size != 3 {
		return attest{}, errors.New("it does not quote the SHA-256 bank alone")
	}
	if a.quote.ChainPCR, err = chainPCR(mask); err != nil {
		return attest{}, err
	}
	return a, r.end()
}

// readAttestHead reads what every TPMS_ATTEST begins with: up to the firmware version. other is the error for another tag.
func readAttestHead(r *reader, tag uint16, other string) (attest, error) {
	if magic := r.u32(); r.err == nil && magic != magicGenerated {
		return attest{}, errors.New("not made by a TPM")
	}
	r.want16(tag, errors.New(other))
	var a attest
	a.signer = r.sized()
	a.extra = r.sized()
	a.quote.Clock = r.u64()
	a.quote.Reset = r.u32()
	a.quote.Restart = r.u32()
	safe := r.u8()
	a.quote.Safe = safe == 1
	a.quote.FirmwareVersion = r.u64()
	if r.err == nil && safe > 1 {
		r.err = errors.New("its safe flag is neither 0 nor 1")
	}
	return a, r.err
}

// chainPCR returns which PCR a selection names besides 0-7.
func chainPCR(mask []byte) (int, error) {
	m := uint32(mask[0]) | uint32(mask[1])<<8 | uint32(mask[2])<<16
	rest := m >> FirmwarePCRs
	index := FirmwarePCRs + bits.TrailingZeros32(rest)
	if m&0xff != 0xff || bits.OnesCount32(rest) != 1 || index > LastChainPCR {
		return 0, fmt.Errorf("it quotes PCRs %06x, want 0-7 and one of %d-%d", m, FirstChainPCR, LastChainPCR)
	}
	return index, nil
}

// Selection is the PCR bitmap of a seal with this chain PCR, as TPMS_PCR_SELECTION holds it.
func Selection(chainPCR int) []byte {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], 0xff|1<<chainPCR)
	return b[:3]
}
