package batch

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify/verifytest"
	"camseal/server/internal/archive"
)

// sample is the body of a batch with two recordings and several seals.
func sample(t testing.TB) []byte {
	t.Helper()
	sealer, err := verifytest.NewEmulated("batch")
	if err != nil {
		t.Fatal(err)
	}
	d, err := verifytest.NewDevice(sealer, "log.example+00000000+AAAA")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.mp4", "b.mp4"} {
		if err := d.Import(verifytest.RecID(name), name, evidence.WhyComplete, verifytest.Content(5000), 1024); err != nil {
			t.Fatal(err)
		}
	}
	var body bytes.Buffer
	seals := d.Seals
	for i, l := range d.Lines {
		body.Write(append(l, '\n'))
		for len(seals) > 0 && seals[0].Upto == uint64(i) {
			raw, err := evidence.Encode(seals[0])
			if err != nil {
				t.Fatal(err)
			}
			body.Write(append(raw, '\n'))
			seals = seals[1:]
		}
	}
	return body.Bytes()
}

func lines(b *Batch) []byte {
	var out bytes.Buffer
	for _, it := range b.Items {
		out.Write(append(it.Raw, '\n'))
	}
	return out.Bytes()
}

func TestThroughTheVaultAndBack(t *testing.T) {
	ctx := context.Background()
	v, err := archive.OpenFolder(t.TempDir(), archive.FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	body := sample(t)
	b, err := ParseUnverified(body)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // safe to redo
		if err := b.Write(ctx, v, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := FindSkeleton(ctx, v, b.Device, b.Upto, b.Head)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Batch(ctx, v)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(lines(again), body) {
		t.Fatal("what comes back is not what was written")
	}
	if len(s.Parts) != 3 {
		t.Fatalf("%d parts, want one for the device and one for each recording", len(s.Parts))
	}
	words, err := s.Words(ctx, v, func(rec evidence.RecordingID) bool { return rec == verifytest.RecID("a.mp4") })
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range words {
		if st, _, err := evidence.ParseUnverified(w); err != nil || st.Rec != verifytest.RecID("a.mp4") {
			t.Fatalf("another recording's words: %s, %v", w, err)
		}
	}
}

func TestSplit(t *testing.T) {
	b, err := ParseUnverified(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	for seq := range b.Upto + 2 {
		known, rest := b.Split(seq)
		if uint64(len(known)) != seq {
			t.Fatalf("split at %d: %d known", seq, len(known))
		}
		if (rest == nil) != (seq == b.Upto+1) {
			t.Fatalf("split at %d: rest %v", seq, rest)
		}
		if rest != nil && (rest.First != seq || rest.Upto != b.Upto || rest.Items[0].Seq != seq) {
			t.Fatalf("split at %d: rest from %d", seq, rest.First)
		}
	}
}

// Whatever is parsed has the form that the checks behind rely on, and is the bytes that were sent.
func FuzzParseUnverified(f *testing.F) {
	body := sample(f)
	f.Add(body)
	f.Add(body[:len(body)/2])
	f.Add(bytes.Replace(body, []byte("\n"), []byte("\n\n"), 1))
	f.Add([]byte(`{"attest":"","sig":"","seq":0,"type":"count"}`))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := ParseUnverified(body)
		if err != nil {
			return
		}
		if !bytes.Equal(lines(b), append(bytes.TrimSuffix(body, []byte("\n")), '\n')) {
			t.Fatal("the lines are not what was sent")
		}
		next := b.First
		for _, it := range b.Items {
			if it.Attested == nil {
				if it.Seq != next {
					t.Fatal("a gap")
				}
				next++
			} else if it.Seq != next-1 {
				t.Fatal("a seal at the wrong place")
			}
		}
	})
}

// A skeleton is either refused or consistent; it never makes the reader panic.
func FuzzSkeleton(f *testing.F) {
	b, err := ParseUnverified(sample(f))
	if err != nil {
		f.Fatal(err)
	}
	good, err := b.skeleton([]Part{{Rec: verifytest.RecID("a.mp4"), Key: "recordings/x", Hash: evidence.Sum(nil)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-10])
	f.Add(bytes.Replace(good, fmt.Appendf(nil, `"upto":%d`, b.Upto), []byte(`"upto":9007199254740991`), 1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseSkeleton(raw)
		if err == nil && uint64(len(s.Items)) < s.Upto-s.First+1 {
			t.Fatal("statements are missing")
		}
	})
}
