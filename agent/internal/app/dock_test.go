package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"camseal/agent/internal/dock"
	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/configfile"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/register"
	"camseal/pkg/transport"
)

// station is an agent that runs as a dock.
type station struct {
	*site
	*fakeBridge
	dock *dock.Dock
	stop func() error
}

func newStation(t *testing.T, flags ...string) *station {
	s := &station{site: newSite(t, "software"), fakeBridge: newBridge(t)}
	s.run(flags...)
	return s
}

// run starts the agent; stop ends it.
func (s *station) run(flags ...string) {
	t := s.site.t
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.Configuration(configfile.YAML))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--state", s.state, "--tpm", s.tpm, "--server", s.server.URL, "--settle", "0s", "--gather", "5ms", "--chunk-size", "4KiB",
		"--bridges", s.socket, "--slots", "1,2,3", "--station", "Station 3", "--speech", "none"}
	if _, err := parser.Parse(append(args, flags...)); err != nil {
		t.Fatal(err)
	}
	n, err := start(t.Context(), &c.settings, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.dock.Run(ctx) })
	s.dock = n.dock
	var once sync.Once
	s.stop = func() (err error) {
		once.Do(func() {
			cancel()
			running.Wait()
			err = n.close()
		})
		return err
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// until waits until the snapshot is as wanted.
func (s *station) until(what string, holds func(dock.Snapshot) bool) dock.Snapshot {
	s.site.t.Helper()
	ctx, cancel := context.WithTimeout(s.site.t.Context(), 60*time.Second)
	defer cancel()
	for {
		snap := s.dock.Snapshot(ctx)
		if holds(snap) {
			return snap
		}
		if err := s.dock.Wait(ctx, snap.Version); err != nil {
			s.site.t.Fatalf("%s: never; the dock is %+v", what, snap)
		}
	}
}

func (s *station) tile(slot string, want dock.TileState) dock.Tile {
	s.site.t.Helper()
	var tile dock.Tile
	s.until("slot "+slot+" "+string(want), func(snap dock.Snapshot) bool {
		i := slices.IndexFunc(snap.Tiles, func(t dock.Tile) bool { return t.Slot == slot })
		if i < 0 {
			return false
		}
		tile = snap.Tiles[i]
		return tile.State == want
	})
	return tile
}

// server waits until the server's recordings are as wanted.
func (s *station) arrived(what string, holds func(map[evidence.RecordingID]*uplinktest.Recording) bool) {
	s.site.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(60 * time.Second)
	for {
		ok := false
		s.server.With(func() { ok = holds(s.server.Recordings) })
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			s.site.t.Fatalf("%s: never", what)
		}
	}
}

// recorder makes a recorder's folder; files are names with sizes, all with times of their own.
func recorder(t *testing.T, seed uint64, files map[string]int) string {
	t.Helper()
	root := t.TempDir()
	for i, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range files {
			if !yield(n) {
				return
			}
		}
	}) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, noise(files[name], seed+uint64(i)))
		at := time.Date(2026, 11, 20, 9, i, 0, 0, time.UTC)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var wang = dock.Officer{Name: "Wang Fang", Certificate: "110042", Department: "Market Supervision", Valid: true}

func typedHeader() evidence.Header {
	return evidence.Header{Department: "Market Supervision", Officers: []evidence.Officer{{Name: "Wang Fang", Certificate: "110042"}}, Cause: "unlicensed sale",
		Time: "2026-11-20 09:00", Place: "East Market"}
}

// numbered tells the dock what a profile would: group and number by the file's name.
func numbered(f *handoff.File) {
	name := filepath.Base(string(f.Path))
	switch {
	case strings.HasSuffix(name, ".log"):
		f.Kind = handoff.KindLog
		return
	case strings.HasSuffix(name, ".jpg"):
		f.Kind = handoff.KindPhoto
	}
	f.Group = "BZ1"
	_, _ = fmt.Sscanf(name, "%04d", &f.Number)
	f.Begun = f.Modified - 30_000
}

