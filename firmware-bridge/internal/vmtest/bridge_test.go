package vmtest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"camseal/pkg/handoff"
	"camseal/scripts/dockvm"
	"camseal/scripts/dockvm/image"
)

func footage(n int) []byte { return bytes.Repeat([]byte("0123456789abcde\n"), n/16) }

// TestFileSystemsAreMountedReadOnly: FAT32, exFAT and ext4, with and without a partition table, are mounted so that nothing can be written, run or taken for a device.
func TestFileSystemsAreMountedReadOnly(t *testing.T) {
	for slot, v := range map[int]image.Volume{
		1:  {System: "vfat", UUID: "1A2B-3C4D"},
		2:  {System: "vfat", UUID: "1A2B-3C4E", Partition: true},
		11: {System: "exfat", UUID: "5E6F-7A8B"},
		12: {System: "exfat", UUID: "5E6F-7A8C", Partition: true},
		21: {System: "ext4", UUID: "6f0c2a8e-3f65-4b7e-9d55-0f1f5a6b7c8d"},
	} {
		serial := fmt.Sprintf("SYSTEM%02d", slot)
		v.Entries = []image.Entry{{Name: "DCIM", Dir: []image.Entry{{Name: "A.MP4", Data: []byte(serial)}}}}
		plug(t, slot, dockvm.Recorder{Image: medium(t, v), Serial: serial})
		d := ready(t, slot, serial)
		if d.System != v.System || d.Volume != v.UUID || !d.Erases || d.Size != 64<<20 || d.Free == 0 {
			t.Errorf("slot %d: %+v", slot, d)
		}
		if f, ok := files(t, d)["/DCIM/A.MP4"]; !ok || f.Size != uint64(len(serial)) || f.Kind != handoff.KindVideo {
			t.Errorf("slot %d lists %+v", slot, f)
		}
		root := string(d.Root)
		mount := sh(t, `grep " $1 " /proc/mounts; cat $1/DCIM/A.MP4; ! touch $1/X 2>/dev/null; ! echo x 2>/dev/null >>$1/DCIM/A.MP4`, root)
		for _, want := range []string{"ro,", "nosuid", "nodev", "noexec", "noatime", serial} {
			if !strings.Contains(mount, want) {
				t.Errorf("slot %d: no %s in %s", slot, want, mount)
			}
		}
	}
}

// TestNTFSWithoutADriver: a file system that this kernel can't mount is a fault in words, with what to do.
func TestNTFSWithoutADriver(t *testing.T) {
	plug(t, 3, dockvm.Recorder{Image: medium(t, image.Volume{System: "ntfs"}), Serial: "NTFS"})
	d := await(t, "the fault", func(d handoff.Docking) bool { return d.Serial == "NTFS" && d.State == handoff.StateFault })
	if !strings.Contains(d.Fault, "no driver") || !strings.Contains(d.Fault, "Nothing on it was changed") || d.Root != nil {
		t.Errorf("%+v", d)
	}
}

// TestNamesComeAsTheyAre: long, GBK and odd names, and two that differ in case only, come so that each file can be read under its name.
func TestNamesComeAsTheyAre(t *testing.T) {
	names := []string{"现场执法记录.mp4", strings.Repeat("长", 80) + ".mp4", "Twice.mp4", "TWICE.MP4", "a'b;$(reboot) %s.mp4", "invoice.pdf.exe", " leading.mp4", "08893@201707311553410000.MP4"}
	for slot, system := range map[int]string{4: "vfat", 14: "exfat"} {
		var entries []image.Entry
		for i, name := range names {
			e := image.Entry{Name: name, Data: []byte(name)}
			if system == "exfat" && name == "TWICE.MP4" {
				continue // exFAT's driver knows no case
			}
			if system == "vfat" {
				e.Short = fmt.Sprintf("NAME%04dMP4", i)
			}
			entries = append(entries, e)
		}
		gbk := "\xcf\xd6\xb3\xa1\xd6\xb4\xb7\xa8MP4" // 现场执法, and only so
		if system == "vfat" {
			entries = append(entries, image.Entry{Short: gbk, Data: []byte("gbk")})
		}
		serial := "NAMES" + system
		plug(t, slot, dockvm.Recorder{Image: medium(t, image.Volume{System: system, Entries: entries}), Serial: serial})
		d := ready(t, slot, serial)
		found := files(t, d)
		if len(found) != len(entries) {
			t.Errorf("%s: %d files, not %d", system, len(found), len(entries))
		}
		for path, f := range found {
			want := path[1:]
			if strings.HasSuffix(strings.ToLower(path), ".mp4") && !strings.Contains(strings.Join(names, "/"), want) {
				want = "gbk"
			}
			if got := sh(t, `cat "$1"`, string(d.Root)+path); got != want || f.Error != "" {
				t.Errorf("%s: %q holds %q, not %q; %s", system, path, got, want, f.Error)
			}
		}
	}
}

