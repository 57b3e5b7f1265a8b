package dock_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"camseal/firmware-bridge/internal/dock"
	"camseal/firmware-bridge/internal/erase"
	"camseal/firmware-bridge/internal/permit"
	"camseal/firmware-bridge/internal/permit/permittest"
	"camseal/firmware-bridge/internal/storage"
	"camseal/firmware-bridge/internal/storage/looptest"
	"camseal/firmware-bridge/internal/vendors"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

const (
	uuidOne = "11111111-1111-4111-8111-111111111111"
	uuidTwo = "22222222-2222-4222-8222-222222222222"
)

var footage = bytes.Repeat([]byte("one frame after another "), 9_000)

// site is a running dock with slots that are loop devices, and what it told.
type site struct {
	t       *testing.T
	station *dock.Station
	mounts  string
	names   map[string]string // loop device by slot
	news    chan handoff.Docking
}

func newSite(t *testing.T, slots int, change func(*dock.Config)) *site {
	t.Helper()
	looptest.Root(t)
	s := &site{t: t, mounts: t.TempDir(), names: map[string]string{}, news: make(chan handoff.Docking, 1000)}
	for i := range slots {
		s.names[fmt.Sprint(i+1)] = looptest.Free(t)
	}
	table, err := vendors.Load("")
	if err != nil {
		t.Fatal(err)
	}
	cfg := dock.Config{Slots: s.names, Mounts: s.mounts, Reader: storage.Reader{UID: 1234, GID: 1234}, Table: table, Rescan: 100 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now}
	if change != nil {
		change(&cfg)
	}
	s.station = dock.New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- s.station.Run(ctx) }()
	go func() {
		err := s.station.Watch(ctx, func(d handoff.Docking) error { s.news <- d; return nil })
		if ctx.Err() == nil {
			t.Errorf("watch: %v", err)
		}
		ended <- nil
	}()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if left, err := os.ReadDir(s.mounts); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
	return s
}

// next waits for news that fit.
func (s *site) next(what string, fits func(handoff.Docking) bool) handoff.Docking {
	s.t.Helper()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	for {
		select {
		case d := <-s.news:
			if fits(d) {
				return d
			}
		case <-late.C:
			s.t.Fatalf("waited for %s", what)
		}
	}
}

func (s *site) ready(slot string) handoff.Docking {
	s.t.Helper()
	return s.next("slot "+slot+" to be ready", func(d handoff.Docking) bool { return d.Slot == slot && d.State == handoff.StateReady })
}

func (s *site) fault(slot string) handoff.Docking {
	s.t.Helper()
	return s.next("slot "+slot+" to be faulty", func(d handoff.Docking) bool { return d.Slot == slot && d.State == handoff.StateFault })
}

func (s *site) gone(id string) handoff.Docking {
	s.t.Helper()
	return s.next("docking to be gone", func(d handoff.Docking) bool { return d.ID == id && d.State == handoff.StateGone })
}

