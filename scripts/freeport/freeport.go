// Package freeport finds ports for programs that are told theirs on the command line.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
)

// New returns an address on 127.0.0.1 and its port, at which nobody listens. The kernel gives ports from 32768 on to whoever connects or
// asks for any; this one is below, so that nobody is given it before the program that it is for takes it.
func New() (address string, port int, err error) {
	for range 100 {
		port = 10_000 + rand.IntN(22_000)
		address = fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return "", 0, err
		}
		return address, port, l.Close()
	}
	return "", 0, errors.New("no free port found in 100 tries")
}
