package crashfs

import (
	"context"
	"slices"
	"sort"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is an object as the kernel knows it.
type node struct {
	fs.Inode
	f   *FS
	o   *object
	run int // of the disk, when this was made
}

var (
	_ fs.NodeLookuper   = (*node)(nil)
	_ fs.NodeReaddirer  = (*node)(nil)
	_ fs.NodeGetattrer  = (*node)(nil)
	_ fs.NodeSetattrer  = (*node)(nil)
	_ fs.NodeOpener     = (*node)(nil)
	_ fs.NodeReader     = (*node)(nil)
	_ fs.NodeWriter     = (*node)(nil)
	_ fs.NodeFsyncer    = (*node)(nil)
	_ fs.NodeFlusher    = (*node)(nil)
	_ fs.NodeAllocater  = (*node)(nil)
	_ fs.NodeCreater    = (*node)(nil)
	_ fs.NodeMkdirer    = (*node)(nil)
	_ fs.NodeMknoder    = (*node)(nil)
	_ fs.NodeLinker     = (*node)(nil)
	_ fs.NodeSymlinker  = (*node)(nil)
	_ fs.NodeReadlinker = (*node)(nil)
	_ fs.NodeUnlinker   = (*node)(nil)
	_ fs.NodeRmdirer    = (*node)(nil)
	_ fs.NodeRenamer    = (*node)(nil)
	_ fs.NodeStatfser   = (*node)(nil)
)

func (n *node) child(ctx context.Context, o *object, out *fuse.EntryOut) *fs.Inode {
	o.attr(&out.Attr)
	return n.NewInode(ctx, &node{f: n.f, o: o, run: n.run}, fs.StableAttr{Mode: o.mode & syscall.S_IFMT, Ino: o.ino})
}

func (o *object) attr(a *fuse.Attr) {
	a.Ino, a.Mode, a.Size, a.Nlink = o.ino, o.mode, uint64(len(o.data)), uint32(max(1, o.links))
	a.Blksize, a.Blocks = 4096, (a.Size+511)/512
	a.SetTimes(&o.mtime, &o.mtime, &o.mtime)
}

// Lookup implements fs.NodeLookuper.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	done, errno := n.look()
	if errno != 0 {
		return nil, errno
	}
	defer done()
	o := n.o.names[name]
	if o == nil {
		return nil, syscall.ENOENT
	}
	return n.child(ctx, o, out), 0
}

// Readdir implements fs.NodeReaddirer.
func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	done, errno := n.look()
	if errno != 0 {
		return nil, errno
	}
	defer done()
	var list []fuse.DirEntry
	for name, o := range n.o.names {
		list = append(list, fuse.DirEntry{Name: name, Ino: o.ino, Mode: o.mode})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return fs.NewListDirStream(list), 0
}

// Getattr implements fs.NodeGetattrer.
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	done, errno := n.look()
	if errno != 0 {
		return errno
	}
	defer done()
	n.o.attr(&out.Attr)
	return 0
}

// Setattr implements fs.NodeSetattrer. Modes and times are durable at once: nobody here rests on them.
func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	done, errno := n.change()
	if errno != 0 {
		return errno
	}
	defer done()
	if size, ok := in.GetSize(); ok {
		n.f.resize(n.o, int(size))
		n.o.mtime = time.Now()
	}
	if mode, ok := in.GetMode(); ok {
		n.o.mode = n.o.mode&syscall.S_IFMT | mode&0o7777
	}
	if at, ok := in.GetMTime(); ok {
		n.o.mtime = at
	}
	n.o.attr(&out.Attr)
	return 0
}

// resize cuts contents or lengthens them by zeros; f.mu is held.
func (f *FS) resize(o *object, size int) {
	f.used.Add(int64(size - len(o.data)))
	if size <= len(o.data) {
		clear(o.data[size:])
		o.data = o.data[:size]
		return
	}
	o.data = append(slices.Grow(o.data, size-len(o.data)), make([]byte, size-len(o.data))...)
}

// Open implements fs.NodeOpener.
func (n *node) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) { return nil, 0, 0 }

// Read implements fs.NodeReader.
func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	done, errno := n.look()
	if errno != 0 {
		return nil, errno
	}
	defer done()
	if off >= int64(len(n.o.data)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, n.o.data[off:])]), 0
}

// Write implements fs.NodeWriter.
func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	done, errno := n.change()
	if errno != 0 {
		return 0, errno
	}
	defer done()
	if end := int(off) + len(data); end > len(n.o.data) {
		if n.f.used.Load()+int64(end-len(n.o.data)) > capacity {
			return 0, syscall.ENOSPC
		}
		n.f.resize(n.o, end)
	}
	copy(n.o.data[off:], data)
	n.o.mtime = time.Now()
	return uint32(len(data)), 0
}

