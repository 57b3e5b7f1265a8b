package verify_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

func TestFolderAndZip(t *testing.T) {
	b := small(t)
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := verifytest.WriteFolder(dir, b.Files); err != nil {
		t.Fatal(err)
	}
	for name, top := range map[string]string{"flat": "", "one folder": "camseal-bundle/"} {
		path := filepath.Join(t.TempDir(), name+".zip")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(verifytest.WriteZip(f, top, b.Files), f.Close()); err != nil {
			t.Fatal(err)
		}
		wantVerdict(t, checkPath(t, path, b.Trust()), verify.Verified, "")
	}
	wantVerdict(t, checkPath(t, dir, b.Trust()), verify.Verified, "")

	t.Run("stray file", func(t *testing.T) {
		stray := filepath.Join(dir, "data", ".DS_Store")
		if err := os.WriteFile(stray, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		r := checkPath(t, dir, b.Trust())
		wantVerdict(t, r, verify.Broken, verify.CodeUnexpected)
		if err := os.Remove(stray); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("link", func(t *testing.T) {
		link := filepath.Join(dir, verify.FileReadme)
		if err := errors.Join(os.Remove(link), os.Symlink("/etc/hostname", link)); err != nil {
			t.Fatal(err)
		}
		wantVerdict(t, checkPath(t, dir, b.Trust()), verify.Unreadable, verify.CodeRefused)
	})
	t.Run("no bundle", func(t *testing.T) {
		wantVerdict(t, checkPath(t, t.TempDir(), nil), verify.Unreadable, verify.CodeNotABundle)
	})
}

func checkPath(t *testing.T, path string, trust *verify.Trust) *verify.Report {
	t.Helper()
	src, err := verify.OpenBundle(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}()
	return checkWith(t, src, trust)
}

func TestZipRefused(t *testing.T) {
	for name, headers := range map[string][]zip.FileHeader{
		"twice":     {{Name: "bagit.txt"}, {Name: "bagit.txt"}},
		"same name": {{Name: "bagit.txt"}, {Name: "BAGIT.txt"}},
		"absolute":  {{Name: "/bagit.txt"}},
		"up":        {{Name: "a/../../bagit.txt"}},
		"backslash": {{Name: `data\bagit.txt`}},
		"drive":     {{Name: "c:bagit.txt"}},
		"control":   {{Name: "data/\x1b[2J"}},
		"link":      {link("bagit.txt")},
		"encrypted": {{Name: "bagit.txt", Flags: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var raw bytes.Buffer
			z := zip.NewWriter(&raw)
			for i := range headers {
				if _, err := z.CreateRaw(&headers[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := verify.OpenZip(bytes.NewReader(raw.Bytes()), int64(raw.Len()))
			var refused *verify.RefusedError
			if !errors.As(err, &refused) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := verify.OpenZip(strings.NewReader("no zip"), 6); err == nil {
		t.Error("read what is no zip file")
	}
}

func link(name string) zip.FileHeader {
	h := zip.FileHeader{Name: name}
	h.SetMode(os.ModeSymlink | 0o777)
	return h
}

// TestZipBomb packs an original of 256 MiB of zeros where 1,100 bytes belong: reading stops right after these.
func TestZipBomb(t *testing.T) {
	b := small(t)
	var raw bytes.Buffer
	z := zip.NewWriter(&raw)
	for p, content := range b.Files {
		w, err := z.Create(p)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p, verify.DirOriginal) {
			for range 1 << 8 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	src, err := verify.OpenZip(bytes.NewReader(raw.Bytes()), int64(raw.Len()))
	if err != nil {
		t.Fatal(err)
	}
	most := int64(0)
	r, err := verify.Bundle(t.Context(), src, verify.Options{Trust: b.Trust(), Progress: func(done, _ int64) { most = max(most, done) }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != verify.Broken || !hasCode(r, verify.CodeLong) || most > 1<<20 {
		t.Errorf("verdict %s after %d bytes", r.Verdict, most)
	}
}

func TestCancelled(t *testing.T) {
	b := small(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verify.Bundle(gone, b.Files, verify.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestTrust(t *testing.T) {
	key := small(t).Log.VKey
	good := `{"v":1,"logs":[{"key":"` + key + `","from":0,"to":null}],"witnesses":[],"quorum":0}`
	if _, err := verify.ParseTrust([]byte(good)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		``, `{}`, good + "{}", `{"v":2,"logs":[{"key":"` + key + `"}]}`, `{"v":1,"logs":[]}`, `{"v":1,"logs":[{"key":"x"}]}`,
		`{"v":1,"logs":[{"key":"` + key + `","from":5,"to":4}]}`, `{"v":1,"logs":[{"key":"` + key + `"}],"quorum":1}`,
		`{"v":1,"logs":[{"key":"` + key + `"}],"extra":1}`,
	} {
		if _, err := verify.ParseTrust([]byte(bad)); err == nil {
			t.Errorf("read %s", bad)
		}
	}
	dir := t.TempDir()
	if _, err := verify.LoadTrust(dir); err == nil {
		t.Error("read an empty trust folder")
	}
	if err := os.WriteFile(filepath.Join(dir, "trust.json"), []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	trust, err := verify.LoadTrust(dir)
	if err != nil || len(trust.Logs) != 1 {
		t.Errorf("%+v, %v", trust, err)
	}
}

func TestTrustRange(t *testing.T) {
	b := small(t)
	last := int64(3)
	trust := b.Trust()
	trust.Logs[0].To = &last
	wantVerdict(t, checkWith(t, b.Files, trust), verify.Broken, verify.CodeLogRange)
}
