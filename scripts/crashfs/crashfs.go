// Package crashfs is a file system in memory, mounted by FUSE, whose power can be cut: what no fsync made durable is gone then, as on a disk
// at its worst.
//
// The contents of a file, and the names that were given to it, become durable by fsync of the file; the names in a folder by fsync of the
// folder; and nothing else makes anything durable: no order of writes, no passing of time, no fsync of something else. This is less than any file
// system of Linux does. With a journal any fsync makes all changes of names until then durable too, as ext4 and xfs do. Size and contents of a
// file go together.
package crashfs

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// capacity is what statfs says, in bytes.
const capacity = 8 << 30

// FS is a disk. Its methods are safe for concurrent use.
type FS struct {
	dir     string
	journal bool
	root    *object

	mu     sync.Mutex // guards all objects
	next   uint64     // number of the next object
	off    bool       // the power is cut: every call gives EIO
	run    int        // how often the power came back; who has a file open from before gets EIO
	steps  int64      // changes so far
	cutAt  int64      // at which the power goes; 0: at none
	cut    chan struct{}
	server *fuse.Server
	used   atomic.Int64
	dirty  map[*object]struct{} // folders whose names changed since they were durable
}

// object is a file, a folder, a link or a socket.
type object struct {
	ino   uint64
	mode  uint32 // type and permissions
	mtime time.Time

	names, namesDurable map[string]*object // of a folder
	data, dataDurable   []byte             // of a file; of a symbolic link, where it points
	links               int
	places              map[place]struct{} // names given to a file since it was durable
}

// place is a name in a folder.
type place struct {
	dir  *object
	name string
}

// New mounts an empty disk at dir, which must be an empty folder.
func New(dir string, journal bool) (*FS, error) {
	f := &FS{dir: dir, journal: journal, cut: make(chan struct{}), dirty: map[*object]struct{}{}}
	f.root = f.object(syscall.S_IFDIR | 0o755)
	return f, f.mount()
}

func (f *FS) object(mode uint32) *object {
	f.next++
	o := &object{ino: f.next, mode: mode, mtime: time.Now()}
	if mode&syscall.S_IFMT == syscall.S_IFDIR {
		o.names, o.namesDurable = map[string]*object{}, map[string]*object{}
	}
	return o
}

func (f *FS) mount() error {
	none := time.Duration(0)
	server, err := fs.Mount(f.dir, &node{f: f, o: f.root, run: f.run}, &fs.Options{EntryTimeout: &none, AttrTimeout: &none, NegativeTimeout: &none, NullPermissions: true,
		RootStableAttr: &fs.StableAttr{Mode: syscall.S_IFDIR, Ino: f.root.ino},
		MountOptions:   fuse.MountOptions{FsName: "crashfs", Name: "crashfs", DirectMount: true, AllowOther: false}})
	if err != nil {
		return fmt.Errorf("mount %s: %w", f.dir, err)
	}
	f.server = server
	return nil
}

// Steps returns how many changes there have been: writes, syncs, and changes of names.
func (f *FS) Steps() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps
}

// CutAt cuts the power at that change, counted as Steps does: that change and all after it don't happen. The channel is closed then.
func (f *FS) CutAt(step int64) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cutAt = step
	return f.cut
}

// Cut cuts the power now.
func (f *FS) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.die()
}

// die; f.mu is held.
func (f *FS) die() {
	if !f.off {
		f.off = true
		close(f.cut)
	}
}

// Restore mounts the disk again with what was durable when the power went. Whoever had files open there must be gone.
func (f *FS) Restore() error {
	f.Cut()
	if err := f.Close(); err != nil {
		return err
	}
	f.mu.Lock()
	f.run++
	f.used.Store(0)
	clear(f.dirty)
	f.settle(f.root, map[*object]bool{})
	f.off, f.cutAt, f.cut = false, 0, make(chan struct{})
	f.mu.Unlock()
	return f.mount()
}

// settle makes an object, and what its durable names lead to, what they are on the disk.
func (f *FS) settle(o *object, done map[*object]bool) {
	if o.links++; done[o] {
		return
	}
	done[o], o.links, o.places = true, 1, nil
	if o.names == nil {
		if o.mode&syscall.S_IFMT == syscall.S_IFREG {
			o.data = append([]byte(nil), o.dataDurable...)
			f.used.Add(int64(len(o.data)))
		}
		return
	}
	o.names = maps.Clone(o.namesDurable)
	for _, child := range o.names {
		f.settle(child, done)
	}
}

// Close unmounts the disk. Open files do not keep it: they give errors from then on.
func (f *FS) Close() error {
	if f.server == nil {
		return nil
	}
	if err := syscall.Unmount(f.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", f.dir, err)
	}
	f.server = nil // it ends when the last open file is closed
	return nil
}

// keepNames makes the names in a folder durable; f.mu is held.
func (f *FS) keepNames(o *object) {
	o.namesDurable = maps.Clone(o.names)
	delete(f.dirty, o)
}

// change begins a change. It returns EIO if there is no power; else f.mu is held until the returned function is called.
func (n *node) change() (done func(), errno syscall.Errno) {
	f := n.f
	f.mu.Lock()
	f.steps++
	if f.cutAt != 0 && f.steps >= f.cutAt {
		f.die()
	}
	if f.off || n.run != f.run {
		f.mu.Unlock()
		return nil, syscall.EIO
	}
	return f.mu.Unlock, 0
}

// look is change without a step.
func (n *node) look() (done func(), errno syscall.Errno) {
	f := n.f
	f.mu.Lock()
	if f.off || n.run != f.run {
		f.mu.Unlock()
		return nil, syscall.EIO
	}
	return f.mu.Unlock, 0
}
