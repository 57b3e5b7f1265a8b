package dock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"camseal/firmware-bridge/internal/block"
	"camseal/firmware-bridge/internal/storage"
	"camseal/pkg/handoff"
)

// medium is what was plugged in: a recorder's storage with one volume or several.
type medium struct {
	disk   block.Disk
	slot   string
	cancel context.CancelFunc

	writable []string // devices that could be written to before they were set read-only; only hold's goroutine

	erasing sync.Mutex // one erasure at a time

	mu       sync.Mutex
	gone     bool
	dockings []*docking
}

// hold makes a medium readable, keeps it so until ctx ends, and takes its mounts away.
func (s *Station) hold(ctx context.Context, m *medium, first *docking) {
	if err := s.open(ctx, m, first); err != nil && ctx.Err() == nil {
		s.fault(first, err)
	}
	<-ctx.Done()
	m.mu.Lock()
	all := m.dockings
	m.mu.Unlock()
	for _, name := range m.writable { // the setting would stay with the device, for whatever is plugged in next
		if err := m.allowWriting(name); err != nil {
			s.cfg.Log.Debug("a device is gone, or holds another medium", slog.String("device", name), slog.Any("error", err))
		}
	}
	for _, d := range all {
		s.board.remove(d)
		if err := storage.Unmount(s.root(d)); err != nil {
			s.cfg.Log.Error("a recorder that is gone is still mounted; nothing is written to it", slog.String("docking", d.id), slog.Any("error", err))
		}
	}
}

func (s *Station) open(ctx context.Context, m *medium, first *docking) error {
	if m.disk.Seq == 0 {
		return errors.New("this kernel does not number its media, so recorders could be mixed up; Linux 5.15 or newer is needed")
	}
	if err := s.claim(ctx, m, first); err != nil {
		return err
	}
	told := s.talk(ctx, m)
	volumes, err := probeAll(m.disk)
	if err != nil {
		return err
	}
	for i, v := range volumes {
		d := first
		if i > 0 {
			if d = s.further(m); d == nil {
				return ctx.Err()
			}
		}
		if err := s.mount(ctx, m, d, v, told); err != nil && ctx.Err() == nil {
			s.fault(d, err)
		}
	}
	return nil
}

// further shows one more docking of a medium, unless that is gone.
func (s *Station) further(m *medium) *docking {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return nil
	}
	return s.newDocking(m)
}

