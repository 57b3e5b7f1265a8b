package uplink

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// twoPlaces makes two network namespaces with a link of 64 kbit/s between them that loses every twentieth packet each way and has a queue of eight
// seconds, as modems have. It returns their names; the second one's address is far.
func twoPlaces(t *testing.T) (near, far string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run this test as root")
	}
	run := func(stdin, name string, args ...string) {
		t.Helper()
		c := exec.Command(name, args...)
		c.Stdin = strings.NewReader(stdin)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
		}
	}
	id := os.Getpid() % 100_000
	near, far = fmt.Sprintf("camseal-%d-near", id), fmt.Sprintf("camseal-%d-far", id)
	for _, ns := range []string{near, far} {
		run("", "ip", "netns", "add", ns)
		t.Cleanup(func() { run("", "ip", "netns", "del", ns) })
	}
	run("", "ip", "-n", near, "link", "add", "way", "type", "veth", "peer", "name", "way", "netns", far)
	for ns, addr := range map[string]string{near: "10.91.0.1/30", far: farAddr + "/30"} {
		run("", "ip", "-n", ns, "addr", "add", addr, "dev", "way")
		run("", "ip", "-n", ns, "link", "set", "way", "up")
		run("", "ip", "netns", "exec", ns, "tc", "qdisc", "add", "dev", "way", "root", "tbf", "rate", "64kbit", "burst", "2kb", "limit", "64kb")
		run(`table inet loss { chain in { type filter hook prerouting priority 0; iifname "way" numgen random mod 100 < 5 drop; }; }`,
			"ip", "netns", "exec", ns, "nft", "-f", "-")
	}
	return near, far
}

const farAddr = "10.91.0.2"

// in runs f in a network namespace; sockets that it makes stay there.
func in[T any](ns string, f func() (T, error)) (v T, err error) {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return v, err
	}
	defer own.Close()
	there, err := os.Open(filepath.Join("/run/netns", ns))
	if err != nil {
		return v, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return v, err
	}
	v, err = f()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return v, back // and the thread ends with its goroutine
	}
	runtime.UnlockOSThread()
	return v, err
}

// livelyListener is as the server's.
type livelyListener struct{ net.Listener }

func (l livelyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, transport.Lively(c)
}

// TestNarrowLink: over 64 kbit/s with 5 % loss footage gets through whole, and what is sealed meanwhile is seen long before it. The figures are
// for people.
func TestNarrowLink(t *testing.T) {
	near, far := twoPlaces(t)
	on, err := in(far, func() (net.Listener, error) { return net.Listen("tcp", farAddr+":0") })
	check(t, err)
	_, port, err := net.SplitHostPort(on.Addr().String())
	check(t, err)
	server := uplinktest.StartOn(t, livelyListener{on})
	server.URL = "https://127.0.0.1:" + port // as its certificate says
	r := newRig(t, server, 0, Config{Uploads: 4}, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return in(near, func() (net.Conn, error) { return dialer()(ctx, network, net.JoinHostPort(farAddr, port)) })
	})
	r.uplink.SetLink(LinkWiFi) // it finds out by itself how narrow that is
	p := &puts{}
	server.Intercept(p.before)
	r.run()
	size := 16_000
	if os.Getenv("CAMSEAL_TEST") == "long" {
		size = 250_000
	}
	rec := r.open(1)
	begun := time.Now()
	for range 4 {
		check(t, r.segment(rec, size))
	}
	var trips []time.Duration
	for {
		said := time.Now()
		r.say(rec, &evidence.Beat{})
		tip, err := r.spool.Tip(t.Context())
		check(t, err)
		r.until("the beat is seen", func() bool { return r.uplink.Status().Sent == tip })
		var came int
		server.With(func() { came = len(server.Recordings[rec].Bytes) })
		if came == 4 {
			break
		}
		trips = append(trips, time.Since(said))
		if testing.Verbose() {
			t.Logf("at %s: %s", said.Sub(begun).Round(time.Millisecond), time.Since(said).Round(time.Millisecond))
		}
		next := time.After(time.Second)
		r.until("the next beat", func() bool {
			select {
			case <-next:
				return true
			default:
				return false
			}
		})
	}
	took, narrow := time.Since(begun), r.uplink.Status().Narrow
	r.close(rec)
	r.stored(rec)
	if len(trips) == 0 || !narrow {
		t.Fatalf("%d statements were seen while footage was on its way; found narrow: %v", len(trips), narrow)
	}
	slices.Sort(trips)
	t.Logf("%d bytes in %s (%d B/s), %d uploads for 4 chunks; of %d statements meanwhile the receipt came within %s (half), %s (all)", 4*size, took.Round(time.Millisecond),
		int(float64(4*size)/took.Seconds()), len(p.order), len(trips), trips[len(trips)/2].Round(time.Millisecond), trips[len(trips)-1].Round(time.Millisecond))
}
