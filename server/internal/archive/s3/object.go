package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"

	"camseal/server/internal/archive"
)

// Put implements archive.Vault. The bytes go out in one request whose signed headers fix checksum and lock. Their
// last piece is held back until all of them were found right here, so a wrong object is never complete there.
func (v *Vault) Put(ctx context.Context, o archive.Object, r io.Reader) (archive.Held, error) {
	if err := archive.CheckObject(o); err != nil {
		return archive.Held{}, err
	}
	o.Until = archive.WholeSecond(o.Until)
	h, err := v.put(ctx, o, r)
	if err != nil {
		return archive.Held{}, fmt.Errorf("put %s: %w", o.Key, err)
	}
	if h.Hash != o.Hash || h.Size != o.Size || h.Until.Before(o.Until) {
		return archive.Held{}, fmt.Errorf("put %s: %w: read back is version %s, %d bytes, %s, locked until %s", o.Key, archive.ErrRefused, h.Version, h.Size, h.Hash, h.Until)
	}
	return h, nil
}

func (v *Vault) put(ctx context.Context, o archive.Object, r io.Reader) (archive.Held, error) {
	info, err := v.latest(ctx, o.Key)
	switch {
	case err == nil && info.ChecksumSHA256 == base64Hash(o.Hash):
		return v.lengthen(ctx, info, o.Until)
	case err == nil || info.IsDeleteMarker:
		// Somebody put something over it: look for our own bytes below.
		info, err := v.find(ctx, archive.Ref{Key: o.Key, Hash: o.Hash})
		if err == nil {
			return v.lengthen(ctx, info, o.Until)
		}
		if !errors.Is(err, archive.ErrNotFound) {
			return archive.Held{}, err
		}
	case !errors.Is(err, archive.ErrNotFound):
		return archive.Held{}, err
	}
	src := archive.NewChecked(ctx, o, r)
	var body io.Reader = src
	if o.Size == 0 {
		if _, err := src.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			return archive.Held{}, err
		}
		body = bytes.NewReader(nil)
	}
	up, err := v.client.PutObject(ctx, v.bucket, o.Key, body, o.Size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", DisableMultipart: true, DisableContentSha256: true,
		UserMetadata: map[string]string{"x-amz-checksum-sha256": base64Hash(o.Hash)},
		Mode:         minio.Compliance, RetainUntilDate: o.Until,
	})
	if src.Err() != nil {
		return archive.Held{}, src.Err()
	}
	if err != nil {
		return archive.Held{}, wrap(err)
	}
	if up.VersionID == "" {
		return archive.Held{}, fmt.Errorf("%w: the store gave no version id", archive.ErrRefused)
	}
	return v.Stat(ctx, archive.Ref{Key: o.Key, Version: up.VersionID, Hash: o.Hash})
}

// lengthen locks the version until then if it is not locked for as long already, and reads it back.
func (v *Vault) lengthen(ctx context.Context, info minio.ObjectInfo, until time.Time) (archive.Held, error) {
	h, err := held(info)
	if err != nil || !h.Until.Before(until) {
		return h, err
	}
	mode := minio.Compliance
	err = v.client.PutObjectRetention(ctx, v.bucket, info.Key, minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until, VersionID: info.VersionID})
	if err != nil {
		return archive.Held{}, fmt.Errorf("lock until %s: %w", until, wrap(err))
	}
	return v.Stat(ctx, h.Ref())
}

// Stat implements archive.Vault: the store's own record of size, checksum, version and lock.
func (v *Vault) Stat(ctx context.Context, ref archive.Ref) (archive.Held, error) {
	info, err := v.resolve(ctx, ref)
	if err != nil {
		return archive.Held{}, fmt.Errorf("stat: %w", err)
	}
	return held(info)
}

// Extend implements archive.Vault.
func (v *Vault) Extend(ctx context.Context, ref archive.Ref, until time.Time) (archive.Held, error) {
	until = archive.WholeSecond(until)
	info, err := v.resolve(ctx, ref)
	if err != nil {
		return archive.Held{}, fmt.Errorf("extend: %w", err)
	}
	h, err := held(info)
	if err != nil {
		return archive.Held{}, err
	}
	if until.Before(h.Until) {
		return archive.Held{}, fmt.Errorf("extend %s: %w: it is locked until %s, asked was %s", ref.Key, archive.ErrShorten, h.Until, until)
	}
	return v.lengthen(ctx, info, until)
}

