// Package s3test runs a real S3 server with object lock (versitygw) for tests and measurements.
package s3test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"camseal/scripts/freeport"
	"camseal/server/internal/archive/s3"
)

// BinaryVar is the environment variable that names the versitygw binary; without it, PATH is searched.
const BinaryVar = "CAMSEAL_VERSITYGW"

const startTimeout = 30 * time.Second

// Store is a running S3 server.
type Store struct {
	Endpoint string // https://127.0.0.1:port
	CAFile   string
	Dir      string // its data and everything else; made by the caller

	// The server's own credentials: role "user", only what the bucket policy grants.
	AccessKey string
	SecretKey s3.Secret

	// Those of disposal, which may delete what is not locked.
	DisposeAccess string
	DisposeSecret s3.Secret

	// Root's, which may do anything that S3 allows.
	RootAccess string
	RootSecret s3.Secret

	Admin *minio.Client // as root

	cmd    *exec.Cmd
	output *bytes.Buffer
	exited chan struct{}
}

// Start runs a store in dir until stop is called. It fails if there is no versitygw.
func Start(ctx context.Context, dir string) (*Store, error) {
	binary := os.Getenv(BinaryVar)
	if binary == "" {
		var err error
		if binary, err = exec.LookPath("versitygw"); err != nil {
			return nil, fmt.Errorf("no versitygw: build it from deploy/tools, and name it in %s or put it in PATH: %w", BinaryVar, err)
		}
	}
	s := &Store{Dir: dir, AccessKey: "camseal", SecretKey: s3.Secret(random()), DisposeAccess: "disposal", DisposeSecret: s3.Secret(random()), RootAccess: "root", RootSecret: s3.Secret(random())}
	for _, d := range []string{"data", "versions", "iam"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(s.makeCertificate(), s.makeUser()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.run(ctx, binary)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("versitygw: %w: %s", err, s.output)
		}
	}
}

// New starts a store for a test, which ends with it.
func New(t testing.TB) *Store {
	t.Helper()
	s, err := Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// run starts the server on a free port and waits until it answers. Another process may take the port in between: then
// the error is returned and the caller tries again.
func (s *Store) run(ctx context.Context, binary string) error {
	addr, _, err := freeport.New()
	if err != nil {
		return err
	}
	s.Endpoint, s.output, s.exited = "https://"+addr, &bytes.Buffer{}, make(chan struct{})
	file := func(name string) string { return filepath.Join(s.Dir, name) }
	// The process outlives ctx, which only bounds the start; Stop ends it.
	s.cmd = exec.Command(binary, "--port", addr, "--cert", file("cert.pem"), "--key", file("key.pem"), "--iam-dir", file("iam"),
		"--quiet", "posix", "--versioning-dir", file("versions"), file("data"))
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.RootAccess, "ROOT_SECRET_KEY="+string(s.RootSecret))
	out := &lockedBuffer{b: s.output}
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	if s.Admin, err = s.client(s.RootAccess, s.RootSecret); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err = s.Admin.ListBuckets(ctx); err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("ended at once: %w", err)
		case <-ctx.Done():
			s.Stop()
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// Stop ends the server, if it still runs.
func (s *Store) Stop() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// PID is the store's process.
func (s *Store) PID() int { return s.cmd.Process.Pid }

// Bucket makes a bucket with object lock, and gives the server's credentials the rights of s3.Policy.
func (s *Store) Bucket(ctx context.Context, name string) (s3.Config, error) {
	if err := s.Admin.MakeBucket(ctx, name, minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		return s3.Config{}, err
	}
	if err := s.Admin.SetBucketPolicy(ctx, name, s3.Policy(name, s.AccessKey, s.DisposeAccess)); err != nil {
		return s3.Config{}, err
	}
	return s3.Config{Endpoint: s.Endpoint, Bucket: name, AccessKey: s.AccessKey, SecretKey: s.SecretKey, CAFile: s.CAFile}, nil
}

// Vault makes a bucket and opens it as a vault with the server's own credentials.
func (s *Store) Vault(t testing.TB) *s3.Vault {
	t.Helper()
	c, err := s.Bucket(t.Context(), "evidence-"+random()[:8])
	if err != nil {
		t.Fatal(err)
	}
	v, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (s *Store) client(access string, secret s3.Secret) (*minio.Client, error) {
	ca, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport, err := minio.DefaultTransport(true)
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return minio.New(s.Endpoint[len("https://"):], &minio.Options{Creds: credentials.NewStaticV4(access, string(secret), ""), Secure: true,
		Transport: transport, Region: "us-east-1", TrailingHeaders: true, MaxRetries: 1})
}

// makeUser writes the account file of versitygw's internal IAM.
func (s *Store) makeUser() error {
	b, err := json.Marshal(map[string]any{"accessAccounts": map[string]any{
		s.AccessKey:     map[string]any{"access": s.AccessKey, "secret": string(s.SecretKey), "role": "user"},
		s.DisposeAccess: map[string]any{"access": s.DisposeAccess, "secret": string(s.DisposeSecret), "role": "user"},
	}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "iam", "users.json"), b, 0o600)
}

// makeCertificate writes a throw-away certificate for 127.0.0.1, which is its own CA.
func (s *Store) makeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "throw-away S3"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	s.CAFile = filepath.Join(s.Dir, "cert.pem")
	return errors.Join(
		os.WriteFile(s.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(filepath.Join(s.Dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
	)
}

func random() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// lockedBuffer keeps the end of what the server says.
type lockedBuffer struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 64<<10 {
		l.b.Reset()
	}
	return l.b.Write(p)
}
