package app

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"camseal/pkg/durable"
)

// What a challenge file begins with, as tpm2_makecredential writes it (tpm2-tools, lib/files.c): the magic, then version 1; then a
// TPM2B_ID_OBJECT and a TPM2B_ENCRYPTED_SECRET (TPM 2.0 Part 2, 12.4.3 and 11.4.3.3).
const (
	challengeMagic   = 0xBADCC0DE
	challengeVersion = 1
)

type proveCmd struct {
	Public    string `help:"Write ek.pub and ak.name, from which a challenge for this device is made, to this folder." placeholder:"DIR"`
	Challenge string `arg:"" optional:"" name:"challenge" help:"File that tpm2_makecredential wrote." placeholder:"CHALLENGE_FILE"`
}

// proof asks the running agent to do what prove does.
type proof struct {
	Credential []byte `json:"credential,omitempty"`
	Encrypted  []byte `json:"encrypted,omitempty"`
}

// proven is the answer: the secret, or the public keys if no challenge was given.
type proven struct {
	Secret []byte `json:"secret,omitempty"`
	EK     []byte `json:"ek,omitempty"`
	AKName []byte `json:"ak_name,omitempty"`
}

// Run answers a challenge, or writes what one is made from, by the running agent or with the TPM.
func (c *proveCmd) Run(ctx context.Context, set *settings, con *console) error {
	if (c.Public == "") == (c.Challenge == "") {
		return usagef("give a challenge file, or --public DIR")
	}
	var p proof
	if c.Challenge != "" {
		raw, err := os.ReadFile(c.Challenge)
		if err != nil {
			return usageError{err}
		}
		if p, err = parseChallenge(raw); err != nil {
			return usagef("%s: %w", c.Challenge, err)
		}
	}
	answer, err := askProof(ctx, set, p)
	if err != nil {
		return err
	}
	if c.Challenge != "" {
		_, err := fmt.Fprintln(con.out, hex.EncodeToString(answer.Secret))
		return err
	}
	if err := os.MkdirAll(c.Public, 0o755); err != nil {
		return err
	}
	sized := append(binary.BigEndian.AppendUint16(nil, uint16(len(answer.EK))), answer.EK...) // TPM2B_PUBLIC
	name := []byte(hex.EncodeToString(answer.AKName) + "\n")
	return errors.Join(durable.Write(filepath.Join(c.Public, "ek.pub"), sized, 0o644), durable.Write(filepath.Join(c.Public, "ak.name"), name, 0o644))
}

func parseChallenge(raw []byte) (proof, error) {
	if len(raw) < 8 || binary.BigEndian.Uint32(raw) != challengeMagic || binary.BigEndian.Uint32(raw[4:]) != challengeVersion {
		return proof{}, errors.New("it is not a file that tpm2_makecredential wrote")
	}
	credential, rest, ok1 := sized(raw[8:])
	encrypted, rest, ok2 := sized(rest)
	if !ok1 || !ok2 || len(rest) != 0 {
		return proof{}, errors.New("it was cut or has bytes too many")
	}
	return proof{Credential: credential, Encrypted: encrypted}, nil
}

// sized cuts a TPM2B off.
func sized(b []byte) (inner, rest []byte, ok bool) {
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], true
}

func askProof(ctx context.Context, set *settings, p proof) (answer proven, err error) {
	if cl := dial(ctx, set.State); cl != nil {
		resp, err := cl.request(ctx, "POST", "/prove", p)
		if err != nil {
			return answer, err
		}
		defer resp.Body.Close()
		return answer, json.NewDecoder(resp.Body).Decode(&answer)
	}
	path, err := set.tpm()
	if err != nil {
		return answer, err
	}
	tpm, err := openTPM(ctx, set, path)
	if err != nil {
		return answer, err
	}
	defer func() { err = errors.Join(err, tpm.Close()) }()
	return prove(ctx, tpm, p)
}

// prove has the TPM open the challenge; without one it says the public keys.
func prove(ctx context.Context, tpm chip, p proof) (a proven, err error) {
	if len(p.Credential) > 0 {
		a.Secret, err = tpm.Activate(ctx, p.Credential, p.Encrypted)
		return a, err
	}
	if a.EK, _, err = tpm.Endorsement(ctx); err == nil && a.EK == nil {
		err = errors.New("this device keeps its keys in files and has no TPM: there is nothing to challenge")
	}
	name := tpm.Key().Name()
	a.AKName = name[:]
	return a, err
}

func (n *node) serveProve(w http.ResponseWriter, r *http.Request) {
	var p proof
	if err := json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := prove(r.Context(), n.tpm, p)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	_ = json.NewEncoder(w).Encode(answer) // who asked is gone if this fails
}
