package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestDock: a recorder is docked, its files are taken in, its header confirmed at the page, its footage stored, its copies released on their permits; the
// bundle verifies and says what officers said.
func TestDock(t *testing.T) {
	s := newSystem(t)
	s.setRegister()
	d := s.newStation("", true)
	d.start("1", "2")
	files := map[string][]byte{"DCIM/100/NOR_0000011_011314_20261120090000_0001.MP4": footage("one", 300_000), "DCIM/100/NOR_0000011_011314_20261120090030_0002.MP4": footage("two", 100_000)}
	image := makeImage(t, "11111111-1111-4111-8111-111111111111", files)
	d.dock("1", image)
	d.until("1", "a header is needed", func(t tile) bool { return t.State == "needs-header" })
	watching := start(t, "camseal-agent", d.command("status", "--watch")...)
	o := d.signIn()
	groups, err := o.Groups(t.Context(), "1")
	if err != nil || len(groups) != 1 {
		t.Fatalf("%v, %d groups", err, len(groups))
	}
	if err := errors.Join(o.Confirm(t.Context(), groups[0], typed), o.Note(t.Context(), groups[0], "two boxes listed")); err != nil {
		t.Fatal(err)
	}
	d.until("1", "released", func(t tile) bool { return t.Released == 2 && t.State == "released" })
	eventually(t, "release statements at the server", func() bool {
		list := s.catalogue()
		return len(list) == 2 && list[0].Released && list[1].Released
	})
	d.pull("1")
	watching.kill()
	if said := watching.out.String(); !strings.Contains(said, "0000011") || !strings.Contains(said, "采集站") {
		t.Errorf("status --watch says:\n%s", said)
	}
	for name := range files {
		if content(t, image, "/"+name) != nil {
			t.Errorf("%s is still on the recorder", name)
		}
	}
	mustRun(t, "e2fsck", "-fn", image)
	for _, r := range s.catalogue() {
		out := verify(t, 0, "--trust", s.trust(), s.export(r.Rec))
		for _, want := range []string{"unlicensed sale", "Li Wei 110041", "typed only", "two boxes listed", "released, after it was stored", "dock-sealed"} {
			if !strings.Contains(out, want) {
				t.Errorf("the verifier does not say %q:\n%s", want, out)
			}
		}
	}
}

// TestEraseIsOffByDefault: without erase in the bridge's configuration the recorder keeps all.
func TestEraseIsOffByDefault(t *testing.T) {
	s := newSystem(t)
	d := s.newStation("", false)
	d.start("1")
	image := makeImage(t, "11111111-1111-4111-8111-111111111111", map[string][]byte{"a.mp4": footage("one", 100_000)})
	before, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	d.dock("1", image)
	d.until("1", "stored", func(t tile) bool { return t.Stored == 1 })
	d.pull("1")
	after, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the recorder's storage was changed")
	}
}

// TestChangedAfterImportIsNotErased: one byte of the medium changed after the file was taken in, with size and times as they were: the bridge reads it
// past the cache, refuses, and the file stays; the other file goes.
func TestChangedAfterImportIsNotErased(t *testing.T) {
	s := newSystem(t)
	d := s.newStation("", false)
	d.start("1")
	one, two := footage("one", 200_000), footage("two", 200_000)
	image := makeImage(t, "11111111-1111-4111-8111-111111111111", map[string][]byte{"NOR_0000011_011314_20261120090000_0001.MP4": one, "NOR_0000011_011314_20261120090030_0002.MP4": two})
	d.dock("1", image)
	d.until("1", "stored", func(t tile) bool { return t.Stored == 2 })
	d.pull("1")
	raw, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, one[100_000:100_512])
	if at < 0 {
		t.Fatal("the file is not found on the medium")
	}
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{raw[at] ^ 1}, int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d.bridge.kill()
	d.erase = true
	d.startBridge()
	d.dock("1", image)
	got := d.until("1", "one released, one kept", func(t tile) bool { return t.Released == 1 && t.Kept == 1 })
	if got.State == "released" {
		t.Errorf("%+v", got)
	}
	d.pull("1")
	if content(t, image, "/NOR_0000011_011314_20261120090000_0001.MP4") == nil || content(t, image, "/NOR_0000011_011314_20261120090030_0002.MP4") != nil {
		t.Error("the changed file is gone, or the sound one is not")
	}
}

// TestFilesKnownToAnotherDock: what one dock has stored, another dock of the server does not take in, and says where it is.
func TestFilesKnownToAnotherDock(t *testing.T) {
	s := newSystem(t)
	one, two := s.newStation("", false), s.newStation("two", false)
	one.start("1")
	two.start("1")
	image := makeImage(t, "11111111-1111-4111-8111-111111111111", map[string][]byte{"NOR_0000011_011314_20261120090000_0001.MP4": footage("one", 100_000)})
	one.dock("1", image)
	one.until("1", "stored", func(t tile) bool { return t.Stored == 1 })
	one.pull("1")
	two.dock("1", image)
	got := two.until("1", "known", func(t tile) bool { return t.Done == 1 && t.State != "reading" })
	if list := s.catalogue(); len(list) != 1 || got.Stored != 1 {
		t.Errorf("%+v, %+v", got, list)
	}
}
