package app

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func runArgs(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(context.Background(), args, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestWrongUsage(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.yaml")
	check(t, os.WriteFile(file, []byte("retentoin: 5d\n"), 0o600))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"fly"}, "fly"},
		{[]string{"--config", file, "version"}, `there is no key "retentoin"`},
		{[]string{"run", "--state", dir, "--web", "0.0.0.0:8080"}, "in clear"},
		{[]string{"run", "--state", dir, "--retention", "10d", "--log-retention", "5d"}, "without its proofs"},
		{[]string{"run", "--state", dir, "--retention", "soon"}, "90d"},
		{[]string{"run", "--state", dir, "--catalog", "mysql://x"}, "postgres://"},
		{[]string{"run", "--state", dir, "--catalog", "postgres://u:secret@h/d"}, "catalog-password-file"},
		{[]string{"run", "--state", dir, "--catalog", "postgres://h/d?password=secret"}, "catalog-password-file"},
		{[]string{"run", "--state", dir, "--catalog-password-file", file}, "without catalog"},
		{[]string{"run", "--state", dir}, "init"},
		{[]string{"device", "list", "--state", dir}, "init"},
		{[]string{"trust-export", dir, "--state", dir}, "init"},
		{[]string{"export", "xyz", "-o", dir}, "recording"},
	} {
		status, _, errs := runArgs(t, c.args...)
		if status != 2 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: status %d, %q; want 2 and %q", c.args, status, errs, c.want)
		}
	}
	if status, out, _ := runArgs(t, "--help"); status != 0 || !strings.Contains(out, "reindex") {
		t.Errorf("--help: %d, %q", status, out)
	}
	if status, out, _ := runArgs(t, "version"); status != 0 || !strings.HasPrefix(out, "camseal-server ") {
		t.Errorf("version: %d, %q", status, out)
	}
}

// Every key of the commented example is a flag, and every flag is in the example.
func TestExampleConfiguration(t *testing.T) {
	raw, err := os.ReadFile("../../../deploy/server.yaml")
	check(t, err)
	live := regexp.MustCompile(`(?m)^#([a-z0-9-]+:)`).ReplaceAll(raw, []byte("$1"))
	file := filepath.Join(t.TempDir(), "server.yaml")
	check(t, os.WriteFile(file, live, 0o600))
	if status, _, errs := runArgs(t, "--config", file, "version"); status != 0 {
		t.Fatalf("the example, all keys live: %d %s", status, errs)
	}
	_, help, _ := runArgs(t, "--help")
	for _, m := range regexp.MustCompile(`--([a-z0-9-]+)[=\s]`).FindAllStringSubmatch(help, -1) {
		if name := m[1]; !slices.Contains([]string{"help", "config", "output", "folder", "json", "login", "name", "role"}, name) && !bytes.Contains(raw, []byte("\n#"+name+":")) {
			t.Errorf("flag --%s is not in the example", name)
		}
	}
}

func TestInitIsSafeToRunAgainAndCertificatesAreRenewed(t *testing.T) {
	s := testSettings(filepath.Join(t.TempDir(), "state"))
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	check(t, os.MkdirAll(s.State, 0o700))
	first, err := ensureServerCert(s, now)
	check(t, err)
	_, vkey, err := ensureLogKey(s)
	check(t, err)
	again, err := ensureServerCert(s, now.AddDate(0, 0, 360))
	check(t, err)
	if !bytes.Equal(first.Certificate[0], again.Certificate[0]) {
		t.Error("a certificate good for another month was replaced")
	}
	later, err := ensureServerCert(s, now.AddDate(0, 0, 380))
	check(t, err)
	if bytes.Equal(first.Certificate[0], later.Certificate[0]) {
		t.Error("a certificate that ends soon was kept")
	}
	s.Names = append(s.Names, "server.example")
	named, err := ensureServerCert(s, now.AddDate(0, 0, 380))
	check(t, err)
	ca, err := os.ReadFile(s.path(fileCA))
	check(t, err)
	pool := x509.NewCertPool()
	block, _ := pem.Decode(ca)
	root, err := x509.ParseCertificate(block.Bytes)
	check(t, err)
	pool.AddCert(root)
	if _, err := named.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "server.example", CurrentTime: now.AddDate(0, 0, 381)}); err != nil {
		t.Error(err)
	}
	if _, v, err := ensureLogKey(s); err != nil || v != vkey {
		t.Errorf("the log's key changed: %v", err)
	}
	for _, name := range []string{fileCAKey, fileTLSKey, fileLogKey} {
		if info, err := os.Stat(s.path(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestTwoServersOnOneState(t *testing.T) {
	r := newRig(t)
	if c, err := openCore(r.env); err == nil {
		check(t, c.close())
		t.Fatal("a second server opened the same state")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Fatal(err)
	}
	if err := (reindexCommand{}).Run(r.env); err == nil || !strings.Contains(err.Error(), "running") {
		t.Fatalf("reindex beside a running server: %v", err)
	}
	out := &bytes.Buffer{}
	r.env.out = out
	check(t, checkArchiveCommand{}.Run(r.env))
	if strings.Contains(out.String(), "✗") || !strings.Contains(out.String(), "✓") {
		t.Fatal(out)
	}
}
