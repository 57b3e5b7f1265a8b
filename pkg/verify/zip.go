package verify

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// errZipSize says that an entry holds more than it announced.
var errZipSize = errors.New("the zip entry holds more bytes than it announces")

type zipFile struct {
	entries map[string]*zip.File
	close   func() error
}

// OpenZip reads a bundle from a zip file; the bag may lie at its root or in one folder. Entries are streamed, never
// unpacked. Errors about what must not be in it are *RefusedError.
func OpenZip(r io.ReaderAt, size int64) (Source, error) {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fmt.Errorf("read zip: %w", err)
	}
	if len(z.File) > maxFiles {
		return nil, &RefusedError{Path: "zip", Reason: "too many files"}
	}
	out := &zipFile{entries: map[string]*zip.File{}, close: func() error { return nil }}
	folded := map[string]bool{}
	for _, f := range z.File {
		name := strings.TrimSuffix(f.Name, "/")
		if err := checkEntry(f, name); err != nil {
			return nil, err
		}
		if folded[strings.ToLower(name)] {
			return nil, &RefusedError{Path: f.Name, Reason: "the name stands twice in the zip file"}
		}
		folded[strings.ToLower(name)] = true
		if !f.Mode().IsDir() {
			out.entries[name] = f
		}
	}
	out.strip()
	return out, nil
}

func checkEntry(f *zip.File, name string) error {
	if err := checkPath(name); err != nil {
		return err
	}
	switch {
	case f.Mode().IsDir() != strings.HasSuffix(f.Name, "/") || f.Mode().IsDir() && f.UncompressedSize64 != 0:
		return &RefusedError{Path: f.Name, Reason: "a folder that is none"}
	case !f.Mode().IsDir() && !f.Mode().IsRegular():
		return &RefusedError{Path: f.Name, Reason: "a link or a special file"}
	case f.Flags&1 != 0:
		return &RefusedError{Path: f.Name, Reason: "it is encrypted"}
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return &RefusedError{Path: f.Name, Reason: "it is packed in an unknown way"}
	case f.UncompressedSize64 >= 1<<62:
		return &RefusedError{Path: f.Name, Reason: "it is too large"}
	}
	return nil
}

// strip takes away the one folder that all entries lie in, if it holds a bag.
func (z *zipFile) strip() {
	if _, ok := z.entries[FileBagit]; ok {
		return
	}
	for name := range z.entries {
		top, _, _ := strings.Cut(name, "/")
		if _, ok := z.entries[top+"/"+FileBagit]; !ok {
			return
		}
		inner := map[string]*zip.File{}
		for n, f := range z.entries {
			rest, ok := strings.CutPrefix(n, top+"/")
			if !ok {
				return
			}
			inner[rest] = f
		}
		z.entries = inner
		return
	}
}

func (z *zipFile) Files() ([]File, error) {
	var out []File
	for name, f := range z.entries {
		out = append(out, File{Path: name, Size: int64(f.UncompressedSize64)})
	}
	return out, nil
}

func (z *zipFile) Open(path string) (io.ReadCloser, error) {
	f, ok := z.entries[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	return &announced{ReadCloser: r, left: int64(f.UncompressedSize64)}, nil
}

func (z *zipFile) Close() error { return z.close() }

// announced gives an error as soon as more comes than was announced, so that nothing is unpacked without end.
type announced struct {
	io.ReadCloser
	left int64
}

func (a *announced) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if errors.Is(err, zip.ErrChecksum) {
		err = io.EOF // the hashes say better what is wrong, and where
	}
	if a.left -= int64(n); a.left < 0 {
		return 0, errZipSize
	}
	return n, err
}
