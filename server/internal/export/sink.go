package export

import (
	"archive/zip"
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Sink takes a bundle's files, one after the other.
type Sink interface {
	// Form is "zip" or "folder".
	Form() string
	// Create begins the next file and ends the one before. stored says that its bytes are not worth compressing.
	Create(path string, stored bool) (io.Writer, error)
	// Close ends the bundle. Calling it again does nothing.
	Close() error
}

// Zip streams a bundle as a zip file (with zip64 where it is needed).
type Zip struct {
	z     *zip.Writer
	at    time.Time
	ended bool
}

// NewZip writes to w. at is the time that the files carry.
func NewZip(w io.Writer, at time.Time) *Zip { return &Zip{z: zip.NewWriter(w), at: at.UTC()} }

// Form implements Sink.
func (*Zip) Form() string { return "zip" }

// Create implements Sink.
func (z *Zip) Create(path string, stored bool) (io.Writer, error) {
	h := &zip.FileHeader{Name: path, Method: zip.Deflate, Modified: z.at}
	if stored {
		h.Method = zip.Store
	}
	return z.z.CreateHeader(h)
}

// Close implements Sink.
func (z *Zip) Close() error {
	if z.ended {
		return nil
	}
	z.ended = true
	return z.z.Close()
}

// zipFile is a Zip in a file.
type zipFile struct {
	*Zip
	out *bufio.Writer
	f   *os.File
}

func newZipFile(path string) (*zipFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	out := bufio.NewWriterSize(f, 1<<20)
	return &zipFile{Zip: NewZip(out, info.ModTime()), out: out, f: f}, nil
}

// Close implements Sink.
func (z *zipFile) Close() error {
	if z.ended {
		return nil
	}
	return errors.Join(z.Zip.Close(), z.out.Flush(), z.f.Sync(), z.f.Close())
}

// Folder writes a bundle below a new folder.
type Folder struct {
	dir  string
	file *os.File
}

// NewFolder makes the folder, which must not be there.
func NewFolder(dir string) (*Folder, error) { return &Folder{dir: dir}, os.Mkdir(dir, 0o700) }

// Form implements Sink.
func (*Folder) Form() string { return "folder" }

// Create implements Sink.
func (f *Folder) Create(path string, _ bool) (io.Writer, error) {
	if err := f.end(); err != nil {
		return nil, err
	}
	if !filepath.IsLocal(path) {
		return nil, errors.New("not a path below the bundle: " + path)
	}
	name := filepath.Join(f.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	f.file = file
	return file, err
}

func (f *Folder) end() error {
	if f.file == nil {
		return nil
	}
	err := errors.Join(f.file.Sync(), f.file.Close())
	f.file = nil
	return err
}

// Close implements Sink.
func (f *Folder) Close() error { return f.end() }
