package live

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"

	"camseal/agent/internal/feed"
)

func response(status int, body string, header ...string) func(context.Context) (*http.Response, error) {
	return func(context.Context) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// TestBadAnswers: whatever the server answers, the state says it in words, and trying again takes its time.
func TestBadAnswers(t *testing.T) {
	sdp := []string{"Content-Type", "application/sdp", "Location", "/s/1"}
	const noVideo = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 " +
		"00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\r\n" +
		"a=ice-ufrag:abcdefgh\r\na=ice-pwd:abcdefghabcdefghabcdefgh\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=setup:active\r\na=inactive\r\n"
	for name, c := range map[string]struct {
		post        func(context.Context) (*http.Response, error)
		says        string
		least, most int // tries in an hour
		session     bool
	}{
		"refused":       {response(403, `{"code":"revoked","message":"this device was withdrawn","do":"ask the custodian"}`), "this device was withdrawn; recording and sealing go on; ask the custodian", 20, 60, false},
		"no such page":  {response(404, "nothing here"), "the server answered", 20, 60, false},
		"broken":        {response(500, "<html>"), "the server answered", 200, 600, false},
		"busy":          {response(503, "", "Retry-After", "120"), "the server answered", 30, 31, false},
		"moved":         {response(307, "", "Location", "https://elsewhere.example/whip"), "the server answered", 20, 60, false},
		"garbage":       {response(201, "v=0\r\nthis is not a session", sdp...), "makes no sense", 200, 600, true},
		"other type":    {response(201, noVideo, "Location", "/s/1", "Content-Type", "text/html"), "no session description", 200, 600, true},
		"endless":       {response(201, strings.Repeat("a=x\r\n", 20000), sdp...), "no session description", 200, 600, true},
		"no session":    {response(201, noVideo, "Content-Type", "application/sdp"), "names no session", 200, 600, false},
		"takes nothing": {response(201, noVideo, sdp...), "takes no pictures coded as h264", 200, 600, true},
		"hangs":         {func(ctx context.Context) (*http.Response, error) { <-ctx.Done(); return nil, ctx.Err() }, "did not answer within 10s", 100, 300, false},
		"no network": {func(context.Context) (*http.Response, error) {
			return nil, &url.Error{Op: "Post", URL: "https://server/v1/live/whip", Err: errors.New("network is unreachable")}
		}, "no live pictures: the server can't be reached: network is unreachable;", 200, 600, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				posts, ended := 0, make(chan struct{})
				var deleted atomic.Int32 // an old session's end is told beside the next try
				p := New(Config{Now: time.Now, Log: slog.New(slog.DiscardHandler), Send: func(ctx context.Context, method, path string, _ http.Header, _ []byte) (*http.Response, error) {
					select {
					case <-ended:
						return nil, errors.New("over")
					default:
					}
					switch method {
					case http.MethodPost:
						posts++
						return c.post(ctx)
					case http.MethodDelete:
						deleted.Add(1)
						if path != "/s/1" {
							t.Errorf("DELETE %s", path)
						}
					}
					return response(200, "")(ctx)
				}})
				p.Tracks([]feed.Track{{Codec: feed.H264, Params: [][]byte{{0x67, 66, 0xc0, 30}, {0x68, 1}}}})
				must(t, p.Start(context.Background()))
				<-time.After(time.Hour)
				s := p.State()
				close(ended)
				if !s.Wanted || s.Publishing || !strings.Contains(s.Trouble, c.says) || !strings.Contains(s.Trouble, "recording and sealing go on") {
					t.Errorf("state %+v", s)
				}
				p.Stop(context.Background())
				if posts < c.least || posts > c.most {
					t.Errorf("%d tries in an hour", posts)
				}
				if deletes := int(deleted.Load()); c.session != (deletes > 0) || c.session && deletes < posts-1 {
					t.Errorf("%d sessions ended of %d", deletes, posts)
				}
				if s := p.State(); s.Wanted || s.Trouble != "" {
					t.Errorf("state after stopping %+v", s)
				}
			})
		})
	}
}

