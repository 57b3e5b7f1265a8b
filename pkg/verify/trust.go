package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// Trust is what a verifier was given from elsewhere than the bundle. SPEC.md section 10.
type Trust struct {
	V         int          `json:"v"`
	Logs      []TrustedLog `json:"logs"`
	Witnesses []tlog.Key   `json:"witnesses"`
	Quorum    int          `json:"quorum"` // how many of them must have signed; 0: one is enough

	EKRoots      *attestation.Roots `json:"-"` // of TPM makers
	EKRootsTrial *attestation.Roots `json:"-"` // of emulators
	TSARoots     *TSARoots          `json:"-"` // of time stamping authorities
	PCRs         []PCRSet           `json:"-"` // reference values
}

// TrustedLog is a log's key, and for which tree sizes it counts.
type TrustedLog struct {
	Key   tlog.Key `json:"key"`
	From  int64    `json:"from"`
	To    *int64   `json:"to"`              // null: without end
	Clock tlog.Key `json:"clock,omitempty"` // by which the log's keeper dates checkpoints
}

// PCRSet are the values that PCRs 0-7 of a known recorder have at its start.
type PCRSet struct {
	Name string            `json:"name"`
	PCRs []evidence.Digest `json:"pcrs"`
}

const maxTrust = 1 << 20

// LoadTrust reads a trust folder. Unknown members in its JSON files are refused.
func LoadTrust(dir string) (*Trust, error) {
	raw, err := readBounded(filepath.Join(dir, "trust.json"))
	if err != nil {
		return nil, fmt.Errorf("trust folder: %w", err)
	}
	t, err := ParseTrust(raw)
	if err != nil {
		return nil, fmt.Errorf("trust folder %s: %w", dir, err)
	}
	if t.EKRoots, err = loadRoots(filepath.Join(dir, "ek-roots")); err == nil {
		t.EKRootsTrial, err = loadRoots(filepath.Join(dir, "ek-roots-trial"))
	}
	if err == nil {
		t.TSARoots, err = loadTSARoots(filepath.Join(dir, "tsa-roots"))
	}
	if err == nil {
		t.PCRs, err = loadPCRs(filepath.Join(dir, "pcrs.json"))
	}
	if err != nil {
		return nil, fmt.Errorf("trust folder: %w", err)
	}
	return t, nil
}

// ParseTrust reads a trust.json.
func ParseTrust(raw []byte) (*Trust, error) {
	var t Trust
	if err := strictJSON(raw, &t); err != nil {
		return nil, fmt.Errorf("trust.json: %w", err)
	}
	if t.V != 1 {
		return nil, fmt.Errorf("trust.json: version %d, this is version 1", t.V)
	}
	if len(t.Logs) == 0 {
		return nil, errors.New("trust.json: it names no log")
	}
	if t.Quorum < 0 || t.Quorum > len(t.Witnesses) {
		return nil, fmt.Errorf("trust.json: a quorum of %d of %d witnesses", t.Quorum, len(t.Witnesses))
	}
	for _, l := range t.Logs {
		if _, err := tlog.NewVerifier(l.Key); err != nil {
			return nil, fmt.Errorf("trust.json: %w", err)
		}
		if l.From < 0 || l.To != nil && *l.To < l.From {
			return nil, fmt.Errorf("trust.json: sizes of log %s", l.Key)
		}
		if l.Clock != "" {
			if _, err := tlog.NewCosigner(l.Clock); err != nil {
				return nil, fmt.Errorf("trust.json: clock of log %s: %w", l.Key, err)
			}
		}
	}
	if _, err := t.witnesses(); err != nil {
		return nil, fmt.Errorf("trust.json: %w", err)
	}
	return &t, nil
}

// witnesses reads the witnesses' keys, each of which may stand once: one witness is no quorum of two.
func (t *Trust) witnesses() ([]tlog.Cosigner, error) {
	var out []tlog.Cosigner
	seen := map[string]bool{}
	for _, k := range t.Witnesses {
		w, err := tlog.NewCosigner(k)
		if err != nil {
			return nil, fmt.Errorf("witness: %w", err)
		}
		if seen[w.VKey()] {
			return nil, fmt.Errorf("witness %s stands twice", w.Name())
		}
		seen[w.VKey()] = true
		out = append(out, w)
	}
	return out, nil
}

func strictJSON(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxTrust+1))
	if err == nil && len(raw) > maxTrust {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxTrust)
	}
	return raw, err
}

// loadRoots reads TPM makers' certificates; a folder that is not there holds none.
func loadRoots(dir string) (*attestation.Roots, error) {
	r, err := attestation.LoadRoots(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}

// loadPCRs reads a pcrs.json; a file that is not there holds no sets.
func loadPCRs(path string) ([]PCRSet, error) {
	raw, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f struct {
		V    int      `json:"v"`
		Sets []PCRSet `json:"sets"`
	}
	if err := strictJSON(raw, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.V != 1 {
		return nil, fmt.Errorf("%s: version %d, this is version 1", path, f.V)
	}
	for _, s := range f.Sets {
		if len(s.PCRs) != attestation.FirmwarePCRs {
			return nil, fmt.Errorf("%s: %d values in set %q, want %d", path, len(s.PCRs), s.Name, attestation.FirmwarePCRs)
		}
	}
	return f.Sets, nil
}
