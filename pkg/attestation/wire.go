package attestation

import (
	"encoding/binary"
	"errors"
)

// Numbers of TPM 2.0 Part 2 that the format uses.
const (
	algECC    = 0x0023
	algECDSA  = 0x0018
	algSHA256 = 0x000B
	algNull   = 0x0010
	curveP256 = 0x0003

	magicGenerated = 0xff544347 // TPM_GENERATED_VALUE
	tagQuote       = 0x8018     // TPM_ST_ATTEST_QUOTE

	handleEndorsement = 0x4000000B // TPM_RH_ENDORSEMENT

	scalarSize = 32 // bytes of a P-256 number
)

var errShort = errors.New("ends too early")

// reader takes big-endian fields off the front. After the first error all further reads give zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && len(r.b) < n {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// sized takes a TPM2B: two bytes of length and that many bytes.
func (r *reader) sized() []byte { return r.take(int(r.u16())) }

// want16 takes a number that has only one allowed value.
func (r *reader) want16(want uint16, err error) {
	if got := r.u16(); r.err == nil && got != want {
		r.err = err
	}
}

// end reports the first error, or that bytes are left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		return errors.New("bytes after its end")
	}
	return r.err
}
