package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/duty"
)

const (
	silentAfter    = 30 * time.Second // without a statement: a recorder says something at least every ten
	shownContinued = 10
)

// Growths of a recording that its recorder has not ended.
const (
	growing = "recording" // now: its recorder is on duty and says so
	late    = "late"      // its recorder is on duty and says so, and its statements don't get through
	silent  = "silent"    // nothing was heard for a while
	between = "between"   // its recorder is not on duty, and it is too early to say more
)

func (s *site) growingRoutes() []Route {
	return []Route{{"GET", ofRecording + "/growth", auth.SeeRecordings, s.growth}}
}

// onDuty returns what the recorder of a device says of itself, and whether it is on duty.
func (s *site) onDuty(device string) (duty.Recorder, bool) {
	id, err := evidence.ParseDeviceID(device)
	if err != nil || s.Duty == nil {
		return duty.Recorder{}, false
	}
	r, ok := s.Duty.Recorder(id)
	return r, ok && r.Online
}

// grow says in a row whether its recording grows. The server's own time of the newest statements counts, not the recorder's clock.
func (s *site) grow(ctx context.Context, v *row) {
	if !catalog.Grows(v.Recording) {
		return
	}
	if v.Heard = s.logged(ctx, v.LastIndex); v.Heard == 0 {
		v.Heard = v.LastAt
	}
	r, on := s.onDuty(v.Device)
	quiet := s.Now().Sub(time.UnixMilli(v.Heard)) >= silentAfter
	switch {
	case on && !quiet:
		v.Growth = growing
	case on && r.Report.Recording != nil && r.Report.Recording.String() == v.Rec:
		v.Growth = late
	case quiet:
		v.Growth, v.Person = silent, true
	default:
		v.Growth = between
	}
}

// GrowthMark stands ahead of the growth's word.
func (r row) GrowthMark() string {
	switch r.Growth {
	case growing, late:
		return "●"
	case silent:
		return "?"
	case between:
		return "…"
	}
	return "○"
}

// homeSilent lists recordings whose recorders were not heard of for a while. Those that have faults too are in the list already.
func (s *site) homeSilent(ctx context.Context, p *homePage, me auth.Account, l *homeList, n int) error {
	list, err := s.Catalog.Growing(ctx, n)
	if err != nil {
		return err
	}
	for _, r := range list {
		v := rowOf(r.Recording, r.Class)
		s.grow(ctx, &v)
		if v.Growth != silent || v.Faults > 0 {
			continue
		}
		if ok, err := s.mayLook(ctx, me, r.Recording); err != nil {
			return err
		} else if ok {
			l.add(homeItem{Path: "/recordings/" + r.Rec, Text: v.Label(p.Frame), Why: p.T("growing-silent"), At: v.Heard})
		}
	}
	return nil
}

// Says is what there is to say about a recording that its recorder has not ended; empty if nothing is.
func (r row) Says(f Frame) string {
	switch r.Growth {
	case late, silent:
		return fmt.Sprintf(f.T("growing-"+r.Growth+"-says"), whenText(r.Heard))
	case "":
		return ""
	}
	return f.T("growing-" + r.Growth + "-says")
}

// howFar says how much of a captured recording is seen and how much is stored.
func (s *site) howFar(ctx context.Context, f Frame, v row) (words string, stored uint64, err error) {
	if v.Mode != string(evidence.ModeCapture) {
		return "", 0, nil
	}
	key, err := keyOf(v.Recording)
	if err != nil {
		return "", 0, err
	}
	view, err := s.Log.Recordings.View(ctx, key)
	if err != nil {
		return "", 0, err
	}
	stored = catalog.FootageUntil(&view, v.StoredChunks)
	return fmt.Sprintf(f.T("growing-far"), clockText(uint64(max(0, v.SeenMs)), false), clockText(stored, false)), stored, nil
}

// growth answers with how far a recording has grown. Looking at these figures is not looking at the recording, and keeps no session alive.
func (s *site) growth(c *gin.Context) {
	v, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	ctx, f := c.Request.Context(), s.frame(c, "recording")
	s.grow(ctx, &v)
	far, stored, err := s.howFar(ctx, f, v)
	if err != nil {
		s.fail(c, err)
		return
	}
	badge, says := f.T("growing-over"), f.T("growing-ended")
	if v.Growth != "" {
		badge, says = f.T("growing-"+v.Growth), v.Says(f)
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{"state": v.Growth, "grows": v.Growth != "", "seen": v.SeenMs, "stored": stored, "parts": v.StoredChunks,
		"words": gin.H{"mark": v.GrowthMark(), "badge": badge, "far": far, "says": says}})
}

// continued is what a recording goes on from, and what goes on from it.
type continued struct {
	From *db.Recording
	By   []db.Recording
}

func (s *site) continued(ctx context.Context, r db.Recording) (out continued, err error) {
	out.From, out.By, err = s.Catalog.Continued(ctx, r, shownContinued)
	return out, err
}
