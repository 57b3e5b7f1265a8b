package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEnrolment: a TPM with its maker's certificate is enrolled by a challenge and a one-time token, and what openssl can judge of it holds.
func TestEnrolment(t *testing.T) {
	s := newSystem(t)
	args := s.agent("enrol", "--token", "0000")
	if code, out := run(t, "camseal-agent", args...); code == 0 || !strings.Contains(out, "ask the administrator for a new token") {
		t.Errorf("a made-up token: %d %s", code, out)
	}
	token := s.token()
	mustRun(t, "camseal-agent", s.agent("enrol", "--token", token)...) // again: a new certificate for the same device
	if code, out := run(t, "camseal-agent", s.agent("enrol", "--token", token)...); code == 0 || !strings.Contains(out, "bad-token") {
		t.Errorf("a token used twice: %d %s", code, out)
	}
	var list []struct{ Device, Class, Vouched, Maker string }
	if err := json.Unmarshal([]byte(mustRun(t, "camseal-server", s.serverCommand("device", "list", "--json")...)), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v %+v", err, list)
	}
	if list[0].Class != "tpm" || list[0].Vouched != "trial" || list[0].Maker == "" {
		t.Errorf("%+v", list[0])
	}
	subject := mustRun(t, "openssl", "x509", "-in", s.path("agent/device.crt"), "-noout", "-subject")
	if !strings.Contains(subject, list[0].Device[4:]) {
		t.Errorf("the certificate is for %s, the device is %s", subject, list[0].Device)
	}
	mustRun(t, "openssl", "verify", "-CAfile", s.path("server/ca.pem"), s.path("agent/device.crt"))
	var shown struct {
		EKCert []byte `json:"ek_cert"`
	}
	if err := json.Unmarshal([]byte(mustRun(t, "camseal-server", s.serverCommand("device", "show", "--json", list[0].Device)...)), &shown); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path("ek.der"), shown.EKCert, 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "openssl", "x509", "-inform", "DER", "-in", s.path("ek.der"), "-out", s.path("ek.pem"))
	mustRun(t, "openssl", "verify", "-ignore_critical", "-CAfile", filepath.Join(makers(), "root.pem"), "-untrusted", filepath.Join(makers(), "issuer.pem"), s.path("ek.pem"))

	// Another chip on this state folder, as if its board was changed: nothing goes on as if it were the same device.
	other := *s
	other.agentTPM = "swtpm:" + startTPM(t, s.path("tpm2"))
	if code, out := run(t, "camseal-agent", other.importing()...); code == 0 {
		t.Errorf("another TPM passes for this device: %s", out)
	}

	// A chip without any maker's word is not let in.
	unknown := *s
	if err := os.MkdirAll(s.path("tpm3"), 0o755); err != nil {
		t.Fatal(err)
	}
	unknown.agentTPM = "swtpm:" + runTPM(t, s.path("tpm3"))
	args = unknown.agent("enrol", "--token", s.token())
	for i := range args {
		if args[i] == s.path("agent") {
			args[i] = s.path("agent3")
		}
	}
	if code, out := run(t, "camseal-agent", args...); code == 0 || !strings.Contains(out, "unknown-maker") {
		t.Errorf("unknown maker: %d %s", code, out)
	}
}

// TestRevokedDevice: what it sent before stays verifiable; nothing more is taken in; the agent keeps and seals.
func TestRevokedDevice(t *testing.T) {
	s := newSystem(t)
	s.film("before.mp4", 200_000)
	mustRun(t, "camseal-agent", s.importing()...)
	var list []struct{ Device string }
	if err := json.Unmarshal([]byte(mustRun(t, "camseal-server", s.serverCommand("device", "list", "--json")...)), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v %+v", err, list)
	}
	mustRun(t, "camseal-server", s.serverCommand("device", "revoke", list[0].Device)...)
	s.film("after.mp4", 200_000)
	agent := start(t, "camseal-agent", s.importing()...)
	untilStatus(t, agent, s.path("agent"), "revoked")
	agent.kill()
	mustRun(t, "camseal-agent", s.importing("--sealed-only")...)
	s.allSound(map[string][]byte{"before.mp4": footage("before.mp4", 200_000)})
}

