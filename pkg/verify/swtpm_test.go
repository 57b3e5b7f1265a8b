//go:build unix

package verify_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"camseal/pkg/attestation"
	"camseal/pkg/attestation/device"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

// TestRealTPM builds a bundle with a software TPM that is power-cycled in between, and lets tpm2-tools check its seals.
func TestRealTPM(t *testing.T) {
	maker := swtpmtest.NewMaker(t)
	tpm := maker.Start(t)
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
	spec.EK = func() (public, cert []byte, err error) { return open.(device.Identity).Endorsement(t.Context()) }
	b := build(t, spec)
	trust := b.Trust()
	if trust.EKRootsTrial, err = attestation.NewRoots(maker.Root(t), maker.Intermediate(t)); err != nil {
		t.Fatal(err)
	}
	r := checkWith(t, b.Files, trust)
	wantVerdict(t, r, verify.Verified, "")
	if !r.Device.Trial || r.Device.Maker == "" || r.About.GradeNote != verify.TrialTPM || !r.Device.Attested {
		t.Errorf("device %+v", r.Device)
	}
	checkEKChain(t, maker, b.Files)

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
	r = checkWith(t, b.Files, b.Trust())
	wantVerdict(t, r, verify.Verified, "")
	if r.Seals.Epochs != 2 || r.Seals.Unproven != 0 {
		t.Errorf("seals %+v", r.Seals)
	}
	if c := r.Counter; c == nil || c.Value == nil || c.Missing != 0 || len(c.Gaps) != 0 || c.Records != 7 {
		t.Errorf("counter %+v", c) // enrol, two boots and four intakes
	}
	checkQuotes(t, b.Files)
	if err := open.Close(); err != nil {
		t.Error(err)
	}
}

// checkEKChain lets openssl verify the EK certificate in the bundle.
func checkEKChain(t *testing.T, maker *swtpmtest.Maker, files verify.Memory) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{"root.pem": maker.Root(t), "inter.pem": maker.Intermediate(t), "ek.pem": files[verify.FileEKCert]} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("openssl", "verify", "-ignore_critical", "-CAfile", "root.pem", "-untrusted", "inter.pem", "ek.pem")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("openssl verify: %v: %s", err, out)
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
		if a.Seal == nil {
			continue // tpm2_checkquote knows quotes only
		}
		cmd := exec.Command("tpm2_checkquote", "-u", ak, "-m", put("attest", a.Seal.Attest), "-s", put("sig", a.Seal.Sig), "-q", a.Seal.Head.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("seal %d: %v: %s", i, err, out)
		}
	}
}
