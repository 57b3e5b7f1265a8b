package archive

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Open implements Vault.
func (f *Folder) Open(ctx context.Context, ref Ref, offset int64) (io.ReadCloser, error) {
	if err := f.checkRef(ctx, ref); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	file, err := os.Open(f.object(ref.Key))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref.Key, full(notFound(err)))
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		file.Close()
		return nil, fmt.Errorf("open %s at %d: %w", ref.Key, offset, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{reader{ctx, file}, file}, nil
}

// Stat implements Vault: it hashes the bytes again.
func (f *Folder) Stat(ctx context.Context, ref Ref) (Held, error) {
	if err := f.checkRef(ctx, ref); err != nil {
		return Held{}, fmt.Errorf("stat: %w", err)
	}
	h, err := f.readBack(ctx, Object{Key: ref.Key, Size: ref.Size, Hash: ref.Hash})
	if err != nil {
		return Held{}, fmt.Errorf("stat %s: %w", ref.Key, full(err))
	}
	return h, nil
}

// Extend implements Vault.
func (f *Folder) Extend(ctx context.Context, ref Ref, until time.Time) (Held, error) {
	if err := f.checkRef(ctx, ref); err != nil {
		return Held{}, fmt.Errorf("extend: %w", err)
	}
	if _, err := os.Lstat(f.object(ref.Key)); err != nil {
		return Held{}, fmt.Errorf("extend %s: %w", ref.Key, full(notFound(err)))
	}
	if err := f.lengthen(ref.Key, wholeSecond(until), true); err != nil {
		return Held{}, fmt.Errorf("extend %s: %w", ref.Key, full(err))
	}
	return f.Stat(ctx, ref)
}

func (f *Folder) checkRef(ctx context.Context, ref Ref) error {
	if err := f.checkContext(ctx, ref.Key); err != nil {
		return err
	}
	if err := CheckKey(ref.Key, ref.Hash); err != nil {
		return err
	}
	if ref.Version != "" {
		return fmt.Errorf("%s: %w: version %q, a folder has none", ref.Key, ErrNotFound, ref.Version)
	}
	return nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// List implements Vault. However many objects lie in one folder, no more than listPage names are held at once.
func (f *Folder) List(ctx context.Context, prefix string) iter.Seq2[Held, error] {
	return func(yield func(Held, error) bool) {
		if err := CheckPrefix(prefix); err != nil {
			yield(Held{}, fmt.Errorf("list: %w", err))
			return
		}
		cut := strings.LastIndexByte(prefix, '/') + 1
		f.list(ctx, prefix[:cut], prefix[cut:], yield)
	}
}

const listPage = 16 << 10

// list yields what lies in the folder dir ("" or ending in "/") under names that begin with start.
func (f *Folder) list(ctx context.Context, dir, start string, yield func(Held, error) bool) bool {
	for after := ""; ; {
		names, err := f.names(ctx, dir, start, after, listPage)
		if err != nil {
			return yield(Held{}, fmt.Errorf("list %s: %w", dir, full(err)))
		}
		for _, name := range names {
			if below, ok := strings.CutSuffix(name, "/"); ok {
				if !f.list(ctx, dir+below+"/", "", yield) {
					return false
				}
				continue
			}
			if !f.listOne(dir+name, yield) {
				return false
			}
		}
		if len(names) < listPage {
			return true
		}
		after = names[len(names)-1]
	}
}

func (f *Folder) listOne(key string, yield func(Held, error) bool) bool {
	hash, err := HashOf(key)
	if err != nil {
		return true // not put by a vault
	}
	info, err := os.Lstat(f.object(key))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return yield(Held{}, fmt.Errorf("list %s: %w", key, full(err)))
	}
	return yield(Held{Key: key, Size: info.Size(), Hash: hash}, nil)
}

// names returns the least names in dir that begin with start and are greater than after, at most limit, sorted.
// Folders' names end in "/", so that the order is that of whole keys.
func (f *Folder) names(ctx context.Context, dir, start, after string, limit int) ([]string, error) {
	var least maxHeap
	err := f.eachName(ctx, dir, start, func(name string) {
		if name <= after || (len(least) == limit && name > least[0]) {
			return
		}
		heap.Push(&least, name)
		if len(least) > limit {
			heap.Pop(&least)
		}
	})
	slices.Sort(least)
	return least, err
}

// eachName calls do with every name in dir that begins with start, in no order.
func (f *Folder) eachName(ctx context.Context, dir, start string, do func(string)) error {
	d, err := os.Open(f.object(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := d.ReadDir(1024)
		for _, e := range entries {
			name := e.Name()
			if e.IsDir() {
				name += "/"
			}
			if strings.HasPrefix(name, start) {
				do(name)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// last finds the greatest key that is prefix, a digit and more without a slash, in one pass.
func (f *Folder) last(ctx context.Context, prefix string) (Held, error) {
	if err := CheckPrefix(prefix); err != nil {
		return Held{}, err
	}
	cut := strings.LastIndexByte(prefix, '/') + 1
	dir, greatest := prefix[:cut], ""
	err := f.eachName(ctx, dir, prefix[cut:], func(name string) {
		if rest := name[len(prefix)-cut:]; rest != "" && rest[0] >= '0' && rest[0] <= '9' && !strings.HasSuffix(name, "/") {
			greatest = max(greatest, name)
		}
	})
	if err != nil {
		return Held{}, fmt.Errorf("last below %s: %w", prefix, full(err))
	}
	var found Held
	if greatest != "" {
		f.listOne(dir+greatest, func(h Held, e error) bool { found, err = h, e; return true })
	}
	if err == nil && found.Key == "" {
		err = fmt.Errorf("last below %s: %w", filepath.Clean(prefix), ErrNotFound)
	}
	return found, err
}

// maxHeap is a heap with the greatest name on top.
type maxHeap []string

func (h maxHeap) Len() int           { return len(h) }
func (h maxHeap) Less(i, j int) bool { return h[i] > h[j] }
func (h maxHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *maxHeap) Push(x any)        { *h = append(*h, x.(string)) }
func (h *maxHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
