// Package archive keeps evidence: objects that are written once, locked against change, and read back.
//
// A Vault is either a folder on this machine (Folder) or an S3 bucket with object lock (package archive/s3). Every key
// ends in the SHA-256 of its object's bytes, so an object certifies itself and nothing is ever overwritten.
package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"time"

	"camseal/pkg/evidence"
)

// What a caller decides by. Vaults wrap these.
var (
	// ErrNotFound: the vault holds no object of that key, version and hash.
	ErrNotFound = errors.New("not in the vault")
	// ErrExists: other bytes lie under that key; they were left as they are.
	ErrExists = errors.New("other bytes lie under that key")
	// ErrFull: the vault has no space left. Nothing of the object was kept; try again when there is space.
	ErrFull = errors.New("the vault is full")
	// ErrUnavailable: the vault can't be reached or is in trouble. Try again later.
	ErrUnavailable = errors.New("the vault is unavailable")
	// ErrShorten: a retention may be lengthened, never shortened.
	ErrShorten = errors.New("retention may not be shortened")
	// ErrKey: the key or prefix is not one that a vault takes.
	ErrKey = errors.New("not a key of the vault")
	// ErrRefused: the vault is not fit for evidence, or does not allow what was asked.
	ErrRefused = errors.New("the vault refuses")
)

// WrongBytes says that bytes are not those that they were said to be. They were not kept.
type WrongBytes struct {
	Key               string
	Want, Got         evidence.Digest // Got is of what was read, up to one byte more than WantSize
	WantSize, GotSize int64
}

func (e *WrongBytes) Error() string {
	if e.WantSize != e.GotSize {
		return fmt.Sprintf("wrong bytes for %s: want %d bytes, got %d (at least)", e.Key, e.WantSize, e.GotSize)
	}
	return fmt.Sprintf("wrong bytes for %s: want SHA-256 %s, got %s", e.Key, e.Want, e.Got)
}

// Object is what is to be written. Until is rounded up to a whole second.
type Object struct {
	Key   string // ends in the digits of Hash
	Size  int64  // bytes
	Hash  evidence.Digest
	Until time.Time // locked until then
}

// Held is an object as read back from the vault.
type Held struct {
	Key     string
	Version string // the vault's version id; empty in a folder, which has no versions
	Size    int64
	Hash    evidence.Digest
	Until   time.Time // locked until then, UTC; zero where List does not tell
}

// Ref names an object to be read. With an empty version, the version that has the hash is searched: S3 puts delete
// markers and new versions over locked objects, so "the latest" says nothing.
type Ref struct {
	Key     string
	Version string
	Hash    evidence.Digest
	Size    int64 // bytes; 0 if it is not known
}

// Ref names the object that h is about.
func (h Held) Ref() Ref { return Ref{Key: h.Key, Version: h.Version, Hash: h.Hash, Size: h.Size} }

// Vault keeps objects. All methods are safe for concurrent use.
type Vault interface {
	// ID is the vault's name, made at its creation and stable.
	ID() string
	// Lock says how objects are kept from being changed.
	Lock() evidence.Lock
	// Put streams the object into the vault and computes its hash itself. When it returns without error, the object
	// is durable, locked and was read back. Wrong bytes never become visible (*WrongBytes). It is idempotent: when the
	// same bytes lie there already, its retention is lengthened if needed and r may stay unread. Other errors wrap
	// ErrExists, ErrFull, ErrUnavailable, ErrKey or r's own error.
	Put(ctx context.Context, o Object, r io.Reader) (Held, error)
	// Open reads the object's bytes from offset on. It does not check them: Read does. The caller closes the reader.
	Open(ctx context.Context, ref Ref, offset int64) (io.ReadCloser, error)
	// Stat reads back what the vault holds. The folder hashes the bytes again, S3 answers with the checksum that it
	// keeps. To ask only whether an object is there, List with its key as the prefix is cheaper.
	Stat(ctx context.Context, ref Ref) (Held, error)
	// List yields all objects below prefix in the order of their keys. Hash is taken from the key; Until may be zero.
	List(ctx context.Context, prefix string) iter.Seq2[Held, error]
	// Extend lengthens the retention. The same time again is no error; an earlier one is ErrShorten.
	Extend(ctx context.Context, ref Ref, until time.Time) (Held, error)
}

// Retryable reports whether the same call may succeed later without anything else being changed.
func Retryable(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, ErrUnavailable)
}

