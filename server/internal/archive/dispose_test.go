package archive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
)

// TestDisposalFromFolder: what is locked stays; what is not goes with its retention, half removed ones too, and may be put again.
func TestDisposalFromFolder(t *testing.T) {
	ctx, root, now := t.Context(), filepath.Join(t.TempDir(), "vault"), time.Now()
	f, err := archive.OpenFolder(root, archive.FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := []byte("footage")
	o := archive.Object{Key: "recordings/a/" + evidence.Sum(b).String(), Hash: evidence.Sum(b), Size: int64(len(b)), Until: now.Add(time.Hour)}
	h, err := f.Put(ctx, o, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var locked *archive.Locked
	if err := f.Dispose(ctx, o.Key, now.Add(59*time.Minute)); !errors.As(err, &locked) || !locked.Until.Equal(h.Until) {
		t.Errorf("locked: %v", err)
	}
	if got, err := f.Stat(ctx, h.Ref()); err != nil || got != h {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, bad := range []string{"../x-" + o.Hash.String(), "recordings/a/x", ""} {
		if err := f.Dispose(ctx, bad, now.Add(2*time.Hour)); !errors.Is(err, archive.ErrKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := os.Remove(filepath.Join(root, "objects", o.Key)); err != nil { // as a crash may leave it
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Dispose(ctx, o.Key, h.Until); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, "retention", o.Key)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the retention is left: %v", err)
	}
	if _, err := f.Put(ctx, o, bytes.NewReader(b)); err != nil {
		t.Errorf("put again: %v", err)
	}
	if err := f.Dispose(ctx, o.Key, h.Until); err != nil {
		t.Error(err)
	}
	if _, err := f.Stat(ctx, h.Ref()); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("after: %v", err)
	}
}
