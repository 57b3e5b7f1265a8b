package dock

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// heardName is where what was heard at the beginning of a group is kept.
func heardName(group evidence.RecordingID) string { return "heard/" + group.String() }

// sounds keeps the newest spoken spans in memory, so that an officer can hear them again; on the disk they are nowhere but in the spool.
type sounds struct {
	order []evidence.RecordingID
	wav   map[evidence.RecordingID][]byte
}

const (
	maxSounds = 32
	maxSound  = 2 << 20 // bytes of one; a minute at 16 kHz
)

func (s *sounds) put(group evidence.RecordingID, wav []byte) {
	if len(wav) == 0 || len(wav) > maxSound {
		return
	}
	if s.wav == nil {
		s.wav = map[evidence.RecordingID][]byte{}
	}
	if _, ok := s.wav[group]; !ok {
		s.order = append(s.order, group)
	}
	s.wav[group] = wav
	for len(s.order) > maxSounds {
		delete(s.wav, s.order[0])
		s.order = s.order[1:]
	}
}

// listenAll listens to the beginning of each sequence once its first file is taken in, and says what a system of origin supplied.
func (k *docking) listenAll() {
	tried := map[evidence.RecordingID]bool{}
	for {
		id, ok := k.nextToHear()
		if !ok {
			if _, more := <-k.more; !more {
				return
			}
			continue
		}
		if k.ctx.Err() != nil {
			return
		}
		r, err := k.newest(id)
		supplied := err == nil && r.Docked != nil && r.Docked.Supplied != nil
		if supplied {
			err = k.supply(r)
			supplied = r.Docked.Supplied.Header != nil
		}
		if err == nil && !supplied && k.Listener != nil && r.Header == 0 && spoken(r) && !tried[r.Group] {
			tried[r.Group] = true
			err = k.listenTo(id, r)
		}
		if err != nil && k.ctx.Err() == nil {
			k.Logger.ErrorContext(k.ctx, "a spoken header can't be listened to; it can be typed", slog.String("rec", id.String()), slog.Any("error", err))
		}
	}
}

// nextToHear returns the next recording of this docking that was not looked at yet.
func (k *docking) nextToHear() (id evidence.RecordingID, ok bool) {
	k.Dock.mu.Lock()
	defer k.Dock.mu.Unlock()
	if ok = k.heard < len(k.recs); ok {
		id = k.recs[k.heard]
		k.heard++
	}
	return id, ok
}

// spoken reports whether a header may be spoken at the beginning of a recording: the first of a sequence, with sound.
func spoken(r spool.Recording) bool {
	d := r.Docked
	return d != nil && d.Footage && d.Index == 0 && d.Kind != string(handoff.KindPhoto)
}

func (k *docking) listenTo(id evidence.RecordingID, r spool.Recording) error {
	if _, err := k.Spool.Kept(heardName(r.Group)); !errors.Is(err, spool.ErrNotFound) {
		return err // it was, at an earlier docking
	}
	f, err := k.open(id)
	if err != nil {
		return err
	}
	defer f.Close()
	h, wav, err := k.Listener.Listen(k.ctx, f, k.Register(k.ctx))
	if err != nil {
		return err
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	k.Dock.mu.Lock()
	k.sounds.put(r.Group, wav)
	k.Dock.mu.Unlock()
	err = k.Spool.Keep(heardName(r.Group), raw)
	k.changedNow()
	return err
}

// Heard returns what was heard at the beginning of a group; nil: it was not listened to.
func (d *Dock) heard(group evidence.RecordingID) (*Heard, error) {
	raw, err := d.Spool.Kept(heardName(group))
	if errors.Is(err, spool.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var h Heard
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("what was heard: %w", err)
	}
	return &h, nil
}

// supply says, once, what the system of origin says of a recording.
func (k *docking) supply(r spool.Recording) error {
	k.sayMu.Lock()
	defer k.sayMu.Unlock()
	s := r.Docked.Supplied
	var entries []spool.Entry
	say := func(b evidence.Body) { entries = append(entries, spool.Entry{Rec: r.ID, Body: b}) }
	if r.Marks == 0 {
		for _, m := range s.Marks {
			say(&evidence.Mark{Moment: m.Moment, Text: m.Text})
		}
	}
	if h := s.Header; h != nil && r.Header == 0 {
		say(&evidence.Header{Activity: h.Activity, Case: h.Case, Cause: h.Cause, Confirmed: h.By, Department: h.Department, Officers: h.Officers,
			Place: h.Place, Time: h.Time, Further: h.Further})
	}
	if s.Note != "" && r.Note == 0 {
		by := ""
		if s.Header != nil {
			by = s.Header.By
		}
		say(&evidence.Note{By: by, Text: s.Note})
	}
	if len(entries) == 0 {
		return nil
	}
	_, err := k.Spool.Append(k.ctx, entries...)
	k.changedNow()
	return err
}
