package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

const offWait = "5" // seconds after which one may ask again for a recorder that is not on duty

// watcher is who asks for a live picture.
type watcher struct {
	key     string // of the session, or of the token
	actor   string
	account string
	purpose auth.Purpose
	still   func(context.Context) bool
}

// watcher is who asks: the bearer of a token, or somebody signed in. Without a purpose it has answered.
func (s *site) watcher(c *gin.Context, may func(context.Context, auth.Account) (bool, error)) (w watcher, ok bool) {
	ctx := c.Request.Context()
	if g := guestOf(c); g != nil {
		return watcher{key: g.ID, actor: g.actor(), account: g.Account, purpose: g.Purpose,
			still: func(context.Context) bool { return s.guests.valid(g.ID, s.Now()) }}, true
	}
	me := s.me(c)
	purpose, err := s.livePurpose(ctx)
	if err != nil {
		s.fail(c, err)
		return w, false
	}
	if purpose == "" {
		s.refuse(c, http.StatusForbidden, "live-purpose-first")
		return w, false
	}
	cookie, err := c.Cookie(s.sessions.Cookie.Name)
	if err != nil {
		s.fail(c, err)
		return w, false
	}
	still := func(ctx context.Context) bool {
		_, p, err := s.whose(ctx, cookie)
		ok := err == nil && p.May(auth.WatchLive)
		if ok {
			ok, err = may(ctx, p.Account)
		}
		if err != nil {
			s.Slog.ErrorContext(ctx, "whether somebody may go on watching is not known; the picture is ended", slog.Any("error", err))
		}
		return ok && err == nil
	}
	return watcher{key: s.session(ctx), actor: me.Actor(), account: me.ID, purpose: purpose, still: still}, true
}

// whep takes a player's offer. That somebody watches is on record before the answer leaves.
func (s *site) whep(c *gin.Context) {
	stream := c.Param("device")
	act, may, ok := s.watchable(c, stream)
	if !ok {
		return
	}
	who, ok := s.watcher(c, may)
	if !ok {
		return
	}
	if err := http.NewResponseController(c.Writer).SetReadDeadline(s.Now().Add(formWait)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.fail(c, err)
		return
	}
	act.Name, act.Actor = actWatched, who.actor
	act.Detail = evidence.Detail{casework.DetailPurpose: string(who.purpose), catalog.DetailAccount: who.account}
	if act.Device == nil {
		act.Detail[detailStream] = stream
	}
	key := watchKey{who.key, stream}
	w := s.watches.join(key, act)
	if w == nil {
		s.refuse(c, http.StatusServiceUnavailable, "live-closing")
		return
	}
	a := newAnswer(c.Writer)
	s.Live.WHEP(a, c.Request, stream, "/live/"+stream+"/whep")
	<-w.recorded
	session := a.session()
	hangUp := func() { s.hangUp(s.Live.WHEPSession, "/live/"+stream+"/whep/", stream, session) }
	if w.err != nil && session != "" {
		hangUp()
		session = ""
	}
	if session == "" {
		s.watches.answered(w, "", nil, nil, nil)
	} else {
		s.watches.answered(w, session, s.Live.Ended(stream, session), who.still, hangUp)
	}
	if w.err != nil {
		s.Slog.ErrorContext(c.Request.Context(), "a watch can't be recorded; no picture was given", slog.Any("error", w.err))
		s.refuse(c, http.StatusInternalServerError, "live-not-recorded")
		return
	}
	a.send(c.Writer)
	c.Abort()
}

// watchable finds what is to be watched. If that can't be, it has answered. The function says whether somebody may watch it.
func (s *site) watchable(c *gin.Context, stream string) (act casework.Act, may func(context.Context, auth.Account) (bool, error), ok bool) {
	if s.Live == nil {
		s.refuse(c, http.StatusNotFound, "live-off")
		return act, nil, false
	}
	ctx := c.Request.Context()
	if g := s.guests.byStream(stream, s.Now()); g != nil {
		may = func(_ context.Context, me auth.Account) (bool, error) { return !me.OwnBodyOnly(), nil }
		if ok, _ := may(ctx, s.me(c)); ok {
			return act, may, true
		}
	}
	id, err := evidence.ParseDeviceID(stream)
	if err != nil || s.Duty == nil {
		s.refuse(c, http.StatusNotFound, "live-none")
		return act, nil, false
	}
	r, known := s.Duty.Recorder(id)
	may = func(ctx context.Context, me auth.Account) (bool, error) {
		r, _ := s.Duty.Recorder(id)
		rec, err := s.openRecording(ctx, r)
		if err != nil {
			return false, err
		}
		return s.mayWatch(ctx, me, rec)
	}
	if known && guestOf(c) == nil {
		known, err = may(ctx, s.me(c))
	}
	rec, errRec := s.openRecording(ctx, r)
	video, _ := s.unshown(s.frame(c, "live"), r, s.streams()[stream])
	switch {
	case errors.Join(err, errRec) != nil:
		s.fail(c, errors.Join(err, errRec))
	case !known:
		s.refuse(c, http.StatusNotFound, "live-none")
	case !r.Online:
		c.Header("Retry-After", offWait)
		s.refuse(c, http.StatusServiceUnavailable, "live-is-off")
	case video != "":
		s.words(c, http.StatusConflict, video)
	default:
		act = aboutDevice(act, id, evidence.RecordingID{})
		if rec != nil {
			act.Rec = *r.Report.Recording
		}
		return act, may, true
	}
	return act, nil, false
}

// whepSession goes on with a player's session, or ends it.
func (s *site) whepSession(c *gin.Context) {
	stream, session := c.Param("device"), c.Param("session")
	var key string
	if g := guestOf(c); g != nil {
		key = g.ID
	} else {
		key = s.session(c.Request.Context())
	}
	if s.Live == nil || !s.watches.owns(watchKey{key, stream}, session) {
		s.refuse(c, http.StatusNotFound, "live-none")
		return
	}
	s.Live.WHEPSession(c.Writer, c.Request, stream, session)
	c.Abort()
}

// refuse says in words, not on a page, why a player or camera does not get what it asks for.
func (s *site) refuse(c *gin.Context, status int, key string) {
	s.words(c, status, s.langOf(c).in(key))
}

func (s *site) words(c *gin.Context, status int, text string) {
	c.Header("Cache-Control", "no-store")
	c.Data(status, "text/plain; charset=utf-8", []byte(text+"\n"))
	c.Abort()
}

// hangUp ends a session of the relay.
func (s *site) hangUp(at func(http.ResponseWriter, *http.Request, string, string), base, stream, session string) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, base+session, nil)
	if err != nil {
		s.Slog.Error("a live session can't be ended", slog.String("stream", stream), slog.Any("error", err))
		return
	}
	at(newAnswer(nil), req, stream, session)
}

// answer holds an answer back until it may leave.
type answer struct {
	to     http.ResponseWriter
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer(to http.ResponseWriter) *answer {
	return &answer{to: to, header: http.Header{}, status: http.StatusOK}
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.to }

// session is the name of the session that was made; empty: none.
func (a *answer) session() string {
	if at := a.header.Get("Location"); a.status == http.StatusCreated && at != "" {
		return path.Base(at)
	}
	return ""
}

// send lets the answer go. A reader that is gone is not told.
func (a *answer) send(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = io.Copy(w, &a.body)
}
