// Package recorder is a networked recorder, as far as tests, demonstrations and measurements need one: an RTSP server that plays real
// footage for ever, which ffmpeg encoded once, and that behaves badly when it is told to.
package recorder

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
)

// Footage is what plays unless another file is named: real, with speech.
const Footage = "/usr/share/forensics-samples/original-files/movie2/movie-hello.mp4"

// Config says what a Camera is. The zero value is one of 1280x720 at 30 pictures a second, H.264 at 4 Mbit/s, with G.711.
type Config struct {
	Listen         string        // address for RTSP; default 127.0.0.1 and any port
	UDP            int           // port for RTP by UDP, an even one; the next one is for RTCP; default none
	User, Password string        // who may watch; default everybody
	TLS            *tls.Config   // it speaks RTSPS; default RTSP
	File           string        // default Footage
	Codec          string        // h264 or h265
	Audio          string        // pcma, aac or none
	Size           string        // such as 1280x720
	Bitrate        string        // as ffmpeg takes it; default 4M
	FPS            int           // pictures a second, default 30
	GOP            time.Duration // between keyframes, default 2 s
	BFrames        bool          // pictures are coded out of their order
	Length         time.Duration // of the footage until it begins anew, default 10 s
	Outside        bool          // parameter sets are said in the description only, not among the pictures
	SoundDelay     time.Duration // by which sound is sent later than its pictures; its reports are right
	Lie            bool          // the description says H.264 of H.265, and the other way round
	Metadata       bool          // there is a track of data besides, at which nothing is sent
	Once           bool          // ends then, and closes its streams
	Cache          string        // folder for what was encoded; default one under the temporary folder
}

func (c Config) complete() (Config, error) {
	set := func(s *string, to string) {
		if *s == "" {
			*s = to
		}
	}
	set(&c.Listen, "127.0.0.1:0")
	set(&c.File, Footage)
	set(&c.Codec, "h264")
	set(&c.Audio, "pcma")
	set(&c.Size, "1280x720")
	set(&c.Bitrate, "4M")
	set(&c.Cache, filepath.Join(os.TempDir(), fmt.Sprintf("camseal-camera-%d", os.Getuid())))
	if c.FPS == 0 {
		c.FPS = 30
	}
	if c.GOP == 0 {
		c.GOP = 2 * time.Second
	}
	if c.Length == 0 {
		c.Length = 10 * time.Second
	}
	if c.Codec != "h264" && c.Codec != "h265" {
		return c, fmt.Errorf("codec %q: h264 or h265", c.Codec)
	}
	if c.Audio != "pcma" && c.Audio != "aac" && c.Audio != "none" {
		return c, fmt.Errorf("audio %q: pcma, aac or none", c.Audio)
	}
	var w, h int
	if _, err := fmt.Sscanf(c.Size, "%dx%d", &w, &h); err != nil {
		return c, fmt.Errorf("size %q: %w", c.Size, err)
	}
	return c, nil
}

// Camera is a running recorder. Its methods may be called from anywhere, at any time.
type Camera struct {
	config   Config
	server   *gortsplib.Server
	addr     net.Addr
	stop     context.CancelFunc
	done     chan struct{}
	watchers chan struct{} // closed with the first one that plays
	once     sync.Once

	mu      sync.Mutex
	next    *clip     // to be played from its start on, as soon as the one that plays gets to a picture
	streams []*stream // the last one is what is described now; who came before still gets packets by the ones before
	faults
	err error // the first packet that could not be sent
}

// Start encodes the footage, unless that was done before, and plays it until Close.
func Start(ctx context.Context, config Config) (*Camera, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	first, err := config.load(ctx)
	if err != nil {
		return nil, err
	}
	encoders, err := newEncoders()
	if err != nil {
		return nil, err
	}
	c := &Camera{config: config, done: make(chan struct{}), watchers: make(chan struct{})}
	c.server = &gortsplib.Server{Handler: c, RTSPAddress: config.Listen, TLSConfig: config.TLS, WriteQueueSize: 8192,
		Listen: func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			if err == nil {
				c.addr = l.Addr()
			}
			return l, err
		}}
	if config.UDP != 0 {
		host, _, err := net.SplitHostPort(config.Listen)
		if err != nil {
			return nil, err
		}
		c.server.UDPRTPAddress = net.JoinHostPort(host, fmt.Sprint(config.UDP))
		c.server.UDPRTCPAddress = net.JoinHostPort(host, fmt.Sprint(config.UDP+1))
	}
	c.mu.Lock() // nobody is served before there is something to see
	defer c.mu.Unlock()
	if err := c.server.Start(); err != nil {
		return nil, err
	}
	if err := c.describe(first); err != nil {
		c.server.Close()
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	go c.play(run, first, encoders)
	return c, nil
}

// describe adds a stream for a clip. The lock is held.
func (c *Camera) describe(k *clip) error {
	s, err := newStream(c.server, k, c.config.Lie, c.config.Metadata)
	if err != nil {
		return err
	}
	c.streams = append(c.streams, s)
	return nil
}

// Change lets it encode other pictures from the next ones on, as a recorder whose settings are changed: whoever watches gets them over
// the connection there is, and whoever asks anew is told so.
func (c *Camera) Change(ctx context.Context, codec, size string) error {
	config := c.config
	if codec != "" {
		config.Codec = codec
	}
	if size != "" {
		config.Size = size
	}
	config, err := config.complete()
	if err != nil {
		return err
	}
	k, err := config.load(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = k
	return c.describe(k)
}

// Address is where it listens.
func (c *Camera) Address() string { return c.addr.String() }

// URL is where it is watched, with user and password if it wants them.
func (c *Camera) URL() string {
	u := url.URL{Scheme: "rtsp", Host: c.Address(), Path: "/stream"}
	if c.config.TLS != nil {
		u.Scheme = "rtsps"
	}
	if c.config.User != "" {
		u.User = url.UserPassword(c.config.User, c.config.Password)
	}
	return u.String()
}

// Done is closed when it has ended: by Close, or after the footage if it plays that once.
func (c *Camera) Done() <-chan struct{} { return c.done }

// Close ends it and waits until it has ended.
func (c *Camera) Close() error {
	c.stop()
	<-c.done
	c.server.Close()
	if err := c.server.Wait(); err != nil && !errors.As(err, new(liberrors.ErrServerTerminated)) {
		return err
	}
	return c.err
}

// failed keeps the first error. The lock is held.
func (c *Camera) failed(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *Camera) answer(conn *gortsplib.ServerConn, req *base.Request) (*base.Response, *gortsplib.ServerStream, error) {
	if c.config.User != "" && !conn.VerifyCredentials(req, c.config.User, c.config.Password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &base.Response{StatusCode: base.StatusOK}, c.streams[len(c.streams)-1].ServerStream, nil
}

// OnDescribe implements gortsplib.ServerHandlerOnDescribe.
func (c *Camera) OnDescribe(x *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return c.answer(x.Conn, x.Request)
}

// OnSetup implements gortsplib.ServerHandlerOnSetup.
func (c *Camera) OnSetup(x *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return c.answer(x.Conn, x.Request)
}

// OnPlay implements gortsplib.ServerHandlerOnPlay.
func (c *Camera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	c.once.Do(func() { close(c.watchers) })
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// Watched is closed when somebody has begun to watch.
func (c *Camera) Watched() <-chan struct{} { return c.watchers }
