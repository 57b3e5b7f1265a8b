package vendors

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"camseal/pkg/handoff"
)

// TestManySmallFilesInFlatMemory: 200,000 files on one card. In many folders they need the memory of one folder; in a single one, that of its names.
func TestManySmallFilesInFlatMemory(t *testing.T) {
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out what makes 400,000 files")
	}
	const files = 200_000
	for _, c := range []struct {
		folders int
		most    uint64
	}{{200, 1 << 20}, {1, 24 << 20}} {
		t.Run(fmt.Sprintf("%d folders", c.folders), func(t *testing.T) {
			root := t.TempDir()
			if err := unix.Mount("tmpfs", root, "tmpfs", 0, "nr_inodes=0"); err != nil {
				t.Fatal("mount, which needs root: ", err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			many(t, root, files, c.folders)
			listMany(t, root, files, c.most)
		})
	}
}

func listMany(t *testing.T, root string, files int, most uint64) {
	t.Helper()
	from := time.Now()
	p := load(t, "").Detect(root)
	detected := time.Since(from)
	if p.Name() != "nor-imp" {
		t.Fatal(p.Name())
	}
	base, peak, n, important := live(), uint64(0), 0, 0
	from = time.Now()
	if err := p.List(t.Context(), root, func(f handoff.File) error {
		if f.Important {
			important++
		}
		if f.Important != (n < files/10) || f.Error != "" {
			return fmt.Errorf("file %d is %+v", n, f)
		}
		if n++; n%20_000 == 1 {
			peak = max(peak, live())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	peak -= min(base, peak)
	t.Logf("%d files: detected in %v, listed in %v, %d KiB", n, detected.Round(time.Millisecond), time.Since(from).Round(time.Millisecond), peak>>10)
	if n != files || important != files/10 || peak > most {
		t.Errorf("%d files, %d of them important, %d bytes; at most %d", n, important, peak, most)
	}
}

// live returns how many bytes are in use after a collection.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// many makes empty files, each tenth of them important.
func many(t *testing.T, root string, files, folders int) {
	t.Helper()
	for i := range files {
		dir := filepath.Join(root, fmt.Sprintf("%03dMEDIA", i%folders))
		if i < folders {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		mark := "NOR"
		if i/folders%10 == 0 {
			mark = "IMP"
		}
		if err := unix.Mknod(fmt.Sprintf("%s/%s_8888888_000000_20170731155341_%06d.MP4", dir, mark, i), unix.S_IFREG|0o600, 0); err != nil {
			t.Fatal(err)
		}
	}
}
