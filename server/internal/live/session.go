package live

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	connectTime  = 20 * time.Second // from an answer to a connection
	nackInterval = 30 * time.Millisecond
	nackMemory   = 2048 // packets that can be sent to a viewer again
)

// session is one publisher's or viewer's connection.
type session struct {
	relay      *Relay
	stream     *stream
	id         string
	publishing bool
	pc         *webrtc.PeerConnection
	ctx        context.Context // ends with the session
	cancel     context.CancelFunc
	done       chan struct{} // closed when nothing of it is left

	video, audio lane          // of a publisher, under the relay's mu, from when it has become that until its media come
	from         [2]*codec     // what its pictures and sound are coded in
	ssrc         atomic.Uint32 // of its pictures

	negotiation sync.Mutex // over etag, offer and what is done by them
	etag        string
	offer       webrtc.SessionDescription
	added       int // candidates since then

	mu    sync.Mutex
	ended bool
	work  sync.WaitGroup
	outs  []*out // of a viewer, set before it can connect
	timer *time.Timer

	connected, once sync.Once // to begin, to end
}

// lane is where a publisher's packets of one kind go.
type lane struct {
	track *track // nil: nowhere
	epoch uint64 // that is its own in the track
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// connect makes a session that knows these codecs.
func (r *Relay) connect(s *stream, publishing bool, codecs []codec) (*session, error) {
	media := &webrtc.MediaEngine{}
	for _, c := range codecs {
		kind := webrtc.RTPCodecTypeAudio
		if c.video() {
			kind = webrtc.RTPCodecTypeVideo
		}
		if err := media.RegisterCodec(c.RTPCodecParameters, kind); err != nil {
			return nil, fmt.Errorf("codec %s: %w", c.MimeType, err)
		}
	}
	chain := &interceptor.Registry{}
	if err := r.intercept(chain, media, publishing); err != nil {
		return nil, fmt.Errorf("prepare a connection: %w", err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(r.engine)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("prepare a connection: %w", err)
	}
	p := &session{relay: r, stream: s, id: randomID(), publishing: publishing, pc: pc, etag: newETag(), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(r.ctx)
	p.timer = time.AfterFunc(connectTime, func() { p.end("it did not connect") })
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			p.timer.Stop()
			p.connected.Do(p.send)
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			go p.end("the connection is gone")
		}
	})
	return p, nil
}

// intercept adds what a publisher's and what a viewer's connection needs.
func (r *Relay) intercept(chain *interceptor.Registry, media *webrtc.MediaEngine, publishing bool) error {
	log := r.engine.LoggerFactory
	if publishing {
		repair, err := nack.NewGeneratorInterceptor(nack.GeneratorSize(nackMemory), nack.GeneratorInterval(nackInterval), nack.WithGeneratorLoggerFactory(log))
		if err != nil {
			return err
		}
		reports, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(log))
		if err != nil {
			return err
		}
		chain.Add(repair)
		chain.Add(reports)
		return webrtc.ConfigureTWCCSender(media, chain) // by which browsers find out what the line carries
	}
	repair, err := nack.NewResponderInterceptor(nack.ResponderSize(nackMemory), nack.DisableCopy(), nack.WithResponderLoggerFactory(log))
	if err != nil {
		return err
	}
	reports, err := report.NewSenderInterceptor(report.WithSenderLoggerFactory(log))
	if err != nil {
		return err
	}
	chain.Add(repair)
	chain.Add(reports)
	return nil
}

// answer takes an offer and returns the answer, with all of the relay's addresses in it.
func (p *session) answer(ctx context.Context, offer webrtc.SessionDescription) (string, error) {
	if err := p.pc.SetRemoteDescription(offer); err != nil {
		return "", refuse(400, "the offer can't be answered: "+err.Error(), "")
	}
	answer, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return "", refuse(400, "the offer can't be answered: "+err.Error(), "")
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(answer); err != nil {
		return "", refuse(400, "the offer can't be answered: "+err.Error(), "")
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	p.offer = offer
	return tidy(p.pc.LocalDescription().SDP)
}

// tidy moves candidates from a section that was declined, where clients don't look for them, to one that was not.
func tidy(answer string) (string, error) {
	d := &sdp.SessionDescription{}
	if err := d.UnmarshalString(answer); err != nil {
		return "", fmt.Errorf("answer: %w", err)
	}
	var moved []sdp.Attribute
	isICE := func(a sdp.Attribute) bool { return a.Key == "candidate" || a.Key == "end-of-candidates" }
	for _, m := range d.MediaDescriptions {
		if m.MediaName.Port.Value != 0 {
			m.Attributes = append(m.Attributes, moved...)
			moved = nil
			continue
		}
		for _, a := range m.Attributes {
			if isICE(a) {
				moved = append(moved, a)
			}
		}
		m.Attributes = slices.DeleteFunc(m.Attributes, isICE)
	}
	out, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("answer: %w", err)
	}
	return string(out), nil
}

// send begins to send to a viewer.
func (p *session) send() {
	for _, o := range p.outs {
		p.start(o.run)
	}
}

// start runs f until it returns; end waits for it, so that f must not call end.
func (p *session) start(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.work.Go(f)
	}
}

// end closes the connection and returns once nothing of it is left. It is safe to call again.
func (p *session) end(why string) {
	p.once.Do(func() {
		p.timer.Stop()
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		p.cancel()
		p.relay.gone(p)
		for _, o := range p.outs {
			o.stop()
		}
		if err := p.pc.Close(); err != nil {
			p.relay.cfg.Slog.Debug("connection not closed cleanly", slog.Any("error", err))
		}
		p.work.Wait()
		close(p.done)
		p.relay.cfg.Slog.Debug("live session ended", slog.String("stream", p.stream.name), slog.Bool("publisher", p.publishing), slog.String("why", why))
	})
}
