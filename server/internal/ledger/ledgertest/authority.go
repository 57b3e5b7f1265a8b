// Package ledgertest holds what tests have sign beside a log's key.
package ledgertest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

const opensslConfig = `
[ tsa ]
dir = .
serial = serial
crypto_device = builtin
signer_cert = tsa.pem
certs = ca.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[ ext ]
extendedKeyUsage = critical,timeStamping
`

// Authority is a time stamping authority: openssl ts behind HTTP, with a CA of its own.
type Authority struct {
	*httptest.Server
	dir    string
	Answer atomic.Pointer[func(w http.ResponseWriter, query []byte)] // instead of openssl's
	Asked  atomic.Int64
}

// NewAuthority starts one, until the test ends.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{dir: t.TempDir()}
	write(t, filepath.Join(a.dir, "tsa.cnf"), []byte(opensslConfig))
	for _, args := range []string{
		"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=test-ca -days 2",
		"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tsa.key -out tsa.csr -subj /CN=test-tsa",
		"x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tsa.pem -days 2 -extfile tsa.cnf -extensions ext",
	} {
		a.openssl(t, strings.Fields(args)...)
	}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Asked.Add(1)
		query, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		if f := a.Answer.Load(); f != nil {
			(*f)(w, query)
			return
		}
		_, _ = w.Write(a.Reply(t, query))
	}))
	t.Cleanup(a.Close)
	return a
}

// Reply has openssl answer a query.
func (a *Authority) Reply(t testing.TB, query []byte) []byte {
	path := filepath.Join(a.dir, "query")
	if err := os.WriteFile(path, query, 0o600); err != nil {
		t.Error(err)
	}
	cmd := exec.Command("openssl", "ts", "-reply", "-config", "tsa.cnf", "-section", "tsa", "-queryfile", path)
	cmd.Dir = a.dir
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("openssl ts -reply: %v", err)
	}
	return out
}

func (a *Authority) openssl(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = a.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Verify has openssl check a time stamp over data against the authority's root.
func (a *Authority) Verify(t testing.TB, data, token []byte) {
	t.Helper()
	write(t, filepath.Join(a.dir, "x"), data)
	write(t, filepath.Join(a.dir, "x.tsr"), token)
	if out := a.openssl(t, "ts", "-verify", "-data", "x", "-in", "x.tsr", "-CAfile", "ca.pem"); !strings.Contains(out, "Verification: OK") {
		t.Fatal(out)
	}
}

// Roots is a folder with the authority's root as ca.pem.
func (a *Authority) Roots(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(a.dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), raw)
	return dir
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
