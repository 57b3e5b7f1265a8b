package device

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const maxResponse = 64 << 10

// socket is swtpm's command socket. Each command has a connection of its own, so that swtpm, which serves one at a time,
// can be restarted or used by tools in between.
type socket struct {
	path    string
	timeout time.Duration

	mu          sync.Mutex
	conn        net.Conn // while a command runs
	interrupted bool
}

// Send implements transport.TPM.
func (s *socket) Send(command []byte) ([]byte, error) {
	conn, err := net.DialTimeout("unix", s.path, s.timeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if !s.begin(conn) {
		return nil, net.ErrClosed
	}
	defer s.begin(nil)
	if _, err := conn.Write(command); err != nil {
		return nil, err
	}
	head := make([]byte, 10)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	n := binary.BigEndian.Uint32(head[2:])
	if n < 10 || n > maxResponse {
		return nil, errors.New("read answer: impossible length")
	}
	response := append(head, make([]byte, n-10)...)
	if _, err := io.ReadFull(conn, response[10:]); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return response, nil
}

func (s *socket) begin(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	return !s.interrupted
}

// Interrupt ends the running command by closing its connection. The socket can't be used afterwards.
func (s *socket) Interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupted = true
	if s.conn != nil {
		_ = s.conn.Close() // Send sees the error
	}
}

// Close implements transport.TPMCloser.
func (s *socket) Close() error { return nil }
