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

	"camseal/pkg/tlog"
)

// Trust is what a verifier was given from elsewhere than the bundle.
type Trust struct {
	V         int          `json:"v"`
	Logs      []TrustedLog `json:"logs"`
	Witnesses []string     `json:"witnesses"` // verifier keys
	Quorum    int          `json:"quorum"`    // how many of them must have signed

	EKRoots  int  `json:"-"` // certificates of TPM makers in ek-roots/
	TSARoots int  `json:"-"` // certificates of time stamping authorities in tsa-roots/
	PCRs     bool `json:"-"` // whether there are reference values in pcrs.json
}

// TrustedLog is a log's key, and for which tree sizes it counts.
type TrustedLog struct {
	Key  tlog.Key `json:"key"`
	From int64    `json:"from"`
	To   *int64   `json:"to"` // null: without end
}

const maxTrust = 1 << 20

// LoadTrust reads a trust folder. Unknown members in trust.json are refused.
func LoadTrust(dir string) (*Trust, error) {
	raw, err := readBounded(filepath.Join(dir, "trust.json"))
	if err != nil {
		return nil, fmt.Errorf("trust folder: %w", err)
	}
	t, err := ParseTrust(raw)
	if err != nil {
		return nil, fmt.Errorf("trust folder %s: %w", dir, err)
	}
	if t.EKRoots, err = countPEM(filepath.Join(dir, "ek-roots")); err != nil {
		return nil, fmt.Errorf("trust folder: %w", err)
	}
	if t.TSARoots, err = countPEM(filepath.Join(dir, "tsa-roots")); err != nil {
		return nil, fmt.Errorf("trust folder: %w", err)
	}
	_, err = os.Stat(filepath.Join(dir, "pcrs.json"))
	t.PCRs = err == nil
	return t, nil
}

// ParseTrust reads a trust.json.
func ParseTrust(raw []byte) (*Trust, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var t Trust
	if err := dec.Decode(&t); err != nil {
		return nil, fmt.Errorf("trust.json: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("trust.json: something follows the value")
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
	if t.Quorum > 0 {
		return nil, &UnsupportedError{What: "trust.json: a quorum of witnesses"}
	}
	for _, l := range t.Logs {
		if _, err := tlog.NewVerifier(l.Key); err != nil {
			return nil, fmt.Errorf("trust.json: %w", err)
		}
		if l.From < 0 || l.To != nil && *l.To < l.From {
			return nil, fmt.Errorf("trust.json: sizes of log %s", l.Key)
		}
	}
	return &t, nil
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

func countPEM(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	n := 0
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".pem" {
			n++
		}
	}
	return n, err
}
