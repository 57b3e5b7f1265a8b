package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"camseal/pkg/durable"
	"camseal/pkg/evidence"
)

const copyBuffer = 256 << 10

var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// Put implements Vault. Order: bytes and retention into temporary files, both synced; retention linked; object linked;
// both folders synced; bytes and retention read again, past the page cache where the file system lets us.
func (f *Folder) Put(ctx context.Context, o Object, r io.Reader) (Held, error) {
	if err := CheckObject(o); err != nil {
		return Held{}, err
	}
	o.Until = wholeSecond(o.Until)
	h, err := f.put(ctx, o, r)
	if err != nil {
		return Held{}, fmt.Errorf("put %s: %w", o.Key, full(err))
	}
	return h, nil
}

func (f *Folder) put(ctx context.Context, o Object, r io.Reader) (Held, error) {
	if err := ctx.Err(); err != nil {
		return Held{}, err
	}
	if _, err := os.Lstat(f.object(o.Key)); err == nil {
		return f.again(ctx, o)
	}
	tmp, err := f.receive(ctx, o, r)
	if err != nil {
		return Held{}, err
	}
	defer os.Remove(tmp.object)
	defer os.Remove(tmp.retention)
	f.step("synced")
	if err := f.name(o, tmp); errors.Is(err, fs.ErrExist) {
		return f.again(ctx, o)
	} else if err != nil {
		return Held{}, err
	}
	held, err := f.readBack(ctx, o)
	if err != nil {
		return Held{}, err
	}
	f.step("read-back")
	return held, nil
}

// again answers a Put whose object lies there already.
func (f *Folder) again(ctx context.Context, o Object) (Held, error) {
	if err := f.syncNames(o.Key); err != nil {
		return Held{}, err
	}
	if err := f.lengthen(o.Key, o.Until, false); err != nil {
		return Held{}, err
	}
	held, err := f.readBack(ctx, o)
	var wrong *WrongBytes
	if errors.As(err, &wrong) {
		return Held{}, fmt.Errorf("%w, they were left as they are; compare this disk with a copy: %w", ErrExists, err)
	}
	return held, err
}

type temps struct{ object, retention string }

// receive streams the bytes into a temporary file and makes it and the retention's durable, side by side.
func (f *Folder) receive(ctx context.Context, o Object, r io.Reader) (temps, error) {
	t, err := os.CreateTemp(f.tmp, "")
	if err != nil {
		return temps{}, err
	}
	out := temps{object: t.Name()}
	buf := buffers.Get().(*[copyBuffer]byte)
	defer buffers.Put(buf)
	src := NewChecked(ctx, o, r)
	// Only Read and Write are shown, so that no shortcut holds the whole or goes past the check.
	_, err = io.CopyBuffer(struct{ io.Writer }{t}, struct{ io.Reader }{src}, buf[:])
	if err == nil {
		f.step("written")
		var wg sync.WaitGroup
		var errUntil error
		wg.Go(func() { out.retention, errUntil = f.writeTemp(untilText(o.Until)) })
		err = errors.Join(t.Chmod(0o444), t.Sync())
		wg.Wait()
		err = errors.Join(err, errUntil)
	}
	if err = errors.Join(err, t.Close()); err != nil {
		os.Remove(out.object)
		os.Remove(out.retention)
		return temps{}, err
	}
	return out, nil
}

// name links both files to their names and makes the names durable.
func (f *Folder) name(o Object, tmp temps) error {
	if err := f.mkdirs(o.Key); err != nil {
		return err
	}
	err := os.Link(tmp.retention, f.until(o.Key))
	if errors.Is(err, fs.ErrExist) {
		err = f.lengthen(o.Key, o.Until, false) // left by a Put that did not end, or made by one beside this one
	}
	if err != nil {
		return err
	}
	f.step("retention")
	if err := os.Link(tmp.object, f.object(o.Key)); err != nil {
		return err
	}
	f.step("linked")
	if err := f.syncNames(o.Key); err != nil {
		return err
	}
	f.step("durable")
	return nil
}

