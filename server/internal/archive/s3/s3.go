// Package s3 is the vault in an S3 bucket with object lock in compliance mode.
//
// The bucket needs versioning and object lock, and the server's own credentials must lack every right to delete:
// Policy is a bucket policy that grants what the server needs and no more. Somebody with more rights can still put a
// delete marker or a new version over a locked object (that is how S3 works), but not remove it; so this package
// never reads "the latest", but the version whose SHA-256 is the one asked for.
package s3

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
)

// Secret is a text that is never shown.
type Secret string

// String implements fmt.Stringer without the secret.
func (Secret) String() string { return "(secret)" }

// GoString implements fmt.GoStringer without the secret.
func (Secret) GoString() string { return "(secret)" }

// MarshalText implements encoding.TextMarshaler without the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// Config says where the bucket is.
type Config struct {
	Endpoint  string // https://host[:port]; plain http is refused, since nothing would protect bytes and locks on the way
	Bucket    string
	Region    string // default us-east-1
	AccessKey string
	SecretKey Secret
	CAFile    string           // PEM; default: the system's
	Now       func() time.Time // default time.Now
}

// Vault is a bucket.
type Vault struct {
	client *minio.Client
	core   minio.Core
	http   *http.Client
	bucket string
	id     string
}

var (
	_ archive.Vault       = (*Vault)(nil)
	_ archive.LockChecker = (*Vault)(nil)
)

const (
	idPrefix    = "vault/"
	idRetention = 30 * 365 * 24 * time.Hour
	maxRetries  = 3
)

// Open connects to the bucket and checks that it is fit for evidence: versioning and object lock must be on. A bucket
// without a vault's id gets one; let one server do that before others are pointed at it.
func Open(ctx context.Context, c Config) (*Vault, error) {
	v, err := connect(c)
	if err != nil {
		return nil, fmt.Errorf("vault %s: %w", c.Bucket, err)
	}
	if err := v.checkBucket(ctx); err != nil {
		return nil, fmt.Errorf("vault %s: %w", c.Bucket, err)
	}
	now := c.Now
	if now == nil {
		now = time.Now
	}
	if v.id, err = v.readID(ctx, now); err != nil {
		return nil, fmt.Errorf("vault %s: id: %w", c.Bucket, err)
	}
	return v, nil
}

func connect(c Config) (*Vault, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%w: endpoint %q is not https://host[:port]", archive.ErrRefused, c.Endpoint)
	}
	opts, err := clientOptions(c)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(u.Host, opts)
	if err != nil {
		return nil, err
	}
	return &Vault{client: client, core: minio.Core{Client: client}, http: &http.Client{Transport: opts.Transport}, bucket: c.Bucket}, nil
}

func clientOptions(c Config) (*minio.Options, error) {
	transport, err := minio.DefaultTransport(true)
	if err != nil {
		return nil, err
	}
	transport.MaxIdleConnsPerHost = 64
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: no certificate in %s", archive.ErrRefused, c.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	region := c.Region
	if region == "" {
		region = "us-east-1"
	}
	return &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKey, string(c.SecretKey), ""), Secure: true, Transport: transport,
		Region: region, TrailingHeaders: true, MaxRetries: maxRetries,
	}, nil
}

func (v *Vault) checkBucket(ctx context.Context) error {
	versioning, err := v.client.GetBucketVersioning(ctx, v.bucket)
	if err != nil {
		return fmt.Errorf("versioning: %w", wrap(err))
	}
	if !versioning.Enabled() {
		return fmt.Errorf("%w: versioning is not on; make a bucket with object lock for the evidence", archive.ErrRefused)
	}
	lock, _, _, _, err := v.client.GetObjectLockConfig(ctx, v.bucket)
	if minio.ToErrorResponse(err).Code == "ObjectLockConfigurationNotFoundError" {
		err, lock = nil, ""
	}
	if err != nil {
		return fmt.Errorf("object lock: %w", wrap(err))
	}
	if lock != "Enabled" {
		return fmt.Errorf("%w: object lock is not on; it can only be chosen when a bucket is made: make one with it", archive.ErrRefused)
	}
	return nil
}

