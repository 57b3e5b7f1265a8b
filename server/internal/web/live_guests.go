package web

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

// Custody events of live tokens.
const (
	actGuestMade    = "live-token-made"
	actGuestRevoked = "live-token-revoked"

	detailKind = "kind"
)

// guestsData is what the page of live tokens shows.
type guestsData struct {
	Frame
	Guests   []guest
	Kinds    []string // that this person may give out
	Tiles    []tile   // that a player may watch
	Purposes []auth.Purpose
	G        guest // as typed
	Hours    int
	What     string // was not right
	Token    string // to hand over; shown once
	Address  string
}

func (s *site) guestsPage(c *gin.Context) { s.showGuests(c, http.StatusOK, guestsData{Hours: 1}) }

func (s *site) showGuests(c *gin.Context, status int, data guestsData) {
	var err error
	data.Frame = s.frame(c, "live-tokens")
	data.Guests, data.Kinds, data.Purposes = s.guests.all(s.Now()), guestKinds, auth.LivePurposes
	if data.May(auth.WatchLive) {
		data.Tiles, err = s.tiles(c.Request.Context(), data.Frame)
	} else {
		data.Kinds = []string{guestPublisher} // what one may not watch one lets nobody watch
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.page(c, status, "live-tokens.html", data)
}

func (s *site) makeGuest(c *gin.Context) {
	form, ok := s.form(c)
	if !ok {
		return
	}
	now := s.Now()
	hours, err := strconv.Atoi(form.Get("hours"))
	g := guest{Kind: pick(form.Get("kind"), guestKinds), Name: form.Get("name"), By: s.me(c).Actor(), Account: s.me(c).ID, Until: now.Add(time.Duration(hours) * time.Hour)}
	data := guestsData{G: g, Hours: hours}
	switch {
	case err != nil || hours < 1 || hours > maxGuestHours:
		data.What, data.Hours = "live-token-hours-wrong", 1
	case g.Kind == "" || g.Kind == guestPlayer && !s.me(c).May(auth.WatchLive):
		data.What = "live-token-kind-wrong"
	case g.Name == "" || len(g.Name) > maxGuestName:
		data.What = "live-token-name-wrong"
	case s.guests.full(now):
		data.What = "live-token-many"
	}
	if data.What == "" && g.Kind == guestPlayer {
		if data.What, err = s.aim(c, &g, form.Get("stream"), auth.Purpose(form.Get("purpose"))); err != nil {
			s.fail(c, err)
			return
		}
		data.G = g
	}
	if data.What != "" {
		s.showGuests(c, http.StatusUnprocessableEntity, data)
		return
	}
	token, err := s.letIn(c, &g)
	switch {
	case errors.Is(err, errManyGuests):
		s.showGuests(c, http.StatusUnprocessableEntity, guestsData{G: g, Hours: hours, What: "live-token-many"})
	case err != nil:
		s.fail(c, err)
	default:
		s.showGuests(c, http.StatusOK, guestsData{Hours: 1, Token: token, Address: s.Origin + g.Address()})
	}
}

// aim says what a player watches, and what for. If it may not, it says why.
func (s *site) aim(c *gin.Context, g *guest, stream string, purpose auth.Purpose) (what string, err error) {
	list, err := s.tiles(c.Request.Context(), s.frame(c, "live"))
	i := slices.IndexFunc(list, func(t tile) bool { return t.Stream == stream })
	switch {
	case err != nil:
		return "", err
	case i < 0:
		return "live-token-stream-wrong", nil
	case !slices.Contains(auth.LivePurposes, purpose):
		return "choose-purpose", nil
	}
	g.Stream, g.Of, g.Purpose = stream, list[i].Name, purpose
	return "", nil
}

// letIn records that a token is given out, and makes it.
func (s *site) letIn(c *gin.Context, g *guest) (token string, err error) {
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	g.ID = hex.EncodeToString(id)
	if err := s.recordGuest(c, actGuestMade, g); err != nil {
		return "", err
	}
	return s.guests.add(g, s.Now(), func() { s.out(g.ID) })
}

func (s *site) recordGuest(c *gin.Context, name string, g *guest) error {
	a := casework.Act{Name: name, Actor: s.me(c).Actor(), Detail: evidence.Detail{catalog.DetailName: g.Name, detailKind: g.Kind, detailStream: g.stream(),
		catalog.DetailUntil: strconv.FormatInt(g.Until.UnixMilli(), 10), catalog.DetailAccount: s.me(c).ID}}
	if g.Kind == guestPlayer {
		a.Detail[detailStream], a.Detail[casework.DetailPurpose] = g.Stream, string(g.Purpose)
		if id, err := evidence.ParseDeviceID(g.Stream); err == nil {
			a = aboutDevice(a, id, evidence.RecordingID{})
			delete(a.Detail, detailStream)
		}
	}
	_, err := s.Exporter.Book.Record(c.Request.Context(), a)
	return err
}

// out ends what a guest does, whose token is not valid any more.
func (s *site) out(id string) {
	g := s.guests.remove(id)
	s.watches.recheck()
	if g != nil && g.session != "" && s.Live != nil {
		s.hangUp(s.Live.WHIPSession, "/live/whip/"+g.stream()+"/", g.stream(), g.session)
	}
}

func (s *site) revokeGuest(c *gin.Context) {
	list := s.guests.all(s.Now())
	i := slices.IndexFunc(list, func(g guest) bool { return g.ID == c.Param("guest") })
	if i < 0 {
		s.sorry(c, http.StatusNotFound, "live-token-none")
		return
	}
	s.out(list[i].ID) // whatever becomes of the record
	if err := s.recordGuest(c, actGuestRevoked, &list[i]); err != nil {
		s.fail(c, err)
		return
	}
	s.see(c, "/live/guests")
}

// whip takes a guest camera's offer.
func (s *site) whip(c *gin.Context) {
	g := guestOf(c)
	if s.Live == nil {
		s.refuse(c, http.StatusNotFound, "live-off")
		return
	}
	if err := http.NewResponseController(c.Writer).SetReadDeadline(s.Now().Add(formWait)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.fail(c, err)
		return
	}
	a := newAnswer(c.Writer)
	s.Live.WHIP(a, c.Request, g.stream(), "/live/whip/"+g.stream())
	if session := a.session(); session != "" && !s.guests.publishes(g.ID, session) {
		s.hangUp(s.Live.WHIPSession, "/live/whip/"+g.stream()+"/", g.stream(), session)
		s.refuse(c, http.StatusUnauthorized, "live-token-unknown")
		return
	}
	a.send(c.Writer)
	c.Abort()
}

func (s *site) whipSession(c *gin.Context) {
	if s.Live == nil {
		s.refuse(c, http.StatusNotFound, "live-off")
		return
	}
	s.Live.WHIPSession(c.Writer, c.Request, guestOf(c).stream(), c.Param("session"))
	c.Abort()
}

// guestTile shows a guest's camera.
func guestTile(f Frame, g guest, st Stream) tile {
	t := tile{Stream: st.Name, Name: g.Name, Guest: true, Online: true}
	t.NoVideo, t.NoAudio = f.unrelayed(st)
	t.Facts = []fact{{"guest", f.T("live-fact-guest"), f.T("live-guest-says"), true}, {"watched", f.T("live-fact-watched"), watchedText(f, st.Viewers), false}}
	return t
}

// MaxName and MaxHours bound what is typed.
func (guestsData) MaxName() int  { return maxGuestName / 4 }
func (guestsData) MaxHours() int { return maxGuestHours }
