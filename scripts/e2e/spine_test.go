package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"camseal/scripts/visitor"
)

const samples = "/usr/share/forensics-samples/original-files"

// TestForeignToolsAgree: real footage goes the whole way, and programs that know nothing of Camseal accept what they can judge.
func TestForeignToolsAgree(t *testing.T) {
	s := newSystem(t)
	film, err := os.ReadFile(filepath.Join(samples, "movie1/VID_20191220_170832.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	name := "VID_20191220_170832.mp4"
	if err := os.WriteFile(filepath.Join(s.recorder, name), film, 0o644); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "camseal-agent", s.importing()...)
	s.allSound(map[string][]byte{name: film})
	zip := s.export(s.recordings()[0].Rec)
	verify(t, 5, zip)

	dir := s.path("unzipped")
	mustRun(t, "unzip", "-q", zip, "-d", dir)
	if inner, _ := filepath.Glob(filepath.Join(dir, "*/bagit.txt")); len(inner) == 1 {
		dir = filepath.Dir(inner[0])
	}
	verify(t, 0, "--trust", s.trust(), dir)
	mustRun(t, "sh", "-c", fmt.Sprintf("cd %q && sha256sum -c --strict manifest-sha256.txt && sha256sum -c --strict tagmanifest-sha256.txt", dir))
	checkQuotes(t, s, dir)
	checkProofs(t, s, dir)
}

// checkQuotes has tpm2_checkquote judge every seal of a bundle.
func checkQuotes(t *testing.T, s *system, dir string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "data/seals.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(raw) {
		var seal struct{ Type, Head, Attest, Sig string }
		if err := json.Unmarshal(line, &seal); err != nil {
			t.Fatal(err)
		}
		if seal.Type != "seal" {
			continue // a count record is no quote
		}
		for file, text := range map[string]string{"attest": seal.Attest, "sig": seal.Sig} {
			b, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.path(file), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		mustRun(t, "tpm2_checkquote", "-u", filepath.Join(dir, "data/device/ak.pem"), "-m", s.path("attest"), "-s", s.path("sig"), "-q", seal.Head)
		wrong := strings.Repeat("0", 64)
		if code, _ := run(t, "tpm2_checkquote", "-u", filepath.Join(dir, "data/device/ak.pem"), "-m", s.path("attest"), "-s", s.path("sig"), "-q", wrong); code == 0 {
			t.Error("tpm2_checkquote accepts any head")
		}
		n++
	}
	if n == 0 {
		t.Error("no seal in the bundle")
	}
}

// checkProofs has spicy, another's program for C2SP tlog-proofs, judge every receipt of a bundle.
func checkProofs(t *testing.T, s *system, dir string) {
	t.Helper()
	vkey, err := os.ReadFile(s.path("server/log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	proofs, _ := filepath.Glob(filepath.Join(dir, "data/receipts/*.proof"))
	if len(proofs) < 2 {
		t.Fatalf("%d proofs", len(proofs))
	}
	proofs = append(proofs, filepath.Join(dir, "export/proof"))
	for _, p := range proofs {
		leaf := strings.TrimSuffix(p, ".proof") + ".leaf"
		if filepath.Base(p) == "proof" {
			leaf = filepath.Join(dir, "export/leaf.json")
		}
		byHand(t, strings.TrimSpace(string(vkey)), leaf, p)
		spicy := s.path("asset.spicy")
		for from, to := range map[string]string{leaf: s.path("asset"), p: spicy} {
			b, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			// spicy writes what later became C2SP's tlog-proof, and does not know its first line yet.
			b = bytes.TrimPrefix(b, []byte("c2sp.org/tlog-proof@v1\n"))
			if err := os.WriteFile(to, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		mustRun(t, "spicy", "-verify", strings.TrimSpace(string(vkey)), s.path("asset"))
		if err := os.WriteFile(s.path("asset"), []byte("another leaf"), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _ := run(t, "spicy", "-verify", strings.TrimSpace(string(vkey)), s.path("asset")); code == 0 {
			t.Error("spicy accepts any leaf")
		}
	}
}

// byHand checks a receipt with nothing but x/mod, as a second implementation would: C2SP tlog-proof, signed note, inclusion.
func byHand(t *testing.T, vkey, leafFile, proofFile string) {
	t.Helper()
	leaf, err := os.ReadFile(leafFile)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := os.ReadFile(proofFile)
	if err != nil {
		t.Fatal(err)
	}
	head, checkpoint, _ := strings.Cut(string(proof), "\n\n")
	lines := strings.Split(head, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		t.Fatalf("first line %q", lines[0])
	}
	var index int64
	if _, err := fmt.Sscanf(lines[1], "index %d", &index); err != nil {
		t.Fatal(err)
	}
	var hashes tlog.RecordProof
	for _, l := range lines[2:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Open([]byte(checkpoint), note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Split(signed.Text, "\n") // origin, size, root
	size, err := strconv.ParseInt(body[1], 10, 64)
	if err != nil || body[0] != v.Name() {
		t.Fatalf("checkpoint %q: %v", signed.Text, err)
	}
	root, err := tlog.ParseHash(body[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckRecord(hashes, size, root, index, tlog.RecordHash(leaf)); err != nil {
		t.Errorf("%s: %v", proofFile, err)
	}
	if tlog.CheckRecord(hashes, size, root, index, tlog.RecordHash([]byte("another leaf"))) == nil {
		t.Errorf("%s proves any leaf", proofFile)
	}
}

// TestForgedAsAWhole: another TPM and another log of the same name make a bundle that is consistent in itself.
func TestForgedAsAWhole(t *testing.T) {
	honest, forger := newSystem(t), newSystem(t)
	forger.film("a.mp4", 200_000)
	mustRun(t, "camseal-agent", forger.importing()...)
	bundle := forger.export(forger.recordings()[0].Rec)
	verify(t, 0, "--trust", forger.trust(), bundle)
	verify(t, 5, bundle)
	verify(t, 3, "--trust", honest.trust(), bundle)
}

// TestSameFileTwice: taken in twice, one recording; the same bytes on another recorder, another recording.
func TestSameFileTwice(t *testing.T) {
	s := newSystem(t)
	s.film("a.mp4", 200_000)
	mustRun(t, "camseal-agent", s.importing()...)
	mustRun(t, "camseal-agent", s.importing()...)
	s.film("a.mp4", 200_000) // new times, same bytes
	mustRun(t, "camseal-agent", s.importing()...)
	if n := len(s.recordings()); n != 1 {
		t.Fatalf("%d recordings of one file", n)
	}
	mustRun(t, "camseal-agent", s.agent("import", "--recorder", "E2E-0002", "--settle", "0s", s.recorder)...)
	if n := len(s.recordings()); n != 2 {
		t.Fatalf("%d recordings of two recorders' equal files", n)
	}
}

// TestReindex: the vault alone suffices to show the same pages again.
func TestReindex(t *testing.T) {
	s := newSystem(t, "--media-workers", "0") // a page says what the background could not make, whenever it has tried
	s.film("a.mp4", 300_000)
	s.film("照片 1.jpg", 5_000)
	mustRun(t, "camseal-agent", s.importing()...)
	pages := func() map[string]string {
		out := map[string]string{"/": page(t, s, "/")}
		for _, r := range s.recordings() {
			out[r.Rec] = page(t, s, "/recordings/"+r.Rec)
		}
		return out
	}
	before := pages()
	if len(before) != 3 {
		t.Fatalf("%d pages", len(before))
	}
	s.server.kill()
	catalogs, _ := filepath.Glob(s.path("server/catalog*"))
	if len(catalogs) == 0 {
		t.Fatal("no catalog to remove")
	}
	for _, c := range catalogs {
		if err := os.RemoveAll(c); err != nil {
			t.Fatal(err)
		}
	}
	mustRun(t, "camseal-server", s.serverCommand("reindex")...)
	s.startServer()
	for path, after := range pages() {
		if before[path] != after {
			t.Errorf("%s differs:\n%s\n---\n%s", path, before[path], after)
		}
	}
	s.film("b.mp4", 100_000) // and it goes on
	mustRun(t, "camseal-agent", s.importing()...)
}

var custodyList = regexp.MustCompile(`/custody">[^<]*`)

func page(t *testing.T, s *system, path string) string {
	t.Helper()
	for again := false; ; again = true {
		resp, err := s.as("custodian").Get("http://" + s.web + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if visitor.SignedOut(resp) && !again { // the catalog was removed, and its sessions
			delete(s.visitors, "custodian")
			continue
		}
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", path, resp.Status, err)
		}
		return custodyList.ReplaceAllString(string(body), "") // looking at a page makes more of them
	}
}
