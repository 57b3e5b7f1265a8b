package dock

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"camseal/firmware-bridge/internal/block"
	"camseal/firmware-bridge/internal/storage"
	"camseal/firmware-bridge/internal/vendors"
	"camseal/pkg/handoff"
)

// docking is one volume of a medium. What is shown, and version, are guarded by the board's mutex.
type docking struct {
	id      string
	shown   handoff.Docking
	version uint64
	profile *vendors.Profile // nil until ready
	system  storage.System

	disk    block.Disk
	volume  string      // its device's name: the disk's or a partition's
	erasing *sync.Mutex // of the medium: its volumes share what forbids writing
}

// board holds all dockings that there are, and tells of what changes.
type board struct {
	mu       sync.Mutex
	version  uint64
	changed  chan struct{} // closed, and made anew, at each change
	dockings map[string]*docking
}

func newBoard() *board { return &board{changed: make(chan struct{}), dockings: map[string]*docking{}} }

// tick is called with mu held, after a change.
func (b *board) tick() {
	b.version++
	close(b.changed)
	b.changed = make(chan struct{})
}

// add shows a docking.
func (b *board) add(d *docking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tick()
	d.version = b.version
	b.dockings[d.id] = d
}

// set changes what is shown of a docking. Of one that is gone it changes nothing.
func (b *board) set(d *docking, f func(*handoff.Docking)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dockings[d.id] != d {
		return
	}
	b.tick()
	f(&d.shown)
	d.version = b.version
}

// remove shows that a docking is gone.
func (b *board) remove(d *docking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dockings[d.id] == d {
		delete(b.dockings, d.id)
		b.tick()
	}
}

// ready returns the docking with this id if its files can be read.
func (b *board) ready(id string) *docking {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.dockings[id]; d != nil && d.shown.State == handoff.StateReady {
		return d
	}
	return nil
}

// holding returns the ready dockings of a recorder's volume.
func (b *board) holding(serial, volume string) (found []*docking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.dockings {
		if d.shown.State == handoff.StateReady && d.shown.Serial == serial && d.shown.Volume == volume {
			found = append(found, d)
		}
	}
	return found
}

// watch calls emit for each docking that there is, and then for each that changes.
func (b *board) watch(ctx context.Context, emit func(handoff.Docking) error) error {
	told := map[string]handoff.Docking{}
	for last := uint64(0); ; {
		b.mu.Lock()
		var news []*docking
		for _, d := range b.dockings {
			if d.version > last {
				news = append(news, d)
			}
		}
		slices.SortFunc(news, func(x, y *docking) int { return int(int64(x.version - y.version)) })
		var say []handoff.Docking
		for id, d := range told {
			if b.dockings[id] == nil {
				d.State, d.Root = handoff.StateGone, nil
				say = append(say, d)
				delete(told, id)
			}
		}
		for _, d := range news {
			say = append(say, d.shown)
			told[d.id] = d.shown
		}
		changed := b.changed
		last = b.version
		b.mu.Unlock()
		for _, d := range say {
			if err := emit(d); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// newDocking shows a docking of a medium in a slot that is being opened.
func (s *Station) newDocking(m *medium) *docking {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	d := &docking{id: hex.EncodeToString(raw[:]), disk: m.disk, erasing: &m.erasing}
	d.shown = handoff.Docking{ID: d.id, Slot: m.slot, State: handoff.StateOpening, Serial: m.disk.Serial, Size: m.disk.Size, Erases: s.cfg.Eraser != nil}
	m.dockings = append(m.dockings, d)
	s.board.add(d)
	return d
}

func (s *Station) root(d *docking) string { return filepath.Join(s.cfg.Mounts, d.id) }

// free returns how many bytes are free on the file system at a path; 0 if it does not say.
func free(path string) uint64 {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0
	}
	return st.Bavail * uint64(st.Bsize)
}
