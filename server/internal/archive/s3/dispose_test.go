package s3_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/archive/s3"
)

// TestDisposalOnS3: what is locked stays, whoever asks and whatever clock is believed; what is not goes with all its versions and markers; and the
// server's own credentials can't do it.
func TestDisposalOnS3(t *testing.T) {
	ctx := t.Context()
	c := bucket(t, "disposal")
	v := openVault(t, c)
	own := c
	c.AccessKey, c.SecretKey = store.DisposeAccess, store.DisposeSecret
	d, err := s3.NewDisposer(c)
	if err != nil {
		t.Fatal(err)
	}
	h := put(t, v, "recordings/a/locked", []byte("locked for long"))
	var locked *archive.Locked
	if err := d.Dispose(ctx, h.Key, time.Now()); !errors.As(err, &locked) || locked.Until.IsZero() {
		t.Errorf("a locked object: %v", err)
	}
	if err := d.Dispose(ctx, h.Key, h.Until.Add(time.Hour)); err == nil {
		t.Error("a locked object went because the server's clock was ahead")
	}
	if got, err := v.Stat(ctx, h.Ref()); err != nil || got != h {
		t.Errorf("%+v, %v; was %+v", got, err, h)
	}

	b := []byte("locked for seconds")
	o := object("recordings/a/short", b)
	o.Until = time.Now().Add(3 * time.Second)
	held, err := v.Put(ctx, o, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	// Somebody with more rights put another version and a delete marker over it.
	if _, err := store.Admin.PutObject(ctx, c.Bucket, o.Key, bytes.NewReader([]byte("over")), 4, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Admin.RemoveObject(ctx, c.Bucket, o.Key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Dispose(ctx, o.Key, time.Now()); !errors.As(err, &locked) {
		t.Errorf("before the lock's end: %v", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !time.Now().After(held.Until.Add(time.Second)) {
		<-tick.C
	}
	withOwn, err := s3.NewDisposer(own)
	if err != nil {
		t.Fatal(err)
	}
	if err := withOwn.Dispose(ctx, o.Key, time.Now()); err == nil {
		t.Error("the server's own credentials can delete")
	}
	for range 2 { // the second time there is nothing
		if err := d.Dispose(ctx, o.Key, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for x := range store.Admin.ListObjectsIter(ctx, c.Bucket, minio.ListObjectsOptions{Prefix: o.Key, Recursive: true, WithVersions: true}) {
		t.Errorf("left: %+v, %v", x.Key, x.Err)
	}
	if _, err := v.Stat(ctx, archive.Ref{Key: o.Key, Hash: evidence.Sum(b)}); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("after: %v", err)
	}
}
