package app

import (
	"bytes"
	"encoding/base64"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/transport"
)

// relay passes what tpm2-tools says on to a TPM's socket.
func relay(socket string) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 1
	}
	go func() { _, _ = io.Copy(os.Stdout, conn) }()
	_, _ = io.Copy(conn, os.Stdin)
	return 0
}

// tpm2 runs one of tpm2-tools on a TPM.
func tpm2(t *testing.T, tpm *swtpmtest.TPM, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TPM2TOOLS_TCTI=cmd:"+os.Args[0], "CAMSEAL_TEST_RELAY="+tpm.Socket())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", name, err, out)
	}
}

// heldSite is a site whose spool holds footage that the server does not take, with an offline recovery key.
func heldSite(t *testing.T, tpm string, identity *age.X25519Identity) (*site, map[string][]byte) {
	t.Helper()
	s := bare(t, tpm)
	if code, _, errs := s.run("enrol", "--token", s.server.Token(), "--recovery-recipient", identity.Recipient().String()); code != 0 {
		t.Fatal(errs)
	}
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		uplinktest.Refuse(w, 503, transport.CodeUnavailable)
		return true
	})
	marked := bytes.Repeat([]byte("SECRET-FOOTAGE-"), 20_000)
	files := map[string][]byte{"NAMED-EVIDENCE.mp4": marked, "NAMED-EMPTY.mp4": {}, "NAMED-NOISE.mp4": noise(100_001, 3)}
	for name, content := range files {
		s.file(name, content)
	}
	s.extra = append(s.extra, "--recorder", "SERIAL-7654321")
	s.mustImport("--sealed-only", s.footage)
	return s, files
}

// TestStolenDiskGivesNothing: no word of footage, names or recorder lies in the state folder, in any writing; another TPM opens nothing.
func TestStolenDiskGivesNothing(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s, files := heldSite(t, swtpmtest.Start(t).Path(), identity)
	words := [][]byte{[]byte("SECRET-FOOTAGE"), []byte("NAMED-"), []byte("SERIAL-7654321"), []byte(`"kind":`), []byte("chunk_size"), files["NAMED-NOISE.mp4"][5000:5032]}
	seen := 0
	err = filepath.WalkDir(s.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		seen += len(raw)
		for _, w := range words {
			for _, form := range [][]byte{w, []byte(base64.StdEncoding.EncodeToString(w))} {
				if bytes.Contains(raw, form) || strings.Contains(path, string(form)) {
					t.Errorf("%q stands in %s", w, path)
				}
			}
		}
		return err
	})
	if err != nil || seen < 400_000 {
		t.Fatal(seen, err)
	}
	thief := *s
	thief.tpm = swtpmtest.Start(t).Path()
	if code, out, errs := thief.run("recover", "-o", filepath.Join(t.TempDir(), "out")); code == 0 {
		t.Errorf("another TPM recovers: %s %s", out, errs)
	}
	if code, _, errs := thief.run("status"); code == 0 {
		t.Error("another TPM opens the spool")
	} else if !strings.Contains(errs, "TPM") {
		t.Error(errs)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key := write(t, filepath.Join(t.TempDir(), "key"), []byte(stranger.String()+"\n"))
	if code, _, errs := s.run("recover", "--identity", key, "-o", t.TempDir()); code == 0 || !strings.Contains(errs, "wrapped to another recovery key") {
		t.Errorf("another recovery key: %d %s", code, errs)
	}
	if code, out, _ := s.run("status"); code != 0 || !strings.Contains(out, "sealed to the TPM, and wrapped to an offline recovery key") {
		t.Error(out)
	}
}

// TestFirmwareUpdateLosesNothing: PCRs change, the TPM is reset, and what is held is still read and sent.
func TestFirmwareUpdateLosesNothing(t *testing.T) {
	tpm := swtpmtest.Start(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s, files := heldSite(t, tpm.Path(), identity)
	tpm2(t, tpm, "tpm2_pcrextend", "0:sha256="+strings.Repeat("5a", 32), "4:sha256="+strings.Repeat("a5", 32), "7:sha256="+strings.Repeat("33", 32))
	s.server.Intercept(nil)
	s.mustImport(s.footage)
	tpm.PowerCycle()
	files["later.mp4"] = noise(5000, 8)
	s.mustImport(s.file("later.mp4", files["later.mp4"]))
	s.same(files)
	s.empty()
}

// TestRecover: without the TPM, the offline recovery key gives back what is held; a damaged chunk is named.
func TestRecover(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	tpm := swtpmtest.Start(t)
	s, files := heldSite(t, tpm.Path(), identity)
	tpm.Kill()
	s.tpm = ""
	key := write(t, filepath.Join(t.TempDir(), "key"), []byte("# kept in the safe\n"+identity.String()+"\n"))
	out := filepath.Join(t.TempDir(), "out")
	code, said, errs := s.run("recover", "--identity", key, "-o", out)
	if code != 0 || strings.Count(said, "whole") != 3 {
		t.Fatalf("%d %s %s", code, said, errs)
	}
	got, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range got {
		raw, err := os.ReadFile(filepath.Join(out, f.Name()))
		_, name, _ := strings.Cut(f.Name(), "-")
		if want, ok := files[name]; err != nil || !ok || !bytes.Equal(raw, want) {
			t.Errorf("%s: %d bytes, %v", f.Name(), len(raw), err)
		}
		delete(files, name)
	}
	if len(files) != 0 {
		t.Errorf("not given back: %d", len(files))
	}
	chunks := filepath.Join(s.state, "spool", "chunks")
	list, err := os.ReadDir(chunks)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(chunks, list[3].Name())
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	write(t, path, raw)
	if code, said, _ := s.run("recover", "--identity", key, "-o", filepath.Join(t.TempDir(), "out")); code != 1 || !strings.Contains(said, "damaged on this machine's disk") {
		t.Errorf("%d %s", code, said)
	}
}

// TestDamagedInTheSpool: a chunk whose encrypted file was changed is declared lost, and all others arrive.
func TestDamagedInTheSpool(t *testing.T) {
	s := newSite(t, swtpmtest.Start(t).Path())
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		uplinktest.Refuse(w, 503, transport.CodeUnavailable)
		return true
	})
	s.mustImport("--sealed-only", s.file("a.mp4", noise(20_000, 1)))
	chunks := filepath.Join(s.state, "spool", "chunks")
	list, err := os.ReadDir(chunks)
	if err != nil || len(list) != 5 {
		t.Fatal(len(list), err)
	}
	path := filepath.Join(chunks, list[2].Name())
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[100] ^= 1
	write(t, path, raw)
	s.server.Intercept(nil)
	if code, out, _ := s.run("import", s.footage); code != 1 || !strings.Contains(out, "1 of its 5 chunks were lost") {
		t.Errorf("%d %s", code, out)
	}
	s.server.With(func() {
		for _, r := range s.server.Recordings {
			if len(r.Faults) != 1 || len(r.Faults[0].Chunks) != 1 || r.Faults[0].Chunks[0] != 2 || len(r.Bytes) != 4 || r.Stored == 0 {
				t.Errorf("%+v, %d chunks", r.Faults, len(r.Bytes))
			}
		}
	})
}
