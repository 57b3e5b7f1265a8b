package attestation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"

	"camseal/pkg/evidence"
)

// Attribute bits of TPMA_OBJECT (TPM 2.0 Part 2, 8.3).
const (
	attrFixedTPM            = 1 << 1
	attrFixedParent         = 1 << 4
	attrSensitiveDataOrigin = 1 << 5
	attrUserWithAuth        = 1 << 6
	attrNoDA                = 1 << 10
	attrRestricted          = 1 << 16
	attrSign                = 1 << 18

	tpmMust      = attrFixedTPM | attrFixedParent | attrSensitiveDataOrigin | attrRestricted | attrSign
	tpmMay       = attrUserWithAuth | attrNoDA
	softwareMust = attrSign
)

// Key is a device's attestation public key. It is immutable and safe for concurrent use.
type Key struct {
	class     evidence.Class
	bytes     []byte
	name      evidence.DeviceID
	qualified [34]byte // the qualified name of a primary in the endorsement hierarchy
	public    *ecdsa.PublicKey
}

// KeyError says why bytes are no attestation key of the class that was asked for.
type KeyError struct {
	Class  evidence.Class
	Reason string
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("attestation key of class %q: %s", string(e.Class), e.Reason)
}

// ParseKey reads a TPMT_PUBLIC (TPM 2.0 Part 2, 12.2.4): ECDSA P-256 with SHA-256, no authorisation policy.
// Class tpm demands fixedTPM, fixedParent, sensitiveDataOrigin, restricted and sign, and allows userWithAuth and noDA; class software
// demands sign and nothing else. Errors are *KeyError. It keeps no reference to public.
func ParseKey(class evidence.Class, public []byte) (*Key, error) {
	k, err := parseKey(class, public)
	if err != nil {
		return nil, &KeyError{Class: class, Reason: err.Error()}
	}
	return k, nil
}

func parseKey(class evidence.Class, public []byte) (*Key, error) {
	key, attrs, err := parseSigningKey(public)
	if err != nil {
		return nil, err
	}
	if err := checkAttributes(class, attrs); err != nil {
		return nil, err
	}
	return newKey(class, append([]byte(nil), public...), key), nil
}

// parseSigningKey reads a TPMT_PUBLIC of an ECDSA P-256 key with SHA-256 and no authorisation policy. What its attributes must be is the
// caller's matter.
func parseSigningKey(public []byte) (key *ecdsa.PublicKey, attrs uint32, err error) {
	r := &reader{b: public}
	r.want16(algECC, errors.New("not an elliptic-curve key"))
	r.want16(algSHA256, errors.New("its name is not made with SHA-256"))
	attrs = r.u32()
	if policy := r.sized(); r.err == nil && len(policy) != 0 {
		return nil, 0, errors.New("it has an authorisation policy")
	}
	r.want16(algNull, errors.New("it has a symmetric algorithm"))
	r.want16(algECDSA, errors.New("it does not sign with ECDSA"))
	r.want16(algSHA256, errors.New("it does not sign with SHA-256"))
	r.want16(curveP256, errors.New("its curve is not P-256"))
	r.want16(algNull, errors.New("it has a key derivation function"))
	x, y := r.sized(), r.sized()
	if err := r.end(); err != nil {
		return nil, 0, fmt.Errorf("TPMT_PUBLIC: %w", err)
	}
	key, err = pointOf(x, y)
	return key, attrs, err
}

func pointOf(x, y []byte) (*ecdsa.PublicKey, error) {
	point := make([]byte, 1+2*scalarSize)
	point[0] = 4
	if !putCoordinate(point[1:1+scalarSize], x) || !putCoordinate(point[1+scalarSize:], y) {
		return nil, errors.New("a coordinate has a wrong length")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errors.New("its point is not on the curve")
	}
	return key, nil
}

// putCoordinate right-aligns c. Shorter ones are allowed when no leading zero is left, since some chips strip them and the
// key's name is a hash of its bytes as they are.
func putCoordinate(dst, c []byte) bool {
	if len(c) == 0 || len(c) > len(dst) || (len(c) < len(dst) && c[0] == 0) {
		return false
	}
	copy(dst[len(dst)-len(c):], c)
	return true
}

func checkAttributes(class evidence.Class, attrs uint32) error {
	switch class {
	case evidence.ClassTPM:
		if attrs&tpmMust != tpmMust {
			return fmt.Errorf("attributes %08x: it must be fixed to its TPM, made in it, restricted and for signing", attrs)
		}
		if attrs&^(tpmMust|tpmMay) != 0 {
			return fmt.Errorf("attributes %08x: it may do more than attest", attrs)
		}
	case evidence.ClassSoftware:
		if attrs != softwareMust {
			return fmt.Errorf("attributes %08x: a key in a file has only sign (%08x)", attrs, uint32(softwareMust))
		}
	default:
		return errors.New("unknown class")
	}
	return nil
}

func newKey(class evidence.Class, public []byte, key *ecdsa.PublicKey) *Key {
	k := &Key{class: class, bytes: public, public: key}
	binary.BigEndian.PutUint16(k.name[:], algSHA256)
	d := sha256.Sum256(public)
	copy(k.name[2:], d[:])

	// TPM 2.0 Part 1, "Names": a primary's qualified name is the hash over its hierarchy's handle and its own name.
	q := binary.BigEndian.AppendUint32(nil, handleEndorsement)
	q = append(q, k.name[:]...)
	d = sha256.Sum256(q)
	binary.BigEndian.PutUint16(k.qualified[:], algSHA256)
	copy(k.qualified[2:], d[:])
	return k
}

// Name is the key's TPM name: 000b and the SHA-256 of Bytes.
func (k *Key) Name() evidence.DeviceID { return k.name }

// QualifiedName is the key's qualified TPM name (TPM 2.0 Part 1, "Names") as a primary of the endorsement hierarchy: what its
// quotes name as their signer. The caller owns the copy.
func (k *Key) QualifiedName() []byte { return append([]byte(nil), k.qualified[:]...) }

// Class says what holds the private key.
func (k *Key) Class() evidence.Class { return k.class }

// Bytes returns the TPMT_PUBLIC that the key was read from. The caller owns the copy.
func (k *Key) Bytes() []byte { return append([]byte(nil), k.bytes...) }

// Public returns the public key. The caller must not change it.
func (k *Key) Public() *ecdsa.PublicKey { return k.public }

// PEM returns the SubjectPublicKeyInfo as one PEM block, as openssl and tpm2_checkquote read it.
func (k *Key) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil { // only for curves that x509 does not know; this one is P-256
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// SoftwarePublic returns the TPMT_PUBLIC that stands for a key in a file. The key's curve must be P-256.
func SoftwarePublic(key *ecdsa.PublicKey) ([]byte, error) {
	point, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode software key: %w", err)
	}
	if key.Curve != elliptic.P256() {
		return nil, errors.New("encode software key: its curve is not P-256")
	}
	b := binary.BigEndian.AppendUint16(nil, algECC)
	b = binary.BigEndian.AppendUint16(b, algSHA256)
	b = binary.BigEndian.AppendUint32(b, softwareMust)
	for _, v := range []uint16{0, algNull, algECDSA, algSHA256, curveP256, algNull, scalarSize} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	b = append(b, point[1:1+scalarSize]...)
	b = binary.BigEndian.AppendUint16(b, scalarSize)
	return append(b, point[1+scalarSize:]...), nil
}
