package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/rtcp"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

const (
	connectWait   = 15 * time.Second       // from the answer to a connection
	tellWait      = 20 * time.Millisecond  // candidates that come together are told together
	quietAfter    = 3 * time.Second        // without a sign of the other end a connection is in doubt
	failedAfter   = 4 * time.Second        // and that much later it is given up
	keepAlive     = time.Second            // between two signs of this end
	relayAfter    = 500 * time.Millisecond // for a direct way to be found before one by a TURN server is taken
	resendAtMost  = time.Second            // between two times that pictures are sent once more
	soundLateness = 300 * time.Millisecond // older sound is left out: a player would play all of it late
	nackPackets   = 1024                   // kept for sending once more
)

var (
	errChanged = errors.New("the camera's stream has changed")
	errStopped = errors.New("stopped")
)

// session is one connection with the server.
type session struct {
	p        *Publisher
	pc       *webrtc.PeerConnection
	whip     whip
	carriers map[int]*carrier // by the feed's track
	pace     *pace
	state    chan webrtc.PeerConnectionState
	found    chan *webrtc.ICECandidate
	resent   time.Time
	asked    chan struct{} // the receiver wants a key unit; holds one
}

// newAPI builds what is used of WebRTC and nothing else: these codecs, answers to NACK, and sender reports.
func newAPI(log *slog.Logger, pl plan, pace *pace) (*webrtc.API, error) {
	var media webrtc.MediaEngine
	var hooks interceptor.Registry
	for _, k := range pl {
		kind := webrtc.RTPCodecTypeVideo
		if !k.track.Codec.Video() {
			kind = webrtc.RTPCodecTypeAudio
		}
		if err := media.RegisterCodec(k.codec, kind); err != nil {
			return nil, err
		}
	}
	logs := quiet{log: log}
	responder, err := nack.NewResponderInterceptor(nack.ResponderSize(nackPackets), nack.WithResponderLoggerFactory(logs))
	if err != nil {
		return nil, err
	}
	sender, err := report.NewSenderInterceptor(report.WithSenderLoggerFactory(logs))
	if err != nil {
		return nil, err
	}
	hooks.Add(&repairs{pace: pace}) // the first is the last that a packet passes
	hooks.Add(responder)
	hooks.Add(sender)
	var set webrtc.SettingEngine
	set.LoggerFactory = logs
	set.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6})
	set.SetICETimeouts(quietAfter, failedAfter, keepAlive)
	set.SetRelayAcceptanceMinWait(relayAfter)
	set.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	set.SetIncludeLoopbackCandidate(true) // a server may be on this machine; the others are not told of it
	return webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithInterceptorRegistry(&hooks), webrtc.WithSettingEngine(set)), nil
}

// newSession prepares a connection; nothing is sent.
func newSession(p *Publisher, pl plan) (*session, error) {
	pace := newPace(p.c.Now, p.c.Rate)
	api, err := newAPI(p.c.Log, pl, pace)
	if err != nil {
		return nil, err
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle, RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire})
	if err != nil {
		return nil, err
	}
	s := &session{p: p, pc: pc, whip: whip{send: p.c.Send, log: p.c.Log}, carriers: map[int]*carrier{}, pace: pace,
		state: make(chan webrtc.PeerConnectionState, 16), found: make(chan *webrtc.ICECandidate, 256), asked: make(chan struct{}, 1)}
	pc.OnConnectionStateChange(func(st webrtc.PeerConnectionState) {
		select {
		case s.state <- st:
		default:
		}
	})
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		select {
		case s.found <- c:
		default:
		}
	})
	for _, k := range pl {
		if err := s.add(k, len(pl) == 1 || k.track.Codec.Video()); err != nil {
			return nil, errors.Join(err, pc.Close())
		}
	}
	return s, nil
}

func (s *session) add(k carried, measures bool) error {
	c, err := newCarrier(k)
	if err != nil {
		return err
	}
	t, err := s.pc.AddTransceiverFromTrack(c.out, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return err
	}
	c.sender = t.Sender()
	s.carriers[k.index] = c
	go s.hear(c.sender, measures)
	return nil
}

// hear takes the receiver's reports until the connection is closed. Those of one track measure the link.
func (s *session) hear(from *webrtc.RTPSender, measures bool) {
	for {
		packets, _, err := from.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.ReceiverReport:
				for _, r := range p.Reports {
					if measures {
						s.pace.heard(float64(r.FractionLost) / 256)
					}
				}
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				select {
				case s.asked <- struct{}{}:
				default:
				}
			}
		}
	}
}

// run publishes until ctx ends or the connection does, and says why.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errStopped)
	defer s.p.goodbyes.Go(func() { // beside what comes next, since without a network it takes its time
		s.whip.delete(ctx)
		s.close(ctx)
	})
	if err := s.negotiate(ctx); err != nil {
		return err
	}
	go s.tell(ctx)
	if err := s.connected(ctx); err != nil {
		return err
	}
	go func() { cancel(s.ended(ctx)) }()
	s.p.up(slices.ContainsFunc(slices.Collect(maps.Values(s.carriers)), func(c *carrier) bool { return !c.track.Codec.Video() }))
	return s.send(ctx)
}

func (s *session) close(ctx context.Context) {
	if err := s.pc.Close(); err != nil {
		s.p.c.Log.DebugContext(ctx, "close the connection", slog.Any("error", err))
	}
}

