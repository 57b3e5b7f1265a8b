package live

import (
	"net"
	"testing"
)

func loopback(ip net.IP) bool { return ip.IsLoopback() }

func listenTCP(t testing.TB) net.Listener {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}
