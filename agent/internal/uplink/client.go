package uplink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// ClientConfig says how to reach the server.
type ClientConfig struct {
	Server string          // https URL
	CA     *x509.CertPool  // the only authorities believed for the server's certificate
	Device tls.Certificate // over the device's TLS key
	Now    func() time.Time
	Dial   DialContext // makes connections; nil: the usual way
}

// Client speaks pkg/transport. It is safe for concurrent use.
type Client struct {
	base   *url.URL
	small  *http.Client // for messages
	bulk   *http.Client // for chunks
	link   *link        // that chunks take
	device atomic.Pointer[tls.Certificate]
	server atomic.Int64 // the server's clock when it answered last, seconds since 1970; 0: it never did
	heard  atomic.Pointer[heard]
	now    func() time.Time
}

// NewClient checks the configuration; it sends nothing.
func NewClient(c ClientConfig) (*Client, error) {
	base, err := url.Parse(c.Server)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("server %q: an address like https://host:8443 is needed", c.Server)
	}
	cl := &Client{base: base, link: newLink(c.Now), now: c.Now}
	cl.device.Store(&c.Device)
	conf := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: c.CA, Time: c.Now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cl.device.Load(), nil }}
	if c.Dial == nil {
		c.Dial = dialer()
	}
	dial := lively(c.Dial)
	cl.small, cl.bulk = httpClient(conf, 4<<10, dial), httpClient(conf, 256<<10, cl.link.bulk(dial))
	return cl, nil
}

func httpClient(conf *tls.Config, writeBuffer int, dial DialContext) *http.Client {
	http1 := new(http.Protocols)
	http1.SetHTTP1(true) // HTTP/2 would copy every byte once more
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: conf.Clone(), Protocols: http1, DialContext: dial,
			TLSHandshakeTimeout: 45 * time.Second, ResponseHeaderTimeout: 5 * time.Minute, IdleConnTimeout: 90 * time.Second,
			MaxIdleConnsPerHost: maxAsks, WriteBufferSize: writeBuffer, DisableCompression: true},
	}
}

// Close drops idle connections.
func (c *Client) Close() {
	c.small.CloseIdleConnections()
	c.bulk.CloseIdleConnections()
}

// Head asks where the server stands with this device.
func (c *Client) Head(ctx context.Context) (transport.Head, error) {
	var h transport.Head
	err := c.message(ctx, http.MethodGet, "/v1/head", nil, &h)
	return h, err
}

// Statements sends a batch.
func (c *Client) Statements(ctx context.Context, lines []byte) (transport.Accepted, error) {
	defer c.link.talk()()
	var a transport.Accepted
	err := c.message(ctx, http.MethodPost, "/v1/statements", lines, &a)
	return a, err
}

// AskStored asks for a stored receipt.
func (c *Client) AskStored(ctx context.Context, rec evidence.RecordingID) (transport.Stored, error) {
	var s transport.Stored
	err := c.message(ctx, http.MethodPost, "/v1/recordings/"+rec.String()+"/stored", nil, &s)
	return s, err
}

// Register asks for the department's register if it is another than the one known by its version. Errors: ErrNoRegister; ErrSame.
func (c *Client) Register(ctx context.Context, version evidence.Digest) (r transport.Register, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath("/v1/register").String(), nil)
	if err != nil {
		return r, err
	}
	if !version.IsZero() {
		req.Header.Set("If-None-Match", `"`+version.String()+`"`)
	}
	resp, err := c.small.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	c.hears(resp)
	switch resp.StatusCode {
	case http.StatusNoContent:
		return r, ErrNoRegister
	case http.StatusNotModified:
		return r, ErrSame
	case http.StatusOK:
		err = json.NewDecoder(io.LimitReader(resp.Body, maxRegister)).Decode(&r)
		return r, err
	}
	return r, transport.ReadError(resp)
}

// What Register answers when there is nothing new.
var (
	ErrNoRegister = errors.New("the server has no register yet")
	ErrSame       = errors.New("it is the one that is known")
)

// maxRegister is how many bytes a register may have.
const maxRegister = 64 << 20

// Known asks which files the server has stored already.
func (c *Client) Known(ctx context.Context, req transport.KnownRequest) (a transport.KnownAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err = c.messageJSON(ctx, "/v1/known", req, &a)
	return a, err
}

// messageJSON posts a small request.
func (c *Client) messageJSON(ctx context.Context, path string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.message(ctx, http.MethodPost, path, raw, answer)
}

// ask sends a small request and returns its answer if it was granted. Errors: *transport.Error for a refusal; else the network's.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.small.Do(req)
	if err != nil {
		return nil, err
	}
	c.hears(resp)
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, transport.ReadError(resp)
	}
	return resp, nil
}

// Orders reports what this recorder does, and returns what it is to do; the server answers when there is something new. Errors as of ask.
func (c *Client) Orders(ctx context.Context, r transport.Report) (o transport.Orders, err error) {
	err = c.messageJSON(ctx, "/v1/orders", r, &o)
	return o, err
}

// Send sends a small request of another protocol (WHIP) as this device and returns the answer, whatever its status. The path is the server's, as it
// stands in a Location. The caller closes the body.
func (c *Client) Send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	ref, err := url.Parse(path)
	if err != nil || ref.IsAbs() || ref.Host != "" {
		return nil, fmt.Errorf("%q is no path at this server", path)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.ResolveReference(ref).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	return c.small.Do(req)
}

// message sends a small request and reads its answer. Errors as of ask.
func (c *Client) message(ctx context.Context, method, path string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	resp, err := c.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, transport.MaxAnswer+1))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if len(raw) > transport.MaxAnswer {
		return errors.New("read answer: it is too long")
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// PutChunk sends a chunk's bytes to where the server wants them. It takes as long as it takes, while something moves.
func (c *Client) PutChunk(ctx context.Context, w transport.Wanted, body io.Reader, size int64) error {
	ref, err := url.Parse(w.URL)
	if err != nil {
		return fmt.Errorf("address for chunk %d: %w", w.Index, err)
	}
	to := c.base.ResolveReference(ref)
	if to.Scheme != "https" {
		return fmt.Errorf("address for chunk %d: %s is not https", w.Index, to.Redacted())
	}
	c.link.move(1)
	defer c.link.move(-1)
	ctx, answered := used(ctx)
	method := w.Method
	if method == "" {
		method = http.MethodPut
	}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), io.NopCloser(body))
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/octet-stream")
	for k, v := range w.Headers {
		req.Header.Set(k, v)
	}
	resp, err := c.bulk.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answered()
	if resp.StatusCode/100 != 2 {
		return transport.ReadError(resp)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, transport.MaxAnswer))
	return err
}
