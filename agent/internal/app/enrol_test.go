package app

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// bare is a site that is not enrolled yet.
func bare(t *testing.T, tpm string) *site {
	s := &site{t: t, state: filepath.Join(t.TempDir(), "state"), footage: t.TempDir(), tpm: tpm, server: uplinktest.Start(t)}
	s.extra = []string{"--ca", write(t, filepath.Join(t.TempDir(), "ca.pem"), s.server.CA)}
	return s
}

func TestEnrolmentStandsInTheChain(t *testing.T) {
	s := newSite(t, swtpmtest.Start(t).Path())
	if code, out, _ := s.run("import", s.file("a.mp4", noise(5000, 1))); code != 0 {
		t.Fatal(out)
	}
	s.server.With(func() {
		e := s.server.Enrol
		if e == nil || e.Class != evidence.ClassTPM || e.HomeLog != s.server.VKey || e.Counter == nil || len(e.EK) == 0 || len(e.AK) == 0 || !e.ClearDisabled {
			t.Fatalf("%+v", e)
		}
		cert := s.certificate()
		if !bytes.Equal(cert.RawSubjectPublicKeyInfo, e.TLSKey) {
			t.Error("the certificate is over another key than the enrolment names")
		}
		if s.server.Anchors != 1 {
			t.Errorf("%d anchors", s.server.Anchors)
		}
	})
	for _, name := range []string{"tls.key", "ak.key", "ak.key.tls", pendingFile} {
		if _, err := os.Stat(filepath.Join(s.state, name)); err == nil {
			t.Errorf("%s lies in the state folder", name)
		}
	}
}

// certificate reads the one that the agent keeps.
func (s *site) certificate() *x509.Certificate {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.state, certFile))
	if err != nil {
		s.t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	return cert
}

// TestEnrolKilled kills the agent when the server has got, or has answered, each request of an enrolment; running it again with the
// same token ends sound, and with one device.
func TestEnrolKilled(t *testing.T) {
	for _, tpm := range []string{"swtpm", "software"} {
		for _, at := range []string{"asked", "challenged", "answered", "accepted"} {
			t.Run(tpm+" "+at, func(t *testing.T) {
				t.Parallel()
				path := tpm
				if tpm == "swtpm" {
					path = swtpmtest.Start(t).Path()
				}
				s := bare(t, path)
				token := s.server.Token()
				cmd := s.process("enrol", "--token", token)
				s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
					second := r.URL.Path != "/v1/enrol"
					if second != (at == "answered" || at == "accepted") {
						return false
					}
					if at == "challenged" || at == "accepted" {
						s.server.Pass(httptest.NewRecorder(), r)
					}
					cmd.Process.Kill()
					panic(http.ErrAbortHandler)
				})
				if out, err := cmd.CombinedOutput(); err == nil {
					t.Fatalf("not killed: %s", out)
				}
				s.server.Intercept(nil)
				if code, out, errs := s.run("enrol", "--token", token); code != 0 {
					t.Fatalf("again: %d %s %s", code, out, errs)
				}
				if code, out, _ := s.run("import", s.file("a.mp4", noise(5000, 1))); code != 0 {
					t.Error(out)
				}
				s.same(map[string][]byte{"a.mp4": noise(5000, 1)})
			})
		}
	}
}

