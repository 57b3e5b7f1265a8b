package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"camseal/agent/internal/spool"
	"camseal/pkg/attestation/device"
	"camseal/pkg/durable"
	"camseal/pkg/evidence"
)

// The spool's key lies beside the spool twice: sealed to the TPM, whatever its PCRs are, and, if an offline recovery key was given,
// encrypted to that by age. In class software there is none, and the spool is not encrypted.
const (
	sealedKeyFile  = "spool-key.tpm"
	wrappedKeyFile = "spool-key.age"
)

// spoolKey has the TPM reveal the spool's key; nil in class software.
func spoolKey(ctx context.Context, set *settings, tpm chip) ([]byte, error) {
	if tpm.Key().Class() == evidence.ClassSoftware {
		return nil, nil
	}
	blob, err := os.ReadFile(set.path(sealedKeyFile))
	if err != nil {
		return nil, fmt.Errorf("the spool's key: %w; nothing was changed; put the file back, or get at what is held with camseal-agent recover", err)
	}
	key, err := tpm.Reveal(ctx, blob)
	if errors.Is(err, device.ErrSealed) {
		return nil, fmt.Errorf("the spool's key was sealed by another TPM, or this one was cleared since; nothing was changed; "+
			"give the right --tpm or --state, or get at what is held with camseal-agent recover --identity FILE: %w", err)
	}
	if err == nil && len(key) != spool.KeySize {
		err = fmt.Errorf("it has %d bytes", len(key))
	}
	if err != nil {
		return nil, fmt.Errorf("the spool's key: %w", err)
	}
	return key, nil
}

// makeSpoolKey returns the spool's key, and makes it if there is no spool yet. A recipient gets it too, whether it is new or not.
func makeSpoolKey(ctx context.Context, set *settings, tpm chip, recipient age.Recipient) ([]byte, error) {
	if tpm.Key().Class() == evidence.ClassSoftware {
		return nil, nil
	}
	if _, err := os.Stat(set.path(sealedKeyFile)); err == nil {
		key, err := spoolKey(ctx, set, tpm)
		if err != nil || recipient == nil {
			return key, err
		}
		return key, wrapKey(set, key, recipient)
	}
	if old, err := os.ReadDir(filepath.Join(set.State, "spool", "index")); err == nil && len(old) > 0 {
		return spoolKey(ctx, set, tpm) // says what is missing
	}
	key := make([]byte, spool.KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	blob, err := tpm.Protect(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("seal the spool's key to the TPM: %w", err)
	}
	if err := wrapKey(set, key, recipient); err != nil {
		return nil, err
	}
	return key, durable.Write(set.path(sealedKeyFile), blob, 0o600)
}

// wrapKey encrypts the key to the recipient; without one it takes away what was made for another key.
func wrapKey(set *settings, key []byte, recipient age.Recipient) error {
	path := set.path(wrappedKeyFile)
	if recipient == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	var text bytes.Buffer
	lines := armor.NewWriter(&text)
	w, err := age.Encrypt(lines, recipient)
	if err != nil {
		return fmt.Errorf("wrap the spool's key: %w", err)
	}
	_, err = io.WriteString(w, hex.EncodeToString(key)+"\n")
	if err := errors.Join(err, w.Close(), lines.Close()); err != nil {
		return fmt.Errorf("wrap the spool's key: %w", err)
	}
	return durable.Write(path, text.Bytes(), 0o600)
}

// wrapped reports whether the key is wrapped to an offline recovery key.
func (s *settings) wrapped() bool {
	_, err := os.Stat(s.path(wrappedKeyFile))
	return err == nil
}

// unwrapKey opens spool-key.age with the offline recovery key.
func unwrapKey(set *settings, identity string) ([]byte, error) {
	f, err := os.Open(identity)
	if err != nil {
		return nil, fmt.Errorf("recovery key: %w", err)
	}
	defer f.Close()
	ids, err := age.ParseIdentities(f)
	if err != nil {
		return nil, fmt.Errorf("recovery key %s: %w", identity, err)
	}
	wrapped, err := os.ReadFile(set.path(wrappedKeyFile))
	if err != nil {
		return nil, fmt.Errorf("no key was wrapped for recovery here: %w", err)
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(wrapped)), ids...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; it was wrapped to another recovery key, or damaged", set.path(wrappedKeyFile), err)
	}
	text, err := io.ReadAll(io.LimitReader(r, 1<<10))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", set.path(wrappedKeyFile), err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != spool.KeySize {
		return nil, fmt.Errorf("%s does not hold a spool's key", set.path(wrappedKeyFile))
	}
	return key, nil
}

// recoveryRecipient reads an age recipient; nil for none.
func recoveryRecipient(text string) (age.Recipient, error) {
	if text == "" {
		return nil, nil
	}
	r, err := age.ParseX25519Recipient(text)
	if err != nil {
		return nil, usagef("recovery-recipient: %w; it is the public half of an age key, age1…", err)
	}
	return r, nil
}
