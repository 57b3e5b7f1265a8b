package feed

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/scripts/camera/recorder"
)

// recorded is a sink that keeps all it gets, and checks what every feed promises.
type recorded struct {
	t        *testing.T
	mu       sync.Mutex
	changed  chan struct{}
	tracks   [][]Track
	units    []Unit
	troubles []Trouble
	fresh    bool // no picture came since the tracks were said
	last     [2]time.Duration
}

func (r *recorded) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorded) Tracks(t []Track) {
	r.change(func() { r.tracks, r.fresh, r.last = append(r.tracks, t), true, [2]time.Duration{-1, -1} })
}

func (r *recorded) Trouble(t Trouble) {
	r.t.Logf("%s: %s, from %v", t.Why, t.Detail, t.From)
	r.change(func() { r.troubles = append(r.troubles, t) })
}

func (r *recorded) Unit(u Unit) {
	r.change(func() {
		if len(r.tracks) == 0 {
			r.t.Error("a unit before its tracks")
			return
		}
		track := r.tracks[len(r.tracks)-1][u.Track]
		if track.Codec.Video() {
			if r.fresh && !u.Key {
				r.t.Error("the first picture is no key one")
			}
			r.fresh = false
		}
		if u.DTS <= r.last[u.Track] || u.PTS < u.DTS {
			r.t.Errorf("track %d: DTS %v after %v, PTS %v", u.Track, u.DTS, r.last[u.Track], u.PTS)
		}
		r.last[u.Track] = u.DTS
		r.units = append(r.units, u)
	})
}

// until waits until what it is asked for is so. The lock is held while it is asked.
func (r *recorded) until(what string, is func() bool) {
	r.t.Helper()
	timeout := time.After(time.Minute)
	for {
		r.mu.Lock()
		ok, changed := is(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			r.t.Fatalf("waited in vain: %s; tracks %v, %d units, troubles %v", what, r.tracks, len(r.units), r.troubles)
		}
	}
}

func (r *recorded) count(track int) (n int) {
	for _, u := range r.units {
		if u.Track == track {
			n++
		}
	}
	return n
}

// trouble reports whether a trouble of a kind was said.
func (r *recorded) trouble(why, detail string) func() bool {
	return func() bool {
		return slices.ContainsFunc(r.troubles, func(t Trouble) bool { return t.Why == why && strings.Contains(t.Detail, detail) })
	}
}

// more waits until so many units more came.
func (r *recorded) more(track, n int) {
	r.t.Helper()
	r.mu.Lock()
	have := r.count(track)
	r.mu.Unlock()
	r.until(fmt.Sprintf("%d more of track %d", n, track), func() bool { return r.count(track) >= have+n })
}

