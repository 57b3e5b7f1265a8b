package e2e_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"camseal/pkg/evidence"
	"camseal/scripts/camera/recorder"
	"camseal/scripts/netns"
)

// shell runs commands that set up a link.
func shell(t *testing.T, commands string, words ...string) {
	t.Helper()
	if out, err := exec.Command("sh", "-e", "-c", strings.NewReplacer(words...).Replace(commands)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, commands)
	}
}

// TestNarrowLink: over 64 kbit/s, of whose packets one in twenty is lost either way, the server knows of every segment long before the footage
// can be there; when the link is wide again all of it comes.
func TestNarrowLink(t *testing.T) {
	t.Parallel()
	const third = 91
	n, err := netns.New("camseal-e2e", third)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	s := newSystem(t, "--names", "localhost,127.0.0.1,::1,"+n.Host)
	s.server.kill()
	_, port, err := net.SplitHostPort(s.api)
	if err != nil {
		t.Fatal(err)
	}
	s.api = net.JoinHostPort(n.Host, port)
	s.via = s.api
	s.startServer()
	begin(t, n.Command(context.Background(), program("camseal-camera"), "--listen", "127.0.0.1:8554", "--size", "640x360", "--bitrate", "500k", "--gop", "1s", "--length", "10s"))
	d := &onDuty{s: s, page: "http://127.0.0.1:8091/", http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}}}
	d.agent = begin(t, n.Command(context.Background(), program("camseal-agent"), s.agent("run", dutyFlags("rtsp://127.0.0.1:8554/stream", "127.0.0.1:8091", "--link", "mobile", "--no-live")...)...))
	d.ready()
	s.as("custodian")

	words := []string{"NS", n.Name, "DEV", fmt.Sprintf("cs%d", third), "NARROW", "tbf rate 64kbit burst 4kb latency 1s"}
	shell(t, `tc qdisc add dev DEV root NARROW
		ip netns exec NS tc qdisc add dev inside root NARROW
		ip netns exec NS nft -f - <<END
		table inet lossy {
			chain in { type filter hook input priority 0; iifname "inside" numgen random mod 100 < 5 drop; }
			chain out { type filter hook output priority 0; oifname "inside" numgen random mod 100 < 5 drop; }
		}
END`, words...)
	rec := d.press("start")
	lag := newLag()
	ended := false
	eventually(t, "every statement to be seen, over the narrow link", func() bool {
		st, g := d.state(), s.growth(rec)
		if !ended {
			lag.made(st.Segments)
		}
		if !ended && st.Segments >= 20 {
			d.press("stop")
			ended = true
		}
		lag.seen(g.Seen)
		return ended && g.State == "" && g.Seen > 0 && !g.Grows
	})
	g := s.growth(rec)
	t.Logf("a segment's statement was seen %v after the segment's end, at worst; then %d parts of more than 20 were stored", lag.worst, g.Parts)
	if g.Parts > 10 {
		t.Errorf("%d parts were stored before the last statement was seen", g.Parts)
	}
	shell(t, `tc qdisc del dev DEV root
		ip netns exec NS tc qdisc del dev inside root
		ip netns exec NS nft delete table inet lossy`, words...)
	s.stored(rec)
	for who, said := range map[string]string{"server": s.server.out.String(), "agent": d.agent.out.String()} {
		for line := range strings.Lines(said) {
			if strings.Contains(line, "refused") || strings.Contains(line, "quarantine") || strings.Contains(line, "level=ERROR") {
				t.Errorf("the %s says: %s", who, line)
			}
		}
	}
	c := s.inBundle(rec)
	c.contiguous(t)
	verify(t, 0, "--trust", s.trust(), c.bundle)
	decodes(t, c.file)
}

// lag measures how long after its end a segment of a second is seen.
type lag struct {
	ends  []time.Time // of segments
	done  uint64      // how many of them were seen
	worst time.Duration
}

func newLag() *lag { return &lag{} }

func (l *lag) made(n uint64) {
	for uint64(len(l.ends)) < n {
		l.ends = append(l.ends, time.Now())
	}
}

