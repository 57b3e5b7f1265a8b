package verify_test

import (
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

func small(t testing.TB) *verifytest.Bundle {
	t.Helper()
	spec, err := verifytest.SmallSpec()
	if err != nil {
		t.Fatal(err)
	}
	return build(t, spec)
}

// emulated is a bundle with all there can be.
func emulated(t testing.TB) *verifytest.Bundle {
	t.Helper()
	spec, err := verifytest.FullSpec()
	if err != nil {
		t.Fatal(err)
	}
	return build(t, spec)
}

func build(t testing.TB, spec verifytest.Spec) *verifytest.Bundle {
	t.Helper()
	b, err := verifytest.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkWith(t testing.TB, src verify.Source, trust *verify.Trust) *verify.Report {
	t.Helper()
	r, err := verify.Bundle(t.Context(), src, verify.Options{Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantVerdict(t testing.TB, r *verify.Report, want verify.Verdict, code verify.Code) {
	t.Helper()
	got := verify.Code("")
	if r.First != nil {
		got = r.First.Code
	}
	if r.Verdict != want || got != code || r.Exit != want.Exit() {
		t.Fatalf("verdict %s (%d), first %+v; want %s, %s", r.Verdict, r.Exit, r.First, want, code)
	}
}

func TestWhole(t *testing.T) {
	for name, b := range map[string]*verifytest.Bundle{"software": small(t), "tpm": emulated(t)} {
		t.Run(name, func(t *testing.T) {
			r := checkWith(t, b.Files, b.Trust())
			wantVerdict(t, r, verify.Verified, "")
			if r.Withheld.Before != 3 || r.Withheld.Between != 3 || r.Custody != 2 || len(r.Receipts) != 7 {
				t.Errorf("report %+v", r)
			}
			want := map[string]verify.Grade{"software": verify.SoftwareSealed, "tpm": verify.DockSealed}[name]
			if r.About.Grade != want || r.About.Hash == nil || *r.About.Hash != evidence.Sum(verifytest.Content(1100)) {
				t.Errorf("about %+v", r.About)
			}
			wantVerdict(t, checkWith(t, b.Files, nil), verify.SelfVouched, "")
		})
	}
}

// TestOldReadme: a bundle with the text of an older version still verifies; one with a text that no version wrote does not.
func TestOldReadme(t *testing.T) {
	b := small(t)
	old := *verify.Readmes
	defer func() { *verify.Readmes = old }()
	*verify.Readmes = append([][]string{{"a newer text %[1]s"}}, old...)
	wantVerdict(t, checkWith(t, b.Files, b.Trust()), verify.Verified, "")
	*verify.Readmes = (*verify.Readmes)[:1]
	wantVerdict(t, checkWith(t, b.Files, b.Trust()), verify.Broken, verify.CodeFixedContent)
}
