package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"camseal/scripts/versity"
)

// One test for each row of deploy/handbook/threats.md: each attacks a running agent and server.

// TestThreatEditAndReupload: the file on the recorder is changed and docked again.
func TestThreatEditAndReupload(t *testing.T) {
	s := newSystem(t)
	s.film("a.mp4", 200_000)
	mustRun(t, "camseal-agent", s.importing()...)
	edited := footage("a.mp4", 200_000)
	edited[100_000] ^= 1
	s.write("a.mp4", edited)
	mustRun(t, "camseal-agent", s.importing()...)
	list := s.recordings()
	if len(list) != 2 {
		t.Fatalf("%d recordings, want the first and the edited one", len(list))
	}
	kept := 0
	for _, r := range list {
		if bytes.Equal(s.sound(r.Rec), footage("a.mp4", 200_000)) {
			kept++
		}
	}
	if kept != 1 {
		t.Errorf("%d recordings have the bytes of before", kept)
	}
}

// TestThreatDeleteBeforeUpload: with the server out of reach, footage is taken in and the agent's whole state is deleted.
func TestThreatDeleteBeforeUpload(t *testing.T) {
	s := newSystem(t)
	s.film("a.mp4", 100_000)
	mustRun(t, "camseal-agent", s.importing()...)
	if out := mustRun(t, "camseal-server", s.serverCommand("report", "missing", "--json")...); strings.Contains(out, `"from"`) {
		t.Fatalf("something is missing beforehand:\n%s", out)
	}
	before := s.copyState("before")
	s.server.kill()
	s.film("b.mp4", 100_000)
	mustRun(t, "camseal-agent", s.importing("--sealed-only")...)
	s.startServer()
	s.putState(before)
	if err := os.Remove(filepath.Join(s.recorder, "b.mp4")); err != nil {
		t.Fatal(err)
	}
	s.film("c.mp4", 100_000)
	mustRun(t, "camseal-agent", s.importing()...)
	out := mustRun(t, "camseal-server", s.serverCommand("report", "missing", "--json")...)
	if !strings.Contains(out, `"from"`) {
		t.Errorf("the report names nothing that is missing:\n%s", out)
	}
}

// TestThreatHeadOrTailCut: a bundle's footage and chain are cut at the beginning or the end, and its bag made right again.
func TestThreatHeadOrTailCut(t *testing.T) {
	s, dir := exhibit(t)
	for name, cut := range map[string]func([]byte) []byte{
		"head": func(b []byte) []byte { return b[64<<10:] },
		"tail": func(b []byte) []byte { return b[:len(b)-64<<10] },
	} {
		forged := copyBundle(t, dir)
		change(t, one(t, forged, "data/original/*"), cut)
		rebag(t, forged)
		verify(t, 3, "--trust", s.trust(), forged)
		t.Log(name)
	}
	forged := copyBundle(t, dir)
	change(t, filepath.Join(forged, "data/chain.jsonl"), dropLine(-1))
	rebag(t, forged)
	verify(t, 3, "--trust", s.trust(), forged)
}

// TestThreatSegmentDrop: a chunk in the middle is left out, of the footage and of the chain.
func TestThreatSegmentDrop(t *testing.T) {
	s, dir := exhibit(t)
	forged := copyBundle(t, dir)
	change(t, one(t, forged, "data/original/*"), func(b []byte) []byte { return append(bytes.Clone(b[:64<<10]), b[128<<10:]...) })
	rebag(t, forged)
	verify(t, 3, "--trust", s.trust(), forged)
	change(t, filepath.Join(forged, "data/chain.jsonl"), dropLine(5))
	rebag(t, forged)
	verify(t, 3, "--trust", s.trust(), forged)
}

