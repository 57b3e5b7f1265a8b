// Package dock is the dock's slots: it sees recorders come and go, makes their storage readable, and erases on permits.
package dock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"camseal/firmware-bridge/internal/block"
	"camseal/firmware-bridge/internal/erase"
	"camseal/firmware-bridge/internal/permit"
	"camseal/firmware-bridge/internal/serve"
	"camseal/firmware-bridge/internal/storage"
	"camseal/firmware-bridge/internal/vendors"
	"camseal/pkg/handoff"
)

// Config says what a station needs. Nothing of it is changed while it runs.
type Config struct {
	Slots    map[string]string // slot → its ports, with commas between: of USB ("1-1.2"), or the name of a block device that hangs on none ("mmcblk1")
	Controls map[string]string // slot → address of the recorder's control interface, as vendors.Dial takes it
	SetClock bool              // set recorders' clocks, after their offset was noted
	Mounts   string            // folder for mounts, which the station has for itself
	Reader   storage.Reader    // who may read there
	Eraser   *erase.Eraser     // nil: it does not erase
	Table    *vendors.Table    //
	Dialer   vendors.Dialer    //
	Rescan   time.Duration     // how often it looks at the ports even if nothing was heard
	Log      *slog.Logger      //
	Now      func() time.Time  //
}

// Station is a dock. It is safe for concurrent use.
type Station struct {
	cfg   Config
	slots map[string]string // by port
	board *board
	meet  *meetings

	media map[string]*medium // by key; only Run's goroutine
	work  sync.WaitGroup
}

var _ serve.Source = (*Station)(nil)

// New returns a station, which does nothing until it is run.
func New(cfg Config) *Station {
	s := &Station{cfg: cfg, slots: map[string]string{}, board: newBoard(), meet: newMeetings(), media: map[string]*medium{}}
	for slot, ports := range cfg.Slots {
		for port := range strings.SplitSeq(ports, ",") {
			s.slots[port] = slot
		}
	}
	return s
}

// Run takes in what is plugged in until ctx ends. First it takes away what a bridge that was killed left mounted; at the end, its own mounts.
func (s *Station) Run(ctx context.Context) error {
	if err := storage.Clean(s.cfg.Mounts); err != nil {
		return fmt.Errorf("what an earlier bridge left mounted: %w", err)
	}
	events, err := block.Listen()
	if err != nil {
		return err
	}
	for err == nil {
		if err = s.scan(ctx); err == nil {
			err = events.Next(ctx, s.cfg.Now().Add(s.cfg.Rescan))
		}
	}
	for key := range s.media {
		s.drop(key)
	}
	s.work.Wait()
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, events.Close())
}

