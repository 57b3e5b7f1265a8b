package live

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
	"golang.org/x/net/netutil"
)

const (
	socketBuffer = 4 << 20 // bytes of the kernel's, each way: a keyframe for many viewers goes out at once
	tcpQueue     = 64      // packets read ahead from a TCP connection

	tcpSpare = 64               // connections by TCP, beyond those of all viewers and publishers
	tcpHello = 10 * time.Second // until such a connection says what it is for

	iceDisconnected = 5 * time.Second
	iceFailed       = 10 * time.Second // after that
	iceKeepalive    = 2 * time.Second
	dtlsRepeat      = 100 * time.Millisecond
	replayWindow    = 1024 // packets: a repaired one may come late
)

func (r *Relay) listen() error {
	e := &r.engine
	e.LoggerFactory = loggers{r.cfg.Slog}
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetICETimeouts(iceDisconnected, iceFailed, iceKeepalive)
	e.SetDTLSRetransmissionInterval(dtlsRepeat)
	e.SetSRTPReplayProtectionWindow(replayWindow)
	e.DisableActiveTCP(true) // the relay calls nobody
	networks, err := r.listenUDP()
	if err != nil {
		return err
	}
	if r.cfg.TCP != "" {
		l, err := net.Listen("tcp", r.cfg.TCP)
		if err != nil {
			return fmt.Errorf("listen for live media by TCP: %w", err)
		}
		l = netutil.LimitListener(l, r.cfg.MaxAllViewers+r.cfg.MaxStreams+tcpSpare)
		r.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{Listener: l, Logger: e.LoggerFactory.NewLogger("ice"), ReadBufferSize: tcpQueue, FirstStunBindTimeout: tcpHello})
		e.SetICETCPMux(r.tcp)
		r.addrs = append(r.addrs, l.Addr())
		networks = append(networks, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	e.SetNetworkTypes(networks)
	for _, a := range r.addrs {
		if ip := ipOf(a); ip.IsLoopback() {
			e.SetIncludeLoopbackCandidate(true)
		}
	}
	if len(r.cfg.PublicIPs) == 0 {
		return nil
	}
	for _, ip := range r.cfg.PublicIPs {
		if net.ParseIP(ip) == nil {
			return fmt.Errorf("%q is no IP address", ip)
		}
	}
	return e.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{External: r.cfg.PublicIPs,
		AsCandidateType: webrtc.ICECandidateTypeHost, Mode: webrtc.ICEAddressRewriteAppend})
}

func (r *Relay) listenUDP() ([]webrtc.NetworkType, error) {
	addr, err := net.ResolveUDPAddr("udp", r.cfg.UDP)
	if err != nil {
		return nil, fmt.Errorf("address for live media: %w", err)
	}
	log := r.engine.LoggerFactory.NewLogger("ice")
	if addr.IP == nil || addr.IP.IsUnspecified() {
		// An address of one link only serves nobody elsewhere, and may not be ready yet.
		mux, err := ice.NewMultiUDPMuxFromPort(addr.Port, ice.UDPMuxFromPortWithIPFilter(func(ip net.IP) bool { return !ip.IsLinkLocalUnicast() }), ice.UDPMuxFromPortWithReadBufferSize(socketBuffer),
			ice.UDPMuxFromPortWithWriteBufferSize(socketBuffer), ice.UDPMuxFromPortWithLogger(log))
		if err != nil {
			return nil, fmt.Errorf("listen for live media by UDP: %w", err)
		}
		r.udp = mux
	} else {
		conn, err := net.ListenUDP("udp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen for live media by UDP: %w", err)
		}
		r.udp = webrtc.NewICEUDPMux(log, conn)
		if err := errors.Join(conn.SetReadBuffer(socketBuffer), conn.SetWriteBuffer(socketBuffer)); err != nil {
			return nil, fmt.Errorf("listen for live media by UDP: %w", err)
		}
	}
	r.engine.SetICEUDPMux(r.udp)
	r.addrs = append(r.addrs, r.udp.GetListenAddresses()...)
	return []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}, nil
}

func ipOf(a net.Addr) net.IP {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.IP
	case *net.TCPAddr:
		return a.IP
	}
	return nil
}

func (r *Relay) closePorts() (err error) {
	if r.udp != nil {
		err = r.udp.Close()
	}
	if r.tcp != nil {
		err = errors.Join(err, r.tcp.Close())
	}
	return err
}

// loggers hand what the library says on, at the level of debugging: it warns of much that is everyday on a network.
type loggers struct{ slog *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (l loggers) NewLogger(scope string) logging.LeveledLogger {
	return logger{l.slog.With(slog.String("part", scope))}
}

type logger struct{ slog *slog.Logger }

func (l logger) say(text string)              { l.slog.Debug("webrtc", slog.String("said", text)) }
func (l logger) Trace(string)                 {}
func (l logger) Tracef(string, ...any)        {}
func (l logger) Debug(string)                 {}
func (l logger) Debugf(string, ...any)        {}
func (l logger) Info(string)                  {}
func (l logger) Infof(string, ...any)         {}
func (l logger) Warn(text string)             { l.say(text) }
func (l logger) Warnf(text string, a ...any)  { l.say(fmt.Sprintf(text, a...)) }
func (l logger) Error(text string)            { l.say(text) }
func (l logger) Errorf(text string, a ...any) { l.say(fmt.Sprintf(text, a...)) }
