package station_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/scripts/dockvm"
	"camseal/scripts/dockvm/image"
	"camseal/scripts/dockvm/station"
)

const officers = `departments: [Market Supervision Bureau]
officers:
  - {name: Li Wei, certificate: "110041", valid_until: 2099-12-31, department: Market Supervision Bureau, number: "011314", card: "0004829913", pin: 48291735}
causes: [unlicensed sale]
places: [East Market]
activities: [on-site inspection]
`

// dock is the station that the tests share; slots are left empty by each.
var dock *station.Station

func TestMain(m *testing.M) {
	code, err := withStation(m)
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

func withStation(m *testing.M) (code int, err error) {
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		fmt.Println("left out: these tests boot a VM")
		return 0, nil
	}
	dir, err := os.MkdirTemp("", "station-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs := filepath.Join(dir, "programs")
	for name, pkg := range map[string]string{"camseal-agent": "camseal/agent", "camseal-server": "camseal/server", "camseal-bridge": "camseal/firmware-bridge",
		"camseal-verify": "camseal/pkg/cmd/camseal-verify"} {
		build := exec.Command("go", "build", "-o", filepath.Join(programs, name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return 1, err
		}
	}
	dock, err = station.Start(context.Background(), station.Config{Dir: dir, Programs: programs, Register: officers, Log: os.Stdout, Agent: []string{"--chunk-size", "256KiB"}})
	if err != nil {
		return 1, err
	}
	code = m.Run()
	return code, dock.Close()
}

func footage(seed byte, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i>>8)*31 ^ byte(i)*7 ^ seed
	}
	return b
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func medium(t *testing.T, v image.Volume) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recorder.img")
	check(t, image.Make(t.Context(), path, v))
	return path
}

func until(t *testing.T, slot, what string, holds func(station.Tile) bool) station.Tile {
	t.Helper()
	tile, err := dock.UntilTile(t.Context(), slot, what, holds)
	check(t, err)
	return tile
}

// TestEveryFileSystem: FAT32, exFAT and ext4 are taken in, each in its own slot, at once.
func TestEveryFileSystem(t *testing.T) {
	begun := time.Now()
	systems := []string{"vfat", "exfat", "ext4"}
	for i, system := range systems {
		img := medium(t, image.Volume{System: system, Entries: []image.Entry{{Name: "DCIM", Dir: []image.Entry{{Name: "执法记录 1.MP4", Data: footage(byte(i), 300_000)}}}}})
		check(t, dock.VM.Plug(i+1, img, "REC"+system))
	}
	for i, system := range systems {
		tile := until(t, fmt.Sprint(i+1), "taken in", func(t station.Tile) bool { return t.Stored >= 1 && t.Stored == t.Files })
		if tile.Recorder != "REC"+system {
			t.Errorf("%s: %+v", system, tile)
		}
	}
	t.Logf("three recorders in %v", time.Since(begun))
	for i := range systems {
		check(t, dock.VM.Unplug(i+1))
		until(t, fmt.Sprint(i+1), "empty", func(t station.Tile) bool { return t.State == "empty" })
	}
}

// plug puts a recorder into a slot; it is out of it after the test.
func plug(t *testing.T, slot int, img, serial string) {
	t.Helper()
	check(t, dock.VM.Plug(slot, img, serial))
	t.Cleanup(func() {
		_ = dock.VM.Unplug(slot) // the test may have pulled it out
	})
}

func pull(t *testing.T, slot int) {
	t.Helper()
	check(t, dock.VM.Unplug(slot))
	until(t, fmt.Sprint(slot), "empty", func(t station.Tile) bool { return t.State == "empty" })
}

func stored(t station.Tile) bool { return t.Stored >= 1 && t.Stored == t.Files && t.State != "reading" }

// of returns the server's recordings of a recorder.
func of(t *testing.T, serial string) (list []station.Recording) {
	t.Helper()
	all, err := dock.Recordings(t.Context())
	check(t, err)
	for _, r := range all {
		if r.Serial == serial {
			list = append(list, r)
		}
	}
	return list
}

// TestPulledOutMidCopy: a recorder that is pulled out while its file is read resumes in another slot, and is one sound recording; the one that comes into
// the old slot meanwhile, with the same names, sizes, times and volume id, is another.
func TestPulledOutMidCopy(t *testing.T) {
	const size = 20 << 20
	entry := func(seed byte) image.Volume {
		return image.Volume{System: "vfat", UUID: "1A2B-3C4D", Size: 128 << 20, Entries: []image.Entry{{Name: "LONG.MP4", Data: footage(seed, size)}}}
	}
	first, other := medium(t, entry(1)), medium(t, entry(2))
	plug(t, 1, first, "PULLED")
	tile := until(t, "1", "half read", func(t station.Tile) bool { return t.Read > 1<<20 })
	pull(t, 1)
	if tile.Read >= size {
		t.Fatal("it was read before it could be pulled out")
	}
	plug(t, 1, other, "OTHER")
	plug(t, 2, first, "PULLED")
	until(t, "1", "stored", stored)
	until(t, "2", "stored", stored)
	for _, serial := range []string{"PULLED", "OTHER"} {
		list := of(t, serial)
		if len(list) != 1 {
			t.Fatalf("%s: %+v", serial, list)
		}
		if _, said, err := dock.Verify(t.Context(), list[0].Rec); err != nil {
			t.Errorf("%s: %v %s", serial, err, said)
		}
	}
	pull(t, 1)
	pull(t, 2)
}

