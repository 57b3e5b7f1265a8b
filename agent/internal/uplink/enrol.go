package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"camseal/pkg/tlog"
	"camseal/pkg/transport"
)

// Enrol asks to be enrolled, with a one-time token.
func (c *Client) Enrol(ctx context.Context, r transport.EnrolRequest) (transport.EnrolChallenge, error) {
	var a transport.EnrolChallenge
	err := c.messageJSON(ctx, "/v1/enrol", r, &a)
	return a, err
}

// AnswerEnrol answers the challenge. The same answer again gets the same device.
func (c *Client) AnswerEnrol(ctx context.Context, id string, r transport.EnrolAnswer) (transport.Enrolled, error) {
	var a transport.Enrolled
	err := c.messageJSON(ctx, "/v1/enrol/"+url.PathEscape(id), r, &a)
	return a, err
}

// Certificate asks for a new certificate over the same TLS key.
func (c *Client) Certificate(ctx context.Context) (transport.Certificate, error) {
	var a transport.Certificate
	err := c.message(ctx, http.MethodPost, "/v1/certificate", nil, &a)
	return a, err
}

// Checkpoint asks for the log's newest checkpoint: a signed note, unchecked.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	resp, err := c.ask(ctx, http.MethodGet, "/v1/checkpoint", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, tlog.MaxCheckpoint+1))
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	if len(raw) > tlog.MaxCheckpoint {
		return nil, errors.New("read checkpoint: it is too long")
	}
	return raw, nil
}

// Use makes connections from now on with another certificate over the device's TLS key.
func (c *Client) Use(cert tls.Certificate) {
	c.device.Store(&cert)
	c.Close()
}

// hears notes the server's clock. Whether a certificate is to be renewed is told by that clock alone: this machine's may be wrong.
func (c *Client) hears(resp *http.Response) {
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.server.Store(t.Unix())
		c.hearClock(t)
	}
}

// renewalDue reports whether by the server's clock less than a third of the certificate's time is left.
func (c *Client) renewalDue() bool {
	cert := c.device.Load()
	at := c.server.Load()
	if cert == nil || cert.Leaf == nil || at == 0 {
		return false
	}
	return !time.Unix(at, 0).Before(cert.Leaf.NotAfter.Add(-cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore) / 3))
}

const keyCertificate = "certificate"

// renew asks for a new certificate if it is time. A failure raises an alarm, and is tried again at the next turn.
func (u *Uplink) renew(ctx context.Context) {
	if u.Renewed == nil || !u.Client.renewalDue() {
		return
	}
	answer, err := u.Client.Certificate(ctx)
	var cert tls.Certificate
	if err == nil {
		cert, err = u.Renewed(answer.Certificate)
	}
	if err != nil {
		if ctx.Err() == nil {
			al, _ := explain(keyCertificate, u.Server, err)
			al.What = "this device's certificate could not be renewed: " + al.What
			u.alarms.raise(ctx, al)
		}
		return
	}
	u.Client.Use(cert)
	u.alarms.clear(ctx, keyCertificate)
	u.Logger.InfoContext(ctx, "the server renewed this device's certificate")
}
