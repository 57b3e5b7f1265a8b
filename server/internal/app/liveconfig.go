package app

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/live"
	"camseal/server/internal/web"
)

// checkLive checks what is said about live viewing.
func (s *settings) checkLive() error {
	for name, addr := range map[string]string{"live-listen": s.LiveListen, "live-tcp": s.LiveTCP} {
		if _, _, err := net.SplitHostPort(addr); err != nil && !(addr == "" && name == "live-tcp") {
			return usagef("%s: %v", name, err)
		}
	}
	for _, ip := range s.LivePublic {
		if net.ParseIP(ip) == nil {
			return usagef("live-public: %q is no IP address", ip)
		}
	}
	switch {
	case len(s.LiveTURN) > 0 && s.LiveTURNSecret == "":
		return usagef("live-turn without live-turn-secret-file")
	case s.LiveViewers < 1 || s.LiveViewers > 200:
		return usagef("live-viewers is 1 to 200")
	case s.LiveLinger < 0 || s.LiveLinger > time.Hour:
		return usagef("live-linger is 0s to 1h")
	}
	for _, u := range append(append([]string(nil), s.LiveSTUN...), s.LiveTURN...) {
		if err := live.CheckServer(u); err != nil {
			return usagef("live-stun, live-turn: %v", err)
		}
	}
	return nil
}

// openLive opens the relay of live pictures.
func (c *core) openLive(e *env) (err error) {
	s := e.settings
	config := live.Config{UDP: s.LiveListen, TCP: s.LiveTCP, PublicIPs: s.LivePublic, MaxViewers: s.LiveViewers, Recode: s.LiveRecode, Now: e.now, Slog: e.log}
	for _, u := range append(append([]string(nil), s.LiveSTUN...), s.LiveTURN...) {
		config.ICEServers = append(config.ICEServers, live.ICEServer{URL: u})
	}
	if s.LiveTURNSecret != "" {
		secret, err := os.ReadFile(s.LiveTURNSecret)
		if err != nil {
			return fmt.Errorf("live-turn-secret-file: %w", err)
		}
		config.TURNSecret = []byte(strings.TrimSpace(string(secret)))
	}
	config.Need, config.Watchers = c.askLive, c.watched
	c.liveLinger = s.LiveLinger
	if c.live, err = live.New(config); err != nil {
		return err
	}
	c.closers = append(c.closers, c.live.Close)
	return nil
}

// liveBegins is how long a recorder may take to begin a live stream.
const liveBegins = 30 * time.Second

// linger holds, for each stream that nobody watches any more, the timer after which it ends.
type linger struct {
	mu     sync.Mutex
	timers map[string]*time.Timer
}

// after calls end once d has passed, unless it is called for the stream again before; with end nil nothing is called.
func (l *linger) after(d time.Duration, stream string, end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.timers[stream]; t != nil {
		t.Stop()
		delete(l.timers, stream)
	}
	if end == nil {
		return
	}
	if l.timers == nil {
		l.timers = map[string]*time.Timer{}
	}
	l.timers[stream] = time.AfterFunc(d, end)
}

// askLive has a recorder publish, because somebody wants to watch. If nobody comes to that, it need not go on.
func (c *core) askLive(stream string) {
	c.orderLive(stream, transport.CommandLive)
	c.endLive(stream, liveBegins+c.liveLinger)
}

// watched tells the board how many people watch a recorder; a while after the last one has left, the recorder need not publish any more.
func (c *core) watched(stream string, n int) {
	id, err := evidence.ParseDeviceID(stream)
	if err != nil {
		return // a guest's camera
	}
	c.duty.Watching(id, n)
	if n > 0 {
		c.linger.after(0, stream, nil)
		return
	}
	c.endLive(stream, c.liveLinger)
}

// endLive has a recorder publish no more after a while, unless somebody watches by then.
func (c *core) endLive(stream string, after time.Duration) {
	id, err := evidence.ParseDeviceID(stream)
	if err != nil {
		return // a guest's camera
	}
	c.linger.after(after, stream, func() {
		if r, ok := c.duty.Recorder(id); ok && r.Watched == 0 {
			c.orderLive(stream, transport.CommandLiveEnd)
		}
	})
}

func (c *core) orderLive(stream string, kind transport.CommandKind) {
	id, err := evidence.ParseDeviceID(stream)
	if err != nil {
		return // a guest's camera
	}
	err = c.duty.Ask(id, transport.Command{Kind: kind, By: "camseal-server", Until: c.duty.Now().Add(liveBegins).UnixMilli()})
	if err != nil {
		c.slog.Info("a recorder is not asked", slog.String("device", id.Short()), slog.String("command", string(kind)), slog.Any("why", err))
	}
}

// livePage is the relay as the web page sees it.
type livePage struct{ *live.Relay }

// Streams are those that are published now, or waited for.
func (l livePage) Streams() []web.Stream {
	all := l.Relay.Streams()
	out := make([]web.Stream, len(all))
	for i, s := range all {
		out[i] = web.Stream{Name: s.Name, Publishing: s.Publishing, Video: s.Video, Audio: s.Audio, Viewers: s.Viewers, Reason: string(s.Reason)}
	}
	return out
}