// TestDock: two files that follow each other, a photo and a log are taken in under one intake; the first three are one sequence with one header,
// one note, and a mark; the officer may take the recorder before the server has anything.
func TestDock(t *testing.T) {
	s := newStation(t)
	s.about = numbered
	away := true
	var mu sync.Mutex
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if away && r.Method == http.MethodPut {
			uplinktest.Refuse(w, 503, transport.CodeUnavailable)
			return true
		}
		return false
	})
	s.plug("2", "BZ02712", "1234-5678", recorder(t, 1, map[string]int{"DCIM/0001.mp4": 9000, "DCIM/0002.mp4": 5000, "DCIM/0003.jpg": 100, "LOG/a.log": 10}), false)
	tile := s.tile("2", dock.TileHeader)
	if tile.Headers != 1 || tile.Files != 4 || tile.Done != 4 || tile.Recorder != "BZ02712" || tile.Stored != 0 || tile.Export.IsZero() != (tile.Done == tile.Files) {
		t.Errorf("%+v", tile)
	}
	groups, err := s.dock.Groups(t.Context(), "2")
	if err != nil || len(groups) != 2 && len(groups) != 1 {
		t.Fatalf("%v %+v", err, groups)
	}
	g := groups[0]
	if len(g.Items) != 3 || g.Header != nil || g.Late || g.Items[0].State != "sealed" || g.Items[2].Kind != handoff.KindPhoto {
		t.Errorf("%+v", g)
	}
	if err := s.dock.Confirm(t.Context(), g.ID, evidence.Header{Department: "x"}, wang); !errors.Is(err, dock.ErrIncomplete) {
		t.Errorf("a header without place: %v", err)
	}
	if err := errors.Join(s.dock.Confirm(t.Context(), g.ID, typedHeader(), wang), s.dock.Note(t.Context(), g.ID, "two boxes listed", wang),
		s.dock.Mark(t.Context(), g.Items[1].Rec, 1500, "refused to sign", wang), s.dock.Unrecorded(t.Context(), "service by post", "nobody there", wang)); err != nil {
		t.Fatal(err)
	}
	s.tile("2", dock.TileCopied)
	mu.Lock()
	away = false
	mu.Unlock()
	s.tile("2", dock.TileStored)
	s.arrived("all that was said", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
		said := 0
		for _, r := range recs {
			said += len(r.Said)
		}
		return said == 3+3+1 && len(s.server.Unrecorded) == 1
	})
	s.server.With(func() {
		if len(s.server.Intakes) != 1 || s.server.Intakes[0].Recorder != "BZ02712" || s.server.Intakes[0].Slot != "2" {
			t.Errorf("intakes %+v", s.server.Intakes)
		}
		for _, r := range s.server.Recordings {
			name := r.Source.Name
			if (r.Opened.Sequence == nil) != (name == "a.log") || r.Source.Volume != "1234-5678" || !strings.HasPrefix(r.Source.Path, "/") || r.Source.Serial != "BZ02712" {
				t.Errorf("%s: %+v", name, r.Opened)
			}
			if len(r.Said) == 0 != (name == "a.log") {
				t.Errorf("%s: %d things said", name, len(r.Said))
			}
		}
	})
	if g, err = s.dock.Group(t.Context(), g.ID); err != nil || g.Header == nil || g.Header.Confirmed != "Wang Fang 110042" || !slices.Contains(g.Flags, dock.FlagNoVoice) || g.Note.Text != "two boxes listed" {
		t.Errorf("%v %+v", err, g)
	}
}

// TestHeaderSaidWhileItsFootageIsSent: a header that is said after the last chunk is taken in and before the server knows of it keeps no recording from its
// stored receipt.
func TestHeaderSaidWhileItsFootageIsSent(t *testing.T) {
	s := newStation(t)
	var puts sync.Once
	said, stop, inner := make(chan struct{}), make(chan struct{}), make(chan struct{})
	chunk, header := sync.OnceFunc(func() { close(said) }), sync.OnceFunc(func() { close(stop) })
	t.Cleanup(func() { // the server ends only when its requests do
		chunk()
		header()
	})
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			puts.Do(func() { close(inner) })
			<-said
		}
		return false
	})
	s.plug("1", "BZ1", "V", recorder(t, 1, map[string]int{"a.mp4": 3000}), false)
	<-inner // its statements are at the server, its one chunk is on the way
	s.tile("1", dock.TileHeader)
	g, err := s.dock.Groups(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool { // the header reaches the server only after the chunk
		if r.Method == http.MethodPost && r.URL.Path == "/v1/statements" {
			<-stop
		}
		return false
	})
	if err := s.dock.Confirm(t.Context(), g[0].ID, typedHeader(), wang); err != nil {
		t.Fatal(err)
	}
	chunk()
	s.arrived("the chunk", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
		for _, r := range recs {
			return len(r.Bytes) == 1
		}
		return false
	})
	header()
	s.tile("1", dock.TileStored)
}

