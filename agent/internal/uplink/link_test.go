package uplink

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes returns two connections for chunks over one link, and counts what comes out of them. Time is a bubble's.
func pipes(t *testing.T, l *link) (conns [2]net.Conn, read *[2]atomic.Int64) {
	t.Helper()
	read = new([2]atomic.Int64)
	for i := range conns {
		ours, theirs := net.Pipe()
		c, err := l.bulk(func(context.Context, string, string) (net.Conn, error) { return ours, nil })(t.Context(), "", "")
		check(t, err)
		conns[i] = c
		go func() {
			buf := make([]byte, 64<<10)
			for {
				n, err := theirs.Read(buf)
				read[i].Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
	}
	return conns, read
}

// TestRateOfAllTogether: the rate holds for all connections together, smoothly, and a new one holds at once.
func TestRateOfAllTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(time.Now)
		conns, read := pipes(t, l)
		l.set(LinkMobile, 20<<10)
		for _, c := range conns {
			go func() {
				for {
					if _, err := c.Write(make([]byte, 16<<10)); err != nil {
						return
					}
				}
			}()
		}
		came := func(in time.Duration) int64 {
			before := read[0].Load() + read[1].Load()
			<-time.After(in)
			synctest.Wait()
			return read[0].Load() + read[1].Load() - before
		}
		came(2 * time.Second) // with what the bucket held
		for range 5 {
			if n := came(time.Second); n < 12<<10 || n > 28<<10 {
				t.Errorf("%d bytes in a second", n)
			}
		}
		l.set(LinkWiFi, 200<<10)
		came(time.Second)
		if n := came(10 * time.Second); n < 1900<<10 || n > 2100<<10 {
			t.Errorf("%d bytes in ten seconds at the new rate", n)
		}
		if a, b := read[0].Load(), read[1].Load(); a < b/3 || b < a/3 {
			t.Errorf("shared as %d and %d", a, b)
		}
		for _, c := range conns {
			check(t, c.Close())
		}
	})
}

// TestFootageYields: on a narrow link footage waits while statements are on their way, and not for ever; on another it does not.
func TestFootageYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(time.Now)
		conns, _ := pipes(t, l)
		takes := func() time.Duration {
			begun := time.Now()
			_, err := conns[0].Write(make([]byte, 100))
			check(t, err)
			return time.Since(begun)
		}
		done := l.talk()
		if d := takes(); d != 0 {
			t.Errorf("waited %s on a wide link", d)
		}
		l.narrow = true
		if d := takes(); d != yieldAtMost {
			t.Errorf("waited %s for statements that take long", d)
		}
		time.AfterFunc(time.Second, done)
		if d := takes(); d != time.Second {
			t.Errorf("waited %s for statements that take a second", d)
		}
		if d := takes(); d != 0 {
			t.Errorf("waited %s for nothing", d)
		}
		for _, c := range conns {
			check(t, c.Close())
		}
	})
}

// TestProgressIsWhatCounts: a connection that takes a little again and again is kept for as long as that; one that takes nothing is given up.
func TestProgressIsWhatCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(time.Now)
		l.narrow = true
		ours, theirs := net.Pipe()
		c, err := l.bulk(func(context.Context, string, string) (net.Conn, error) { return ours, nil })(t.Context(), "", "")
		check(t, err)
		l.move(1) // as a chunk's request does
		const size = 20 * smallWrite
		go func() {
			for range 20 {
				<-time.After(50 * time.Second)
				if _, err := io.CopyN(io.Discard, theirs, smallWrite); err != nil {
					t.Error(err)
				}
			}
		}()
		begun := time.Now()
		if n, err := c.Write(make([]byte, size)); err != nil || n != size || time.Since(begun) < 900*time.Second {
			t.Errorf("%d bytes in %s, %v", n, time.Since(begun), err)
		}
		begun = time.Now()
		if _, err := c.Write(make([]byte, size)); err == nil || time.Since(begun) != stalled {
			t.Errorf("given up after %s: %v", time.Since(begun), err)
		}
		_ = c.Close()
	})
}
