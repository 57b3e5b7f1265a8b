package archive_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
)

func TestKeysAreAsTheFormatSays(t *testing.T) {
	device := evidence.DeviceID{0, 11, 0xaa}
	rec := evidence.RecordingID{0xbb}
	head, hash := evidence.Digest{0xcc}, evidence.Digest{0xdd}
	d, r, h, s := device.String(), rec.String(), head.String(), hash.String()
	logID := archive.LogID("example.com/log+00000000+AAAA")
	if len(logID) != 16 || !strings.HasPrefix(evidence.Sum([]byte("example.com/log+00000000+AAAA")).String(), logID) {
		t.Errorf("log id %q", logID)
	}
	for got, want := range map[string]string{
		archive.ChunkKey(device, rec, 7, hash):        "recordings/" + d + "/" + r + "/chunks/00000007-" + s,
		archive.StatementsKey(device, rec, 12, hash):  "recordings/" + d + "/" + r + "/statements/000000000012-" + s,
		archive.ManifestKey(device, rec, 8, hash):     "recordings/" + d + "/" + r + "/manifests/00000008-" + s,
		archive.DeviceStatementsKey(device, 12, hash): "devices/" + d + "/statements/000000000012-" + s,
		archive.BatchKey(device, 19, head, hash):      "devices/" + d + "/batches/000000000019-" + h + "-" + s,
		archive.CustodyKey(hash):                      "custody/" + s,
		archive.LeavesKey(logID, 3, hash):             "log/" + logID + "/leaves/000000000003-" + s,
		archive.CheckpointKey(logID, 4, hash):         "log/" + logID + "/checkpoints/000000000004-" + s,
		archive.ReceiptKey(logID, 5, hash):            "receipts/" + logID + "/000000000005-" + s,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := archive.CheckKey(got, hash); err != nil {
			t.Error(err)
		}
		if err := archive.CheckKey(got, head); !errors.Is(err, archive.ErrKey) {
			t.Errorf("%s with another hash: %v", got, err)
		}
	}
	if n, err := archive.NumberOf(archive.BatchKey(device, 19, head, hash)); n != 19 || err != nil {
		t.Errorf("number %d, %v", n, err)
	}
	if _, err := archive.NumberOf(archive.CustodyKey(hash)); !errors.Is(err, archive.ErrKey) {
		t.Errorf("number of a custody key: %v", err)
	}
}

// endless gives n bytes without holding them.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := int(min(e.n, int64(len(p))))
	clear(p[:n])
	e.n -= int64(n)
	return n, nil
}

func TestFolderHoldsNoObjectInMemory(t *testing.T) {
	const size = 96 << 20
	f := open(t, t.TempDir(), archive.FolderOptions{})
	hash := evidence.Digest{}
	{
		b := make([]byte, size)
		hash = evidence.Sum(b)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := f.Put(t.Context(), archive.Object{Key: "a/" + hash.String(), Size: size, Hash: hash, Until: until}, &endless{size}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Fatalf("put of %d bytes allocated %d", size, used)
	}
}

func TestReadRefusesTooMuch(t *testing.T) {
	f := open(t, t.TempDir(), archive.FolderOptions{})
	h := put(t, f, "a/b", bytes.Repeat([]byte("x"), 100))
	if _, err := archive.Read(t.Context(), f, h.Ref(), 99); err == nil {
		t.Error("read more than the limit")
	}
	if b, err := archive.Read(t.Context(), f, h.Ref(), 100); err != nil || len(b) != 100 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
