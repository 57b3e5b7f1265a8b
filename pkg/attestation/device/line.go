package device

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Bounds for a TPM that asks to be asked again.
const (
	maxTries     = 16
	firstBackOff = 5 * time.Millisecond
	maxBackOff   = 500 * time.Millisecond
)

// line carries commands to a TPM, one piece of work at a time.
type line struct {
	open    func() (transport.TPMCloser, error)
	timeout time.Duration

	turn   chan struct{}       // holds one value while work is being done; guards what follows
	conn   transport.TPMCloser // nil: to be opened
	closed bool
}

func newLine(path string, timeout time.Duration) *line {
	l := &line{timeout: timeout, turn: make(chan struct{}, 1)}
	l.open = func() (transport.TPMCloser, error) { return openTransport(path, timeout) }
	return l
}

// do runs f with the TPM and waits for it no longer than ctx and the time-out allow. When it gives up, f's next command
// gets an error, its present one is cut off if the transport can do that, and nobody else has a turn before f has ended.
func (l *line) do(ctx context.Context, f func(transport.TPM) error) error {
	return l.doWithin(ctx, l.timeout, f)
}

// doWithin is do with a time-out of its own, for what takes longer.
func (l *line) doWithin(ctx context.Context, timeout time.Duration, f func(transport.TPM) error) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ErrHanging
	}
	if l.closed {
		<-l.turn
		return ErrClosed
	}
	w := &work{line: l, gone: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		err := f(w)
		<-l.turn
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		w.abandon()
		return ctx.Err()
	case <-timer.C:
		w.abandon()
		return ErrHanging
	}
}

// close waits for its turn and releases the transport.
func (l *line) close() error {
	timer := time.NewTimer(l.timeout)
	defer timer.Stop()
	select {
	case l.turn <- struct{}{}:
	case <-timer.C:
		return ErrHanging
	}
	defer func() { <-l.turn }()
	if l.closed {
		return ErrClosed
	}
	l.closed = true
	return l.drop()
}

func (l *line) drop() error {
	if l.conn == nil {
		return nil
	}
	err := l.conn.Close()
	l.conn = nil
	return err
}

// work is one turn on a line. It is a transport.TPM.
type work struct {
	line *line
	gone chan struct{} // closed when nobody waits any more

	mu        sync.Mutex
	interrupt func() // cuts off the running command; nil if none runs or it can't be
}

func (w *work) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.gone)
	if w.interrupt != nil {
		w.interrupt()
	}
}

// Send implements transport.TPM. It repeats a command that the TPM asks to be sent again: such a command had no effect.
func (w *work) Send(command []byte) ([]byte, error) {
	wait := firstBackOff
	for try := 1; ; try++ {
		response, err := w.send(command)
		if err != nil {
			return nil, err
		}
		if len(response) < 10 {
			return nil, fmt.Errorf("TPM answered with %d bytes", len(response))
		}
		switch rc := tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])); rc {
		case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate:
			if try == maxTries {
				return nil, fmt.Errorf("asked %d times: %w", try, rc)
			}
		case tpm2.TPMRCLockout:
			return nil, ErrLockout
		default:
			return response, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-w.gone:
			timer.Stop()
			return nil, ErrHanging
		}
		wait = min(2*wait, maxBackOff)
	}
}

func (w *work) send(command []byte) ([]byte, error) {
	select {
	case <-w.gone:
		return nil, ErrHanging
	default:
	}
	l := w.line
	if l.conn == nil {
		conn, err := l.open()
		if err != nil {
			return nil, fmt.Errorf("open TPM: %w", err)
		}
		l.conn = conn
	}
	if c, ok := l.conn.(interface{ Interrupt() }); ok {
		w.setInterrupt(c.Interrupt)
		defer w.setInterrupt(nil)
	}
	response, err := l.conn.Send(command)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("send to TPM: %w", err), l.drop())
	}
	return response, nil
}

func (w *work) setInterrupt(f func()) {
	w.mu.Lock()
	w.interrupt = f
	w.mu.Unlock()
}
