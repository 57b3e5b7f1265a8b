package live

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"

	"camseal/agent/internal/feed"
	"camseal/pkg/transport"
)

const footage = "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4"

// pictures makes units of real footage; args say how ffmpeg is to code them.
func pictures(t testing.TB, args ...string) ([]feed.Track, []feed.Unit) {
	t.Helper()
	args = slices.Concat([]string{"-v", "error", "-i", footage, "-an"}, args, []string{"-bsf:v", "h264_mp4toannexb,h264_metadata=aud=insert", "-f", "h264", "-"})
	cmd := exec.Command("ffmpeg", args...)
	var msg bytes.Buffer
	cmd.Stderr = &msg
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, &msg)
	}
	track := feed.Track{Codec: feed.H264, Width: 1920, Height: 1080}
	var units []feed.Unit
	for i, part := range bytes.Split(raw, []byte{0, 0, 0, 1, 9})[1:] {
		var nals h264.AnnexB
		if err := nals.Unmarshal(append([]byte{0, 0, 0, 1, 9}, part...)); err != nil {
			t.Fatal(err)
		}
		u := feed.Unit{PTS: time.Duration(i) * time.Second / 30, Data: nals[1:]}
		u.DTS = u.PTS
		for _, n := range u.Data {
			switch n[0] & 0x1f {
			case 5:
				u.Key = true
			case 7, 8:
				if len(track.Params) < 2 {
					track.Params = append(track.Params, n)
				}
			}
		}
		units = append(units, u)
	}
	for once := len(units); len(units) < 120; {
		u := units[len(units)%once]
		u.PTS = time.Duration(len(units)) * time.Second / 30
		u.DTS = u.PTS
		units = append(units, u)
	}
	if len(units) < 60 || !units[0].Key || len(track.Params) != 2 {
		t.Fatalf("%d units of footage, %d parameters", len(units), len(track.Params))
	}
	return []feed.Track{track}, units
}

// relay is a WHIP server.
type relay struct {
	t       testing.TB
	api     *webrtc.API
	link    []string
	recodes bool
	http    *httptest.Server
	broken  http.HandlerFunc // answers in its place

	mu      sync.Mutex
	pc      *webrtc.PeerConnection
	session int
	packets map[string][]*rtp.Packet // by MIME type
	calls   []string
	bodies  []string
	ssrc    webrtc.SSRC
}

func newRelay(t testing.TB, set webrtc.SettingEngine, more ...webrtc.RTPCodecParameters) *relay {
	var media webrtc.MediaEngine
	fb := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	for i, profile := range []string{"42e01f", "4d001f", "64001f"} {
		must(t, media.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: webrtc.PayloadType(102 + i), RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000, RTCPFeedback: fb,
			SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile}}, webrtc.RTPCodecTypeVideo))
	}
	for _, c := range append(more, webrtc.RTPCodecParameters{PayloadType: 8, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMA, ClockRate: 8000}}) {
		must(t, media.RegisterCodec(c, webrtc.RTPCodecTypeAudio))
	}
	var hooks interceptor.Registry
	must(t, webrtc.RegisterDefaultInterceptors(&media, &hooks))
	set.SetIncludeLoopbackCandidate(true)
	set.SetIPFilter(loopback)
	r := &relay{t: t, packets: map[string][]*rtp.Packet{}}
	r.api = webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithInterceptorRegistry(&hooks), webrtc.WithSettingEngine(set))
	r.http = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.http.CloseClientConnections()
		r.http.Close()
		r.hangUp()
	})
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *relay) note(call, body string) {
	r.calls, r.bodies = append(r.calls, call), append(r.bodies, body)
}

