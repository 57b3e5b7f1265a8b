package verifytest

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// Sealer makes seals. attestation/device's TPM is one.
type Sealer interface {
	Key() *attestation.Key
	ChainPCR() int
	PCRs(ctx context.Context) ([]evidence.Digest, error)
	Extend(ctx context.Context, head evidence.Digest) error
	Quote(ctx context.Context, head evidence.Digest, upto uint64) (evidence.Seal, error)
	Clock(ctx context.Context) (reset, restart uint32, clock uint64, err error)
}

// Counting is a Sealer whose TPM has a counter. attestation/device's TPM is one.
type Counting interface {
	Counter(ctx context.Context) (*evidence.CounterRef, uint64, error) // nil: there is none
	Increment(ctx context.Context) error
	Count(ctx context.Context, seq uint64, head evidence.Digest) (evidence.Count, error)
}

// Software is a Sealer of class software, with a key that follows from a seed.
type Software struct {
	private *ecdsa.PrivateKey
	key     *attestation.Key
}

// NewSoftware makes a Software.
func NewSoftware(seed string) (*Software, error) {
	d := sha256.Sum256([]byte("verifytest key " + seed))
	private, err := ecdsa.ParseRawPrivateKey(curve, d[:])
	if err != nil {
		return nil, err
	}
	public, err := attestation.SoftwarePublic(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	key, err := attestation.ParseKey(evidence.ClassSoftware, public)
	return &Software{private: private, key: key}, err
}

// Key implements Sealer.
func (s *Software) Key() *attestation.Key { return s.key }

// ChainPCR implements Sealer.
func (s *Software) ChainPCR() int { return 0 }

// PCRs implements Sealer.
func (s *Software) PCRs(context.Context) ([]evidence.Digest, error) { return nil, nil }

// Extend implements Sealer.
func (s *Software) Extend(context.Context, evidence.Digest) error { return nil }

// Clock implements Sealer.
func (s *Software) Clock(context.Context) (reset, restart uint32, clock uint64, err error) {
	return 0, 0, 0, nil
}

// Quote implements Sealer.
func (s *Software) Quote(_ context.Context, head evidence.Digest, upto uint64) (evidence.Seal, error) {
	attest := attestation.SoftwareAttest(head)
	sig, err := Sign(s.private, attest)
	return evidence.Seal{Attest: attest, Head: head, PCRs: []evidence.Digest{}, Sig: sig, Type: "seal", Upto: upto}, err
}

// Emulated is a Sealer of class tpm without a TPM: it writes the structures that a TPM writes, with a key that follows from a seed. Its
// state is open, so that tests can make a TPM do what it should not.
type Emulated struct {
	Reset, Restart uint32
	Time           uint64 // the clock, milliseconds; grows by one with each quote
	Values         [9]evidence.Digest
	Index          uint64 // of its counter; 0: it has none
	Value          uint64 // of the counter

	private *ecdsa.PrivateKey
	key     *attestation.Key
}

// NewEmulated makes an Emulated.
func NewEmulated(seed string) (*Emulated, error) {
	soft, err := NewSoftware("tpm " + seed)
	if err != nil {
		return nil, err
	}
	public := soft.key.Bytes()
	binary.BigEndian.PutUint32(public[4:], 1<<1|1<<4|1<<5|1<<6|1<<16|1<<18) // fixedTPM … sign
	key, err := attestation.ParseKey(evidence.ClassTPM, public)
	return &Emulated{Reset: 3, Restart: 1, Time: 1000, private: soft.private, key: key}, err
}

// Key implements Sealer.
func (e *Emulated) Key() *attestation.Key { return e.key }

// ChainPCR implements Sealer.
func (e *Emulated) ChainPCR() int { return attestation.DefaultChainPCR }

// PCRs implements Sealer.
func (e *Emulated) PCRs(context.Context) ([]evidence.Digest, error) {
	return append([]evidence.Digest(nil), e.Values[:]...), nil
}

// Extend implements Sealer.
func (e *Emulated) Extend(_ context.Context, head evidence.Digest) error {
	e.Values[8] = attestation.Extend(e.Values[8], head)
	return nil
}

// Clock implements Sealer.
func (e *Emulated) Clock(context.Context) (reset, restart uint32, clock uint64, err error) {
	return e.Reset, e.Restart, e.Time, nil
}

// PowerCycle resets the TPM: the PCRs are zeros.
func (e *Emulated) PowerCycle() {
	e.Reset++
	e.Restart = 0
	e.Values = [9]evidence.Digest{}
}

// Counter implements Counting.
func (e *Emulated) Counter(context.Context) (*evidence.CounterRef, uint64, error) {
	if e.Index == 0 {
		return nil, 0, nil
	}
	return &evidence.CounterRef{Index: e.Index, Name: attestation.CounterName(uint32(e.Index))}, e.Value, nil
}

// Increment implements Counting.
func (e *Emulated) Increment(context.Context) error {
	e.Value++
	return nil
}

// Count implements Counting. TPMS_NV_CERTIFY_INFO: TPM 2.0 Part 2, 10.12.8.
func (e *Emulated) Count(_ context.Context, seq uint64, head evidence.Digest) (evidence.Count, error) {
	data := attestation.CountData(head)
	a := e.attest(0x8014, data[:])
	name := attestation.CounterName(uint32(e.Index))
	a = binary.BigEndian.AppendUint16(a, uint16(len(name)))
	a = append(append(a, name...), 0, 0, 0, 8)
	a = binary.BigEndian.AppendUint64(a, e.Value)
	sig, err := Sign(e.private, a)
	return evidence.Count{Attest: a, Seq: seq, Sig: sig, Type: "count"}, err
}

// Quote implements Sealer.
func (e *Emulated) Quote(_ context.Context, head evidence.Digest, upto uint64) (evidence.Seal, error) {
	a := e.attest(0x8018, head[:])
	h := sha256.New()
	for _, v := range e.Values {
		h.Write(v[:])
	}
	a = binary.BigEndian.AppendUint32(a, 1)
	a = append(a, 0, 0x0B, 3)
	a = append(a, attestation.Selection(e.ChainPCR())...)
	a = h.Sum(append(a, 0, 32))
	sig, err := Sign(e.private, a)
	return evidence.Seal{Attest: a, Head: head, PCRs: append([]evidence.Digest{}, e.Values[:]...), Sig: sig, Type: "seal", Upto: upto}, err
}

// attest begins a TPMS_ATTEST (TPM 2.0 Part 2, 10.12.12) and lets a millisecond go by.
func (e *Emulated) attest(tag uint16, extra []byte) []byte {
	e.Time++
	name := e.key.Name()
	q := sha256.Sum256(append([]byte{0x40, 0, 0, 0x0B}, name[:]...))
	be := binary.BigEndian
	a := be.AppendUint32(nil, 0xff544347)
	a = be.AppendUint16(a, tag)
	a = append(append(a, 0, 34, 0, 0x0B), q[:]...)
	a = be.AppendUint16(a, uint16(len(extra)))
	a = append(a, extra...)
	a = be.AppendUint64(a, e.Time)
	a = be.AppendUint32(a, e.Reset)
	a = be.AppendUint32(a, e.Restart)
	a = append(a, 1)
	return be.AppendUint64(a, 0x20240101)
}

// Sign makes a TPMT_SIGNATURE; the same input gives the same signature (RFC 6979).
func Sign(private *ecdsa.PrivateKey, attest []byte) ([]byte, error) {
	d := sha256.Sum256(attest)
	der, err := private.Sign(nil, d[:], hashSHA256)
	if err != nil {
		return nil, err
	}
	r, s, err := parseDER(der)
	if err != nil {
		return nil, err
	}
	return attestation.EncodeSignature(r, s)
}

func parseDER(der []byte) (r, s *big.Int, err error) {
	if len(der) < 8 || der[0] != 0x30 || der[2] != 2 {
		return nil, nil, fmt.Errorf("signature %x", der)
	}
	n := int(der[3])
	return new(big.Int).SetBytes(der[4 : 4+n]), new(big.Int).SetBytes(der[6+n:]), nil
}
