package app

import (
	"fmt"
	"net"
	"os"
	"strings"

	"camseal/server/internal/live"
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
	if c.live, err = live.New(config); err != nil {
		return err
	}
	c.closers = append(c.closers, c.live.Close)
	return nil
}