func (r *relay) serve(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(fmt.Sprintf("%s %s %s", req.Method, req.URL.Path, req.Header.Get("If-Match")), string(body))
	if r.broken != nil {
		r.broken(w, req)
		return
	}
	switch req.Method {
	case http.MethodOptions:
		if r.recodes {
			w.Header().Set(transport.HeaderRecodes, "yes")
		}
	case http.MethodPost:
		answer, err := r.accept(string(body))
		if err != nil {
			r.t.Errorf("offer: %v\n%s", err, body)
			w.WriteHeader(400)
			return
		}
		for _, l := range r.link {
			w.Header().Add("Link", l)
		}
		w.Header().Set("Location", fmt.Sprintf("whip/%d?key=1", r.session))
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, r.session))
		w.Header().Set("Content-Type", "application/sdp")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, answer)
	case http.MethodPatch:
		for line := range strings.Lines(string(body)) {
			if c, ok := strings.CutPrefix(strings.TrimSpace(line), "a="); ok && strings.HasPrefix(c, "candidate:") && r.pc != nil {
				if err := r.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c}); err != nil {
					r.t.Errorf("candidate %s: %v", c, err)
				}
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// accept answers an offer; it takes one session at a time.
func (r *relay) accept(offer string) (string, error) {
	pc, err := r.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	r.pc, r.packets = pc, map[string][]*rtp.Packet{}
	r.session++
	session := r.session
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			r.mu.Lock()
			if session == r.session {
				r.ssrc = t.SSRC()
				r.packets[t.Codec().MimeType] = append(r.packets[t.Codec().MimeType], p)
			}
			r.mu.Unlock()
		}
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	complete := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-complete
	return pc.LocalDescription().SDP, nil
}

func (r *relay) hangUp() {
	r.mu.Lock()
	pc := r.pc
	r.mu.Unlock()
	if pc != nil {
		pc.Close()
	}
}

// until waits for a condition of the relay.
func (r *relay) until(what string, ok func() bool) {
	r.t.Helper()
	limit, turn := time.After(20*time.Second), time.NewTicker(20*time.Millisecond)
	defer turn.Stop()
	for {
		r.mu.Lock()
		yes, calls := ok(), slices.Clone(r.calls)
		r.mu.Unlock()
		if yes {
			return
		}
		select {
		case <-turn.C:
		case <-limit:
			r.t.Fatalf("waited in vain for: %s; calls %q", what, calls)
		}
	}
}

// got depacketises what came of H.264: the NAL units, in the order of sending. The caller holds mu.
func (r *relay) got() (nals [][]byte, times []uint32) {
	packets := slices.Clone(r.packets[webrtc.MimeTypeH264])
	if len(packets) == 0 {
		return nil, nil
	}
	first := packets[0].SequenceNumber
	slices.SortStableFunc(packets, func(a, b *rtp.Packet) int {
		return int(int16(a.SequenceNumber-first)) - int(int16(b.SequenceNumber-first))
	})
	var d codecs.H264Packet
	for i, p := range packets {
		if i > 0 && p.SequenceNumber != packets[i-1].SequenceNumber+1 {
			return nal(nals), times // the rest is on its way
		}
		raw, err := d.Unmarshal(p.Payload)
		if err != nil {
			r.t.Fatalf("packet %d: %v", i, err)
		}
		nals = append(nals, bytes.Split(raw, []byte{0, 0, 0, 1})...)
		if p.Marker {
			times = append(times, p.Timestamp)
		}
	}
	return nal(nals), times
}

func nal(all [][]byte) [][]byte {
	return slices.DeleteFunc(all, func(n []byte) bool { return len(n) == 0 })
}

func newPublisher(t testing.TB, r *relay, change func(*Config)) *Publisher {
	c := Config{Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Send: func(ctx context.Context, method, path string, h http.Header, body []byte) (*http.Response, error) {
			req, err := http.NewRequestWithContext(ctx, method, r.http.URL+path, bytes.NewReader(body))
			if err != nil {
				return nil, err
			}
			req.Header = h.Clone()
			return r.http.Client().Do(req)
		}}
	if change != nil {
		change(&c)
	}
	p := New(c)
	t.Cleanup(func() { p.Stop(context.Background()) })
	return p
}

// stateOf waits for a state.
func stateOf(t testing.TB, p *Publisher, what string, ok func(State) bool) State {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		changed := p.Changed()
		s := p.State()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("waited in vain for: %s; state %+v", what, s)
		}
	}
}

// play gives units to the publisher every tick.
func play(p *Publisher, tick time.Duration, units []feed.Unit) {
	turn := time.NewTicker(tick)
	defer turn.Stop()
	for _, u := range units {
		<-turn.C
		u.At = time.Now()
		p.Unit(u)
	}
}

func flat(units []feed.Unit) (all [][]byte) {
	for _, u := range units {
		all = append(all, u.Data...)
	}
	return all
}

