package dock

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// Snapshot is the dock as it is now.
func (d *Dock) Snapshot(ctx context.Context) Snapshot {
	s := Snapshot{Station: d.Station, At: d.Now(), Alarms: []string{}, Tiles: []Tile{}}
	if d.Health != nil {
		h := d.Health(ctx)
		s.Online, s.TPM, s.Class = h.Online, h.TPM, h.Class
		s.Alarms = append(s.Alarms, h.Alarms...)
	}
	if st, err := d.Spool.Status(); err == nil {
		s.Held, s.Free = uint64(st.Held), uint64(st.Free)
	} else {
		s.Alarms = append(s.Alarms, "the spool can't be looked at: "+err.Error())
	}
	waiting, err := d.waiting()
	if err != nil {
		s.Alarms = append(s.Alarms, "which headers are missing can't be looked up: "+err.Error())
	}
	s.Headers = len(waiting)
	for _, w := range waiting {
		if s.At.After(w) {
			s.Late++
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Version = d.version
	for socket, what := range d.bridges {
		if what != "" {
			s.Bridge = strings.TrimSpace(s.Bridge + " " + socket + ": " + what)
		}
	}
	bySlot := map[string][]*docking{}
	for _, k := range d.dockings {
		bySlot[k.is.Slot] = append(bySlot[k.is.Slot], k)
	}
	for _, slot := range d.slots(bySlot) {
		s.Tiles = append(s.Tiles, d.tile(slot, bySlot[slot], waiting, s.At))
	}
	return s
}

// maxWaiting is how many recordings without a case header are counted; with more, the numbers mean "at least".
const maxWaiting = 10_000

// waiting returns, for each group that waits for a case header, when that is due.
func (d *Dock) waiting() (map[evidence.RecordingID]time.Time, error) {
	first, n := map[evidence.RecordingID]uint64{}, 0
	err := d.Spool.Waiting(func(r spool.Recording) bool {
		if _, ok := first[r.Group]; !ok {
			first[r.Group] = r.OpenSeq
		}
		n++
		return n < maxWaiting
	})
	out := make(map[evidence.RecordingID]time.Time, len(first))
	for g, seq := range first {
		begun, errAt := d.at(seq)
		if errAt != nil {
			return out, errAt
		}
		out[g] = begun.Add(d.HeaderDeadline)
	}
	return out, err
}

// slots are the station's, and then others in use.
func (d *Dock) slots(used map[string][]*docking) []string {
	out := slices.Clone(d.Slots)
	var more []string
	for slot := range used {
		if !slices.Contains(out, slot) {
			more = append(more, slot)
		}
	}
	slices.SortFunc(more, func(a, b string) int {
		x, err1 := strconv.Atoi(a)
		y, err2 := strconv.Atoi(b)
		if err1 == nil && err2 == nil {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(a, b)
	})
	return append(out, more...)
}

// tile sums up the volumes in a slot; d.mu is held.
func (d *Dock) tile(slot string, all []*docking, waiting map[evidence.RecordingID]time.Time, now time.Time) Tile {
	t := Tile{Slot: slot, State: TileEmpty, First: d.first[slot] != 0, Listed: true}
	slices.SortFunc(all, func(a, b *docking) int { return cmp.Compare(a.is.ID, b.is.ID) })
	groups := map[evidence.RecordingID]bool{}
	var oldest int64
	for _, k := range all {
		k.addTo(&t)
		for g := range k.groups {
			groups[g] = true
		}
		if k.oldest > 0 && (oldest == 0 || k.oldest < oldest) {
			oldest = k.oldest
		}
		if len(all) > 0 {
			t.State = worse(t.State, k.tileState())
		}
	}
	for g := range groups {
		if _, ok := waiting[g]; ok {
			t.Headers++
		}
	}
	if t.Headers > 0 && t.State != TileReading && t.State != TileFault {
		t.State = TileHeader
	}
	if made := localTime(oldest); d.ExportDeadline > 0 && t.Done < t.Files && !made.IsZero() && made.Before(now.Add(24*time.Hour)) {
		t.Export = made.Add(d.ExportDeadline)
		t.Overdue = now.After(t.Export)
	}
	return t
}

// localTime reads a recorder's clock, which shows local time; zero if it can't be right.
func localTime(ms int64) time.Time {
	t := time.UnixMilli(ms).UTC()
	if t.Year() < 2005 {
		return time.Time{}
	}
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local)
}

// addTo adds a volume to its slot's tile; d.mu is held.
func (k *docking) addTo(t *Tile) {
	g := k.is
	t.Recorder = cmp.Or(t.Recorder, g.Serial)
	t.Model = cmp.Or(t.Model, g.Model)
	t.Officer = cmp.Or(t.Officer, g.OfficerName, g.Officer)
	if t.Battery == nil {
		t.Battery = g.Battery
	}
	t.Space += g.Free
	t.Size += g.Size
	t.Files += k.files
	t.Done += k.done
	t.Bytes += k.bytes
	t.Read += k.read
	var reading uint64
	for _, n := range k.part {
		reading += n
	}
	t.Read += reading
	t.Listed = t.Listed && (k.listed || g.State == handoff.StateFault)
	t.Stored += k.known
	for _, p := range k.state {
		if p.stored {
			t.Stored++
		}
		if p.released {
			t.Released++
		}
	}
	t.Kept += k.kept
	t.Fault = cmp.Or(t.Fault, g.Fault, k.fault)
	if took := k.Now().Sub(k.since); k.listed && !k.ready && k.fresh > 0 && took > 0 && k.bytes > k.read+reading {
		t.Left = max(t.Left, time.Duration(float64(took)*float64(k.bytes-k.read-reading)/float64(k.fresh)))
	}
}

// tileState is what is true of one volume, headers aside; d.mu is held.
func (k *docking) tileState() TileState {
	if k.is.State == handoff.StateFault || k.fault != "" {
		return TileFault
	}
	if !k.sealed {
		return TileReading
	}
	stored, released := true, len(k.state) > 0
	for _, p := range k.state {
		stored, released = stored && p.stored, released && p.released
	}
	switch {
	case released && k.known == 0 && k.kept == 0:
		return TileReleased
	case stored:
		return TileStored
	}
	return TileCopied
}

// worse returns the state that needs more care.
func worse(a, b TileState) TileState {
	order := []TileState{TileEmpty, TileReleased, TileStored, TileCopied, TileHeader, TileReading, TileFault}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}
