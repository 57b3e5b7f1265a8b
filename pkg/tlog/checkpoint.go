// Package tlog is what a client sees of a transparency log: checkpoints and receipts, read strictly and checked.
//
// Formats: C2SP signed-note (https://c2sp.org/signed-note), tlog-checkpoint (https://c2sp.org/tlog-checkpoint),
// tlog-cosignature (https://c2sp.org/tlog-cosignature) and tlog-proof (https://c2sp.org/tlog-proof); hashes as in RFC 6962 section 2.1. Everything here is read in one form
// only: what is parsed and written again gives the same bytes. The package knows no network and keeps no state; all of
// it is safe for concurrent use.
package tlog

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Limits on what is read.
const (
	MaxProof      = 16 << 10  // bytes of a proof
	MaxCheckpoint = 8 << 10   // bytes of a signed checkpoint
	MaxLeaf       = 1<<16 - 1 // bytes of a leaf, as in https://c2sp.org/tlog-tiles
)

// What can be wrong with a receipt or a checkpoint. Errors of this package wrap exactly one of these.
var (
	ErrFormat     = errors.New("not in its one form")
	ErrUnknownKey = errors.New("signature line of an unknown key")
	ErrSignature  = errors.New("signature does not verify")
	ErrOrigin     = errors.New("checkpoint of another log")
	ErrInclusion  = errors.New("leaf is not in the log at that place")
)

// Key is a log's verifier key as text (a vkey of signed-note): name, key id and Ed25519 public key, parted by "+".
type Key = string

// NewVerifier reads a log's verifier key. Errors wrap ErrFormat.
func NewVerifier(vkey Key) (note.Verifier, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("log key: %w: %w", ErrFormat, err)
	}
	name, rest, _ := strings.Cut(vkey, "+")
	id, key, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(key)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != key {
		return nil, fmt.Errorf("log key of %s: %w: base64", name, ErrFormat)
	}
	if id != fmt.Sprintf("%08x", v.KeyHash()) {
		return nil, fmt.Errorf("log key of %s: %w: key id %s is not 8 lower-case hexadecimal digits", name, ErrFormat, id)
	}
	return v, nil
}

// VerifierKey returns the verifier key that belongs to a signer key (an skey of signed-note).
func VerifierKey(skey string) (Key, error) {
	parts := strings.SplitN(skey, "+", 5)
	if len(parts) != 5 || parts[0] != "PRIVATE" || parts[1] != "KEY" {
		return "", fmt.Errorf("signer key: %w", ErrFormat)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[4])
	if err != nil || len(raw) != 33 || raw[0] != algEd25519 {
		return "", fmt.Errorf("signer key of %s: %w", parts[2], ErrFormat)
	}
	vkey, err := note.NewEd25519VerifierKey(parts[2], publicOf(raw[1:]))
	if err != nil {
		return "", fmt.Errorf("signer key of %s: %w: %w", parts[2], ErrFormat, err)
	}
	if id, err := hex.DecodeString(parts[3]); err != nil || !strings.Contains(vkey, "+"+hex.EncodeToString(id)+"+") {
		return "", fmt.Errorf("signer key of %s: %w: key id", parts[2], ErrFormat)
	}
	return vkey, nil
}

// Checkpoint is a log's word for its size and root, without extension lines.
type Checkpoint struct {
	Origin string    // the log's name
	Size   int64     // leaves
	Root   tlog.Hash // RFC 6962 tree hash over leaves 0 to Size-1
}

// Text is the body that is signed: three lines.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// ParseCheckpointTextUnverified reads the body of a checkpoint. Errors wrap ErrFormat.
func ParseCheckpointTextUnverified(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: want 3 lines", ErrFormat)
	}
	size, err := parseInt(lines[1])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: size", ErrFormat)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: root", ErrFormat)
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: root}
	if c.Origin == "" || c.Text() != text {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", ErrFormat)
	}
	return c, nil
}

// ParseCheckpointUnverified reads a signed checkpoint and says what it claims. No signature is checked; only
// OpenCosigned does that. Errors wrap ErrFormat.
func ParseCheckpointUnverified(signed []byte) (Checkpoint, error) {
	n, err := parseNote(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	return ParseCheckpointTextUnverified(n.Text)
}

// parseNote reads a signed note without any key, so that all its signatures are "unverified", and writes it again.
func parseNote(signed []byte) (*note.Note, error) {
	if len(signed) > MaxCheckpoint {
		return nil, fmt.Errorf("checkpoint: %w: %d bytes, at most %d are allowed", ErrFormat, len(signed), MaxCheckpoint)
	}
	_, err := note.Open(signed, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil, fmt.Errorf("checkpoint: %w: %w", ErrFormat, err)
	}
	n := unverified.Note
	for _, s := range n.UnverifiedSigs {
		raw, err := base64.StdEncoding.Strict().DecodeString(s.Base64)
		if err != nil || base64.StdEncoding.EncodeToString(raw) != s.Base64 {
			return nil, fmt.Errorf("checkpoint: %w: base64 of the signature of %s", ErrFormat, s.Name)
		}
	}
	again, err := note.Sign(n)
	if err != nil || string(again) != string(signed) {
		return nil, fmt.Errorf("checkpoint: %w: signed note", ErrFormat)
	}
	return n, nil
}

// parseInt reads an ASCII decimal without sign and leading zeros.
func parseInt(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		return 0, ErrFormat
	}
	return n, nil
}
