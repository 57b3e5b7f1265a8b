package kiosk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/agent/internal/dock"
	"camseal/pkg/evidence"
)

const (
	beat  = 5 * time.Second        // the longest silence of a live connection
	pause = 250 * time.Millisecond // the shortest of the slots; other pages, which cost more, change every second
)

// view says what a page shows that changes: a page's name, and which slot or group.
type view struct{ page, of string }

// region is a part of a page that is kept current: an element's id and, in order, the elements in it by their ids.
type region struct {
	In    string            `json:"in"`
	Order []string          `json:"order"`
	Parts map[string]string `json:"parts"`
}

func (r *region) add(s *site, id, template string, data any) error {
	html, err := s.render(template, data)
	if err != nil {
		return err
	}
	if r.Parts == nil {
		r.Parts = map[string]string{}
	}
	r.Order, r.Parts[id] = append(r.Order, id), string(html)
	return nil
}

// regions renders all that changes on a page.
func (s *site) regions(ctx context.Context, l lang, v view, snap dock.Snapshot) ([]region, error) {
	st := status{snap, l}
	bar, alarms := region{In: "bar", Order: []string{}}, region{In: "alarms", Order: []string{}}
	if err := bar.add(s, "status", "status", st); err != nil {
		return nil, err
	}
	if len(st.Trouble()) > 0 {
		if err := alarms.add(s, "trouble", "trouble", st); err != nil {
			return nil, err
		}
	}
	out := []region{bar, alarms}
	var more []region
	var err error
	switch v.page {
	case "tiles":
		more, err = s.tileRegions(l, snap)
	case "slot":
		more, err = s.slotRegions(ctx, l, v.of, snap)
	case "headers":
		more, err = s.groupRegion(ctx, l, "", snap.At)
	case "group":
		more, err = s.heardRegion(ctx, l, v.of)
	}
	return append(out, more...), err
}

func (s *site) tileRegions(l lang, snap dock.Snapshot) ([]region, error) {
	tiles, people := region{In: "tiles", Order: []string{}}, region{In: "people", Order: []string{}}
	if err := people.add(s, "waiting", "waiting", status{snap, l}); err != nil {
		return nil, err
	}
	for _, t := range snap.Tiles {
		v := tileOf(t, l, snap.At)
		if err := tiles.add(s, v.ID(), "tile", v); err != nil {
			return nil, err
		}
	}
	return []region{people, tiles}, nil
}

// news is one message of a live connection.
type news struct {
	At      string   `json:"at"` // the dock's time
	Regions []region `json:"regions"`
	Gone    bool     `json:"gone"` // what the page is about is not there any more
}

// live sends what changes on a page, for as long as the page is shown, as server-sent events (HTML Standard, section 9.2): first
// everything, then only parts that are other than before.
func (s *site) live(c *gin.Context) {
	ctx, v, l := c.Request.Context(), view{c.Query("page"), c.Query("of")}, s.langOf(c)
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		s.sorry(c, http.StatusServiceUnavailable, "too-many-pages")
		return
	}
	rc := http.NewResponseController(c.Writer)
	if err := rc.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.fail(c, err)
		return
	}
	c.Header("Content-Type", "text/event-stream")
	sent := map[string]string{}
	for {
		if v.page == "group" && s.officer(c, false) == nil {
			v = view{} // what was said is shown only to who is signed in
		}
		snap := s.Station.Snapshot(ctx)
		regions, err := s.regions(ctx, l, v, snap)
		if err == nil {
			err = send(c, rc, news{At: snap.At.Local().Format(time.TimeOnly), Regions: changed(regions, sent)})
		}
		if err == nil {
			err = s.wait(ctx, v, snap.Version)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if errors.Is(err, dock.ErrNoGroup) || errors.Is(err, dock.ErrNoSlot) {
				err = send(c, rc, news{Gone: true})
			}
			if err != nil {
				s.Log.ErrorContext(ctx, "kiosk page is not kept current any more", slog.String("page", v.page), slog.Any("error", err))
			}
			return
		}
	}
}

// wait returns at the next change, but not at once, nor much later than a beat.
func (s *site) wait(ctx context.Context, v view, version uint64) error {
	least := pause
	if v.page != "tiles" {
		least = time.Second
	}
	t := time.NewTimer(least)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
	}
	limited, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	if err := s.Station.Wait(limited, version); err != nil && limited.Err() == nil {
		return err
	}
	return nil
}

// changed leaves out what was sent before, and notes what will be.
func changed(regions []region, sent map[string]string) []region {
	var out []region
	for _, r := range regions {
		order, parts := fmt.Sprint(r.Order), map[string]string{}
		for id, html := range r.Parts {
			if key := r.In + " " + id; sent[key] != html {
				sent[key], parts[id] = html, html
			}
		}
		if key := r.In; sent[key] != order || len(parts) > 0 {
			sent[key] = order
			out = append(out, region{In: r.In, Order: r.Order, Parts: parts})
		}
	}
	return slices.Clip(out)
}

func send(c *gin.Context, rc *http.ResponseController, n news) error {
	raw, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.Writer, "data: %s\n\n", raw); err != nil {
		return err
	}
	return rc.Flush()
}

// heardRegion is what was heard of a group's header.
func (s *site) heardRegion(ctx context.Context, l lang, id string) ([]region, error) {
	rec, err := evidence.ParseRecordingID(id)
	if err != nil {
		return nil, dock.ErrNoGroup
	}
	g, err := s.Station.Group(ctx, rec)
	if err != nil {
		return nil, err
	}
	heard := region{In: "heard", Order: []string{}}
	if g.Heard == nil && g.Header != nil { // typed only, and nothing is listened for any more
		return []region{heard}, nil
	}
	err = heard.add(s, "heard-panel", "heard", groupOf(g, l, s.Now()))
	return []region{heard}, err
}
