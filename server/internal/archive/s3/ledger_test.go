package s3_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/tlog"
	"camseal/server/internal/ledger"
)

// TestLedgerOnS3 keeps a log's mirror in a bucket, opens the log again and reads it back from the bucket alone.
func TestLedgerOnS3(t *testing.T) {
	const each = 12
	v := store.Vault(t)
	skey, vkey, err := note.GenerateKey(rand.Reader, "example.com/on-s3")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := tlog.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	c := ledger.Config{Dir: t.TempDir(), SignerKey: skey, Vault: v, Until: func() time.Time { return time.Now().Add(time.Hour) }}
	for round := range 2 {
		l, err := ledger.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range each {
			if _, err := l.Append(t.Context(), fmt.Appendf(nil, "leaf %d", round*each+i)); err != nil {
				t.Fatal(err)
			}
		}
		next := uint64(round * each)
		err = l.Follow(t.Context(), next, func(_ context.Context, entries []ledger.Entry) error {
			if next += uint64(len(entries)); next == uint64((round+1)*each) {
				return io.EOF
			}
			return nil
		})
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for e, err := range ledger.Mirrored(t.Context(), v, vkey) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Receipt.Verify(verifier); err != nil || string(e.Leaf) != fmt.Sprintf("leaf %d", n) {
			t.Fatalf("entry %d: %s, %v", n, e.Leaf, err)
		}
		n++
	}
	if n != 2*each {
		t.Fatalf("%d entries", n)
	}
}