// TestWhatIsSentIsWhatTheCameraGave: bit by bit, with its times, from the last key picture on, which was made before anybody wanted it.
func TestWhatIsSentIsWhatTheCameraGave(t *testing.T) {
	r := newRelay(t, webrtc.SettingEngine{})
	p := newPublisher(t, r, nil)
	tracks, units := pictures(t, "-c:v", "copy")
	p.Tracks(tracks)
	key := 0
	for i := range 40 {
		if units[i].Key {
			key = i
		}
		units[i].At = time.Now()
		p.Unit(units[i])
	}
	must(t, p.Start(context.Background()))
	want := flat(units[key:40])
	r.until("the pictures since the last key one, though no other has come", func() bool { return len(r.packets[webrtc.MimeTypeH264]) > len(want) })
	play(p, 25*time.Millisecond, units[40:110])
	want = flat(units[key:110])
	var got [][]byte
	var times []uint32
	r.until("all units", func() bool {
		got, times = r.got()
		return len(times) >= 110-key
	})
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Fatalf("%d NAL units came, %d were given, and they are not equal", len(got), len(want))
	}
	for i, at := range times {
		if d := int32(at - times[0] - uint32(i*3000)); d < -1 || d > 1 {
			t.Fatalf("picture %d has time %d after the first", i, at-times[0])
		}
	}
	if s := p.State(); !s.Publishing || s.Video != feed.H264 || s.Trouble != "" || s.Since.IsZero() {
		t.Fatalf("state %+v", s)
	}
	p.Stop(context.Background())
	if s := p.State(); s.Wanted || s.Publishing || s.Video != feed.H264 {
		t.Fatalf("state after stopping %+v", s)
	}
	checkCalls(t, r)
}

// checkCalls looks at the signalling of one session.
func checkCalls(t *testing.T, r *relay) {
	t.Helper()
	if n := len(r.calls); n < 3 || r.calls[0] != "POST /v1/live/whip " || r.calls[n-1] != "DELETE /v1/live/whip/1 " {
		t.Fatalf("calls %q", r.calls)
	}
	for i, c := range r.calls[1 : len(r.calls)-1] {
		b := r.bodies[1+i]
		if c != `PATCH /v1/live/whip/1 "1"` || !strings.Contains(b, "a=mid:0\r\n") || !strings.Contains(b, "a=ice-ufrag:") {
			t.Errorf("call %q with %q", c, b)
		}
	}
	if all := strings.Join(r.bodies, ""); strings.Contains(all, " 127.0.0.1 ") || !strings.Contains(all, "a=end-of-candidates") {
		t.Errorf("candidates are told wrongly: %s", all)
	}
}

// TestGoesOnWhenTheServerIsBack: a connection that ends is made anew, and begins with a key picture and its parameters.
func TestGoesOnWhenTheServerIsBack(t *testing.T) {
	r := newRelay(t, webrtc.SettingEngine{})
	p := newPublisher(t, r, nil)
	tracks, units := pictures(t, "-c:v", "copy")
	p.Tracks(tracks)
	must(t, p.Start(context.Background()))
	for _, u := range units[:50] {
		p.Unit(u)
	}
	r.until("pictures", func() bool { return len(r.packets[webrtc.MimeTypeH264]) > 10 })
	r.mu.Lock()
	r.broken = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	r.mu.Unlock()
	r.hangUp()
	s := stateOf(t, p, "trouble", func(s State) bool { return !s.Publishing && strings.Contains(s.Trouble, "502") })
	if !s.Wanted || !strings.Contains(s.Trouble, "recording and sealing go on") {
		t.Errorf("state %+v", s)
	}
	r.mu.Lock()
	r.broken = nil
	r.mu.Unlock()
	stateOf(t, p, "publishing again", func(s State) bool { return s.Publishing && s.Trouble == "" })
	r.until("pictures", func() bool { return r.session == 2 && len(r.packets[webrtc.MimeTypeH264]) > 10 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if got, _ := r.got(); !bytes.Equal(got[0], tracks[0].Params[0]) || !bytes.Equal(got[1], tracks[0].Params[1]) {
		t.Error("the second session does not begin with the parameters")
	}
}

// TestLostPicturesAreSentOnceMore: a receiver that asks gets the last key picture and what followed, in times that go on.
func TestLostPicturesAreSentOnceMore(t *testing.T) {
	r := newRelay(t, webrtc.SettingEngine{})
	p := newPublisher(t, r, nil)
	tracks, units := pictures(t, "-c:v", "copy")
	p.Tracks(tracks)
	must(t, p.Start(context.Background()))
	for _, u := range units[:10] {
		p.Unit(u)
	}
	r.until("the pictures", func() bool {
		_, times := r.got()
		return len(times) == 10
	})
	r.mu.Lock()
	pc, ssrc := r.pc, r.ssrc
	r.mu.Unlock()
	for range 3 { // twice too often
		must(t, pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(ssrc)}}))
	}
	var got [][]byte
	var times []uint32
	next := units[10:]
	turn := time.NewTicker(20 * time.Millisecond)
	defer turn.Stop()
	for given := 10; given < 20; given++ {
		<-turn.C
		p.Unit(next[0])
		next = next[1:]
	}
	r.until("the pictures once more", func() bool {
		got, times = r.got()
		return len(times) > 20+9
	})
	first := flat(units[:1])
	n := 0
	for i := range got {
		if bytes.Equal(got[i], first[len(first)-1]) {
			n++
		}
	}
	if n != 2 {
		t.Errorf("the key picture came %d times", n)
	}
	for i := range times[1:] {
		if int32(times[i+1]-times[i]) <= 0 {
			t.Fatalf("time goes back at picture %d", i+1)
		}
	}
}

