package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	browserpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"camseal/server/internal/auth"
)

// What programs of others do, by the standards alone.
const (
	othersPublisher = `(async (at, token) => {
  await %s;
  const pc = window.pc = new RTCPeerConnection();
  for (const t of window.tracks) pc.addTransceiver(t, {direction: 'sendonly'});
  await pc.setLocalDescription(await pc.createOffer());
  const r = await fetch(at, {method: 'POST', headers: {'Content-Type': 'application/sdp', Authorization: 'Bearer ' + token}, body: pc.localDescription.sdp});
  if (r.status !== 201) return r.status + ' ' + await r.text();
  window.session = new URL(r.headers.get('Location'), at).href;
  await pc.setRemoteDescription({type: 'answer', sdp: await r.text()});
  return 'ok';
})(%q, %q)`
	othersPlayer = `(async (at, token) => {
  const pc = window.pc = new RTCPeerConnection(), video = document.body.appendChild(document.createElement('video'));
  video.muted = true;
  pc.addEventListener('track', e => { video.srcObject ??= new MediaStream(); video.srcObject.addTrack(e.track); video.play(); });
  for (const kind of ['audio', 'video']) pc.addTransceiver(kind, {direction: 'recvonly'});
  await pc.setLocalDescription(await pc.createOffer());
  const r = await fetch(at, {method: 'POST', headers: {'Content-Type': 'application/sdp', Authorization: 'Bearer ' + token}, body: pc.localDescription.sdp});
  if (r.status !== 201) return r.status + ' ' + await r.text();
  window.session = new URL(r.headers.get('Location'), at).href;
  await pc.setRemoteDescription({type: 'answer', sdp: await r.text()});
  return 'ok';
})(%q, %q)`
	othersEnd = `fetch(window.session, {method: 'DELETE', headers: {Authorization: 'Bearer ' + %q}}).then(r => r.status)`
)

// A browser's camera on another server's page publishes by WHIP, a player on another one watches it by WHEP, each with its token; so does the wall,
// which says that nothing of it is evidence. A token that is taken back ends what goes on by it.
func TestOthersPlayersAndCameras(t *testing.T) {
	r := newRig(t)
	keep := r.by(keeper)
	made := regexp.MustCompile(`id="address">([^<]+)</dd>[^§]*id="token">([A-Z0-9]{26})<`)
	token := func(form url.Values) (at, bearer string) {
		t.Helper()
		m := made.FindStringSubmatch(keep.sends("/live/guests", form, 200))
		if m == nil {
			t.Fatal("no token is shown")
		}
		return m[1], m[2]
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!DOCTYPE html><title>another</title><link rel=icon href=data:,><body>")
	}))
	defer elsewhere.Close()
	tab := browse(t, loopback...)
	cam, closeCam := chromedp.NewContext(tab)
	defer closeCam()
	at, camera := token(url.Values{"kind": {"publisher"}, "name": {"Gate 大门"}, "hours": {"1"}})
	var got string
	check(t, chromedp.Run(cam, chromedp.Navigate(elsewhere.URL), chromedp.Evaluate(fmt.Sprintf(othersPublisher, cameraPage, at, camera), &got, awaits)))
	if got != "ok" {
		t.Fatalf("the camera: %s", got)
	}
	stream := at[strings.LastIndex(at, "/")+1:]
	within(t, "the camera on the wall", func() bool { return strings.Contains(keep.sees("/live", 200), "/live/"+stream) })

	at, player := token(url.Values{"kind": {"player"}, "name": {"Control room 指挥室"}, "hours": {"1"}, "stream": {stream}, "purpose": {string(auth.PurposeDuty)}})
	check(t, chromedp.Run(tab, browserpage.BringToFront(), chromedp.Navigate(strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)), chromedp.Evaluate(fmt.Sprintf(othersPlayer, at, player), &got, awaits)))
	if got != "ok" {
		t.Fatalf("the player: %s", got)
	}
	appears(t, tab, "the player's picture", `document.querySelector('video').videoWidth > 0 && document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 10`)
	if n := r.acts(t, "watched-live"); n != 1 {
		t.Errorf("%d watches are on record", n)
	}
	var status int
	check(t, chromedp.Run(tab, chromedp.Evaluate(fmt.Sprintf(othersEnd, player), &status, awaits)))
	if status != http.StatusOK {
		t.Errorf("the player's end: %d", status)
	}

	keep.sends("/live/purpose", url.Values{"purpose": {"duty"}}, 303)
	check(t, chromedp.Run(tab, keep.cookies(), chromedp.Navigate(r.page+"/live/"+stream+"?lang=en")))
	appears(t, tab, "the page of a guest", `document.querySelector('camseal-live[ready] [data-do=watch]:not([hidden])') && document.querySelector('[data-fact=guest]').textContent.includes('nothing of it is recorded or sealed') && !document.querySelector('#orders')`)
	check(t, chromedp.Run(tab, chromedp.Click(`[data-do=watch]`, chromedp.ByQuery)))
	appears(t, tab, "the guest's picture", `document.querySelector('camseal-live').dataset.state === 'playing' && document.querySelector('camseal-live').hasAttribute('sound')`)
	id := strings.TrimPrefix(stream, "guest-")
	keep.sends("/live/guests/"+id+"/revoke", nil, 303)
	within(t, "the camera's stream to end", func() bool {
		for _, s := range r.core.live.Streams() {
			if s.Name == stream && s.Publishing {
				return false
			}
		}
		return true
	})
	appears(t, cam, "the camera to notice", `['closed', 'failed', 'disconnected'].includes(window.pc.connectionState)`)
	check(t, chromedp.Run(tab, chromedp.Navigate("about:blank")))
}
