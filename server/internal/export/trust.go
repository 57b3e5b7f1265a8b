package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// TrustFolder is what a server's users need to check its bundles. Whoever verifies should get it from somebody else than a bundle's
// sender. SPEC.md section 10.
type TrustFolder struct {
	Log       tlog.Key
	Clock     tlog.Key   // of the server's clock; may be empty
	Witnesses []tlog.Key // verifier keys
	Quorum    int        // how many of them must have signed

	EKRoots    string // folder with *.pem of TPM makers; may be empty
	TrialRoots string // folder with *.pem of emulators; may be empty
	TSARoots   string // folder with *.pem of time stamping authorities; may be empty
	PCRs       []PCRSet
}

// PCRSet is one set of reference values.
type PCRSet struct {
	Name string            `json:"name"`
	PCRs []evidence.Digest `json:"pcrs"` // PCR 0 to 7
}

type trustedLog struct {
	Key   tlog.Key `json:"key"`
	From  int64    `json:"from"`
	To    *int64   `json:"to"`
	Clock tlog.Key `json:"clock,omitempty"`
}

// Write writes the folder, which may be there: files of the same name are replaced, others are left alone.
func (t TrustFolder) Write(dir string) error {
	if err := t.write(dir); err != nil {
		return fmt.Errorf("write trust folder %s: %w", dir, err)
	}
	return nil
}

func (t TrustFolder) write(dir string) error {
	for _, roots := range []struct{ from, to string }{{t.EKRoots, "ek-roots"}, {t.TrialRoots, "ek-roots-trial"}, {t.TSARoots, "tsa-roots"}} {
		if err := copyPEM(roots.from, filepath.Join(dir, roots.to)); err != nil {
			return err
		}
	}
	if len(t.PCRs) > 0 {
		if err := writeJSON(filepath.Join(dir, "pcrs.json"), map[string]any{"v": 1, "sets": t.PCRs}); err != nil {
			return err
		}
	}
	witnesses := append([]tlog.Key{}, t.Witnesses...) // never null
	return writeJSON(filepath.Join(dir, "trust.json"), map[string]any{"v": 1, "logs": []trustedLog{{Key: t.Log, Clock: t.Clock}},
		"witnesses": witnesses, "quorum": t.Quorum})
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// copyPEM copies the certificates of a folder; one that is not there has none.
func copyPEM(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil || from == "" {
		return err
	}
	files, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".pem" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), text, 0o644); err != nil {
			return err
		}
	}
	return err
}