// TestOverTCP: a server that can't be reached by UDP is reached by TCP.
func TestOverTCP(t *testing.T) {
	l := listenTCP(t)
	var set webrtc.SettingEngine
	set.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	set.SetICETCPMux(webrtc.NewICETCPMux(nil, l, 64))
	r := newRelay(t, set)
	p := newPublisher(t, r, nil)
	tracks, units := pictures(t, "-c:v", "copy")
	p.Tracks(tracks)
	must(t, p.Start(context.Background()))
	for _, u := range units[:30] {
		p.Unit(u)
	}
	r.until("the pictures", func() bool {
		got, times := r.got()
		return len(times) == 30 && slices.EqualFunc(got, flat(units[:30]), bytes.Equal)
	})
}

// TestTURN: the servers that the answer names are used, and their candidates told.
func TestTURN(t *testing.T) {
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	server, err := turn.NewServer(turn.ServerConfig{Realm: "test", LoggerFactory: quiet{log: slog.New(slog.DiscardHandler)},
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			return a.Username, turn.GenerateAuthKey(a.Username, a.Realm, "a, secret"), a.Username == "recorder"
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: socket, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}}}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	r := newRelay(t, webrtc.SettingEngine{})
	r.link = []string{fmt.Sprintf(`<turn:%s?transport=udp>; rel="ice-server"; username="recorder"; credential="a, secret"; credential-type="password"`, socket.LocalAddr())}
	p := newPublisher(t, r, nil)
	tracks, units := pictures(t, "-c:v", "copy")
	p.Tracks(tracks)
	p.Unit(units[0])
	must(t, p.Start(context.Background()))
	r.until("a relayed candidate", func() bool { return strings.Contains(strings.Join(r.bodies, ""), "typ relay") })
	stateOf(t, p, "publishing", func(s State) bool { return s.Publishing })
}

// TestSoundAndWhatCantBeCarried: G.711 goes with the pictures; AAC is left out and said so; B-frames and H.265 are not published and said so.
func TestSoundAndWhatCantBeCarried(t *testing.T) {
	r := newRelay(t, webrtc.SettingEngine{})
	p := newPublisher(t, r, nil)
	tracks, units := pictures(t, "-c:v", "copy")
	if err := p.Start(context.Background()); err == nil || !strings.Contains(err.Error(), "the camera gives nothing") {
		t.Fatalf("no camera: %v", err)
	}
	p.Tracks([]feed.Track{{Codec: feed.H265}})
	stateOf(t, p, "H.265 said to be so", func(s State) bool { return s.Wanted && s.Video == feed.H265 && strings.Contains(s.Trouble, "h265") })
	p.Tracks(append(tracks, feed.Track{Codec: feed.PCMA, Rate: 8000, Channels: 1}))
	turn := time.NewTicker(5 * time.Millisecond)
	defer turn.Stop()
	for i, u := range units[:100] {
		<-turn.C
		p.Unit(u)
		p.Unit(feed.Unit{Track: 1, PTS: u.PTS, DTS: u.PTS, Data: [][]byte{bytes.Repeat([]byte{byte(i)}, 264)}})
	}
	r.until("sound", func() bool { return len(r.packets[webrtc.MimeTypePCMA]) > 5 && len(r.packets[webrtc.MimeTypeH264]) > 5 })
	if s := p.State(); s.Mute || s.Audio != feed.PCMA {
		t.Errorf("state with sound %+v", s)
	}
	p.Tracks(append(tracks, feed.Track{Codec: feed.AAC, Rate: 48000, Channels: 2, Params: [][]byte{{0x11, 0x90}}}))
	if s := stateOf(t, p, "the other session", func(s State) bool { return s.Publishing && s.Mute }); s.Audio != feed.AAC {
		t.Errorf("state without sound %+v", s)
	}
	r.mu.Lock()
	if last := r.bodies[slices.IndexFunc(r.calls, func(c string) bool { return strings.HasPrefix(c, "POST") })]; !strings.Contains(last, "PCMA") {
		t.Errorf("first offer: %s", last)
	}
	r.mu.Unlock()
	p.Unit(units[0])
	late := units[1]
	late.PTS = units[3].PTS
	p.Unit(late)
	p.Unit(units[2])
	s := stateOf(t, p, "B-frames", func(s State) bool { return !s.Publishing && s.BFrames && s.Trouble != "" })
	if !s.Wanted || !strings.Contains(s.Trouble, "B-frames") {
		t.Errorf("state with B-frames %+v", s)
	}
}