// TestKnownFilesAreNotTakenInAgain: by serial, path, size and time, in another slot, with another root, after a restart; and no intake is made.
func TestKnownFilesAreNotTakenInAgain(t *testing.T) {
	s := newStation(t)
	root := recorder(t, 1, map[string]int{"a.mp4": 9000, "b.mp4": 1})
	id := s.plug("1", "BZ1", "V", root, false)
	s.tile("1", dock.TileHeader)
	s.pull(id)
	s.tile("1", dock.TileEmpty)
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(root, moved); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.plug("3", "BZ1", "V", moved, false)
	tile := s.tile("3", dock.TileHeader)
	if tile.Done != 2 || tile.Read != 9001 {
		t.Errorf("%+v", tile)
	}
	s.server.With(func() {
		if len(s.server.Recordings) != 2 || len(s.server.Intakes) != 1 {
			t.Errorf("%d recordings, %d intakes", len(s.server.Recordings), len(s.server.Intakes))
		}
	})
}

// TestPulledOutMidCopyResumesInAnotherSlot: what was begun stays open, also over a restart of the agent, and is gone on with at the byte where it stood.
func TestPulledOutMidCopyResumesInAnotherSlot(t *testing.T) {
	s := newStation(t, "--spool-max", "16KiB")
	var mu sync.Mutex
	away := true
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if away && r.Method == http.MethodPut {
			uplinktest.Refuse(w, 503, transport.CodeUnavailable)
			return true
		}
		return false
	})
	root := recorder(t, 1, map[string]int{"a.mp4": 100_000})
	id := s.plug("1", "BZ1", "V", root, false)
	s.until("some of it read", func(snap dock.Snapshot) bool { return snap.Tiles[0].Read >= 8192 })
	s.pull(id)
	s.tile("1", dock.TileEmpty)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	away = false
	mu.Unlock()
	s.run("--spool-max", "16KiB")
	s.arrived("what was read", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
		for _, r := range recs {
			return len(r.Chunks) >= 2 && r.Close == nil
		}
		return false
	})
	s.plug("3", "BZ1", "V", root, false)
	s.tile("3", dock.TileHeader)
	s.tile("1", dock.TileEmpty)
	s.arrived("the whole file", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
		for _, r := range recs {
			return r.Close != nil && r.Stored > 0
		}
		return false
	})
	want, err := os.ReadFile(filepath.Join(root, "a.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	s.same(map[string][]byte{"a.mp4": want})
}

// TestAnotherRecorderInTheSameSlot: the same names, sizes and times on two recorders, one after the other in one slot, are two sets of recordings; also
// when neither says a serial number and both have one volume id, and only the bytes differ.
func TestAnotherRecorderInTheSameSlot(t *testing.T) {
	for name, serials := range map[string][2]string{"two serials": {"BZ1", "BZ2"}, "no serials": {"", ""}} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t)
			for i, serial := range serials {
				id := s.plug("1", serial, "V", recorder(t, uint64(1+10*i), map[string]int{"a.mp4": 9000}), false)
				s.tile("1", dock.TileHeader)
				s.pull(id)
				s.tile("1", dock.TileEmpty)
			}
			s.arrived("two recordings", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool { return len(recs) == 2 })
			hashes := map[evidence.Digest]bool{}
			s.arrived("both stored", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
				for _, r := range recs {
					if r.Close == nil || r.Stored == 0 {
						return false
					}
					hashes[r.Close.Hash] = true
				}
				return true
			})
			if len(hashes) != 2 {
				t.Errorf("%d different files", len(hashes))
			}
		})
	}
}

