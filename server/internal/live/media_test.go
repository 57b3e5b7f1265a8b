package live_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"camseal/server/internal/live"
	"camseal/server/internal/live/livetest"
)

// sparse is footage with one keyframe in 4 s.
var sparse = sync.OnceValues(func() (livetest.Footage, error) {
	return livetest.Coded(context.Background(), film, 4, 1_000_000, 120, "-s", "640x360")
})

// TestLateViewer: who comes between two keyframes that lie far apart gets a picture that can be decoded, and all after it, at once; so does who
// asks for a keyframe, and time never goes back for him. The publisher is asked for keyframes once a second at most.
func TestLateViewer(t *testing.T) {
	g := newRig(t, live.Config{})
	f, err := sparse()
	if err != nil {
		t.Fatal(err)
	}
	p, err := livetest.Publish(g.ctx, g.url+"/whip/cam", f, livetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	g.until(g.watch("cam", livetest.Options{}), "some footage", pictures(45))
	late := g.watch("cam", livetest.Options{})
	s := g.until(late, "what came before", pictures(45))
	if string(s.Pictures[0]) != string(f.Pictures[0].Bytes()) {
		t.Error("the first picture is not the keyframe")
	}
	if n := playable(t, s.Pictures); n < 45 {
		t.Errorf("%d pictures can be decoded", n)
	}
	n := len(s.Pictures)
	if err := late.AskKey(); err != nil {
		t.Fatal(err)
	}
	isKey := func(b []byte) bool { return string(b) == string(f.Pictures[0].Bytes()) }
	s = g.until(late, "the keyframe again", func(s livetest.Seen) bool {
		return len(s.Pictures) > n && slices.ContainsFunc(s.Pictures[n:], isKey)
	})
	again := n + slices.IndexFunc(s.Pictures[n:], isKey)
	s = g.until(late, "pictures after it", pictures(again+20))
	for i, b := range s.Pictures[again : again+20] {
		if string(b) != string(f.Pictures[i].Bytes()) {
			t.Fatalf("picture %d after the keyframe was repeated is another one", i)
		}
	}
	if s.Back+s.Broken > 0 || s.Missing > 0 {
		t.Errorf("%d times back, %d broken, %d missing", s.Back, s.Broken, s.Missing)
	}
	for range 10 {
		if err := late.AskKey(); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.PLIs.Load(); n > 4 {
		t.Errorf("the publisher was asked for keyframes %d times", n)
	}
}

// TestPublisherReconnects: the publisher loses its connection without a word and comes back; viewers go on in the same tracks, with numbers and times that go
// on. When it is gone for good, they are ended.
func TestPublisherReconnects(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{Grace: time.Second})
	first := g.publish("cam", livetest.Options{Audio: "audio/PCMA"})
	v := g.watch("cam", livetest.Options{Audio: "audio/PCMA"})
	n := len(g.until(v, "pictures", pictures(5)).Pictures)
	second := g.publish("cam", livetest.Options{Audio: "audio/PCMA"}) // the first one's session is replaced
	if err := first.Stop(); err != nil {
		t.Error(err)
	}
	s := g.until(v, "pictures of the second", pictures(n+40))
	if s.Back > 0 || s.Missing > 0 {
		t.Errorf("%d times back, %d missing", s.Back, s.Missing)
	}
	if resp := g.request(http.MethodDelete, first.URL, "", "", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the session that was replaced answers %d", resp.StatusCode)
	}
	if err := second.Delete(g.ctx); err != nil {
		t.Error(err)
	}
	g.eventually("the viewer to be ended", func() bool { return len(g.Streams()) == 0 })
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Equal(g.watchers, []int{1, 0}) {
		t.Errorf("watchers: %v", g.watchers)
	}
}

// TestManyViewers: 25 viewers at once, each gets all of it.
func TestManyViewers(t *testing.T) {
	g := newRig(t, live.Config{})
	f, err := sparse()
	if err != nil {
		t.Fatal(err)
	}
	p, err := livetest.Publish(g.ctx, g.url+"/whip/cam", f, livetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	var viewers []*livetest.Viewer
	for range 25 {
		viewers = append(viewers, g.watch("cam", livetest.Options{}))
	}
	for _, v := range viewers {
		s := g.until(v, "pictures", pictures(60))
		for i, b := range s.Pictures[:60] {
			if string(b) != string(f.Pictures[i].Bytes()) {
				t.Fatalf("picture %d differs", i)
			}
		}
	}
	if s := g.Streams()[0]; s.Viewers != 25 {
		t.Errorf("%+v", s)
	}
}

// lossy drops one packet in ten of those that come in, after the first few.
type lossy struct {
	net.PacketConn
	n       int
	dropped atomic.Int64
}

func (l *lossy) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, a, err := l.PacketConn.ReadFrom(p)
		if l.n++; err == nil && l.n > 50 && l.n%10 == 0 {
			l.dropped.Add(1)
			continue
		}
		return n, a, err
	}
}

