package live_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"camseal/server/internal/live"
	"camseal/server/internal/live/livetest"
)

const film = "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4"

var footage = sync.OnceValues(func() (livetest.Footage, error) {
	return livetest.Film(context.Background(), film, time.Second/30)
})

// rig is a relay behind HTTP.
type rig struct {
	*live.Relay
	t   *testing.T
	ctx context.Context
	url string

	mu       sync.Mutex
	needed   []string
	watchers []int
	need     func(string)
}

func newRig(t *testing.T, cfg live.Config) *rig {
	t.Helper()
	ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
	g := &rig{t: t, ctx: ctx}
	cfg.Now = time.Now
	said := &untilEnd{t: t}
	cfg.Slog = slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Need = func(s string) {
		g.mu.Lock()
		g.needed = append(g.needed, s)
		need := g.need
		g.mu.Unlock()
		if need != nil {
			need(s)
		}
	}
	cfg.Watchers = func(_ string, n int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.watchers = append(g.watchers, n)
	}
	var err error
	if g.Relay, err = live.New(cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/whip/{stream}", func(w http.ResponseWriter, r *http.Request) { g.WHIP(w, r, r.PathValue("stream"), r.URL.Path) })
	mux.HandleFunc("/whip/{stream}/{session}", func(w http.ResponseWriter, r *http.Request) {
		g.WHIPSession(w, r, r.PathValue("stream"), r.PathValue("session"))
	})
	mux.HandleFunc("/whep/{stream}", func(w http.ResponseWriter, r *http.Request) { g.WHEP(w, r, r.PathValue("stream"), r.URL.Path) })
	mux.HandleFunc("/whep/{stream}/{session}", func(w http.ResponseWriter, r *http.Request) {
		g.WHEPSession(w, r, r.PathValue("stream"), r.PathValue("session"))
	})
	mux.HandleFunc("/page", servePage)
	server := httptest.NewServer(mux)
	g.url = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		done()
		said.end()
	})
	return g
}

// untilEnd drops what is said when the test is over: connections end in the background.
type untilEnd struct {
	t     *testing.T
	mu    sync.Mutex
	ended bool
}

func (u *untilEnd) Write(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return len(b), nil
	}
	return u.t.Output().Write(b)
}

func (u *untilEnd) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
}

func (g *rig) publish(stream string, o livetest.Options) *livetest.Publisher {
	g.t.Helper()
	f, err := footage()
	if err != nil {
		g.t.Fatal(err)
	}
	p, err := livetest.Publish(g.ctx, g.url+"/whip/"+stream, f, o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = p.Stop() })
	return p
}

func (g *rig) watch(stream string, o livetest.Options) *livetest.Viewer {
	g.t.Helper()
	v, err := livetest.Watch(g.ctx, g.url+"/whep/"+stream, true, o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = v.PC.Close() })
	return v
}

func (g *rig) until(v *livetest.Viewer, what string, enough func(livetest.Seen) bool) livetest.Seen {
	g.t.Helper()
	s, err := v.Until(g.ctx, enough)
	if err != nil {
		g.t.Fatalf("waiting for %s: %v; %d pictures, %d broken, %d packets, %d missing, %d sounds", what, err, len(s.Pictures), s.Broken, s.Packets, s.Missing, len(s.Sound))
	}
	return s
}

func pictures(n int) func(livetest.Seen) bool {
	return func(s livetest.Seen) bool { return len(s.Pictures) >= n }
}

// real checks that pictures are those of the footage, byte for byte and one after another, from a keyframe on.
func (g *rig) real(got [][]byte) {
	g.t.Helper()
	f, err := footage()
	if err != nil {
		g.t.Fatal(err)
	}
	at := slices.IndexFunc(f.Pictures, func(p livetest.Picture) bool { return string(p.Bytes()) == string(got[0]) })
	if at < 0 || !f.Pictures[at].Key {
		g.t.Fatalf("the first picture is number %d of the footage, not a keyframe", at)
	}
	for i, b := range got {
		if string(f.Pictures[(at+i)%len(f.Pictures)].Bytes()) != string(b) {
			is := slices.IndexFunc(f.Pictures, func(p livetest.Picture) bool { return string(p.Bytes()) == string(b) })
			g.t.Fatalf("picture %d, of %d bytes, is not number %d of the footage, of %d bytes, but %d", i, len(b), (at+i)%len(f.Pictures), len(f.Pictures[(at+i)%len(f.Pictures)].Bytes()), is)
		}
	}
}

// TestForward: real footage arrives bit by bit, with sound, at somebody who was there before and at one who comes late.
func TestForward(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{})
	o := livetest.Options{Audio: "audio/opus"}
	g.publish("cam", o)
	early := g.watch("cam", o)
	s := g.until(early, "pictures", func(s livetest.Seen) bool { return len(s.Pictures) > 40 && len(s.Sound) > 20 })
	late := g.watch("cam", o)
	l := g.until(late, "pictures", pictures(40))
	for _, s := range []livetest.Seen{s, l} {
		g.real(s.Pictures)
		if s.Broken+s.Back > 0 || s.Missing > 0 {
			t.Errorf("%d broken, %d missing, %d back in time", s.Broken, s.Missing, s.Back)
		}
	}
	for i := range s.Sound[1:] {
		if a, b := s.Sound[i], s.Sound[i+1]; int(b[0])<<8+int(b[1]) != int(a[0])<<8+int(a[1])+1 {
			t.Errorf("sound %v follows %v", b, a)
		}
	}
	st := g.Streams()[0]
	if st.Name != "cam" || !st.Publishing || st.Video != "video/H264" || st.Audio != "audio/opus" || st.Viewers != 2 || st.In == 0 || st.Out == 0 || st.Reason != "" {
		t.Errorf("state %+v", st)
	}
	t.Logf("first keyframe after %v and %v", s.First, l.First)
}

func (g *rig) request(method, to, kind, body string, header http.Header) *http.Response {
	g.t.Helper()
	resp, _, err := livetest.Request(g.ctx, nil, method, to, kind, body, header)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp
}

func (g *rig) eventually(what string, ok func() bool) {
	g.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-g.ctx.Done():
			g.t.Fatalf("waiting for %s: %v", what, g.ctx.Err())
		}
	}
}
