package dock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// maxGroups is how many groups are listed at most.
const maxGroups = 500

// Groups returns the groups whose recordings are docked in a slot now; for no slot, those that wait for a case header, of recorders that
// are gone too, the oldest first.
func (d *Dock) Groups(_ context.Context, slot string) ([]Group, error) {
	var ids []evidence.RecordingID
	have := map[evidence.RecordingID]bool{}
	add := func(id evidence.RecordingID) {
		if !id.IsZero() && !have[id] && len(ids) < maxGroups {
			have[id] = true
			ids = append(ids, id)
		}
	}
	if slot == "" {
		err := d.Spool.Waiting(func(r spool.Recording) bool {
			add(r.Group)
			return len(ids) < maxGroups
		})
		if err != nil {
			return nil, err
		}
	} else {
		for _, id := range d.inSlot(slot) {
			add(id)
		}
	}
	out := make([]Group, 0, len(ids))
	for _, id := range ids {
		g, err := d.group(id)
		if errors.Is(err, ErrNoGroup) {
			continue // its recordings joined another
		}
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// inSlot returns the groups of the dockings in a slot.
func (d *Dock) inSlot(slot string) (groups []evidence.RecordingID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.dockings {
		if k.is.Slot == slot {
			groups = append(groups, k.order...)
		}
	}
	return groups
}

// Group returns one group. Errors: ErrNoGroup.
func (d *Dock) Group(_ context.Context, id evidence.RecordingID) (Group, error) { return d.group(id) }

// members are the recordings of a group, in order.
func (d *Dock) members(id evidence.RecordingID) (recs []spool.Recording, err error) {
	if err := d.Spool.InGroup(id, func(r spool.Recording) bool {
		recs = append(recs, r)
		return true
	}); err != nil {
		return nil, err
	}
	if len(recs) == 0 {
		return nil, ErrNoGroup
	}
	slices.SortStableFunc(recs, func(a, b spool.Recording) int {
		if a.Docked.Begun != b.Docked.Begun {
			return int(max(-1, min(1, a.Docked.Begun-b.Docked.Begun)))
		}
		return int(int64(a.Docked.Index) - int64(b.Docked.Index))
	})
	return recs, nil
}

func (d *Dock) group(id evidence.RecordingID) (g Group, err error) {
	recs, err := d.members(id)
	if err != nil {
		return g, err
	}
	first := recs[0]
	g = Group{ID: id, Slot: first.Docked.Slot, Recorder: first.Source.Serial}
	begun, err := d.at(first.OpenSeq)
	if err != nil {
		return g, err
	}
	g.Due = begun.Add(d.HeaderDeadline)
	waits, newest, note := false, uint64(0), uint64(0)
	sealed := d.Spool.Sealed()
	for _, r := range recs {
		g.Items = append(g.Items, item(r, sealed))
		waits = waits || r.First == 0
		newest, note = max(newest, r.Header), max(note, r.Note)
		if r.First != 0 {
			said, err := d.at(r.First)
			if err != nil {
				return g, err
			}
			g.Late = g.Late || said.After(g.Due)
		}
	}
	g.Late = g.Late || waits && d.Now().After(g.Due)
	if g.Heard, err = d.heard(id); err != nil {
		return g, err
	}
	if g.Header, err = said[*evidence.Header](d, newest); err != nil {
		return g, err
	}
	if waits {
		g.Header = nil // a file that joined later makes the group wait again
		if newest != 0 {
			g.Earlier, err = said[*evidence.Header](d, newest)
		}
	}
	if err == nil {
		g.Note, err = said[*evidence.Note](d, note)
	}
	g.Flags = d.flags(g)
	return g, err
}

func item(r spool.Recording, sealed uint64) Item {
	i := Item{Rec: r.ID, Name: string(r.Source.Name), Kind: handoff.Kind(r.Docked.Kind), Size: max(r.Source.Size, r.Offset), Read: r.Offset, State: "reading",
		Important: r.Docked.Important, Begun: r.Docked.Begun, Marks: int(r.Marks)}
	switch {
	case r.Closed && !r.Sound():
		i.State, i.Why = "faulty", r.Why
	case r.Released:
		i.State = "released"
	case r.Done:
		i.State = "stored"
	case r.Closed && r.CloseSeq < sealed:
		i.State = "sealed"
	}
	return i
}

// at is when a statement was made, by this device's clock.
func (d *Dock) at(seq uint64) (time.Time, error) {
	line, err := d.Spool.Statement(seq)
	if err != nil {
		return time.Time{}, err
	}
	s, _, err := evidence.ParseUnverified(line)
	return time.UnixMilli(s.At), err
}

// said reads the body of an own statement; nothing for seq 0.
func said[B evidence.Body](d *Dock, seq uint64) (b B, err error) {
	if seq == 0 {
		return b, nil
	}
	line, err := d.Spool.Statement(seq)
	if err != nil {
		return b, err
	}
	s, _, err := evidence.ParseUnverified(line)
	if err != nil {
		return b, err
	}
	b, ok := s.Body.(B)
	if !ok {
		return b, fmt.Errorf("statement %d is a %s", seq, s.Kind)
	}
	return b, nil
}

// flags are what a custodian will want to know of a confirmed header.
func (d *Dock) flags(g Group) (flags []string) {
	if g.Late {
		flags = append(flags, FlagLate)
	}
	if g.Header == nil {
		return flags
	}
	if g.Header.Spoken == nil {
		flags = append(flags, FlagNoVoice)
	}
	reg := d.Register(context.Background())
	if reg == nil {
		return flags
	}
	valid := map[string]bool{}
	for _, o := range reg.Officers {
		valid[o.Certificate] = o.Valid(d.Now())
	}
	for _, o := range g.Header.Officers {
		switch ok, known := valid[o.Certificate]; {
		case !known && !slices.Contains(flags, FlagUnknown):
			flags = append(flags, FlagUnknown)
		case known && !ok && !slices.Contains(flags, FlagInvalid):
			flags = append(flags, FlagInvalid)
		}
	}
	return flags
}

// Confirm says a case header, or a correction of it, for each recording of a group. Spoken says whether it was spoken; what was heard goes with it
// then, and not what the caller says was heard. Errors: ErrNoGroup, ErrIncomplete.
func (d *Dock) Confirm(ctx context.Context, id evidence.RecordingID, h evidence.Header, by Officer) error {
	if blank(h.Department, h.Cause, h.Time, h.Place) || len(h.Officers) == 0 {
		return ErrIncomplete
	}
	for _, o := range h.Officers {
		if blank(o.Name) {
			return ErrIncomplete
		}
	}
	d.sayMu.Lock()
	defer d.sayMu.Unlock()
	heard, err := d.heard(id)
	if err != nil {
		return err
	}
	voice := h.Spoken != nil && heard != nil && heard.Until > heard.From
	h.Confirmed, h.Spoken = who(by), nil
	if voice {
		h.Spoken = &evidence.SpokenHeader{Confidence: heard.Confidence, Engine: heard.Engine, From: heard.From, Transcript: heard.Transcript, Until: heard.Until}
	}
	first := true
	return d.sayEach(ctx, id, func(r spool.Recording) evidence.Body {
		one := h
		one.Corrects = r.Header
		if one.Spoken != nil && !first { // the span lies in the first recording of the group
			elsewhere := *one.Spoken
			elsewhere.From, elsewhere.Until = 0, 0
			one.Spoken = &elsewhere
		}
		first = false
		return &one
	})
}

// Note says the text note, or a correction of it, for each recording of a group. Errors: ErrNoGroup, ErrIncomplete.
func (d *Dock) Note(ctx context.Context, id evidence.RecordingID, text string, by Officer) error {
	if blank(text) {
		return ErrIncomplete
	}
	d.sayMu.Lock()
	defer d.sayMu.Unlock()
	return d.sayEach(ctx, id, func(r spool.Recording) evidence.Body {
		return &evidence.Note{By: who(by), Corrects: r.Note, Text: text}
	})
}

// sayEach says something for each recording of a group, all or none.
func (d *Dock) sayEach(ctx context.Context, id evidence.RecordingID, body func(spool.Recording) evidence.Body) error {
	recs, err := d.members(id)
	if err != nil {
		return err
	}
	var entries []spool.Entry
	for _, r := range recs {
		entries = append(entries, spool.Entry{Rec: r.ID, Body: body(r)})
	}
	_, err = d.Spool.Append(ctx, entries...)
	d.changedNow()
	return err
}

// Mark says that a moment of a recording matters; moment is in milliseconds from its begin. Errors: ErrNoGroup.
func (d *Dock) Mark(ctx context.Context, rec evidence.RecordingID, moment uint64, text string, by Officer) error {
	r, err := d.newest(rec)
	if errors.Is(err, spool.ErrNotFound) || err == nil && r.Group.IsZero() {
		return ErrNoGroup
	}
	if err != nil {
		return err
	}
	_, err = d.Spool.Append(ctx, spool.Entry{Rec: r.ID, Body: &evidence.Mark{Moment: moment, Text: strings.TrimSpace(text + " — " + who(by))}})
	d.changedNow()
	return err
}

// Unrecorded says that an act was not recorded, and why. Errors: ErrIncomplete.
func (d *Dock) Unrecorded(ctx context.Context, activity, reason string, by Officer) error {
	if blank(activity, reason) {
		return ErrIncomplete
	}
	var id evidence.RecordingID
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	_, err := d.Spool.Append(ctx, spool.Entry{Rec: id, Body: &evidence.Unrecorded{Activity: activity, By: who(by), Reason: reason}})
	d.changedNow()
	return err
}

// Split makes the recordings of a group from one on a group of their own. Errors: ErrNoGroup.
func (d *Dock) Split(_ context.Context, id, before evidence.RecordingID, _ Officer) error {
	d.sayMu.Lock()
	defer d.sayMu.Unlock()
	recs, err := d.members(id)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(recs, func(r spool.Recording) bool { return r.ID == before })
	if at < 1 {
		return ErrNoGroup
	}
	var rest []evidence.RecordingID
	for _, r := range recs[at:] {
		rest = append(rest, r.ID)
	}
	return d.regroup(id, before, rest) // a recording's id names no other group
}

// Join makes two groups of one recorder one. Errors: ErrNoGroup.
func (d *Dock) Join(_ context.Context, id, with evidence.RecordingID, _ Officer) error {
	d.sayMu.Lock()
	defer d.sayMu.Unlock()
	a, err1 := d.members(id)
	b, err2 := d.members(with)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if id == with || a[0].Source.Serial != b[0].Source.Serial {
		return ErrNoGroup
	}
	var ids []evidence.RecordingID
	for _, r := range b {
		ids = append(ids, r.ID)
	}
	return d.regroup(with, id, ids)
}

// regroup moves recordings from one group to another, and lets the slots that show the first show the second too.
func (d *Dock) regroup(from, to evidence.RecordingID, recs []evidence.RecordingID) error {
	if err := d.Spool.Regroup(to, recs...); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.dockings {
		if k.groups[from] && !k.groups[to] {
			k.groups[to] = true
			k.order = append(k.order, to)
		}
	}
	d.change()
	return nil
}

// Sound returns the spoken span of a group as WAV. Errors: ErrNoGroup when it is not held (any more).
func (d *Dock) Sound(_ context.Context, id evidence.RecordingID) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if wav, ok := d.sounds.wav[id]; ok {
		return wav, nil
	}
	return nil, ErrNoGroup
}

func blank(texts ...string) bool {
	return slices.ContainsFunc(texts, func(s string) bool { return strings.TrimSpace(s) == "" })
}

// who names an officer in a statement.
func who(o Officer) string { return strings.TrimSpace(o.Name + " " + o.Certificate) }
