package ingest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
)

// oneConn is a listener that has one connection.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { close(l.done); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// TestPatience: a body may take long, as long as something comes; when nothing does, or hardly anything, it is given up.
func TestPatience(t *testing.T) {
	for name, c := range map[string]struct {
		pause  time.Duration // between two pieces
		piece  int
		pieces int
		whole  bool
	}{
		"4 KiB/s":          {time.Second, 4 << 10, 3000, true}, // 50 minutes
		"long pauses":      {50 * time.Second, 64 << 10, 60, true},
		"silence":          {70 * time.Second, 1 << 10, 2, false},
		"a byte at a time": {40 * time.Second, 1, 60, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { slowly(t, c.pause, c.piece, c.pieces, c.whole) })
		})
	}
}

func slowly(t *testing.T, pause time.Duration, piece, pieces int, whole bool) {
	h := handler{Service: &Service{Config: Config{Now: time.Now}}}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.PUT("/", func(c *gin.Context) {
		ctx, done := h.patient(c)
		defer done()
		n, err := io.Copy(io.Discard, c.Request.Body)
		if err != nil || n != int64(piece*pieces) || ctx.Err() != nil {
			c.Status(http.StatusServiceUnavailable)
			return
		}
		select { // what is done with it may take its time too
		case <-ctx.Done():
			c.Status(http.StatusServiceUnavailable)
			return
		case <-time.After(bodyPatience - time.Second):
		}
		c.Status(http.StatusNoContent)
	})
	ours, theirs := net.Pipe()
	on := &oneConn{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	on.conns <- theirs
	// As in package app.
	srv := &http.Server{Handler: r, ReadHeaderTimeout: 15 * time.Second, ReadTimeout: 20 * time.Minute, WriteTimeout: 20 * time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(on)
	}()
	answer := make(chan int, 1)
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if err != nil {
			answer <- 0
			return
		}
		resp.Body.Close()
		answer <- resp.StatusCode
	}()
	_, err := fmt.Fprintf(ours, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", piece*pieces)
	for i := 0; i < pieces && err == nil; i++ {
		<-time.After(pause)
		_, err = ours.Write(make([]byte, piece))
	}
	if got := <-answer; whole != (got == http.StatusNoContent) || whole != (err == nil) {
		t.Errorf("answered %d; written: %v", got, err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	ours.Close()
	<-ended
}