// seen takes how many milliseconds of footage are seen.
func (l *lag) seen(ms uint64) {
	for ; l.done < uint64(len(l.ends)) && (l.done+1)*1000 <= ms; l.done++ {
		l.worst = max(l.worst, time.Since(l.ends[l.done]).Round(10*time.Millisecond))
	}
}

// TestServerAway: the server is gone for the whole of a recording that does not fit into the spool. There is an alarm before it is full; nothing that
// was not sent makes room for anything; what could not be kept is said, and all that was sealed comes when the server is back.
func TestServerAway(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	cam := camera(t, recorder.Config{Bitrate: "1M"})
	d := s.onDuty(cam.URL(), "--chunk-size", "64KiB", "--spool-max", "1MiB", "--spool-alarm", "40")
	s.server.kill()
	rec := d.press("start")
	alarmed := d.until("an alarm before the spool is full", func(st dutyState) bool {
		return strings.Contains(strings.Join(st.Alarms, "\n"), "more than 40 %")
	})
	if alarmed.Full >= 100 {
		t.Errorf("the first alarm comes at %d per cent: %q", alarmed.Full, alarmed.Alarms)
	}
	t.Logf("at %d per cent: %q", alarmed.Full, alarmed.Alarms)
	full := d.until("the spool to be full, and the recorder to say so", func(st dutyState) bool {
		return strings.Contains(strings.Join(st.Troubles, "\n"), "the spool is full")
	})
	t.Logf("at %d per cent: %q %q", full.Full, full.Troubles, full.Alarms)
	tick := time.NewTicker(2 * time.Second) // of footage that can't be kept
	defer tick.Stop()
	<-tick.C
	s.startServer()
	d.until("the recorder to be heard", func(st dutyState) bool { return st.Orders && st.Behind <= 1 })
	d.segments(d.state().Segments + 2)
	d.press("stop")
	s.inState(rec, "stored", "incomplete")
	c := s.inBundle(rec)
	why := map[string]int{}
	for _, f := range c.faults {
		why[f.Why]++
		t.Logf("fault %s: %s, chunks %v", f.Why, f.Detail, f.Chunks)
	}
	if why[evidence.WhyGap]+why[evidence.WhyDiskFull] == 0 {
		t.Error("what was not kept is not said")
	}
	code, said := run(t, "camseal-verify", "--trust", s.trust(), c.bundle)
	if code != 0 && code != 4 {
		t.Errorf("camseal-verify: %d\n%s", code, said)
	}
	t.Logf("camseal-verify: %d", code)
	decodes(t, c.file)
	resp, err := s.as("custodian").Get("http://" + s.web + "/recordings/" + rec + "?lang=en")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page bytes.Buffer
	if _, err := page.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for who, says := range map[string]string{"camseal-verify": said, "the recording's page": page.String()} {
		if !strings.Contains(says, "s of footage were not kept, from ") {
			t.Errorf("%s does not name the gap:\n%s", who, says)
		}
	}
}

// TestCameraMisbehaves: a camera stalls, jumps an hour back, drops its sound, and changes the size of its pictures. What is recorded is sound, decodes, and says so.
func TestCameraMisbehaves(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	cam := camera(t, recorder.Config{})
	d := s.onDuty(cam.URL())
	var recs []string
	recs = append(recs, d.press("start"))
	after := func(n uint64) { t.Helper(); d.segments(d.state().Segments + n) }
	after(2)
	cam.Stall(6 * time.Second) // longer than a camera is waited for
	after(3)
	cam.Jump(-time.Hour)
	after(3)
	cam.DropSound(7 * time.Second)
	after(8)
	if err := cam.Change(t.Context(), "", "480x270"); err != nil {
		t.Fatal(err)
	}
	next := d.until("a second recording", func(st dutyState) bool {
		return st.Recording != "" && st.Recording != recs[0] && st.Segments >= 3 && st.Width == 480
	})
	if last := d.press("stop"); last != next.Recording {
		t.Errorf("%s was ended, not %s", last, next.Recording)
	}
	recs = append(recs, next.Recording)
	trust, why := s.trust(), map[string]int{}
	for i, rec := range recs {
		s.inState(rec, "stored", "incomplete")
		c := s.inBundle(rec)
		code, said := run(t, "camseal-verify", "--trust", trust, c.bundle)
		if code != 0 && code != 4 {
			t.Errorf("recording %d: camseal-verify: %d\n%s", i, code, said)
		}
		for _, f := range c.faults {
			why[f.Why]++
			t.Logf("recording %d: fault %s: %s", i, f.Why, f.Detail)
		}
		decodes(t, c.file)
		if c.close == nil {
			t.Fatalf("recording %d has no end", i)
		}
		t.Logf("recording %d: %d pictures, %d chunks, %d ms, %s; camseal-verify %d", i, pictures(t, c.file), len(c.chunks), c.close.Duration, c.close.Why, code)
		if i == 0 && (c.close.Why != evidence.WhyMediaChanged || why[evidence.WhyGap] == 0 || why[evidence.WhyClockJump] == 0) {
			t.Errorf("the first recording ends because %q, and says of faults %v", c.close.Why, why)
		}
		if i == 1 && (c.open.Continues == nil || c.open.Continues.String() != recs[0]) {
			t.Errorf("the second recording does not continue the first: %+v", c.open)
		}
	}
	if list := s.recordings(); len(list) != len(recs) {
		t.Errorf("%d recordings: %v", len(list), list)
	}
}

