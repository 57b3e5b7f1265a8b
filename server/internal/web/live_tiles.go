package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/duty"
)

// tile is one recorder, or a guest's camera, as the wall shows it.
type tile struct {
	No      int // on the page
	Stream  string
	Name    string
	Device  string // short; empty: a guest
	Guest   bool
	Online  bool
	Ready   bool // it was said what for
	NoVideo string
	NoAudio string
	Facts   []fact
	Sealed  string                // address of the sealed part; empty: nothing is stored yet
	Making  *evidence.RecordingID // as it says itself; nil: it does not record
	Newest  int64                 // number of its newest part that is known, from 1; 0: none
	At      *place
}

// Watch reports whether there is a live picture to ask for.
func (t tile) Watch() bool { return t.Online && t.NoVideo == "" }

// fact is one thing about a recorder, in words.
type fact struct {
	Name  string // for scripts
	Label string
	Value string
	Warn  bool
}

// tiles are all recorders on duty and guests that this reader may watch, by name: guests last, and of the others who is off duty.
func (s *site) tiles(ctx context.Context, f Frame) (out []tile, err error) {
	streams := s.streams()
	if s.Duty != nil {
		for _, r := range s.Duty.Recorders() {
			if !r.Online && s.Now().Sub(r.At) > gone {
				continue
			}
			t, ok, err := s.tile(ctx, f, r, streams[r.Device.String()])
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, t)
			}
		}
	}
	if !f.Me.OwnBodyOnly() {
		for _, g := range s.guests.publishing(s.Now()) {
			if st := streams[g.stream()]; st.Publishing {
				out = append(out, guestTile(f, g, st))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b tile) int {
		return cmp.Or(order(a.Guest, b.Guest), -order(a.Online, b.Online), strings.Compare(a.Name, b.Name), strings.Compare(a.Stream, b.Stream))
	})
	return out, nil
}

// order puts what is not ahead of what is.
func order(a, b bool) int {
	if a == b {
		return 0
	}
	if b {
		return -1
	}
	return 1
}

// streams are those published now, by name.
func (s *site) streams() map[string]Stream {
	out := map[string]Stream{}
	if s.Live != nil {
		for _, st := range s.Live.Streams() {
			out[st.Name] = st
		}
	}
	return out
}

// tile shows one recorder, and reports whether the reader may see it.
func (s *site) tile(ctx context.Context, f Frame, r duty.Recorder, st Stream) (t tile, ok bool, err error) {
	rec, err := s.openRecording(ctx, r)
	if err != nil {
		return t, false, err
	}
	if ok, err = s.mayWatch(ctx, f.Me, rec); !ok || err != nil {
		return t, false, err
	}
	id, p := r.Device.String(), r.Report
	t = tile{Stream: id, Device: short(id), Name: verify.Display(p.Station), Online: r.Online, At: positionOf(p.Position), Making: p.Recording}
	if strings.TrimSpace(t.Name) == "" {
		t.Name = short(id)
	}
	t.NoVideo, t.NoAudio = s.unshown(f, r, st)
	add := func(name, value string, warn bool) {
		if value != "" {
			t.Facts = append(t.Facts, fact{name, f.T("live-fact-" + name), value, warn})
		}
	}
	if !r.Online {
		add("off", fmt.Sprintf(f.T("live-off-since"), whenText(r.At.UnixMilli())), true)
	}
	add("recording", s.recordingText(f, r), false)
	if rec != nil {
		t.Newest = rec.Chunks
		if rec.StoredChunks > 0 {
			t.Sealed = "/recordings/" + rec.Rec + "?at=newest"
		}
		add("who", whoText(*rec), false)
	}
	add("watched", watchedText(f, max(r.Watched, st.Viewers)), false)
	if p.Link != "" {
		add("link", f.T("live-link-"+p.Link), false)
	}
	add("behind", behindText(f, p.Behind), p.Behind > muchBehind)
	add("trouble", verify.Display(p.Trouble), true)
	if t.At != nil {
		add("position", t.At.String()+" · "+whenText(p.Position.At), false)
	}
	return t, true, nil
}

// openRecording is the recording that a recorder says it makes, as far as it arrived; nil: none did.
func (s *site) openRecording(ctx context.Context, r duty.Recorder) (*db.Recording, error) {
	if r.Report.Recording == nil {
		return nil, nil
	}
	row, err := s.Catalog.Recording(ctx, r.Device, *r.Report.Recording)
	if errors.Is(err, catalog.ErrUnknown) {
		return nil, nil
	}
	return &row, err
}

