package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"camseal/server/internal/people"
	"camseal/server/internal/web"
)

// checkWeb checks what is said about the web page: passwords and sessions cross no network in clear.
func (s *settings) checkWeb() error {
	host, _, err := net.SplitHostPort(s.Web)
	if err != nil {
		return usagef("web: %v", err)
	}
	ip := net.ParseIP(host)
	switch {
	case (s.WebCertificate == "") != (s.WebKey == ""):
		return usagef("web-certificate and web-key go together; nothing was started")
	case s.WebCertificate == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return usagef("web: %s can be reached from other machines, and without web-certificate and web-key passwords would cross the network in clear. "+
			"Nothing was started; give both, or use 127.0.0.1:PORT and, from afar, an SSH tunnel", s.Web)
	case s.SessionIdle <= 0 || s.SessionLife < s.SessionIdle:
		return usagef("session-idle and session-life are times such as 30m and 12h, and the second is the longer one")
	}
	if s.OIDCIssuer != "" {
		u, err := url.Parse(s.OIDCIssuer)
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && net.ParseIP(u.Hostname()).IsLoopback()) {
			return usagef("oidc-issuer: %q is no https address", s.OIDCIssuer)
		}
		if s.OIDCClientID == "" || s.OIDCSecret == "" || s.OIDCClaim == "" {
			return usagef("oidc-issuer needs oidc-client-id, oidc-client-secret-file and oidc-login-claim")
		}
	}
	if s.WebURL != "" {
		u, err := url.Parse(s.WebURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return usagef("web-url: %q is not an address such as https://evidence.example", s.WebURL)
		}
	}
	return nil
}

// origin is how people reach the web page that listens on an address.
func (s *settings) origin(listening string) string {
	if s.WebURL != "" {
		return strings.TrimRight(s.WebURL, "/")
	}
	if s.WebCertificate == "" {
		return "http://" + listening
	}
	host, port, err := net.SplitHostPort(listening)
	if err != nil {
		return "https://" + listening
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
		if i := slices.IndexFunc(s.Names, func(n string) bool { return n != "localhost" && net.ParseIP(n) == nil }); i >= 0 {
			host = s.Names[i]
		}
	}
	return "https://" + net.JoinHostPort(host, port)
}

// hosts are the names by which the web page may be reached.
func (s *settings) hosts() []string {
	if u, err := url.Parse(s.WebURL); err == nil && u.Hostname() != "" {
		return append(slices.Clone(s.Names), u.Hostname())
	}
	return s.Names
}

// listenWeb listens for people: over TLS 1.3 if there is a certificate.
func listenWeb(s *settings) (net.Listener, error) {
	if s.WebCertificate == "" {
		return listenTCP(s.Web, s.MaxConnections)
	}
	cert, err := tls.LoadX509KeyPair(s.WebCertificate, s.WebKey)
	if err != nil {
		return nil, fmt.Errorf("web-certificate and web-key: %w", err)
	}
	l, err := listenTCP(s.Web, s.MaxConnections)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}), nil
}

// testWeb changes what the web page is made of; tests set it.
var testWeb func(*web.Config)

// webConfig is what the web page is made of.
func webConfig(e *env, c *core) (web.Config, error) {
	s := e.settings
	w := web.Config{Catalog: c.catalog, Log: c.log, Vault: c.vault, Exporter: c.exporter, LoggedAt: c.loggedAt,
		Register: c.officers.Current,
		Cases:    c.cases,
		Media:    c.media,
		Duty:     c.duty, Live: livePage{c.live}, LiveRecodes: s.LiveRecode,
		Retention: c.keeping, DefaultRetention: time.Duration(s.Retention), Space: c.space, ExportDeadline: time.Duration(s.ExportDeadline),
		HeaderDeadline: time.Duration(s.HeaderDeadline),
		People:         c.people, SessionIdle: time.Duration(s.SessionIdle), SessionLife: time.Duration(s.SessionLife), Origin: c.origin,
		Secure: s.WebCertificate != "" || strings.HasPrefix(s.WebURL, "https:"), Names: s.hosts(), Now: e.now, Slog: e.log}
	if testWeb != nil {
		testWeb(&w)
	}
	if s.OIDCIssuer == "" {
		return w, nil
	}
	secret, err := os.ReadFile(s.OIDCSecret)
	if err != nil {
		return w, fmt.Errorf("oidc-client-secret-file: %w", err)
	}
	w.Provider = &people.Provider{Issuer: s.OIDCIssuer, ClientID: s.OIDCClientID, Secret: strings.TrimSpace(string(secret)), Claim: s.OIDCClaim,
		Redirect: c.origin + web.ProviderReturn, Now: e.now}
	return w, nil
}

// firstAdministrator prints the link with which the first account is made, as long as there is no administrator.
func firstAdministrator(ctx context.Context, e *env, c *core) error {
	if err := c.wait(ctx); err != nil {
		return nil // the server ends
	}
	token, err := c.people.FirstLink(ctx)
	switch {
	case err == nil:
		_, err = fmt.Fprintf(e.out, "first administrator: %s/link/%s (serves once, within %d hours)\n", c.origin, token, int(people.LinkLife.Hours()))
		return err
	case ctx.Err() != nil || errors.Is(err, people.ErrHaveAdmin):
		return nil
	}
	return err
}