// Fsync implements fs.NodeFsyncer, for files and folders.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	done, errno := n.change()
	if errno != 0 {
		return errno
	}
	defer done()
	if n.o.names != nil {
		n.f.keepNames(n.o)
	} else {
		n.o.dataDurable = append(n.o.dataDurable[:0], n.o.data...)
		for p := range n.o.places {
			p.dir.namesDurable[p.name] = n.o
		}
		n.o.places = nil
	}
	if n.f.journal {
		for o := range n.f.dirty {
			n.f.keepNames(o)
		}
	}
	return 0
}

// Flush implements fs.NodeFlusher: closing a file makes nothing durable.
func (n *node) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

// Allocate implements fs.NodeAllocater.
func (n *node) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	done, errno := n.change()
	if errno != 0 {
		return errno
	}
	defer done()
	const keepSize = 1
	if mode&^keepSize != 0 {
		return syscall.EOPNOTSUPP
	}
	if end := int(off + size); mode&keepSize == 0 && end > len(n.o.data) {
		n.f.resize(n.o, end)
	}
	return 0
}

// make adds a new object under a name.
func (n *node) make(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	done, errno := n.change()
	if errno != 0 {
		return nil, errno
	}
	defer done()
	if n.o.names[name] != nil {
		return nil, syscall.EEXIST
	}
	o := n.f.object(mode)
	n.f.name(n.o, name, o)
	o.links = 1
	return n.child(ctx, o, out), 0
}

// Create implements fs.NodeCreater.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	made, errno := n.make(ctx, name, syscall.S_IFREG|mode&0o7777, out)
	return made, nil, 0, errno
}

// Mkdir implements fs.NodeMkdirer.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.make(ctx, name, syscall.S_IFDIR|mode&0o7777, out)
}

// Mknod implements fs.NodeMknoder: sockets and pipes.
func (n *node) Mknod(ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.make(ctx, name, mode, out)
}

// Symlink implements fs.NodeSymlinker.
func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	made, errno := n.make(ctx, name, syscall.S_IFLNK|0o777, out)
	if errno == 0 {
		made.Operations().(*node).o.data = []byte(target)
	}
	return made, errno
}

// Readlink implements fs.NodeReadlinker.
func (n *node) Readlink(context.Context) ([]byte, syscall.Errno) { return n.o.data, 0 }

// Link implements fs.NodeLinker.
func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	done, errno := n.change()
	if errno != 0 {
		return nil, errno
	}
	defer done()
	if n.o.names[name] != nil {
		return nil, syscall.EEXIST
	}
	o := target.(*node).o
	n.f.name(n.o, name, o)
	o.links++
	return n.child(ctx, o, out), 0
}

// Unlink implements fs.NodeUnlinker.
func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	done, errno := n.change()
	if errno != 0 {
		return errno
	}
	defer done()
	return n.f.remove(n.o, name)
}

// name makes a name in a folder stand for an object, or for none; f.mu is held.
func (f *FS) name(dir *object, name string, o *object) {
	if o == nil {
		delete(dir.names[name].places, place{dir, name})
		delete(dir.names, name)
	} else {
		dir.names[name] = o
		if o.places == nil {
			o.places = map[place]struct{}{}
		}
		o.places[place{dir, name}] = struct{}{}
	}
	dir.mtime = time.Now()
	f.dirty[dir] = struct{}{}
}

// remove takes a name away; f.mu is held.
func (f *FS) remove(dir *object, name string) syscall.Errno {
	o := dir.names[name]
	switch {
	case o == nil:
		return syscall.ENOENT
	case len(o.names) > 0:
		return syscall.ENOTEMPTY
	}
	f.name(dir, name, nil)
	if o.links--; o.links == 0 {
		f.used.Add(-int64(len(o.data)))
	}
	return 0
}

// Rmdir implements fs.NodeRmdirer.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno { return n.Unlink(ctx, name) }

// Rename implements fs.NodeRenamer.
func (n *node) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	done, errno := n.change()
	if errno != 0 {
		return errno
	}
	defer done()
	to, o := newParent.(*node).o, n.o.names[name]
	const noReplace = 1
	switch {
	case flags&^noReplace != 0:
		return syscall.EINVAL
	case o == nil:
		return syscall.ENOENT
	case to.names[newName] == o:
		return 0
	case to.names[newName] != nil && flags&noReplace != 0:
		return syscall.EEXIST
	case to.names[newName] != nil:
		if errno := n.f.remove(to, newName); errno != 0 {
			return errno
		}
	}
	n.f.name(n.o, name, nil)
	n.f.name(to, newName, o)
	return 0
}

// Statfs implements fs.NodeStatfser.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	const block = 4096
	out.Bsize, out.Frsize, out.NameLen = block, block, 255
	out.Blocks = capacity / block
	out.Bfree = uint64(max(0, capacity-n.f.used.Load())) / block
	out.Bavail, out.Files, out.Ffree = out.Bfree, 1<<20, 1<<20
	return 0
}