// mayWatch reports whether somebody may see a recorder that makes a recording. Who sees only the own body's recordings sees only recorders
// that make such a one.
func (s *site) mayWatch(ctx context.Context, me auth.Account, rec *db.Recording) (bool, error) {
	if !me.OwnBodyOnly() {
		return true, nil
	}
	if rec == nil {
		return false, nil
	}
	return s.mayLook(ctx, me, *rec)
}

// unshown says why there is no picture, or no sound: of what is published by the relay's word, else by the recorder's.
func (s *site) unshown(f Frame, r duty.Recorder, st Stream) (video, audio string) {
	if st.Publishing {
		return f.unrelayed(st)
	}
	p := r.Report
	switch {
	case p.Video == "":
		video = f.T("live-no-camera")
	case p.Video == "h265":
		video = f.T("live-no-h265")
	case p.BFrames && !s.LiveRecodes:
		video = f.T("live-no-bframes")
	}
	switch {
	case p.Audio == "":
		audio = f.T("live-no-audio")
	case p.Audio == "aac" && !s.LiveRecodes:
		audio = f.T("live-no-aac")
	}
	return video, audio
}

// unrelayed says what of a published stream is not relayed.
func (f Frame) unrelayed(st Stream) (video, audio string) {
	if st.Video == "" {
		switch st.Reason {
		case "b-frames":
			video = f.T("live-no-bframes")
		case "recode":
			video = f.T("live-no-recoding")
		default:
			video = f.T("live-no-codec")
		}
	}
	if st.Audio == "" {
		audio = f.T("live-no-audio")
		if st.Reason == "audio" {
			audio = f.T("live-no-aac")
		}
	}
	return video, audio
}

func (s *site) recordingText(f Frame, r duty.Recorder) string {
	if r.Report.Recording == nil {
		return f.T("live-not-recording")
	}
	if r.Report.Since <= 0 {
		return f.T("live-recording")
	}
	took := max(0, s.Now().Sub(time.UnixMilli(r.Report.Since)))
	return fmt.Sprintf(f.T("live-recording-since"), whenText(r.Report.Since), clockText(uint64(took.Milliseconds()), false))
}

// whoText says whose recording it is.
func whoText(r db.Recording) string {
	var officers []evidence.Officer
	if err := json.Unmarshal([]byte(r.Officers), &officers); err != nil {
		officers = nil // the recording's own page says so
	}
	var parts []string
	for _, text := range []string{r.Department, names(officers), r.Cause} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	return verify.Display(strings.Join(parts, " · "))
}

func watchedText(f Frame, n int) string {
	if n == 0 {
		return f.T("live-watched-none")
	}
	return fmt.Sprintf(f.T("live-watched-by"), n)
}

// muchBehind is how many parts without a receipt are more than a growing recording always has: receipts come every ten seconds at most.
const muchBehind = 20

func behindText(f Frame, n int) string {
	if n == 0 {
		return f.T("live-behind-none")
	}
	return fmt.Sprintf(f.T("live-behind-by"), n)
}

// choose takes the recorders that the address names, or those of its page.
func (w *wall) choose(q url.Values) {
	show := q["show"]
	show = show[:min(len(show), tilesPerPage)]
	if w.Chosen = len(show) > 0; w.Chosen {
		for _, t := range w.All {
			if slices.Contains(show, t.Stream) {
				w.Tiles = append(w.Tiles, t)
			}
		}
		link := url.Values{"show": show}.Encode()
		w.State, w.Next = "/live/state?"+link, "/live?"+link
		return
	}
	w.Pages = max(1, (len(w.All)+tilesPerPage-1)/tilesPerPage)
	w.Page, _ = strconv.Atoi(q.Get("page"))
	w.Page = min(max(w.Page, 1), w.Pages)
	first := (w.Page - 1) * tilesPerPage
	w.Tiles = slices.Clone(w.All[first:min(len(w.All), first+tilesPerPage)])
	at := func(n int) string { return "/live?page=" + strconv.Itoa(n) }
	if w.Page > 1 {
		w.Before = at(w.Page - 1)
	}
	if w.Page < w.Pages {
		w.After = at(w.Page + 1)
	}
	w.State, w.Next = fmt.Sprintf("/live/state?page=%d", w.Page), at(w.Page)
}

// Shows reports whether a recorder is among those shown.
func (w wall) Shows(stream string) bool {
	return slices.ContainsFunc(w.Tiles, func(t tile) bool { return t.Stream == stream })
}