func TestEnrolRefused(t *testing.T) {
	s := bare(t, "software")
	refuse := func(code transport.Code) uplinktest.Before {
		return func(w http.ResponseWriter, r *http.Request) bool {
			uplinktest.Refuse(w, 403, code)
			return true
		}
	}
	foreign := uplinktest.Start(t)
	ca := write(t, filepath.Join(t.TempDir(), "ca.pem"), foreign.CA)
	key := write(t, filepath.Join(t.TempDir(), "log.vkey"), []byte(foreign.VKey+"\n"))
	for name, c := range map[string]struct {
		before uplinktest.Before
		args   []string
		want   string
	}{
		"bad token":     {nil, []string{"--token", "nonsense"}, "ask the administrator for a new token"},
		"unknown maker": {refuse(transport.CodeUnknownMaker), []string{"--token", s.server.Token()}, "must know the TPM's maker"},
		"wrong server":  {nil, []string{"--token", s.server.Token(), "--ca", ca}, "its certificate is not from the configured authority"},
		"wrong log":     {nil, []string{"--token", s.server.Token(), "--log-key", key}, "the server's log has another key"},
		"no recipient":  {nil, []string{"--token", s.server.Token(), "--recovery-recipient", "age1x"}, "public half of an age key"},
	} {
		s.server.Intercept(c.before)
		if code, _, errs := s.run("enrol", c.args...); code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
		if code, _, errs := s.run("import", "x"); code != 1 || !strings.Contains(errs, "no identity yet") {
			t.Errorf("%s: import: exit %d, %s", name, code, errs)
		}
	}
	s.server.Intercept(nil)
	token := s.server.Token()
	if code, _, errs := s.run("enrol", "--token", token); code != 0 {
		t.Fatal(errs)
	}
	if code, _, errs := s.run("enrol", "--token", token); code == 0 || !strings.Contains(errs, "ask the administrator for a new token") {
		t.Errorf("a used token: %d %s", code, errs)
	}
	before := s.certificate()
	if code, _, errs := s.run("enrol", "--token", s.server.Token()); code != 0 {
		t.Error(errs)
	}
	if after := s.certificate(); after.SerialNumber.Cmp(before.SerialNumber) == 0 || !bytes.Equal(after.RawSubjectPublicKeyInfo, before.RawSubjectPublicKeyInfo) {
		t.Error("a new token made no new certificate over the same key")
	}
	if code, out, _ := s.run("import", s.file("a.mp4", noise(5000, 1))); code != 0 {
		t.Error(out)
	}
	s.same(map[string][]byte{"a.mp4": noise(5000, 1)})
}

// TestCertificateRenewed: the server's clock decides, and this machine's, twenty years behind, does not.
func TestCertificateRenewed(t *testing.T) {
	defer func() { now = time.Now }()
	now = func() time.Time { return time.Now().AddDate(-20, 0, 0) }
	s := newSite(t, swtpmtest.Start(t).Path())
	first := s.certificate()
	months := 7
	s.server.With(func() { s.server.Clock = func() time.Time { return time.Now().AddDate(0, months, 0) } })
	if code, out, _ := s.run("import", s.file("a.mp4", noise(5000, 1))); code != 0 || s.certificate().SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Fatalf("renewed though more than a third was left: %d %s", code, out)
	}
	s.server.With(func() { months = 9 })
	renewed := make(chan struct{}, 10)
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/certificate" {
			s.server.Pass(w, r)
			renewed <- struct{}{}
			return true
		}
		if r.Method == http.MethodPut && r.URL.Path != "/v1/certificate" {
			<-renewed // the import does not end before
			renewed <- struct{}{}
		}
		return false
	})
	if code, out, _ := s.run("import", s.file("b.mp4", noise(5000, 2))); code != 0 {
		t.Fatal(out)
	}
	second := s.certificate()
	if second.SerialNumber.Cmp(first.SerialNumber) == 0 || !bytes.Equal(second.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
		t.Error("not renewed over the same key")
	}
	s.same(map[string][]byte{"a.mp4": noise(5000, 1), "b.mp4": noise(5000, 2)})
}

