package uplink

import "time"

// heard is what the server's clock showed, and this machine's at that moment.
type heard struct{ server, here time.Time }

func (c *Client) hearClock(t time.Time) {
	if c.now != nil {
		c.heard.Store(&heard{server: t, here: c.now()})
	}
}

// Clock returns what the server's clock shows now, to the second: what it said when it answered last, and the time since by this machine's
// running clock, which setting it does not move. False: the server has not answered yet.
func (c *Client) Clock() (time.Time, bool) {
	h := c.heard.Load()
	if h == nil {
		return time.Time{}, false
	}
	return h.server.Add(c.now().Sub(h.here)), true
}
