package s3

import (
	"context"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"

	"camseal/server/internal/archive"
)

// Disposer removes objects by credentials of its own, which may delete what is no longer locked. The server's own may not.
type Disposer struct{ v *Vault }

var _ archive.Disposer = (*Disposer)(nil)

// NewDisposer makes a Disposer; c holds its credentials. Nothing is asked of the store yet.
func NewDisposer(c Config) (*Disposer, error) {
	v, err := connect(c)
	if err != nil {
		return nil, fmt.Errorf("disposal from %s: %w", c.Bucket, err)
	}
	return &Disposer{v}, nil
}

// Dispose implements archive.Disposer. Nothing is removed before the lock of every version was looked at; the store itself refuses whatever is
// locked all the same.
func (d *Disposer) Dispose(ctx context.Context, key string, now time.Time) error {
	hash, err := archive.HashOf(key)
	if err == nil {
		err = archive.CheckKey(key, hash)
	}
	if err != nil {
		return fmt.Errorf("dispose: %w", err)
	}
	versions, err := d.versions(ctx, key)
	if err != nil {
		return fmt.Errorf("dispose of %s: %w", key, err)
	}
	for i := range versions {
		if versions[i].IsDeleteMarker {
			continue
		}
		if err := d.unlocked(ctx, &versions[i], now); err != nil {
			return fmt.Errorf("dispose: %w", err)
		}
	}
	for _, o := range versions {
		if err := d.v.client.RemoveObject(ctx, d.v.bucket, key, minio.RemoveObjectOptions{VersionID: o.VersionID}); err != nil {
			return fmt.Errorf("dispose of %s, version %s: %w", key, o.VersionID, wrap(err))
		}
	}
	return nil
}

// versions lists all versions and delete markers of a key.
func (d *Disposer) versions(ctx context.Context, key string) (out []minio.ObjectInfo, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range d.v.client.ListObjectsIter(ctx, d.v.bucket, minio.ListObjectsOptions{Prefix: key, Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			return nil, wrap(o.Err)
		}
		if o.Key == key {
			out = append(out, o)
		}
	}
	return out, nil
}

func (d *Disposer) unlocked(ctx context.Context, o *minio.ObjectInfo, now time.Time) error {
	if o.Metadata == nil {
		o.Metadata = map[string][]string{}
	}
	if err := d.v.askLock(ctx, o, o.VersionID); err != nil {
		return fmt.Errorf("lock of %s, version %s: %w", o.Key, o.VersionID, err)
	}
	text := o.Metadata.Get(lockUntil)
	if text == "" {
		return nil
	}
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("lock of %s, version %s: %w: %w", o.Key, o.VersionID, archive.ErrRefused, err)
	}
	if until.After(now) {
		return &archive.Locked{Key: o.Key, Until: until.UTC()}
	}
	return nil
}
