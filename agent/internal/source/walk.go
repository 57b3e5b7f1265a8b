package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"camseal/agent/internal/spool"
)

// item is a file found.
type item struct {
	Found
	stat spool.Origin
	seen time.Time
}

// walk sends the regular files at and below path, in the order of their names, and reports what it passes over.
func (r *run) walk(ctx context.Context, path string, found chan<- item) {
	abs, err := resolve(path)
	if err != nil {
		r.report(Event{Kind: EventFailed, Path: []byte(path), Text: plain(err)})
		return
	}
	err = filepath.WalkDir(abs, func(p string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.report(Event{Kind: EventFailed, Path: []byte(p), Text: plain(err)})
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			if p == r.Except {
				r.report(Event{Kind: EventSkipped, Path: []byte(p), Text: "the agent's own folder is not taken in"})
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		switch {
		case err != nil:
			r.report(Event{Kind: EventFailed, Path: []byte(p), Text: plain(err)})
		case !info.Mode().IsRegular() && p == abs:
			r.report(Event{Kind: EventFailed, Path: []byte(p), Text: kindOf(info.Mode()) + " is not taken in; give the file itself"})
		case !info.Mode().IsRegular():
			r.report(Event{Kind: EventSkipped, Path: []byte(p), Text: kindOf(info.Mode()) + " is not taken in"})
		case r.Skip != nil && r.Skip(origin(p, info)):
		case r.first(p):
			it := item{Found: Found{Path: p}, stat: origin(p, info), seen: r.Now()}
			r.report(Event{Kind: EventFound, Path: []byte(p), Size: it.stat.Size})
			select {
			case found <- it:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.report(Event{Kind: EventFailed, Path: []byte(abs), Text: plain(err)})
	}
}

// first reports whether the path comes up for the first time in this run.
func (r *run) first(path string) bool {
	h := sha256.Sum256([]byte(path))
	k := [16]byte(h[:16])
	if _, ok := r.seen[k]; ok {
		return false
	}
	r.seen[k] = struct{}{}
	return true
}

// resolve makes a path absolute and free of symbolic links in its folders; its last element stays as it is.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "what is no regular file"
}

// plain says in words why a file can't be taken in.
func plain(err error) string {
	var why string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "it is not there"
	case errors.Is(err, fs.ErrPermission):
		why = "this user may not read it; give the agent's user the right to, and import it again"
	default:
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		why = fmt.Sprintf("it can't be read (%v); look at the medium, and import it again", err)
	}
	return why
}
