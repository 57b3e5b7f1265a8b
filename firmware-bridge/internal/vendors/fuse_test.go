package vendors

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"camseal/pkg/handoff"
)

// broken is a file system whose entries fail as told: fails holds, by path, how often a call gives EIO; -1 is always.
type broken struct {
	fs.Inode
	at    string
	files map[string]string // content by path; a folder's path ends in "/"
	twice []string          // paths whose name stands in its folder twice
	fails map[string]*atomic.Int64
	ino   map[string]uint64 // by path; others are numbered by the library
}

func (b *broken) eio(call string) bool {
	left := b.fails[call]
	return left != nil && left.Add(-1) >= 0
}

var (
	_ fs.NodeLookuper  = (*broken)(nil)
	_ fs.NodeReaddirer = (*broken)(nil)
	_ fs.NodeGetattrer = (*broken)(nil)
	_ fs.NodeOpener    = (*broken)(nil)
	_ fs.NodeReader    = (*broken)(nil)
)

func (b *broken) Lookup(ctx context.Context, name string, _ *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	at := b.at + name
	mode := uint32(fuse.S_IFREG)
	if _, ok := b.files[at]; !ok {
		if at, mode = at+"/", fuse.S_IFDIR; !b.isFolder(at) {
			return nil, syscall.ENOENT
		}
	}
	if b.eio("lookup " + at) {
		return nil, syscall.EIO
	}
	child := &broken{at: at, files: b.files, twice: b.twice, fails: b.fails, ino: b.ino}
	return b.NewInode(ctx, child, fs.StableAttr{Mode: mode, Ino: b.ino[at]}), 0
}

func (b *broken) isFolder(at string) bool {
	for p := range b.files {
		if strings.HasPrefix(p, at) {
			return true
		}
	}
	return false
}

func (b *broken) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	if b.eio("open " + b.at) {
		return nil, syscall.EIO
	}
	var names []string
	for p := range b.files {
		if rest, ok := strings.CutPrefix(p, b.at); ok && rest != "" {
			name, _, _ := strings.Cut(rest, "/")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, p := range b.twice {
		if rest, ok := strings.CutPrefix(p, b.at); ok && !strings.Contains(rest, "/") {
			names = append(names, rest)
		}
	}
	return &entries{b: b, names: names, fails: b.eio("read " + b.at)}, 0
}

// entries fail behind its second name.
type entries struct {
	b     *broken
	names []string
	n     int
	fails bool
}

func (s *entries) HasNext() bool { return s.n < len(s.names) }
func (s *entries) Close()        {}
func (s *entries) Next() (fuse.DirEntry, syscall.Errno) {
	if s.fails && s.n == 2 {
		return fuse.DirEntry{}, syscall.EIO
	}
	s.n++
	return fuse.DirEntry{Name: s.names[s.n-1], Mode: fuse.S_IFREG}, 0
}

func (b *broken) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Size = uint64(len(b.files[b.at]))
	return 0
}

func (b *broken) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (b *broken) Read(_ context.Context, _ fs.FileHandle, buf []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if b.eio("content " + b.at) {
		return nil, syscall.EIO
	}
	content := b.files[b.at]
	return fuse.ReadResultData([]byte(content[min(off, int64(len(content))):])), 0
}

