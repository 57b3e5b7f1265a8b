package verify_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

func wantBound(t *testing.T, what string, got *verify.TimeBound, by verify.Prover, at time.Time, names int) {
	t.Helper()
	if got == nil || got.By != by || got.At != at.UnixMilli() || len(got.Names) != names {
		t.Errorf("%s: %+v, want %s by %d %s", what, got, at, names, by)
	}
}

// full is a bundle whose parts a test puts together itself.
func full(t *testing.T) (*verifytest.Bundle, *verifytest.Emulated, verifytest.Spec) {
	t.Helper()
	spec, err := verifytest.FullSpec()
	if err != nil {
		t.Fatal(err)
	}
	device, err := verifytest.NewDevice(spec.Sealer, spec.Log.VKey)
	if err != nil {
		t.Fatal(err)
	}
	b := &verifytest.Bundle{Log: spec.Log, Device: device, Rec: verifytest.RecID("one")}
	do(t, device.Boot, device.Seal, b.Seen)
	return b, spec.Sealer.(*verifytest.Emulated), spec
}

func do(t *testing.T, steps ...any) {
	t.Helper()
	for _, s := range steps {
		var err error
		switch s := s.(type) {
		case func() error:
			err = s()
		case func(...evidence.Digest) error:
			err = s()
		case func():
			s()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// finish takes the recording in and makes the bundle.
func finish(t *testing.T, b *verifytest.Bundle, spec verifytest.Spec) *verify.Report {
	t.Helper()
	do(t, func() error { return b.Device.Import(b.Rec, spec.Name, spec.Why, spec.Content, spec.Chunk) },
		b.Seen, b.Stored, func() error { return b.Put(spec.Content) }, b.Finish)
	return checkWith(t, b.Files, b.Trust())
}

func TestBracket(t *testing.T) {
	b := emulated(t)
	trust := b.Trust()
	r := checkWith(t, b.Files, trust)
	wantVerdict(t, r, verify.Verified, "")
	start := time.UnixMilli(1790000000000 - 5000) // the log's time before its first leaf; the anchor has 2 leaves, the receipts 6
	second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	wantBound(t, "after", r.Time.After, verify.ByWitnesses, second(2+1), 2)
	wantBound(t, "before", r.Time.Before, verify.ByWitnesses, second(6+2), 2)
	wantBound(t, "stamp", r.Time.Stamp, verify.ByStamp, second(6+60), 1)
	if *r.Time.ServerAfter != second(2).UnixMilli() || *r.Time.ServerBefore != second(6).UnixMilli() || *r.Time.Anchor != 2 || !r.Time.Filming {
		t.Errorf("time %+v", r.Time)
	}
	if len(r.NotGiven) != 0 || slices.Contains(r.NotProven, verify.LoneOperator) || slices.Contains(r.NotProven, verify.TimeUnproven) {
		t.Errorf("not given %v, not proven %v", r.NotGiven, r.NotProven)
	}
	if text := strings.Join(r.Time.Text(verify.English), "\n"); !strings.Contains(text, "sealed between 2026-09-21 14:13:18 and 14:13:23 UTC by two witnesses; the device's clock said") ||
		!strings.Contains(text, "filming time not proven") || !strings.Contains(text, "the server says") || !strings.Contains(text, "by a time stamp of stamps.test stamper") {
		t.Error(text)
	}

	trust.Quorum = 1 // of two that signed, the one that proves more
	r = checkWith(t, b.Files, trust)
	wantBound(t, "after, one of two", r.Time.After, verify.ByWitnesses, second(2+2), 1)
	wantBound(t, "before, one of two", r.Time.Before, verify.ByWitnesses, second(6+1), 1)

	trust = b.Trust()
	trust.Logs[0].Key, trust.Logs[0].Clock = b.Log.VKey, ""
	trust.Witnesses, trust.Quorum = nil, 0
	r = checkWith(t, b.Files, trust)
	wantVerdict(t, r, verify.Verified, "")
	wantBound(t, "by the stamp alone", r.Time.Before, verify.ByStamp, second(6+60), 1)
	if r.Time.After != nil || r.Time.ServerBefore != nil || !slices.Contains(r.NotGiven, verify.NoWitnesses) || !slices.Contains(r.NotProven, verify.LoneOperator) {
		t.Errorf("time %+v, not given %v", r.Time, r.NotGiven)
	}
	r = checkWith(t, b.Files, nil)
	wantVerdict(t, r, verify.SelfVouched, "")
	if r.Time.After != nil || r.Time.Before != nil || r.Time.ServerAfter != nil {
		t.Errorf("time without trust: %+v", r.Time)
	}
}

// TestQuorum gives more witnesses than signed: the verdict stays, what they would prove is not claimed, and that is said first.
func TestQuorum(t *testing.T) {
	b := emulated(t)
	trust := b.Trust()
	other := &verifytest.Log{}
	if err := other.Cosign("three.test/witness"); err != nil {
		t.Fatal(err)
	}
	trust.Witnesses, trust.Quorum, trust.TSARoots = append(trust.Witnesses, other.Cosigners[0].VKey()), 3, nil
	r := checkWith(t, b.Files, trust)
	wantVerdict(t, r, verify.Verified, "")
	if r.Time.After != nil || r.Time.Before != nil || !slices.Equal(r.NotGiven, []verify.Missing{verify.NoQuorum, verify.NoAnchorQuorum, verify.NoTSARoots}) {
		t.Errorf("time %+v, not given %v", r.Time, r.NotGiven)
	}
	if !slices.Contains(r.NotProven, verify.LoneOperator) || !slices.Contains(r.NotProven, verify.TimeUnproven) {
		t.Errorf("not proven %v", r.NotProven)
	}
	trust.Quorum = 2
	if r = checkWith(t, b.Files, trust); r.Time.After == nil || r.Time.Before == nil {
		t.Errorf("two of three: %+v", r.Time)
	}
	trust.Witnesses[2] = trust.Witnesses[1]
	if raw, err := evidence.Encode(trust); err != nil {
		t.Error(err)
	} else if _, err := verify.ParseTrust(raw); err == nil {
		t.Error("one witness counts twice")
	}
}

func TestAnchor(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		b, _, spec := full(t)
		r := finish(t, b, spec)
		wantVerdict(t, r, verify.Verified, "")
		if r.Time.After != nil || r.Time.Before == nil || !slices.Contains(r.NotGiven, verify.NoAnchor) {
			t.Errorf("time %+v, not given %v", r.Time, r.NotGiven)
		}
	})
	t.Run("of another log", func(t *testing.T) {
		b, _, spec := full(t)
		other, err := verifytest.NewLog("camseal.test/log", "other")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Append(&evidence.Custody{}); err != nil {
			t.Fatal(err)
		}
		mine := b.Log
		b.Log = other
		do(t, b.Anchor)
		b.Log = mine
		wantVerdict(t, finish(t, b, spec), verify.Broken, verify.CodeAnchor)
	})
	t.Run("after open", func(t *testing.T) {
		b, _, spec := full(t)
		do(t, func() error { return b.Device.Import(b.Rec, spec.Name, spec.Why, spec.Content, spec.Chunk) }, b.Anchor, b.Device.Seal,
			b.Seen, b.Stored, func() error { return b.Put(spec.Content) }, b.Finish)
		if r := checkWith(t, b.Files, b.Trust()); r.Time.Anchor != nil || r.Time.After != nil {
			t.Errorf("time %+v", r.Time)
		}
	})
	t.Run("later than the receipts", func(t *testing.T) {
		b, _, spec := full(t)
		b.Log.Time = b.Log.Time.Add(time.Hour)
		do(t, b.Anchor)
		b.Log.Time = b.Log.Time.Add(-2 * time.Hour)
		r := finish(t, b, spec)
		if !r.Time.Contradict || r.Time.After != nil || r.Time.Before != nil || !slices.Contains(r.NotProven, verify.TimeUnproven) {
			t.Errorf("time %+v", r.Time)
		}
	})
}

// TestStamps stamps a checkpoint that no receipt is by. Only a proof says that the recording was in the log by then.
func TestStamps(t *testing.T) {
	for _, proof := range []bool{false, true} {
		b, _, spec := full(t)
		do(t, func() error { return b.Device.Import(b.Rec, spec.Name, spec.Why, spec.Content, spec.Chunk) },
			b.Seen, b.Stored, func() error { return b.Put(spec.Content) })
		b.Authority = spec.Authority
		do(t, func() error { return b.StampLater(proof) }, b.Finish)
		r := checkWith(t, b.Files, b.Trust())
		wantVerdict(t, r, verify.Verified, "")
		if (r.Time.Stamp != nil) != proof || slices.Contains(r.NotGiven, verify.NoStamp) == proof {
			t.Errorf("proof %v: %+v, not given %v", proof, r.Time.Stamp, r.NotGiven)
		}
	}
	t.Run("authority not given", func(t *testing.T) {
		b := emulated(t)
		trust := b.Trust()
		unknown, err := verifytest.NewAuthority("elsewhere.test")
		if err != nil {
			t.Fatal(err)
		}
		if trust.TSARoots, err = verify.NewTSARoots(unknown.Root); err != nil {
			t.Fatal(err)
		}
		r := checkWith(t, b.Files, trust)
		wantVerdict(t, r, verify.Verified, "")
		if r.Time.Stamp != nil || !slices.Contains(r.NotGiven, verify.NoStamp) {
			t.Errorf("time %+v", r.Time)
		}
	})
	t.Run("over something else", func(t *testing.T) {
		b := emulated(t)
		_, token, _ := verify.TimePaths(6)
		files := verifytest.Clone(b.Files)
		var err error
		if files[token], err = b.Authority.Stamp([]byte("something"), b.Log.Time); err != nil {
			t.Fatal(err)
		}
		verifytest.Rebag(files, b.Rec)
		wantVerdict(t, checkWith(t, files, b.Trust()), verify.Broken, verify.CodeStamp)
	})
}

// TestOpenSSLStamp has openssl as the time stamping authority, and openssl verify what the bundle holds.
func TestOpenSSLStamp(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write("tsa.conf", []byte("[tsa]\ndefault_tsa=t\n[t]\nserial=serial\ncrypto_device=builtin\nsigner_digest=sha256\ndefault_policy=1.2.3\ndigests=sha256\naccuracy=secs:2\n"+
		"ess_cert_id_alg=sha256\n[ext]\nextendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n"))
	run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=stamp root", "-days", "30")
	run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=stamper")
	run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "tsa.pem", "-days", "30", "-extfile", "tsa.conf", "-extensions", "ext")

	b, _, spec := full(t)
	do(t, func() error { return b.Device.Import(b.Rec, spec.Name, spec.Why, spec.Content, spec.Chunk) },
		b.Seen, b.Stored, func() error { return b.Put(spec.Content) })
	signed, err := b.Log.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	write("X.checkpoint", signed)
	run("ts", "-query", "-data", "X.checkpoint", "-sha256", "-cert", "-out", "X.tsq")
	run("ts", "-reply", "-config", "tsa.conf", "-queryfile", "X.tsq", "-signer", "tsa.pem", "-inkey", "tsa.key", "-chain", "ca.pem", "-out", "X.tsr")
	run("ts", "-verify", "-data", "X.checkpoint", "-in", "X.tsr", "-CAfile", "ca.pem")
	checkpoint, token, _ := verify.TimePaths(b.Log.Size())
	b.Files[checkpoint], b.Files[token] = signed, read("X.tsr")
	do(t, b.Finish)
	trust := b.Trust()
	if trust.TSARoots, err = verify.NewTSARoots(read("ca.pem")); err != nil {
		t.Fatal(err)
	}
	r := checkWith(t, b.Files, trust)
	wantVerdict(t, r, verify.Verified, "")
	if s := r.Time.Stamp; s == nil || s.Names[0] != "stamper" || time.Since(time.UnixMilli(s.At)).Abs() > time.Minute {
		t.Errorf("stamp %+v", s)
	}
}

