package live_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"camseal/server/internal/live"
	"camseal/server/internal/live/livetest"
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// anOffer is what a browser-like publisher says.
func anOffer(t *testing.T, change func(string) string) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	for _, k := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(k, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
			t.Fatal(err)
		}
	}
	o, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return change(o.SDP)
}

func as(s string) string { return s }

// TestBadRequests: what is not WHIP or WHEP is refused as the standards say, with words, and leaves nothing behind.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{})
	good := anOffer(t, as)
	g.publish("there", livetest.Options{})
	for _, c := range []struct {
		name, method, path, kind, body string
		status                         int
	}{
		{"no content type", "POST", "/whip/a", "", good, 415},
		{"another one", "POST", "/whip/a", "application/json", good, 415},
		{"no offer", "POST", "/whip/a", typeSDP, "", 400},
		{"garbage", "POST", "/whip/a", typeSDP, strings.Repeat("\x00\xff", 500), 400},
		{"half an offer", "POST", "/whip/a", typeSDP, good[:len(good)/2], 400},
		{"no credentials of ICE", "POST", "/whip/a", typeSDP, strings.ReplaceAll(good, "a=ice-", "a=nice-"), 400},
		{"no fingerprint", "POST", "/whip/a", typeSDP, strings.ReplaceAll(good, "a=fingerprint", "a=finger"), 400},
		{"data", "POST", "/whip/a", typeSDP, good + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n", 400},
		{"too many media", "POST", "/whip/a", typeSDP, good + strings.Repeat(good[strings.Index(good, "m="):], 8), 400},
		{"too many candidates", "POST", "/whip/a", typeSDP, good + strings.Repeat("a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n", 200), 400},
		{"too long", "POST", "/whip/a", typeSDP, good + strings.Repeat("a=x\r\n", 20000), 413},
		{"too long to watch", "POST", "/whep/a", typeSDP, good + strings.Repeat("a=x\r\n", 20000), 413},
		{"garbage to watch", "POST", "/whep/a", typeSDP, "v=1", 400},
		{"no credentials to watch", "POST", "/whep/there", typeSDP, strings.ReplaceAll(good, "a=ice-", "a=nice-"), 400},
		{"nothing that is published", "POST", "/whep/there", typeSDP, good[strings.Index(good, "v="):strings.Index(good, "m=video")] + good[strings.Index(good, "m=audio"):], 406},
		{"GET", "GET", "/whip/a", "", "", 405},
		{"PUT", "PUT", "/whep/a", typeSDP, good, 405},
		{"no session", "DELETE", "/whip/a/0123456789abcdef0123456789abcdef", "", "", 404},
		{"no session to patch", "PATCH", "/whep/a/0123456789abcdef0123456789abcdef", typeFragment, "", 404},
		{"no codec that is relayed", "POST", "/whip/other", typeSDP, strings.ReplaceAll(good[:strings.Index(good, "m=audio")], "H264/90000", "H266/90000"), 406},
	} {
		resp, body, err := livetest.Request(g.ctx, nil, c.method, g.url+c.path, c.kind, c.body, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.status || !strings.Contains(body, `"message"`) {
			t.Errorf("%s: %d, %s; want %d", c.name, resp.StatusCode, body, c.status)
		}
	}
	for _, s := range g.Streams() {
		if s.Name == "there" {
			if s.Viewers != 0 || !s.Publishing {
				t.Errorf("%+v", s)
			}
			continue
		}
		if s.Name != "other" || s.Publishing || s.Reason != live.ReasonVideo {
			t.Errorf("left: %+v", s)
		}
	}
	if resp := g.request("OPTIONS", g.url+"/whip/a", "", "", nil); resp.StatusCode != 204 || resp.Header.Get("Accept-Post") != typeSDP {
		t.Errorf("OPTIONS: %d, %v", resp.StatusCode, resp.Header)
	}
}

// TestPartly: pictures that can't be relayed are declined, the sound is taken, and the stream says why there are no pictures.
func TestPartly(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{})
	resp, answer, err := livetest.Request(g.ctx, nil, "POST", g.url+"/whip/a", typeSDP, anOffer(t, func(s string) string {
		return strings.ReplaceAll(s, "H264/90000", "H266/90000")
	}), nil)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatal(err, resp.StatusCode, answer)
	}
	declined, taken, _ := strings.Cut(answer, "m=audio")
	if strings.Contains(declined, "a=candidate") || !strings.Contains(taken, "a=candidate") {
		t.Errorf("the relay's addresses stand where nobody looks for them:\n%s", answer)
	}
	if !strings.Contains(answer, "m=video 0 ") && !strings.Contains(answer, "a=inactive") || !strings.Contains(answer, "opus/48000") {
		t.Errorf("answer:\n%s", answer)
	}
	if s := g.Streams(); len(s) != 1 || s[0].Reason != live.ReasonVideo || s[0].Video != "" || s[0].Audio != "audio/opus" {
		t.Errorf("%+v", s)
	}
}

