package uplink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// Status says how the way to the server is.
type Status struct {
	Synced      bool      `json:"synced"`       // the server's head is known
	Sent        uint64    `json:"sent"`         // statements that the server has
	LastReceipt time.Time `json:"last_receipt"` // zero: none since the start
	Link        string    `json:"link"`         // wifi, mobile or dock
	Rate        int64     `json:"rate"`         // bytes a second that chunks may take of it; 0: any
	Narrow      bool      `json:"narrow"`       // it was found to carry little
	Behind      int       `json:"behind"`       // chunks that are held and not confirmed
	Alarms      []Alarm   `json:"alarms"`
}

// Status returns the present state.
func (u *Uplink) Status() Status {
	u.filling(context.Background())
	st := Status{Behind: u.Behind()}
	st.Link, st.Rate, st.Narrow = u.Client.link.how()
	u.mu.Lock()
	defer u.mu.Unlock()
	st.Synced, st.Sent, st.LastReceipt, st.Alarms = u.synced, u.next, u.receipt, u.alarms.list()
	return st
}

// SetLink says what carries the way to the server from now on: LinkWiFi, LinkMobile or LinkDock, which it is from the start.
func (u *Uplink) SetLink(kind string) { u.Client.link.set(kind, u.Rates[kind]) }

// pace lets as much be on its way at once as the link takes.
func (u *Uplink) pace() {
	if u.Client.link.thrifty() {
		u.q.limit(1, narrowAsks)
		return
	}
	u.q.limit(u.Uploads, maxAsks)
}

// about tells the queue of a recording.
func (u *Uplink) about(id evidence.RecordingID) about {
	r, err := u.Spool.Recording(id)
	if err != nil {
		return about{}
	}
	a := about{opened: r.OpenSeq, captured: r.Mode == evidence.ModeCapture}
	a.important = r.Docked != nil && r.Docked.Important || a.captured && r.Marks > 0
	if a.newest = a.important && a.captured; a.newest && !r.Closed { // what has not its beginning at the server frees no room
		tight, _, err := u.tight()
		a.newest = err == nil && !tight
	}
	return a
}

// ErrNotHeld says that a chunk is neither here nor stored by the server.
var ErrNotHeld = errors.New("this chunk is not held here")

// Prefer has a chunk sent ahead of all others, its recording's head before it. One that the server has confirmed needs nothing. If its statement
// was not sent yet, it goes first once it was. Errors: ErrNotHeld.
func (u *Uplink) Prefer(rec evidence.RecordingID, index uint64) error {
	r, err := u.Spool.Recording(rec)
	if errors.Is(err, spool.ErrNotFound) || err == nil && (index >= r.Next || slices.Contains(r.Absent, index)) {
		return fmt.Errorf("chunk %d of recording %s: %w", index, rec, ErrNotHeld)
	}
	if err != nil || index < r.Covered {
		return err
	}
	c, err := u.Spool.Chunk(rec, index)
	if err != nil {
		return err
	}
	u.mu.Lock()
	sent := u.synced && c.Seq < u.next
	u.mu.Unlock()
	u.q.reorder(rec)
	u.q.prefer(piece{rec, index}, sent)
	return nil
}

// Behind returns how many chunks are held and not confirmed.
func (u *Uplink) Behind() (n int) {
	err := u.Spool.Pending(context.Background(), func(r spool.Recording) bool {
		if r.Gone {
			return true
		}
		n += int(r.Next - min(r.Covered, r.Next))
		for _, i := range r.Absent {
			if i >= r.Covered {
				n--
			}
		}
		return true
	})
	if err != nil {
		u.Logger.Error("pending recordings can't be counted", slog.Any("error", err))
	}
	return n
}

const (
	keyFilling = "filling"
	fullAlarm  = 80 // percent of the spool from which a person should know, if Config says nothing else
)

// filling has people know, ahead of its end, that the spool fills with what the server does not take.
func (u *Uplink) filling(ctx context.Context) {
	st, err := u.Spool.Status()
	if err != nil {
		return // whoever writes next says so
	}
	size, percent := st.Held+st.Free, int64(cmp.Or(u.FullAlarm, fullAlarm))
	if size == 0 || st.Held*100 < size*percent {
		u.alarms.clear(ctx, keyFilling)
		return
	}
	u.alarms.raise(ctx, Alarm{Key: keyFilling, What: fmt.Sprintf("more than %d %% of this machine's room for footage holds what the server has not confirmed", percent),
		Kept: "all of it is kept, nothing is written over; when the room is used up, nothing more is taken in until there is some again",
		Do:   "bring back the way to the server, or bring this machine to its dock, before the room is used up"})
}
