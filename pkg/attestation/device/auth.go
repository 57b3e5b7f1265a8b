package device

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// hierarchies that get authorisation values, with the bit of TPMA_PERMANENT that says whether one is set.
var hierarchies = []struct {
	name   string
	handle tpm2.TPMHandle
	bit    uint32
}{
	{"owner", tpm2.TPMRHOwner, 1 << 0},
	{"endorsement", tpm2.TPMRHEndorsement, 1 << 1},
	{"lockout", tpm2.TPMRHLockout, 1 << 2},
}

const (
	permanentDisableClear = 1 << 8
	permanentLockoutSet   = 1 << 2
)

const authFile = "tpm-auth.json"

// secret is an authorisation value. It does not print.
type secret []byte

func (secret) String() string { return "(secret)" }

// GoString implements fmt.GoStringer.
func (secret) GoString() string { return "(secret)" }

// auths are the authorisation values that are ours, of hierarchies and of the counter, by name. A hierarchy stands in it from before its value is set
// in the TPM, and never if somebody else's value was found there: a wrong guess for lockout would lock it for a day.
type auths struct {
	path   string
	values map[string]secret
}

func readAuths(dir string) (*auths, error) {
	a := &auths{values: map[string]secret{}}
	if dir == "" {
		return a, nil
	}
	a.path = filepath.Join(dir, authFile)
	data, err := os.ReadFile(a.path)
	if errors.Is(err, os.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read TPM authorisations: %w", err)
	}
	var texts map[string]string
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, fmt.Errorf("read TPM authorisations: %s: %w", a.path, err)
	}
	for name, text := range texts {
		if a.values[name], err = hex.DecodeString(text); err != nil {
			return nil, fmt.Errorf("read TPM authorisations: %s: %s is not hexadecimal", a.path, name)
		}
	}
	return a, nil
}

// prepare makes a value for every hierarchy that has none in the TPM (by its permanent bits) and none here, and for the counter, and
// keeps them durably before anybody sets them.
func (a *auths) prepare(permanent uint32) error {
	if a.path == "" {
		return nil
	}
	changed := false
	names := []string{counterAuth}
	for _, h := range hierarchies {
		if permanent&h.bit == 0 {
			names = append(names, h.name)
		}
	}
	for _, name := range names {
		if len(a.values[name]) != 0 {
			continue
		}
		v, err := newSecret()
		if err != nil {
			return err
		}
		a.values[name], changed = v, true
	}
	if !changed {
		return nil
	}
	texts := map[string]string{}
	for name, v := range a.values {
		texts[name] = hex.EncodeToString(v)
	}
	data, err := json.MarshalIndent(texts, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(a.path, append(data, '\n'), false)
}

// newSecret makes 32 random bytes, none of them zero: a TPM drops zeros at the end, and go-tpm v0.9.8 computes a wrong HMAC from
// a value with a zero anywhere.
func newSecret() (secret, error) {
	v := make(secret, 0, 32)
	var b [1]byte
	for len(v) < cap(v) {
		if _, err := rand.Read(b[:]); err != nil {
			return nil, err
		}
		if b[0] != 0 {
			v = append(v, b[0])
		}
	}
	return v, nil
}

// authorised calls f with the named hierarchy: with no password while none is set, else under a salted session, so that
// the value does not cross the bus.
func (a *auths) authorised(t transport.TPM, permanent uint32, name string, f func(tpm2.AuthHandle) error) error {
	for _, h := range hierarchies {
		if h.name != name {
			continue
		}
		auth := tpm2.AuthHandle{Handle: h.handle, Name: tpm2.HandleName(h.handle), Auth: tpm2.PasswordAuth(nil)}
		if permanent&h.bit == 0 {
			return f(auth)
		}
		value := a.values[name]
		if len(value) == 0 {
			return fmt.Errorf("%s: %w", name, ErrForeign)
		}
		return withSalt(t, func(salt tpm2.AuthOption) error {
			auth.Auth = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, salt, tpm2.Auth(value))
			err := f(auth)
			if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
				err = fmt.Errorf("%s: %w: %w", name, ErrForeign, err)
			}
			return err
		})
	}
	return fmt.Errorf("unknown hierarchy %q", name)
}
