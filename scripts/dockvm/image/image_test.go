package image_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"camseal/scripts/dockvm/image"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func makeImage(t *testing.T, v image.Volume) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := image.Make(t.Context(), path, v); err != nil {
		t.Fatal(err)
	}
	return path
}

// many are entries that need more than one cluster in every folder.
func many(n int) []image.Entry {
	var inner []image.Entry
	for i := range n {
		inner = append(inner, image.Entry{Name: fmt.Sprintf("NOR_8888888_000000_20170731155341_%04d.MP4", i), Data: bytes.Repeat([]byte{byte(i)}, i*37)})
	}
	return append([]image.Entry{{Name: "DCIM", Dir: []image.Entry{{Name: "100MEDIA", Dir: inner}}}, {Name: "空文件.txt"}}, inner...)
}

// TestFoundSound: the file systems' own checkers have nothing to complain of.
func TestFoundSound(t *testing.T) {
	for _, v := range []image.Volume{
		{System: "vfat", Cluster: 512, UUID: "1A2B-3C4D", Label: "CAMERA", Entries: many(300)},
		{System: "exfat", Cluster: 4096, UUID: "1A2B-3C4D", Label: "CAMERA", Entries: many(300)},
		{System: "ext4", UUID: "6f0c2a8e-3f65-4b7e-9d55-0f1f5a6b7c8d", Entries: many(300)},
	} {
		t.Run(v.System, func(t *testing.T) {
			path := makeImage(t, v)
			run(t, map[string]string{"vfat": "fsck.vfat", "exfat": "fsck.exfat", "ext4": "e2fsck"}[v.System], "-n", path)
			if got := strings.TrimSpace(run(t, "blkid", "-p", "-s", "UUID", "-o", "value", path)); got != v.UUID {
				t.Errorf("UUID %s, not %s", got, v.UUID)
			}
		})
	}
}

// TestMtoolsReads: another implementation of FAT finds the same names, times and bytes, in a partition too.
func TestMtoolsReads(t *testing.T) {
	data := bytes.Repeat([]byte("footage "), 5000)
	path := makeImage(t, image.Volume{System: "vfat", Partition: true, Entries: []image.Entry{
		{Name: "DCIM", Dir: []image.Entry{{Name: "a long name, Mixed Case.mp4", Data: data}}}}})
	at := path + "@@1M"
	if got := run(t, "mdir", "-i", at, "::DCIM"); !strings.Contains(got, "a long name, Mixed Case.mp4") || !strings.Contains(got, "2026-03-14  15:09") {
		t.Errorf("mdir: %s", got)
	}
	if got := run(t, "mtype", "-i", at, "::DCIM/a long name, Mixed Case.mp4"); got != string(data) {
		t.Errorf("mtype: %d bytes, not the %d written", len(got), len(data))
	}
}

// TestSparse: the largest file that FAT holds takes no space on the host.
func TestSparse(t *testing.T) {
	path := makeImage(t, image.Volume{System: "vfat", Size: 5 << 30, Cluster: 32 << 10, Entries: []image.Entry{{Name: "HUGE.MP4", Data: []byte("begin"), Size: 1<<32 - 1}}})
	if got := run(t, "mdir", "-i", path, "::HUGE.MP4"); !strings.Contains(got, "4294967295") { // fsck.vfat 4.2 overflows
		t.Errorf("mdir: %s", got)
	}
	if got := strings.Fields(run(t, "du", "-m", path))[0]; len(got) > 2 {
		t.Errorf("the image takes %s MiB", got)
	}
	if _, err := os.Stat(path + ".part"); err == nil {
		t.Error("an aid was left behind")
	}
}

// TestHostileIsFoundBroken: the checker finds what is broken on purpose, so it is.
func TestHostileIsFoundBroken(t *testing.T) {
	path := makeImage(t, image.Volume{System: "vfat", Cluster: 512, Entries: image.HostileEntries(512)})
	out, err := exec.CommandContext(t.Context(), "fsck.vfat", "-n", path).CombinedOutput()
	if err == nil {
		t.Fatal("fsck.vfat finds nothing")
	}
	for _, want := range []string{"BADSIZE.MP4", "BADCROSS.MP4", "BADSTART.MP4", "BADSUM.MP4"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("fsck.vfat says nothing of %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