// TestImportantFilesAndTheChosenSlotGoFirst: with one reader at a time, by the order of the open statements.
func TestImportantFilesAndTheChosenSlotGoFirst(t *testing.T) {
	s := newStation(t, "--readers", "1", "--spool-max", "16KiB")
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release) // the server ends only when its requests do
	var puts sync.Once
	first := make(chan struct{})
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			puts.Do(func() { close(first) })
			<-hold
		}
		return false
	})
	s.plug("1", "BZ1", "V1", recorder(t, 1, map[string]int{"a-long.mp4": 60_000, "b.mp4": 5000, "c.mp4": 5000}), false)
	<-first // slot 1 is reading, and the spool is full
	s.plug("2", "BZ2", "V2", recorder(t, 20, map[string]int{"d.mp4": 5000, "e.mp4": 5000, "z-IMP.mp4": 5000}), false)
	s.until("both are listed", func(snap dock.Snapshot) bool {
		return snap.Tiles[0].Files == 3 && snap.Tiles[1].Files == 3 && snap.Tiles[0].Listed && snap.Tiles[1].Listed
	})
	if err := s.dock.First(t.Context(), "2", wang); err != nil {
		t.Fatal(err)
	}
	if err := s.dock.First(t.Context(), "9", wang); !errors.Is(err, dock.ErrNoSlot) {
		t.Errorf("an empty slot first: %v", err)
	}
	release()
	s.tile("1", dock.TileHeader)
	s.tile("2", dock.TileHeader)
	var order []string
	s.arrived("all", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
		order = nil
		var all []*uplinktest.Recording
		for _, r := range recs {
			all = append(all, r)
		}
		slices.SortFunc(all, func(a, b *uplinktest.Recording) int { return cmp.Compare(a.Order, b.Order) })
		for _, r := range all {
			order = append(order, r.Source.Name)
		}
		return len(order) == 6
	})
	if at := slices.Index(order, "z-IMP.mp4"); at != 1 {
		t.Errorf("read in the order %v", order)
	}
	if slices.Index(order, "e.mp4") > slices.Index(order, "c.mp4") {
		t.Errorf("the chosen slot did not go first: %v", order)
	}
}

// TestReleasedOnPermit: nothing is erased unless the bridge erases; then only what is stored, and the chain says what went.
func TestReleasedOnPermit(t *testing.T) {
	s := newStation(t)
	kept := recorder(t, 50, map[string]int{"k.mp4": 9000})
	s.plug("2", "BZ2", "V2", kept, false)
	root := recorder(t, 1, map[string]int{"a.mp4": 9000, "b.mp4": 0})
	s.plug("1", "BZ1", "V1", root, true)
	s.until("released", func(snap dock.Snapshot) bool { return snap.Tiles[0].Released == 2 })
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 0 {
		t.Errorf("%v %v are left", err, left)
	}
	if _, err := os.Stat(filepath.Join(kept, "k.mp4")); err != nil {
		t.Error("a file of a recorder that is not to be erased is gone")
	}
	s.arrived("releases", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
		n := 0
		for _, r := range recs {
			for _, said := range r.Said {
				if b, ok := said.Body.(*evidence.Release); ok && b.Erased == r.Close.Hash {
					n++
				}
			}
		}
		return n == 2
	})
}

// TestReleasedAtALaterDocking: what was stored before the bridge was allowed to erase goes when its recorder is docked again.
func TestReleasedAtALaterDocking(t *testing.T) {
	s := newStation(t)
	root := recorder(t, 1, map[string]int{"a.mp4": 9000})
	id := s.plug("1", "BZ1", "V1", root, false)
	s.until("stored", func(snap dock.Snapshot) bool { return snap.Tiles[0].Stored == 1 })
	s.pull(id)
	s.tile("1", dock.TileEmpty)
	s.plug("2", "BZ1", "V1", root, true)
	s.until("released", func(snap dock.Snapshot) bool { return snap.Tiles[1].Released == 1 })
}

// TestRefusedPermitKeepsTheFileAndSaysSo: what the bridge refuses stays, no release is said, and the tile tells a person.
func TestRefusedPermitKeepsTheFileAndSaysSo(t *testing.T) {
	s := newStation(t)
	s.refuse = &handoff.Error{Status: 409, Code: handoff.CodeChanged, Message: "other bytes", Kept: "all", Do: "look"}
	root := recorder(t, 1, map[string]int{"a.mp4": 9000})
	s.plug("1", "BZ1", "V1", root, true)
	snap := s.until("kept", func(snap dock.Snapshot) bool { return snap.Tiles[0].Kept == 1 })
	if snap.Tiles[0].Released != 0 {
		t.Errorf("%+v", snap.Tiles[0])
	}
	if _, err := os.Stat(filepath.Join(root, "a.mp4")); err != nil {
		t.Error(err)
	}
}

