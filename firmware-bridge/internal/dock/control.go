package dock

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"camseal/firmware-bridge/internal/block"
	"camseal/firmware-bridge/internal/vendors"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// Bounds on a recorder's control interface. What it says is a nicety: storage is read without it.
const (
	perCall    = 2 * time.Second
	perMeeting = 8 * time.Second
	settles    = 3 * time.Second  // a recorder with a terminal and no storage is asked for its storage after so long
	remembered = 60 * time.Second // what a recorder said before it switched to storage is about the next storage in its port for so long
)

// told is what a recorder said of itself.
type told struct {
	at                  time.Time
	serial, model       string
	firmware            string
	officer, name, unit string
	battery             *int
	offset              *evidence.Signed
}

func (t told) show(d *handoff.Docking) {
	d.Firmware, d.Officer, d.OfficerName, d.Unit, d.Battery, d.ClockOffset, d.Model = t.firmware, t.officer, t.name, t.unit, t.battery, t.offset, t.model
}

// meetings remembers who was talked to, by port.
type meetings struct {
	mu   sync.Mutex
	seen map[string]time.Time // when a control interface without storage was seen first
	met  map[string]bool      // it was asked for its storage
	told map[string]told
}

func newMeetings() *meetings {
	return &meetings{seen: map[string]time.Time{}, met: map[string]bool{}, told: map[string]told{}}
}

// address returns where the recorder in a port can be talked to now; empty: nowhere. Terminals are used only in ports that are slots: what else
// hangs on USB is left alone.
func (s *Station) address(port string, terminals map[string][]string) string {
	slot := s.slots[port]
	if slot == "" {
		return ""
	}
	if a := s.cfg.Controls[slot]; a != "" {
		if _, err := os.Stat(strings.TrimPrefix(a, "unix:")); err != nil {
			return ""
		}
		return a
	}
	if list := terminals[port]; len(list) > 0 {
		return list[0]
	}
	return ""
}

// lookForControls asks recorders that show a control interface and no storage for their storage, once each time they are plugged in.
func (s *Station) lookForControls(ctx context.Context, busy map[string]bool) error {
	terminals, err := block.Terminals()
	if err != nil {
		return err
	}
	s.meet.mu.Lock()
	defer s.meet.mu.Unlock()
	for port, slot := range s.slots {
		addr := s.address(port, terminals)
		if addr == "" || busy[port] {
			delete(s.meet.seen, port)
			if addr == "" {
				delete(s.meet.met, port)
			}
			continue
		}
		now := s.cfg.Now()
		if s.meet.seen[port].IsZero() {
			s.meet.seen[port] = now
		}
		if s.meet.met[port] || now.Sub(s.meet.seen[port]) < settles {
			continue
		}
		s.meet.met[port] = true
		s.work.Go(func() {
			t := s.session(ctx, slot, addr, true)
			s.meet.mu.Lock()
			defer s.meet.mu.Unlock()
			s.meet.told[port] = t
		})
	}
	return nil
}

// talk returns what the recorder says whose storage was plugged in, or what it said right before.
func (s *Station) talk(ctx context.Context, m *medium) told {
	port := m.disk.Port
	s.meet.mu.Lock()
	before := s.meet.told[port]
	delete(s.meet.told, port)
	s.meet.mu.Unlock()
	terminals, err := block.Terminals()
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "terminals can't be listed", slog.Any("error", err))
	}
	if addr := s.address(port, terminals); addr != "" {
		return s.session(ctx, m.slot, addr, false)
	}
	if s.cfg.Now().Sub(before.at) < remembered {
		return before
	}
	return told{}
}

// session asks a recorder all that it can be asked. What goes wrong is logged, and what was heard until then counts.
func (s *Station) session(ctx context.Context, slot, addr string, toStorage bool) (t told) {
	ctx, cancel := context.WithTimeout(ctx, perMeeting)
	defer cancel()
	t.at = s.cfg.Now()
	log := s.cfg.Log.With(slog.String("slot", slot), slog.String("control", addr))
	var r vendors.Recorder
	ask := func(what string, f func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, perCall)
		defer cancel()
		if err := f(ctx); err != nil {
			log.WarnContext(ctx, "a recorder's control interface is of no help; its storage is read all the same", slog.String("asked", what), slog.Any("error", err))
		}
	}
	ask("dial", func(ctx context.Context) (err error) { r, err = s.cfg.Dialer.Dial(ctx, addr); return err })
	if r == nil {
		return t
	}
	defer func() { _ = r.Close() }() // what it said was heard
	ask("identify", func(ctx context.Context) error {
		id, err := r.Identify(ctx)
		t.serial, t.model, t.firmware = id.Serial, id.Model, id.Firmware
		return err
	})
	ask("officer", func(ctx context.Context) error {
		o, err := r.Officer(ctx)
		if err == nil {
			t.officer, t.name, t.unit = o.Number(), o.Name(), o.UnitName()
		}
		return err
	})
	ask("battery", func(ctx context.Context) error {
		n, err := r.Battery(ctx)
		if err == nil {
			t.battery = &n
		}
		return err
	})
	ask("clock", func(ctx context.Context) error { return s.clock(ctx, r, &t) })
	if toStorage {
		ask("storage", r.ToStorage)
	}
	return t
}

// clock notes how far the recorder's clock is off, and only then sets it.
func (s *Station) clock(ctx context.Context, r vendors.Recorder, t *told) error {
	before := s.cfg.Now()
	shows, err := r.Clock(ctx)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	off := shows.Sub(before.Add(now.Sub(before) / 2)).Milliseconds()
	t.offset = &evidence.Signed{Sign: "+", Value: uint64(off)}
	if off < 0 {
		t.offset = &evidence.Signed{Sign: "-", Value: uint64(-off)}
	}
	if !s.cfg.SetClock {
		return nil
	}
	return r.SetClock(ctx, s.cfg.Now())
}
