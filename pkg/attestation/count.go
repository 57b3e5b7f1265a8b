package attestation

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"camseal/pkg/evidence"
)

const (
	tagCertify   = 0x8017 // TPM_ST_ATTEST_CERTIFY
	tagNVCertify = 0x8014 // TPM_ST_ATTEST_NV
	nameSize     = 34     // bytes of a SHA-256 TPM name
	counterSize  = 8      // bytes of an NV counter
)

// CounterAttributes are the TPMA_NV bits of the one kind of counter that Camseal makes, once it was written: a counter, written and read with
// its own authorisation value, without dictionary-attack protection.
const CounterAttributes = 1<<4 | 1<<2 | 1<<18 | 1<<25 | 1<<29

// Counter is what a checked count record says.
type Counter struct {
	Name    []byte // of the counter's index
	Value   uint64
	Reset   uint32 // TPM resets so far
	Restart uint32
	Clock   uint64 // the TPM's clock, milliseconds
}

// CountError says why a count record does not hold.
type CountError struct {
	Seq    uint64 // the statement that it counts
	Reason string
}

func (e *CountError) Error() string { return fmt.Sprintf("count of %d: %s", e.Seq, e.Reason) }

// CountData is the qualifyingData of the count record of the statement after which the chain's head is head. SPEC.md section 5.
func CountData(head evidence.Digest) [sha256.Size]byte {
	return sha256.Sum256(append([]byte("camseal count v1\n"), head[:]...))
}

// CounterName returns the TPM name of Camseal's counter at an NV index, after its first write (TPM 2.0 Part 1, "Names"; Part 2, 13.5
// TPMS_NV_PUBLIC). It says everything about the index but who may delete it, and a TPM never lets a counter made anew start below one
// that was deleted.
func CounterName(index uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, index)
	b = binary.BigEndian.AppendUint16(b, algSHA256)
	b = binary.BigEndian.AppendUint32(b, CounterAttributes)
	b = append(b, 0, 0, 0, counterSize) // no policy; size
	d := sha256.Sum256(b)
	return append([]byte{0, algSHA256}, d[:]...)
}

// CheckCounterRef checks that what an enrolment names is a TPM counter: an index that can only be counted up by one.
func CheckCounterRef(ref *evidence.CounterRef) error {
	if ref.Index>>24 != 0x01 {
		return fmt.Errorf("counter: %08x is not the handle of an NV index", ref.Index)
	}
	if !bytes.Equal(ref.Name, CounterName(uint32(ref.Index))) {
		return errors.New("counter: its name is not that of a TPM counter")
	}
	return nil
}

// CheckCount checks that k's TPM certified the whole of a counter for the statement after which the chain's head is head. It says
// nothing about the value's order, and not which index it should be: a verifier compares Name with the enrolment's. Errors are *CountError.
func (k *Key) CheckCount(c *evidence.Count, head evidence.Digest) (Counter, error) {
	n, err := k.checkCount(c, head)
	if err != nil {
		return Counter{}, &CountError{Seq: c.Seq, Reason: err.Error()}
	}
	return n, nil
}

func (k *Key) checkCount(c *evidence.Count, head evidence.Digest) (Counter, error) {
	if c.Type != "count" {
		return Counter{}, fmt.Errorf("type %q", c.Type)
	}
	if k.class != evidence.ClassTPM {
		return Counter{}, errors.New("a device without a TPM has no counter")
	}
	n, extra, err := k.parseNVCertify(c.Attest)
	if err != nil {
		return Counter{}, fmt.Errorf("attestation: %w", err)
	}
	if want := CountData(head); !bytes.Equal(extra, want[:]) {
		return Counter{}, errors.New("the attestation is about another statement")
	}
	return n, k.verify(c.Attest, c.Sig)
}

// parseNVCertify reads the TPMS_ATTEST of TPM2_NV_Certify (TPM 2.0 Part 2, 10.12.12 and 10.12.8) over 8 bytes from offset 0.
func (k *Key) parseNVCertify(b []byte) (c Counter, extra []byte, err error) {
	r := &reader{b: b}
	common, err := k.attestHead(r, tagNVCertify, "not of an NV index")
	if err != nil {
		return Counter{}, nil, err
	}
	c = Counter{Reset: common.quote.Reset, Restart: common.quote.Restart, Clock: common.quote.Clock}
	name := r.sized()
	offset := r.u16()
	value := r.sized()
	if err := r.end(); err != nil {
		return Counter{}, nil, err
	}
	if !isName(name) {
		return Counter{}, nil, errors.New("its index has no SHA-256 name")
	}
	if offset != 0 || len(value) != counterSize {
		return Counter{}, nil, errors.New("it is not over a whole counter")
	}
	c.Name, c.Value = bytes.Clone(name), binary.BigEndian.Uint64(value)
	return c, common.extra, nil
}

// isName reports whether b is a TPM name made with SHA-256.
func isName(b []byte) bool { return len(b) == nameSize && b[0] == 0 && b[1] == algSHA256 }

// attestHead reads what every TPMS_ATTEST begins with, and checks its kind and that k signs for it.
func (k *Key) attestHead(r *reader, tag uint16, other string) (attest, error) {
	a, err := readAttestHead(r, tag, other)
	if err == nil && !bytes.Equal(a.signer, k.qualified[:]) {
		err = errors.New("it names another key, or one outside the endorsement hierarchy")
	}
	return a, err
}
