package live

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what TURN servers compute
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const turnTime = 12 * time.Hour // that time-limited credentials are good for

// ICEServer is a STUN or TURN server. A TURN server without a user is given time-limited credentials, if there is a secret for them.
type ICEServer struct {
	URL      string // stun:host:port, turn:host:port?transport=udp, turns:…
	Username string
	Password string
}

// CheckServer reports what is wrong with the address of a STUN or TURN server.
func CheckServer(url string) error {
	scheme, rest, _ := strings.Cut(url, ":")
	if !slices.Contains([]string{"stun", "stuns", "turn", "turns"}, scheme) || rest == "" || strings.ContainsAny(url, "<>\"\r\n ,") {
		return fmt.Errorf("%q is no STUN or TURN server, such as turn:turn.example:3478?transport=udp", url)
	}
	return nil
}

// checkServers looks at what the configuration says of STUN and TURN.
func (c *Config) checkServers() error {
	for _, s := range c.ICEServers {
		if err := CheckServer(s.URL); err != nil {
			return err
		}
		if strings.HasPrefix(s.URL, "turn") && s.Username == "" && len(c.TURNSecret) == 0 {
			return fmt.Errorf("the TURN server %s lacks the secret that credentials are made from", s.URL)
		}
	}
	return nil
}

// links tells a client of the STUN and TURN servers, as RFC 9725 says (4.6).
func (r *Relay) links(h http.Header, who string) {
	for _, s := range r.cfg.ICEServers {
		user, password := s.Username, s.Password
		link := "<" + s.URL + `>; rel="ice-server"`
		if strings.HasPrefix(s.URL, "turn") {
			if user == "" {
				user, password = r.credentials(who)
			}
			link += fmt.Sprintf("; username=%q; credential=%q; credential-type=\"password\"", user, password)
		}
		h.Add("Link", link)
	}
}

// credentials are good until a time that stands in the user's name: "A REST API For Access To TURN Services" (draft-uberti-behave-turn-rest).
func (r *Relay) credentials(who string) (user, password string) {
	user = strconv.FormatInt(r.cfg.Now().Add(turnTime).Unix(), 10) + ":" + who
	mac := hmac.New(sha1.New, r.cfg.TURNSecret)
	mac.Write([]byte(user)) // never fails
	return user, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
