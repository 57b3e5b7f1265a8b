package batch

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify/verifytest"
	"camseal/server/internal/archive"
)

// sample is the body of a batch with two recordings, several seals, and count records.
func sample(t testing.TB) []byte {
	t.Helper()
	sealer, err := verifytest.NewEmulated("batch")
	if err != nil {
		t.Fatal(err)
	}
	sealer.Index = 0x01800100
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
	attested := d.Attested()
	for i, l := range d.Lines {
		body.Write(append(l, '\n'))
		for len(attested) > 0 {
			if s, ok := attested[0].(evidence.Seal); ok && s.Upto != uint64(i) {
				break
			}
			raw, err := evidence.Encode(attested[0])
			if err != nil {
				t.Fatal(err)
			}
			body.Write(append(raw, '\n'))
			attested = attested[1:]
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
	again, err := s.Batch(ctx, v, nil)
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
	var counted []uint64
	for _, it := range b.Items {
		if it.Attested != nil && it.Attested.Count != nil {
			counted = append(counted, it.Seq)
		}
	}
	if len(counted) != 3 {
		t.Fatalf("count records of %v, want of enrol and both intakes", counted)
	}
	for seq := range b.Upto + 2 {
		for _, owed := range [][]uint64{nil, counted, counted[1:2]} {
			known, rest := b.Split(seq, owed)
			if uint64(len(known)) != seq {
				t.Fatalf("split at %d: %d known", seq, len(known))
			}
			if (rest == nil) != (seq == b.Upto+1) {
				t.Fatalf("split at %d: rest %v", seq, rest)
			}
			if rest == nil {
				continue
			}
			if rest.First != seq || rest.Upto != b.Upto {
				t.Fatalf("split at %d: rest from %d", seq, rest.First)
			}
			ahead := 0
			for rest.Items[ahead].Attested != nil {
				if it := rest.Items[ahead]; it.Attested.Count == nil || it.Seq >= seq || !slices.Contains(owed, it.Seq) {
					t.Fatalf("split at %d: a seal, or a record that is not owed, stands at the beginning", seq)
				}
				ahead++
			}
			if rest.Items[ahead].Seq != seq {
				t.Fatalf("split at %d: statement %d is first", seq, rest.Items[ahead].Seq)
			}
			again, err := ParseUnverified(lines(rest))
			if err != nil || len(again.Items) != len(rest.Items) {
				t.Fatalf("split at %d: the rest is no batch: %v", seq, err)
			}
		}
	}
}

// Count records stand behind a seal or at the beginning, in order, and never alone.
func TestWhereCountRecordsStand(t *testing.T) {
	all := bytes.SplitAfter(sample(t), []byte("\n"))
	all = all[:len(all)-1]
	isCount := func(l []byte) bool { return bytes.Contains(l, []byte(`"type":"count"`)) }
	first := slices.IndexFunc(all, isCount)
	count, rest := all[first], all[first+1:] // of statement 0, behind a seal
	second := slices.IndexFunc(rest, isCount)
	join := func(parts ...[][]byte) []byte { return bytes.Join(slices.Concat(parts...), nil) }
	for name, c := range map[string]struct {
		body []byte
		good bool
	}{
		"behind its seal":                 {join(all), true},
		"at the end":                      {join(all[:first+1]), true},
		"at the beginning":                {join([][]byte{count}, rest), true},
		"a later one at the beginning":    {join([][]byte{rest[second]}, rest[:second]), false},
		"alone":                           {join([][]byte{count}), false},
		"twice":                           {join(all[:first+1], [][]byte{count}, rest), false},
		"ahead of its statement":          {join([][]byte{count}, all[:first]), false},
		"behind an unsealed statement":    {join(all[:1], [][]byte{count}, all[1:first], rest), false},
		"behind a seal that ends nothing": {join(all[:first+1], all[first-1:first], rest), false},
	} {
		b, err := ParseUnverified(c.body)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && !bytes.Equal(lines(b), c.body) {
			t.Errorf("%s: the lines are not what was sent", name)
		}
	}
}

// A batch that begins with a count record comes back from the vault as it went in; and of two that differ only in that, the one
// with more is found.
func TestCountRecordsInTheVault(t *testing.T) {
	ctx := context.Background()
	v, err := archive.OpenFolder(t.TempDir(), archive.FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	whole, err := ParseUnverified(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(whole.Items, func(it Item) bool { return it.Attested != nil && it.Attested.Count != nil })
	next := slices.IndexFunc(whole.Items[at:], func(it Item) bool { return it.Attested == nil })
	seq := whole.Items[at+next].Seq
	_, with := whole.Split(seq, []uint64{0})
	_, without := whole.Split(seq, nil)
	if len(with.Items) != len(without.Items)+1 {
		t.Fatalf("%d and %d items", len(with.Items), len(without.Items))
	}
	for _, b := range []*Batch{with, without} {
		if err := b.Write(ctx, v, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := FindSkeleton(ctx, v, with.Device, with.Upto, with.Head)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Batch(ctx, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(lines(again), lines(with)) || again.First != seq {
		t.Fatal("what comes back is not what was written")
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
			} else if it.Attested.Seal != nil && it.Seq != next-1 {
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
