package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// errNotRegular says that a file became something else since it was found.
var errNotRegular = errors.New("it is no regular file")

func origin(path string, info fs.FileInfo) spool.Origin {
	o := spool.Origin{Path: []byte(path), Size: uint64(info.Size()), Mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		o.Ctime, o.Inode, o.Device = st.Ctim.Nano(), st.Ino, st.Dev
	}
	return o
}

// origin is what the file was found to be. File systems of recorders number their files anew at each mount, so that on a docked volume only
// path, size and time of change say that it is the same.
func (r *run) origin(path string, info fs.FileInfo) spool.Origin {
	o := origin(path, info)
	if r.Volume != nil {
		o.Docked, o.Ctime, o.Inode, o.Device = true, 0, 0, 0
	}
	return o
}

// openFile opens a regular file for reading without following a link at its end, waiting for a pipe, or touching its access time.
func (r *run) openFile(path string) (*os.File, spool.Origin, error) {
	const flags = syscall.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC
	f, err := os.OpenFile(path, flags|syscall.O_NOATIME, 0)
	if errors.Is(err, syscall.EPERM) { // only the owner may ask for that
		f, err = os.OpenFile(path, flags, 0)
	}
	if err != nil {
		return nil, spool.Origin{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errNotRegular}
	}
	if err != nil {
		return nil, spool.Origin{}, errors.Join(err, f.Close())
	}
	return f, r.origin(path, info), nil
}

// settle waits until the file has not changed for the settling time, and returns what it is then. Only files that
// were changed recently, or by their own account will be in the future, are waited for.
func (r *run) settle(ctx context.Context, it item, f *os.File, now spool.Origin) (spool.Origin, error) {
	if age := r.Now().UnixNano() - now.Mtime; r.Ready || age >= int64(r.Settle) {
		return now, nil
	}
	last, since := it.stat, it.seen
	told := false
	for {
		if last.Size != now.Size || last.Mtime != now.Mtime {
			last, since = now, r.Now()
		}
		left := r.Settle - r.Now().Sub(since)
		if left <= 0 || left > r.Settle && told { // the second: the clock was set back
			return now, nil
		}
		if !told {
			r.report(Event{Kind: EventWaiting, Path: now.Path, Size: now.Size, Text: "waiting until it has stopped growing"})
			told = true
		}
		timer := time.NewTimer(min(left, r.Settle))
		select {
		case <-ctx.Done():
			timer.Stop()
			return now, ctx.Err()
		case <-timer.C:
		}
		info, err := f.Stat()
		if err != nil {
			return now, err
		}
		now = r.origin(it.Path, info)
	}
}

// changedSince compares an open file with what it was when reading began. It returns the reason for a fault, or "".
func (r *run) changedSince(f *os.File, was spool.Origin) (why, detail string) {
	info, err := f.Stat()
	if err != nil {
		return evidence.WhyReadError, "its state can't be read any more: " + err.Error()
	}
	now := r.origin(string(was.Path), info)
	there, err := os.Lstat(string(was.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return evidence.WhyVanished, "it was deleted or moved, or its medium went away, while it was read"
	case err != nil:
		return evidence.WhyReadError, "its folder can't be read any more: " + err.Error()
	case r.origin("", there).Inode != now.Inode:
		return evidence.WhyChanged, "another file took its place while it was read"
	case now.Size > was.Size:
		return evidence.WhyChanged, "it grew while it was read"
	case now.Size < was.Size:
		return evidence.WhyChanged, "it was cut while it was read"
	case now.Mtime != was.Mtime || now.Ctime != was.Ctime:
		return evidence.WhyChanged, "it was changed while it was read"
	}
	return "", ""
}

// describe fills in where the file was found.
func (r *run) describe(o spool.Origin) evidence.Source {
	var src evidence.Source
	var onVolume string
	if v := r.Volume; v != nil {
		src = evidence.Source{Volume: v.ID, Firmware: v.Firmware, Officer: v.Officer}
		onVolume = strings.TrimPrefix(string(o.Path), strings.TrimSuffix(v.Root, "/"))
	} else {
		src.Volume, onVolume = locate(string(o.Path), o.Device)
	}
	src.Serial, src.Size = r.Serial, o.Size
	if o.Mtime > 0 {
		src.Modified = uint64(o.Mtime / int64(time.Millisecond))
	}
	src.SetPath([]byte(onVolume), []byte(filepath.Base(string(o.Path))))
	return src
}