// claim waits until nobody holds the disk, sees that it is the medium that was meant, and forbids writing to it. A file system that is alive
// from before (its mount was taken away, and somebody reads there still) belongs to the medium that was there then, and would be shown again in place of
// this one.
func (s *Station) claim(ctx context.Context, m *medium, first *docking) error {
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for tries := 0; ; tries++ {
		f, err := os.OpenFile("/dev/"+m.disk.Name, os.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err == nil {
			if err := f.Close(); err != nil {
				return err
			}
			break
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		if tries == 25 {
			s.fault(first, errBusy)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
	s.board.set(first, func(d *handoff.Docking) { d.State, d.Fault = handoff.StateOpening, "" })
	return m.forbidWriting(m.disk.Name)
}

// forbidWriting sets a device of the medium read-only.
func (m *medium) forbidWriting(name string) error {
	d, err := storage.OpenDevice("/dev/"+name, m.disk.Seq)
	if err != nil {
		return err
	}
	was, err := d.IsReadOnly()
	if err == nil && !was {
		m.writable = append(m.writable, name)
		err = d.ReadOnly(true)
	}
	return errors.Join(err, d.Close())
}

func (m *medium) allowWriting(name string) error {
	d, err := storage.OpenDevice("/dev/"+name, m.disk.Seq)
	if err != nil {
		return err
	}
	return errors.Join(d.ReadOnly(false), d.Close())
}

// volume is a file system on a medium.
type volume struct {
	name   string // of its device
	size   uint64
	system storage.System
	err    error // why it can't be mounted
}

// probeAll finds the volumes of a disk: the partitions with a file system that is known, or else the whole disk. There is at least one.
func probeAll(d block.Disk) ([]volume, error) {
	var found []volume
	for _, p := range d.Parts {
		if v := probe(d, p.Name, p.Size); v.err == nil {
			found = append(found, v)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	whole := probe(d, d.Name, d.Size)
	if whole.err != nil && len(d.Parts) > 0 { // the words about the partition say more
		p := d.Parts[0]
		whole = probe(d, p.Name, p.Size)
	}
	return []volume{whole}, whole.err
}

func probe(d block.Disk, name string, size uint64) volume {
	v := volume{name: name, size: size}
	dev, err := storage.OpenDevice("/dev/"+name, d.Seq)
	if err != nil {
		v.err = err
		return v
	}
	v.system, v.err = storage.Probe(dev)
	v.err = errors.Join(v.err, dev.Close())
	return v
}

// mount makes a volume readable, and shows it as ready.
func (s *Station) mount(ctx context.Context, m *medium, d *docking, v volume, told told) error {
	dev, err := storage.OpenDevice("/dev/"+v.name, m.disk.Seq) // while it is open, no other recorder gets its name
	if err != nil {
		return err
	}
	defer func() { _ = dev.Close() }() // nothing was written to it
	if err := m.forbidWriting(v.name); err != nil {
		return err
	}
	root := s.root(d)
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	if err := storage.Mount("/dev/"+v.name, root, v.system, s.cfg.Reader); err != nil {
		return err
	}
	if v.system.Driver() == "ext4" {
		if err := storage.Lend(root, s.cfg.Reader); err != nil {
			s.cfg.Log.WarnContext(ctx, "the agent can't read what the recorder wrote for its root alone", slog.String("docking", d.id), slog.Any("error", err))
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(root, &st); err != nil {
		return err
	}
	if err := dev.Is(m.disk.Seq); err != nil || uint64(st.Dev) != dev.Dev {
		return errors.Join(err, fmt.Errorf("another device was mounted than %s", v.name))
	}
	profile := s.cfg.Table.Detect(root)
	serial := m.disk.Serial
	if serial == "" {
		serial = told.serial
	}
	if serial == "" {
		serial = profile.Serial(root)
	}
	serial = strings.ToValidUTF8(serial, "\uFFFD") // as it comes back in a permit
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.board.set(d, func(shown *handoff.Docking) {
		told.show(shown)
		d.profile, d.system, d.volume = profile, v.system, v.name
		shown.State, shown.Root, shown.Serial, shown.Volume = handoff.StateReady, []byte(root), serial, v.system.UUID
		shown.System, shown.Size, shown.Free, shown.Profile = v.system.Type, v.size, free(root), profile.Name()
		if v.system.Driver() == "ext4" {
			shown.System = "ext4"
		}
		if shown.Model == "" {
			shown.Model = profile.Model()
		}
	})
	s.cfg.Log.InfoContext(ctx, "readable", slog.String("slot", m.slot), slog.String("docking", d.id), slog.String("device", v.name), slog.String("serial", serial),
		slog.String("volume", v.system.UUID), slog.String("system", v.system.Type), slog.String("profile", profile.Name()))
	return nil
}

// devices opens what must be written to for writing to the docking's volume: the disk, and the partition if it is one.
func (d *docking) devices() ([]*storage.Device, error) {
	names := []string{d.disk.Name}
	if d.volume != d.disk.Name {
		names = append(names, d.volume)
	}
	var list []*storage.Device
	for _, n := range names {
		dev, err := storage.OpenDevice(filepath.Join("/dev", n), d.disk.Seq)
		if err != nil {
			for _, l := range list {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		list = append(list, dev)
	}
	return list, nil
}

var errBusy = errors.New("another program holds this recorder's storage")

// fault shows in words why a docking can't be read.
func (s *Station) fault(d *docking, err error) {
	const untouched = " Nothing on it was changed."
	var unknown *storage.UnknownError
	words := "The recorder's storage can't be read (" + err.Error() + ")." + untouched + " Plug it in again; if it recurs, keep it apart and have it looked at."
	switch {
	case errors.As(err, &unknown):
		words = "The recorder's storage can't be read: " + unknown.Error() + "." + untouched + " Keep the recorder apart and have it looked at; do not let anything format it."
	case errors.Is(err, storage.ErrNoDriver):
		words = "The recorder's storage can't be read: " + err.Error() + "." + untouched + " Install that driver on the dock, and plug the recorder in again."
	case errors.Is(err, errBusy):
		words = "Another program of this dock holds the recorder's storage, or still reads from one that was here before." + untouched +
			" Switch automatic mounting off on this dock; it goes on by itself once the storage is free."
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOMEDIUM):
		words = "The recorder went away while it was being opened." + untouched + " Plug it in again."
	}
	s.cfg.Log.Warn("a recorder can't be read", slog.String("slot", d.shown.Slot), slog.String("docking", d.id), slog.Any("error", err))
	s.board.set(d, func(shown *handoff.Docking) { shown.State, shown.Fault, shown.Root = handoff.StateFault, words, nil })
}
