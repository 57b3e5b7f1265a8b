package tlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// Cosignatures are those of https://c2sp.org/tlog-cosignature, version 1 (timestamped Ed25519): a witness's word that at a
// time it had seen this checkpoint and none that contradicts it.
const (
	algCosignature = 4
	cosignatureLen = 8 + ed25519.SignatureSize
	maxTime        = 253402300799 // 9999-12-31T23:59:59Z
)

// Cosigner is the key of a witness, or of a server's clock. The zero value has signed nothing.
type Cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewCosigner reads the verifier key of a cosigner: an Ed25519 vkey of signed-note with type 4 (cosignature/v1), or with type 1,
// whose key is then taken as one of type 4. Errors wrap ErrFormat.
func NewCosigner(vkey Key) (Cosigner, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, key, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(key)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != key || len(raw) != 1+ed25519.PublicKeySize || !validName(name) {
		return Cosigner{}, fmt.Errorf("cosigner's key: %w", ErrFormat)
	}
	if raw[0] != algCosignature && raw[0] != algEd25519 {
		return Cosigner{}, fmt.Errorf("cosigner's key of %s: %w: type %d is neither 1 nor 4", name, ErrFormat, raw[0])
	}
	if id != fmt.Sprintf("%08x", keyID(name, raw[0], raw[1:])) {
		return Cosigner{}, fmt.Errorf("cosigner's key of %s: %w: key id", name, ErrFormat)
	}
	return newCosigner(name, raw[1:]), nil
}

func newCosigner(name string, key ed25519.PublicKey) Cosigner {
	return Cosigner{name: name, hash: keyID(name, algCosignature, key), key: key}
}

// validName says what signed-note says of a key's name.
func validName(name string) bool {
	return name != "" && utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsSpace) < 0 && !strings.Contains(name, "+")
}

// keyID is the key id of signed-note.
func keyID(name string, alg byte, key []byte) uint32 {
	h := sha256.Sum256(slices.Concat([]byte(name), []byte{'\n', alg}, key))
	return binary.BigEndian.Uint32(h[:4])
}

// Name is the cosigner's name.
func (c Cosigner) Name() string { return c.name }

// KeyHash is the cosigner's key id.
func (c Cosigner) KeyHash() uint32 { return c.hash }

// VKey is the verifier key, with type 4.
func (c Cosigner) VKey() Key {
	raw := append([]byte{algCosignature}, c.key...)
	return fmt.Sprintf("%s+%08x+%s", c.name, c.hash, base64.StdEncoding.EncodeToString(raw))
}

// Verify checks this cosigner's signature line on a checkpoint, and says when it signed, to the second. ok is false when there is
// no such line. The log's own signature is not looked at: OpenCosigned does that. Errors wrap ErrFormat or ErrSignature: there is a
// line, and it does not hold.
func (c Cosigner) Verify(signed []byte) (at time.Time, ok bool, err error) {
	n, err := parseNote(signed)
	if err != nil {
		return time.Time{}, false, err
	}
	for _, s := range n.UnverifiedSigs {
		if s.Name == c.name && s.Hash == c.hash && c.key != nil {
			at, err := c.check(n.Text, s)
			return at, err == nil, err
		}
	}
	return time.Time{}, false, nil
}

func (c Cosigner) check(text string, s note.Signature) (time.Time, error) {
	raw, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || len(raw) != 4+cosignatureLen {
		return time.Time{}, fmt.Errorf("cosignature of %s: %w: %d bytes", c.name, ErrFormat, len(raw))
	}
	at, sig := binary.BigEndian.Uint64(raw[4:]), raw[12:]
	if at == 0 || at > maxTime {
		return time.Time{}, fmt.Errorf("cosignature of %s: %w: time %d", c.name, ErrFormat, at)
	}
	if !ed25519.Verify(c.key, cosigned(at, text), sig) {
		return time.Time{}, fmt.Errorf("cosignature of %s: %w", c.name, ErrSignature)
	}
	return time.Unix(int64(at), 0).UTC(), nil
}

// cosigned is what a cosigner signs.
func cosigned(at uint64, text string) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text)
}