// scan compares what is plugged in with what is known.
func (s *Station) scan(ctx context.Context) error {
	disks, err := block.Scan(func(port string, usb bool) bool { return usb || s.slots[port] != "" })
	if err != nil {
		return err
	}
	mounts, err := storage.Mounts()
	if err != nil {
		return err
	}
	found := map[string]block.Disk{}
	busy := map[string]bool{}
	for _, d := range disks {
		if s.ofSystem(d, mounts) {
			continue
		}
		busy[d.Port] = true
		found[key(d)] = d
	}
	for k := range s.media {
		if _, ok := found[k]; !ok {
			s.drop(k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(found)) {
		if s.media[k] == nil {
			s.take(ctx, k, found[k])
		}
	}
	return s.lookForControls(ctx, busy)
}

// key tells media apart: two recorders in the same place, one after the other, and one whose partitions were read anew.
func key(d block.Disk) string {
	k := fmt.Sprintf("%s %d", d.Name, d.Seq)
	for _, p := range d.Parts {
		k += fmt.Sprintf(" %s/%d", p.Name, p.Size)
	}
	return k
}

// ofSystem reports whether this machine lives on the disk. It is no recorder then, wherever it hangs.
func (s *Station) ofSystem(d block.Disk, mounts []storage.Mounted) bool {
	used := d.Used
	numbers := []string{d.Number}
	for _, p := range d.Parts {
		used = used || p.Used
		numbers = append(numbers, p.Number)
	}
	return used || slices.ContainsFunc(mounts, func(m storage.Mounted) bool {
		return slices.Contains(numbers, m.Dev) && (m.At == "/" || m.At == "/usr" || m.At == "/boot" || strings.HasPrefix(m.At, "/boot/"))
	})
}

func (s *Station) take(ctx context.Context, key string, d block.Disk) {
	ctx, cancel := context.WithCancel(ctx)
	m := &medium{disk: d, slot: s.slots[d.Port], cancel: cancel}
	if m.slot == "" {
		m.slot = d.Port
	}
	s.media[key] = m
	first := s.newDocking(m)
	s.cfg.Log.InfoContext(ctx, "plugged in", slog.String("slot", m.slot), slog.String("docking", first.id), slog.String("device", d.Name),
		slog.Uint64("medium", d.Seq), slog.String("serial", d.Serial), slog.Uint64("bytes", d.Size))
	s.work.Go(func() { s.hold(ctx, m, first) })
}

// drop shows at once that a medium is gone. Its mounts go as soon as nothing waits for the device any more.
func (s *Station) drop(key string) {
	m := s.media[key]
	delete(s.media, key)
	s.cfg.Log.Info("pulled out", slog.String("slot", m.slot), slog.String("device", m.disk.Name), slog.Uint64("medium", m.disk.Seq))
	m.cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	for _, d := range m.dockings {
		s.board.remove(d)
	}
}

// Watch implements serve.Source.
func (s *Station) Watch(ctx context.Context, emit func(handoff.Docking) error) error {
	return s.board.watch(ctx, emit)
}

// Files implements serve.Source.
func (s *Station) Files(ctx context.Context, id string, emit func(handoff.File) error) error {
	d := s.board.ready(id)
	if d == nil {
		return noDocking("There is no such docking, or its files can't be read.")
	}
	if err := d.profile.List(ctx, s.root(d), emit); err != nil {
		return err
	}
	if s.board.ready(id) != d {
		return noDocking("The recorder was pulled out while its files were listed.")
	}
	return nil
}

// Erase implements serve.Source.
func (s *Station) Erase(ctx context.Context, p permit.Permit) (handoff.Erased, error) {
	if s.cfg.Eraser == nil {
		return handoff.Erased{}, notAllowed("This bridge is not configured to erase.", "To release recorders on permits, set erase: true in the bridge's configuration.")
	}
	if done, ok := s.cfg.Eraser.Before(p); ok {
		return done, nil
	}
	found := s.board.holding(p.Source.Serial, p.Source.Volume)
	switch {
	case len(found) == 0:
		return handoff.Erased{}, noDocking(fmt.Sprintf("The recorder %q with the volume %q is not plugged in.", p.Source.Serial, p.Source.Volume))
	case len(found) > 1:
		return handoff.Erased{}, noDocking(fmt.Sprintf("The slots %q and %q hold recorders that can't be told apart (serial %q, volume %q): one's storage is a copy of the other's.",
			found[0].shown.Slot, found[1].shown.Slot, p.Source.Serial, p.Source.Volume))
	}
	d := found[0]
	switch {
	case d.system.Driver() == "ntfs3":
		return handoff.Erased{}, notAllowed("This bridge writes to no NTFS.", "Remove the file on the recorder.")
	case d.system.Unclean:
		return handoff.Erased{}, notAllowed("The recorder's file system was not closed cleanly, and this bridge does not repair it.", "Switch the recorder on and off once, and plug it in again.")
	}
	d.erasing.Lock()
	defer d.erasing.Unlock()
	if s.board.ready(d.id) != d {
		return handoff.Erased{}, noDocking("The recorder was pulled out.")
	}
	done, err := s.cfg.Eraser.Erase(ctx, erase.Volume{Mount: s.root(d), Devices: d.devices}, p)
	s.board.set(d, func(shown *handoff.Docking) { shown.Free = free(s.root(d)) })
	return done, err
}

func noDocking(what string) error {
	return &handoff.Error{Status: http.StatusNotFound, Code: handoff.CodeNoDocking, Message: what, Kept: "Nothing was changed on any recorder.", Do: "Plug the recorder in, alone of its kind, and ask again."}
}

func notAllowed(what, do string) error {
	return &handoff.Error{Status: http.StatusForbidden, Code: handoff.CodeNotAllowed, Message: what, Kept: "Nothing was erased.", Do: do}
}