// readID reads the vault's id, an object below vault/, or writes one. Of several, made at once, the oldest counts.
func (v *Vault) readID(ctx context.Context, now func() time.Time) (string, error) {
	id, err := v.oldestID(ctx)
	if !errors.Is(err, archive.ErrNotFound) {
		return id, err
	}
	var raw [16]byte
	rand.Read(raw[:])
	b := []byte(hex.EncodeToString(raw[:]))
	if _, err := archive.PutBytes(ctx, v, func(h evidence.Digest) string { return idPrefix + h.String() }, b, now().Add(idRetention)); err != nil {
		return "", err
	}
	return v.oldestID(ctx)
}

func (v *Vault) oldestID(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var oldest minio.ObjectInfo
	for o := range v.client.ListObjectsIter(ctx, v.bucket, minio.ListObjectsOptions{Prefix: idPrefix, Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			return "", wrap(o.Err)
		}
		if !o.IsDeleteMarker && (oldest.Key == "" || o.LastModified.Before(oldest.LastModified)) {
			oldest = o
		}
	}
	if oldest.Key == "" {
		return "", archive.ErrNotFound
	}
	hash, err := archive.HashOf(oldest.Key)
	if err != nil {
		return "", err
	}
	b, err := archive.Read(ctx, v, archive.Ref{Key: oldest.Key, Hash: hash}, 64)
	return string(b), err
}

// ID implements archive.Vault.
func (v *Vault) ID() string { return v.id }

// Lock implements archive.Vault.
func (v *Vault) Lock() evidence.Lock { return evidence.LockCompliance }

// Policy is a bucket policy (AWS policy language, version 2012-10-17) for the server's own credentials: it may put and
// read objects and lengthen locks. It may not delete, not even by a marker, nor change the bucket. principal is the
// user's ARN, or the access key where the store knows no ARNs. disposal are the principals of a Disposer, if there is one: they may see locks and
// delete; the store refuses whatever is locked all the same.
func Policy(bucket, principal string, disposal ...string) string {
	type statement struct {
		Effect    string
		Principal map[string][]string
		Action    []string
		Resource  []string
	}
	who := map[string][]string{"AWS": {principal}}
	arn := "arn:aws:s3:::" + bucket
	statements := []statement{
		{"Allow", who, []string{"s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"}, []string{arn}},
		{"Allow", who, []string{"s3:PutObject", "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:PutObjectRetention"}, []string{arn + "/*"}},
		{"Deny", who, []string{"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"}, []string{arn + "/*"}},
	}
	if len(disposal) > 0 {
		who := map[string][]string{"AWS": disposal}
		statements = append(statements,
			statement{"Allow", who, []string{"s3:ListBucket", "s3:ListBucketVersions"}, []string{arn}},
			statement{"Allow", who, []string{"s3:GetObjectRetention", "s3:DeleteObject", "s3:DeleteObjectVersion"}, []string{arn + "/*"}})
	}
	b, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}, "", "  ")
	if err != nil {
		return ""
	}
	return string(b)
}

// wrap sorts the store's errors into those that the server decides by.
func wrap(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	r := minio.ToErrorResponse(err)
	switch r.Code {
	case "NoSuchKey", "NoSuchVersion", "InvalidVersionId", "MethodNotAllowed":
		return fmt.Errorf("%w: %w", archive.ErrNotFound, err)
	case "XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "XAmzStorageFull":
		return fmt.Errorf("%w; nothing of this object was kept, make space and try again: %w", archive.ErrFull, err)
	case "BadDigest", "XAmzContentChecksumMismatch", "RequestTimeout", "SlowDown", "IncompleteBody":
		return fmt.Errorf("%w: %w", archive.ErrUnavailable, err)
	}
	switch {
	case r.StatusCode == 404 && r.Code != "NoSuchBucket":
		return fmt.Errorf("%w: %w", archive.ErrNotFound, err)
	case r.StatusCode == 507 || strings.Contains(strings.ToLower(r.Message), "no space left"):
		return fmt.Errorf("%w; nothing of this object was kept, make space and try again: %w", archive.ErrFull, err)
	case r.StatusCode == 0 || r.StatusCode >= 500 || r.StatusCode == 429 || r.StatusCode == 408:
		return fmt.Errorf("%w: %w", archive.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", archive.ErrRefused, err)
}

func base64Hash(h evidence.Digest) string { return base64.StdEncoding.EncodeToString(h[:]) }