// mkdirs makes the folders of a key durable, side by side.
func (f *Folder) mkdirs(key string) error {
	var wg sync.WaitGroup
	var errUntil error
	wg.Go(func() { errUntil = f.mkdir(filepath.Dir(f.until(key))) })
	err := f.mkdir(filepath.Dir(f.object(key)))
	wg.Wait()
	return errors.Join(err, errUntil)
}

// syncNames makes both names of a key durable, and those of the folders that they are in.
func (f *Folder) syncNames(key string) error {
	if err := f.mkdirs(key); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var errUntil error
	wg.Go(func() { errUntil = durable.SyncDir(filepath.Dir(f.until(key))) })
	err := durable.SyncDir(filepath.Dir(f.object(key)))
	wg.Wait()
	return errors.Join(err, errUntil)
}

// readBack hashes the object again and reads its retention. The error is *WrongBytes when the disk holds other bytes.
func (f *Folder) readBack(ctx context.Context, o Object) (Held, error) {
	file, err := os.Open(f.object(o.Key))
	if err != nil {
		return Held{}, notFound(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Held{}, err
	}
	dropCache(file)
	h := sha256.New()
	buf := buffers.Get().(*[copyBuffer]byte)
	defer buffers.Put(buf)
	n, err := io.CopyBuffer(h, reader{ctx, file}, buf[:])
	if err != nil {
		return Held{}, fmt.Errorf("read back: %w", err)
	}
	if got := evidence.Digest(h.Sum(nil)); got != o.Hash || (o.Size != 0 && n != o.Size) {
		wrong := &WrongBytes{Key: o.Key, Want: o.Hash, Got: got, WantSize: o.Size, GotSize: n}
		if o.Size == 0 {
			wrong.WantSize = n
		}
		return Held{}, fmt.Errorf("read back: %w", wrong)
	}
	until, err := f.readUntil(o.Key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Held{}, err
	}
	if until.Before(o.Until) || info.Mode().Perm()&0o222 != 0 {
		return Held{}, fmt.Errorf("read back: %w: locked until %s, mode %s", ErrRefused, until, info.Mode())
	}
	return Held{Key: o.Key, Size: n, Hash: o.Hash, Until: until}, nil
}

// dropCache asks the kernel to forget the file's pages, so that the next read comes from the medium.
// See posix_fadvise(2), POSIX_FADV_DONTNEED. It is advice: a file system without a medium ignores it.
func dropCache(file *os.File) {
	const dontNeed = 4
	_, _, _ = syscall.Syscall6(syscall.SYS_FADVISE64, file.Fd(), 0, 0, dontNeed, 0, 0)
}

// reader reads until ctx ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func untilText(t time.Time) []byte { return []byte(t.Format(time.RFC3339) + "\n") }

// readUntil reads an object's retention.
func (f *Folder) readUntil(key string) (time.Time, error) {
	b, err := os.ReadFile(f.until(key))
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339+"\n", string(b))
	if err != nil || string(untilText(t.UTC())) != string(b) {
		return time.Time{}, fmt.Errorf("%s: %w: its retention can't be read: %q", key, ErrRefused, b)
	}
	return t.UTC(), nil
}

// lengthen replaces the retention by a later one. An earlier one is ErrShorten if strict, else nothing is done.
func (f *Folder) lengthen(key string, until time.Time, strict bool) error {
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
	now, err := f.readUntil(key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !until.After(now) {
		if strict && until.Before(now) {
			return fmt.Errorf("%w: it is locked until %s, asked was %s", ErrShorten, now.Format(time.RFC3339), until.Format(time.RFC3339))
		}
		return nil
	}
	tmp, err := f.writeTemp(untilText(until))
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, f.until(key)); err != nil {
		os.Remove(tmp)
		return err
	}
	return durable.SyncDir(filepath.Dir(f.until(key)))
}