// TestCertificateExpired and revoked: an alarm, and taking in and sealing go on; a new token mends the first.
func TestCertificateExpired(t *testing.T) {
	s := newSite(t, "software")
	s.server.With(func() { s.server.Clock = func() time.Time { return time.Now().AddDate(2, 0, 0) } })
	s.file("a.mp4", noise(20_000, 1))
	s.untilAlarm("certificate-expired", "sealed  ")
	if code, _, errs := s.run("enrol", "--token", s.server.Token()); code != 0 {
		t.Fatal(errs)
	}
	if code, out, _ := s.run("import", s.footage); code != 0 {
		t.Error(out)
	}
	s.same(map[string][]byte{"a.mp4": noise(20_000, 1)})
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		uplinktest.Refuse(w, 403, transport.CodeRevoked)
		return true
	})
	s.file("b.mp4", noise(20_000, 2))
	s.untilAlarm("(revoked)", "sealed  "+filepath.Join(s.footage, "b.mp4"))
}

// TestAnchorNeverDelays: a server that does not answer, or shows what is not our log, keeps nothing from being taken in.
func TestAnchorNeverDelays(t *testing.T) {
	s := newSite(t, "software")
	hang := make(chan struct{})
	defer close(hang)
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		return true
	})
	begun := time.Now()
	if code, out, _ := s.run("import", "--sealed-only", s.file("a.mp4", noise(5000, 1))); code != 0 || time.Since(begun) > 20*time.Second {
		t.Errorf("%s after %s", out, time.Since(begun))
	}
	foreign := uplinktest.Start(t)
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/checkpoint" {
			foreign.ServeCheckpoint(w, r)
		}
		return r.URL.Path == "/v1/checkpoint"
	})
	code, out, _ := s.run("import", s.file("b.mp4", noise(5000, 2)))
	if code != 0 {
		t.Errorf("%d %s", code, out)
	}
	s.server.Intercept(nil)
	if code, out, _ := s.run("import", s.file("c.mp4", noise(5000, 3))); code != 0 {
		t.Error(out)
	}
	s.server.With(func() {
		if s.server.Anchors != 1 {
			t.Errorf("%d anchors, want the last import's only", s.server.Anchors)
		}
	})
}

// TestProve has tpm2_makecredential make an expert's challenge, and both a running agent and none answer it.
func TestProve(t *testing.T) {
	s := newSite(t, swtpmtest.Start(t).Path())
	dir := t.TempDir()
	if code, _, errs := s.run("prove", "--public", dir); code != 0 {
		t.Fatal(errs)
	}
	name, err := os.ReadFile(filepath.Join(dir, "ak.name"))
	if err != nil {
		t.Fatal(err)
	}
	make := func(secret []byte, name string) string {
		out := filepath.Join(t.TempDir(), "challenge")
		cmd := exec.Command("tpm2_makecredential", "-T", "none", "-u", filepath.Join(dir, "ek.pub"), "-s", write(t, filepath.Join(t.TempDir(), "secret"), secret),
			"-n", strings.TrimSpace(name), "-o", out)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("tpm2_makecredential: %v %s", err, text)
		}
		return out
	}
	secret := noise(20, 9)
	challenge := make(secret, string(name))
	if code, out, errs := s.run("prove", challenge); code != 0 || strings.TrimSpace(out) != hex.EncodeToString(secret) {
		t.Errorf("%d %s %s", code, out, errs)
	}
	running := s.process("run")
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for dial(t.Context(), s.state) == nil {
		<-tick.C
	}
	if code, out, errs := s.run("prove", challenge); code != 0 || strings.TrimSpace(out) != hex.EncodeToString(secret) {
		t.Errorf("by the running agent: %d %s %s", code, out, errs)
	}
	running.Process.Signal(os.Interrupt)
	running.Wait()
	other := "000b" + strings.Repeat("11", 32)
	for what, path := range map[string]string{"for another key": make(secret, other), "no challenge": write(t, filepath.Join(dir, "x"), []byte("hello, world")),
		"cut": write(t, filepath.Join(dir, "y"), []byte{0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1, 0, 9})} {
		if code, out, _ := s.run("prove", path); code == 0 {
			t.Errorf("%s: %s", what, out)
		}
	}
}