// Open implements archive.Vault.
func (v *Vault) Open(ctx context.Context, ref archive.Ref, offset int64) (io.ReadCloser, error) {
	info, err := v.resolve(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if offset < 0 {
		return nil, fmt.Errorf("open %s at %d: %w", ref.Key, offset, archive.ErrRefused)
	}
	if offset >= info.Size {
		return io.NopCloser(bytes.NewReader(nil)), nil // a store answers such a range with an error
	}
	opts := minio.GetObjectOptions{VersionID: info.VersionID}
	if offset > 0 {
		if err := opts.SetRange(offset, 0); err != nil {
			return nil, fmt.Errorf("open %s: %w", ref.Key, err)
		}
	}
	body, _, _, err := v.core.GetObject(ctx, v.bucket, ref.Key, opts)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref.Key, wrap(err))
	}
	return body, nil
}

// resolve finds the version that ref means and checks its hash.
func (v *Vault) resolve(ctx context.Context, ref archive.Ref) (minio.ObjectInfo, error) {
	if err := archive.CheckKey(ref.Key, ref.Hash); err != nil {
		return minio.ObjectInfo{}, err
	}
	if ref.Version != "" {
		info, err := v.stat(ctx, ref.Key, ref.Version)
		if err == nil && info.ChecksumSHA256 != base64Hash(ref.Hash) {
			err = fmt.Errorf("%s: %w: version %s has the checksum %q", ref.Key, archive.ErrNotFound, ref.Version, info.ChecksumSHA256)
		}
		return info, err
	}
	info, err := v.latest(ctx, ref.Key)
	if err == nil && info.ChecksumSHA256 == base64Hash(ref.Hash) {
		return info, nil
	}
	if err != nil && !errors.Is(err, archive.ErrNotFound) {
		return minio.ObjectInfo{}, err
	}
	return v.find(ctx, ref)
}

// find goes through all versions of a key for one that has the hash.
func (v *Vault) find(ctx context.Context, ref archive.Ref) (minio.ObjectInfo, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range v.client.ListObjectsIter(ctx, v.bucket, minio.ListObjectsOptions{Prefix: ref.Key, Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			return minio.ObjectInfo{}, fmt.Errorf("%s: versions: %w", ref.Key, wrap(o.Err))
		}
		if o.Key != ref.Key || o.IsDeleteMarker {
			continue
		}
		info, err := v.stat(ctx, o.Key, o.VersionID)
		if err == nil && info.ChecksumSHA256 == base64Hash(ref.Hash) {
			return info, nil
		}
		if err != nil && !errors.Is(err, archive.ErrNotFound) {
			return minio.ObjectInfo{}, err
		}
	}
	return minio.ObjectInfo{}, fmt.Errorf("%s: %w", ref.Key, archive.ErrNotFound)
}

func (v *Vault) latest(ctx context.Context, key string) (minio.ObjectInfo, error) {
	return v.stat(ctx, key, "")
}

func (v *Vault) stat(ctx context.Context, key, version string) (minio.ObjectInfo, error) {
	info, err := v.client.StatObject(ctx, v.bucket, key, minio.StatObjectOptions{VersionID: version, Checksum: true})
	if err != nil {
		return info, fmt.Errorf("%s: %w", key, wrap(err))
	}
	if version == "" || info.Metadata.Get(lockMode) != "" {
		return info, nil
	}
	// versitygw leaves the lock out of its answer for a version that is not the latest; asked for by itself, it tells.
	if err := v.askLock(ctx, &info, version); err != nil {
		return info, fmt.Errorf("%s: lock of version %s: %w", key, version, err)
	}
	return info, nil
}

