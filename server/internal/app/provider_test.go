package app

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oauth2-proxy/mockoidc"

	"camseal/scripts/visitor"
	"camseal/server/internal/auth"
)

// TestSignInWithAProvider: a real OpenID Connect provider says who somebody is; it lets in who has an account, and nobody else.
func TestSignInWithAProvider(t *testing.T) {
	idp, err := mockoidc.Run()
	check(t, err)
	t.Cleanup(func() { check(t, idp.Shutdown()) })
	secret := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(secret, []byte(idp.ClientSecret+"\n"), 0o600))
	r := newRig(t, func(s *settings) {
		s.OIDCIssuer, s.OIDCClientID, s.OIDCSecret, s.OIDCClaim = idp.Issuer(), idp.ClientID, secret, "preferred_username"
	})
	r.visitor(auth.Account{Login: "wang.fang", Name: "王芳", Role: auth.Reviewer})
	_, gone := r.visitor(auth.Account{Login: "gone", Name: "G", Role: auth.Custodian})
	check(t, r.core.people.Disable(t.Context(), "test", gone.ID, true))
	// way goes to the provider and comes back, up to the address at which it comes back.
	way := func(login string) (*http.Client, string) {
		v, err := visitor.New(r.page)
		check(t, err)
		c := plain(v)
		idp.QueueUser(&mockoidc.MockUser{Subject: "s-" + login, PreferredUsername: login, Email: login + "@example.org"})
		_, to, page := ask(t, c, "GET", r.page+"/sign-in/provider?next=%2Funrecorded", "")
		if !strings.HasPrefix(to, idp.Issuer()) || !strings.Contains(to, "code_challenge_method=S256") || !strings.Contains(to, "nonce=") {
			t.Fatalf("not sent to the provider: %s\n%s", to, page)
		}
		status, back, said := ask(t, c, "GET", to, "")
		if status != http.StatusFound || !strings.HasPrefix(back, r.page+"/sign-in/provider/back?") {
			t.Fatalf("the provider: %d %s %s", status, back, said)
		}
		return c, back
	}
	in := func(c *http.Client) bool {
		status, _, _ := ask(t, c, "GET", r.page+"/account", "")
		return status == http.StatusOK
	}
	c, back := way("Wang.Fang")
	status, _, page := ask(t, c, "GET", back, "")
	if status != http.StatusOK || !strings.Contains(page, `content="0;url=/unrecorded"`) || !in(c) {
		t.Fatalf("back from the provider: %d\n%s", status, page)
	}
	if status, _, _ := ask(t, c, "GET", back, ""); status != http.StatusBadRequest {
		t.Errorf("the same answer once more: %d", status)
	}
	for login, want := range map[string]int{"stranger": http.StatusForbidden, "gone": http.StatusForbidden, "": http.StatusBadRequest} {
		c, back := way(login)
		if status, _, _ := ask(t, c, "GET", back, ""); status != want || in(c) {
			t.Errorf("%q: %d, want %d", login, status, want)
		}
	}
	// An answer in another browser, one with another state or code, one that comes too late, and a refusal.
	_, back = way("wang.fang")
	victim, err := visitor.New(r.page)
	check(t, err)
	if status, _, _ := ask(t, plain(victim), "GET", back, ""); status != http.StatusBadRequest || in(plain(victim)) {
		t.Errorf("somebody else's answer: %d", status)
	}
	for name, change := range map[string]func(url.Values){"state": func(q url.Values) { q.Set("state", "x") }, "code": func(q url.Values) { q.Set("code", "x") },
		"late": func(url.Values) { r.pass(11 * time.Minute) }, "refused": func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }} {
		c, back := way("wang.fang")
		u, err := url.Parse(back)
		check(t, err)
		q := u.Query()
		change(q)
		u.RawQuery = q.Encode()
		if status, _, _ := ask(t, c, "GET", u.String(), ""); status != http.StatusBadRequest || in(c) {
			t.Errorf("%s: %d", name, status)
		}
	}
	if _, _, page := ask(t, plain(victim), "GET", r.page+"/sign-in", ""); !strings.Contains(page, "/sign-in/provider") {
		t.Error("the page to sign in at does not lead to the provider")
	}
}
