package spool

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/minio/sio"

	"camseal/pkg/evidence"
)

// KeySize is the length of a spool's key in bytes.
const KeySize = 32

// ErrDamaged says that a file of the spool does not hold what was written: its bytes were changed, or the key is another.
var ErrDamaged = errors.New("damaged on this machine's disk")

// Every file has a key of its own, made from the spool's by HKDF with SHA-256 (RFC 5869), no salt, and as info the words below: so no
// file can stand in for another. Files are DARE 2.0 with AES-256-GCM; the index is Badger's, with AES-256-CTR.
func (s *Spool) subkey(use string, names ...[]byte) ([]byte, error) {
	return hkdf.Key(sha256.New, s.key, nil, "camseal spool "+use+" v1\n"+string(bytes.Join(names, nil)), KeySize)
}

func dare(key []byte) sio.Config {
	return sio.Config{MinVersion: sio.Version20, MaxVersion: sio.Version20, CipherSuites: []byte{sio.AES_256_GCM}, Key: key}
}

// encrypt returns what encrypts into w; its Close writes the end and leaves w open. Without a key it is w itself.
func (s *Spool) encrypt(w io.Writer, use string, names ...[]byte) (io.WriteCloser, error) {
	plain := struct{ io.Writer }{w}
	if s.key == nil {
		return unclosed{plain}, nil
	}
	key, err := s.subkey(use, names...)
	if err != nil {
		return nil, err
	}
	return sio.EncryptWriter(plain, dare(key))
}

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// decrypt returns what reads the plain bytes of f. Its errors wrap ErrDamaged where the bytes do not hold.
func (s *Spool) decrypt(f *os.File, use string, names ...[]byte) (io.ReadCloser, error) {
	if s.key == nil {
		return f, nil
	}
	key, err := s.subkey(use, names...)
	if err != nil {
		return nil, err
	}
	r, err := sio.DecryptReader(struct{ io.Reader }{f}, dare(key))
	return decrypting{r, f}, err
}

type decrypting struct {
	io.Reader
	io.Closer
}

func (d decrypting) Read(b []byte) (int, error) {
	n, err := d.Reader.Read(b)
	var bad sio.Error
	if errors.As(err, &bad) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return n, err
}

// onDisk is how many bytes of a file hold so many plain ones.
func (s *Spool) onDisk(plain uint64) int64 {
	if s.key == nil {
		return int64(plain)
	}
	n, err := sio.EncryptedSize(plain)
	if err != nil {
		return -1 // no file has that size
	}
	return int64(n)
}

func chunkNames(id evidence.RecordingID, index uint64) [][]byte { return [][]byte{id[:], be(index)} }
