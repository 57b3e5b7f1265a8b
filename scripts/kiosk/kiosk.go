// Package kiosk is an officer at the dock's page, as far as tests and demonstrations need one: it speaks HTTP as a browser does.
package kiosk

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Officer is one browser. It is not safe for concurrent use.
type Officer struct {
	base string
	http http.Client
}

// New returns an officer at a page, who has not signed in.
func New(base string) (*Officer, error) {
	jar, err := cookiejar.New(nil)
	return &Officer{base: base, http: http.Client{Jar: jar}}, err
}

// Get reads a page.
func (o *Officer) Get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.base+path, nil)
	if err != nil {
		return "", err
	}
	return o.do(req)
}

// Post sends a form and reads the page that follows.
func (o *Officer) Post(ctx context.Context, path string, form url.Values) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return o.do(req)
}

func (o *Officer) do(req *http.Request) (string, error) {
	resp, err := o.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s", req.Method, req.URL.Path, resp.Status)
	}
	return string(page), err
}

// SignIn signs in by card. ok is false when the dock does not know it, such as before it has the register.
func (o *Officer) SignIn(ctx context.Context, card string) (ok bool, err error) {
	page, err := o.Post(ctx, "/sign-in", url.Values{"card": {card}})
	return err == nil && !strings.Contains(page, `name="card"`), err
}

var groupLink = regexp.MustCompile(`/groups/([0-9a-f]{32})`)

// Groups are what a slot's page links to.
func (o *Officer) Groups(ctx context.Context, slot string) (ids []string, err error) {
	page, err := o.Get(ctx, "/slots/"+slot)
	for _, m := range groupLink.FindAllStringSubmatch(page, -1) {
		if !slices.Contains(ids, m[1]) {
			ids = append(ids, m[1])
		}
	}
	return ids, err
}

var input = regexp.MustCompile(`<(?:input|textarea)[^>]*\bname="([a-z-]+)"[^>]*>`)
var value = regexp.MustCompile(`\bvalue="([^"]*)"`)

// Form is what the page of a group proposes as its case header.
func (o *Officer) Form(ctx context.Context, group string) (url.Values, error) {
	page, err := o.Get(ctx, "/groups/"+group)
	form := url.Values{}
	for _, m := range input.FindAllStringSubmatch(page, -1) {
		if v := value.FindStringSubmatch(m[0]); v != nil {
			form.Add(m[1], html.UnescapeString(v[1]))
		}
	}
	return form, err
}

// Confirm confirms a case header.
func (o *Officer) Confirm(ctx context.Context, group string, form url.Values) error {
	_, err := o.Post(ctx, "/groups/"+group+"/header", form)
	return err
}

// Note gives the text note.
func (o *Officer) Note(ctx context.Context, group, text string) error {
	_, err := o.Post(ctx, "/groups/"+group+"/note", url.Values{"note": {text}})
	return err
}
