package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
)

// Kinds of guests: programs and cameras that are not ours, let in by a token.
const (
	guestPlayer    = "player"    // watches one stream by WHEP
	guestPublisher = "publisher" // publishes one by WHIP; nothing of that is sealed
)

var guestKinds = []string{guestPlayer, guestPublisher}

const (
	maxGuests     = 64
	maxGuestHours = 12
	maxGuestName  = 200 // bytes
	maxToken      = 256
	streamOfGuest = "guest-"
)

// guest is one token that was given out. The token itself is known to its bearer alone.
type guest struct {
	ID      string
	Kind    string
	Name    string
	Stream  string // that a player watches
	Of      string // what that stream is called
	Purpose auth.Purpose
	Until   time.Time
	By      string // actor who made it
	Account string

	hash    evidence.Digest
	session string // a publisher's newest
	timer   *time.Timer
}

// stream is what a guest publishes.
func (g *guest) stream() string { return streamOfGuest + g.ID }

// actor is how custody events name the bearer.
func (g *guest) actor() string { return g.Name + " (live token by " + g.By + ")" }

// Address is where the guest goes.
func (g *guest) Address() string {
	if g.Kind == guestPublisher {
		return "/live/whip/" + g.stream()
	}
	return "/live/" + g.Stream + "/whep"
}

var errManyGuests = errors.New("too many live tokens")

// guests are the tokens that are valid. Nothing of them outlives the server. It is safe for concurrent use.
type guests struct {
	mu     sync.Mutex
	closed bool
	of     map[string]*guest
}

func newGuests() *guests { return &guests{of: map[string]*guest{}} }

func guestHash(token string) evidence.Digest {
	return evidence.Sum([]byte("camseal live token\n" + token))
}

// full reports whether no more can be made. Those whose time is over are forgotten.
func (l *guests) full(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, g := range l.of {
		if !now.Before(g.Until) {
			delete(l.of, id)
		}
	}
	return len(l.of) >= maxGuests
}

// add lets a guest in, until its time is over, and returns its token. over is called then. Errors: errManyGuests.
func (l *guests) add(g *guest, now time.Time, over func()) (string, error) {
	if l.full(now) {
		return "", errManyGuests
	}
	token := rand.Text()
	g.hash = guestHash(token)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return "", errManyGuests
	}
	g.timer = time.AfterFunc(g.Until.Sub(now), over)
	l.of[g.ID] = g
	return token, nil
}

// find returns whose token it is; nil: nobody's that is valid. What it returns is a copy.
func (l *guests) find(token string, now time.Time) *guest {
	hash := guestHash(token)
	return l.first(now, func(g *guest) bool { return g.hash == hash })
}

// byStream returns who publishes a stream; nil: nobody may.
func (l *guests) byStream(stream string, now time.Time) *guest {
	return l.first(now, func(g *guest) bool { return g.Kind == guestPublisher && g.stream() == stream })
}

func (l *guests) valid(id string, now time.Time) bool {
	return l.first(now, func(g *guest) bool { return g.ID == id }) != nil
}

func (l *guests) first(now time.Time, is func(*guest) bool) *guest {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.of {
		if now.Before(g.Until) && is(g) {
			out := *g
			return &out
		}
	}
	return nil
}

// all lists them by when they end.
func (l *guests) all(now time.Time) (out []guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.of {
		if now.Before(g.Until) {
			out = append(out, *g)
		}
	}
	slices.SortFunc(out, func(a, b guest) int {
		if n := a.Until.Compare(b.Until); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// publishing lists those who may publish.
func (l *guests) publishing(now time.Time) []guest {
	return slices.DeleteFunc(l.all(now), func(g guest) bool { return g.Kind != guestPublisher })
}

// publishes notes a publisher's newest session, and reports whether it may publish still.
func (l *guests) publishes(id, session string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.of[id]
	if g != nil {
		g.session = session
	}
	return g != nil
}

// remove takes a token back and returns what it was; nil: there is none.
func (l *guests) remove(id string) *guest {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.of[id]
	if g != nil {
		delete(l.of, id)
		g.timer.Stop()
	}
	return g
}

// close lets nobody in any more.
func (l *guests) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, g := range l.of {
		g.timer.Stop()
	}
	clear(l.of)
}

// tokenPaths are where a token serves.
var tokenPaths = []string{atWHEP, atWHEPSession, atWHIP, atWHIPSession}

const guestKey = "camseal/guest"

// guestOf is whose token a request brought; nil: none.
func guestOf(c *gin.Context) *guest {
	g, _ := c.Get(guestKey)
	out, _ := g.(*guest)
	return out
}

// bearer is the token that a request to one of these addresses brings; empty: none.
func bearer(r *http.Request) string {
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) < 4 || parts[1] != "live" || parts[2] != "whip" && parts[3] != "whep" || r.Method == http.MethodOptions {
		return ""
	}
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(kind, "Bearer") || len(token) > maxToken {
		return ""
	}
	return token
}

// tokenGate lets through who brings a token for this very stream. Who brings none must have signed in and have the route's permission.
func (s *site) tokenGate(x Route) gin.HandlerFunc {
	account := s.gate(x.May)
	return func(c *gin.Context) {
		token := bearer(c.Request)
		if token == "" {
			if x.May == auth.LiveToken {
				c.Header("WWW-Authenticate", `Bearer realm="camseal"`)
			}
			account(c)
			return
		}
		crossOrigin(c)
		g := s.guests.find(token, s.Now())
		switch {
		case g == nil:
			c.Header("WWW-Authenticate", `Bearer realm="camseal", error="invalid_token"`)
			s.refuse(c, http.StatusUnauthorized, "live-token-unknown")
		case x.May == auth.LiveToken && (g.Kind != guestPublisher || c.Param("guest") != g.stream()),
			x.May != auth.LiveToken && (g.Kind != guestPlayer || c.Param("device") != g.Stream):
			s.refuse(c, http.StatusForbidden, "live-token-other")
		default:
			c.Set(guestKey, g)
		}
	}
}

// crossOrigin lets pages of other servers read an answer to a request that brought a token: players run anywhere.
func crossOrigin(c *gin.Context) {
	c.Header("Access-Control-Allow-Origin", "*")
	c.Header("Access-Control-Expose-Headers", "Location, ETag, Link, Retry-After, Accept-Patch")
	c.Header("Cross-Origin-Resource-Policy", "cross-origin")
}

// preflight tells browsers that requests with a token may come from anywhere. Without one they are refused all the same.
func preflight(c *gin.Context) {
	crossOrigin(c)
	c.Header("Access-Control-Allow-Methods", "POST, PATCH, DELETE")
	c.Header("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	c.Header("Access-Control-Max-Age", "600")
	c.Header("Accept-Post", "application/sdp")
	c.Status(http.StatusNoContent)
	c.Abort()
}
