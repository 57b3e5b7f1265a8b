package verifytest

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"slices"

	"camseal/pkg/verify"
)

// WriteFolder writes a bundle's files below dir, which is made if need be.
func WriteFolder(dir string, files verify.Memory) error {
	for p, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// WriteZip writes a bundle as a zip file with its files below top, in order, without times: the same files give the
// same bytes.
func WriteZip(w io.Writer, top string, files verify.Memory) error {
	z := zip.NewWriter(w)
	var names []string
	for p := range files {
		names = append(names, p)
	}
	slices.Sort(names)
	for _, p := range names {
		f, err := z.CreateHeader(&zip.FileHeader{Name: top + p, Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := f.Write(files[p]); err != nil {
			return err
		}
	}
	return z.Close()
}
