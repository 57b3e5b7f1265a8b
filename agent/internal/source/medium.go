package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"camseal/pkg/evidence"
)

const (
	badBlock = 4096    // bytes that are given up where the medium can't be read: a page, the least that the kernel reads
	badMost  = 4 << 20 // bytes of one file that may be given up before reading ends
	goneWait = 2 * time.Second
)

// ErrGone says that the recorder was pulled out. What was begun stays open, and is gone on with when it is back.
var ErrGone = errors.New("the recorder was pulled out")

// span is a part of the source that could not be read.
type span struct{ from, until uint64 }

// medium reads a file. On a recorder's volume it goes on past what can't be read: zeros stand in its place, and bad says where. It belongs to
// one goroutine.
type medium struct {
	ctx  context.Context
	f    *os.File
	at   int64
	end  int64           // the file's size
	gone <-chan struct{} // of the recorder; nil: the file lies on this machine, and reading ends at the first error
	bad  []span
	sum  uint64 // bytes in bad
}

// Read implements io.Reader. Errors: io.EOF; ErrGone; what the medium said, once too much of it can't be read.
func (m *medium) Read(b []byte) (int, error) {
	n, err := m.f.ReadAt(b, m.at)
	if n > 0 || err == nil || errors.Is(err, io.EOF) {
		m.at += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	}
	if m.gone == nil {
		return 0, err
	}
	wait := goneWait
	if len(m.bad) > 0 {
		wait /= 20
	}
	if isGone(m.ctx, m.gone, err, wait) {
		return 0, ErrGone
	}
	// Without read-ahead, so that the kernel asks the medium for these pages alone, and good ones beside a bad one are not lost.
	if err := unix.Fadvise(int(m.f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		return 0, fmt.Errorf("read without reading ahead: %w", err)
	}
	block := min(badBlock-m.at%badBlock, m.end-m.at, int64(len(b)))
	if n, err := m.f.ReadAt(b[:block], m.at); n > 0 {
		m.at += int64(n)
		return n, nil
	} else if m.sum >= badMost || block <= 0 {
		return 0, err
	}
	clear(b[:block])
	m.note(uint64(m.at), uint64(m.at+block))
	m.at += block
	return int(block), nil
}

// isGone tells a pulled-out recorder from a bad sector: for the first the bridge says so, a moment after the error.
func isGone(ctx context.Context, gone <-chan struct{}, err error, wait time.Duration) bool {
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ESHUTDOWN) {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-gone:
		return true
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}

// pulled reports whether what went wrong with a file is that its recorder was pulled out.
func (r *run) pulled(ctx context.Context, err error) bool {
	if r.Volume == nil {
		return false
	}
	wait := goneWait
	if r.odd.Swap(true) {
		wait /= 20
	}
	return isGone(ctx, r.Volume.Gone, err, wait)
}

func (m *medium) note(from, until uint64) {
	m.sum += until - from
	if n := len(m.bad); n > 0 && m.bad[n-1].until == from {
		m.bad[n-1].until = until
		return
	}
	m.bad = append(m.bad, span{from, until})
}

// back goes to an earlier place, from which all is read again.
func (m *medium) back(at uint64) {
	m.at = int64(at)
	for n := len(m.bad); n > 0 && m.bad[n-1].from >= at; n = len(m.bad) {
		m.sum -= m.bad[n-1].until - m.bad[n-1].from
		m.bad = m.bad[:n-1]
	}
	if n := len(m.bad); n > 0 && m.bad[n-1].until > at {
		m.sum -= m.bad[n-1].until - at
		m.bad[n-1].until = at
	}
}

// maxFaults is how many unreadable stretches of one file are named one by one.
const maxFaults = 256

// faults name what could not be read.
func (m *medium) faults() []*evidence.Fault {
	var out []*evidence.Fault
	for i, s := range m.bad {
		if i == maxFaults {
			last := m.bad[len(m.bad)-1]
			return append(out, &evidence.Fault{Why: evidence.WhyReadError, Offset: s.from, Size: last.until - s.from,
				Detail: fmt.Sprintf("%d more stretches from here on could not be read; zeros stand in their place", len(m.bad)-i)})
		}
		out = append(out, &evidence.Fault{Why: evidence.WhyReadError, Offset: s.from, Size: s.until - s.from,
			Detail: "the medium can't be read here; zeros stand in its place, and the rest is saved"})
	}
	return out
}