// TestRepair: a viewer's line loses every tenth packet, and so does the publisher's; the viewer's pictures are whole.
func TestRepair(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{})
	line := func() (*lossy, livetest.Options) {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.UDPConn).SetReadBuffer(4 << 20); err != nil { // else the kernel drops much more, on a busy machine
			t.Fatal(err)
		}
		l := &lossy{PacketConn: conn}
		t.Cleanup(func() { _ = conn.Close() })
		return l, livetest.Options{Engine: func(e *webrtc.SettingEngine) {
			e.SetICEUDPMux(webrtc.NewICEUDPMux(nil, l))
		}}
	}
	g.publish("cam", livetest.Options{})
	l, o := line()
	s := g.until(g.watch("cam", o), "pictures", pictures(60))
	g.real(s.Pictures)
	if n := l.dropped.Load(); n < 100 || s.Missing > 0 {
		t.Errorf("%d packets dropped, %d missing", n, s.Missing)
	}
	t.Logf("%d packets dropped, all repaired", l.dropped.Load())
}

// TestNobodyPublishes: who wants to watch waits until the publisher has been called; if it does not come, the answer says so.
func TestNobodyPublishes(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{Patience: 300 * time.Millisecond})
	_, err := livetest.Watch(g.ctx, g.url+"/whep/cam", true, livetest.Options{})
	var refused *livetest.Refused
	if !errors.As(err, &refused) || refused.Status != 503 || refused.Header.Get("Retry-After") == "" {
		t.Fatalf("nobody publishes: %v", err)
	}
	if n := len(g.Streams()); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	var publisher *livetest.Publisher
	g.mu.Lock()
	g.need = func(s string) { publisher = g.publish(s, livetest.Options{}) }
	g.mu.Unlock()
	g.until(g.watch("cam", livetest.Options{}), "pictures", pictures(5))
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Equal(g.needed, []string{"cam", "cam"}) || publisher == nil {
		t.Errorf("needed: %v", g.needed)
	}
}

// TestLimits: more viewers or streams than allowed get words, and places are free again when somebody leaves.
func TestLimits(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{MaxViewers: 2, MaxAllViewers: 3, MaxStreams: 2})
	for _, s := range []string{"a", "b"} {
		g.publish(s, livetest.Options{})
	}
	refused := func(path string) {
		t.Helper()
		_, err := livetest.Watch(g.ctx, g.url+path, true, livetest.Options{})
		var r *livetest.Refused
		if !errors.As(err, &r) || r.Status != 503 || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
	first := g.watch("a", livetest.Options{})
	g.watch("a", livetest.Options{})
	refused("/whep/a") // of one stream
	g.watch("b", livetest.Options{})
	refused("/whep/b") // of all
	refused("/whep/c") // streams
	if _, err := livetest.Publish(g.ctx, g.url+"/whip/c", livetest.Footage{}, livetest.Options{}); err == nil {
		t.Error("a third stream was taken")
	}
	if err := first.Delete(g.ctx); err != nil {
		t.Error(err)
	}
	g.watch("b", livetest.Options{})
}
