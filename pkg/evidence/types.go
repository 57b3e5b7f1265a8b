// Package evidence is Camseal's evidence format: statements, the hash chain over them, seals and log leaves as bytes.
//
// It parses and encodes, and nothing else: no network, no TPM, no signatures. SPEC.md beside this file says the same
// byte by byte, for another team; testdata/vectors holds what both must agree on.
package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// Version is the draft of the format that this package reads and writes.
const Version = 1

// Digest is a SHA-256 value. Its text form is 64 lower-case hexadecimal digits.
type Digest [32]byte

// RecordingID names one recording: 16 random bytes. All zeros stands for the device itself.
type RecordingID [16]byte

// Salt is 16 random bytes that keep a digest from being guessed.
type Salt [16]byte

// DeviceID is the name of a device's attestation key (TPM 2.0 Part 1, "Names"): the algorithm id 000b and the SHA-256
// of the key's public area. A new key is a new device.
type DeviceID [34]byte

// Bytes is a byte string, written as base64 (RFC 4648 section 4, padded, strict).
type Bytes []byte

// List is a slice whose empty form is [] and never null, so that it has one form only.
type List[T any] []T

// MarshalJSON implements json.Marshaler.
func (l List[T]) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]T(l))
}

// Sum returns the digest of b.
func Sum(b []byte) Digest { return sha256.Sum256(b) }

func (d Digest) String() string      { return hex.EncodeToString(d[:]) }
func (r RecordingID) String() string { return hex.EncodeToString(r[:]) }
func (s Salt) String() string        { return hex.EncodeToString(s[:]) }
func (d DeviceID) String() string    { return hex.EncodeToString(d[:]) }

// IsZero reports whether r stands for the device itself.
func (r RecordingID) IsZero() bool { return r == RecordingID{} }

// IsZero reports whether d is unset.
func (d Digest) IsZero() bool { return d == Digest{} }

// Short is the first 8 digits, for logs and pictures only.
func (d DeviceID) Short() string { return d.String()[4:12] }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalText implements encoding.TextMarshaler.
func (r RecordingID) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText implements encoding.TextMarshaler.
func (s Salt) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText implements encoding.TextMarshaler.
func (d DeviceID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, strictly.
func (d *Digest) UnmarshalText(t []byte) error { return unhex(d[:], t) }

// UnmarshalText implements encoding.TextUnmarshaler, strictly.
func (r *RecordingID) UnmarshalText(t []byte) error { return unhex(r[:], t) }

// UnmarshalText implements encoding.TextUnmarshaler, strictly.
func (s *Salt) UnmarshalText(t []byte) error { return unhex(s[:], t) }

// UnmarshalText implements encoding.TextUnmarshaler, strictly.
func (d *DeviceID) UnmarshalText(t []byte) error { return unhex(d[:], t) }

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) {
	return []byte(base64.StdEncoding.EncodeToString(b)), nil
}

// UnmarshalText implements encoding.TextUnmarshaler, strictly.
func (b *Bytes) UnmarshalText(t []byte) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(t))
	if err != nil {
		return fmt.Errorf("base64: %w", err)
	}
	if base64.StdEncoding.EncodeToString(raw) != string(t) {
		return errors.New("base64: not in its one form")
	}
	*b = raw
	return nil
}

// ParseDigest reads 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	err := d.UnmarshalText([]byte(s))
	return d, err
}

// ParseRecordingID reads 32 lower-case hexadecimal digits.
func ParseRecordingID(s string) (RecordingID, error) {
	var r RecordingID
	err := r.UnmarshalText([]byte(s))
	return r, err
}

// ParseDeviceID reads 68 lower-case hexadecimal digits.
func ParseDeviceID(s string) (DeviceID, error) {
	var d DeviceID
	err := d.UnmarshalText([]byte(s))
	return d, err
}

func unhex(dst, text []byte) error {
	if len(text) != 2*len(dst) {
		return fmt.Errorf("want %d hexadecimal digits, got %d", 2*len(dst), len(text))
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%q is no lower-case hexadecimal digit", c)
		}
	}
	_, err := hex.Decode(dst, text)
	return err
}
