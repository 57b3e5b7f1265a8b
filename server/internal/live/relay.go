// Package live relays what recorders show live: WHIP (RFC 9725) in, WHEP (draft-ietf-wish-whep) out. Packets go through as they are:
// nothing is decoded, and a payload is held once however many watch. What is seen live is a preview; the evidence is the sealed segments.
package live

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// Config is what a Relay needs. Zero values take the defaults that stand beside them.
type Config struct {
	UDP        string      // address that media go through, by UDP; default 127.0.0.1:0. Port 0: any. Without a host: all addresses of this machine
	TCP        string      // the same by TCP, for those whom UDP does not reach; default: none
	PublicIPs  []string    // under which this machine is reached from outside, if a router translates addresses
	ICEServers []ICEServer // STUN and TURN servers that publishers and viewers are told of
	TURNSecret []byte      // secret shared with the TURN servers, from which time-limited credentials are made (coturn: use-auth-secret)

	MaxViewers    int // of one stream; 50
	MaxAllViewers int // of all; 200
	MaxStreams    int // 64

	Grace    time.Duration // how long viewers stay when the publisher goes; 10 s
	Patience time.Duration // how long who wants to watch waits for a publisher; 6 s

	Recode bool // streams that browsers can't be sent (B-frames, H.265, AAC) go through ffmpeg, in its sandbox

	Need     func(stream string)        // somebody wants to watch, and nothing is published; may be called again while that lasts
	Watchers func(stream string, n int) // so many watch now; called on each change, one call at a time
	Now      func() time.Time           // time.Now
	Slog     *slog.Logger
}

func (c *Config) defaults() {
	c.UDP = cmp.Or(c.UDP, "127.0.0.1:0")
	c.MaxViewers, c.MaxAllViewers, c.MaxStreams = cmp.Or(c.MaxViewers, 50), cmp.Or(c.MaxAllViewers, 200), cmp.Or(c.MaxStreams, 64)
	c.Grace, c.Patience = cmp.Or(c.Grace, 10*time.Second), cmp.Or(c.Patience, 6*time.Second)
	if c.Need == nil {
		c.Need = func(string) {}
	}
	if c.Watchers == nil {
		c.Watchers = func(string, int) {}
	}
	if c.Slog == nil {
		c.Slog = slog.New(slog.DiscardHandler)
	}
}

// Relay forwards streams. It is safe for concurrent use.
type Relay struct {
	cfg    Config
	engine webrtc.SettingEngine
	udp    ice.UDPMux
	tcp    ice.TCPMux
	addrs  []net.Addr

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	streams map[string]*stream
	viewers int // of all streams

	telling sync.Mutex
	told    map[string]int
}

// New opens the relay's ports.
func New(cfg Config) (*Relay, error) {
	if cfg.Now == nil {
		return nil, errors.New("a relay needs a clock")
	}
	cfg.defaults()
	r := &Relay{cfg: cfg, streams: map[string]*stream{}, told: map[string]int{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := cfg.checkServers(); err != nil {
		return nil, err
	}
	if err := r.listen(); err != nil {
		return nil, errors.Join(err, r.closePorts())
	}
	return r, nil
}

// Close ends all sessions and returns once everything has come to rest.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.closed = true
	var ended []*session
	for _, s := range r.streams {
		s.cancelGrace()
		ended = append(ended, s.sessions()...)
	}
	r.mu.Unlock()
	r.cancel()
	for _, s := range ended {
		s.end("the relay is closed")
	}
	r.work.Wait()
	return r.closePorts()
}

// End ends what is published as stream, and all who watch it: its device is no longer trusted.
func (r *Relay) End(stream string) {
	r.mu.Lock()
	var ended []*session
	if s := r.streams[stream]; s != nil {
		ended = s.sessions()
	}
	r.mu.Unlock()
	for _, s := range ended {
		s.end("the stream was ended")
	}
}

// Ended returns a channel that is closed when a viewer's session is over, however it ended. It is closed for one that is not known.
func (r *Relay) Ended(stream, session string) <-chan struct{} {
	if s := r.find(stream, session, false); s != nil {
		return s.done
	}
	done := make(chan struct{})
	close(done)
	return done
}

// Addrs are the addresses that media go through.
func (r *Relay) Addrs() []net.Addr { return slices.Clone(r.addrs) }

// Reason says why a stream is not shown, or not all of it.
type Reason string

// The reasons.
const (
	ReasonBFrames Reason = "b-frames" // pictures are coded out of their order, which WebRTC can't carry
	ReasonVideo   Reason = "video"    // the pictures are coded in a way that is not relayed
	ReasonAudio   Reason = "audio"    // the sound is: pictures come without it
	ReasonRecode  Reason = "recode"   // re-coding broke off
)

// Stream is how a stream stands.
type Stream struct {
	Name       string
	Publishing bool
	Since      time.Time // of publishing
	Video      string    // what is relayed: video/H264, or empty
	Audio      string    // audio/opus, audio/PCMA, audio/PCMU, or empty
	Recoded    bool      // not as the publisher coded it
	Viewers    int
	In         uint64 // packets that came
	Lost       uint64 // packets that never came
	Out        uint64 // packets that were sent to viewers, without repetitions
	Reason     Reason // why it is not shown, or not all of it
}

// Streams says how all streams stand, by name.
func (r *Relay) Streams() []Stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Stream, 0, len(r.streams))
	for _, s := range r.streams {
		out = append(out, s.state())
	}
	slices.SortFunc(out, func(a, b Stream) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// tell calls Watchers if the number of viewers has changed.
func (r *Relay) tell(name string) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.mu.Lock()
	n := 0
	if s := r.streams[name]; s != nil {
		n = len(s.viewers)
	}
	r.mu.Unlock()
	if r.told[name] == n {
		return
	}
	if r.told[name] = n; n == 0 {
		delete(r.told, name)
	}
	r.cfg.Watchers(name, n)
}
