package tlog

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func makeCosigner(t testing.TB, name string, at time.Time) *CosignerKey {
	t.Helper()
	skey, vkey, err := GenerateCosigner(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewCosignerKey(skey, func() time.Time { return at })
	if err != nil || k.VKey() != vkey {
		t.Fatalf("%v: %s, want %s", err, k.VKey(), vkey)
	}
	return k
}

func cosign(t testing.TB, signed []byte, keys ...*CosignerKey) []byte {
	t.Helper()
	for _, k := range keys {
		var err error
		if signed, err = k.Cosign(signed); err != nil {
			t.Fatal(err)
		}
	}
	return signed
}

func TestCosignaturesVerify(t *testing.T) {
	l := newTestLog(t, "example.com/log", 5)
	a, b, c := makeCosigner(t, "witness.example/a", noon), makeCosigner(t, "witness.example/b", noon.Add(time.Second)), makeCosigner(t, "c", noon)
	own := sign(t, l.checkpoint(t), l.signer)
	signed := cosign(t, own, a, b, b)
	if n := bytes.Count(signed, []byte("\u2014")); n != 3 {
		t.Fatalf("%d lines:\n%s", n, signed)
	}
	if cp, err := OpenCosigned(signed, l.v); err != nil || cp != l.checkpoint(t) {
		t.Fatalf("%+v, %v", cp, err)
	}
	for _, k := range []*CosignerKey{a, b} {
		again, err := NewCosigner(k.VKey())
		if err != nil || again.Name() != k.Name() || again.KeyHash() != k.KeyHash() {
			t.Fatalf("%+v, %v", again, err)
		}
		if at, ok, err := again.Verify(signed); err != nil || !ok || !at.Equal(k.now()) {
			t.Fatalf("%s: %s, %v, %v", k.Name(), at, ok, err)
		}
	}
	for _, k := range []Cosigner{c.Cosigner, {}} {
		if _, ok, err := k.Verify(signed); ok || err != nil {
			t.Fatalf("one that did not sign: %v, %v", ok, err)
		}
	}
	if again, err := OwnLine(signed, l.v); err != nil || !bytes.Equal(again, own) {
		t.Fatalf("%v:\n%s", err, again)
	}
	r := Receipt{Leaf: l.leaves[3], Proof: FormatProof(3, l.prove(t, 3), signed)}
	if v, err := r.Verify(l.v); err != nil || !bytes.Equal(v.Signed, signed) {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err := r.VerifyStrict(l.v, b.Cosigner, c.Cosigner, a.Cosigner); err != nil {
		t.Fatal(err)
	}
	if _, err := r.VerifyStrict(l.v, a.Cosigner); !errors.Is(err, ErrUnknownKey) {
		t.Fatalf("a witness that is not known: %v", err)
	}
}

func TestCosignaturesRefused(t *testing.T) {
	l := newTestLog(t, "example.com/log", 5)
	a := makeCosigner(t, "witness.example/a", noon)
	own := sign(t, l.checkpoint(t), l.signer)
	other := l.checkpoint(t)
	other.Root[0] ^= 1
	line := func(signed []byte) []byte { return signed[bytes.LastIndex(signed, []byte("\u2014")):] }
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(line(cosign(t, own, a))[len("\u2014 witness.example/a "):])))
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(raw []byte) []byte) []byte {
		text := "\u2014 witness.example/a " + base64.StdEncoding.EncodeToString(change(bytes.Clone(raw))) + "\n"
		return append(bytes.Clone(own), text...)
	}
	for name, c := range map[string]struct {
		signed []byte
		want   error
	}{
		"of another checkpoint": {append(bytes.Clone(own), line(cosign(t, sign(t, other, l.signer), a))...), ErrSignature},
		"another time":          {with(func(b []byte) []byte { b[11]++; return b }), ErrSignature},
		"another signature":     {with(func(b []byte) []byte { b[len(b)-40] ^= 1; return b }), ErrSignature},
		"no time at all":        {with(func(b []byte) []byte { clear(b[4:12]); return b }), ErrFormat},
		"the year 10000":        {with(func(b []byte) []byte { b[4] = 1; return b }), ErrFormat},
		"a byte too many":       {with(func(b []byte) []byte { return append(b, 0) }), ErrFormat},
		"without a time":        {with(func(b []byte) []byte { return append(b[:4:4], b[12:]...) }), ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok, err := a.Verify(c.signed); ok || !errors.Is(err, c.want) {
				t.Fatalf("got %v, %v, want %v", ok, err, c.want)
			}
			if _, err := OpenCosigned(c.signed, l.v); err != nil { // whoever does not know the witness does not judge it
				t.Fatal(err)
			}
			if _, err := OpenCheckpoint(c.signed, l.v, a.Cosigner); !errors.Is(err, c.want) {
				t.Fatalf("strictly: %v, want %v", err, c.want)
			}
		})
	}
	signed := cosign(t, own, a)
	if _, err := OpenCosigned(append(bytes.Clone(signed), line(signed)...), l.v); !errors.Is(err, ErrFormat) {
		t.Fatalf("a cosigner twice: %v", err)
	}
	if _, err := OpenCosigned(cosign(t, sign(t, l.checkpoint(t), a), a), l.v); !errors.Is(err, ErrUnknownKey) {
		t.Fatalf("not signed by the log: %v", err)
	}
	if _, err := AddLines(own, []byte("no line\n")); !errors.Is(err, ErrFormat) {
		t.Fatalf("what is no line: %v", err)
	}
}

