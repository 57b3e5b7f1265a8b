package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"camseal/pkg/durable"
)

// Disposer is the one way by which an object leaves a vault. It stands apart from Vault: only what carries out a confirmed disposal has one.
type Disposer interface {
	// Dispose removes the object under a key for good, all its versions and what hides them. It is durable when it returns, safe to redo, and no
	// error if there is nothing. While a lock lasts beyond now nothing is removed: *Locked. Other errors wrap ErrUnavailable, ErrRefused or
	// ErrKey.
	Dispose(ctx context.Context, key string, now time.Time) error
}

// Locked says that an object can't be removed yet. It was left as it is.
type Locked struct {
	Key   string
	Until time.Time
}

func (e *Locked) Error() string {
	return fmt.Sprintf("%s is locked until %s; it was left as it is", e.Key, e.Until.Format(time.RFC3339))
}

var _ Disposer = (*Folder)(nil)

// Dispose implements Disposer. The retention goes last: an object without one never lies there.
func (f *Folder) Dispose(ctx context.Context, key string, now time.Time) error {
	hash, err := HashOf(key)
	if err == nil {
		err = CheckKey(key, hash)
	}
	if err == nil {
		err = f.checkContext(ctx, key)
	}
	if err == nil {
		err = f.dispose(key, now)
	}
	if err != nil {
		return fmt.Errorf("dispose: %w", full(err))
	}
	return nil
}

func (f *Folder) dispose(key string, now time.Time) error {
	f.retention.Lock()
	defer f.retention.Unlock()
	lock, err := os.Open(filepath.Join(f.root, "retention"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock retention: %w", err)
	}
	until, err := f.readUntil(key)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(f.object(key)); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s: %w: it has no retention", key, ErrRefused), err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if until.After(now) {
		return &Locked{Key: key, Until: until}
	}
	for _, path := range []string{f.object(key), f.until(key)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := durable.SyncDir(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
