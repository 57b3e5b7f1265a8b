package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFiles bounds how many files a bundle may have.
const maxFiles = 1 << 18

// File is one file of a bundle.
type File struct {
	Path string // with slashes, relative to the bundle's root
	Size int64  // as its container says
}

// Source gives the files of a bundle. Open may be called for listed files only, several times, one after the other.
type Source interface {
	Files() ([]File, error) // regular files in any order; refuses what a bundle must not hold (*RefusedError)
	Open(path string) (io.ReadCloser, error)
	Close() error
}

// RefusedError says that a bundle holds something that is not even looked into: links, names that lead out of it, names
// that stand twice.
type RefusedError struct {
	Path   string
	Reason string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%q: %s", e.Path, e.Reason) }

// OpenBundle opens a folder or a zip file.
func OpenBundle(path string) (Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, err
		}
		return &folder{root: root}, nil
	}
	if !info.Mode().IsRegular() {
		return nil, &RefusedError{Path: path, Reason: "neither a folder nor a file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	z, err := OpenZip(f, info.Size())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	z.(*zipFile).close = f.Close
	return z, nil
}

type folder struct{ root *os.Root }

func (f *folder) Files() ([]File, error) {
	var out []File
	err := fs.WalkDir(f.root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return &RefusedError{Path: path, Reason: "a link or a special file"}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if len(out) == maxFiles {
			return &RefusedError{Path: path, Reason: "too many files"}
		}
		out = append(out, File{Path: path, Size: info.Size()})
		return nil
	})
	return out, err
}

func (f *folder) Open(path string) (io.ReadCloser, error) {
	return f.root.Open(filepath.FromSlash(path))
}

func (f *folder) Close() error { return f.root.Close() }

// Memory is a bundle in memory: path to content.
type Memory map[string][]byte

var _ Source = Memory(nil)

// Files implements Source.
func (m Memory) Files() ([]File, error) {
	var out []File
	for p, b := range m {
		if err := checkPath(p); err != nil {
			return nil, err
		}
		out = append(out, File{Path: p, Size: int64(len(b))})
	}
	return out, nil
}

// Open implements Source.
func (m Memory) Open(path string) (io.ReadCloser, error) {
	b, ok := m[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Close implements Source.
func (m Memory) Close() error { return nil }

// checkPath refuses names that could lead out of a bundle or mean different things on different systems.
func checkPath(p string) error {
	switch {
	case !fs.ValidPath(p) || p == ".":
		return &RefusedError{Path: p, Reason: "not a plain relative path"}
	case strings.ContainsAny(p, "\\:") || replaceOdd([]byte(p), "") != p:
		return &RefusedError{Path: p, Reason: "a name with characters that no bundle uses"}
	}
	return nil
}