// files lists a docking's files by path; those with an error by "path: error".
func (s *site) files(id string) (paths []string) {
	s.t.Helper()
	err := s.station.Files(s.t.Context(), id, func(f handoff.File) error {
		line := string(f.Path)
		if f.Error != "" {
			line += ": " + f.Error
		}
		paths = append(paths, line)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return paths
}

func image(t *testing.T, uuid string, files map[string][]byte) string {
	t.Helper()
	return looptest.Image(t, looptest.Tree(t, files), uuid)
}

func read(t *testing.T, d handoff.Docking, name string) []byte {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(string(d.Root), name))
	if err != nil {
		t.Error(err)
	}
	return got
}

func code(err error) handoff.Code {
	var e *handoff.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestPluggedInReadAndPulledOut(t *testing.T) {
	s := newSite(t, 1, nil)
	looptest.Plug(t, s.names["1"], image(t, uuidOne, map[string][]byte{"DCIM/v.mp4": footage}))
	opening := s.next("anything", func(handoff.Docking) bool { return true })
	if opening.State != handoff.StateOpening || opening.Slot != "1" || len(opening.ID) != 32 || opening.Root != nil {
		t.Errorf("%+v", opening)
	}
	d := s.ready("1")
	if d.ID != opening.ID || d.Volume != uuidOne || d.System != "ext4" || d.Size != 16<<20 || d.Free == 0 || d.Profile != "none" || d.Erases {
		t.Errorf("%+v", d)
	}
	if got := s.files(d.ID); !strings.Contains(strings.Join(got, " "), "/DCIM/v.mp4") {
		t.Errorf("%v", got)
	}
	if !bytes.Equal(read(t, d, "DCIM/v.mp4"), footage) {
		t.Error("other bytes")
	}
	looptest.Pull(t, s.names["1"])
	if gone := s.gone(d.ID); gone.Root != nil || gone.Serial != d.Serial || gone.Volume != d.Volume {
		t.Errorf("%+v", gone)
	}
	if err := s.station.Files(t.Context(), d.ID, nil); code(err) != handoff.CodeNoDocking {
		t.Errorf("%v", err)
	}
	for range 100 { // the mount is taken away right after it is said to be gone
		if _, err := os.Stat(string(d.Root)); errors.Is(err, os.ErrNotExist) {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Error("still mounted")
}

// TestAnotherRecorderInTheSameSlotIsNeverMixedUp swaps the medium under one device name at one stroke, while the agent reads from the
// first one: the second is not shown before the first one's file system is dead, since the kernel would go on showing that.
func TestAnotherRecorderInTheSameSlotIsNeverMixedUp(t *testing.T) {
	s := newSite(t, 1, nil)
	one, two := image(t, uuidOne, map[string][]byte{"v.mp4": []byte("the first recorder's")}), image(t, uuidTwo, map[string][]byte{"v.mp4": []byte("of the second recorder")})
	looptest.Plug(t, s.names["1"], one, "--read-only")
	first := s.ready("1")
	agent, err := os.Open(filepath.Join(string(first.Root), "v.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	looptest.Change(t, s.names["1"], two)
	s.gone(first.ID)
	if busy := s.fault("1"); !strings.Contains(busy.Fault, "still reads from one that was here before") || busy.ID == first.ID {
		t.Errorf("%+v", busy)
	}
	if err := agent.Close(); err != nil {
		t.Error(err)
	}
	second := s.ready("1")
	if second.Volume != uuidTwo || second.ID == first.ID || second.Fault != "" {
		t.Errorf("%+v", second)
	}
	if got := string(read(t, second, "v.mp4")); got != "of the second recorder" {
		t.Errorf("%q", got)
	}
	looptest.Pull(t, s.names["1"])
	s.gone(second.ID)
}

// TestTheSameRecorderComesBackInAnotherSlot: another docking, with the same serial and volume.
func TestTheSameRecorderComesBackInAnotherSlot(t *testing.T) {
	s := newSite(t, 2, nil)
	one := image(t, uuidOne, map[string][]byte{"v.mp4": footage})
	looptest.Plug(t, s.names["1"], one)
	first := s.ready("1")
	looptest.Pull(t, s.names["1"])
	s.gone(first.ID)
	looptest.Plug(t, s.names["2"], one)
	if again := s.ready("2"); again.Volume != first.Volume || again.ID == first.ID {
		t.Errorf("%+v", again)
	}
}

// eraser lets a site erase.
func eraser(t *testing.T) func(*dock.Config) {
	return func(c *dock.Config) {
		j, err := erase.OpenJournal(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
		c.Eraser = &erase.Eraser{Journal: j, Log: c.Log}
	}
}

func permitFor(t *testing.T, volume, path string, content []byte) permit.Permit {
	t.Helper()
	s := permittest.Spec{Content: content, Source: evidence.Source{Volume: volume}}
	s.Source.SetPath([]byte(path), []byte(filepath.Base(path)))
	request, _ := permittest.Request(s)
	p, err := permittest.Checker().Read(bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestClonedCardInTwoSlots: both are read, as two dockings; erasing waits until it is certain which one is meant.
func TestClonedCardInTwoSlots(t *testing.T) {
	s := newSite(t, 2, eraser(t))
	files := map[string][]byte{"v.mp4": footage, "w.mp4": []byte("more")}
	looptest.Plug(t, s.names["1"], image(t, uuidOne, files))
	one := s.ready("1")
	looptest.Plug(t, s.names["2"], image(t, uuidOne, files))
	two := s.ready("2")
	if one.ID == two.ID || one.Volume != two.Volume || !one.Erases || !bytes.Equal(read(t, one, "v.mp4"), read(t, two, "v.mp4")) {
		t.Errorf("%+v\n%+v", one, two)
	}
	p := permitFor(t, uuidOne, "/v.mp4", footage)
	if _, err := s.station.Erase(t.Context(), p); code(err) != handoff.CodeNoDocking || !strings.Contains(err.Error(), "can't be told apart") {
		t.Errorf("%v", err)
	}
	looptest.Pull(t, s.names["2"])
	s.gone(two.ID)
	done, err := s.station.Erase(t.Context(), p)
	if err != nil || done.Before || done.Hash != evidence.Sum(footage) {
		t.Errorf("%+v %v", done, err)
	}
	if after := s.next("free space", func(d handoff.Docking) bool { return d.ID == one.ID }); after.Free <= one.Free {
		t.Errorf("%d bytes are free, %d were before", after.Free, one.Free)
	}
	if got := s.files(one.ID); len(got) != 1 || got[0] != "/w.mp4" {
		t.Errorf("%v", got)
	}
	looptest.Pull(t, s.names["1"])
	s.gone(one.ID)
	if done, err := s.station.Erase(t.Context(), p); err != nil || !done.Before {
		t.Errorf("without the recorder: %+v %v", done, err)
	}
	if _, err := s.station.Erase(t.Context(), permitFor(t, uuidOne, "/w.mp4", []byte("more"))); code(err) != handoff.CodeNoDocking {
		t.Errorf("%v", err)
	}
}

func TestStationThatDoesNotEraseRefuses(t *testing.T) {
	s := newSite(t, 1, nil)
	if _, err := s.station.Erase(t.Context(), permitFor(t, uuidOne, "/v.mp4", footage)); code(err) != handoff.CodeNotAllowed {
		t.Errorf("%v", err)
	}
}

// TestUnreadableSectors: sectors in the middle of a file are bad (nbdkit, over nbdfuse and a loop device, since this kernel has no nbd). The
// file's other parts, and the other files, are read; erasing it is refused.
func TestUnreadableSectors(t *testing.T) {
	disk := image(t, uuidOne, map[string][]byte{"a.mp4": footage, "b.mp4": []byte("whole")})
	raw, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Index(raw, footage[:4096]) + 12*4096
	served := badSectors(t, disk, bad, 2*4096)
	s := newSite(t, 1, eraser(t))
	looptest.Plug(t, s.names["1"], served, "--read-only", "--direct-io=on")
	d := s.ready("1")
	if string(read(t, d, "b.mp4")) != "whole" {
		t.Error("the other file")
	}
	f, err := os.Open(filepath.Join(string(d.Root), "a.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil { // else the kernel reads, and fails, in larger pieces
		t.Fatal(err)
	}
	page := make([]byte, 4096)
	for i := int64(0); i < 20; i++ {
		_, err := f.ReadAt(page, i*4096)
		if isBad := i == 12 || i == 13; isBad != errors.Is(err, unix.EIO) || !isBad && (err != nil || !bytes.Equal(page, footage[i*4096:(i+1)*4096])) {
			t.Errorf("page %d: %v", i, err)
		}
	}
	if _, err := s.station.Erase(t.Context(), permitFor(t, uuidOne, "/a.mp4", footage)); code(err) != handoff.CodeMedium || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("%v", err)
	}
}

// badSectors serves an image as a file in which some bytes can't be read.
func badSectors(t *testing.T, disk string, at, size int) string {
	t.Helper()
	served := filepath.Join(t.TempDir(), "served")
	if err := os.WriteFile(served, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pread := fmt.Sprintf(`if [ $4 -lt %d ] && [ $(($4+$3)) -gt %d ]; then echo EIO bad sector >&2; exit 1; fi; dd if=%s iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none`,
		at+size, at, disk)
	looptest.Background(t, "fusermount3", []string{"-u", "-z", served}, "nbdfuse", "-r", served, "--command", "nbdkit", "-s", "eval", "get_size=stat -c %s "+disk, "pread="+pread)
	for range 500 {
		if st, err := os.Stat(served); err == nil && st.Size() > 0 {
			return served
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatal("nbdfuse did not begin to serve")
	return ""
}

// TestHostileNames: whatever a name is, it is listed and can be read by the path that is told, and nothing is taken for anything else.
func TestHostileNames(t *testing.T) {
	s := newSite(t, 1, nil)
	names := []string{"a\nb.mp4", "\xd6\xd0\xce\xc4.MP4", "中文.mp4", "A.MP4", "a.mp4", " ", "...", "-rf", "$(reboot).mp4", "invoice.pdf.exe", strings.Repeat("n", 255), "\x01\x1b[2J"}
	files := map[string][]byte{}
	for _, n := range names {
		files["DCIM/"+n] = []byte("content of " + n)
	}
	disk := image(t, uuidOne, files)
	for _, c := range []string{"symlink out /etc/passwd", "mknod null c 1 3", "mknod pipe p"} {
		looptest.Do(t, "debugfs", "-w", "-R", c, disk)
	}
	looptest.Plug(t, s.names["1"], disk)
	d := s.ready("1")
	listed := map[string]bool{}
	for _, p := range s.files(d.ID) {
		listed[p] = true
	}
	for _, n := range names {
		if !listed["/DCIM/"+n] {
			t.Errorf("%q is not listed", n)
		}
		if got := string(read(t, d, "DCIM/"+n)); got != "content of "+n {
			t.Errorf("%q: %q", n, got)
		}
	}
	for p := range listed {
		for _, odd := range []string{"/out", "/null", "/pipe"} {
			if p == odd {
				t.Errorf("%s is taken for a file", p)
			}
		}
	}
	if _, err := os.ReadFile(filepath.Join(string(d.Root), "out")); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link leads out of the recorder: %v", err)
	}
}

func TestStorageThatIsNoFileSystemIsAFaultInWords(t *testing.T) {
	s := newSite(t, 1, nil)
	for name, c := range map[string]struct{ start, says string }{
		"blank":     {"", "blank"},
		"encrypted": {"LUKS\xba\xbe", "encrypted"},
		"noise":     {"noise", "no file system that is known here"},
		"no driver": {fatStart(t), "no driver"},
	} {
		disk := filepath.Join(t.TempDir(), "image")
		if err := errors.Join(os.WriteFile(disk, []byte(c.start), 0o600), os.Truncate(disk, 4<<20)); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(disk)
		if err != nil {
			t.Fatal(err)
		}
		looptest.Plug(t, s.names["1"], disk)
		d := s.fault("1")
		if !strings.Contains(d.Fault, c.says) || !strings.Contains(d.Fault, "Nothing on it was changed.") || d.Root != nil {
			t.Errorf("%s: %+v", name, d)
		}
		looptest.Pull(t, s.names["1"])
		s.gone(d.ID)
		if after, err := os.ReadFile(disk); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: it was changed, %v", name, err)
		}
	}
}

// fatStart is the begin of a FAT, for which this kernel has no driver.
func fatStart(t *testing.T) string {
	disk := filepath.Join(t.TempDir(), "fat")
	looptest.Do(t, "mkfs.vfat", "-C", disk, "4096")
	raw, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw[:4096])
}

// TestBrokenFileSystemIsAFaultInWords: its superblock is known, and the rest is rubbish.
func TestBrokenFileSystemIsAFaultInWords(t *testing.T) {
	s := newSite(t, 1, nil)
	disk := image(t, uuidOne, nil)
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 1<<20), 4096)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	looptest.Plug(t, s.names["1"], disk)
	if d := s.fault("1"); !strings.Contains(d.Fault, "can't be read") || !strings.Contains(d.Fault, "Nothing on it was changed.") {
		t.Errorf("%+v", d)
	}
}

// TestPartitionsAreVolumes: each with a file system is a docking of the same slot; what is none is passed over.
func TestPartitionsAreVolumes(t *testing.T) {
	s := newSite(t, 1, eraser(t))
	disk := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 40<<20)); err != nil {
		t.Fatal(err)
	}
	for i, part := range []string{image(t, uuidOne, map[string][]byte{"one.mp4": footage}), image(t, uuidTwo, map[string][]byte{"two.mp4": footage})} {
		looptest.Do(t, "dd", "if="+part, "of="+disk, "bs=512", "conv=notrunc", fmt.Sprintf("seek=%d", 4096+i*32768), "status=none")
	}
	looptest.Plug(t, s.names["1"], disk)
	for i, sectors := range []string{"2048", "32768", "32768"} { // as a kernel does that reads partition tables, which this one does not
		looptest.Do(t, "addpart", "/dev/"+s.names["1"], fmt.Sprint(i+1), []string{"2048", "4096", "36864"}[i], sectors)
	}
	found := map[string]handoff.Docking{}
	for len(found) < 2 { // the disk is opened anew with each partition
		d := s.next("both partitions", func(d handoff.Docking) bool { return d.State != handoff.StateOpening })
		delete(found, d.Volume)
		if d.State == handoff.StateReady {
			found[d.Volume] = d
		}
	}
	one, two := found[uuidOne], found[uuidTwo]
	if !bytes.Equal(read(t, one, "one.mp4"), footage) || !bytes.Equal(read(t, two, "two.mp4"), footage) || one.Size != 16<<20 {
		t.Errorf("%+v\n%+v", one, two)
	}
	ended := make(chan error, 2)
	for volume, path := range map[string]string{uuidOne: "/one.mp4", uuidTwo: "/two.mp4"} { // both at once
		p := permitFor(t, volume, path, footage)
		go func() { _, err := s.station.Erase(t.Context(), p); ended <- err }()
	}
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Error(err)
	}
	for _, name := range []string{s.names["1"], s.names["1"] + "p2", s.names["1"] + "p3"} {
		if ro := looptest.Do(t, "cat", "/sys/class/block/"+name+"/ro"); ro != "1" {
			t.Errorf("%s can be written to", name)
		}
	}
	looptest.Pull(t, s.names["1"])
	s.gone(one.ID)
}

// TestStorageThatAnotherProgramHoldsIsNotTouched: an automatic mounter was faster.
func TestStorageThatAnotherProgramHoldsIsNotTouched(t *testing.T) {
	disk, other := image(t, uuidOne, map[string][]byte{"v.mp4": footage}), t.TempDir()
	s := newSite(t, 1, func(c *dock.Config) {
		looptest.Plug(t, c.Slots["1"], disk)
		looptest.Do(t, "mount", "/dev/"+c.Slots["1"], other)
	})
	d := s.fault("1")
	if !strings.Contains(d.Fault, "Another program") {
		t.Errorf("%+v", d)
	}
	if err := os.WriteFile(filepath.Join(other, "x"), nil, 0o600); err != nil {
		t.Errorf("its mount became read-only: %v", err)
	}
	looptest.Do(t, "umount", other)
	if got := s.ready("1"); got.ID != d.ID || got.Fault != "" {
		t.Errorf("%+v", got)
	}
}

// TestTwentyFourSlotsAtOnce are all ready, and told apart.
func TestTwentyFourSlotsAtOnce(t *testing.T) {
	s := newSite(t, 24, nil)
	for i := range 24 {
		slot := fmt.Sprint(i + 1)
		looptest.Plug(t, s.names[slot], image(t, fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1), map[string][]byte{"slot": []byte(slot)}))
	}
	seen := map[string]bool{}
	for len(seen) < 24 {
		d := s.next("24 dockings", func(d handoff.Docking) bool { return d.State == handoff.StateReady })
		if got := string(read(t, d, "slot")); got != d.Slot || d.Volume != fmt.Sprintf("00000000-0000-4000-8000-%012s", d.Slot) || seen[d.Slot] {
			t.Errorf("%q in %+v", got, d)
		}
		seen[d.Slot] = true
	}
}
