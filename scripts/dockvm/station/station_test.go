package station_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

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
