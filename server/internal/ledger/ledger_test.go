package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
	"camseal/server/internal/ledger"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func lockUntil() time.Time { return time.Now().Add(time.Hour) }

func newKey(t testing.TB) string {
	t.Helper()
	skey, _, err := note.GenerateKey(rand.Reader, "example.com/ledger")
	if err != nil {
		t.Fatal(err)
	}
	return skey
}

func folder(t testing.TB, dir string) *archive.Folder {
	t.Helper()
	v, err := archive.OpenFolder(dir, archive.FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func config(t testing.TB, v archive.Vault) ledger.Config {
	return ledger.Config{Dir: t.TempDir(), SignerKey: newKey(t), Vault: v, Until: lockUntil, Log: quiet}
}

func open(t testing.TB, c ledger.Config) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return l
}

func appendLeaf(t testing.TB, l *ledger.Ledger, leaf string) uint64 {
	t.Helper()
	i, err := l.Append(t.Context(), []byte(leaf))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// follow gathers entries from the given index until there are n of them.
func follow(t testing.TB, l *ledger.Ledger, from uint64, n int) []ledger.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out []ledger.Entry
	err := l.Follow(ctx, from, func(_ context.Context, e []ledger.Entry) error {
		if out = append(out, e...); len(out) >= n {
			return io.EOF
		}
		return nil
	})
	if !errors.Is(err, io.EOF) {
		t.Fatalf("after %d entries: %v", len(out), err)
	}
	return out
}

func verify(t testing.TB, vkey string, entries []ledger.Entry, from uint64) {
	t.Helper()
	v, err := tlog.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		got, err := e.Receipt.Verify(v)
		if err != nil || got.Index != int64(from)+int64(i) || e.Index != uint64(got.Index) || !bytes.Equal(got.Leaf, e.Leaf) {
			t.Fatalf("entry %d: %+v, %v", i, got, err)
		}
	}
}

func mirrored(t testing.TB, v archive.Vault, vkey string) ([]ledger.Entry, error) {
	t.Helper()
	var out []ledger.Entry
	for e, err := range ledger.Mirrored(t.Context(), v, vkey) {
		if err != nil {
			return out, err
		}
		out = append(out, e)
	}
	return out, nil
}

func TestManyAtOnce(t *testing.T) {
	const n = 500
	v := folder(t, t.TempDir())
	l := open(t, config(t, v))
	var mu sync.Mutex
	want := map[uint64]string{}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			leaf := fmt.Sprintf("leaf %d", i)
			index, err := l.Append(t.Context(), []byte(leaf))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if old, ok := want[index]; ok {
				t.Errorf("index %d twice: %s and %s", index, old, leaf)
			}
			want[index] = leaf
		})
	}
	wg.Wait()
	entries := follow(t, l, 0, n)
	if len(entries) != n {
		t.Fatalf("%d entries", len(entries))
	}
	verify(t, l.VKey(), entries, 0)
	for _, e := range entries {
		if want[e.Index] != string(e.Leaf) {
			t.Fatalf("index %d: %s, appended was %s", e.Index, e.Leaf, want[e.Index])
		}
	}
	got, err := mirrored(t, v, l.VKey())
	if err != nil || len(got) != n {
		t.Fatalf("mirrored: %d, %v", len(got), err)
	}
	verify(t, l.VKey(), got, 0)
	for i := range got {
		if !bytes.Equal(got[i].Leaf, entries[i].Leaf) || !bytes.Equal(got[i].Receipt.Proof, entries[i].Receipt.Proof) {
			t.Fatalf("entry %d differs in the mirror", i)
		}
	}
	e, err := l.Receipt(t.Context(), 77)
	if err != nil || !bytes.Equal(e.Receipt.Proof, entries[77].Receipt.Proof) {
		t.Fatalf("receipt 77: %v", err)
	}
	if _, err := l.Receipt(t.Context(), n); !errors.Is(err, archive.ErrNotFound) {
		t.Fatalf("receipt of no leaf: %v", err)
	}
}

func TestReopenedGoesOn(t *testing.T) {
	v := folder(t, t.TempDir())
	c := config(t, v)
	var vkey string
	for round := range 3 {
		l, err := ledger.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Open(t.Context(), c); !errors.Is(err, ledger.ErrInUse) {
			t.Fatalf("opened twice: %v", err)
		}
		for i := range 3 {
			if got := appendLeaf(t, l, fmt.Sprint("leaf ", round*3+i)); got != uint64(round*3+i) {
				t.Fatalf("index %d", got)
			}
		}
		if round == 1 { // only this round is followed, so that receipts of others are missing
			verify(t, l.VKey(), follow(t, l, 3, 3), 3)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), []byte("late")); !errors.Is(err, ledger.ErrClosed) {
			t.Fatalf("append after close: %v", err)
		}
		if err := l.Follow(t.Context(), 100, nil); !errors.Is(err, ledger.ErrClosed) {
			t.Fatalf("follow after close: %v", err)
		}
		vkey = l.VKey()
	}
	got, err := mirrored(t, v, vkey)
	if err != nil || len(got) != 9 {
		t.Fatalf("mirrored %d, %v", len(got), err)
	}
	for i, e := range got {
		if has := len(e.Receipt.Proof) > 0; has != (i/3 == 1) || string(e.Leaf) != fmt.Sprint("leaf ", i) {
			t.Errorf("entry %d: %s, receipt %v", i, e.Leaf, has)
		}
	}
	l := open(t, c)
	entries := follow(t, l, 0, 9)
	verify(t, vkey, entries, 0)
	if !bytes.Equal(entries[4].Receipt.Proof, got[4].Receipt.Proof) {
		t.Error("a receipt that was in the vault was made anew")
	}
}

