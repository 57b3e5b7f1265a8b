package live_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"camseal/server/internal/live"
	"camseal/server/internal/live/livetest"
)

// clients are a browser's WHIP publisher and WHEP viewer, as short as can be.
const clients = `<!doctype html><meta charset="utf-8"><video muted autoplay playsinline></video><script>
const post = async (pc, url) => {
	await pc.setLocalDescription();
	const r = await fetch(url, {method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp});
	if (r.status !== 201) throw new Error(r.status + await r.text());
	await pc.setRemoteDescription({type: 'answer', sdp: await r.text()});
	return r.headers.get('Location');
};
async function publish(url) {
	const media = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480}, audio: true});
	const pc = window.publisher = new RTCPeerConnection();
	for (const t of media.getTracks()) pc.addTransceiver(t, {direction: 'sendonly', streams: [media]});
	return post(pc, url);
}
async function watch(url) {
	const began = performance.now(), v = document.querySelector('video');
	const first = new Promise(done => v.requestVideoFrameCallback(() => done(performance.now() - began)));
	const pc = window.viewer = new RTCPeerConnection();
	pc.addTransceiver('video', {direction: 'recvonly'});
	pc.addTransceiver('audio', {direction: 'recvonly'});
	const stream = v.srcObject = new MediaStream();
	pc.ontrack = e => stream.addTrack(e.track);
	await post(pc, url);
	return first;
}
async function seen() {
	const s = {frames: 0, dropped: 0, sound: 0, lost: 0, width: document.querySelector('video').videoWidth, delay: 0, keys: 0};
	(await viewer.getStats()).forEach(r => {
		if (r.type !== 'inbound-rtp') return;
		s.lost += r.packetsLost;
		if (r.kind === 'video') { s.frames = r.framesDecoded; s.dropped = r.framesDropped; s.keys = r.keyFramesDecoded; s.delay = r.jitterBufferDelay / r.jitterBufferEmittedCount; }
		else s.sound = r.packetsReceived;
	});
	return s;
}
</script>`

// seen is what a browser's viewer says of itself.
type seen struct {
	Frames, Dropped, Sound, Lost, Width, Keys int
	Delay                                     float64 // s, in its jitter buffer
}

type tab struct {
	t   *testing.T
	ctx context.Context
}

func newBrowser(t *testing.T) context.Context {
	t.Helper()
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out browsers")
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU, chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("mute-audio", true),
		chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-renderer-backgrounding", true), chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required")}
	timed, stop := context.WithTimeout(context.Background(), time.Minute) // t.Context ends before clean-up, which closes the browser
	allocated, release := chromedp.NewExecAllocator(timed, options...)
	ctx, closeTab := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
		closeTab()
		release()
		stop()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func (g *rig) tab(browser context.Context) *tab {
	g.t.Helper()
	ctx, done := chromedp.NewContext(browser)
	g.t.Cleanup(done)
	w := &tab{g.t, ctx}
	if err := chromedp.Run(ctx, chromedp.Navigate(g.url+"/page")); err != nil {
		g.t.Fatal(err)
	}
	return w
}

func (w *tab) ask(js string, v any) {
	w.t.Helper()
	var raw []byte
	err := chromedp.Run(w.ctx, chromedp.Evaluate(js, &raw, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if err == nil && v != nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		w.t.Fatalf("%s: %v", js, err)
	}
}

// TestBrowsers: a browser's camera is a publisher, and browsers are viewers, one from the beginning and one that comes late; pion's viewer sees it, too, and a
// browser sees a film.
func TestBrowsers(t *testing.T) {
	g := newRig(t, live.Config{TCP: "127.0.0.1:0"})
	browser := newBrowser(t)
	camera := g.tab(browser)
	var at string
	camera.ask(`publish("/whip/camera")`, &at)
	for _, name := range []string{"early", "late"} {
		w := g.tab(browser)
		var first float64
		w.ask(`watch("/whep/camera")`, &first)
		var a, b seen
		w.ask(`seen()`, &a)
		g.eventually("frames to grow for the "+name+" one", func() bool {
			w.ask(`seen()`, &b)
			return b.Frames > a.Frames+20 && b.Sound > 10
		})
		if b.Width != 640 {
			t.Errorf("%s: %+v", name, b)
		}
		t.Logf("%s: first picture after %.0f ms; %+v", name, first, b)
	}
	v := g.watch("camera", livetest.Options{Audio: "audio/opus", Profile: "42e01f"})
	g.until(v, "the browser's pictures and sound", func(s livetest.Seen) bool { return len(s.Pictures) > 20 && len(s.Sound) > 20 })
	camera.ask(`fetch("`+at+`", {method: 'DELETE'}).then(r => r.status)`, nil)
	if s := g.Streams()[0]; s.Publishing || s.Video == "" {
		t.Errorf("after DELETE: %+v", s)
	}

	g.publish("film", livetest.Options{})
	w := g.tab(browser)
	var first float64
	w.ask(`watch("/whep/film")`, &first)
	var s seen
	g.eventually("frames of the film to grow", func() bool {
		w.ask(`seen()`, &s)
		return s.Frames > 60
	})
	g.publish("film", livetest.Options{}) // the publisher comes back, without the viewer's doing
	before := s.Frames
	g.eventually("frames of the film to grow when its publisher has come back", func() bool {
		w.ask(`seen()`, &s)
		return s.Frames > before+40
	})
	if s.Width != 1920 {
		t.Errorf("the film: %+v", s)
	}
	t.Logf("film: first picture after %.0f ms; %+v", first, s)
	var picture []byte
	if err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot(&picture)); err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("CAMSEAL_TEST_PICTURES"); dir != "" {
		if err := os.WriteFile(dir+"/live.png", picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte(clients))
}
