package devices

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"camseal/pkg/durable"
	"camseal/pkg/evidence"
)

// Token is what an enrolment token allows. The token itself is not kept: its file is named by its SHA-256.
type Token struct {
	Model    string `json:"model"`            // of the device, may be empty
	Software bool   `json:"software"`         // for a key in a file, and for nothing else
	Until    int64  `json:"until"`            // milliseconds since 1970 UTC
	Device   string `json:"device,omitempty"` // who is enrolling with it: nobody else can any more
}

// What is wrong with a token.
var (
	ErrNoToken      = errors.New("this enrolment token is not known: it was used, or never made here")
	ErrTokenExpired = errors.New("this enrolment token is over its time")
	ErrTokenTaken   = errors.New("another device is enrolling with this token")
)

// Tokens keeps enrolment tokens in a folder. It is safe for concurrent use by several processes: each token is one file, and only
// the enrolling server changes it.
type Tokens struct {
	Dir string
	Now func() time.Time
}

const (
	tokenBytes = 20
	maxToken   = 256
)

var tokenText = base32.StdEncoding.WithPadding(base32.NoPadding)

// Make makes a token, and removes those that are over. It is durable when it returns.
func (t *Tokens) Make(k Token) (token string, err error) {
	if err := durable.MkdirAll(t.Dir, 0o700); err != nil {
		return "", fmt.Errorf("make enrolment token: %w", err)
	}
	if err := t.clean(); err != nil {
		return "", fmt.Errorf("make enrolment token: %w", err)
	}
	raw := make([]byte, tokenBytes)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("make enrolment token: %w", err)
	}
	token = strings.ToLower(tokenText.EncodeToString(raw))
	return token, t.write(tokenHash(token), k)
}

// tokenHash is what is kept of a token. How it is spelled when it is typed in does not matter.
func tokenHash(token string) string {
	if len(token) > maxToken {
		token = token[:maxToken]
	}
	token = strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(token)))
	return evidence.Sum([]byte("camseal enrolment token\n" + token)).String()
}

// find reads a token by its hash. Errors: ErrNoToken, ErrTokenExpired.
func (t *Tokens) find(hash string) (Token, error) {
	raw, err := os.ReadFile(t.path(hash))
	if errors.Is(err, fs.ErrNotExist) {
		return Token{}, ErrNoToken
	}
	var k Token
	if err == nil {
		err = json.Unmarshal(raw, &k)
	}
	if err != nil {
		return Token{}, fmt.Errorf("enrolment token: %w", err)
	}
	if t.Now().UnixMilli() > k.Until {
		return Token{}, ErrTokenExpired
	}
	return k, nil
}

// claim gives a token to one device for good. The same device may claim it again. Errors: as find's, ErrTokenTaken.
func (t *Tokens) claim(hash string, id evidence.DeviceID) (Token, error) {
	k, err := t.find(hash)
	if err != nil || k.Device == id.String() {
		return k, err
	}
	if k.Device != "" {
		return k, ErrTokenTaken
	}
	k.Device = id.String()
	return k, t.write(hash, k)
}

// burn removes a token.
func (t *Tokens) burn(hash string) error {
	if err := os.Remove(t.path(hash)); err != nil {
		return fmt.Errorf("burn enrolment token: %w", err)
	}
	return durable.SyncDir(t.Dir)
}

func (t *Tokens) path(hash string) string { return filepath.Join(t.Dir, hash+".json") }

func (t *Tokens) write(hash string, k Token) error {
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := durable.Write(t.path(hash), raw, 0o600); err != nil {
		return fmt.Errorf("write enrolment token: %w", err)
	}
	return nil
}

// clean removes the tokens that are over their time.
func (t *Tokens) clean() error {
	entries, err := os.ReadDir(t.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		hash, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		if _, err := t.find(hash); errors.Is(err, ErrTokenExpired) {
			if err := os.Remove(t.path(hash)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
