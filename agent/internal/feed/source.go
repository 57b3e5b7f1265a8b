package feed

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
)

// Config says where a feed comes from. Exactly one of URL and Path is set.
type Config struct {
	URL   string           // rtsp:// or rtsps://, with user and password if the camera wants them; they are never said anywhere
	UDP   bool             // RTP comes by UDP instead of the connection that asks for it
	TLS   *tls.Config      // for rtsps; nil: as the system trusts
	Path  string           // of a FIFO to which a program writes fragmented MP4 or MPEG-TS, or a file like that, such as /dev/stdin. A fragment is taken as a whole: long ones delay whoever watches live
	Stall time.Duration    // how long a camera may be silent before it is asked anew; default 5 s
	NoKey time.Duration    // how long there may be no keyframe before that is said, and before sound goes on alone; default 5 s
	Wait  time.Duration    // the longest wait before a camera that can't be reached is asked anew; default 10 s
	Now   func() time.Time // never nil
}

// Source is a camera's stream, which Run takes in.
type Source struct {
	config Config
	// connect takes in what comes by one connection and returns why that ended.
	connect func(ctx context.Context, in *intake) error
}

// firstWait is how long a camera that went away is left alone at first.
const firstWait = 250 * time.Millisecond

// New makes a source. It reaches for nothing yet.
func New(config Config) (*Source, error) {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&config.Stall, 5*time.Second)
	set(&config.NoKey, 5*time.Second)
	set(&config.Wait, 10*time.Second)
	s := &Source{config: config}
	switch {
	case (config.URL == "") == (config.Path == ""):
		return nil, errors.New("a camera has either a URL or the path of a pipe")
	case config.Path != "":
		s.connect = s.pipe
		return s, nil
	}
	u, err := base.ParseURL(config.URL)
	if err != nil { // which holds the URL, and so a password
		return nil, errors.New("the camera's URL can't be understood: it should be like rtsp://192.168.0.10:554/stream")
	}
	s.connect = func(ctx context.Context, in *intake) error { return s.rtsp(ctx, in, u) }
	return s, nil
}

// Run takes the stream in, over as many connections as it takes, until the context ends; nothing else ends it. Then it returns nil. It may be
// called again after that, and the feed's time begins anew.
func (s *Source) Run(ctx context.Context, sink Sink) error {
	in := &intake{config: s.config, sink: sink}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for wait := firstWait; ; wait = min(2*wait, s.config.Wait) {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := s.connect(ctx, in)
		if ctx.Err() != nil {
			return nil
		}
		if in.ended(err) {
			wait = firstWait
		}
		timer.Reset(wait)
	}
}

// watch checks a connection now and then until the context ends; it ends the connection by giving the reason to stop.
func (s *Source) watch(ctx context.Context, in *intake, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(max(min(s.config.Stall, s.config.NoKey)/10, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := in.check(); err != nil {
				stop(err)
				return
			}
		}
	}
}

// trust is what a camera of this name is trusted by.
func (c Config) trust(name string) *tls.Config {
	t := &tls.Config{}
	if c.TLS != nil {
		t = c.TLS.Clone()
	}
	if t.ServerName == "" {
		t.ServerName = name
	}
	return t
}

// hide takes the URL's user and password out of a text.
func (c Config) hide(text string) string {
	u, err := url.Parse(c.URL)
	if err != nil || u.User == nil {
		return text
	}
	password, _ := u.User.Password()
	for _, secret := range []string{u.User.String(), password, url.QueryEscape(password), url.PathEscape(password), u.User.Username()} {
		if len(secret) > 2 {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return text
}

// String names the camera without its user and password.
func (c Config) String() string {
	if c.Path != "" {
		return c.Path
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return "a camera"
	}
	u.User = nil
	return u.String()
}