// TestCosignaturesOfAnother holds that transparency-dev/formats v0.0.0-20251017110053-404c0d5b696c reads what is signed here and
// the other way round; it also shows that keys of type 1 are taken for what they are.
func TestCosignaturesOfAnother(t *testing.T) {
	l := newTestLog(t, "example.com/log", 5)
	own := sign(t, l.checkpoint(t), l.signer)
	a := makeCosigner(t, "witness.example/a", noon)
	v, err := formats.NewVerifierForCosignatureV1(a.VKey())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(cosign(t, own, a), note.VerifierList(v, l.v)); err != nil || len(n.Sigs) != 2 {
		t.Fatalf("%+v, %v", n, err)
	}

	skey, vkey, err := note.GenerateKey(rand.Reader, "witness.example/b")
	if err != nil {
		t.Fatal(err)
	}
	s, err := formats.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewCosigner(vkey)
	if err != nil || b.KeyHash() != s.KeyHash() || b.VKey() == vkey {
		t.Fatalf("%+v, %v", b, err)
	}
	signed := sign(t, l.checkpoint(t), l.signer, s)
	if at, ok, err := b.Verify(signed); err != nil || !ok || time.Since(at).Abs() > time.Minute {
		t.Fatalf("%s, %v, %v", at, ok, err)
	}
	if again, err := NewCosigner(b.VKey()); err != nil || again.VKey() != b.VKey() {
		t.Fatalf("%v", err)
	}
}

func TestCosignerKeysHaveOneForm(t *testing.T) {
	skey, vkey, err := GenerateCosigner(rand.Reader, "witness.example/a")
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty": "", "line feed": vkey + "\n", "another name": "x" + vkey, "no id": strings.Replace(vkey, "+", "", 1), "a space": " " + vkey,
		"upper-case id": strings.ToUpper(vkey[:strings.LastIndex(vkey, "+")]) + vkey[strings.LastIndex(vkey, "+"):], "secret": skey,
	} {
		if _, err := NewCosigner(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, bad := range []string{"", vkey, skey + "\n", strings.Replace(skey, "example/a", "example/b", 1), skey[:len(skey)-4]} {
		if _, err := NewCosignerKey(bad, nil); !errors.Is(err, ErrFormat) {
			t.Errorf("signer key %q: got %v", bad, err)
		}
	}
	if _, _, err := GenerateCosigner(rand.Reader, "two words"); !errors.Is(err, ErrFormat) {
		t.Errorf("a name with a space: %v", err)
	}
	for at, want := range map[time.Time]error{{}: ErrFormat, time.Unix(maxTime+1, 0): ErrFormat} {
		k := makeCosigner(t, "c", at)
		if _, err := k.Sign([]byte("o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")); !errors.Is(err, want) {
			t.Errorf("clock at %s: %v", at, err)
		}
	}
	if _, err := makeCosigner(t, "c", noon).Sign([]byte("not a checkpoint\n")); !errors.Is(err, ErrFormat) {
		t.Errorf("signs anything: %v", err)
	}
}

// FuzzCosigned holds that a signed checkpoint that is read is written again as the same bytes, that nobody is said to have signed
// who did not, and that a line can be added to whatever is read, unless it grows too large.
func FuzzCosigned(f *testing.F) {
	l := newTestLog(f, "example.com/log", 6)
	a, b := makeCosigner(f, "witness.example/a", noon), makeCosigner(f, "witness.example/b", noon)
	own := sign(f, l.checkpoint(f), l.signer)
	good := cosign(f, own, a)
	f.Add(own)
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("witness.example/a"), []byte("witness.example/b"), 1))
	f.Add(append(bytes.Clone(good), good[bytes.LastIndex(good, []byte("\u2014")):]...))
	f.Add([]byte("a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u2014 a AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, ok, _ := b.Verify(raw); ok {
			t.Fatalf("b never signed: %q", raw)
		}
		c, err := OpenCosigned(raw, l.v)
		if err != nil {
			return
		}
		if c != l.checkpoint(t) {
			t.Fatalf("the log never signed %+v", c)
		}
		if _, ok, _ := a.Verify(raw); ok && !bytes.Contains(raw, good[len(own):]) {
			t.Fatalf("a never signed: %q", raw)
		}
		if bytes.Contains(raw, []byte("\u2014 witness.example/b ")) || len(raw) > MaxCheckpoint/2 || bytes.Count(raw, []byte("\u2014")) > 90 {
			return
		}
		more, err := b.Cosign(raw)
		if err != nil || !bytes.HasPrefix(more, raw) {
			t.Fatalf("%v: %q became %q", err, raw, more)
		}
	})
}