// TestStartAndStopAtAnyTime: a publisher that is started and stopped quickly ends as it was told last, and Start ends a long wait.
func TestStartAndStopAtAnyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		posts := 0
		p := New(Config{Now: time.Now, Log: slog.New(slog.DiscardHandler), Send: func(ctx context.Context, _, _ string, _ http.Header, _ []byte) (*http.Response, error) {
			posts++
			return response(403, "")(ctx)
		}})
		p.Tracks([]feed.Track{{Codec: feed.PCMU, Rate: 8000, Channels: 1}})
		ctx, cancel := context.WithCancel(context.Background())
		for range 20 {
			must(t, p.Start(ctx))
			p.Stop(ctx)
		}
		must(t, p.Start(ctx))
		cancel() // of the command that started it, not of publishing
		<-time.After(10 * time.Minute)
		if s := p.State(); !s.Wanted || s.Trouble == "" {
			t.Errorf("state %+v", s)
		}
		before := posts
		must(t, p.Start(context.Background()))
		<-time.After(time.Second)
		if posts != before+1 {
			t.Errorf("%d tries after it was wanted once more", posts-before)
		}
		p.Stop(context.Background())
		if s := p.State(); s.Wanted {
			t.Errorf("state %+v", s)
		}
	})
}

func TestLinks(t *testing.T) {
	got := iceServers([]string{
		`<stun:stun.example.net>; rel="ice-server"`,
		`<turn:turn.example.net:3478?transport=udp>; rel="ice-server"; username="a \"b\", c; d"; credential="x<y>" ; credential-type="password", <turns:[2001:db8::1]?transport=tcp>;rel=ice-server;username=u;credential=p`,
		`</next>; rel=next, <https://example.net/>; rel="ice-server", <turn:no.credentials>; rel="ice-server", <stun:>; rel=ice-server`,
		`<stun:good.example>; =; ;; rel`, `<`, `<stun:x`, `garbage`, `<stun:y>;rel="ice-server`, "",
	})
	want := []ICEServer{
		{URLs: []string{"stun:stun.example.net"}},
		{URLs: []string{"turn:turn.example.net:3478?transport=udp"}, Username: `a "b", c; d`, Credential: "x<y>"},
		{URLs: []string{"turns:[2001:db8::1]?transport=tcp"}, Username: "u", Credential: "p"},
		{URLs: []string{"stun:y"}},
	}
	if !slices.EqualFunc(got, want, func(a, b ICEServer) bool {
		return slices.Equal(a.URLs, b.URLs) && a.Username == b.Username && a.Credential == b.Credential
	}) {
		t.Errorf("got %+v", got)
	}
	if n := len(iceServers([]string{strings.Repeat("<stun:a.example>;rel=ice-server,", 1000)})); n != serversMax {
		t.Errorf("%d servers taken", n)
	}
	for location, want := range map[string]string{"s/1?a=b": "/v1/live/s/1?a=b", "/x/../y": "/y", "https://other.example:1/z": "/z", "": "", "//h": "", "data:,x": "", "%zz": "", "?x": "/v1/live/whip?x"} {
		if got, err := sessionPath("/v1/live/whip", location); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q: %v", location, got, err)
		}
	}
}

// FuzzLinks: no header makes it fail or go on for ever.
func FuzzLinks(f *testing.F) {
	f.Add(`<stun:stun.example.net>; rel="ice-server", <turn:x>;username="\`)
	f.Add(`<;,;=<>"\`)
	f.Fuzz(func(t *testing.T, l string) {
		for _, s := range iceServers([]string{l}) {
			if !usable(s) {
				t.Errorf("%q gives %+v", l, s)
			}
		}
	})
}

// TestNarrowLink: over a link that carries a tenth of the stream, single pictures go, not more than it carries, and with room again all of them.
func TestNarrowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(time.Now, nil)
		const link, stream, key = 50_000, 500_000, 60_000 // bytes a second; bytes of a key picture
		turn := time.NewTicker(time.Second / 25)
		defer turn.Stop()
		var admitted, since, keys int
		run := func(seconds, link int) (rate float64) {
			admitted = 0
			for i := range seconds * 25 {
				<-turn.C
				u := taken{Unit: feed.Unit{PTS: time.Duration(i) * time.Second / 25, Key: i%50 == 0}}
				n := (stream*2 - key) / 49
				if u.Key {
					n = key
				}
				if p.admits(u, n) {
					admitted, since = admitted+n, since+n
					p.mu.Lock()
					p.sent += n
					p.mu.Unlock()
					if u.Key {
						keys++
					}
				}
				if i%25 == 24 {
					p.heard(math.Max(0, 1-float64(link)/math.Max(float64(since), 1)))
					since = 0
				}
			}
			return float64(admitted) / float64(seconds)
		}
		run(30, link) // finds out
		keys = 0
		if rate := run(60, link); rate > 1.5*link || keys < 5 {
			t.Errorf("%.0f bytes a second with %d key pictures over a link of %d", rate, keys, link)
		}
		if _, single := p.view(); !single {
			t.Error("single pictures are not said")
		}
		run(60, 10*stream)
		if rate := run(20, 10*stream); rate < 0.98*stream {
			t.Errorf("%.0f bytes a second over a wide link", rate)
		}
	})
}