// Read reads a whole small object and checks its hash. An object of more than limit bytes is refused.
func Read(ctx context.Context, v Vault, ref Ref, limit int64) ([]byte, error) {
	r, err := v.Open(ctx, ref, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref.Key, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", ref.Key, limit)
	}
	if got := evidence.Sum(b); got != ref.Hash {
		return nil, &WrongBytes{Key: ref.Key, Want: ref.Hash, Got: got, WantSize: int64(len(b)), GotSize: int64(len(b))}
	}
	return b, nil
}

// PutBytes puts a small object whose key is made from its hash. It returns what Put returns.
func PutBytes(ctx context.Context, v Vault, key func(evidence.Digest) string, b []byte, until time.Time) (Held, error) {
	h := evidence.Sum(b)
	return v.Put(ctx, Object{Key: key(h), Size: int64(len(b)), Hash: h, Until: until}, bytes.NewReader(b))
}

// Last returns the object with the greatest key among prefix followed by a decimal number of the given width.
// It needs few listings even among very many objects. The error wraps ErrNotFound if there is none.
func Last(ctx context.Context, v Vault, prefix string, width int) (Held, error) {
	if f, ok := v.(interface {
		last(ctx context.Context, prefix string) (Held, error)
	}); ok {
		return f.last(ctx, prefix)
	}
	p := prefix
	for range width {
		next, err := lastDigit(ctx, v, p)
		if err != nil {
			return Held{}, err
		}
		p = next
	}
	var found Held
	for h, err := range v.List(ctx, p) {
		if err != nil {
			return Held{}, err
		}
		found = h
	}
	return found, nil
}

func lastDigit(ctx context.Context, v Vault, p string) (string, error) {
	for d := byte('9'); d >= '0'; d-- {
		for _, err := range v.List(ctx, p+string(d)) {
			if err != nil {
				return "", err
			}
			return p + string(d), nil
		}
	}
	return "", fmt.Errorf("%s: %w", p, ErrNotFound)
}

// NewChecked returns a reader of o's bytes from r that never yields the last of them before all of them were found
// right: then the bytes end, and not before. Anything else ends in *WrongBytes or r's error. Vaults write through it.
func NewChecked(ctx context.Context, o Object, r io.Reader) *Checked {
	return &Checked{ctx: ctx, o: o, r: r, h: sha256.New()}
}

// Checked is made by NewChecked.
type Checked struct {
	ctx  context.Context
	o    Object
	r    io.Reader
	h    hash.Hash
	n    int64
	err  error
	done bool
}

// Read implements io.Reader.
func (c *Checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if err := c.ctx.Err(); err != nil {
		return 0, c.fail(err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if left := c.o.Size - c.n; left > 0 {
		n, err := c.r.Read(p[:min(int64(len(p)), left)])
		c.h.Write(p[:n])
		c.n += int64(n)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, c.fail(fmt.Errorf("%s: read: %w", c.o.Key, err))
		}
		if c.n < c.o.Size {
			if err != nil {
				return 0, c.fail(c.wrong(c.n))
			}
			return n, nil
		}
		if err := c.end(errors.Is(err, io.EOF)); err != nil {
			return 0, c.fail(err)
		}
		c.err = io.EOF
		return n, nil
	}
	if err := c.end(false); err != nil {
		return 0, c.fail(err)
	}
	return 0, c.fail(io.EOF)
}

// end demands that r ends here and that the hash is the right one.
func (c *Checked) end(ended bool) error {
	var one [1]byte
	for !ended {
		n, err := c.r.Read(one[:])
		switch {
		case n > 0:
			return c.wrong(c.n + 1)
		case errors.Is(err, io.EOF):
			ended = true
		case err != nil:
			return fmt.Errorf("%s: read: %w", c.o.Key, err)
		case c.ctx.Err() != nil:
			return c.ctx.Err()
		}
	}
	if evidence.Digest(c.h.Sum(nil)) != c.o.Hash {
		return c.wrong(c.n)
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.done = true
	return nil
}

func (c *Checked) wrong(size int64) error {
	return &WrongBytes{Key: c.o.Key, Want: c.o.Hash, Got: evidence.Digest(c.h.Sum(nil)), WantSize: c.o.Size, GotSize: size}
}

func (c *Checked) fail(err error) error {
	c.err = err
	return err
}

// Err is the error that ended the reading, nil if all bytes were read and right.
func (c *Checked) Err() error {
	if c.done {
		return nil
	}
	return c.err
}
