package axis

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// signIn answers GET /auth/v1.0 (Swift's auth v1).
func (d *Destination) signIn(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return errMethod
	}
	name, key := r.Header.Get("X-Auth-User"), r.Header.Get("X-Auth-Key")
	addr, err := address(r)
	if err != nil {
		return err
	}
	d.mu.Lock()
	ok := d.attempts.allowed(addr, d.Now())
	if ok {
		d.attempts.begin(addr, d.Now())
	}
	d.mu.Unlock()
	if !ok {
		return errAttempts
	}
	ok, err = d.Users.check(r.Context(), name, key)
	if err != nil {
		return err
	}
	if !ok {
		return errSignIn
	}
	d.mu.Lock()
	d.attempts.right(addr)
	d.mu.Unlock()
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	token := d.token(name, d.Now().Add(d.TokenLife))
	h := w.Header()
	h.Set("X-Storage-Url", scheme+"://"+r.Host+"/v1/"+accountPrefix+name)
	h.Set("X-Auth-Token", token)
	h.Set("X-Storage-Token", token)
	h.Set("X-Auth-Token-Expires", strconv.Itoa(int(d.TokenLife/time.Second)))
	w.WriteHeader(http.StatusOK)
	return nil
}

const accountPrefix = "AUTH_"

// token holds user and end, and a MAC under a key that this process alone knows: there is no table that could grow, and a restart ends them all.
func (d *Destination) token(user string, until time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(until.UnixMilli()))
	b = append(b, user...)
	return "AUTH_tk" + base64.RawURLEncoding.EncodeToString(append(d.mac(b), b...))
}

func (d *Destination) mac(b []byte) []byte {
	m := hmac.New(sha256.New, d.tokenKey[:])
	m.Write(b)
	return m.Sum(nil)
}

// user returns whose token a request bears.
func (d *Destination) user(r *http.Request) (string, error) {
	text, ok := strings.CutPrefix(r.Header.Get("X-Auth-Token"), "AUTH_tk")
	b, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(b) < sha256.Size+8 {
		return "", errToken
	}
	mac, b := b[:sha256.Size], b[sha256.Size:]
	if !hmac.Equal(mac, d.mac(b)) || d.Now().UnixMilli() >= int64(binary.BigEndian.Uint64(b)) {
		return "", errToken
	}
	return string(b[8:]), nil
}

// address is what wrong keys are counted by: an IPv4 address, or the network of an IPv6 one.
func address(r *http.Request) (string, error) {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "", err
	}
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return ip.String(), nil
	}
	net, err := ip.WithZone("").Prefix(64)
	return net.String(), err
}
