package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// TestPageOverTLS: with a certificate the page is served on any address, over TLS 1.3 only, under its names only, and its cookies stay there.
func TestPageOverTLS(t *testing.T) {
	r := newRig(t, func(s *settings) {
		s.Names = append(s.Names, "evidence.example")
		s.Web, s.WebCertificate, s.WebKey = "0.0.0.0:0", s.path(fileTLS), s.path(fileTLSKey)
	})
	at := r.servers[1].on.Addr().String()
	_, port, err := net.SplitHostPort(at)
	check(t, err)
	origin := "https://evidence.example:" + port
	if r.core.origin != origin {
		t.Fatalf("people are told %s", r.core.origin)
	}
	roots := x509.NewCertPool()
	roots.AddCert(r.ca)
	client := func(max uint16) *http.Client {
		jar, err := cookiejar.New(nil)
		check(t, err)
		dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		}
		return &http.Client{Jar: jar, Transport: &http.Transport{DialContext: dial, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MaxVersion: max}}}
	}
	link, err := r.says(accountAddCommand{Login: "zhang", Name: "张 敏", Role: "custodian", Body: testBody})
	check(t, err)
	if link = strings.TrimSpace(link); !strings.HasPrefix(link, origin+"/link/") {
		t.Fatalf("the link is %s", link)
	}
	c := client(tls.VersionTLS13)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.PostForm(link, url.Values{"password": {testPassword}, "again": {testPassword}})
	check(t, err)
	check(t, resp.Body.Close())
	cookies := resp.Cookies()
	if resp.StatusCode != http.StatusSeeOther || resp.ProtoMajor != 2 || resp.Header.Get("Strict-Transport-Security") == "" || len(cookies) != 1 ||
		cookies[0].Name != "__Host-session" || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].Path != "/" || cookies[0].Domain != "" || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Errorf("%s %v %v", resp.Status, resp.Header, cookies)
	}
	if status, _, body := ask(t, c, "GET", origin+"/account", ""); status != http.StatusOK || !strings.Contains(body, "张 敏") {
		t.Errorf("the account over TLS: %d", status)
	}
	// Under no foreign name, by no older TLS, and not in clear.
	req, err := http.NewRequest("GET", origin+"/account", nil)
	check(t, err)
	req.Host = "evil.example"
	resp, err = c.Do(req)
	check(t, err)
	if check(t, resp.Body.Close()); resp.StatusCode != http.StatusForbidden {
		t.Errorf("under a foreign name: %s", resp.Status)
	}
	if _, err := client(tls.VersionTLS12).Get(origin + "/sign-in"); err == nil {
		t.Error("TLS 1.2 is spoken")
	}
	if resp, err := http.Get("http://127.0.0.1:" + port + "/sign-in"); err == nil {
		if check(t, resp.Body.Close()); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("in clear: %s", resp.Status)
		}
	}
}