// TestServerTakesNoSound: a server that does not know the sound's codec gets the pictures.
func TestServerTakesNoSound(t *testing.T) {
	r := newRelay(t, webrtc.SettingEngine{})
	p := newPublisher(t, r, func(c *Config) { c.Any = true })
	tracks, units := pictures(t, "-c:v", "copy")
	p.Tracks(append(tracks, feed.Track{Codec: feed.AAC, Rate: 48000, Channels: 2, Params: [][]byte{{0x11, 0x90}}}))
	p.Unit(units[0])
	must(t, p.Start(context.Background()))
	r.until("pictures", func() bool { return len(r.packets[webrtc.MimeTypeH264]) > 10 })
	stateOf(t, p, "no sound", func(s State) bool { return s.Publishing && s.Mute })
}

// TestAnyCodec: for a server that codes anew, B-frames and AAC go as they are.
func TestAnyCodec(t *testing.T) {
	aac := webrtc.RTPCodecParameters{PayloadType: 120, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/mpeg4-generic", ClockRate: 48000, Channels: 2,
		SDPFmtpLine: "streamtype=5;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3"}}
	r := newRelay(t, webrtc.SettingEngine{}, aac)
	r.recodes = true
	p := newPublisher(t, r, nil)
	tracks, units := pictures(t, "-c:v", "copy")
	units = slices.Clone(units[:20])
	for i := 1; i+1 < 20; i += 2 {
		units[i].PTS, units[i+1].PTS = units[i+1].PTS, units[i].PTS
	}
	p.Tracks(append(tracks, feed.Track{Codec: feed.AAC, Rate: 48000, Channels: 2, Params: [][]byte{{0x11, 0x90}}}))
	p.Unit(units[0])
	must(t, p.Start(context.Background()))
	turn := time.NewTicker(10 * time.Millisecond)
	defer turn.Stop()
	for i, u := range units[1:] {
		<-turn.C
		p.Unit(u)
		if i == 4 {
			stateOf(t, p, "B-frames and publishing", func(s State) bool { return s.Publishing && s.BFrames && !s.Mute })
		}
		if i > 4 {
			p.Unit(feed.Unit{Track: 1, PTS: u.PTS, DTS: u.PTS, Data: [][]byte{{1, 2, byte(i)}, {3, 4}}})
		}
	}
	var times []uint32
	r.until("pictures and sound", func() bool {
		_, times = r.got()
		return len(times) == 20 && len(r.packets["audio/mpeg4-generic"]) > 10
	})
	if int32(times[2]-times[1]) >= 0 {
		t.Errorf("times %v are not those of B-frames", times)
	}
	want := []byte{0, 32, 0, 3 << 3, 0, 2 << 3, 1, 2, 5, 3, 4} // RFC 3640, 3.3.6: two AU headers of 13 and 3 bits
	if first := r.packets["audio/mpeg4-generic"][0]; !bytes.Equal(first.Payload, want) || first.PayloadType == 0 {
		t.Errorf("sound %x, want %x", first.Payload, want)
	}
}

func loopback(ip net.IP) bool { return ip.IsLoopback() }

func listenTCP(t testing.TB) net.Listener {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}
