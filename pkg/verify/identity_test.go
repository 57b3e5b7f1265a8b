package verify_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

func TestMaker(t *testing.T) {
	b := emulated(t)
	trust := b.Trust()
	r := checkWith(t, b.Files, trust)
	wantVerdict(t, r, verify.Verified, "")
	if d := r.Device; d.Maker != "Camseal test, TPM maker" || d.Trial || !d.EKCert || !d.Attested || r.About.GradeNote != "" || r.About.Grade != verify.DockSealed {
		t.Errorf("device %+v, about %+v", d, r.About)
	}
	trust.EKRootsTrial, trust.EKRoots = trust.EKRoots, nil
	r = checkWith(t, b.Files, trust)
	wantVerdict(t, r, verify.Verified, "")
	if !r.Device.Trial || r.About.GradeNote != verify.TrialTPM || slices.Contains(r.NotGiven, verify.NoEKRoots) {
		t.Errorf("device %+v, about %+v", r.Device, r.About)
	}
	other, err := verifytest.NewEKMaker("another maker")
	if err != nil {
		t.Fatal(err)
	}
	trust.EKRootsTrial = nil
	if trust.EKRoots, err = attestation.NewRoots(other.Root); err != nil {
		t.Fatal(err)
	}
	r = checkWith(t, b.Files, trust)
	wantVerdict(t, r, verify.Verified, "")
	if r.Device.Maker != "" || r.About.GradeNote != verify.MakerUnknown {
		t.Errorf("device %+v, about %+v", r.Device, r.About)
	}
	trust.EKRoots = nil
	if r = checkWith(t, b.Files, trust); r.About.GradeNote != verify.MakerUnknown || !slices.Contains(r.NotGiven, verify.NoEKRoots) {
		t.Errorf("about %+v, not given %v", r.About, r.NotGiven)
	}
}

// TestForeignEKCert enrols with the EK of one TPM and the certificate of another.
func TestForeignEKCert(t *testing.T) {
	spec, err := verifytest.FullSpec()
	if err != nil {
		t.Fatal(err)
	}
	public, _, err := spec.Maker.EK("mine")
	if err != nil {
		t.Fatal(err)
	}
	_, cert, err := spec.Maker.EK("another's")
	if err != nil {
		t.Fatal(err)
	}
	device, err := verifytest.NewDeviceWith(spec.Sealer, evidence.Enrol{HomeLog: spec.Log.VKey, EK: public, EKCert: cert})
	if err != nil {
		t.Fatal(err)
	}
	b := &verifytest.Bundle{Log: spec.Log, Device: device, Rec: verifytest.RecID("one"), Maker: spec.Maker}
	do(t, device.Boot, device.Seal, b.Seen, func() error { return device.Import(b.Rec, spec.Name, spec.Why, spec.Content, spec.Chunk) },
		b.Seen, b.Stored, func() error { return b.Put(spec.Content) })
	b.Files[verify.FileEKCert] = verify.EKCertFile(cert)
	do(t, b.Finish)
	wantVerdict(t, checkWith(t, b.Files, b.Trust()), verify.Broken, verify.CodeEK)
}

// TestUnattested: without the operator's logged word, nothing binds the sealing key to the certificate.
func TestUnattested(t *testing.T) {
	b, _, spec := full(t)
	r := finish(t, b, spec)
	wantVerdict(t, r, verify.Verified, "")
	if r.Device.Attested || !slices.Contains(r.NotProven, verify.Unattested) {
		t.Errorf("device %+v, not proven %v", r.Device, r.NotProven)
	}
}

func TestReferencePCRs(t *testing.T) {
	b := emulated(t)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.Marshal(b.Trust())
	if err != nil {
		t.Fatal(err)
	}
	write("trust.json", string(raw))
	sets := func(value evidence.Digest, n int) string {
		raw, err := json.Marshal(map[string]any{"v": 1, "sets": []verify.PCRSet{{Name: "recorder 1.2", PCRs: slices.Repeat([]evidence.Digest{value}, n)}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for text, want := range map[string]string{sets(evidence.Digest{}, 8): "recorder 1.2", sets(evidence.Digest{1}, 8): ""} {
		write("pcrs.json", text)
		trust, err := verify.LoadTrust(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := checkWith(t, b.Files, trust)
		wantVerdict(t, r, verify.Verified, "")
		if len(r.Device.Boots) != 1 || r.Device.Boots[0].Set != want || slices.Contains(r.NotGiven, verify.PCRsUnknown) != (want == "") {
			t.Errorf("boots %+v, not given %v", r.Device.Boots, r.NotGiven)
		}
	}
	for _, bad := range []string{"", "{}", sets(evidence.Digest{}, 7), sets(evidence.Digest{}, 8) + "1", `{"v":1,"sets":[],"more":1}`} {
		write("pcrs.json", bad)
		if _, err := verify.LoadTrust(dir); err == nil {
			t.Errorf("read %s", bad)
		}
	}
}

// TestSoftwareChanged shows a start with other firmware, and one behind the server's head.
func TestSoftwareChanged(t *testing.T) {
	b, tpm, spec := full(t)
	tpm.PowerCycle()
	tpm.Values[3][0] = 1
	do(t, b.Device.Boot, b.Device.Seal)
	r := finish(t, b, spec)
	wantVerdict(t, r, verify.Verified, "")
	if d := r.Device.Boots; len(d) != 2 || d[0].PCRs[3] == d[1].PCRs[3] || d[1].Seq != 2 {
		t.Errorf("boots %+v", d)
	}
}

func TestSuspectSince(t *testing.T) {
	b, _, spec := full(t)
	since := int64(1790000000123)
	do(t, func() error { return b.Device.Import(b.Rec, spec.Name, spec.Why, spec.Content, spec.Chunk) }, b.Seen, b.Stored,
		func() error {
			return b.Leaf(&evidence.Revoke{Device: b.Device.Sealer.Key().Name(), SuspectSince: &since})
		}, func() error { return b.Put(spec.Content) }, b.Finish)
	r := checkWith(t, b.Files, b.Trust())
	wantVerdict(t, r, verify.Verified, "") // what was seen before stays good
	if d := r.Device; d.Revoked == nil || *d.Revoked != 3 || d.SuspectSince == nil || *d.SuspectSince != since {
		t.Errorf("device %+v", d)
	}
}