// OpenCosigned checks that v's key signed the checkpoint, and that it is of the log that v names. Signature lines of other keys
// must be well-formed and are not judged: that is for Cosigner.Verify. No key may have two lines.
// Errors wrap ErrFormat, ErrUnknownKey (the log did not sign), ErrSignature or ErrOrigin.
func OpenCosigned(signed []byte, v note.Verifier) (Checkpoint, error) {
	n, err := parseNote(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	type line struct {
		name string
		hash uint32
	}
	seen := map[line]bool{}
	for _, s := range n.UnverifiedSigs {
		l := line{s.Name, s.Hash}
		if seen[l] {
			return Checkpoint{}, fmt.Errorf("checkpoint: %w: two signatures of one key, %s %08x", ErrFormat, l.name, l.hash)
		}
		seen[l] = true
	}
	if !seen[line{v.Name(), v.KeyHash()}] {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: it is not signed by %s %08x", ErrUnknownKey, v.Name(), v.KeyHash())
	}
	if _, err := note.Open(signed, note.VerifierList(v)); err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: %w", ErrSignature, err)
	}
	c, err := ParseCheckpointTextUnverified(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != v.Name() {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: it says %q, the key is of %q", ErrOrigin, c.Origin, v.Name())
	}
	return c, nil
}

// OpenCheckpoint is OpenCosigned for where nothing may stand that nobody checks: every line besides v's must be of one of the
// cosigners, and must hold. Errors wrap ErrFormat, ErrUnknownKey, ErrSignature or ErrOrigin.
func OpenCheckpoint(signed []byte, v note.Verifier, cosigners ...Cosigner) (Checkpoint, error) {
	n, err := parseNote(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	for _, s := range n.UnverifiedSigs {
		if s.Name == v.Name() && s.Hash == v.KeyHash() {
			continue
		}
		i := slices.IndexFunc(cosigners, func(c Cosigner) bool { return s.Name == c.name && s.Hash == c.hash })
		if i < 0 {
			return Checkpoint{}, fmt.Errorf("checkpoint: %w: %s %08x, the log is %s %08x", ErrUnknownKey, s.Name, s.Hash, v.Name(), v.KeyHash())
		}
		if _, err := cosigners[i].check(n.Text, s); err != nil {
			return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
		}
	}
	return OpenCosigned(signed, v)
}

// AddLines puts signature lines behind those of a signed checkpoint. Lines of keys that have one already are left out. Nothing is
// verified. Errors wrap ErrFormat: the outcome is no checkpoint that this package reads.
func AddLines(signed []byte, lines ...[]byte) ([]byte, error) {
	n, err := parseNote(signed)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		more, err := parseNote(slices.Concat([]byte(n.Text), []byte("\n"), l))
		if err != nil {
			return nil, err
		}
		for _, s := range more.UnverifiedSigs {
			if !slices.ContainsFunc(n.UnverifiedSigs, func(o note.Signature) bool { return o.Name == s.Name && o.Hash == s.Hash }) {
				n.UnverifiedSigs = append(n.UnverifiedSigs, s)
			}
		}
	}
	out, err := note.Sign(n)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w: %w", ErrFormat, err)
	}
	_, err = parseNote(out)
	return out, err
}

// OwnLine returns a checkpoint with no other signature line than v's. Errors wrap ErrFormat or ErrUnknownKey (v did not sign).
func OwnLine(signed []byte, v note.Verifier) ([]byte, error) {
	n, err := parseNote(signed)
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = slices.DeleteFunc(n.UnverifiedSigs, func(s note.Signature) bool { return s.Name != v.Name() || s.Hash != v.KeyHash() })
	if len(n.UnverifiedSigs) != 1 {
		return nil, fmt.Errorf("checkpoint: %w: %d lines of %s %08x", ErrUnknownKey, len(n.UnverifiedSigs), v.Name(), v.KeyHash())
	}
	return note.Sign(n)
}

// CosignerKey is the signing side of a Cosigner. It implements note.Signer and is safe for concurrent use.
type CosignerKey struct {
	Cosigner
	private ed25519.PrivateKey
	now     func() time.Time
}

var _ note.Signer = (*CosignerKey)(nil)

// GenerateCosigner makes a key and returns its signer key (secret) and verifier key. name is as for any key of signed-note.
func GenerateCosigner(random io.Reader, name string) (skey string, vkey Key, err error) {
	if !validName(name) {
		return "", "", fmt.Errorf("cosigner's name %q: %w", name, ErrFormat)
	}
	public, private, err := ed25519.GenerateKey(random)
	if err != nil {
		return "", "", err
	}
	c := newCosigner(name, public)
	raw := append([]byte{algCosignature}, private.Seed()...)
	return fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, c.hash, base64.StdEncoding.EncodeToString(raw)), c.VKey(), nil
}

// NewCosignerKey reads a signer key that GenerateCosigner made. now is the clock that it signs by. Errors wrap ErrFormat.
func NewCosignerKey(skey string, now func() time.Time) (*CosignerKey, error) {
	parts := strings.SplitN(skey, "+", 5)
	if len(parts) != 5 || parts[0] != "PRIVATE" || parts[1] != "KEY" || !validName(parts[2]) {
		return nil, fmt.Errorf("cosigner's signer key: %w", ErrFormat)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[4])
	if err != nil || base64.StdEncoding.EncodeToString(raw) != parts[4] || len(raw) != 1+ed25519.SeedSize || raw[0] != algCosignature {
		return nil, fmt.Errorf("cosigner's signer key of %s: %w", parts[2], ErrFormat)
	}
	k := &CosignerKey{Cosigner: newCosigner(parts[2], publicOf(raw[1:])), private: ed25519.NewKeyFromSeed(raw[1:]), now: now}
	if parts[3] != fmt.Sprintf("%08x", k.hash) {
		return nil, fmt.Errorf("cosigner's signer key of %s: %w: key id", k.name, ErrFormat)
	}
	return k, nil
}

// Sign implements note.Signer: it returns the time and the signature. Text must be a checkpoint's body. Errors wrap ErrFormat.
func (k *CosignerKey) Sign(text []byte) ([]byte, error) {
	if _, err := ParseCheckpointTextUnverified(string(text)); err != nil {
		return nil, err
	}
	at := k.now().Unix()
	if at <= 0 || at > maxTime {
		return nil, fmt.Errorf("cosign: %w: the clock says %d", ErrFormat, at)
	}
	sig := ed25519.Sign(k.private, cosigned(uint64(at), string(text)))
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)), sig...), nil
}

// Cosign puts this key's line behind those of a signed checkpoint. One that has such a line stays as it is. Errors wrap ErrFormat.
func (k *CosignerKey) Cosign(signed []byte) ([]byte, error) {
	n, err := parseNote(signed)
	if err != nil {
		return nil, err
	}
	line, err := note.Sign(&note.Note{Text: n.Text}, k)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w: %w", ErrFormat, err)
	}
	return AddLines(signed, line[len(n.Text)+1:])
}