// negotiate makes the offer before candidates are looked for: the answer says which STUN and TURN servers to look for them with (RFC 9725,
// 4.6), and the server learns them by PATCH, or from the checks that this end makes.
func (s *session) negotiate(ctx context.Context) error {
	offer, err := s.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	if err := s.whip.post(ctx, s.p.c.Path, offer.SDP); err != nil {
		return err
	}
	conf := s.pc.GetConfiguration()
	for _, v := range append(slices.Clone(s.p.c.ICEServers), s.whip.servers...) {
		conf.ICEServers = append(conf.ICEServers, webrtc.ICEServer{URLs: v.URLs, Username: v.Username, Credential: v.Credential})
	}
	if err := s.pc.SetConfiguration(conf); err != nil {
		return fmt.Errorf("STUN and TURN servers: %w", err)
	}
	if err := s.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.whip.answer}
	if err := s.accepted(answer); err != nil {
		return err
	}
	if err := s.pc.SetRemoteDescription(answer); err != nil {
		return fmt.Errorf("the server's answer makes no sense: %w", err)
	}
	return nil
}

// accepted looks at what of the offer the server takes.
func (s *session) accepted(desc webrtc.SessionDescription) error {
	answer, err := desc.Unmarshal()
	if err != nil {
		return fmt.Errorf("the server's answer makes no sense: %w", err)
	}
	taken := 0
	for _, m := range answer.MediaDescriptions {
		_, no := m.Attribute("inactive")
		ok := m.MediaName.Port.Value != 0 && !no
		for i, c := range s.carriers {
			switch {
			case c.out.Kind().String() != m.MediaName.Media:
			case ok:
				taken++
			case c.track.Codec.Video():
				return fmt.Errorf("the server takes no pictures coded as %s (%s)", c.track.Codec, c.codec.SDPFmtpLine)
			default: // left in, the library would find fault with the answer
				delete(s.carriers, i)
				if err := s.pc.RemoveTrack(c.sender); err != nil {
					return fmt.Errorf("leave the sound out: %w", err)
				}
			}
		}
	}
	if taken == 0 {
		return errors.New("the server takes neither pictures nor sound")
	}
	return nil
}

// tell tells the server the candidates as they are found.
func (s *session) tell(ctx context.Context) {
	offer := s.pc.LocalDescription().SDP
	var more []webrtc.ICECandidateInit
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for last := false; !last; {
		select {
		case <-ctx.Done():
			return
		case c := <-s.found:
			if last = c == nil; !last {
				if ip := net.ParseIP(c.Address); ip != nil && ip.IsLoopback() && c.Typ == webrtc.ICECandidateTypeHost {
					continue
				}
				more = append(more, c.ToJSON())
				timer.Reset(tellWait)
				continue
			}
		case <-timer.C:
		}
		s.whip.patch(ctx, offer, more, last)
		more = nil
	}
}

// connected waits for the connection.
func (s *session) connected(ctx context.Context) error {
	timer := time.NewTimer(connectWait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return errors.New("no way to the server was found for pictures: its UDP and TCP ports for live pictures don't answer")
		case st := <-s.state:
			switch st {
			case webrtc.PeerConnectionStateConnected:
				return nil
			case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
				return errors.New("no way to the server was found for pictures: its UDP and TCP ports for live pictures don't answer")
			}
		}
	}
}

// ended waits for the connection's end.
func (s *session) ended(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case st := <-s.state:
			switch st {
			case webrtc.PeerConnectionStateFailed:
				return errors.New("the connection was lost")
			case webrtc.PeerConnectionStateClosed:
				return errors.New("the server ended the connection")
			}
		}
	}
}

// send sends units as they come, beginning with those since the last key one.
func (s *session) send(ctx context.Context) error {
	s.p.cache.open()
	defer s.p.cache.close()
	for {
		t, err := s.p.cache.read(ctx)
		if err != nil {
			return err
		}
		s.resend()
		c := s.carriers[t.Track]
		n := size(t.Unit)
		switch {
		case c == nil:
			continue
		case c.track.Codec.Video():
			if !s.pace.admits(t, n) {
				continue
			}
		case t.again || t.behind > soundLateness || !s.pace.room(n):
			continue
		}
		pkts, err := c.packets(t)
		if err != nil {
			return err
		}
		for _, p := range pkts {
			if err := s.pace.wait(ctx, len(p.Payload)); err != nil {
				return err
			}
			if err := c.out.WriteRTP(p); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
		s.p.measured(s.pace.view())
	}
}

// resend answers a receiver that lost its pictures. The camera can't be made to give a key unit, so the last one is sent once more, with all
// that followed it, since what comes next can't be decoded without; at most once a second, and only while that is little for the link.
func (s *session) resend() {
	select {
	case <-s.asked:
	default:
		return
	}
	now := s.p.c.Now()
	if now.Sub(s.resent) >= resendAtMost && s.p.cache.rewind(s.pace.share()) {
		s.resent = now
	}
}

// usable reports whether an ICE server's address and credentials are of a form that can be used.
func usable(v ICEServer) bool {
	for _, u := range v.URLs {
		p, err := stun.ParseURI(u)
		if err != nil || (p.Scheme == stun.SchemeTypeTURN || p.Scheme == stun.SchemeTypeTURNS) && (v.Username == "" || v.Credential == "") {
			return false
		}
	}
	return len(v.URLs) > 0
}
