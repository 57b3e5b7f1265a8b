package livetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// Options say how a client connects. The zero value does it by UDP on the loopback interface, and repairs losses.
type Options struct {
	Engine   func(*webrtc.SettingEngine) // changes the settings
	Config   webrtc.Configuration        // STUN, TURN and policy
	Audio    string                      // MIME type of sound; empty: none
	HEVC     bool                        // pictures are H.265
	NoRepair bool                        // losses are not reported
	Profile  string                      // profile-level-id; 640028
	HTTP     *http.Client                // http.DefaultClient
}

// AAC is the MIME type of AAC in RTP (RFC 3640).
const AAC = "audio/mpeg4-generic"

const nackWindow = 2048 // packets

// Session is a client's session with the relay.
type Session struct {
	PC     *webrtc.PeerConnection
	URL    string // of the session
	ETag   string
	Links  []string
	Answer string
	http   *http.Client
}

// Request sends a request of WHIP or WHEP and returns the answer with its body read.
func Request(ctx context.Context, c *http.Client, method, to, kind, body string, header http.Header) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c == nil {
		c = http.DefaultClient
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// Refused is an answer that is no session.
type Refused struct {
	Status int
	Header http.Header
	Body   string
}

func (r *Refused) Error() string { return fmt.Sprintf("status %d: %s", r.Status, r.Body) }

// socketBuffer is the kernel's: what is lost is to be the line's loss, and not that of a client that was not given the processor.
const socketBuffer = 4 << 20

// peer makes a connection with a socket of its own, which is closed after it.
func (o Options) peer() (*webrtc.PeerConnection, error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(socketBuffer); err != nil {
		return nil, err
	}
	quiet := &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	mux := webrtc.NewICEUDPMux(quiet.NewLogger("ice"), conn)
	pc, err := o.peerOn(mux)
	if err != nil {
		return nil, errors.Join(err, mux.Close())
	}
	var once sync.Once
	pc.SCTP().Transport().OnStateChange(func(s webrtc.DTLSTransportState) {
		if s == webrtc.DTLSTransportStateClosed || s == webrtc.DTLSTransportStateFailed {
			once.Do(func() { _ = mux.Close() }) // it is only a test's
		}
	})
	return pc, nil
}

func (o Options) peerOn(mux ice.UDPMux) (*webrtc.PeerConnection, error) {
	media := &webrtc.MediaEngine{}
	profile := o.Profile
	if profile == "" {
		profile = "640028"
	}
	pictures := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000, RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}},
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile}
	if o.HEVC {
		pictures.MimeType, pictures.SDPFmtpLine = webrtc.MimeTypeH265, ""
	}
	err := media.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: pictures}, webrtc.RTPCodecTypeVideo)
	if err != nil {
		return nil, err
	}
	if o.Audio != "" {
		c := webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: soundOf(o.Audio)}
		if err := media.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, err
		}
	}
	chain := &interceptor.Registry{}
	if !o.NoRepair {
		g, err := nack.NewGeneratorInterceptor(nack.GeneratorSize(nackWindow), nack.GeneratorInterval(20*time.Millisecond))
		if err != nil {
			return nil, err
		}
		r, err := nack.NewResponderInterceptor()
		if err != nil {
			return nil, err
		}
		chain.Add(g)
		chain.Add(r)
	}
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	chain.Add(reports)
	e := webrtc.SettingEngine{}
	e.SetIncludeLoopbackCandidate(true)
	e.SetICEUDPMux(mux)
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	e.SetRelayAcceptanceMinWait(0)
	e.SetPrflxAcceptanceMinWait(0)
	e.SetSRTPReplayProtectionWindow(nackWindow)
	if o.Engine != nil {
		o.Engine(&e)
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(e)).NewPeerConnection(o.Config)
}

func soundOf(mime string) webrtc.RTPCodecCapability {
	c := webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 48000, Channels: 2}
	switch mime {
	case AAC:
		c.SDPFmtpLine = "streamtype=5;mode=AAC-hbr;profile-level-id=1;config=1190;sizelength=13;indexlength=3;indexdeltalength=3"
	case webrtc.MimeTypePCMA, webrtc.MimeTypePCMU:
		c.ClockRate, c.Channels = 8000, 0
	}
	return c
}

// join offers what pc has and takes the answer.
func join(ctx context.Context, pc *webrtc.PeerConnection, to string, c *http.Client) (*Session, error) {
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	resp, body, err := Request(ctx, c, http.MethodPost, to, "application/sdp", pc.LocalDescription().SDP, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusCreated {
		return nil, &Refused{resp.StatusCode, resp.Header, body}
	}
	at, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	session, err := at.Parse(resp.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	s := &Session{PC: pc, URL: session.String(), ETag: resp.Header.Get("ETag"), Links: resp.Header.Values("Link"), Answer: body, http: c}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: body}); err != nil {
		return nil, fmt.Errorf("%w; offer:\n%s\nanswer:\n%s", err, pc.LocalDescription().SDP, body)
	}
	return s, nil
}

// Delete ends the session as the standards say.
func (s *Session) Delete(ctx context.Context) error {
	resp, body, err := Request(ctx, s.http, http.MethodDelete, s.URL, "", "", nil)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = &Refused{resp.StatusCode, resp.Header, body}
	}
	return errors.Join(err, s.PC.Close())
}