// askLock asks for a version's retention. minio-go's own call demands another root element than versitygw sends.
func (v *Vault) askLock(ctx context.Context, info *minio.ObjectInfo, version string) error {
	u, err := v.client.Presign(ctx, http.MethodGet, v.bucket, info.Key, time.Minute, url.Values{"retention": {""}, "versionId": {version}})
	if err != nil {
		return wrap(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := v.http.Do(req)
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err // the address holds a signature
	}
	if err != nil {
		return fmt.Errorf("%w: %w", archive.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	var answer struct {
		Mode            string `xml:"Mode"`
		RetainUntilDate string `xml:"RetainUntilDate"`
		Code            string `xml:"Code"`
	}
	if err := xml.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return fmt.Errorf("%w: %w", archive.ErrUnavailable, err)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		info.Metadata.Set(lockMode, answer.Mode)
		info.Metadata.Set(lockUntil, answer.RetainUntilDate)
		return nil
	case answer.Code == "NoSuchObjectLockConfiguration":
		return nil
	}
	return wrap(minio.ErrorResponse{StatusCode: resp.StatusCode, Code: answer.Code, Message: "retention: " + resp.Status})
}

const (
	maxAnswer = 64 << 10
	lockMode  = "X-Amz-Object-Lock-Mode"
	lockUntil = "X-Amz-Object-Lock-Retain-Until-Date"
)

// held turns the store's answer into what the vault holds. A lock that is not in compliance mode counts as none.
func held(info minio.ObjectInfo) (archive.Held, error) {
	hash, err := archive.HashOf(info.Key)
	if err != nil {
		return archive.Held{}, err
	}
	h := archive.Held{Key: info.Key, Version: info.VersionID, Size: info.Size, Hash: hash}
	if info.Metadata.Get(lockMode) == string(minio.Compliance) {
		t, err := time.Parse(time.RFC3339, info.Metadata.Get(lockUntil))
		if err != nil {
			return archive.Held{}, fmt.Errorf("%s: %w: its lock can't be read: %w", info.Key, archive.ErrRefused, err)
		}
		h.Until = t.UTC().Truncate(time.Second)
	}
	return h, nil
}

// List implements archive.Vault. It goes by versions, so that a delete marker hides nothing. Version is given where
// there is only one; size is that of the right version.
func (v *Vault) List(ctx context.Context, prefix string) iter.Seq2[archive.Held, error] {
	return func(yield func(archive.Held, error) bool) {
		if err := archive.CheckPrefix(prefix); err != nil {
			yield(archive.Held{}, fmt.Errorf("list: %w", err))
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var versions []minio.ObjectInfo // of one key
		for o := range v.client.ListObjectsIter(ctx, v.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}) {
			if o.Err != nil {
				yield(archive.Held{}, fmt.Errorf("list %s: %w", prefix, wrap(o.Err)))
				return
			}
			if len(versions) > 0 && versions[0].Key != o.Key {
				if !v.listOne(ctx, versions, yield) {
					return
				}
				versions = versions[:0]
			}
			if !o.IsDeleteMarker {
				versions = append(versions, o)
			}
		}
		v.listOne(ctx, versions, yield)
	}
}

func (v *Vault) listOne(ctx context.Context, versions []minio.ObjectInfo, yield func(archive.Held, error) bool) bool {
	if len(versions) == 0 {
		return true
	}
	hash, err := archive.HashOf(versions[0].Key)
	if err != nil {
		return true // not put by a vault
	}
	if len(versions) == 1 {
		return yield(archive.Held{Key: versions[0].Key, Version: versions[0].VersionID, Size: versions[0].Size, Hash: hash}, nil)
	}
	info, err := v.find(ctx, archive.Ref{Key: versions[0].Key, Hash: hash})
	if errors.Is(err, archive.ErrNotFound) {
		return true
	}
	if err != nil {
		return yield(archive.Held{}, err)
	}
	return yield(archive.Held{Key: info.Key, Version: info.VersionID, Size: info.Size, Hash: hash}, nil)
}

// LockCheck implements archive.LockChecker: with the server's own credentials it tries to delete the version, to hide
// it under a delete marker and to shorten its lock. All must be refused.
func (v *Vault) LockCheck(ctx context.Context, ref archive.Ref) error {
	before, err := v.Stat(ctx, ref)
	if err != nil {
		return err
	}
	refused := func(what string, err error) error {
		if err == nil {
			return fmt.Errorf("%w to be trusted: %s was allowed; take the right to do so from the server's credentials (see the bucket policy in the handbook)", archive.ErrRefused, what)
		}
		if s := minio.ToErrorResponse(err).StatusCode; s < http.StatusBadRequest || s >= http.StatusInternalServerError {
			return fmt.Errorf("%s: %w", what, wrap(err))
		}
		return nil
	}
	mode, earlier := minio.Compliance, before.Until.Add(-time.Minute)
	err = errors.Join(
		refused("deleting a locked version", v.client.RemoveObject(ctx, v.bucket, ref.Key, minio.RemoveObjectOptions{VersionID: before.Version})),
		refused("a delete marker", v.client.RemoveObject(ctx, v.bucket, ref.Key, minio.RemoveObjectOptions{})),
		refused("shortening a lock", v.client.PutObjectRetention(ctx, v.bucket, ref.Key,
			minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &earlier, VersionID: before.Version})),
	)
	if err != nil {
		return err
	}
	after, err := v.Stat(ctx, before.Ref())
	if err == nil && after != before {
		err = fmt.Errorf("%w to be trusted: was %+v, is %+v", archive.ErrRefused, before, after)
	}
	return err
}
