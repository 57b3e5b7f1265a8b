package vendors

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// answerTime is how long a recorder has for an answer where the context sets no earlier end.
const answerTime = 5 * time.Second

// Dialer opens connections to recorders.
type Dialer struct {
	Password Password       // sent with Init_Device; empty: none
	Zone     *time.Location // what recorders' clocks show; nil: time.Local
}

// Dial is Dialer{}.Dial.
func Dial(ctx context.Context, addr string) (Recorder, error) { return Dialer{}.Dial(ctx, addr) }

// Dial opens the connection at addr, "unix:/path" of a socket or the path of a tty, and begins with Init_Device. The caller closes it. Errors: those of
// the system, *Rubbish, *Refused.
func (d Dialer) Dial(ctx context.Context, addr string) (Recorder, error) {
	c, err := open(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("talk to the recorder: %w", err)
	}
	zone := d.Zone
	if zone == nil {
		zone = time.Local
	}
	w := &wire{conn: c, zone: zone}
	if _, err := w.ask(ctx, CommandInit, []byte(d.Password), 0); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// stream is a net.Conn or a tty.
type stream interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
}

func open(ctx context.Context, addr string) (stream, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	// A Go file of a descriptor that does not block can be given deadlines.
	f, err := os.OpenFile(addr, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := raw(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is no tty: %w", addr, err)
	}
	return f, nil
}

// raw makes a tty carry bytes as they are, and forgets what came before.
func raw(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Control(func(fd uintptr) {
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil {
			failed = err
			return
		}
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
		t.Ispeed, t.Ospeed = unix.B115200, unix.B115200
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		failed = errors.Join(unix.IoctlSetTermios(int(fd), unix.TCSETS, t), unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCIOFLUSH))
	})
	return errors.Join(err, failed)
}

// wire is a Recorder that speaks the protocol of frame.go.
type wire struct {
	zone *time.Location

	conn   stream
	mu     sync.Mutex // held while a question is under way
	closed atomic.Bool
}

var _ Recorder = (*wire)(nil)

// anyLength is for answers whose length is not fixed.
const anyLength = -1

// ask sends one question and returns the answer's payload behind its status, which must have the length wanted.
func (w *wire) ask(ctx context.Context, c Command, payload []byte, length int) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return nil, ErrClosed
	}
	answer, err := w.exchange(ctx, c, payload)
	if err == nil && length != anyLength && len(answer) != length {
		err = &Rubbish{fmt.Sprintf("%d bytes where %s has %d", len(answer), c, length)}
	}
	var refused *Refused
	if err != nil && !errors.As(err, &refused) {
		err = errors.Join(err, w.Close()) // a late answer would be taken for that of the next question
	}
	if err != nil {
		return nil, fmt.Errorf("recorder's %s: %w", c, err)
	}
	return answer, nil
}

func (w *wire) exchange(ctx context.Context, c Command, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if err := w.conn.SetDeadline(time.Unix(1, 0)); err != nil {
			w.conn.Close()
		}
	})
	defer stop()
	frame, err := AppendFrame(nil, c, payload)
	if err != nil {
		return nil, err
	}
	if _, err := w.conn.Write(frame); err != nil {
		return nil, cause(ctx, err)
	}
	got, answer, err := ReadFrame(w.conn)
	if err != nil {
		return nil, cause(ctx, err)
	}
	if !stop() { // the deadline would hit the next question
		return nil, cause(ctx, ctx.Err())
	}
	if got != c|answerBit || len(answer) == 0 {
		return nil, &Rubbish{fmt.Sprintf("%s with %d bytes is no answer to %s", got, len(answer), c)}
	}
	if s := Status(answer[0]); s != StatusOK {
		return nil, &Refused{c, s}
	}
	return answer[1:], nil
}

// cause says why it was given up, rather than that the connection was.
func cause(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the recorder did not answer in time: %w", ctx.Err())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (w *wire) Identify(ctx context.Context) (Identity, error) {
	answer, err := w.ask(ctx, CommandIdentify, nil, anyLength)
	if err != nil {
		return Identity{}, err
	}
	var words []string
	for part := range bytes.SplitSeq(answer, []byte{0}) {
		s, err := simplifiedchinese.GBK.NewDecoder().Bytes(part)
		if err != nil || text(string(s), maxWord) != string(s) {
			return Identity{}, w.rubbish("what it calls itself is no text")
		}
		words = append(words, string(s))
	}
	if len(words) != 3 || words[0] == "" {
		return Identity{}, w.rubbish("it does not say serial, model and firmware")
	}
	return Identity{Serial: words[0], Model: words[1], Firmware: words[2]}, nil
}

// rubbish gives the connection up.
func (w *wire) rubbish(what string) error { return errors.Join(&Rubbish{what}, w.Close()) }

func (w *wire) Officer(ctx context.Context) (OfficerRecord, error) {
	answer, err := w.ask(ctx, CommandOfficer, nil, OfficerRecordSize)
	if err != nil {
		return OfficerRecord{}, err
	}
	return ParseOfficerRecord(answer)
}

func (w *wire) SetOfficer(ctx context.Context, r OfficerRecord) error {
	if _, err := w.ask(ctx, CommandSetOfficer, r[:], 0); err != nil {
		return err
	}
	now, err := w.Officer(ctx)
	if err == nil && now != r {
		err = w.rubbish("it confirmed the officer's record and shows another one")
	}
	return err
}

func (w *wire) Battery(ctx context.Context) (int, error) {
	answer, err := w.ask(ctx, CommandBattery, nil, 1)
	if err != nil {
		return 0, err
	}
	if answer[0] > 100 {
		return 0, w.rubbish(fmt.Sprintf("a battery with %d %%", answer[0]))
	}
	return int(answer[0]), nil
}

func (w *wire) Resolution(ctx context.Context) (string, error) {
	answer, err := w.ask(ctx, CommandResolution, nil, 4)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%dx%d", binary.BigEndian.Uint16(answer), binary.BigEndian.Uint16(answer[2:])), nil
}

// clockLayout needs its point; on the wire there is none.
const clockLayout = "20060102150405.000"

func (w *wire) Clock(ctx context.Context) (time.Time, error) {
	const seconds = len("20060102150405")
	answer, err := w.ask(ctx, CommandClock, nil, len(clockLayout)-1)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.ParseInLocation(clockLayout, string(answer[:seconds])+"."+string(answer[seconds:]), w.zone)
	if err != nil {
		return time.Time{}, w.rubbish(fmt.Sprintf("a clock that shows %q", answer))
	}
	return t, nil
}

func (w *wire) SetClock(ctx context.Context, t time.Time) error {
	t = t.In(w.zone)
	if y := t.Year(); y < 1970 || y > 9999 {
		return fmt.Errorf("a recorder's clock can't show the year %d; it was not set", y)
	}
	_, err := w.ask(ctx, CommandSetClock, []byte(strings.Replace(t.Format(clockLayout), ".", "", 1)), 0)
	return err
}

func (w *wire) ToStorage(ctx context.Context) error {
	if _, err := w.ask(ctx, CommandStorage, nil, 0); err != nil {
		return err
	}
	return w.Close()
}

func (w *wire) Close() error {
	if w.closed.Swap(true) {
		return nil
	}
	return w.conn.Close()
}