// TestRepairs: what is sent once more is what was sent just now, and a quarter of the speed at most, whatever the receiver asks for.
func TestRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(time.Now, func() int { return 800_000 })
		sent := map[uint16]int{}
		h, err := (&repairs{pace: p}).NewInterceptor("")
		must(t, err)
		w := h.BindLocalStream(nil, interceptor.RTPWriterFunc(func(h *rtp.Header, _ []byte, _ interceptor.Attributes) (int, error) {
			sent[h.SequenceNumber]++
			return 1000, nil
		}))
		write := func(n uint16) {
			_, err := w.Write(&rtp.Header{SequenceNumber: n}, make([]byte, 1000), nil)
			must(t, err)
		}
		turn := time.NewTicker(10 * time.Millisecond)
		defer turn.Stop()
		const seconds = 20
		first := uint16(65000)
		for i := range uint16(seconds * 100) {
			<-turn.C
			n := first + i
			write(n)
			for back := range min(i, 50) { // a greedy receiver
				write(n - back)
			}
		}
		total := 0
		for _, n := range sent {
			total += n
		}
		again := total - seconds*100
		if again < seconds*20 || again > seconds*27 {
			t.Errorf("%d packets were sent once more in %d s", again, seconds)
		}
		before := total
		write(first + seconds*100 - 300) // 3 s old
		<-time.After(time.Second)
		write(first + seconds*100 - 299)
		for _, n := range sent {
			before -= n
		}
		if before != 0 {
			t.Error("old packets were sent once more")
		}
	})
}

// TestCache: it is bounded, gives every unit once and in order, and begins only with a key one.
func TestCache(t *testing.T) {
	c := newCache(1000)
	c.reset(true)
	unit := func(n byte, bytes int, key bool) feed.Unit {
		return feed.Unit{Key: key, PTS: time.Duration(n) * time.Second, Data: [][]byte{slices.Repeat([]byte{n}, bytes)}}
	}
	read := func() (all []byte) {
		for {
			u, ok := c.take()
			if !ok {
				return all
			}
			all = append(all, u.Data[0][0])
		}
	}
	expect := func(what string, want ...byte) {
		t.Helper()
		if got := read(); !bytes.Equal(got, want) || c.bytes > c.max {
			t.Errorf("%s: read %v, want %v; %d bytes held", what, got, want, c.bytes)
		}
	}
	for n := range byte(10) {
		c.add(unit(n, 100, n == 4))
	}
	c.open()
	expect("from the last key unit", 4, 5, 6, 7, 8, 9)
	c.add(unit(10, 600, false))
	expect("a group too large is still given to a reader that keeps up", 10)
	if c.rewind(c.max) {
		t.Error("a group that is not held was gone back to")
	}
	c.add(unit(11, 100, false))
	c.add(unit(12, 800, true))
	expect("the next group", 11, 12)
	c.add(unit(13, 400, false))
	c.add(unit(14, 500, true))
	c.add(unit(15, 200, false))
	expect("a reader that fell behind goes on at the key unit", 14, 15)
	if c.rewind(699) || !c.rewind(700) {
		t.Error("a group is gone back to by its size")
	}
	expect("once more", 14, 15)
	c.add(unit(16, 2000, true))
	c.add(unit(17, 10, false))
	expect("without a key unit nothing")
	c.close()
	c.add(unit(18, 10, true))
	c.open()
	expect("again", 18)
	c.reset(false)
	c.add(unit(19, 10, false))
	expect("sound alone", 19)
	c.reset(true)
	c.add(unit(30, 10, true))
	for n := range byte(2) { // sound that lags behind the pictures is not late
		u := unit(20+n, 10, false)
		u.Track = 1
		c.add(u)
	}
	for i, want := range []time.Duration{0, time.Second, 0} {
		if got, ok := c.take(); !ok || got.behind != want {
			t.Errorf("unit %d is %v behind", i, got.behind)
		}
	}
}