// TestUncertainReleaseIsAskedAgain: the medium gave an error while a file was erased; when the recorder is docked again it is asked for once more, by whoever
// comes first, and the chain says the release once.
func TestUncertainReleaseIsAskedAgain(t *testing.T) {
	s := newStation(t)
	s.mu.Lock()
	s.refuse = &handoff.Error{Status: 502, Code: handoff.CodeMedium, Message: "the medium gave an error", Kept: "all", Do: "dock it again"}
	s.mu.Unlock()
	root := recorder(t, 1, map[string]int{"a.mp4": 9000, "b.mp4": 5000})
	id := s.plug("1", "BZ1", "V1", root, true)
	s.until("kept", func(snap dock.Snapshot) bool { return snap.Tiles[0].Kept == 2 })
	s.pull(id)
	s.tile("1", dock.TileEmpty)
	s.mu.Lock()
	s.refuse = nil
	s.mu.Unlock()
	s.plug("2", "BZ1", "V1", root, true)
	s.until("released", func(snap dock.Snapshot) bool { return snap.Tiles[1].Released == 2 })
	s.arrived("each release once", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
		n := 0
		for _, r := range recs {
			for _, st := range r.Said {
				if st.Kind == evidence.KindRelease {
					n++
				}
			}
		}
		return n == 2
	})
}

// TestReleaseIsSaidAfterACrash: the file was erased and the agent did not hear it: at the next meeting the bridge tells, and the chain says it once.
func TestReleaseIsSaidAfterACrash(t *testing.T) {
	s := newStation(t)
	heard := make(chan struct{}, 10)
	s.mu.Lock()
	s.after = func(evidence.Digest) bool { heard <- struct{}{}; return true }
	s.mu.Unlock()
	root := recorder(t, 1, map[string]int{"a.mp4": 9000})
	id := s.plug("1", "BZ1", "V1", root, true)
	<-heard
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.after = nil
	s.mu.Unlock()
	s.pull(id)
	s.run()
	said := func(recs map[evidence.RecordingID]*uplinktest.Recording) (n int) {
		for _, r := range recs {
			for _, st := range r.Said {
				if st.Kind == evidence.KindRelease {
					n++
				}
			}
		}
		return n
	}
	s.arrived("the release", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool { return said(recs) == 1 })
}

// TestReleaseIsSaidOfARecorderThatIsGoneWithItsLastFile: as those of the content destination are.
func TestReleaseIsSaidOfARecorderThatIsGoneWithItsLastFile(t *testing.T) {
	s := newStation(t)
	s.mu.Lock()
	s.goes, s.gone = true, make(chan struct{})
	s.mu.Unlock()
	s.plug("1", "BZ1", "V1", recorder(t, 1, map[string]int{"a.mp4": 9000}), true)
	s.until("docked", func(snap dock.Snapshot) bool { return snap.Tiles[0].Done == 1 })
	s.tile("1", dock.TileEmpty)
	close(s.gone)
	s.arrived("the release", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
		for _, r := range recs {
			for _, st := range r.Said {
				if st.Kind == evidence.KindRelease {
					return true
				}
			}
		}
		return false
	})
}

// TestBridgeThatDies: the dock says so, loses nothing, and goes on when it is back.
func TestBridgeThatDies(t *testing.T) {
	s := newStation(t)
	s.plug("1", "BZ1", "V1", recorder(t, 1, map[string]int{"a.mp4": 9000}), false)
	s.tile("1", dock.TileHeader)
	if err := s.serve.Close(); err != nil {
		t.Fatal(err)
	}
	s.until("said", func(snap dock.Snapshot) bool {
		return snap.Bridge != "" && snap.Tiles[0].State == dock.TileEmpty && snap.Headers == 1
	})
	s.start()
	s.until("back", func(snap dock.Snapshot) bool { return snap.Bridge == "" })
	s.tile("1", dock.TileHeader)
	s.server.With(func() {
		if len(s.server.Recordings) != 1 {
			t.Errorf("%d recordings", len(s.server.Recordings))
		}
	})
}