// take runs a source until the test ends.
func take(t *testing.T, c Config) *recorded {
	t.Helper()
	c.Now = time.Now
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorded{t: t, changed: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, r) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// short is a camera that is quick to encode.
func short(c recorder.Config) recorder.Config {
	c.Size, c.Bitrate, c.Length, c.GOP = "320x180", "400k", 4*time.Second, 500*time.Millisecond
	return c
}

func camera(t *testing.T, c recorder.Config) *recorder.Camera {
	t.Helper()
	k, err := recorder.Start(t.Context(), short(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// TestMain lets more tests run at once than there are processors: they mostly wait for a camera.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" {
		if err := flag.Set("test.parallel", "12"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func freePorts(t *testing.T) int {
	t.Helper()
	for port := 20_000; port < 30_000; port += 2 {
		var free bool
		for i := range 2 {
			c, err := listenUDP(port + i)
			if free = err == nil; !free {
				break
			}
			c.Close()
		}
		if free {
			return port
		}
	}
	t.Fatal("no free ports")
	return 0
}

// TestRTSP takes real footage from an RTSP server: what is said of it is right, and its sound and pictures are in step.
func TestRTSP(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct {
		camera recorder.Config
		udp    bool
		tracks []Track
	}{
		"H.264 and G.711": {recorder.Config{Audio: "pcma", User: "watch", Password: "se/cret"}, false, []Track{{Codec: H264, Width: 320, Height: 180}, {Codec: PCMA, Rate: 8000, Channels: 1}}},
		"H.265 and AAC":   {recorder.Config{Codec: "h265", Audio: "aac"}, false, []Track{{Codec: H265, Width: 320, Height: 180}, {Codec: AAC, Rate: 48000, Channels: 1}}},
		"parameters said only in the description": {recorder.Config{Audio: "none", Outside: true}, false, []Track{{Codec: H264, Width: 320, Height: 180}}},
		"by UDP": {recorder.Config{UDP: freePorts(t)}, true, []Track{{Codec: H264, Width: 320, Height: 180}, {Codec: PCMA, Rate: 8000, Channels: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := take(t, Config{URL: camera(t, k.camera).URL(), UDP: k.udp})
			r.until("pictures", func() bool { return r.count(0) >= 90 })
			r.mu.Lock()
			defer r.mu.Unlock()
			checkTracks(t, r, k.tracks)
			if k.udp { // what comes by different ways comes in any order
				checkPace(t, r.units, 1)
			} else {
				checkPace(t, r.units, len(k.tracks))
			}
			if len(r.troubles) > 0 {
				t.Errorf("troubles: %v", r.troubles)
			}
			for _, u := range r.units {
				if u.Track == 0 && u.PTS != u.DTS {
					t.Fatal("pictures are reordered")
				}
			}
		})
	}
}

func checkTracks(t *testing.T, r *recorded, want []Track) {
	t.Helper()
	if len(r.tracks) != 1 || len(r.tracks[0]) != len(want) {
		t.Fatalf("tracks %v", r.tracks)
	}
	for i, got := range r.tracks[0] {
		if n := map[Codec]int{H264: 2, H265: 3, AAC: 1}[got.Codec]; len(got.Params) != n {
			t.Errorf("%s has %d parameter sets", got.Codec, len(got.Params))
		}
		got.Params = nil
		if !got.Same(want[i]) {
			t.Errorf("track %v, not %v", got, want[i])
		}
	}
}

// checkPace looks at times: they begin at 0, go by the pictures' own pace, and both tracks go on together.
func checkPace(t *testing.T, units []Unit, tracks int) {
	t.Helper()
	if units[0].DTS != 0 {
		t.Errorf("it begins at %v", units[0].DTS)
	}
	keys := 0
	var last, first [2]*Unit
	for i, u := range units {
		if u.Track == 0 && last[0] != nil {
			if d := u.DTS - last[0].DTS; (d-time.Second/30).Abs() > 5*time.Millisecond && last[0] != first[0] { // ffmpeg lets the first picture of fragmented MP4 last longer
				t.Errorf("%v between pictures", d)
			}
		}
		if u.Key {
			keys++
		}
		if first[u.Track] == nil {
			first[u.Track] = &units[i]
		}
		last[u.Track] = &units[i]
	}
	if keys < 3 {
		t.Errorf("%d keyframes", keys)
	}
	for i := range tracks {
		if d := last[i].DTS - last[0].DTS; d.Abs() > 250*time.Millisecond {
			t.Errorf("track %d ends %v after the pictures", i, d)
		}
		if d := first[i].DTS - first[0].DTS; d.Abs() > 250*time.Millisecond {
			t.Errorf("track %d begins %v after the pictures", i, d)
		}
	}
}

// TestReports: sound that comes later than its pictures is in step all the same, as soon as the camera's reports tell.
func TestReports(t *testing.T) {
	t.Parallel()
	r := take(t, Config{URL: camera(t, recorder.Config{SoundDelay: 200 * time.Millisecond}).URL()})
	// Once it is, the sound that came last belongs to pictures that came a fifth of a second before.
	r.until("sound is in step", func() bool {
		var last [2]*Unit
		for i, u := range r.units {
			last[u.Track] = &r.units[i]
		}
		return last[0] != nil && last[1] != nil && last[1].DTS-last[0].DTS < -150*time.Millisecond && last[0].DTS > 10*time.Second
	})
}

// TestEncrypted takes pictures by RTSPS, from a camera that the configuration trusts and from none else.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	c := camera(t, recorder.Config{TLS: &tls.Config{Certificates: s.TLS.Certificates}})
	r := take(t, Config{URL: c.URL(), TLS: &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}})
	r.until("pictures", func() bool { return r.count(0) >= 20 && r.count(1) >= 20 })
	r = take(t, Config{URL: c.URL()})
	r.until("it is said", r.trouble(evidence.WhyGap, "certificate"))
}

// TestReordered takes pictures that are coded out of their order: they are decoded before they are shown, and shown at an even pace.
func TestReordered(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"h264", "h265"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			r := take(t, Config{URL: camera(t, recorder.Config{Codec: codec, Audio: "none", BFrames: true}).URL()})
			r.until("pictures", func() bool { return r.count(0) >= 60 })
			r.mu.Lock()
			defer r.mu.Unlock()
			checkShown(t, r.units)
			if len(r.troubles) > 0 {
				t.Errorf("troubles: %v", r.troubles)
			}
		})
	}
}

func checkShown(t *testing.T, units []Unit) {
	t.Helper()
	var shown []time.Duration
	reordered := 0
	for _, u := range units {
		if u.Track != 0 {
			continue
		}
		if shown = append(shown, u.PTS); u.PTS != u.DTS {
			reordered++
		}
	}
	if reordered < len(shown)/4 {
		t.Errorf("%d of %d pictures are reordered", reordered, len(shown))
	}
	slices.Sort(shown)
	for i := range shown[:len(shown)-5] {
		if d := shown[i+1] - shown[i]; (d - time.Second/30).Abs() > 5*time.Millisecond {
			t.Errorf("%v between pictures %d and %d as they are shown", d, i, i+1)
		}
	}
}

// write lets ffmpeg write footage into a FIFO at its own pace.
func write(t *testing.T, fifo string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append(append([]string{"-nostdin", "-v", "error", "-y", "-re", "-i", recorder.Footage}, args...), fifo)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func mkfifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPipe takes what ffmpeg writes to a FIFO; a program that ends and begins again is taken anew.
func TestPipe(t *testing.T) {
	t.Parallel()
	small := []string{"-vf", "scale=320:180,fps=30", "-g", "15", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"}
	for name, k := range map[string]struct{ args []string }{
		"MPEG-TS":        {append(slices.Clone(small), "-f", "mpegts")},
		"fragmented MP4": {append(slices.Clone(small), "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof")},
		"B-frames":       {append(slices.Clone(small), "-bf", "2", "-f", "mpegts")},
		"H.265":          {[]string{"-vf", "scale=320:180,fps=30", "-g", "15", "-c:v", "libx265", "-x265-params", "log-level=error:bframes=2", "-preset", "ultrafast", "-c:a", "aac", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fifo := mkfifo(t)
			r := take(t, Config{Path: fifo})
			cmd := write(t, fifo, k.args...)
			r.until("pictures", func() bool { return r.count(0) >= 60 })
			r.mu.Lock()
			if len(r.tracks) != 1 || len(r.tracks[0]) != 2 || r.tracks[0][0].Height != 180 || r.tracks[0][1].Rate != 48000 || slices.ContainsFunc(r.troubles, func(t Trouble) bool { return t.Why != evidence.WhyGap }) {
				t.Errorf("tracks %v, troubles %v", r.tracks, r.troubles)
			}
			if name == "B-frames" || name == "H.265" {
				checkShown(t, r.units)
			} else {
				checkPace(t, r.units, 1)
			}
			r.mu.Unlock()
			if name == "H.265" {
				return
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			r.until("it is said", r.trouble(evidence.WhyGap, "ended"))
			write(t, fifo, k.args...)
			r.more(0, 20)
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.tracks) != 1 {
				t.Errorf("tracks %v", r.tracks)
			}
		})
	}
}
