package web

import (
	"context"
	"errors"
	"math"
	"net/http"
	"sort"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// Bounds of what a timeline holds.
const (
	readMarks  = 100_000 // marks read
	drawnMarks = 1000    // marks handed out; more are thinned to one for each stretch of time
	drawnGaps  = 1000
	drawnBoots = 100
)

// timeline is what the player draws beside the picture. Moments are milliseconds from the begin of the footage.
type timeline struct {
	Name     string      `json:"name"`
	Device   string      `json:"device"`
	Duration uint64      `json:"duration"` // 0: not known
	Arriving bool        `json:"arriving"` // more of it is to come
	Header   *span       `json:"header"`   // where the case header is spoken; null: nowhere
	Marks    []drawnMark `json:"marks"`    // in order of the moment
	AllMarks int         `json:"all_marks"`
	Gaps     []gap       `json:"gaps"`
	Resets   []int64     `json:"resets"` // of the device's system, and so of its TPM
	Clock    wallClock   `json:"clock"`
	Sequence []neighbour `json:"sequence"`
	Strip    bool        `json:"strip"` // there is one at /recordings/ID/strip
	Wave     bool        `json:"wave"`
}

type span struct {
	From  uint64 `json:"from"`
	Until uint64 `json:"until"`
}

// drawnMark is a mark, or the first of several that lie too close together to be drawn.
type drawnMark struct {
	At   uint64 `json:"at"`
	Text string `json:"text"`
	By   string `json:"by"`   // a person; empty: the recorder
	More int    `json:"more"` // marks that this one stands for, beside itself
}

// gap is a stretch that was not taken in, in shares of the whole file's bytes: about the same share of its time.
type gap struct {
	From  float64 `json:"from"`
	Until float64 `json:"until"`
	Why   string  `json:"why"` // a text
}

// wallClock says when the footage claims to have been made, and what of that is proven. Times are milliseconds since 1970 UTC.
type wallClock struct {
	Begin *int64   `json:"begin"` // by the recorder's clock; null: it does not say
	End   *int64   `json:"end"`   // the file's own time, where only that is known
	Zone  int      `json:"zone"`  // of this server, seconds east of UTC
	Says  []string `json:"says"`  // the proven bracket, in words
}

type neighbour struct {
	Rec    string `json:"rec"`
	Name   string `json:"name"`
	Before bool   `json:"before"`
}

// timeline answers with what the player draws.
func (s *site) timeline(c *gin.Context) {
	v, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	f := s.frame(c, "recording")
	t, err := s.timelineOf(c.Request.Context(), f, v)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, t)
}

func (s *site) timelineOf(ctx context.Context, f Frame, v row) (*timeline, error) {
	key, err := keyOf(v.Recording)
	if err != nil {
		return nil, err
	}
	view, err := s.Log.Recordings.View(ctx, key)
	if err != nil {
		return nil, err
	}
	t := &timeline{Name: v.Label(f), Device: v.Device, Arriving: v.State == "open" || v.State == "seen" || v.State == "partly",
		Gaps: gapsOf(f, &view), Resets: []int64{}, Sequence: []neighbour{}}
	made, err := s.Catalog.Media(ctx, v.Device, v.Rec)
	if err != nil && !errors.Is(err, catalog.ErrUnknown) {
		return nil, err
	}
	t.Strip, t.Wave, t.Duration = made.Strip == 1, made.Wave == 1, uint64(made.Duration)
	if view.Close != nil && view.Close.Duration > 0 {
		t.Duration = view.Close.Duration
	} else if view.Open.Mode == evidence.ModeCapture {
		t.Duration = catalog.FootageUntil(&view, v.StoredChunks)
	}
	var errs [5]error
	t.Marks, t.AllMarks, errs[0] = s.drawnMarks(ctx, v.Recording, t.Duration)
	t.Header, errs[1] = s.spokenSpan(ctx, v.Recording)
	t.Clock, errs[2] = s.clockOf(ctx, f, key.Rec, v.Recording, &view)
	t.Sequence, errs[3] = s.neighbours(ctx, v.Recording)
	if view.Open.Mode == evidence.ModeCapture {
		t.Resets, errs[4] = s.resets(ctx, v.Recording, catalog.FootageBegan(&view))
	}
	return t, errors.Join(errs[:]...)
}

func keyOf(r db.Recording) (k catalog.RecordingKey, err error) {
	k.Device, k.Rec, err = idsOf(r)
	return k, err
}

