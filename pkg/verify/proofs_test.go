package verify_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

// proofsOf leaves of a bundle what vouches for the recording.
func proofsOf(b *verifytest.Bundle) verify.Memory {
	out := maps.Clone(b.Files)
	maps.DeleteFunc(out, func(path string, _ []byte) bool {
		return !strings.HasPrefix(path, "data/") || strings.HasPrefix(path, verify.DirOriginal)
	})
	return out
}

func proofs(t *testing.T, src verify.Source, trust *verify.Trust) (*verify.Report, []verify.Part) {
	t.Helper()
	r, parts, err := verify.Proofs(t.Context(), src, verify.Options{Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	return r, parts
}

// TestProofs: without the footage nothing comes out as verified, whatever is trusted; and the parts are those that were sealed.
func TestProofs(t *testing.T) {
	content := verifytest.Content(1100)
	for name, b := range map[string]*verifytest.Bundle{"software": small(t), "tpm": emulated(t)} {
		for _, trust := range []*verify.Trust{nil, b.Trust()} {
			r, parts := proofs(t, proofsOf(b), trust)
			wantVerdict(t, r, verify.Incomplete, verify.CodeFootage)
			if len(r.Problems) != 1 || len(parts) != 5 {
				t.Fatalf("%s: %d parts, problems %+v", name, len(parts), r.Problems)
			}
			at := 0
			for i, p := range parts {
				if p.Index != uint64(i) || p.Offset != uint64(at) || p.Hash != evidence.Sum(content[at:at+int(p.Size)]) || p.Absent {
					t.Errorf("%s: part %+v", name, p)
				}
				at += int(p.Size)
			}
			if at != len(content) {
				t.Errorf("%s: the parts hold %d bytes", name, at)
			}
		}
	}
}

// TestProofsBroken changes one byte of each file after the other: that is found, and no list of parts comes out. Cosignatures and time
// stamps that do not hold may be there without anything being claimed by them, as a manifest that would name the change is not: then
// the parts are still the sealed ones.
func TestProofsBroken(t *testing.T) {
	b := emulated(t)
	_, sealed := proofs(t, proofsOf(b), nil)
	for path, content := range proofsOf(b) {
		for _, at := range []int{0, len(content) / 2, len(content) - 1} {
			src := proofsOf(b)
			src[path] = append([]byte(nil), content...)
			src[path][at] ^= 1
			others := strings.HasSuffix(path, ".proof") || strings.HasPrefix(path, verify.DirTime)
			r, parts := proofs(t, src, b.Trust())
			if (r.Verdict != verify.Broken || parts != nil) && !(others && slices.Equal(parts, sealed)) {
				t.Errorf("byte %d of %s changed: %s, %d parts", at, path, r.Verdict, len(parts))
			}
		}
	}
	for path := range b.Files {
		src := proofsOf(b)
		if _, there := src[path]; there {
			delete(src, path)
		} else {
			src[path] = b.Files[path]
		}
		if r, parts := proofs(t, src, nil); r.Verdict != verify.Broken && (r.First.Code == verify.CodeFootage || parts == nil) {
			t.Errorf("%s added or taken away: %s, first %+v, %d parts", path, r.Verdict, r.First, len(parts))
		}
	}
	if r, parts := proofs(t, verify.Memory{}, nil); r.Verdict != verify.Broken || parts != nil {
		t.Errorf("nothing at all: %s, %d parts", r.Verdict, len(parts))
	}
}