// mount makes the file system appear in a folder until the test ends.
func (b *broken) mount(t *testing.T, fails map[string]int64) string {
	t.Helper()
	b.fails = map[string]*atomic.Int64{}
	for call, n := range fails {
		b.fails[call] = new(atomic.Int64)
		if n < 0 {
			n = math.MaxInt64
		}
		b.fails[call].Store(n)
	}
	root := t.TempDir()
	server, err := fs.Mount(root, b, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "broken", Name: "broken"}})
	if err != nil {
		t.Fatal("mount, which needs root and /dev/fuse: ", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return root
}

// recorder is what the tests break.
func recorder() *broken {
	return &broken{files: map[string]string{"a/1.mp4": "1", "a/2.mp4": "2", "a/3.mp4": "3", "a/IMP_4.mp4": "4", "b/5.mp4": "5", "b/IMP_6.mp4": "6", "c.mp4": "7"}}
}

// TestBrokenEntriesAreNamedAndTheRestIsListed: an entry that can't be asked, a folder that can't be opened, one that breaks off, two of one name.
func TestBrokenEntriesAreNamedAndTheRestIsListed(t *testing.T) {
	whole := []string{"/a/IMP_4.mp4", "/b/IMP_6.mp4", "/a/1.mp4", "/a/2.mp4", "/a/3.mp4", "/b/5.mp4", "/c.mp4"}
	for name, c := range map[string]struct {
		fails map[string]int64
		twice []string
		want  []string
	}{
		"sound":  {want: whole},
		"entry":  {fails: map[string]int64{"lookup a/2.mp4": -1}, want: []string{"/a/IMP_4.mp4", "/b/IMP_6.mp4", "/a/1.mp4", "!/a/2.mp4", "/a/3.mp4", "/b/5.mp4", "/c.mp4"}},
		"folder": {fails: map[string]int64{"open a/": -1}, want: []string{"/b/IMP_6.mp4", "!/a", "/b/5.mp4", "/c.mp4"}},
		"path":   {fails: map[string]int64{"lookup a/": -1}, want: []string{"/b/IMP_6.mp4", "!/a", "/b/5.mp4", "/c.mp4"}},
		"part":   {fails: map[string]int64{"read a/": -1}, want: []string{"/b/IMP_6.mp4", "!/a", "/a/1.mp4", "/a/2.mp4", "/b/5.mp4", "/c.mp4"}},
		"twice":  {twice: []string{"a/1.mp4"}, want: []string{"/a/IMP_4.mp4", "/b/IMP_6.mp4", "/a/1.mp4", "!/a/1.mp4", "/a/2.mp4", "/a/3.mp4", "/b/5.mp4", "/c.mp4"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := recorder()
			b.twice = c.twice
			files := hold(t, load(t, "").none, b.mount(t, c.fails), c.want...)
			for _, f := range files {
				if f.Error != "" && (!strings.Contains(f.Error, "nothing on the recorder was changed") || f.Size != 0) {
					t.Errorf("%+v", f)
				}
			}
		})
	}
	b := recorder()
	if err := load(t, "").none.List(t.Context(), b.mount(t, map[string]int64{"open ": -1}), func(handoff.File) error { return nil }); err == nil {
		t.Error("a recorder whose first folder can't be read was listed as if it had nothing")
	}
}

// TestWhatFailsOnceIsNotLost: what the first time came to grief over is listed the second, important files too, each once.
func TestWhatFailsOnceIsNotLost(t *testing.T) {
	want := paths(list(t, load(t, "").none, recorder().mount(t, nil)))
	slices.Sort(want)
	for _, call := range []string{"lookup a/", "lookup a/IMP_4.mp4", "lookup a/1.mp4", "open a/", "read a/", "read ", "lookup c.mp4"} {
		t.Run(call, func(t *testing.T) {
			got := paths(list(t, load(t, "").none, recorder().mount(t, map[string]int64{call: 1})))
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("listed %q", got)
			}
		})
	}
}

// TestSidecarThatFailsOnceMakesNoFileVanish: it says that a file is important, and can't be read the first time.
func TestSidecarThatFailsOnceMakesNoFileVanish(t *testing.T) {
	p, err := parseProfile([]byte(sidecars))
	if err != nil {
		t.Fatal(err)
	}
	for call, n := range map[string]int64{"sound": 0, "content a/1.mrk": 1, "content a/LIST.TXT": 1, "content a/1.mrk ": -1, "content a/LIST.TXT ": -1} {
		b := &broken{files: map[string]string{"a/1.mp4": "1", "a/1.mrk": "0:01 ! gate\n", "a/2.mp4": "2", "a/LIST.TXT": "2.mp4,,IMP,\n"}}
		got := paths(list(t, p, b.mount(t, map[string]int64{strings.TrimSpace(call): n})))
		slices.Sort(got)
		if want := []string{"/a/1.mp4", "/a/1.mrk", "/a/2.mp4", "/a/LIST.TXT"}; !slices.Equal(got, want) {
			t.Errorf("%s: listed %q", call, got)
		}
	}
}

// TestFolderThatIsItsOwnChild: the file system itself says so, as a broken FAT does.
func TestFolderThatIsItsOwnChild(t *testing.T) {
	b := &broken{files: map[string]string{"a/1.mp4": "1", "a/b/2.mp4": "2", "c.mp4": "3"}, ino: map[string]uint64{"a/": 77, "a/b/": 77}}
	files := list(t, load(t, "").none, b.mount(t, nil))
	if got := paths(files); !slices.Contains(got, "/a/1.mp4") || !slices.Contains(got, "/c.mp4") || !slices.Contains(got, "!/a/b") || len(got) != 3 {
		t.Errorf("listed %q", got)
	}
}
