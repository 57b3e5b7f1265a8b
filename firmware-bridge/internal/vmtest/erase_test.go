package vmtest_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/firmware-bridge/internal/permit/permittest"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/scripts/dockvm"
	"camseal/scripts/dockvm/image"
)

// request asks to erase a file of a docking that had these bytes when it was stored.
func request(d handoff.Docking, path string, content []byte) []byte {
	source := evidence.Source{Serial: d.Serial, Volume: d.Volume}
	source.SetPath([]byte(path), []byte(filepath.Base(path)))
	r, _ := permittest.Request(permittest.Spec{Source: source, Content: content, Leaf: func(l *evidence.Stored) { l.Until = time.Now().AddDate(1, 0, 0).UnixMilli() }})
	return r
}

func waitLog(t *testing.T, p *dockvm.Process, what string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(60 * time.Second); ; {
		if log, err := os.ReadFile(p.Log); err == nil && bytes.Contains(log, []byte(what)) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited 60 s for %q in %s", what, p.Log)
		}
	}
}

// checkers say of an image that its file system is sound.
var checkers = map[string][]string{"vfat": {"fsck.vfat", "-n"}, "exfat": {"fsck.exfat", "-n"}, "ext4": {"e2fsck", "-fn"}}

// TestErase: on each file system a file goes on its permit and on no other, all else stays, and the file system is sound afterwards.
func TestErase(t *testing.T) {
	for slot, v := range map[int]image.Volume{
		8:  {System: "vfat", UUID: "E000-0001", Partition: true},
		18: {System: "exfat", UUID: "E000-0002"},
		22: {System: "ext4", UUID: "6f0c2a8e-3f65-4b7e-9d55-0f1f5a6be5ed"},
	} {
		t.Run(v.System, func(t *testing.T) {
			gone, changed, kept := footage(3<<20), bytes.ToUpper(footage(2<<20)), []byte("kept")
			v.Entries = []image.Entry{{Name: "DCIM", Dir: []image.Entry{{Name: "GONE.MP4", Data: gone}, {Name: "CHANGED.MP4", Data: changed}, {Name: "KEPT.MP4", Data: kept}}}}
			path := medium(t, v)
			serial := "ERASE" + v.System
			plug(t, slot, dockvm.Recorder{Image: path, Serial: serial})
			d := ready(t, slot, serial)

			sh(t, `cat "$1"/DCIM/* | wc -c`, string(d.Root)) // now all of it is in the dock's cache
			changeByte(t, path, changed)
			if _, refusal := erase(t, request(d, "/DCIM/CHANGED.MP4", changed)); refusal == nil || refusal.Code != handoff.CodeChanged {
				t.Errorf("one byte changed behind the cache: %v", refusal)
			}
			if _, refusal := erase(t, request(d, "/DCIM/KEPT.MP4", []byte("KEPT"))); refusal == nil || refusal.Code != handoff.CodeChanged {
				t.Errorf("a permit for other bytes: %v", refusal)
			}
			asked := request(d, "/DCIM/GONE.MP4", gone)
			done, refusal := erase(t, asked)
			if refusal != nil || done.Before || done.Hash != evidence.Sum(gone) {
				t.Fatalf("%+v, %v", done, refusal)
			}
			if again, refusal := erase(t, asked); refusal != nil || !again.Before || again.Hash != done.Hash || again.Permit != done.Permit {
				t.Errorf("the same again: %+v, %v", again, refusal)
			}
			found := files(t, d)
			if len(found) != 2 || found["/DCIM/KEPT.MP4"].Size == 0 || found["/DCIM/CHANGED.MP4"].Size == 0 {
				t.Errorf("left are %v", found)
			}
			unplug(t, slot) // without being told: what was answered must be on the medium
			bare := path
			if v.Partition {
				bare = cut(t, path)
			}
			c := checkers[v.System]
			if out, err := exec.CommandContext(t.Context(), c[0], append(c[1:], bare)...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", c[0], err, out)
			}
			plug(t, slot, dockvm.Recorder{Image: path, Serial: serial})
			if found := files(t, ready(t, slot, serial)); len(found) != 2 || found["/DCIM/KEPT.MP4"].Size != uint64(len(kept)) {
				t.Errorf("after plugging in again there are %v", found)
			}
		})
	}
}

// changeByte changes one byte of a file where the image has it.
func changeByte(t *testing.T, path string, content []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, content[:4096])
	if at < 0 {
		t.Fatal("the file's bytes are not in the image")
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("!"), int64(at+1234))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// cut copies the partition of an image, for checkers that know none.
func cut(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path+".cut", data[1<<20:], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path + ".cut"
}

// TestMediumFailsWhileErasing: a medium that gives errors keeps its file, the answer says so, and the same permit works when it is well again.
func TestMediumFailsWhileErasing(t *testing.T) {
	content, failing := footage(1<<20), filepath.Join(t.TempDir(), "failing")
	path := medium(t, image.Volume{System: "vfat", UUID: "FA11-0001", Entries: []image.Entry{{Name: "A.MP4", Data: content}}})
	plug(t, 9, dockvm.Recorder{Image: path, Serial: "FAILING", Failing: failing})
	d := ready(t, 9, "FAILING")
	if err := os.WriteFile(failing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	asked := request(d, "/A.MP4", content)
	if _, refusal := erase(t, asked); refusal == nil || refusal.Code != handoff.CodeMedium || !strings.Contains(refusal.Kept, "Nothing was erased") {
		t.Errorf("from a failing medium: %v", refusal)
	}
	if err := os.Remove(failing); err != nil {
		t.Fatal(err)
	}
	if done, refusal := erase(t, asked); refusal != nil || done.Hash != evidence.Sum(content) {
		t.Errorf("when it is well again: %+v, %v", done, refusal)
	}
}

// TestPulledOutBeforeErasing: a permit for a recorder that is gone, or for another one in the slot, erases nothing.
func TestPulledOutBeforeErasing(t *testing.T) {
	content := footage(1 << 16)
	v := image.Volume{System: "vfat", UUID: "60E5-0001", Entries: []image.Entry{{Name: "A.MP4", Data: content}}}
	plug(t, 10, dockvm.Recorder{Image: medium(t, v), Serial: "GOES"})
	d := ready(t, 10, "GOES")
	unplug(t, 10)
	v.UUID = "60E5-0002"
	plug(t, 10, dockvm.Recorder{Image: medium(t, v), Serial: "COMES"})
	other := ready(t, 10, "COMES")
	if _, refusal := erase(t, request(d, "/A.MP4", content)); refusal == nil || refusal.Code != handoff.CodeNoDocking {
		t.Errorf("another recorder in the slot: %v", refusal)
	}
	if len(files(t, other)) != 1 {
		t.Error("its file is gone")
	}
}