// TestStrangersPublish: who is not enrolled publishes nothing; and of a crowd as many watch one recorder as may, all of them with pictures.
func TestStrangersPublish(t *testing.T) {
	const may, come = 20, 22
	t.Parallel()
	s := newSystem(t, "--live-viewers", fmt.Sprint(may))
	stranger(t, s)
	skipQuick(t)
	r := s.onDuty(camera(t, recorder.Config{}).URL())
	w := openBrowser(t, s)
	w.visit("/live/purpose?next=/live&lang=en")
	(&day{w: w}).fill("purpose", "supervision")
	(&day{w: w}).send(`main form.fields button`)
	w.until("the recorder on the wall", `document.querySelector('.live-tile') !== null`)
	stream := ask[string](w, `document.querySelector('.live-tile').dataset.stream`)
	w.expect("/live/" + stream + "/whep")
	w.run(chromedp.Evaluate(fmt.Sprintf(crowd, come, "/live/"+stream+"/whep"), nil))
	w.until("everybody to be answered", fmt.Sprintf(`window.answers.filter(a => a).length == %d`, come))
	in := ask[int](w, `window.answers.filter(a => a == 201).length`)
	if refused := ask[int](w, `window.answers.filter(a => a == 503).length`); in != may || refused != come-may {
		t.Errorf("the crowd is answered %v", ask[[]int](w, `window.answers`))
	}
	w.until("pictures for all who may", fmt.Sprintf(`window.videos.filter(v => v.getVideoPlaybackQuality().totalVideoFrames > 10).length == %d`, may))
	r.until("the recorder to count them", func(st dutyState) bool { return st.Watched > 0 })
	t.Logf("the recorder shows %d watchers", r.state().Watched)
	quiet(w)
}

// crowd has several viewers ask for one stream at once, by WHEP.
const crowd = `(async (n, address) => {
	window.answers = Array(n).fill(0);
	window.videos = [];
	const one = async i => {
		const pc = new RTCPeerConnection(), stream = new MediaStream(), video = document.createElement('video');
		video.muted = true;
		video.srcObject = stream;
		pc.addTransceiver('video', { direction: 'recvonly' });
		pc.addEventListener('track', e => { stream.addTrack(e.track); video.play().catch(() => 0); });
		await pc.setLocalDescription(await pc.createOffer());
		const r = await fetch(address, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
		if (r.status === 201) {
			window.videos.push(video);
			await pc.setRemoteDescription({ type: 'answer', sdp: await r.text() });
		}
		window.answers[i] = r.status;
	};
	for (let i = 0; i < n; i++) one(i);
})(%d, %q)`

// stranger tries to publish with a certificate that no server knows.
func stranger(t *testing.T, s *system) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, // who answers is not what is tried
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}}
	resp, err := client.Post("https://"+s.api+"/v1/live/whip", "application/sdp", strings.NewReader("v=0\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var said struct{ Code, Message string }
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a stranger is answered %s %+v %v", resp.Status, said, err)
	}
	t.Logf("a stranger is answered %s %+v", resp.Status, said)
}
