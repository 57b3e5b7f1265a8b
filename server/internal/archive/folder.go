package archive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"camseal/pkg/durable"
	"camseal/pkg/evidence"
)

// FolderSteps are the names that FolderOptions.Step is called with during one Put, in order. After each the process
// may be killed: a Put that had not returned leaves either nothing or an object that the next Put completes.
var FolderSteps = []string{
	"written",   // the bytes and the retention are in temporary files
	"synced",    // both are durable there
	"retention", // the retention has its name
	"linked",    // the object has its name
	"durable",   // both names are durable
	"read-back", // bytes and retention were read again
}

// FolderOptions change how a folder works; the zero value is right.
type FolderOptions struct {
	// Step is called between the durable steps of Put, for crash tests.
	Step func(name string)
}

// Folder is a vault in a folder on this machine:
//
//	ID                the vault's id
//	objects/<key>     the bytes, mode 0444, created exclusively
//	retention/<key>   the time until which the object is locked, RFC 3339, mode 0444; only ever lengthened
//	tmp/<process>/    what is being written
//
// It keeps software from changing an object by mistake; it does not keep out whoever is root on the machine, which is
// why receipts name the lock "folder". Several processes may use one folder.
type Folder struct {
	root string
	id   string
	tmp  string
	lock *os.File // held on tmp, so that no other process clears it away
	step func(string)

	mu      sync.Mutex
	durable map[string]bool // folders known to be durable, up to the root

	retention sync.Mutex // with the file lock of the same name: one lengthening at a time
}

var _ Vault = (*Folder)(nil)

const maxDurable = 1 << 14

// OpenFolder opens the vault in the folder root, and makes one if root is empty or does not exist. Temporary files
// that dead processes left are cleared away. The caller calls Close in the end.
func OpenFolder(root string, opts FolderOptions) (*Folder, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("vault folder: %w", err)
	}
	f := &Folder{root: root, step: opts.Step, durable: map[string]bool{filepath.Dir(root): true}}
	if f.step == nil {
		f.step = func(string) {}
	}
	if err := durable.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return nil, fmt.Errorf("vault folder: %w", err)
	}
	for _, d := range []string{"objects", "retention", "tmp"} {
		if err := f.mkdir(filepath.Join(root, d)); err != nil {
			return nil, fmt.Errorf("vault folder: %w", full(err))
		}
	}
	if err := f.clear(); err != nil {
		return nil, fmt.Errorf("vault folder: clear leftovers: %w", err)
	}
	if err := f.claim(); err != nil {
		return nil, fmt.Errorf("vault folder: %w", full(err))
	}
	if f.id, err = f.readID(); err != nil {
		return nil, errors.Join(fmt.Errorf("vault folder: %w", full(err)), f.Close())
	}
	return f, nil
}

// Close gives up the process's place in the folder. Puts must have ended.
func (f *Folder) Close() error {
	return errors.Join(os.RemoveAll(f.tmp), f.lock.Close())
}

// ID implements Vault.
func (f *Folder) ID() string { return f.id }

// Lock implements Vault.
func (f *Folder) Lock() evidence.Lock { return evidence.LockFolder }

func (f *Folder) object(key string) string { return filepath.Join(f.root, "objects", key) }
func (f *Folder) until(key string) string  { return filepath.Join(f.root, "retention", key) }

// claim makes this process's own folder for temporary files and locks it for as long as the process lives.
func (f *Folder) claim() error {
	for {
		dir, err := os.MkdirTemp(filepath.Join(f.root, "tmp"), "p-")
		if err != nil {
			return err
		}
		lock, err := lockDir(dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EWOULDBLOCK) {
			continue // another process that just opens the vault took it for a leftover
		}
		if err != nil {
			return err
		}
		if _, err := os.Stat(dir); err != nil {
			lock.Close()
			continue
		}
		f.tmp, f.lock = dir, lock
		return nil
	}
}

// clear removes what processes left that live no more.
func (f *Folder) clear() error {
	entries, err := os.ReadDir(filepath.Join(f.root, "tmp"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(f.root, "tmp", e.Name())
		lock, err := lockDir(dir)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(dir), lock.Close()); err != nil {
			return err
		}
	}
	return nil
}

// lockDir takes the exclusive lock of a file or folder, or fails at once with EWOULDBLOCK.
func lockDir(path string) (*os.File, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return d, nil
}

// readID reads the vault's id, and makes it when the vault is new.
func (f *Folder) readID() (string, error) {
	path := filepath.Join(f.root, "ID")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.writeID(path); err != nil {
			return "", err
		}
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return "", err
	}
	id := strings.TrimSuffix(string(b), "\n")
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 || id+"\n" != string(b) {
		return "", fmt.Errorf("%s: %w: the file does not hold 32 hexadecimal digits; put the vault's own ID file back", path, ErrRefused)
	}
	return id, nil
}

func (f *Folder) writeID(path string) error {
	objects, err := os.ReadDir(filepath.Join(f.root, "objects"))
	if err != nil {
		return err
	}
	if len(objects) > 0 {
		return fmt.Errorf("%s: %w: there are objects, but this file is missing; put the vault's own ID file back", path, ErrRefused)
	}
	var raw [16]byte
	rand.Read(raw[:])
	tmp, err := f.writeTemp([]byte(hex.EncodeToString(raw[:]) + "\n"))
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(f.root)
}

// writeTemp writes b durably to a new temporary file, mode 0444.
func (f *Folder) writeTemp(b []byte) (string, error) {
	t, err := os.CreateTemp(f.tmp, "")
	if err != nil {
		return "", err
	}
	_, err = t.Write(b)
	err = errors.Join(err, t.Chmod(0o444), t.Sync(), t.Close())
	if err != nil {
		os.Remove(t.Name())
		return "", err
	}
	return t.Name(), nil
}

// mkdir makes a folder and those above it; when it returns, all their names are durable.
func (f *Folder) mkdir(dir string) error {
	f.mu.Lock()
	known := f.durable[dir]
	f.mu.Unlock()
	if known {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := f.mkdir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := durable.SyncDir(parent); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.durable) >= maxDurable {
		clear(f.durable)
		f.durable[filepath.Dir(f.root)] = true
	}
	f.durable[dir] = true
	return nil
}

// full adds ErrFull to errors that say so.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w; nothing of this object was kept and nothing else was touched, make space and try again: %w", ErrFull, err)
	}
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ESTALE) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// wholeSecond rounds up, in UTC.
func wholeSecond(t time.Time) time.Time {
	r := t.UTC().Truncate(time.Second)
	if r.Before(t) {
		r = r.Add(time.Second)
	}
	return r
}

// WholeSecond rounds a retention up to a whole second, as vaults keep it.
func WholeSecond(t time.Time) time.Time { return wholeSecond(t) }

func (f *Folder) checkContext(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}