// TestSplitAndJoin: an officer splits a sequence and joins it again; headers follow, and a recording that joins without one makes the group wait.
func TestSplitAndJoin(t *testing.T) {
	s := newStation(t)
	s.about = numbered
	s.plug("1", "BZ1", "V", recorder(t, 1, map[string]int{"0001.mp4": 100, "0002.mp4": 100, "0003.mp4": 100}), false)
	s.tile("1", dock.TileHeader)
	ctx := t.Context()
	all := func() []dock.Group {
		t.Helper()
		g, err := s.dock.Groups(ctx, "1")
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g := all()
	if len(g) != 1 || len(g[0].Items) != 3 {
		t.Fatalf("%+v", g)
	}
	one := g[0]
	if err := s.dock.Split(ctx, one.ID, one.Items[0].Rec, wang); !errors.Is(err, dock.ErrNoGroup) {
		t.Errorf("split before the first: %v", err)
	}
	if err := s.dock.Split(ctx, one.ID, one.Items[1].Rec, wang); err != nil {
		t.Fatal(err)
	}
	if g = all(); len(g) != 2 || len(g[0].Items)+len(g[1].Items) != 3 {
		t.Fatalf("%+v", g)
	}
	if err := s.dock.Confirm(ctx, one.ID, typedHeader(), wang); err != nil {
		t.Fatal(err)
	}
	snap := s.dock.Snapshot(ctx)
	if snap.Headers != 1 {
		t.Errorf("%d groups wait", snap.Headers)
	}
	if err := s.dock.Join(ctx, one.ID, one.Items[1].Rec, wang); err != nil {
		t.Fatal(err)
	}
	if g = all(); len(g) != 1 || g[0].Header != nil || g[0].Earlier == nil {
		t.Fatalf("%+v", g)
	}
	if err := s.dock.Confirm(ctx, one.ID, typedHeader(), wang); err != nil {
		t.Fatal(err)
	}
	if g = all(); g[0].Header == nil {
		t.Errorf("%+v", g)
	}
}

// TestLateHeader: a header that is not there by its deadline is late, and stays so once it is there.
func TestLateHeader(t *testing.T) {
	s := newStation(t, "--header-deadline", "1ms")
	s.plug("1", "BZ1", "V", recorder(t, 1, map[string]int{"a.mp4": 100}), false)
	s.tile("1", dock.TileHeader)
	s.until("late", func(snap dock.Snapshot) bool { return snap.Late == 1 })
	g, err := s.dock.Groups(t.Context(), "")
	if err != nil || len(g) != 1 || !g[0].Late {
		t.Fatalf("%v %+v", err, g)
	}
	if err := s.dock.Confirm(t.Context(), g[0].ID, typedHeader(), wang); err != nil {
		t.Fatal(err)
	}
	if got, err := s.dock.Group(t.Context(), g[0].ID); err != nil || !slices.Contains(got.Flags, dock.FlagLate) {
		t.Errorf("%v %+v", err, got)
	}
}

// TestRegisterAndSignIn: the register comes from the server and stays when it is away; officers sign in by card or PIN, a few tries a minute; a
// certificate that is over, or not in the register, is flagged and keeps nobody from confirming.
func TestRegisterAndSignIn(t *testing.T) {
	salt := []byte("salt")
	pin, err := register.HashPIN(strings.NewReader(strings.Repeat("r", 64)), "482913")
	if err != nil {
		t.Fatal(err)
	}
	reg := transport.Register{Version: evidence.Sum([]byte("1")), CardSalt: salt, Departments: []string{"Market Supervision"}, Officers: []transport.Officer{
		{Name: "Wang Fang", Certificate: "110042", ValidUntil: "2099-12-31", PIN: pin}, {Name: "Zhao Lei", Certificate: "110043", ValidUntil: "2020-01-01", Card: register.CardHash(salt, "0004711")}}}
	s := newStation(t)
	if _, err := s.dock.SignIn(t.Context(), "0004711", "", ""); !errors.Is(err, dock.ErrNoRegister) {
		t.Errorf("without a register: %v", err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/register" {
			return false
		}
		_ = json.NewEncoder(w).Encode(reg)
		return true
	})
	s.run()
	s.until("register", func(dock.Snapshot) bool { return s.dock.Register(t.Context()) != nil })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.server.Close()
	s.run()
	if o, err := s.dock.SignIn(t.Context(), "0004711", "", ""); err != nil || o.Name != "Zhao Lei" || o.Valid {
		t.Errorf("%v %+v", err, o)
	}
	o, err := s.dock.SignIn(t.Context(), "", "110042", "482913")
	if err != nil || !o.Valid {
		t.Errorf("%v %+v", err, o)
	}
	for range 5 {
		if _, err := s.dock.SignIn(t.Context(), "", "110042", "000000"); !errors.Is(err, dock.ErrSignIn) {
			t.Errorf("a wrong PIN: %v", err)
		}
	}
	if _, err := s.dock.SignIn(t.Context(), "", "110042", "482913"); !errors.Is(err, dock.ErrTooMany) {
		t.Errorf("a sixth try: %v", err)
	}
	s.plug("1", "BZ1", "V", recorder(t, 1, map[string]int{"a.mp4": 100}), false)
	s.tile("1", dock.TileHeader)
	g, err := s.dock.Groups(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	h := typedHeader()
	h.Officers = []evidence.Officer{{Name: "Zhao Lei", Certificate: "110043"}, {Name: "Nobody", Certificate: "9"}}
	if err := s.dock.Confirm(t.Context(), g[0].ID, h, o); err != nil {
		t.Fatal(err)
	}
	got, err := s.dock.Group(t.Context(), g[0].ID)
	if err != nil || !slices.Contains(got.Flags, dock.FlagInvalid) || !slices.Contains(got.Flags, dock.FlagUnknown) {
		t.Errorf("%v %+v", err, got.Flags)
	}
}

// TestSuppliedHeader: what a system of origin says of a recording goes into the chain once, whoever docks it how often.
func TestSuppliedHeader(t *testing.T) {
	s := newStation(t)
	s.about = func(f *handoff.File) {
		f.Header = &handoff.Header{Department: "D", Officers: []evidence.Officer{{Name: "o"}}, Cause: "c", Time: "t", Place: "p", By: "axis"}
		f.Marks, f.Note = []handoff.Mark{{Moment: 5, Text: "m"}}, "n"
	}
	root := recorder(t, 1, map[string]int{"a.mp4": 100})
	id := s.plug("1", "BZ1", "V", root, false)
	s.tile("1", dock.TileStored)
	s.pull(id)
	s.plug("2", "BZ1", "V", root, false)
	s.tile("2", dock.TileStored)
	s.arrived("header, mark and note", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool {
		for _, r := range recs {
			return len(r.Said) == 3
		}
		return false
	})
}

// TestManyFilesWhileTheServerIsAway: a recorder with many files may be taken when all are sealed here, and every one that needs a header is shown.
func TestManyFilesWhileTheServerIsAway(t *testing.T) {
	s := newStation(t)
	s.server.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		uplinktest.Refuse(w, 503, transport.CodeUnavailable)
		return true
	})
	files := map[string]int{}
	for i := range 600 {
		files[fmt.Sprintf("%04d.mp4", i)] = 10
	}
	s.plug("1", "BZ1", "V", recorder(t, 1, files), false)
	tile := s.tile("1", dock.TileHeader)
	groups, err := s.dock.Groups(t.Context(), "1")
	if err != nil || tile.Headers != 600 || tile.Done != 600 || tile.Stored != 0 || len(groups) != 500 { // a page lists so many
		t.Errorf("%v, %d groups, %+v", err, len(groups), tile)
	}
}

// TestTwentyFourSlotsAtOnce: each with its own progress, none mixed up with another.
func TestTwentyFourSlotsAtOnce(t *testing.T) {
	s := newStation(t)
	for i := range 24 {
		s.plug(fmt.Sprint(i+1), fmt.Sprint("BZ", i), fmt.Sprint("V", i), recorder(t, uint64(100*i), map[string]int{"a.mp4": 5000 + i, "b.mp4": 9000 + i}), false)
	}
	for i := range 24 {
		if tile := s.tile(fmt.Sprint(i+1), dock.TileHeader); tile.Read != uint64(14000+2*i) || tile.Recorder != fmt.Sprint("BZ", i) {
			t.Errorf("%+v", tile)
		}
	}
	s.arrived("all of them", func(recs map[evidence.RecordingID]*uplinktest.Recording) bool { return len(recs) == 48 })
}
