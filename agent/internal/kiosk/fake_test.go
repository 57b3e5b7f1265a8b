package kiosk_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"camseal/agent/internal/dock"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// station is a dock that is only state: what is said to it is there afterwards.
type station struct {
	mu       sync.Mutex
	changed  chan struct{}
	snap     dock.Snapshot
	groups   []dock.Group
	register *transport.Register
	sound    []byte
	said     []string // what was said beyond headers and notes
	fails    error    // of every call that says something
}

// change changes what the station shows.
func (s *station) change(f func(*station)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
	s.snap.Version++
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *station) Snapshot(context.Context) dock.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.snap
	snap.Tiles, snap.Headers = slices.Clone(s.snap.Tiles), 0
	for _, g := range s.groups {
		if g.Header == nil {
			snap.Headers++
		}
	}
	return snap
}

func (s *station) Wait(ctx context.Context, after uint64) error {
	s.mu.Lock()
	version, changed := s.snap.Version, s.changed
	s.mu.Unlock()
	if version > after {
		return nil
	}
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *station) Groups(_ context.Context, slot string) ([]dock.Group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(func(yield func(dock.Group) bool) {
		for _, g := range s.groups {
			if (slot == "" && g.Header == nil || slot != "" && g.Slot == slot) && !yield(g) {
				return
			}
		}
	}), nil
}

func (s *station) Group(_ context.Context, id evidence.RecordingID) (dock.Group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.groups, func(g dock.Group) bool { return g.ID == id })
	if i < 0 {
		return dock.Group{}, dock.ErrNoGroup
	}
	return s.groups[i], nil
}

func (s *station) Sound(context.Context, evidence.RecordingID) ([]byte, error) { return s.sound, nil }

func (s *station) Register(context.Context) *transport.Register { return s.register }

func (s *station) SignIn(_ context.Context, card, certificate, pin string) (dock.Officer, error) {
	wei := dock.Officer{Name: "Li Wei", Certificate: "33010001", Department: "Market Supervision", Valid: true}
	switch {
	case card == "too many":
		return dock.Officer{}, dock.ErrTooMany
	case card == "no register":
		return dock.Officer{}, dock.ErrNoRegister
	case card == "0012345678" || certificate == "33010001" && pin == "271828":
		return wei, nil
	case card == "expired":
		wei.Valid = false
		return wei, nil
	}
	return dock.Officer{}, dock.ErrSignIn
}

func (s *station) on(id evidence.RecordingID, f func(*dock.Group)) error {
	if s.fails != nil {
		return s.fails
	}
	s.change(func(s *station) {
		for i := range s.groups {
			if s.groups[i].ID == id {
				f(&s.groups[i])
			}
		}
	})
	return nil
}

func (s *station) say(words ...string) error {
	if s.fails != nil {
		return s.fails
	}
	s.change(func(s *station) { s.said = append(s.said, words...) })
	return nil
}

func (s *station) Confirm(_ context.Context, id evidence.RecordingID, h evidence.Header, by dock.Officer) error {
	return s.on(id, func(g *dock.Group) {
		h.Confirmed, g.Header, g.Flags = by.Name, &h, nil
		if h.Spoken == nil {
			g.Flags = append(g.Flags, "no-voice")
		}
		for i := range s.snap.Tiles {
			if t := &s.snap.Tiles[i]; t.Slot == g.Slot && t.State == dock.TileHeader {
				t.State, t.Headers = dock.TileCopied, 0
			}
		}
	})
}

func (s *station) Note(_ context.Context, id evidence.RecordingID, text string, by dock.Officer) error {
	return s.on(id, func(g *dock.Group) { g.Note = &evidence.Note{By: by.Name, Text: text} })
}

func (s *station) Mark(_ context.Context, rec evidence.RecordingID, moment uint64, text string, by dock.Officer) error {
	return s.say("mark", rec.String(), (time.Duration(moment) * time.Millisecond).String(), text, by.Name)
}

func (s *station) Unrecorded(_ context.Context, activity, reason string, by dock.Officer) error {
	return s.say("unrecorded", activity, reason, by.Name)
}

func (s *station) Split(_ context.Context, id, before evidence.RecordingID, by dock.Officer) error {
	return s.say("split", id.String(), before.String(), by.Name)
}

func (s *station) Join(_ context.Context, id, with evidence.RecordingID, by dock.Officer) error {
	return s.say("join", id.String(), with.String(), by.Name)
}

func (s *station) First(_ context.Context, slot string, by dock.Officer) error {
	return s.say("first", slot, by.Name)
}
