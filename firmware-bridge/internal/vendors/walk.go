package vendors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"camseal/pkg/handoff"
)

// bounds hold against a volume that is made, or broken, so that it has no end. What lies beyond is named, not passed over.
type bounds struct {
	depth   int
	path    int // bytes: behind the mount point it must still be a path that can be opened
	folders int // on a volume
	names   int // in a folder
}

var usual = bounds{depth: 64, path: 3500, folders: 250_000, names: 1_000_000}

// What people read of an entry that is not taken in.
const (
	saysLook   = "nothing on the recorder was changed; have it looked at before it is erased"
	saysLink   = "it is a link, which is not followed; what it points to on the recorder is taken in at its own place"
	saysOdd    = "it is a pipe, a socket or a device, which recorders don't make; it was not opened, " + saysLook
	saysLoop   = "this folder is one that was listed already: the file system goes in a circle here; its files are taken in at the other place, " + saysLook
	saysDeep   = "this folder lies too deep to be read; everything else is taken in, " + saysLook
	saysMany   = "the recorder has more folders than can be listed; this one was not, " + saysLook
	saysLong   = "this folder has more files than can be listed; the others are taken in, " + saysLook
	saysDouble = "two entries have this name, and only one of them can be read; the other one is damaged or hidden, " + saysLook
)

type inode struct{ dev, ino uint64 }

// walker goes through a volume once, or twice in a way that what the first time came to grief over is left to the second as a whole.
type walker struct {
	ctx     context.Context
	most    bounds
	profile *Profile
	file    func(handoff.File) error
	enters  func(at string)    // every folder; may be nil
	serial  func(string) error // what a side-car says that the recorder is called; may be nil

	first  bool            // only important files; nothing is said of what can't be read
	failed map[string]bool // what couldn't be read the first time; nil: there was no first time
	seen   map[inode]struct{}
}

// List calls emit with every file of the volume mounted at root, important ones first, each once (but for one whose side-car could be read at first and
// then not, which may come twice); folders and entries that can't be read or are no files come with an Error, and the rest goes on. Memory holds one folder's names, not the volume. It returns when all has been listed, the context ends,
// emit fails, or root itself can't be read. Paths are raw bytes, Modified is milliseconds since 1970 UTC. Nothing is followed, executed or written.
func (p *Profile) List(ctx context.Context, root string, emit func(handoff.File) error) error {
	w := &walker{ctx: ctx, most: usual, profile: p, file: emit, first: true, failed: map[string]bool{}}
	if err := w.run(root); err != nil {
		return err
	}
	w.first = false
	return w.run(root)
}

func (w *walker) run(root string) error {
	w.seen = map[inode]struct{}{}
	dir, err := os.Open(root)
	if err != nil {
		return fmt.Errorf("list the recorder: %w", err)
	}
	defer dir.Close()
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstat(int(dir.Fd()), &st) }); err != nil {
		return fmt.Errorf("list the recorder: %w", err)
	}
	w.seen[inode{st.Dev, st.Ino}] = struct{}{}
	return w.folder(dir, "", 0, w.failed == nil || w.failed[""])
}

// bad names an entry that can't be taken in.
func (w *walker) bad(at, says string) error {
	if w.first {
		w.failed[at] = true
		return nil
	}
	if at == "" {
		at = "/"
	}
	return w.file(handoff.File{Path: []byte(at), Error: says})
}

func cantRead(what string, err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	return fmt.Sprintf("%s can't be read (%v); the rest is taken in, %s", what, err, saysLook)
}

// folder lists one. all says that important files are still to come, too.
func (w *walker) folder(dir *os.File, at string, depth int, all bool) error {
	if w.enters != nil {
		w.enters(at)
	}
	names, err := readNames(dir, w.most.names)
	switch {
	case err != nil && at == "" && len(names) == 0:
		return fmt.Errorf("list the recorder: %w", err)
	case err != nil && w.first:
		return w.bad(at, "") // all of it the second time
	case errors.Is(err, errMany):
		err = w.bad(at, saysLong)
	case err != nil:
		err = w.bad(at, cantRead("this folder, or a part of it,", err))
	}
	if err != nil {
		return err
	}
	n, err := w.readSidecars(dir, names)
	if errors.Is(err, errUnread) {
		return w.bad(at, "") // as above: what is important is not known yet
	}
	if err != nil {
		return err
	}
	for i, name := range names {
		full := at + "/" + name
		if i > 0 && names[i-1] == name {
			if !w.first {
				err = w.bad(full, saysDouble)
			}
		} else {
			err = w.entry(dir, full, name, n, depth, all || w.failed[full])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errMany = errors.New("too many names")

// readNames returns the folder's names in order, also when it ends in an error, such as errMany behind the most that there may be.
func readNames(dir *os.File, most int) ([]string, error) {
	var names []string
	for {
		more, err := dir.Readdirnames(min(4096, most-len(names)))
		names = append(names, more...)
		if err == nil && len(names) >= most {
			err = errMany
		}
		if err != nil {
			slices.Sort(names)
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return names, err
		}
	}
}

func (w *walker) entry(dir *os.File, full, name string, n *notes, depth int, all bool) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return w.bad(full, cantRead("it", err))
	}
	says := saysOdd
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return w.enter(dir, full, name, st, depth+1, all)
	case unix.S_IFREG:
		f := w.profile.describe([]byte(full))
		f.Size, f.Modified = uint64(max(0, st.Size)), time.Unix(st.Mtim.Unix()).UnixMilli()
		if err := n.add(dir, &f, name); err != nil && w.first {
			return w.bad(full, "")
		}
		if w.first && !f.Important || !w.first && !all && f.Important {
			return nil
		}
		return w.file(f)
	case unix.S_IFLNK:
		says = saysLink
	}
	if w.first {
		return nil
	}
	return w.bad(full, says)
}

// enter lists a folder within a folder, unless it was listed already or the bounds are reached.
func (w *walker) enter(dir *os.File, full, name string, st unix.Stat_t, depth int, all bool) error {
	id := inode{st.Dev, st.Ino}
	_, listed := w.seen[id]
	switch {
	case listed:
		return w.bad(full, saysLoop)
	case depth > w.most.depth || len(full) > w.most.path:
		return w.bad(full, saysDeep)
	case len(w.seen) >= w.most.folders:
		return w.bad(full, saysMany)
	}
	sub, err := openAt(dir, name, unix.O_DIRECTORY)
	if err != nil {
		return w.bad(full, cantRead("this folder", err))
	}
	defer sub.Close()
	if id.ino != 0 { // a file system that numbers nothing is held by the depth alone
		w.seen[id] = struct{}{}
	}
	return w.folder(sub, full, depth, all)
}

// openAt opens an entry of a folder for reading without following a link or waiting for a pipe.
func openAt(dir *os.File, name string, flags int) (*os.File, error) {
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// again repeats a call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