// gapsOf are the stretches that the medium did not give, and the chunks that the device lost.
func gapsOf(f Frame, r *verify.Recording) []gap {
	out := []gap{}
	if r.Size == 0 {
		return out
	}
	add := func(from, until uint64, why string) {
		if len(out) < drawnGaps {
			out = append(out, gap{From: float64(from) / float64(r.Size), Until: float64(until) / float64(r.Size), Why: f.T(why)})
		}
	}
	for _, u := range r.Unread {
		add(u.From, min(u.Until, r.Size), "player-unread")
	}
	for i := range r.Lost {
		if i < uint64(len(r.Chunks)) {
			add(r.Chunks[i].Offset, r.Chunks[i].Offset+r.Chunks[i].Size, "player-lost")
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].From < out[j].From })
	return out
}

// drawnMarks returns a recording's marks in order of the moment, thinned to what can be drawn, and how many there are.
func (s *site) drawnMarks(ctx context.Context, r db.Recording, duration uint64) ([]drawnMark, int, error) {
	said, err := s.Catalog.Marks(ctx, r, readMarks)
	if err != nil {
		return nil, 0, err
	}
	key, err := keyOf(r)
	if err != nil {
		return nil, 0, err
	}
	people, err := s.Catalog.ViewerMarks(ctx, key.Device, key.Rec, readMarks)
	if err != nil {
		return nil, 0, err
	}
	marks := make([]drawnMark, 0, len(said)+len(people))
	for _, m := range said {
		marks = append(marks, drawnMark{At: m.Body.Moment, Text: verify.Display(m.Body.Text)})
	}
	for _, m := range people {
		marks = append(marks, drawnMark{At: uint64(m.Moment), Text: verify.Display(m.Text), By: m.Actor})
	}
	return thinned(marks, duration), len(marks), nil
}

// thinned sorts marks, and keeps one for each of drawnMarks stretches of the footage if there are more than that.
func thinned(marks []drawnMark, duration uint64) []drawnMark {
	sort.SliceStable(marks, func(i, j int) bool { return marks[i].At < marks[j].At })
	if len(marks) <= drawnMarks {
		return marks
	}
	width := max(duration, marks[len(marks)-1].At)/drawnMarks + 1
	out, last := []drawnMark{}, uint64(math.MaxUint64)
	for _, m := range marks {
		if m.At/width == last {
			out[len(out)-1].More++
			continue
		}
		out, last = append(out, m), m.At/width
	}
	return out
}

// spokenSpan is where the newest spoken header stands.
func (s *site) spokenSpan(ctx context.Context, r db.Recording) (*span, error) {
	headers, err := s.Catalog.Headers(ctx, r, shownHeaders)
	if err != nil {
		return nil, err
	}
	for i := len(headers) - 1; i >= 0; i-- {
		if p := headers[i].Body.Spoken; p != nil {
			return &span{p.From, p.Until}, nil
		}
	}
	return nil, nil
}

// clockOf says what the footage's time is claimed to be. What was captured by the device began when the device said so; of an imported
// file only the file's own time is known, which recorders set when they end it.
func (s *site) clockOf(ctx context.Context, f Frame, rec evidence.RecordingID, r db.Recording, view *verify.Recording) (c wallClock, err error) {
	found, err := s.Exporter.Bracket(ctx, rec)
	if err != nil {
		return c, err
	}
	c.Says = found.Text(verify.Lang(f.Lang))
	at := r.OpenedAt
	if view.Open.Mode == evidence.ModeCapture {
		at = catalog.FootageBegan(view)
		c.Begin = &at
	} else if r.Modified > 0 {
		at = r.Modified
		c.End = &at
	}
	_, c.Zone = time.UnixMilli(at).Local().Zone()
	return c, nil
}

func (s *site) neighbours(ctx context.Context, r db.Recording) ([]neighbour, error) {
	n, err := s.Catalog.Neighbours(ctx, r)
	out := []neighbour{}
	if n.Before != nil {
		out = append(out, neighbour{n.Before.Rec, n.Before.Name, true})
	}
	if n.After != nil {
		out = append(out, neighbour{n.After.Rec, n.After.Name, false})
	}
	return out, err
}

// resets are the moments at which the device's system started anew.
func (s *site) resets(ctx context.Context, r db.Recording, began int64) ([]int64, error) {
	boots, err := s.Catalog.BootsDuring(ctx, r, drawnBoots)
	out := []int64{}
	for _, b := range boots {
		out = append(out, max(0, b.At-began))
	}
	return out, err
}
