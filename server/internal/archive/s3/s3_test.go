package s3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/archive/archivetest"
	"camseal/server/internal/archive/s3"
	"camseal/server/internal/archive/s3/s3test"
)

var store *s3test.Store

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "s3test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if store, err = s3test.Start(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer store.Stop()
		return m.Run()
	}())
}

func object(name string, b []byte) archive.Object {
	h := evidence.Sum(b)
	return archive.Object{Key: name + "-" + h.String(), Size: int64(len(b)), Hash: h, Until: time.Now().Add(time.Hour)}
}

func put(t testing.TB, v archive.Vault, name string, b []byte) archive.Held {
	t.Helper()
	h, err := v.Put(t.Context(), object(name, b), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func bucket(t testing.TB, name string) s3.Config {
	t.Helper()
	c, err := store.Bucket(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func openVault(t testing.TB, c s3.Config) *s3.Vault {
	t.Helper()
	v, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	archivetest.Run(t, func(t testing.TB) archive.Vault { return store.Vault(t) })
}

func TestIDIsStable(t *testing.T) {
	c := bucket(t, "stable")
	if a, b := openVault(t, c), openVault(t, c); a.ID() != b.ID() {
		t.Fatalf("ids %s and %s", a.ID(), b.ID())
	}
}

// refused demands that the store says no, and not that something else went wrong.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	if status := minio.ToErrorResponse(err).StatusCode; status != http.StatusForbidden {
		t.Errorf("%s: got status %d, %v, want it refused", what, status, err)
	}
}

func TestServersCredentialsCantDelete(t *testing.T) {
	c := bucket(t, "nodelete")
	v := openVault(t, c)
	h := put(t, v, "recordings/a/chunk", []byte("evidence"))
	own, err := minio.New(strings.TrimPrefix(c.Endpoint, "https://"), options(t, c))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	refused(t, "delete a version", own.RemoveObject(ctx, c.Bucket, h.Key, minio.RemoveObjectOptions{VersionID: h.Version}))
	refused(t, "delete a version past governance", own.RemoveObject(ctx, c.Bucket, h.Key, minio.RemoveObjectOptions{VersionID: h.Version, GovernanceBypass: true}))
	refused(t, "delete marker", own.RemoveObject(ctx, c.Bucket, h.Key, minio.RemoveObjectOptions{}))
	refused(t, "delete the bucket", own.RemoveBucket(ctx, c.Bucket))
	refused(t, "suspend versioning", own.SuspendVersioning(ctx, c.Bucket))
	refused(t, "change the policy", own.SetBucketPolicy(ctx, c.Bucket, s3.Policy(c.Bucket, "*")))
	mode, earlier := minio.Compliance, time.Now().Add(time.Minute)
	refused(t, "shorten the lock", own.PutObjectRetention(ctx, c.Bucket, h.Key, minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &earlier, VersionID: h.Version}))
	if err := v.LockCheck(ctx, h.Ref()); err != nil {
		t.Error(err)
	}
	if got, err := v.Stat(ctx, h.Ref()); err != nil || got != h {
		t.Errorf("%+v, %v, was %+v", got, err, h)
	}
	// Root itself can't remove a locked version either.
	if err := store.Admin.RemoveObject(ctx, c.Bucket, h.Key, minio.RemoveObjectOptions{VersionID: h.Version, GovernanceBypass: true}); err == nil {
		t.Error("root deleted a version locked in compliance mode")
	}
}

// TestLockCheckFindsRightsToDelete opens the vault as root: the check must say that these credentials won't do.
func TestLockCheckFindsRightsToDelete(t *testing.T) {
	c := bucket(t, "asroot")
	c.AccessKey, c.SecretKey = store.RootAccess, store.RootSecret
	v := openVault(t, c)
	h := put(t, v, "check/a", []byte("evidence"))
	if err := v.LockCheck(t.Context(), h.Ref()); !errors.Is(err, archive.ErrRefused) || !strings.Contains(err.Error(), "delete marker was allowed") {
		t.Fatalf("got %v", err)
	}
}

func TestWhatRootPutsOverAnObjectChangesNothing(t *testing.T) {
	ctx := t.Context()
	c := bucket(t, "covered")
	v := openVault(t, c)
	right := []byte("the evidence")
	for name, cover := range map[string]func(key string) error{
		"marker": func(key string) error {
			return store.Admin.RemoveObject(ctx, c.Bucket, key, minio.RemoveObjectOptions{})
		},
		"version": func(key string) error {
			b := []byte("something else")
			_, err := store.Admin.PutObject(ctx, c.Bucket, key, bytes.NewReader(b), int64(len(b)), minio.PutObjectOptions{DisableMultipart: true})
			return err
		},
		"both": func(key string) error {
			b := []byte("THE EVIDENCE")
			_, err := store.Admin.PutObject(ctx, c.Bucket, key, bytes.NewReader(b), int64(len(b)), minio.PutObjectOptions{DisableMultipart: true})
			return errors.Join(err, store.Admin.RemoveObject(ctx, c.Bucket, key, minio.RemoveObjectOptions{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := put(t, v, name+"/chunk", right)
			if err := cover(h.Key); err != nil {
				t.Fatal(err)
			}
			for _, ref := range []archive.Ref{h.Ref(), {Key: h.Key, Hash: h.Hash}} {
				if got, err := archive.Read(t.Context(), v, ref, 100); err != nil || !bytes.Equal(got, right) {
					t.Errorf("read %+v: %q, %v", ref, got, err)
				}
				if got, err := v.Stat(t.Context(), ref); err != nil || got != h {
					t.Errorf("stat %+v: %+v, %v", ref, got, err)
				}
			}
			again, err := v.Put(t.Context(), object(name+"/chunk", right), bytes.NewReader(right))
			if err != nil || again.Hash != h.Hash || again.Until.Before(h.Until) {
				t.Errorf("put again: %+v, %v, was %+v", again, err, h)
			}
			n := 0
			for got, err := range v.List(t.Context(), name+"/") {
				n++
				if err != nil || got.Version == "" || got.Hash != h.Hash || got.Size != h.Size {
					t.Errorf("listed %+v, %v", got, err)
				}
			}
			if n != 1 {
				t.Errorf("listed %d", n)
			}
		})
	}
}

func TestUnfitBucketsAreRefused(t *testing.T) {
	ctx := t.Context()
	c := bucket(t, "fit")
	for name, change := range map[string]func(*s3.Config){
		"plain http":     func(c *s3.Config) { c.Endpoint = "http://127.0.0.1:1" },
		"no endpoint":    func(c *s3.Config) { c.Endpoint = "" },
		"no such bucket": func(c *s3.Config) { c.Bucket = "nowhere" },
		"wrong secret":   func(c *s3.Config) { c.SecretKey = "wrong" },
		"no object lock": func(c *s3.Config) {
			c.Bucket = "unlocked"
			err := store.Admin.MakeBucket(ctx, c.Bucket, minio.MakeBucketOptions{})
			if err = errors.Join(err, store.Admin.SetBucketPolicy(ctx, c.Bucket, s3.Policy(c.Bucket, c.AccessKey))); err != nil {
				t.Fatal(err)
			}
		},
		"versioning but no object lock": func(c *s3.Config) {
			c.Bucket = "versioned"
			err := store.Admin.MakeBucket(ctx, c.Bucket, minio.MakeBucketOptions{})
			err = errors.Join(err, store.Admin.EnableVersioning(ctx, c.Bucket), store.Admin.SetBucketPolicy(ctx, c.Bucket, s3.Policy(c.Bucket, c.AccessKey)))
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad := c
			change(&bad)
			if _, err := s3.Open(ctx, bad); !errors.Is(err, archive.ErrRefused) {
				t.Errorf("got %v, want it refused", err)
			} else if strings.Contains(fmt.Sprintf("%v %+v %#v", err, bad, bad), string(c.SecretKey)) {
				t.Error("the secret is shown")
			}
		})
	}
}

// trouble stands before the store and answers PUTs with an error while it is set.
type trouble struct {
	status atomic.Int64
	code   atomic.Value
	proxy  *httputil.ReverseProxy
}

func (p *trouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s := p.status.Load(); s != 0 && r.Method == http.MethodPut {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(int(s))
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", p.code.Load())
		return
	}
	p.proxy.ServeHTTP(w, r)
}

func TestTroubleIsRetryable(t *testing.T) {
	c := bucket(t, "trouble")
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &trouble{proxy: &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u); r.Out.Host = r.In.Host },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true},
	}}
	front := httptest.NewTLSServer(p)
	defer front.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Endpoint, c.CAFile = front.URL, ca
	v := openVault(t, c)
	b := []byte("evidence")
	for code, want := range map[string]error{"XMinioStorageFull": archive.ErrFull, "InternalError": archive.ErrUnavailable, "SlowDown": archive.ErrUnavailable} {
		p.code.Store(code)
		p.status.Store(map[string]int64{"XMinioStorageFull": 507, "InternalError": 500, "SlowDown": 503}[code])
		if _, err := v.Put(t.Context(), object("a/chunk", b), bytes.NewReader(b)); !errors.Is(err, want) || !archive.Retryable(err) {
			t.Errorf("%s: got %v, want %v", code, err, want)
		}
	}
	p.status.Store(0)
	h := put(t, v, "a/chunk", b)
	front.Close()
	if _, err := v.Stat(t.Context(), h.Ref()); !errors.Is(err, archive.ErrUnavailable) {
		t.Errorf("store is gone: got %v", err)
	}
}

func options(t testing.TB, c s3.Config) *minio.Options {
	t.Helper()
	o, err := s3.ClientOptions(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func BenchmarkPut(b *testing.B) {
	v := store.Vault(b)
	buf := bytes.Repeat([]byte("x"), 8<<20)
	b.SetBytes(int64(len(buf)))
	for i := range b.N {
		copy(buf, fmt.Sprint(i, "!", time.Now()))
		put(b, v, "a/b", buf)
	}
}
