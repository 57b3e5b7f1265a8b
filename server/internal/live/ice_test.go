package live_test

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"camseal/server/internal/live"
	"camseal/server/internal/live/livetest"
)

// TestTCPOnly: publisher and viewer reach the relay by TCP only.
func TestTCPOnly(t *testing.T) {
	t.Parallel()
	g := newRig(t, live.Config{TCP: "127.0.0.1:0"})
	o := livetest.Options{Engine: func(e *webrtc.SettingEngine) {
		e.SetICEUDPMux(nil)
		e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}}
	g.publish("cam", o)
	v := g.watch("cam", o)
	s := g.until(v, "pictures", pictures(60))
	g.real(s.Pictures)
	if how := selected(t, v.PC); how.Local.Protocol != webrtc.ICEProtocolTCP {
		t.Errorf("the pictures came over %v", how)
	}
}

func selected(t *testing.T, pc *webrtc.PeerConnection) *webrtc.ICECandidatePair {
	t.Helper()
	pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		t.Fatal("no pair of candidates", err)
	}
	return pair
}

// TestTURN: a viewer that may use nothing but a TURN server gets its pictures through coturn, with the credentials that the relay handed out.
func TestTURN(t *testing.T) {
	t.Parallel()
	const secret = "shared between the relay and coturn"
	at := coturn(t, secret)
	g := newRig(t, live.Config{ICEServers: []live.ICEServer{{URL: "stun:" + at}, {URL: "turn:" + at + "?transport=udp"}}, TURNSecret: []byte(secret)})
	g.publish("cam", livetest.Options{})
	resp := g.request("OPTIONS", g.url+"/whep/cam", "", "", nil)
	m := regexp.MustCompile(`<(turn:[^>]+)>; rel="ice-server"; username="([^"]+)"; credential="([^"]+)"; credential-type="password"`).
		FindStringSubmatch(strings.Join(resp.Header.Values("Link"), "\n"))
	if m == nil || !strings.Contains(strings.Join(resp.Header.Values("Link"), "\n"), "<stun:"+at+`>; rel="ice-server"`) {
		t.Fatalf("links: %q", resp.Header.Values("Link"))
	}
	until, err := strconv.ParseInt(strings.Split(m[2], ":")[0], 10, 64)
	if left := time.Until(time.Unix(until, 0)); err != nil || left < time.Hour || left > 24*time.Hour {
		t.Errorf("credentials are good for %v", left)
	}
	o := livetest.Options{Config: webrtc.Configuration{ICETransportPolicy: webrtc.ICETransportPolicyRelay,
		ICEServers: []webrtc.ICEServer{{URLs: []string{m[1]}, Username: m[2], Credential: m[3]}}}}
	v := g.watch("cam", o)
	s := g.until(v, "pictures", pictures(40))
	g.real(s.Pictures)
	if how := selected(t, v.PC); how.Local.Typ != webrtc.ICECandidateTypeRelay {
		t.Errorf("the pictures came over %v", how)
	}
}

// coturn runs a TURN server, and returns its address.
func coturn(t *testing.T, secret string) string {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.LocalAddr().(*net.UDPAddr)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "turnserver", "-n", "--listening-ip=127.0.0.1", "--listening-port="+strconv.Itoa(at.Port), "--relay-ip=127.0.0.1",
		"--use-auth-secret", "--static-auth-secret="+secret, "--realm=camseal", "--no-tls", "--no-dtls", "--no-cli", "--cli-password=x", "--allow-loopback-peers",
		"--log-file=stdout", "--simple-log", "--pidfile="+dir+"/pid", "--userdb="+dir+"/db", "--verbose")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("coturn:\n%s", &said)
		}
	})
	ctx, done := context.WithTimeout(t.Context(), 10*time.Second)
	defer done()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", at.String())
		if err == nil {
			_ = conn.Close()
			return at.String()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("coturn does not listen: %v", err)
		}
	}
}