// TestPatch: trickled candidates and new beginnings of ICE, under the rules of RFC 9725 (4.3) for entity tags; a session belongs to its stream.
func TestPatch(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{})
	p := g.publish("cam", livetest.Options{})
	v := g.watch("cam", livetest.Options{})
	g.until(v, "pictures", pictures(5))
	fragment := func(sdp string) string {
		var b strings.Builder
		for line := range strings.Lines(sdp) {
			if strings.HasPrefix(line, "a=ice-ufrag") || strings.HasPrefix(line, "a=ice-pwd") {
				b.WriteString(line)
			}
		}
		return b.String() + "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=candidate:2 1 udp 2130706431 x.local 9 typ host\r\na=end-of-candidates\r\n"
	}
	same := fragment(v.PC.LocalDescription().SDP)
	for _, c := range []struct {
		name, url, kind, match, body string
		status                       int
	}{
		{"trickled", v.URL, typeFragment, v.ETag, same, 204},
		{"no If-Match", v.URL, typeFragment, "", same, 428},
		{"another ETag", v.URL, typeFragment, `"other"`, same, 412},
		{"another content type", v.URL, typeSDP, v.ETag, same, 415},
		{"garbage", v.URL, typeFragment, v.ETag, "\x00\x01 nothing", 400},
		{"no credentials", v.URL, typeFragment, v.ETag, "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n", 400},
		{"a broken candidate", v.URL, typeFragment, v.ETag, strings.Replace(same, "udp 2130706431 127.0.0.1", "udp", 1), 400},
		{"too many", v.URL, typeFragment, v.ETag, same + strings.Repeat("a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n", 200), 400},
		{"as a publisher", strings.Replace(v.URL, "/whep/", "/whip/", 1), typeFragment, v.ETag, same, 404},
		{"of another stream", strings.Replace(v.URL, "/cam/", "/other/", 1), typeFragment, v.ETag, same, 404},
	} {
		header := http.Header{}
		if c.match != "" {
			header.Set("If-Match", c.match)
		}
		resp, body, err := livetest.Request(g.ctx, nil, "PATCH", c.url, c.kind, c.body, header)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d, %s; want %d", c.name, resp.StatusCode, body, c.status)
		}
	}
	for name, s := range map[string]*livetest.Session{"viewer": v.Session, "publisher": p.Session} {
		t.Run("ICE begins anew for a "+name, func(t *testing.T) { g.restart(t, s, fragment) })
	}
	n := len(v.Seen().Pictures)
	g.until(v, "pictures over the new path", pictures(n+30))
	for _, s := range []*livetest.Session{v.Session, p.Session} {
		if err := s.Delete(g.ctx); err != nil {
			t.Error(err)
		}
		if resp := g.request("DELETE", s.URL, "", "", nil); resp.StatusCode != 404 {
			t.Errorf("a second DELETE: %d", resp.StatusCode)
		}
	}
	if s := g.Streams(); len(s) > 0 && (s[0].Publishing || s[0].Viewers > 0) {
		t.Errorf("after DELETE: %+v", s)
	}
}

// restart begins ICE anew as RFC 9725 says (4.3.3).
func (g *rig) restart(t *testing.T, s *livetest.Session, fragment func(string) string) {
	offer, err := s.PC.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(s.PC)
	if err := s.PC.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	body := fragment(s.PC.LocalDescription().SDP)
	if resp := g.request("PATCH", s.URL, typeFragment, body, http.Header{"If-Match": {s.ETag}}); resp.StatusCode != 412 {
		t.Errorf("other credentials under the old ETag: %d", resp.StatusCode)
	}
	resp, answer, err := livetest.Request(g.ctx, nil, "PATCH", s.URL, typeFragment, body, http.Header{"If-Match": {"*"}})
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("ETag") == s.ETag || resp.Header.Get("Content-Type") != typeFragment {
		t.Fatalf("%v, %d, ETag %s, %s", err, resp.StatusCode, resp.Header.Get("ETag"), answer)
	}
	if old := g.request("PATCH", s.URL, typeFragment, body, http.Header{"If-Match": {s.ETag}}); old.StatusCode != 412 {
		t.Errorf("the old ETag: %d", old.StatusCode)
	}
	fresh := map[string]string{}
	for line := range strings.Lines(answer) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fresh[name] = value
	}
	var b strings.Builder
	for line := range strings.Lines(s.Answer) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		if v := fresh[name]; v != "" && strings.HasPrefix(name, "a=ice-") {
			line = name + ":" + v + "\r\n"
		}
		_, _ = io.WriteString(&b, line)
	}
	if err := s.PC.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: b.String()}); err != nil {
		t.Fatal(err)
	}
}