// TestThreatSignatureStripping: seals, or receipts, are taken out of a bundle.
func TestThreatSignatureStripping(t *testing.T) {
	s, dir := exhibit(t)
	forged := copyBundle(t, dir)
	change(t, filepath.Join(forged, "data/seals.jsonl"), func([]byte) []byte { return nil })
	rebag(t, forged)
	if code, out := run(t, "camseal-verify", "--trust", s.trust(), forged); code != 2 && code != 3 {
		t.Errorf("without seals: exit %d\n%s", code, out)
	}
	forged = copyBundle(t, dir)
	for _, f := range all(t, forged, "data/receipts/*") {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	rebag(t, forged)
	if code, out := run(t, "camseal-verify", "--trust", s.trust(), forged); code != 3 && code != 4 {
		t.Errorf("without receipts: exit %d\n%s", code, out)
	}
}

// TestThreatReplay: one recording's proofs are shown with another's footage.
func TestThreatReplay(t *testing.T) {
	s := newSystem(t)
	s.film("a.mp4", 300_000)
	s.film("b.mp4", 300_000)
	mustRun(t, "camseal-agent", s.importing()...)
	list := s.recordings()
	a, b := s.unzip(list[0].Rec), s.unzip(list[1].Rec)
	other, err := os.ReadFile(one(t, b, "data/original/*"))
	if err != nil {
		t.Fatal(err)
	}
	change(t, one(t, a, "data/original/*"), func([]byte) []byte { return other })
	rebag(t, a)
	verify(t, 3, "--trust", s.trust(), a)
}

// TestThreatReplacedStatement: a line of the chain is replaced by another with other words.
func TestThreatReplacedStatement(t *testing.T) {
	s, dir := exhibit(t)
	forged := copyBundle(t, dir)
	change(t, filepath.Join(forged, "data/chain.jsonl"), func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"serial":"E2E-0001"`), []byte(`"serial":"E2E-0009"`), 1)
	})
	rebag(t, forged)
	verify(t, 3, "--trust", s.trust(), forged)
}

// TestThreatMetadataEdit: names and times are changed in the catalog's database.
func TestThreatMetadataEdit(t *testing.T) {
	s, dir := exhibit(t)
	s.server.kill()
	for _, sql := range []string{"UPDATE recordings SET name = 'other.mp4', opened_at = 1"} {
		mustRun(t, "sqlite3", s.path("server/catalog.db"), sql)
	}
	s.startServer()
	rec := s.recordings()[0].Rec
	after := s.unzip(rec)
	verify(t, 0, "--trust", s.trust(), after)
	for _, f := range []string{"data/chain.jsonl", "data/recording.json"} {
		x, err1 := os.ReadFile(filepath.Join(dir, f))
		y, err2 := os.ReadFile(filepath.Join(after, f))
		if err1 != nil || err2 != nil || !bytes.Equal(x, y) && f == "data/chain.jsonl" {
			t.Errorf("%s: %v %v", f, err1, err2)
		}
	}
	s.server.kill()
	mustRun(t, "camseal-server", s.serverCommand("reindex")...)
	s.startServer()
	if r := s.recordings()[0]; r.Name != "a.mp4" {
		t.Errorf("after reindex it is called %s", r.Name)
	}
}

// TestThreatServerInsider: an archived chunk is changed on the vault's disk.
func TestThreatServerInsider(t *testing.T) {
	s, dir := exhibit(t)
	content, err := os.ReadFile(one(t, dir, "data/original/*"))
	if err != nil {
		t.Fatal(err)
	}
	chunk, changed := content[:64<<10], 0
	err = filepath.WalkDir(s.path("server"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, chunk) {
			return err
		}
		changed++
		change(t, path, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		return nil
	})
	if err != nil || changed == 0 {
		t.Fatal(changed, err)
	}
	if code, out := run(t, "camseal-server", s.serverCommand("export", s.recordings()[0].Rec, "-o", s.path("x.zip"))...); code == 0 || !strings.Contains(out, "chunk") {
		t.Errorf("a changed chunk is exported: exit %d\n%s", code, out)
	}
}

// TestMonitor: the monitor walks the server's log as it lies on disk, finds it sound, and finds what was changed in it.
func TestMonitor(t *testing.T) {
	s, _ := exhibit(t)
	trust := s.trust()
	verify(t, 0, "log", s.path("server/ledger/log"), "--trust", trust)
	verify(t, 5, "log", s.path("server/ledger/log"))
	copied := copyBundle(t, s.path("server/ledger/log"))
	for _, entries := range all(t, copied, "tile/entries/*/*") { // the log keeps those of smaller trees too
		change(t, entries, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	}
	verify(t, 3, "log", copied, "--trust", trust)
}

// TestThreatDeviceTheft: a recorder is stolen; it is revoked.
func TestThreatDeviceTheft(t *testing.T) {
	s, dir := exhibit(t)
	list := mustRun(t, "camseal-server", s.serverCommand("device", "list", "--json")...)
	var devices []struct{ Device string }
	if err := json.Unmarshal([]byte(list), &devices); err != nil || len(devices) != 1 {
		t.Fatal(err, list)
	}
	mustRun(t, "camseal-server", s.serverCommand("device", "revoke", devices[0].Device)...)
	s.film("b.mp4", 100_000)
	mustRun(t, "camseal-agent", s.importing("--sealed-only")...) // it goes on sealing
	if n := len(s.recordings()); n != 1 {
		t.Errorf("%d recordings, one of them from a stolen device", n)
	}
	verify(t, 0, "--trust", s.trust(), dir)
	verify(t, 0, "--trust", s.trust(), s.export(s.recordings()[0].Rec)) // what was seen before stays valid
}

// TestThreatKeyExtraction: the state folder goes to another machine with another TPM.
func TestThreatKeyExtraction(t *testing.T) {
	s, _ := exhibit(t)
	s.agentTPM = "swtpm:" + startTPM(t, s.path("other-tpm"))
	code, out := run(t, "camseal-agent", s.importing()...)
	if code == 0 {
		t.Errorf("another TPM is taken:\n%s", out)
	}
	grep(t, s.path("agent"), []byte("PRIVATE KEY"))
}

// TestThreatClockChange: the dock's clock is thirty hours behind; the log's clock says when it was sealed.
func TestThreatClockChange(t *testing.T) {
	s := newSystem(t)
	dir := t.TempDir()
	source, err := filepath.Abs("../../agent/internal/app/app.go")
	if err != nil {
		t.Fatal(err)
	}
	real, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	late := bytes.Replace(real, []byte("var now = time.Now\n"), []byte("func now() time.Time { return time.Now().Add(-30 * time.Hour) }\n"), 1)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: filepath.Join(dir, "app.go")}})
	if err != nil || bytes.Equal(late, real) {
		t.Fatal("app.go has no clock to change", err)
	}
	for name, b := range map[string][]byte{"app.go": late, "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustRun(t, "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", filepath.Join(dir, "agent"), "camseal/agent")
	s.film("a.mp4", 200_000)
	mustRun(t, filepath.Join(dir, "agent"), s.importing()...)
	var report struct {
		Time struct {
			Claimed   int64  `json:"claimed_opened_at"`
			NotBefore *int64 `json:"server_says_not_before"`
		}
	}
	out := verify(t, 0, "--json", "--trust", s.trust(), s.export(s.recordings()[0].Rec))
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Time.NotBefore == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const hour = 3600 * 1000
	if behind := *report.Time.NotBefore - report.Time.Claimed; behind < 29*hour {
		t.Errorf("the clock was 30 h behind, and the report says %d ms\n%s", behind, out)
	}
	text := verify(t, 0, "--trust", s.trust(), s.export(s.recordings()[0].Rec))
	if !strings.Contains(text, "the server says: sealed between") {
		t.Errorf("the text names no bracket:\n%s", text)
	}
}

// TestThreatMassDeletion and retention shortening: the server's own credentials, in other hands, try both on S3.
func TestThreatMassDeletion(t *testing.T) {
	s, gw := onS3(t)
	s.film("a.mp4", 300_000)
	mustRun(t, "camseal-agent", s.importing()...)
	before := strings.Fields(s3(t, gw, "lsf", "-R", "--files-only", "v:"+gw.Bucket))
	code, out := s3Run(t, gw, "delete", "v:"+gw.Bucket)
	if code == 0 || len(before) == 0 {
		t.Errorf("the server's credentials delete %d objects: exit %d\n%s", len(before), code, out)
	}
	after := strings.Fields(s3(t, gw, "lsf", "-R", "--files-only", "v:"+gw.Bucket))
	for _, object := range before {
		if !slices.Contains(after, object) {
			t.Errorf("%s is gone", object)
		}
	}
	s.allSound(map[string][]byte{"a.mp4": footage("a.mp4", 300_000)})
}

// TestThreatRetentionShortening: the archive's own check, with the server's credentials, finds that a lock can't be shortened.
func TestThreatRetentionShortening(t *testing.T) {
	s, _ := onS3(t)
	if out := mustRun(t, "camseal-server", s.serverCommand("check-archive")...); !strings.Contains(out, "retention is lengthened and never shortened") {
		t.Errorf("check-archive does not say it:\n%s", out)
	}
}

// TestThreatFirmwareDowngrade: another boot chain leaves other values in the PCRs; the custodian is told, with both.
func TestThreatFirmwareDowngrade(t *testing.T) {
	s := newSystem(t)
	s.film("a.mp4", 100_000)
	mustRun(t, "camseal-agent", s.importing()...)
	c := exec.Command("tpm2_pcrextend", "0:sha256="+strings.Repeat("5a", 32))
	c.Env = append(os.Environ(), "TPM2TOOLS_TCTI=cmd:socat - UNIX-CONNECT:"+strings.TrimPrefix(s.agentTPM, "swtpm:"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.film("b.mp4", 100_000)
	mustRun(t, "camseal-agent", s.importing()...)
	for _, r := range s.recordings() {
		told := strings.Contains(page(t, s, "/recordings/"+r.Rec), "software changed")
		if told != (r.Name == "b.mp4") {
			t.Errorf("the page of %s tells of changed software: %v", r.Name, told)
		}
	}
}

// TestThreatDockTakeover: not preventable: what root feeds is sealed. What is shown claims nothing about what came before.
func TestThreatDockTakeover(t *testing.T) {
	s := newSystem(t)
	s.write("a.mp4", []byte("made up by root"))
	mustRun(t, "camseal-agent", s.importing()...)
	out := verify(t, 0, "--trust", s.trust(), s.export(s.recordings()[0].Rec))
	for _, want := range []string{"dock-sealed", "what happened before the recording was taken in from its recorder"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
}

// TestThreatKeyExpiry: the device's certificate has run out; sealing goes on, and all arrives once it is enrolled again.
func TestThreatKeyExpiry(t *testing.T) {
	s := newSystem(t)
	dir := t.TempDir()
	for _, script := range []string{
		`openssl x509 -in "$1/agent/device.crt" -noout -pubkey > pub.pem`,
		`openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -subj "/CN=x" -out r.csr`,
		`openssl x509 -req -in r.csr -force_pubkey pub.pem -CA "$1/server/ca.pem" -CAkey "$1/server/ca.key" -days -1 -set_serial 7 -out "$1/agent/device.crt"`,
	} {
		c := exec.Command("bash", "-c", script, "bash", s.dir)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	s.film("a.mp4", 200_000)
	mustRun(t, "camseal-agent", s.importing("--sealed-only")...)
	agent := start(t, "camseal-agent", s.importing()...)
	untilStatus(t, agent, s.path("agent"), "certificate")
	agent.kill()
	if n := len(s.recordings()); n != 0 {
		t.Errorf("%d recordings came over an expired certificate", n)
	}
	s.enrol()
	mustRun(t, "camseal-agent", s.importing()...)
	s.allSound(map[string][]byte{"a.mp4": footage("a.mp4", 200_000)})
}

// TestThreatFalseTPM: a chip that no maker vouches for, and one whose keys can be read, ask to be let in.
func TestThreatFalseTPM(t *testing.T) {
	s := newSystem(t)
	for name, tpm := range map[string]string{"unknown": "", "software": "software"} {
		false := *s
		false.agentDir = s.path("agent-" + name)
		if false.agentTPM = tpm; tpm == "" {
			if err := os.MkdirAll(s.path("false"), 0o755); err != nil {
				t.Fatal(err)
			}
			false.agentTPM = "swtpm:" + runTPM(t, s.path("false"))
		}
		if code, out := run(t, "camseal-agent", false.agent("enrol", "--token", s.token())...); code == 0 {
			t.Errorf("%s: let in\n%s", name, out)
		}
	}
	if list := mustRun(t, "camseal-server", s.serverCommand("device", "list", "--json")...); strings.Count(list, `"device"`) != 1 {
		t.Errorf("more than one device:\n%s", list)
	}
}

// TestThreatMalware: programs and hostile names on a recorder are bytes.
func TestThreatMalware(t *testing.T) {
	s := newSystem(t)
	witness := s.path("executed")
	s.write("autorun.sh", []byte("#!/bin/sh\ntouch "+witness+"\n"))
	s.write("$(touch "+filepath.Base(witness)+").mp4", []byte("\x7fELF hostile"))
	if err := os.Chmod(filepath.Join(s.recorder, "autorun.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "camseal-agent", s.importing()...)
	if n := len(s.recordings()); n != 2 {
		t.Errorf("%d recordings of 2 files", n)
	}
	for _, r := range s.recordings() {
		s.sound(r.Rec)
	}
	if _, err := os.Stat(witness); err == nil {
		t.Error("a file of the recorder was executed")
	}
}

// onS3 is a system with its vault in a real S3 server with object lock.
func onS3(t *testing.T) (*system, *versity.Gateway) {
	t.Helper()
	gw, err := versity.Start(program("s3serve"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gw.Stop)
	storage, err := gw.ServerFlags()
	if err != nil {
		t.Fatal(err)
	}
	return newSystem(t, storage...), gw
}

// s3Run runs rclone with the server's own credentials.
func s3Run(t *testing.T, gw *versity.Gateway, args ...string) (int, string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "rclone", append(args, "--ca-cert", gw.CAFile, "--retries", "1")...)
	c.Env = append(os.Environ(), "RCLONE_CONFIG_V_TYPE=s3", "RCLONE_CONFIG_V_PROVIDER=Other", "RCLONE_CONFIG_V_ENDPOINT="+gw.Endpoint,
		"RCLONE_CONFIG_V_ACCESS_KEY_ID="+gw.Access, "RCLONE_CONFIG_V_SECRET_ACCESS_KEY="+gw.Secret, "RCLONE_CONFIG_V_REGION=us-east-1",
		"RCLONE_CONFIG="+filepath.Join(t.TempDir(), "rclone.conf"), "AWS_CA_BUNDLE=")
	out, err := c.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

func s3(t *testing.T, gw *versity.Gateway, args ...string) string {
	t.Helper()
	code, out := s3Run(t, gw, args...)
	if code != 0 {
		t.Fatalf("rclone %v: exit %d\n%s", args, code, out)
	}
	return out
}

// exhibit takes one file in and returns its bundle as a folder.
func exhibit(t *testing.T) (*system, string) {
	t.Helper()
	s := newSystem(t)
	s.film("a.mp4", 300_000)
	mustRun(t, "camseal-agent", s.importing()...)
	dir := s.unzip(s.recordings()[0].Rec)
	verify(t, 0, "--trust", s.trust(), dir)
	return s, dir
}

// write puts a file on the recorder.
func (s *system) write(name string, b []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.recorder, name), b, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// sound verifies a recording's bundle and returns the original in it.
func (s *system) sound(rec string) []byte {
	s.t.Helper()
	zip := s.export(rec)
	verify(s.t, 0, "--trust", s.trust(), zip)
	return original(s.t, zip)
}

func (s *system) unzip(rec string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	mustRun(s.t, "unzip", "-q", s.export(rec), "-d", dir)
	return dir
}

func (s *system) copyState(name string) string {
	s.t.Helper()
	mustRun(s.t, "cp", "-a", s.path("agent"), s.path(name))
	return s.path(name)
}

func (s *system) putState(from string) {
	s.t.Helper()
	if err := os.RemoveAll(s.path("agent")); err != nil {
		s.t.Fatal(err)
	}
	mustRun(s.t, "cp", "-a", from, s.path("agent"))
}

func copyBundle(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "bundle")
	mustRun(t, "cp", "-a", dir, to)
	return to
}

func all(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s in %s: %v", pattern, dir, err)
	}
	return found
}

func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	return all(t, dir, pattern)[0]
}

func change(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	after := how(bytes.Clone(b))
	if bytes.Equal(after, b) {
		t.Fatalf("%s was not changed", path)
	}
	if err := os.WriteFile(path, after, 0o644); err != nil {
		t.Fatal(err)
	}
}

// dropLine leaves out line n; from the end if it is below zero.
func dropLine(n int) func([]byte) []byte {
	return func(b []byte) []byte {
		lines := bytes.SplitAfter(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
		at := (n + len(lines)) % len(lines)
		return bytes.Join(append(lines[:at:at], lines[at+1:]...), nil)
	}
}

// rebag makes a bag's manifests right again, as a forger would.
func rebag(t *testing.T, dir string) {
	t.Helper()
	for _, script := range []string{
		`find data -type f -print0 | sort -z | xargs -0 sha256sum > manifest-sha256.txt`,
		`sed -i "s/^Payload-Oxum: .*/Payload-Oxum: $(find data -type f -printf '%s\n' | awk '{s+=$1; n++} END {print s "." n}')/" bag-info.txt`,
		`awk '{print $2}' tagmanifest-sha256.txt | while read f; do sha256sum "$f"; done > t && mv t tagmanifest-sha256.txt`,
	} {
		c := exec.Command("bash", "-c", script)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// grep demands that no file below dir holds the words.
func grep(t *testing.T, dir string, words []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, words) {
			t.Errorf("%s holds %q", path, words)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
