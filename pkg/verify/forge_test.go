package verify_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/binary"
	"math/big"
	"slices"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

// TestForgery makes a whole bundle anew, with another key and another log of the same name.
func TestForgery(t *testing.T) {
	real := small(t)
	spec, err := verifytest.SmallSpec()
	if err != nil {
		t.Fatal(err)
	}
	spec.Content = verifytest.Content(1200)[100:]
	if spec.Sealer, err = verifytest.NewSoftware("forger"); err != nil {
		t.Fatal(err)
	}
	if spec.Log, err = verifytest.NewLog("camseal.test/log", "forger"); err != nil {
		t.Fatal(err)
	}
	forged := build(t, spec)
	wantVerdict(t, checkWith(t, forged.Files, real.Trust()), verify.Broken, verify.CodeOtherKey)
	wantVerdict(t, checkWith(t, forged.Files, nil), verify.SelfVouched, "")
	if spec.Log, err = verifytest.NewLog("elsewhere.test/log", "forger"); err != nil {
		t.Fatal(err)
	}
	wantVerdict(t, checkWith(t, build(t, spec).Files, real.Trust()), verify.Broken, verify.CodeUnknownLog)

	// The real log's export receipt does not help either.
	mixed := verifytest.Clone(forged.Files)
	mixed[verify.FileExportLeaf], mixed[verify.FileExportProof] = real.Files[verify.FileExportLeaf], real.Files[verify.FileExportProof]
	verifytest.RebagTags(mixed)
	wantVerdict(t, checkWith(t, mixed, real.Trust()), verify.Broken, verify.CodeOtherKey)
}

