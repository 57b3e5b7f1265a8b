package ingest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// How long a request may take: a narrow link is served, a dead one is not. What counts is that something comes.
const (
	stallPatience = time.Minute      // without a byte of the body
	bodyPatience  = 10 * time.Minute // for the whole of it, and then for what is done with it
	leastPace     = 512              // bytes/s: for each of so many bytes that came, the whole may take a second longer
)

// patient has a request's body read as long as something comes, and returns the context for what is done with it. The server's own limits are for
// idle connections, headers and answers.
func (h handler) patient(c *gin.Context) (ctx context.Context, done func()) {
	ctx, stop := context.WithCancel(c.Request.Context())
	p := &patience{ReadCloser: c.Request.Body, conn: http.NewResponseController(c.Writer), now: h.Now, begun: h.Now()}
	p.work = time.AfterFunc(bodyPatience, stop)
	p.extend()
	c.Request.Body = p
	return ctx, func() {
		p.work.Stop()
		stop()
	}
}

// patience is a body whose deadlines move with what comes of it.
type patience struct {
	io.ReadCloser
	conn *http.ResponseController
	now  func() time.Time
	work *time.Timer // ends the work on a body from which nothing was read for bodyPatience

	begun, extended time.Time
	bytes           int64
}

// Read implements io.Reader.
func (p *patience) Read(b []byte) (int, error) {
	if p.now().Sub(p.extended) > time.Second {
		p.extend()
	}
	n, err := p.ReadCloser.Read(b)
	p.bytes += int64(n)
	if errors.Is(err, io.EOF) { // from here on the connection only listens whether the other end goes away
		p.answer()
	}
	return n, err
}

// extend gives the body, and the answer after it, their time from now on.
func (p *patience) extend() {
	p.answer()
	last := p.begun.Add(bodyPatience + time.Duration(p.bytes/leastPace)*time.Second)
	next := p.extended.Add(stallPatience)
	if next.After(last) {
		next = last
	}
	_ = p.conn.SetReadDeadline(next)
}

// answer gives what is done with the body, and the answer, their time from now on. Not all connections have deadlines; then none is set.
func (p *patience) answer() {
	p.extended = p.now()
	end := p.extended.Add(stallPatience + 2*bodyPatience)
	_ = p.conn.SetReadDeadline(end)
	_ = p.conn.SetWriteDeadline(end)
	p.work.Reset(bodyPatience)
}