// TestAgentKilledMidCopy: a power cut of the agent in the middle of a recorder loses nothing: the recorder, still docked, is gone on with.
func TestAgentKilledMidCopy(t *testing.T) {
	plug(t, 1, medium(t, image.Volume{System: "exfat", Size: 96 << 20, Entries: []image.Entry{{Name: "LONG.MP4", Data: footage(3, 16<<20)}}}), "KILLED")
	until(t, "1", "half read", func(t station.Tile) bool { return t.Read > 1<<20 })
	check(t, dock.KillAgent(t.Context()))
	check(t, dock.StartAgent(t.Context()))
	until(t, "1", "stored", stored)
	list := of(t, "KILLED")
	if len(list) != 1 {
		t.Fatalf("%+v", list)
	}
	if _, said, err := dock.Verify(t.Context(), list[0].Rec); err != nil {
		t.Errorf("%v %s", err, said)
	}
	pull(t, 1)
}

// TestUnreadableSectors: file and offset are named, in the chain and by the verifier, and the rest is saved.
func TestUnreadableSectors(t *testing.T) {
	data := footage(4, 1<<20)
	img := medium(t, image.Volume{System: "vfat", Entries: []image.Entry{{Name: "BAD.MP4", Data: data}, {Name: "GOOD.MP4", Data: footage(5, 100_000)}}})
	raw, err := os.ReadFile(img)
	check(t, err)
	at := bytes.Index(raw, data[512_000:512_512])
	if at < 0 {
		t.Fatal("the file is not found on the medium")
	}
	check(t, dock.VM.PlugRecorder(1, dockvm.Recorder{Image: img, Serial: "BADMEDIUM", Bad: []dockvm.Range{{From: int64(at), Until: int64(at) + 512}}}))
	tile := until(t, "1", "taken in", func(t station.Tile) bool { return t.Done == 2 && t.State != "reading" && t.Stored == 2 })
	if tile.Kept != 1 {
		t.Errorf("%+v", tile)
	}
	for _, r := range of(t, "BADMEDIUM") {
		_, said, err := dock.Verify(t.Context(), r.Rec)
		if r.Name == "GOOD.MP4" && err != nil {
			t.Errorf("%v %s", err, said)
		}
		if r.Name == "BAD.MP4" && (err == nil || !strings.Contains(said, "could not be read at bytes") || !strings.Contains(said, "zeros stand there")) {
			t.Errorf("%v %s", err, said)
		}
	}
	pull(t, 1)
}

// TestReleasedOnFAT: with erase switched on, what is stored goes from FAT32 and exFAT on its permit; a file with one byte changed after it was taken in stays.
func TestReleasedOnFAT(t *testing.T) {
	kept, gone := footage(6, 200_000), footage(7, 200_000)
	entries := []image.Entry{{Name: "KEPT.MP4", Data: kept}, {Name: "GONE.MP4", Data: gone}}
	fat, exfat := medium(t, image.Volume{System: "vfat", Entries: entries}), medium(t, image.Volume{System: "exfat", Entries: entries})
	plug(t, 1, fat, "FAT")
	plug(t, 2, exfat, "EXFAT")
	until(t, "1", "stored", stored)
	until(t, "2", "stored", stored)
	pull(t, 1)
	pull(t, 2)
	for _, img := range []string{fat, exfat} {
		raw, err := os.ReadFile(img)
		check(t, err)
		at := bytes.Index(raw, kept[100_000:100_512])
		f, err := os.OpenFile(img, os.O_WRONLY, 0)
		check(t, err)
		_, err = f.WriteAt([]byte{raw[at] ^ 1}, int64(at))
		check(t, err)
		check(t, f.Close())
	}
	check(t, dock.StopBridge(t.Context()))
	check(t, dock.StartBridge(t.Context(), true))
	plug(t, 3, fat, "FAT")
	plug(t, 4, exfat, "EXFAT")
	for _, slot := range []string{"3", "4"} {
		until(t, slot, "one released, one kept", func(t station.Tile) bool { return t.Released == 1 && t.Kept == 1 })
	}
	pull(t, 3)
	pull(t, 4)
	for _, serial := range []string{"FAT", "EXFAT"} {
		for _, r := range of(t, serial) {
			if r.Released != (r.Name == "GONE.MP4") {
				t.Errorf("%s %+v", serial, r)
			}
		}
	}
	check(t, dock.StopBridge(t.Context()))
	check(t, dock.StartBridge(t.Context(), false))
	plug(t, 5, fat, "FAT")
	if tile := until(t, "5", "read", func(t station.Tile) bool { return t.Done == 1 && t.State != "reading" }); tile.Files != 1 {
		t.Errorf("the recorder holds %+v", tile)
	}
	pull(t, 5)
}
