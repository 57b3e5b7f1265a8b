// Package netns makes a network namespace with one cable to this machine, so that a link can be narrow, lossy or cut. It needs root.
package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a network of its own. Host and Inside are the two ends of its cable.
type Namespace struct {
	Name         string
	Host, Inside string // IPv4 addresses
	device       string
}

// New makes a namespace anew; one of that name, left by somebody who was killed, is removed. third is the third number of the addresses, which
// are 10.213.third.1 and .2.
func New(name string, third int) (*Namespace, error) {
	n := &Namespace{Name: name, Host: fmt.Sprintf("10.213.%d.1", third), Inside: fmt.Sprintf("10.213.%d.2", third), device: fmt.Sprintf("cs%d", third)}
	_ = exec.Command("ip", "netns", "del", name).Run()    // there seldom is one
	_ = exec.Command("ip", "link", "del", n.device).Run() // it went with its other end, most often
	if err := n.ip("netns add NAME", "link add DEV type veth peer name inside netns NAME", "addr add HOST/30 dev DEV", "link set DEV up",
		"-n NAME addr add INSIDE/30 dev inside", "-n NAME link set inside up", "-n NAME link set lo up"); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Namespace) ip(commands ...string) error {
	words := strings.NewReplacer("NAME", n.Name, "DEV", n.device, "HOST", n.Host, "INSIDE", n.Inside)
	for _, c := range commands {
		if out, err := exec.Command("ip", strings.Fields(words.Replace(c))...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s (a network namespace needs root)", words.Replace(c), err, out)
		}
	}
	return nil
}

// Cut pulls the cable.
func (n *Namespace) Cut() error { return n.ip("-n NAME link set inside down") }

// Mend puts it back.
func (n *Namespace) Mend() error { return n.ip("-n NAME link set inside up") }

// Command is exec.CommandContext inside the namespace.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name, name}, args...)...)
}

// DialContext connects from inside the namespace.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	runtime.LockOSThread() // a namespace is a thread's
	defer runtime.UnlockOSThread()
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer outside.Close()
	inside, err := os.Open("/run/netns/" + n.Name)
	if err != nil {
		return nil, err
	}
	defer inside.Close()
	if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	if back := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // nothing in this program would know where it is
	}
	return conn, err
}

// Close removes the namespace. Whoever runs in it has no network any more.
func (n *Namespace) Close() error { return n.ip("netns del NAME") }