// TestHostileFAT: loops, chains that end early or lead nowhere, and broken names are named or harmless, and what is good is listed.
func TestHostileFAT(t *testing.T) {
	const cluster = 4096
	entries := image.HostileEntries(cluster)
	plug(t, 5, dockvm.Recorder{Image: medium(t, image.Volume{System: "vfat", Size: 300 << 20, Cluster: cluster, Entries: entries}), Serial: "HOSTILE"})
	d := ready(t, 5, "HOSTILE")
	found := files(t, d)
	for _, good := range []string{"/GOOD.MP4", "/DCIM/GOOD2.MP4", "/Twice.mp4", "/TWICE.MP4", "/BADNEST/INNER.TXT", "/BADNAMES/FIRST.MP4"} {
		f, ok := found[good]
		if !ok || f.Error != "" {
			t.Errorf("%s is not listed: %+v", good, f)
		}
		sh(t, `cat "$1"`, string(d.Root)+good)
	}
	// A folder within itself is seen once more by the kernel, then no deeper. A name with a slash ends its folder's list.
	for _, bad := range []string{"/BADNEST/AGAIN/AGAIN", "/BADCHAIN", "/BADFILED", "/BADNAMES"} {
		if found[bad].Error == "" {
			t.Errorf("nothing is said of %s", bad)
		}
	}
	for path, f := range found {
		t.Logf("%q: %d bytes %s", path, f.Size, f.Error)
		for part := range strings.SplitSeq(path, "/") {
			if part == ".." {
				t.Errorf("%q leads out of the volume", path)
			}
		}
	}
	if got, err := try(`cat "$1"`, string(d.Root)+"/BADSIZE.MP4"); err == nil || len(got) == 0 {
		t.Errorf("of a file whose chain ends early %d bytes are read: %v", len(got), err)
	}
	if oops := sh(t, "dmesg | grep -c -e 'BUG:' -e 'Oops' -e 'Call Trace' || true"); strings.TrimSpace(oops) != "0" {
		t.Errorf("the kernel complains: %s", sh(t, "dmesg | tail -50"))
	}
}

// TestDisconnectsEverySecond: a card that comes and goes is a docking each time, the last one is readable, and nothing stays mounted.
func TestDisconnectsEverySecond(t *testing.T) {
	card := dockvm.Recorder{Image: medium(t, image.Volume{System: "vfat", Entries: []image.Entry{{Name: "A.MP4", Data: footage(1 << 20)}}}), Serial: "FLICKER"}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for range 6 {
		plug(t, 6, card)
		<-second.C
		unplug(t, 6)
	}
	plug(t, 6, card)
	last := ready(t, 6, "FLICKER")
	if _, ok := files(t, last)["/A.MP4"]; !ok {
		t.Error("the file is not listed")
	}
	mounts := func() string { return strings.TrimSpace(sh(t, "grep -c ' /run/camseal/mounts/' /proc/mounts || true")) }
	for limit := time.Now().Add(30 * time.Second); mounts() != "1"; {
		if time.Now().After(limit) {
			t.Fatalf("mounted: %s", sh(t, "cat /proc/mounts"))
		}
	}
}

// TestOtherRecorderInTheSlot: a recorder pulled out while it is read, and another put into the same slot at once, are two dockings; the reader
// of the first gets an error and nothing of the second.
func TestOtherRecorderInTheSlot(t *testing.T) {
	first := medium(t, image.Volume{System: "vfat", Size: 600 << 20, UUID: "0000-0001", Entries: []image.Entry{{Name: "SAME.MP4", Data: []byte("first"), Size: 500 << 20}}})
	second := medium(t, image.Volume{System: "vfat", UUID: "0000-0002", Entries: []image.Entry{{Name: "SAME.MP4", Data: []byte("second")}}})
	plug(t, 7, dockvm.Recorder{Image: first, Serial: "FIRST"})
	d := ready(t, 7, "FIRST")
	reader, err := vm.Start("reader", "busybox", "sh", "-c", `exec <"$1"; dd of=/dev/null bs=64k count=16; echo begun; dd of=/dev/null bs=64k`, "sh", string(d.Root)+"/SAME.MP4")
	if err != nil {
		t.Fatal(err)
	}
	waitLog(t, reader, "begun")
	if err := vm.Unplug(7); err != nil {
		t.Fatal(err)
	}
	plug(t, 7, dockvm.Recorder{Image: second, Serial: "SECOND"})
	if err := reader.Wait(t.Context()); err == nil {
		t.Error("the reader of the first got no error")
	}
	waitLog(t, reader, "error")
	other := ready(t, 7, "SECOND")
	if other.ID == d.ID || bytes.Equal(other.Root, d.Root) || other.Volume != "0000-0002" {
		t.Errorf("the second: %+v, the first: %+v", other, d)
	}
	await(t, "the first is gone", func(now handoff.Docking) bool { return now.ID == d.ID && now.State == handoff.StateGone })
	if got := sh(t, `cat "$1/SAME.MP4"`, string(other.Root)); got != "second" {
		t.Errorf("the second's file holds %q", got)
	}
	if got, err := try(`cat "$1/SAME.MP4"`, string(d.Root)); err == nil {
		t.Errorf("the first's file can still be opened: %q", got)
	}
}

// TestAllSlotsAtOnce: 24 recorders plugged in together are all readable, each in its slot.
func TestAllSlotsAtOnce(t *testing.T) {
	begun := time.Now()
	for slot := 1; slot <= dockvm.MaxSlots; slot++ {
		serial := fmt.Sprintf("ALL%02d", slot)
		plug(t, slot, dockvm.Recorder{Image: medium(t, image.Volume{System: "vfat", Entries: []image.Entry{{Name: serial + ".MP4", Data: []byte(serial)}}}), Serial: serial})
	}
	for slot := 1; slot <= dockvm.MaxSlots; slot++ {
		serial := fmt.Sprintf("ALL%02d", slot)
		if _, ok := files(t, ready(t, slot, serial))["/"+serial+".MP4"]; !ok {
			t.Errorf("slot %d lists other files", slot)
		}
	}
	t.Logf("24 recorders in %v", time.Since(begun))
}
