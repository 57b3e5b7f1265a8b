package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/oauth2"
)

// Provider signs people in with an OpenID Connect provider (OpenID Connect Core 1.0, code flow with PKCE, RFC 7636). It says who somebody is;
// whether that person has an account here is the Keeper's to say. The provider need not be up when the server starts. It is safe for concurrent use.
type Provider struct {
	Issuer, ClientID, Secret string
	Claim                    string // of the ID token, in which the login is
	Redirect                 string // address that the provider sends people back to
	Now                      func() time.Time

	mu      sync.Mutex
	found   *oidc.Provider
	pending *simplelru.LRU[string, pendingSignIn] // by state
}

// pendingSignIn is somebody who was sent to the provider.
type pendingSignIn struct {
	browser, nonce, verifier, next string
	until                          time.Time
}

// ErrProvider says that a provider's answer is of no use: it is too late, somebody else's, refused, or does not verify.
var ErrProvider = errors.New("provider-failed")

const (
	providerWait = 15 * time.Second
	pendingLife  = 10 * time.Minute
	maxPending   = 10000
)

var providerClient = &http.Client{Timeout: providerWait}

// ready finds out what the provider offers.
func (p *Provider) ready(ctx context.Context) (*oauth2.Config, *oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending == nil {
		kept, err := simplelru.NewLRU[string, pendingSignIn](maxPending, nil)
		if err != nil {
			return nil, nil, err
		}
		p.pending = kept
	}
	if p.found == nil {
		found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), providerClient), p.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("ask %s what it offers: %w", p.Issuer, err)
		}
		p.found = found
	}
	config := &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.Secret, RedirectURL: p.Redirect, Endpoint: p.found.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
	return config, p.found.Verifier(&oidc.Config{ClientID: p.ClientID, Now: p.Now}), nil
}

// Begin returns where to send a browser, and what to give it as a cookie, by which it is known again; next is kept for its return.
func (p *Provider) Begin(ctx context.Context, next string) (to, browser string, err error) {
	config, _, err := p.ready(ctx)
	if err != nil {
		return "", "", err
	}
	s := pendingSignIn{browser: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), next: next, until: p.Now().Add(pendingLife)}
	state := rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending.Add(state, s)
	return config.AuthCodeURL(state, oidc.Nonce(s.nonce), oauth2.S256ChallengeOption(s.verifier)), s.browser, nil
}

// Finish checks what a browser brings back, and returns the login and where its owner wanted to go. It takes each state once.
// Errors: ErrProvider.
func (p *Provider) Finish(ctx context.Context, browser, state, code string) (login, next string, err error) {
	config, verifier, err := p.ready(ctx)
	if err != nil {
		return "", "", err
	}
	p.mu.Lock()
	s, ok := p.pending.Peek(state)
	ok = ok && subtle.ConstantTimeCompare([]byte(s.browser), []byte(browser)) == 1 && p.Now().Before(s.until)
	if ok {
		p.pending.Remove(state)
	}
	p.mu.Unlock()
	if !ok || code == "" {
		return "", "", ErrProvider
	}
	ctx = oidc.ClientContext(ctx, providerClient)
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(s.verifier))
	if err != nil {
		return "", "", fmt.Errorf("%w: exchange the code: %w", ErrProvider, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return "", "", fmt.Errorf("%w: no ID token", ErrProvider)
	}
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrProvider, err)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrProvider, err)
	}
	login, ok = claims[p.Claim].(string)
	verified, said := claims["email_verified"].(bool)
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(s.nonce)) != 1 || !ok || login == "" || p.Claim == "email" && !(verified && said) {
		return "", "", fmt.Errorf("%w: another nonce, or no claim %s", ErrProvider, p.Claim)
	}
	return login, s.next, nil
}
