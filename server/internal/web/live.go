package web

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/auth"
	"camseal/server/internal/duty"
)

// Duty knows which recorders are on duty, and has them do things.
type Duty interface {
	// Recorders are all that were on duty since the server began, in a fixed order.
	Recorders() []duty.Recorder
	Recorder(device evidence.DeviceID) (duty.Recorder, bool)
	// Order has a recorder do something, for an actor of custody events, and returns what came of it. Errors: as of duty.Board.
	Order(ctx context.Context, actor string, device evidence.DeviceID, c transport.Command) (transport.Result, error)
}

// Live relays live pictures. A stream is named by its recorder's device id, or guest-….
type Live interface {
	// WHEP and WHIP take an offer and answer with 201 and the address of a session below base, or with an error in words.
	WHEP(w http.ResponseWriter, r *http.Request, stream, base string)
	WHEPSession(w http.ResponseWriter, r *http.Request, stream, session string)
	WHIP(w http.ResponseWriter, r *http.Request, stream, base string)
	WHIPSession(w http.ResponseWriter, r *http.Request, stream, session string)
	// Streams are those that are published now.
	Streams() []Stream
	// Ended returns a channel that is closed when a session of WHEP is over, however it ended. It is closed for one that is not known.
	Ended(stream, session string) <-chan struct{}
}

// Stream is something that is published live, or that somebody waits for.
type Stream struct {
	Name       string
	Publishing bool
	Video      string // codec that is relayed; empty: none
	Audio      string
	Viewers    int
	Reason     string // why it is not shown, or not all of it: b-frames, video, audio, recode
}

// livePolicy is for pages with live pictures, which come by no address.
const livePolicy = "default-src 'none'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; script-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Addresses where tokens serve too.
const (
	atWHEP        = "/live/:device/whep"
	atWHEPSession = atWHEP + "/:session"
	atWHIP        = "/live/whip/:guest"
	atWHIPSession = atWHIP + "/:session"
)

func (s *site) liveRoutes() []Route {
	return []Route{
		{"GET", "/live", auth.WatchLive, s.livePage},
		{"GET", "/live/state", auth.WatchLive, s.liveState},
		{"GET", "/live/purpose", auth.WatchLive, s.livePurposePage},
		{"POST", "/live/purpose", auth.WatchLive, s.chooseLivePurpose},
		{"GET", "/live/guests", auth.LiveGuests, s.guestsPage},
		{"POST", "/live/guests", auth.LiveGuests, s.makeGuest},
		{"POST", "/live/guests/:guest/revoke", auth.LiveGuests, s.revokeGuest},
		{"GET", "/live/:device", auth.WatchLive, s.liveOne},
		{"GET", "/live/:device/state", auth.WatchLive, s.liveOneState},
		{"GET", "/live/:device/stop", auth.Command, s.stopPage},
		{"POST", "/live/:device/order", auth.Command, s.order},
		{"POST", atWHEP, auth.WatchLive, s.whep},
		{"PATCH", atWHEPSession, auth.WatchLive, s.whepSession},
		{"DELETE", atWHEPSession, auth.WatchLive, s.whepSession},
		{"POST", atWHIP, auth.LiveToken, s.whip},
		{"PATCH", atWHIPSession, auth.LiveToken, s.whipSession},
		{"DELETE", atWHIPSession, auth.LiveToken, s.whipSession},
		{"OPTIONS", atWHEP, auth.Anybody, preflight},
		{"OPTIONS", atWHEPSession, auth.Anybody, preflight},
		{"OPTIONS", atWHIP, auth.Anybody, preflight},
		{"OPTIONS", atWHIPSession, auth.Anybody, preflight},
	}
}

const (
	tilesPerPage = 16
	gone         = 10 * time.Minute // after which a recorder that went off duty is not shown any more
	liveLook     = "live"           // in the place of a recording's id, where a session's purposes are kept
)

// wall is what the page of recorders on duty shows.
type wall struct {
	Frame
	Tiles   []tile
	All     []tile // to choose from
	Chosen  bool
	On      int
	Page    int
	Pages   int
	Before  string // addresses of other pages
	After   string
	State   string // where to ask for what is new
	Purpose string // a text's key; empty: none was said yet
	Next    string // this page
	Map     *liveMap
}

func (s *site) livePage(c *gin.Context) {
	w, err := s.wall(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Content-Security-Policy", livePolicy)
	s.page(c, http.StatusOK, "live.html", w)
}

// wall puts together what is asked for: up to 16 recorders, of a page or as chosen.
func (s *site) wall(c *gin.Context) (w wall, err error) {
	ctx := c.Request.Context()
	w.Frame = s.frame(c, "live")
	if w.All, err = s.tiles(ctx, w.Frame); err != nil {
		return w, err
	}
	for _, t := range w.All {
		if t.Online {
			w.On++
		}
	}
	w.choose(c.Request.URL.Query())
	for i := range w.Tiles {
		w.Tiles[i].No = i + 1
	}
	p, err := s.livePurpose(ctx)
	if p != "" {
		w.Purpose = "purpose-" + string(p)
	}
	for i := range w.Tiles {
		w.Tiles[i].Ready = p != ""
	}
	w.Map = mapOf(w.Tiles)
	return w, err
}

// livePurpose is for what this session watches; empty if that was not said.
func (s *site) livePurpose(ctx context.Context) (auth.Purpose, error) {
	return s.purposeSaid(ctx, s.session(ctx), liveLook)
}

// liveState says what is new on the wall: the same parts of the page, for its script to put in their places.
func (s *site) liveState(c *gin.Context) {
	w, err := s.wall(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.newParts(c, w, "live-counts")
}

// livePart is a recorder's part of the page as it is now.
type livePart struct {
	Stream string `json:"stream"`
	HTML   string `json:"html"`
}

// newParts answers with parts of a page, each rendered by its template.
func (s *site) newParts(c *gin.Context, w wall, head string) {
	out := struct {
		Head  string     `json:"head"`
		Tiles []livePart `json:"tiles"`
		Map   string     `json:"map"`
	}{Tiles: []livePart{}}
	var err error
	out.Head, err = s.rendered(head, w)
	for _, t := range w.Tiles {
		p := livePart{Stream: t.Stream}
		if err == nil {
			p.HTML, err = s.rendered("live-tile", framed{w.Frame, t})
		}
		out.Tiles = append(out.Tiles, p)
	}
	if err == nil {
		out.Map, err = s.rendered("live-map", framed{w.Frame, w.Map})
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, out)
}