// TestMalleability replaces s by n-s in a seal, which is a valid signature too.
func TestMalleability(t *testing.T) {
	b := emulated(t)
	files := verifytest.Clone(b.Files)
	lines := bytes.SplitAfter(files[verify.FileSeals], []byte("\n"))
	a, err := evidence.ParseSealUnverified(bytes.TrimSuffix(lines[3], []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(a.Seal.Sig[40:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(a.Seal.Sig[40:])
	if binary.BigEndian.Uint16(a.Seal.Sig) != 0x18 {
		t.Fatal("not a signature")
	}
	again, err := evidence.Encode(a.Seal)
	if err != nil {
		t.Fatal(err)
	}
	lines[3] = append(again, '\n')
	files[verify.FileSeals] = bytes.Join(lines, nil)
	wantVerdict(t, checkWith(t, files, b.Trust()), verify.Broken, verify.CodeWrongHash)
	verifytest.Rebag(files, b.Rec)
	wantVerdict(t, checkWith(t, files, b.Trust()), verify.Broken, verify.CodeExport)
	delete(files, verify.FileExportLeaf)
	delete(files, verify.FileExportProof)
	verifytest.Rebag(files, b.Rec)
	wantVerdict(t, checkWith(t, files, b.Trust()), verify.Incomplete, verify.CodeNoExport)
}

// TestStretches leaves the middle of the chain out.
func TestStretches(t *testing.T) {
	b := emulated(t)
	chain := bytes.SplitAfter(b.Files[verify.FileChain], []byte("\n"))
	seals := bytes.SplitAfter(b.Files[verify.FileSeals], []byte("\n"))
	put := func(chain, seals [][]byte) verify.Memory {
		c := *b
		c.Files = verifytest.Clone(b.Files)
		c.Files[verify.FileChain], c.Files[verify.FileSeals] = bytes.Join(chain, nil), bytes.Join(seals, nil)
		log := *b.Log // the export of this one is logged in a copy
		c.Log = &log
		if err := c.Finish(); err != nil {
			t.Fatal(err)
		}
		return c.Files
	}
	// Statements 2 to 6 are an anchor and the other recording's; seal 1 is up to 1, seal 2 up to 6. Where they are left out, so is the count
	// record of 3.
	whole := seals
	seals = slices.DeleteFunc(slices.Clone(seals), func(l []byte) bool { return bytes.Contains(l, []byte(`"seq":3,`)) })
	if len(seals) != len(whole)-1 {
		t.Fatal("no count record of statement 3")
	}
	cut := append(append([][]byte{}, chain[:2]...), chain[7:]...)
	r := checkWith(t, put(cut, seals), b.Trust())
	wantVerdict(t, r, verify.Verified, "")
	if r.Withheld.Skipped != 5 || r.Withheld.Before != 0 {
		t.Errorf("withheld %+v", r.Withheld)
	}
	// Without the seal that the second stretch begins after, or with one line too few.
	wantVerdict(t, checkWith(t, put(cut, append(append([][]byte{}, seals[:3]...), seals[4:]...)), b.Trust()), verify.Broken, verify.CodeChain)
	wantVerdict(t, checkWith(t, put(append(append([][]byte{}, chain[:2]...), chain[8:]...), seals), b.Trust()), verify.Broken, verify.CodeChain)
	// With a count record of a statement that is not here.
	wantVerdict(t, checkWith(t, put(cut, whole), b.Trust()), verify.Broken, verify.CodeSeal)
	// A stretch without a receipt over what is needed in it.
	files := put(cut, seals)
	leaf, proof := verify.ReceiptPaths(0)
	delete(files, leaf)
	delete(files, proof)
	verifytest.Rebag(files, b.Rec)
	if r := checkWith(t, files, b.Trust()); r.Exit != 3 || !hasCode(r, verify.CodeNoSeen) {
		t.Errorf("problems %+v", r.Problems)
	}
}

func hasCode(r *verify.Report, code verify.Code) bool {
	for _, p := range r.Problems {
		if p.Code == code {
			return true
		}
	}
	return false
}

func TestIncomplete(t *testing.T) {
	for name, c := range map[string]struct {
		spec func(*verifytest.Spec)
		code verify.Code
	}{
		"closed early": {func(s *verifytest.Spec) { s.Why = evidence.WhyReadError }, verify.CodeClosedEarly},
		"not closed":   {func(s *verifytest.Spec) { s.Why = "" }, verify.CodePartlyStored},
	} {
		t.Run(name, func(t *testing.T) {
			spec, err := verifytest.SmallSpec()
			if err != nil {
				t.Fatal(err)
			}
			c.spec(&spec)
			b := build(t, spec)
			r := checkWith(t, b.Files, b.Trust())
			wantVerdict(t, r, verify.Incomplete, c.code)
		})
	}
	t.Run("order", func(t *testing.T) {
		spec, err := verifytest.SmallSpec()
		if err != nil {
			t.Fatal(err)
		}
		tpm, err := verifytest.NewEmulated("order")
		if err != nil {
			t.Fatal(err)
		}
		spec.Sealer = &meddler{Emulated: tpm}
		b := build(t, spec)
		wantVerdict(t, checkWith(t, b.Files, b.Trust()), verify.Incomplete, verify.CodeOrder)
	})
}

// meddler is a TPM whose chain PCR something else extends, once.
type meddler struct {
	*verifytest.Emulated
	quotes int
}

func (m *meddler) Extend(ctx context.Context, head evidence.Digest) error {
	if m.quotes++; m.quotes == 3 {
		if err := m.Emulated.Extend(ctx, evidence.Sum([]byte("meddler"))); err != nil {
			return err
		}
	}
	return m.Emulated.Extend(ctx, head)
}

// TestSizes goes through the sizes at which a file's end meets a chunk's.
func TestSizes(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 512, 513} {
		spec, err := verifytest.SmallSpec()
		if err != nil {
			t.Fatal(err)
		}
		spec.Content = verifytest.Content(n)
		b := build(t, spec)
		r := checkWith(t, b.Files, b.Trust())
		wantVerdict(t, r, verify.Verified, "")
		if n == 0 {
			continue
		}
		files := verifytest.Clone(b.Files)
		path := r.About.Original
		files[path][n-1] ^= 1
		r = checkWith(t, files, b.Trust())
		wantVerdict(t, r, verify.Broken, verify.CodeChunk)
		if *r.First.Place.Chunk != uint64(n-1)/256 || r.First.Place.Until != uint64(n) {
			t.Errorf("place %+v", r.First.Place)
		}
	}
}

func TestSeconds(t *testing.T) {
	box := func(kind string, content []byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(8+len(content))), append([]byte(kind), content...)...)
	}
	mvhd := make([]byte, 100)
	binary.BigEndian.PutUint32(mvhd[12:], 1000)
	binary.BigEndian.PutUint32(mvhd[16:], 60000) // 60 s
	film := append(box("ftyp", []byte("isom")), box("mdat", verifytest.Content(2000))...)
	film = append(film, box("moov", box("mvhd", mvhd))...)
	spec, err := verifytest.SmallSpec()
	if err != nil {
		t.Fatal(err)
	}
	spec.Content = film
	b := build(t, spec)
	files := verifytest.Clone(b.Files)
	files[verify.DirOriginal+"NOR_0001.MP4"][1000] ^= 1
	r := checkWith(t, files, b.Trust())
	wantVerdict(t, r, verify.Broken, verify.CodeChunk)
	if s := r.First.Place.Seconds; s == nil || s.From < 20 || s.Until > 32 {
		t.Errorf("seconds %+v", s)
	}
}

func TestRevoked(t *testing.T) {
	spec, err := verifytest.SmallSpec()
	if err != nil {
		t.Fatal(err)
	}
	// Built by hand: the revocation is logged before anything is seen.
	device, err := verifytest.NewDevice(spec.Sealer, spec.Log.VKey)
	if err != nil {
		t.Fatal(err)
	}
	b := &verifytest.Bundle{Log: spec.Log, Device: device, Rec: verifytest.RecID("one")}
	for _, step := range []func() error{
		func() error { return device.Import(b.Rec, spec.Name, spec.Why, spec.Content, spec.Chunk) },
		func() error { return b.Leaf(&evidence.Revoke{Device: spec.Sealer.Key().Name()}) },
		b.Seen, b.Stored, func() error { return b.Put(spec.Content) }, b.Finish,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	wantVerdict(t, checkWith(t, b.Files, b.Trust()), verify.Broken, verify.CodeRevoked)
}