func TestContextsEnd(t *testing.T) {
	c := config(t, folder(t, t.TempDir()))
	c.BatchAge = time.Minute // never
	ctx, cancel := context.WithCancel(t.Context())
	l, err := ledger.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := l.Append(short, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("append: %v", err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := l.Append(t.Context(), []byte("y"))
		waiting <- err
	}()
	followed := make(chan error, 1)
	go func() { followed <- l.Follow(t.Context(), 0, nil) }()
	cancel()
	for _, ch := range []chan error{waiting, followed} {
		if err := <-ch; !errors.Is(err, ledger.ErrClosed) {
			t.Fatalf("when the ledger's context ends: %v", err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, leaf := range [][]byte{nil, make([]byte, tlog.MaxLeaf+1)} {
		if _, err := l.Append(t.Context(), leaf); !errors.Is(err, ledger.ErrLeaf) {
			t.Errorf("leaf of %d bytes: %v", len(leaf), err)
		}
	}
}

// lame is a vault that is down while it is told to.
type lame struct {
	archive.Vault
	down atomic.Bool
	puts atomic.Int64 // refused
}

func (v *lame) Put(ctx context.Context, o archive.Object, r io.Reader) (archive.Held, error) {
	if v.down.Load() {
		v.puts.Add(1)
		return archive.Held{}, fmt.Errorf("%s: %w", o.Key, archive.ErrUnavailable)
	}
	return v.Vault.Put(ctx, o, r)
}

func (v *lame) List(ctx context.Context, prefix string) iter.Seq2[archive.Held, error] {
	if v.down.Load() {
		return func(yield func(archive.Held, error) bool) { yield(archive.Held{}, archive.ErrUnavailable) }
	}
	return v.Vault.List(ctx, prefix)
}

func TestVaultIsDownForAWhile(t *testing.T) {
	v := &lame{Vault: folder(t, t.TempDir())}
	c := config(t, v)
	l := open(t, c)
	appendLeaf(t, l, "before")
	verify(t, l.VKey(), follow(t, l, 0, 1), 0)
	signed := func() string {
		b, err := os.ReadFile(filepath.Join(c.Dir, "log", "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := signed()
	v.down.Store(true)
	for i := range 10 {
		appendLeaf(t, l, fmt.Sprint("while down ", i))
	}
	got := make(chan []ledger.Entry, 1)
	go func() { got <- follow(t, l, 1, 10) }()
	for v.puts.Load() < 5 { // it has tried a few times
		select {
		case e := <-got:
			t.Fatalf("entries without a mirror: %v", e)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if signed() != before {
		t.Fatal("a checkpoint was signed though its leaves are not in the vault")
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := ledger.Open(short, func() ledger.Config { c := c; c.Dir = t.TempDir(); return c }()); !errors.Is(err, archive.ErrUnavailable) {
		t.Fatalf("opened while the vault is down: %v", err)
	}
	v.down.Store(false)
	verify(t, l.VKey(), <-got, 1)
}

func TestFolderThatDoesNotFitItsMirror(t *testing.T) {
	v := folder(t, t.TempDir())
	c := config(t, v)
	l := open(t, c)
	appendLeaf(t, l, "a")
	follow(t, l, 0, 1)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost := c
	lost.Dir = t.TempDir()
	if _, err := ledger.Open(t.Context(), lost); !errors.Is(err, ledger.ErrFork) {
		t.Errorf("the folder was lost: %v", err)
	}
	other := c
	other.SignerKey = newKey(t)
	if _, err := ledger.Open(t.Context(), other); !errors.Is(err, ledger.ErrFork) {
		t.Errorf("another key on the same folder: %v", err)
	}
	elsewhere := c
	elsewhere.Dir, elsewhere.Vault = t.TempDir(), folder(t, t.TempDir())
	fork := open(t, elsewhere)
	appendLeaf(t, fork, "b")
	follow(t, fork, 0, 1)
	if err := fork.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	elsewhere.Vault = v
	if _, err := ledger.Open(t.Context(), elsewhere); !errors.Is(err, ledger.ErrFork) {
		t.Errorf("a folder with other leaves: %v", err)
	}
}

func BenchmarkAppendToReceipt(b *testing.B) {
	l := open(b, config(b, folder(b, b.TempDir())))
	for i := range b.N {
		appendLeaf(b, l, fmt.Sprint("leaf ", i))
		follow(b, l, uint64(i), 1)
	}
}
