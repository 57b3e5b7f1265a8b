package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	browserpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"camseal/server/internal/auth"
)

// loopback lets a browser speak WebRTC with itself on a machine without a network.
var loopback = []chromedp.ExecAllocatorOption{chromedp.Flag("allow-loopback-in-peer-connection", true), chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
	chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-renderer-backgrounding", true)}

// cameraPage is a page of the browser that answers offers with a moving picture and a tone.
const cameraPage = `(async () => {
  const c = Object.assign(document.createElement('canvas'), {width: 640, height: 360}), g = c.getContext('2d');
  let n = 0;
  setInterval(() => { g.fillStyle = 'hsl(' + (n++ * 3) % 360 + ' 70% 40%)'; g.fillRect(0, 0, 640, 360); g.fillStyle = '#fff'; g.font = '64px sans-serif'; g.fillText('camera ' + n, 80, 200); }, 40);
  const sound = new AudioContext(), tone = sound.createOscillator(), out = sound.createMediaStreamDestination();
  tone.connect(out); tone.start();
  window.tracks = [...c.captureStream(25).getTracks(), ...out.stream.getTracks()];
  window.calls = [];
})()`

const takesOffer = `(async offer => {
  const pc = new RTCPeerConnection();
  window.calls.push(pc);
  await pc.setRemoteDescription({type: 'offer', sdp: offer});
  for (const t of window.tracks) pc.addTrack(t);
  await pc.setLocalDescription(await pc.createAnswer());
  if (pc.iceGatheringState !== 'complete') await new Promise(r => pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && r()));
  return pc.localDescription.sdp;
})(%s)`

func awaits(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// appears waits until an expression is true in a page, whichever page that is by then.
func appears(t *testing.T, ctx context.Context, what, expression string) {
	t.Helper()
	end, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var is bool
		if err := chromedp.Run(end, chromedp.Evaluate("!!("+expression+")", &is)); err == nil && is {
			return
		}
		select {
		case <-tick.C:
		case <-end.Done():
			t.Fatalf("waited for %s\n%s", what, valueOf[string](t, ctx, `document.querySelector('camseal-live')?.outerHTML ?? document.body.innerText`))
		}
	}
}

func valueOf[T any](t *testing.T, ctx context.Context, expression string) (v T) {
	t.Helper()
	check(t, chromedp.Run(ctx, chromedp.Evaluate(expression, &v)))
	return v
}

// The live pages in both languages, light and dark, wide and narrow.
func TestLivePagesInABrowser(t *testing.T) {
	axe, err := os.ReadFile(axeFile)
	if err != nil {
		t.Fatalf("axe-core is needed: %v; scripts/test fetches it", err)
	}
	r, board, _, rec, dev := rigLive(t)
	second, third := onDuty(r, dev, nil), onDuty(r, dev, &rec)
	second.Device[0], second.Report.Station, second.Report.BFrames, second.Report.Trouble, second.Report.Behind = 1, "执法记录仪 二号", true, "", 0
	second.Report.Position.Lat.Value += 4200
	third.Device[0], third.Report.Station, third.Online, third.Report.Position = 2, strings.Repeat("长", 40), false, nil
	board.set(onDuty(r, dev, &rec), second, third)
	keep, admin := r.by(keeper), r.by(administer)
	keep.sends("/live/guests", map[string][]string{"kind": {"player"}, "name": {"Control room 指挥室"}, "hours": {"2"}, "stream": {dev.String()}, "purpose": {"duty"}}, 200)
	ctx := browse(t)
	one := "/live/" + dev.String()
	mistake := chromedp.Evaluate(`document.querySelectorAll('[required]').forEach(e => e.required = false); document.querySelector('form.fields button').click()`, nil)
	for i, x := range []lookedAt{{"live-first", "/live", keep.me, nil}, {"live-purpose", "/live/purpose", keep.me, nil}, {"live-purpose-wrong", "/live/purpose", keep.me, mistake},
		{"live-one", one, keep.me, nil}, {"live-b-frames", "/live/" + second.Device.String(), supervisor, nil}, {"live-stop", one + "/stop", keep.me, nil},
		{"live-tokens", "/live/guests", keep.me, nil}, {"live-tokens-admin", "/live/guests", admin.me, mistake}, {"live-none", "/live/x", keep.me, nil}, {"fleet", "/fleet", admin.me, nil}} {
		for j, width := range []int64{1280, 800} {
			lang, scheme := []string{"en", "zh-CN"}[(i+j)%2], []string{"light", "dark"}[(i/2+j)%2]
			looksRight(t, ctx, r, x, width, lang, scheme, string(axe), os.Getenv("CAMSEAL_SHOTS"))
		}
	}
	board.set()
	looksRight(t, ctx, r, lookedAt{"live-nobody", "/live", keep.me, nil}, 800, "zh-CN", "light", string(axe), os.Getenv("CAMSEAL_SHOTS"))
}

// A browser watches: the picture comes by the keyboard, says what it is, comes back after a loss, and ends with the page. What is said about
// recorders follows by itself.
func TestWatchingInABrowser(t *testing.T) {
	r, board, live, rec, dev := rigLive(t)
	ctx := browse(t, loopback...)
	cam, closeCam := chromedp.NewContext(ctx)
	defer closeCam()
	check(t, chromedp.Run(cam, chromedp.Navigate("about:blank"), chromedp.Evaluate(cameraPage, nil, awaits)))
	refuse := 0
	live.offers = func(_ context.Context, _, offer string) (answer string, status int) {
		if refuse > 0 {
			refuse--
			return "later", http.StatusServiceUnavailable
		}
		quoted, err := json.Marshal(offer)
		if err == nil {
			err = chromedp.Run(cam, chromedp.Evaluate(fmt.Sprintf(takesOffer, quoted), &answer, awaits))
		}
		if err != nil {
			t.Errorf("the camera does not answer: %v", err)
			return "", http.StatusInternalServerError
		}
		return answer, http.StatusCreated
	}
	keep := r.by(person("watcher", auth.Supervisor, "监督局"))
	check(t, chromedp.Run(ctx, browserpage.BringToFront(), keep.cookies(), emulation.SetDeviceMetricsOverride(1280, 900, 1, false), chromedp.Navigate(r.page+"/live?lang=en")))
	appears(t, ctx, "the button", `document.querySelector('[data-do=watch]:not([hidden])')`)
	press := func(selector string) {
		t.Helper()
		check(t, chromedp.Run(ctx, chromedp.Focus(selector, chromedp.ByQuery), chromedp.KeyEvent(kb.Enter)))
	}
	press(`[data-do=watch]`)
	appears(t, ctx, "the purpose to be asked", `document.querySelector('input[name=purpose][value=duty]')`)
	check(t, chromedp.Run(ctx, chromedp.Click(`input[value=duty]`, chromedp.ByQuery)))
	press(`form.fields button`)
	appears(t, ctx, "the wall", `document.querySelector('camseal-live[ready] [data-do=watch]:not([hidden])')`)
	if live.count() != 0 {
		t.Error("a picture is asked for by itself")
	}

	press(`[data-do=watch]`)
	playing := `document.querySelector('camseal-live').dataset.state === 'playing'`
	appears(t, ctx, "the picture", playing)
	frames := valueOf[string](t, ctx, `document.querySelector('camseal-live').dataset.frames`)
	appears(t, ctx, "more pictures", `Number(document.querySelector('camseal-live').dataset.frames) > 10 + `+frames)
	t.Logf("first picture after %s ms", valueOf[string](t, ctx, `document.querySelector('camseal-live').dataset.firstMs`))
	if got := valueOf[string](t, ctx, `(v => v.videoWidth + ' ' + v.muted + ' ' + document.elementFromPoint(v.getBoundingClientRect().x + 20, v.getBoundingClientRect().y + 20).textContent)(document.querySelector('video'))`); got != "640 true Live, not evidence" {
		t.Error(got)
	}
	press(`[data-do=sound]`)
	appears(t, ctx, "the sound", `!document.querySelector('video').muted && document.querySelector('[data-do=sound]').ariaPressed === 'true'`)
	if shots := os.Getenv("CAMSEAL_SHOTS"); shots != "" {
		var picture []byte
		check(t, chromedp.Run(ctx, chromedp.FullScreenshot(&picture, 100)))
		check(t, os.WriteFile(filepath.Join(shots, "live-watching.png"), picture, 0o600))
	}

	// The camera is gone, and refuses once; then the picture comes back, and all of that is one watch.
	refuse = 1
	check(t, chromedp.Run(cam, chromedp.Evaluate(`window.calls.forEach(pc => pc.close())`, nil)))
	appears(t, ctx, "the loss to be said", `document.querySelector('camseal-live').dataset.state === 'again' && document.querySelector('.live-told').textContent.includes('Asked again')`)
	appears(t, ctx, "the picture to come back", playing)
	if n := r.acts(t, "watched-live"); n != 1 || refuse != 0 {
		t.Errorf("%d watches are on record", n)
	}

	// What is said follows, while the picture goes on.
	idle, more := onDuty(r, dev, nil), onDuty(r, dev, &rec)
	more.Device[0], more.Report.Station = 9, "Z9 <b>"
	board.set(idle, more)
	appears(t, ctx, "news", `document.querySelector('[data-fact=recording]').textContent.includes('not recording') && document.querySelectorAll('.live-tile').length === 2 && document.querySelector('.live-tile:last-child h2').textContent.includes('Z9 <b>') && document.querySelectorAll('.live-map circle').length === 2`)
	board.set(idle)
	appears(t, ctx, "a recorder to leave", `document.querySelectorAll('.live-tile').length === 1 && `+playing)
	press(`[data-do=stop]`)
	appears(t, ctx, "the end", `document.querySelector('[data-do=watch]:not([hidden])') === document.activeElement`)
	within(t, "the session to end", func() bool { return live.count() == 0 })

	// It ends with the page too, and with the session.
	press(`[data-do=watch]`)
	appears(t, ctx, "the picture", playing)
	check(t, chromedp.Run(ctx, chromedp.Navigate(r.page+"/live/"+dev.String())))
	within(t, "the session to end with the page", func() bool { return live.count() == 0 })
	appears(t, ctx, "the large page", `document.querySelector('camseal-live[ready] [data-do=watch]:not([hidden])')`)
	press(`[data-do=watch]`)
	appears(t, ctx, "the picture", playing)
	keep.sends("/sign-out", nil, 303)
	appears(t, ctx, "signing out to be said", `document.querySelector('[data-status]').textContent.includes('not signed in any more')`)
	within(t, "the session to end with the sign-out", func() bool { return live.count() == 0 })
}
