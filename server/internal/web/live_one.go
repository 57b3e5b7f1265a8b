package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
	"camseal/server/internal/duty"
)

const orderLife = 20 * time.Second // for a recorder to begin what it is told

// one is the page of one recorder.
type one struct {
	wall
	R      tile
	Orders []transport.CommandKind // that make sense now
	Said   string                  // what came of a command, in words
	Done   bool
}

// liveOne shows one recorder large, with what it can be told to do.
func (s *site) liveOne(c *gin.Context) { s.showOne(c, http.StatusOK, "live-one.html", "", false) }

// stopPage asks whether a recording is really to be ended.
func (s *site) stopPage(c *gin.Context) { s.showOne(c, http.StatusOK, "live-stop.html", "", false) }

func (s *site) showOne(c *gin.Context, status int, page, said string, done bool) {
	o, ok := s.one(c)
	if !ok {
		return
	}
	o.Said, o.Done = said, done
	c.Header("Content-Security-Policy", livePolicy)
	s.page(c, status, page, o)
}

// one puts one recorder's page together; if it is none that the reader may watch it has answered.
func (s *site) one(c *gin.Context) (o one, ok bool) {
	w, err := s.wall(c)
	if err != nil {
		s.fail(c, err)
		return o, false
	}
	i := slices.IndexFunc(w.All, func(t tile) bool { return t.Stream == c.Param("device") })
	if i < 0 {
		s.sorry(c, http.StatusNotFound, "live-none")
		return o, false
	}
	t := w.All[i]
	t.No, t.Ready = 1, w.Purpose != ""
	w.Tiles, w.Map, w.Title = []tile{t}, nil, t.Name
	w.Next, w.State = "/live/"+t.Stream, "/live/"+t.Stream+"/state"
	o = one{wall: w, R: t}
	if !t.Guest && t.Online && w.May(auth.Command) {
		o.Orders = ordersFor(t)
	}
	return o, true
}

// liveOneState says what is new of one recorder.
func (s *site) liveOneState(c *gin.Context) {
	if o, ok := s.one(c); ok {
		s.newParts(c, o.wall, "live-counts")
	}
}

func ordersFor(t tile) []transport.CommandKind {
	if t.Making == nil {
		return []transport.CommandKind{transport.CommandStart, transport.CommandLive}
	}
	out := []transport.CommandKind{transport.CommandStop, transport.CommandMark, transport.CommandLive}
	if t.Newest > 0 {
		out = append(out, transport.CommandChunk)
	}
	return out
}

// order has a recorder do something, and shows what came of it.
func (s *site) order(c *gin.Context) {
	form, ok := s.form(c)
	if !ok {
		return
	}
	o, ok := s.one(c)
	if !ok {
		return
	}
	id, err := evidence.ParseDeviceID(o.R.Stream)
	if err != nil { // a guest's camera takes no orders
		s.sorry(c, http.StatusNotFound, "live-none")
		return
	}
	cmd := transport.Command{Kind: transport.CommandKind(form.Get("kind")), By: s.me(c).Name, Until: s.Now().Add(orderLife).UnixMilli(), Text: form.Get("text")}
	wrong := s.fillOrder(&cmd, o.R, form.Get("part"), form.Get("sure"))
	if wrong == "live-stop-sure" {
		s.see(c, "/live/"+o.R.Stream+"/stop")
		return
	}
	if wrong != "" {
		s.showOne(c, http.StatusUnprocessableEntity, "live-one.html", o.T(wrong), false)
		return
	}
	res, err := s.Duty.Order(c.Request.Context(), s.me(c).Actor(), id, cmd)
	said, done := o.resultText(cmd, res, err)
	status := http.StatusOK
	switch {
	case errors.Is(err, duty.ErrOffDuty), errors.Is(err, duty.ErrBusy):
		status = http.StatusConflict
	case err != nil && !errors.Is(err, duty.ErrNoResult):
		s.fail(c, err)
		return
	}
	s.showOne(c, status, "live-one.html", said, done)
}

// fillOrder completes a command from what was typed. If it is not one, it says why by a text's key.
func (s *site) fillOrder(cmd *transport.Command, t tile, part, sure string) (wrong string) {
	needsRec := cmd.Kind == transport.CommandStop || cmd.Kind == transport.CommandMark || cmd.Kind == transport.CommandChunk
	switch cmd.Kind {
	case transport.CommandStart, transport.CommandStop, transport.CommandMark, transport.CommandLive, transport.CommandChunk:
	default:
		return "live-order-unknown"
	}
	if needsRec && t.Making == nil {
		return "live-order-idle"
	}
	if cmd.Kind != transport.CommandMark {
		cmd.Text = ""
	}
	switch cmd.Kind {
	case transport.CommandStop:
		if sure == "" {
			return "live-stop-sure"
		}
	case transport.CommandMark:
		if cmd.Text == "" || len(cmd.Text) > maxMarkText {
			return "mark-refused"
		}
	case transport.CommandChunk:
		n, err := strconv.ParseUint(part, 10, 53)
		if err != nil || n < 1 {
			return "live-part-wrong"
		}
		cmd.Rec, cmd.Index = t.Making, n-1
	}
	return ""
}

// resultText says what came of a command.
func (o one) resultText(cmd transport.Command, res transport.Result, err error) (said string, done bool) {
	what := o.T("live-order-" + string(cmd.Kind))
	switch {
	case errors.Is(err, duty.ErrOffDuty):
		return o.T("live-said-off"), false
	case errors.Is(err, duty.ErrBusy):
		return o.T("live-said-busy"), false
	case err != nil:
		return fmt.Sprintf(o.T("live-said-nothing"), what, int(orderLife.Seconds())), false
	case res.Done && res.Text == "":
		return fmt.Sprintf(o.T("live-said-done"), what), true
	case res.Done:
		return fmt.Sprintf(o.T("live-said-done-with"), what, verify.Display(res.Text)), true
	}
	return fmt.Sprintf(o.T("live-said-refused"), what, verify.Display(res.Text)), false
}
