package spool

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// oneLeafLog makes the receipt for a leaf in a log that has nothing else.
func oneLeafLog(leaf evidence.Leaf, signer note.Signer) (tlog.Receipt, error) {
	raw, err := evidence.EncodeLeaf(leaf)
	if err != nil {
		return tlog.Receipt{}, err
	}
	cp, err := note.Sign(&note.Note{Text: tlog.Checkpoint{Origin: signer.Name(), Size: 1, Root: modtlog.RecordHash(raw)}.Text()}, signer)
	return tlog.Receipt{Leaf: raw, Proof: tlog.FormatProof(0, nil, cp)}, err
}

// makeReceipt makes a genuine stored receipt, changed by change.
func makeReceipt(s *Spool, id evidence.RecordingID, signer note.Signer, change func(*evidence.Stored)) (StoredReceipt, error) {
	r, err := s.Recording(id)
	if err != nil {
		return StoredReceipt{}, err
	}
	var digests []evidence.Digest
	if err := s.Chunks(id, 0, func(c Chunk) bool { digests = append(digests, c.Digest); return true }); err != nil {
		return StoredReceipt{}, err
	}
	leaf := &evidence.Stored{Chunks: r.Next, Device: testDevice, List: evidence.ListDigest(digests), Lock: evidence.LockFolder, Open: r.Open, Rec: id,
		Absent: r.Absent, Until: time.Now().Add(time.Hour).UnixMilli(), Vault: "v"}
	if r.Closed {
		leaf.Close = &r.Close
	}
	if change != nil {
		change(leaf)
	}
	receipt, err := oneLeafLog(leaf, signer)
	if err != nil {
		return StoredReceipt{}, err
	}
	return StoredReceipt{receipt: receipt, leaf: leaf}, nil
}

func TestReceiptsThatFreeNothing(t *testing.T) {
	skey, _, err := note.GenerateKey(rand.Reader, "example.com/log")
	check(t, err)
	signer, err := note.NewSigner(skey)
	check(t, err)
	s := enrolled(t, Config{Dir: t.TempDir(), Locks: []evidence.Lock{evidence.LockFolder}})
	id, other := evidence.RecordingID{1}, evidence.RecordingID{2}
	check(t, takeIn(t.Context(), s, id, content(3000), true))
	check(t, takeIn(t.Context(), s, other, content(2999), true))
	o, err := s.Recording(other)
	check(t, err)
	for name, change := range map[string]func(*evidence.Stored){
		"another device":         func(l *evidence.Stored) { l.Device[5]++ },
		"unknown recording":      func(l *evidence.Stored) { l.Rec = evidence.RecordingID{9} },
		"another open":           func(l *evidence.Stored) { l.Open = o.Open },
		"another recording":      func(l *evidence.Stored) { l.Rec = other },
		"another list":           func(l *evidence.Stored) { l.List[0] ^= 1 },
		"more chunks":            func(l *evidence.Stored) { l.Chunks++ },
		"huge chunks":            func(l *evidence.Stored) { l.Chunks = evidence.MaxInt },
		"fewer chunks and close": func(l *evidence.Stored) { l.Chunks-- },
		"another close":          func(l *evidence.Stored) { l.Close = &o.Close },
		"another lock":           func(l *evidence.Stored) { l.Lock = evidence.LockCompliance },
		"no lock":                func(l *evidence.Stored) { l.Lock = "" },
		"until now":              func(l *evidence.Stored) { l.Until = time.Now().UnixMilli() },
		"lost by its own word":   func(l *evidence.Stored) { l.Absent = []uint64{1} },
	} {
		t.Run(name, func(t *testing.T) {
			r, err := makeReceipt(s, id, signer, change)
			check(t, err)
			var why *ReceiptError
			if err := s.Release(t.Context(), r); !errors.As(err, &why) {
				t.Errorf("got %v", err)
			}
			if n := len(chunkFiles(t, s)); n != 6 {
				t.Errorf("%d chunk files are left of 6", n)
			}
		})
	}
	r, err := makeReceipt(s, id, signer, nil)
	check(t, err)
	for range 2 { // idempotent
		check(t, s.Release(t.Context(), r))
		if n := len(chunkFiles(t, s)); n != 3 {
			t.Errorf("%d chunk files are left, want the other recording's 3", n)
		}
		if st, err := s.Status(); err != nil || st.Held != 2999 || st.Stored != 1 {
			t.Errorf("%+v %v", st, err)
		}
	}
	if err := s.Release(t.Context(), StoredReceipt{}); err == nil {
		t.Error("no receipt at all frees something")
	}
}

func TestVerifyStoredChecks(t *testing.T) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "example.com/log")
	check(t, err)
	_, otherKey, err := note.GenerateKey(rand.Reader, "example.com/log")
	check(t, err)
	signer, err := note.NewSigner(skey)
	check(t, err)
	own, err := tlog.NewVerifier(vkey)
	check(t, err)
	other, err := tlog.NewVerifier(otherKey)
	check(t, err)
	good, err := oneLeafLog(&evidence.Stored{Lock: evidence.LockFolder}, signer)
	check(t, err)
	seen, err := oneLeafLog(&evidence.Seen{}, signer)
	check(t, err)
	if _, err := VerifyStored(good, own); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		r tlog.Receipt
		v note.Verifier
	}{"another key": {good, other}, "a seen receipt": {seen, own}, "another leaf": {tlog.Receipt{Leaf: seen.Leaf, Proof: good.Proof}, own}} {
		if _, err := VerifyStored(c.r, c.v); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestKilledWhileTheIndexMadeAFile: a kill between making a log of the index and giving it its size.
func TestKilledWhileTheIndexMadeAFile(t *testing.T) {
	for _, name := range []string{"00009.mem", "000009.vlog", "000001.vlog", "DISCARD", "KEYREGISTRY"} {
		s := enrolled(t, Config{Dir: t.TempDir()})
		check(t, takeIn(t.Context(), s, evidence.RecordingID{1}, content(1500), false))
		before := len(walkChain(t, s))
		check(t, s.Close())
		check(t, os.WriteFile(filepath.Join(s.cfg.Dir, "index", name), nil, 0o600))
		s, _ = open(t, s.cfg)
		if n := len(walkChain(t, s)); n != before {
			t.Errorf("%s: %d statements, were %d", name, n, before)
		}
	}
}