// TestOldDiskImage: the agent's disk is put back to an image from ten recordings ago, and takes in more. The report names which counted
// beginnings never came and where the device went on; what conflicts is kept, and all footage arrives and verifies.
func TestOldDiskImage(t *testing.T) {
	s := newSystem(t)
	files := map[string][]byte{}
	film := func(name string) {
		s.film(name, 150_000)
		files[name] = footage(name, 150_000)
	}
	film("first.mp4")
	mustRun(t, "camseal-agent", s.importing()...)
	image := s.path("image")
	mustRun(t, "cp", "-a", s.path("agent"), image)
	for i := range 10 {
		film(fmt.Sprintf("lost-%d.mp4", i))
		mustRun(t, "camseal-agent", s.importing()...)
	}
	mustRun(t, "rm", "-rf", s.path("agent"))
	mustRun(t, "cp", "-a", image, s.path("agent"))
	s.server.kill()
	s.recorder = s.path("recorder2")
	if err := os.Mkdir(s.recorder, 0o755); err != nil {
		t.Fatal(err)
	}
	film("conflict.mp4")
	mustRun(t, "camseal-agent", s.importing("--sealed-only")...)
	s.startServer()
	film("after.mp4")
	mustRun(t, "camseal-agent", s.importing()...)
	if status := mustRun(t, "camseal-agent", s.agent("status")...); !strings.Contains(status, "quarantine  fork-") {
		t.Errorf("the agent's status does not name the fork:\n%s", status)
	}
	report := mustRun(t, "camseal-server", s.serverCommand("report", "missing")...)
	for _, want := range []string{"never arrived", "it went on behind the server's head", "its own last one was"} {
		if !strings.Contains(report, want) {
			t.Errorf("%q is not in the report:\n%s", want, report)
		}
	}
	s.allSound(files)
}

// TestTwoAgentsOnOneState: two agents run in turn on copies of one state folder, with one TPM. All footage of both arrives and verifies, and the
// report names each fork.
func TestTwoAgentsOnOneState(t *testing.T) {
	s := newSystem(t)
	files := map[string][]byte{"0.mp4": footage("0.mp4", 100_000)}
	s.film("0.mp4", 100_000)
	mustRun(t, "camseal-agent", s.importing()...)
	twin := *s
	twin.agentDir = s.path("twin")
	mustRun(t, "cp", "-a", s.path("agent"), twin.agentDir)
	for i := range 2 {
		for who, a := range []*system{s, &twin} {
			a.recorder = filepath.Join(s.dir, fmt.Sprintf("recorder-%d-%d", who, i))
			name := fmt.Sprintf("%d-%d.mp4", who, i)
			files[name] = footage(name, 200_000)
			a.film(name, 200_000)
			mustRun(t, "camseal-agent", a.importing()...)
		}
	}
	report := mustRun(t, "camseal-server", s.serverCommand("report", "missing")...)
	if n := strings.Count(report, "it went on behind the server's head"); n < 3 {
		t.Errorf("%d forks are named:\n%s", n, report)
	}
	s.allSound(files)
}

// TestStolenDisk: nothing of the footage stands in the agent's state folder, and no other TPM opens it.
func TestStolenDisk(t *testing.T) {
	s := newSystem(t)
	s.film("NAMED.mp4", 3_000_000)
	s.server.kill()
	mustRun(t, "camseal-agent", s.importing("--sealed-only")...)
	for _, word := range []string{"NAMED", "block 0000", "E2E-0001"} {
		if code, out := run(t, "grep", "-r", "-l", "-a", word, s.path("agent")); code != 1 {
			t.Errorf("%s stands in %s", word, out)
		}
	}
	if held, err := filepath.Glob(s.path("agent/spool/chunks/*")); err != nil || len(held) != 46 {
		t.Errorf("%d chunks are held, %v", len(held), err)
	}
	s.startServer()
	mustRun(t, "camseal-agent", s.importing()...)
	s.allSound(map[string][]byte{"NAMED.mp4": footage("NAMED.mp4", 3_000_000)})
}