func TestClockFindings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*verifytest.Bundle, *verifytest.Emulated)
		want   verify.ClockKind
	}{
		"jump": {func(b *verifytest.Bundle, _ *verifytest.Emulated) { b.Device.Advance(3_600_000) }, verify.ClockJump},
		"back": {func(b *verifytest.Bundle, _ *verifytest.Emulated) { b.Device.Advance(-60_000) }, verify.ClockBack},
		"1970": {func(b *verifytest.Bundle, _ *verifytest.Emulated) { b.Device.Advance(-1_790_000_000_000) }, verify.ClockReset},
		"rate": {func(b *verifytest.Bundle, e *verifytest.Emulated) { e.Time += 700_000; b.Device.Advance(580_000) }, verify.ClockRate},
		"good": {func(b *verifytest.Bundle, e *verifytest.Emulated) { e.Time += 700_000; b.Device.Advance(690_000) }, ""},
		"behind": {func(b *verifytest.Bundle, _ *verifytest.Emulated) {
			b.Log.Time = b.Log.Time.Add(time.Hour)
			do(t, b.Anchor)
		}, verify.ClockBehind},
	} {
		t.Run(name, func(t *testing.T) {
			b, tpm, spec := full(t)
			c.change(b, tpm)
			r := finish(t, b, spec)
			wantVerdict(t, r, verify.Verified, "")
			if c.want == "" {
				if len(r.Time.Clock) != 0 {
					t.Errorf("found %+v", r.Time.Clock)
				}
				return
			}
			if len(r.Time.Clock) == 0 || r.Time.Clock[0].Kind != c.want || r.Time.Clock[0].Text(verify.English) == "" || r.Time.Clock[0].Text(verify.Chinese) == "" {
				t.Errorf("found %+v", r.Time.Clock)
			}
		})
	}
}

// TestCosignersUnknown: lines of keys that nobody gave are allowed and prove nothing.
func TestCosignersUnknown(t *testing.T) {
	b := emulated(t)
	trust := b.Trust()
	trust.Witnesses, trust.Quorum, trust.Logs[0].Clock = nil, 0, ""
	r := checkWith(t, b.Files, trust)
	wantVerdict(t, r, verify.Verified, "")
	for _, f := range r.Receipts {
		if f.Witnesses != 0 {
			t.Errorf("receipt %+v", f)
		}
	}
	// In the receipt over the whole bundle they are refused.
	receipt, err := b.Log.Receipt(6)
	if err != nil {
		t.Fatal(err)
	}
	files := verifytest.Clone(b.Files)
	files[verify.FileExportProof] = receipt.Proof
	verifytest.RebagTags(files)
	wantVerdict(t, checkWith(t, files, trust), verify.Broken, verify.CodeExport)
	wantVerdict(t, checkWith(t, files, b.Trust()), verify.Verified, "")
}
