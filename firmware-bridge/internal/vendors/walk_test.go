package vendors

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"camseal/pkg/handoff"
)

func write(t testing.TB, root, name, content string) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, []byte(content), 0o700)); err != nil {
		t.Fatal(err)
	}
}

func list(t testing.TB, p *Profile, root string) []handoff.File {
	t.Helper()
	var files []handoff.File
	if err := p.List(t.Context(), root, func(f handoff.File) error {
		files = append(files, f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

// paths returns what was listed, with "!" before what has an error.
func paths(files []handoff.File) []string {
	var out []string
	for _, f := range files {
		p := string(f.Path)
		if f.Error != "" {
			p = "!" + p
		}
		out = append(out, p)
	}
	return out
}

func hold(t *testing.T, p *Profile, root string, want ...string) []handoff.File {
	t.Helper()
	files := list(t, p, root)
	if got := paths(files); !slices.Equal(got, want) {
		t.Errorf("listed\n%q, want\n%q", got, want)
	}
	return files
}

// TestImportantFilesComeFirst, then the others, each once.
func TestImportantFilesComeFirst(t *testing.T) {
	root := t.TempDir()
	for _, n := range []string{"a/NOR_8888888_000000_20170731155341_0001.MP4", "b/IMP_8888888_000000_20170731155341_0002.MP4", "c/IMP/x.jpg", "d.txt"} {
		write(t, root, n, "12345")
	}
	at := time.Unix(1_501_000_000, 5e6)
	if err := os.Chtimes(filepath.Join(root, "d.txt"), at, at); err != nil {
		t.Fatal(err)
	}
	files := hold(t, load(t, "").named("nor-imp"), root, "/b/IMP_8888888_000000_20170731155341_0002.MP4", "/c/IMP/x.jpg",
		"/a/NOR_8888888_000000_20170731155341_0001.MP4", "/d.txt")
	if f := files[3]; f.Size != 5 || f.Modified != at.UnixMilli() {
		t.Errorf("%+v", f)
	}
}

// TestListEndsWhenToldTo: by the context, by the one who is told, or where there is nothing to list.
func TestListEndsWhenToldTo(t *testing.T) {
	root := t.TempDir()
	for i := range 5 {
		write(t, root, fmt.Sprint(i), "")
	}
	p := load(t, "").none
	errFull, n := errors.New("full"), 0
	if err := p.List(t.Context(), root, func(handoff.File) error { n++; return errFull }); !errors.Is(err, errFull) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
	if err := p.List(t.Context(), filepath.Join(root, "gone"), func(handoff.File) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := p.List(t.Context(), filepath.Join(root, "1"), func(handoff.File) error { return nil }); err == nil {
		t.Error("a file was listed as a volume")
	}
}

// TestLinksPipesAndSocketsAreNamedAndNotOpened.
func TestLinksPipesAndSocketsAreNamedAndNotOpened(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	write(t, outside, "secret", "x")
	write(t, root, "ok.mp4", "x")
	if err := errors.Join(os.Symlink(outside, filepath.Join(root, "a-folder")), os.Symlink("/etc/passwd", filepath.Join(root, "a-file.mp4")),
		os.Symlink("a-loop", filepath.Join(root, "a-loop")), unix.Mkfifo(filepath.Join(root, "pipe.mp4"), 0o600), unix.Mknod(filepath.Join(root, "node"), unix.S_IFSOCK|0o600, 0)); err != nil {
		t.Fatal(err)
	}
	files := hold(t, load(t, "").none, root, "!/a-file.mp4", "!/a-folder", "!/a-loop", "!/node", "/ok.mp4", "!/pipe.mp4")
	for _, f := range files {
		if f.Error != "" && !strings.Contains(f.Error, "it is a") {
			t.Errorf("%q", f.Error)
		}
	}
}

// TestNamesInGBKKeepTheirBytes: they are decoded for the officer's name only.
func TestNamesInGBKKeepTheirBytes(t *testing.T) {
	p, err := parseProfile([]byte("name: a\nencoding: gbk\nfiles: [{pattern: '(?P<officer>\\p{Han}+)_(?P<number>\\d+)'}]"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	write(t, root, "\xC0\xEE\xCE\xB0_7.mp4", "x")
	write(t, root, "\xCE\xF7\xC7\xF8/\xFF\xFE.mp4", "x")
	write(t, root, "王芳_8.mp4", "x")
	files := hold(t, p, root, "/\xC0\xEE\xCE\xB0_7.mp4", "/\xCE\xF7\xC7\xF8/\xFF\xFE.mp4", "/王芳_8.mp4")
	if files[0].Officer != "李伟" || files[0].Number != 7 || files[2].Officer != "王芳" || files[1].Officer != "" {
		t.Errorf("%+v", files)
	}
}

// TestOneNameInDifferentCase: both files come, each with its own side-car.
func TestOneNameInDifferentCase(t *testing.T) {
	p, err := parseProfile([]byte("name: a\nkinds: {video: [mp4]}\nsidecars: [{name: '(?P<stem>.+)\\.txt', line: '(?P<text>.+)'}]"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	write(t, root, "A.MP4", "1")
	write(t, root, "a.mp4", "22")
	write(t, root, "a.TXT", "small\n")
	files := hold(t, p, root, "/A.MP4", "/a.TXT", "/a.mp4")
	if files[0].Note != "" || files[2].Note != "small" || files[0].Size != 1 || files[2].Size != 2 {
		t.Errorf("%+v", files)
	}
}

// TestSizesFromNothingToFourGiB: 0 bytes, and the most that FAT holds.
func TestSizesFromNothingToFourGiB(t *testing.T) {
	root := t.TempDir()
	write(t, root, "0.mp4", "")
	write(t, root, "4.mp4", "")
	const most = 1<<32 - 1
	if err := os.Truncate(filepath.Join(root, "4.mp4"), most); err != nil {
		t.Fatal(err)
	}
	files := hold(t, load(t, "").none, root, "/0.mp4", "/4.mp4")
	if files[0].Size != 0 || files[1].Size != most {
		t.Errorf("%+v", files)
	}
}

// TestFoldersThatGoInACircle, by a bind mount: the circle is named, and everything is listed once.
func TestFoldersThatGoInACircle(t *testing.T) {
	root := t.TempDir()
	write(t, root, "a/IMP/1.mp4", "x")
	write(t, root, "a/2.mp4", "x")
	for _, at := range []string{"a/loop", "a/IMP/up"} {
		full := filepath.Join(root, at)
		if err := os.Mkdir(full, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(filepath.Join(root, "a"), full, "", unix.MS_BIND, ""); err != nil {
			t.Fatal("bind mount, which needs root: ", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(full, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	hold(t, load(t, "").none, root, "/a/IMP/1.mp4", "/a/2.mp4", "!/a/IMP/up", "!/a/loop")
}

// TestFoldersTooDeep are named, and what lies above is listed.
func TestFoldersTooDeep(t *testing.T) {
	root := t.TempDir()
	deep := strings.Repeat("d/", usual.depth)
	write(t, root, deep+"last.mp4", "x")
	write(t, root, deep+"e/lost.mp4", "x")
	wide := strings.Repeat("w", 250)
	write(t, root, "d/z.mp4", "x")
	dir, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for range 15 { // further than a path reaches
		if err := dir.Mkdir(wide, 0o700); err != nil {
			t.Fatal(err)
		}
		if dir, err = dir.OpenRoot(wide); err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
	}
	hold(t, load(t, "").none, root, "!/"+deep+"e", "/"+deep+"last.mp4", "/d/z.mp4", "!"+strings.Repeat("/"+wide, 14))
}

// TestMoreThanCanBeListed: too many folders, and too many names in one, are named; what was read is listed, important files first.
func TestMoreThanCanBeListed(t *testing.T) {
	root := t.TempDir()
	for i := range 12 {
		write(t, root, fmt.Sprintf("a/%02d.mp4", i), "")
	}
	write(t, root, "b/IMP_1.mp4", "")
	write(t, root, "c/2.mp4", "")
	var files []handoff.File
	w := &walker{ctx: t.Context(), most: bounds{depth: 9, path: 900, folders: 3, names: 10}, profile: load(t, "").none, first: true, failed: map[string]bool{}, file: func(f handoff.File) error {
		files = append(files, f)
		return nil
	}}
	if err := w.run(root); err != nil {
		t.Fatal(err)
	}
	w.first = false
	if err := w.run(root); err != nil {
		t.Fatal(err)
	}
	got := paths(files)
	if n := len(got); n != 13 || got[0] != "/b/IMP_1.mp4" || got[1] != "!/a" || got[n-1] != "!/c" {
		t.Errorf("listed %q", got)
	}
}

// TestNothingIsExecuted: names that a shell, a desktop or an autostart would act on are names; this package can't start a program.
func TestNothingIsExecuted(t *testing.T) {
	root := t.TempDir()
	canary := filepath.Join(t.TempDir(), "canary")
	script := "#!/bin/sh\necho x > " + canary + "\n"
	names := []string{"$(touch canary).mp4", "; touch canary;.mp4", "`touch canary`", "autorun.inf", "x.lnk", "a.desktop", "setup.exe", "-rf", "--help", "a\nb.mp4", "\x1b[2J.mp4",
		".bash_profile", "x.mp4.scr", "\u202e4pm.exe", "%s%n.mp4", "COM1", strings.Repeat("A", 255)}
	for _, n := range names {
		write(t, root, n, script)
	}
	table := load(t, "")
	p := table.Detect(root)
	if got := paths(list(t, p, root)); len(got) != len(names) || p.Serial(root) != "" {
		t.Errorf("listed %q", got)
	}
	if _, err := os.Stat(canary); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was executed")
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range parsed.Imports {
			if !strings.HasSuffix(f, "_test.go") && (imp.Path.Value == `"os/exec"` || imp.Path.Value == `"plugin"`) {
				t.Errorf("%s imports %s", f, imp.Path.Value)
			}
		}
	}
}

// TestClockIn1970 and before it: the file's own time comes as it is.
func TestClockIn1970(t *testing.T) {
	root := t.TempDir()
	for i, at := range []time.Time{time.Unix(0, 0), time.Unix(86400, 0), time.Unix(-86400, 0)} {
		name := fmt.Sprintf("%d.mp4", i)
		write(t, root, name, "")
		if err := os.Chtimes(filepath.Join(root, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	files := hold(t, load(t, "").none, root, "/0.mp4", "/1.mp4", "/2.mp4")
	if files[0].Modified != 0 || files[1].Modified != 86400_000 || files[2].Modified != -86400_000 {
		t.Errorf("%+v", files)
	}
}
