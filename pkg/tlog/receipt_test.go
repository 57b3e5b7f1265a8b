package tlog

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// testLog is a whole small log in memory.
type testLog struct {
	signer note.Signer
	v      note.Verifier
	vkey   string
	leaves [][]byte
	hashes []tlog.Hash
}

func newTestLog(t testing.TB, name string, n int) *testLog {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	l := &testLog{vkey: vkey}
	if l.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if l.v, err = NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	if got, err := VerifierKey(skey); err != nil || got != vkey {
		t.Fatalf("VerifierKey = %q, %v, want %q", got, err, vkey)
	}
	for i := range n {
		leaf := fmt.Appendf(nil, "leaf %d of %s", i, name)
		hh, err := tlog.StoredHashes(int64(i), leaf, l)
		if err != nil {
			t.Fatal(err)
		}
		l.hashes, l.leaves = append(l.hashes, hh...), append(l.leaves, leaf)
	}
	return l
}

func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, l.hashes[i])
	}
	return out, nil
}

func (l *testLog) root(t testing.TB) tlog.Hash {
	t.Helper()
	h, err := tlog.TreeHash(int64(len(l.leaves)), l)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func sign(t testing.TB, c Checkpoint, signers ...note.Signer) []byte {
	t.Helper()
	b, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (l *testLog) checkpoint(t testing.TB) Checkpoint {
	return Checkpoint{Origin: l.v.Name(), Size: int64(len(l.leaves)), Root: l.root(t)}
}

func (l *testLog) prove(t testing.TB, i int) tlog.RecordProof {
	t.Helper()
	p, err := tlog.ProveRecord(int64(len(l.leaves)), int64(i), l)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *testLog) receipt(t testing.TB, i int) Receipt {
	return Receipt{Leaf: l.leaves[i], Proof: FormatProof(int64(i), l.prove(t, i), sign(t, l.checkpoint(t), l.signer))}
}

func TestReceiptsVerify(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 8, 300} {
		l := newTestLog(t, "example.com/log", n)
		for i := range n {
			r := l.receipt(t, i)
			got, err := r.Verify(l.v)
			if err != nil {
				t.Fatalf("leaf %d of %d: %v", i, n, err)
			}
			if got.Index != int64(i) || got.Size != int64(n) || got.Origin != "example.com/log" || got.Root != l.root(t) ||
				got.LeafHash != tlog.RecordHash(l.leaves[i]) || !bytes.Equal(got.Leaf, l.leaves[i]) {
				t.Fatalf("leaf %d of %d: %+v", i, n, got)
			}
			if index, err := r.Index(); err != nil || index != int64(i) {
				t.Fatalf("Index = %d, %v", index, err)
			}
		}
	}
}

// TestProofAsInTheSpecification holds the layout of the example in https://c2sp.org/tlog-proof.
func TestProofAsInTheSpecification(t *testing.T) {
	l := newTestLog(t, "example.com/fancylog", 3)
	cp := sign(t, l.checkpoint(t), l.signer)
	p := l.prove(t, 1)
	want := "c2sp.org/tlog-proof@v1\nindex 1\n" + p[0].String() + "\n" + p[1].String() + "\n\n" + string(cp)
	if got := string(FormatProof(1, p, cp)); got != want {
		t.Fatalf("got:\n%s\nwant:\n%s", got, want)
	}
	if !strings.HasPrefix(string(cp), "example.com/fancylog\n3\n"+l.root(t).String()+"\n\n\u2014 example.com/fancylog ") {
		t.Fatalf("checkpoint:\n%s", cp)
	}
}

func TestReceiptsRefused(t *testing.T) {
	l, other := newTestLog(t, "example.com/log", 9), newTestLog(t, "example.com/log", 9)
	elsewhere := newTestLog(t, "example.com/elsewhere", 9)
	good := l.receipt(t, 4)
	cp := l.checkpoint(t)
	wrongRoot, wrongSize, wrongOrigin := cp, cp, cp
	wrongRoot.Root[0] ^= 1
	wrongSize.Size = 4
	wrongOrigin.Origin = "example.com/elsewhere"
	badSig := bytes.Clone(good.Proof)
	copy(badSig[len(badSig)-8:], "AAAA")
	signed := sign(t, cp, l.signer)
	twice := append(bytes.Clone(signed), signed[bytes.LastIndex(signed, []byte("\u2014")):]...)

	for name, c := range map[string]struct {
		r    Receipt
		v    note.Verifier
		want error
	}{
		"crossed: the proof of another leaf":     {Receipt{good.Leaf, l.receipt(t, 5).Proof}, l.v, ErrInclusion},
		"crossed: the index of another leaf":     {Receipt{good.Leaf, FormatProof(5, l.prove(t, 4), signed)}, l.v, ErrInclusion},
		"crossed: the leaf of another log":       {Receipt{other.leaves[4], elsewhere.receipt(t, 4).Proof}, elsewhere.v, ErrInclusion},
		"changed leaf":                           {Receipt{[]byte("leaf 4 of example.com/lob"), good.Proof}, l.v, ErrInclusion},
		"wrong root":                             {Receipt{good.Leaf, FormatProof(4, l.prove(t, 4), sign(t, wrongRoot, l.signer))}, l.v, ErrInclusion},
		"index outside of the tree":              {Receipt{good.Leaf, FormatProof(4, l.prove(t, 4), sign(t, wrongSize, l.signer))}, l.v, ErrInclusion},
		"another key of the same name":           {good, other.v, ErrUnknownKey},
		"another log's key":                      {good, elsewhere.v, ErrUnknownKey},
		"origin that is not the key's":           {Receipt{good.Leaf, FormatProof(4, l.prove(t, 4), sign(t, wrongOrigin, l.signer))}, l.v, ErrOrigin},
		"a further signature of an unknown key":  {Receipt{good.Leaf, FormatProof(4, l.prove(t, 4), sign(t, cp, l.signer, elsewhere.signer))}, l.v, ErrUnknownKey},
		"a further key of the same name":         {Receipt{good.Leaf, FormatProof(4, l.prove(t, 4), sign(t, cp, l.signer, other.signer))}, l.v, ErrUnknownKey},
		"the same signature twice":               {Receipt{good.Leaf, FormatProof(4, l.prove(t, 4), twice)}, l.v, ErrFormat},
		"a signature that is not one":            {Receipt{good.Leaf, badSig}, l.v, ErrSignature},
		"one hash too few":                       {Receipt{good.Leaf, FormatProof(4, l.prove(t, 4)[1:], signed)}, l.v, ErrInclusion},
		"one hash too many":                      {Receipt{good.Leaf, FormatProof(4, append(l.prove(t, 4), tlog.Hash{}), signed)}, l.v, ErrInclusion},
		"a leaf larger than a log takes":         {Receipt{make([]byte, MaxLeaf+1), good.Proof}, l.v, ErrFormat},
		"a checkpoint with an extension line":    {Receipt{good.Leaf, FormatProof(4, l.prove(t, 4), extended(t, cp, l.signer))}, l.v, ErrFormat},
		"the leaf's hash in the place of a leaf": {Receipt{nodeAsLeaf(l), FormatProof(0, l.prove(t, 4)[1:], signed)}, l.v, ErrInclusion},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.r.VerifyStrict(c.v); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func extended(t testing.TB, c Checkpoint, s note.Signer) []byte {
	t.Helper()
	b, err := note.Sign(&note.Note{Text: c.Text() + "further\n"}, s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// nodeAsLeaf builds the bytes of an inner node, for the attack that RFC 6962's two prefixes prevent.
func nodeAsLeaf(l *testLog) []byte {
	a, b := tlog.RecordHash(l.leaves[0]), tlog.RecordHash(l.leaves[1])
	return append(a[:], b[:]...)
}

func TestOneForm(t *testing.T) {
	l := newTestLog(t, "example.com/log", 5)
	good := string(l.receipt(t, 3).Proof)
	change := func(old, repl string) string { return strings.Replace(good, old, repl, 1) }
	for name, raw := range map[string]string{
		"empty":                     "",
		"no header":                 strings.TrimPrefix(good, proofHeader),
		"another version":           change("@v1", "@v2"),
		"extra":                     change("index", "extra YWJj\nindex"),
		"leading zero":              change("index 3", "index 03"),
		"sign":                      change("index 3", "index +3"),
		"two spaces":                change("index 3", "index  3"),
		"carriage returns":          strings.ReplaceAll(good, "\n", "\r\n"),
		"space after a hash":        change("=\n", "= \n"),
		"no blank line":             change("\n\n", "\n"),
		"one blank line too many":   change("\n\n", "\n\n\n"),
		"bytes behind":              good + "\n",
		"loose bits in a signature": looseBits(t, good),
		"no last line feed":         strings.TrimSuffix(good, "\n"),
		"short hash":                change("=\n", "\n"),
		"huge":                      good + strings.Repeat("\u2014 a AAAAAAA=\n", 2000),
	} {
		if _, err := ParseProofUnverified([]byte(raw)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}
	if _, err := ParseProofUnverified([]byte(good)); err != nil {
		t.Fatal(err)
	}
}

// looseBits sets the bits of the last base64 digit that stand for no byte.
func looseBits(t *testing.T, proof string) string {
	t.Helper()
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	i := strings.LastIndex(proof, "=") - 1
	at := strings.IndexByte(digits, proof[i])
	if at < 0 || at%4 != 0 {
		t.Fatalf("digit %q", proof[i])
	}
	return proof[:i] + digits[at+1:at+2] + proof[i+1:]
}

func TestVerifierKeyHasOneForm(t *testing.T) {
	l := newTestLog(t, "example.com/log", 1)
	for name, bad := range map[string]string{
		"empty": "", "line feed": l.vkey + "\n", "space": l.vkey + " ", "no id": strings.Replace(l.vkey, "+", "", 1),
		"line feed inside": l.vkey[:len(l.vkey)-4] + "\n" + l.vkey[len(l.vkey)-4:],
		"another name":     "x" + l.vkey,
	} {
		if _, err := NewVerifier(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, bad := range []string{"", "PRIVATE+KEY+a+b", "PRIVATE+KEY+a+00000000+AAAA", l.vkey} {
		if _, err := VerifierKey(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("signer key %q: got %v", bad, err)
		}
	}
}

// FuzzProof holds that whatever is read is written again as the same bytes, and that nothing but the untouched
// receipt verifies.
func FuzzProof(f *testing.F) {
	l := newTestLog(f, "example.com/log", 6)
	for i := range 6 {
		f.Add(l.receipt(f, i).Proof)
	}
	good := l.receipt(f, 3)
	f.Add(append(bytes.Clone(good.Proof), '\n'))
	f.Add([]byte(proofHeader + "index 0\n\na\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u2014 a AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ParseProofUnverified(raw)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error of no known kind: %v", err)
			}
			return
		}
		if !bytes.Equal(FormatProof(p.Index, p.Hashes, p.Checkpoint), raw) {
			t.Fatalf("written again it differs: %q", raw)
		}
		if _, err := (Receipt{Leaf: []byte("not in the log"), Proof: raw}).Verify(l.v); err == nil {
			t.Fatalf("a leaf that is not in the log verifies with %q", raw)
		}
	})
}

// TestReceiptMadeByAnother reads what filippo.io/torchwood v0.7.0 (spicy) wrote for the second leaf of a log of three.
// That version writes no first line yet; c2sp.org/tlog-proof@v1 demands one, so it was put before it. The rest is as it was.
func TestReceiptMadeByAnother(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	v, err := NewVerifier(strings.TrimSpace(string(read("spicy.vkey"))))
	if err != nil {
		t.Fatal(err)
	}
	r := Receipt{Leaf: read("spicy.leaf"), Proof: read("spicy.tlog-proof")}
	got, err := r.Verify(v)
	if err != nil || got.Index != 1 || got.Size != 3 || got.Origin != "example.com/spicy" {
		t.Fatalf("%+v, %v", got, err)
	}
}
