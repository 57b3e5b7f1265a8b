// Package register checks who an officer is by the register of a department, without the server: by card, or by certificate number
// and PIN. It also makes what the register holds of both, so that the two sides can't differ.
//
// A PIN has few digits. Its hash is slow, which makes trying all of them dear, not impossible: whoever has the register must keep it
// from strangers, and must bound attempts.
package register

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/argon2"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// What argon2id costs for a new PIN: RFC 9106's parallelism 1 with 19 MiB and two passes, about 30 ms.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	lanes   = 1
	saltLen = 16
	keyLen  = 32
)

// What CheckPIN does not exceed, whatever a register says.
const (
	maxMemory = 64 << 10 // KiB
	maxPasses = 8
	maxLanes  = 4
	maxBytes  = 64 // of salt and of key
)

// HashPIN hashes a PIN under a salt from random: argon2id in PHC string form. Errors are those of random.
func HashPIN(random io.Reader, pin string) (string, error) {
	salt := make([]byte, saltLen)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("salt for a PIN: %w", err)
	}
	return phc{memory, passes, lanes, salt, argon2.IDKey([]byte(pin), salt, passes, memory, lanes, keyLen)}.String(), nil
}

// CheckPIN reports whether a PIN is the one that was hashed. It takes as long and as much memory as the hash asks for; one that asks for
// more than 64 MiB or 8 passes, or is in another form, fits no PIN. An empty PIN fits nothing.
func CheckPIN(hash, pin string) bool {
	h, ok := parse(hash)
	if !ok || pin == "" {
		return false
	}
	return subtle.ConstantTimeCompare(argon2.IDKey([]byte(pin), h.salt, h.passes, h.memory, h.lanes, uint32(len(h.key))), h.key) == 1
}

// CardHash is what the register holds of a card: HMAC-SHA-256 of its number, as the reader gives it, under the register's salt.
func CardHash(salt []byte, card string) evidence.Bytes {
	m := hmac.New(sha256.New, salt)
	m.Write([]byte(card))
	return m.Sum(nil)
}

// ByCard finds the officer with a card. An empty card number is nobody's.
func ByCard(r *transport.Register, card string) (transport.Officer, bool) {
	if card == "" {
		return transport.Officer{}, false
	}
	want := CardHash(r.CardSalt, card)
	for _, o := range r.Officers {
		if len(o.Card) > 0 && hmac.Equal(o.Card, want) {
			return o, true
		}
	}
	return transport.Officer{}, false
}

// ByPIN finds the officer with a certificate number, if the PIN is theirs.
func ByPIN(r *transport.Register, certificate, pin string) (transport.Officer, bool) {
	o, ok := ByCertificate(r, certificate)
	if !ok || !CheckPIN(o.PIN, pin) {
		return transport.Officer{}, false
	}
	return o, true
}

// ByCertificate finds the officer with a certificate number.
func ByCertificate(r *transport.Register, certificate string) (transport.Officer, bool) {
	for _, o := range r.Officers {
		if certificate != "" && o.Certificate == certificate {
			return o, true
		}
	}
	return transport.Officer{}, false
}

// phc is argon2id's PHC string: $argon2id$v=19$m=…,t=…,p=…$salt$key.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

func (h phc) String() string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes, b.EncodeToString(h.salt), b.EncodeToString(h.key))
}

// parse reads the one form that String writes.
func parse(s string) (h phc, ok bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 {
		return h, false
	}
	var version int
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return h, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); err != nil {
		return h, false
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return h, false
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return h, false
	}
	ok = h.passes >= 1 && h.passes <= maxPasses && h.lanes >= 1 && h.lanes <= maxLanes && h.memory >= 8*uint32(h.lanes) && h.memory <= maxMemory &&
		len(h.salt) >= 8 && len(h.salt) <= maxBytes && len(h.key) >= 16 && len(h.key) <= maxBytes
	return h, ok && h.String() == s
}
