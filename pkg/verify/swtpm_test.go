//go:build unix

package verify_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"camseal/pkg/attestation/device"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

// TestRealTPM builds a bundle with a software TPM that is power-cycled in between, and lets tpm2-tools check its seals.
func TestRealTPM(t *testing.T) {
	tpm := swtpmtest.Start(t)
	config := device.Config{Path: tpm.Path(), State: t.TempDir()}
	if _, err := device.Provision(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	spec, err := verifytest.SmallSpec()
	if err != nil {
		t.Fatal(err)
	}
	open, err := device.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	spec.Sealer = open
	b := build(t, spec)
	wantVerdict(t, checkWith(t, b.Files, b.Trust()), verify.Verified, "")

	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	tpm.PowerCycle()
	if open, err = device.Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	b.Device.Sealer = open
	for _, step := range []func() error{
		func() error { return b.Device.Boot() }, b.Device.Seal,
		func() error {
			return b.Device.Import(verifytest.RecID("late"), "late.mp4", evidence.WhyComplete, verifytest.Content(99), 256)
		},
		b.Seen, func() error { return b.Put(spec.Content) }, b.Finish,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	r := checkWith(t, b.Files, b.Trust())
	wantVerdict(t, r, verify.Verified, "")
	if r.Seals.Epochs != 2 || r.Seals.Unproven != 0 {
		t.Errorf("seals %+v", r.Seals)
	}
	checkQuotes(t, b.Files)
	if err := open.Close(); err != nil {
		t.Error(err)
	}
}

// checkQuotes gives every seal to tpm2_checkquote.
func checkQuotes(t *testing.T, files verify.Memory) {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ak := put("ak.pem", files[verify.FileAK])
	for i, line := range bytes.Split(bytes.TrimSuffix(files[verify.FileSeals], []byte("\n")), []byte("\n")) {
		a, err := evidence.ParseSealUnverified(line)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("tpm2_checkquote", "-u", ak, "-m", put("attest", a.Seal.Attest), "-s", put("sig", a.Seal.Sig), "-q", a.Seal.Head.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("seal %d: %v: %s", i, err, out)
		}
	}
}
