// Package recordertest is a simulated recorder with a control interface, for tests and demonstrations. It speaks the protocol of package vendors, well or
// as badly as it is told to.
package recordertest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"camseal/firmware-bridge/internal/vendors"
)

// Fault is how a recorder misbehaves.
type Fault string

// The faults.
const (
	Sound       Fault = ""
	Hangs       Fault = "hangs"        // reads, and never answers
	Rubbish     Fault = "rubbish"      // answers with bytes that are no frame
	Oversized   Fault = "oversized"    // states the greatest length that two bytes can, and goes on for ever
	BadChecksum Fault = "bad-checksum" //
	Cut         Fault = "cut"          // hangs up in the middle of an answer
	WrongAnswer Fault = "wrong-answer" // answers another question, in a sound frame
	Nonsense    Fault = "nonsense"     // a sound frame for this question whose payload is 0xFF throughout
	Short       Fault = "short"        // a sound frame without its last byte of payload
	Forgets     Fault = "forgets"      // confirms what is written, and keeps what it had
	Busy        Fault = "busy"         // refuses
)

// Recorder is a simulated recorder. Set the fields before it serves; it is safe for concurrent use then.
type Recorder struct {
	Identity      vendors.Identity
	Record        vendors.OfficerRecord
	Battery       int // per cent
	Width, Height uint16
	Offset        time.Duration // of its clock from ours
	Zone          *time.Location
	Password      string // that it asks for; empty: any will do
	Fault         Fault
	On            vendors.Command // which question the fault befalls; 0: each but Init_Device
	Answer        []byte          // payload of every answer but that to Init_Device; nil: what is true
	Storage       func()          // called when it becomes a disk; may be nil

	mu    sync.Mutex
	asked []vendors.Command
}

// New returns a recorder of officer 011314, 李伟, whose clock is right and whose battery has 87 %.
func New() *Recorder {
	r := &Recorder{Identity: vendors.Identity{Serial: "BZ02712", Model: "DSJ-V6", Firmware: "1.4.2"}, Battery: 87, Width: 1920, Height: 1080, Zone: time.Local}
	if err := errors.Join(r.Record.SetSerial("BZ02712"), r.Record.SetNumber("011314"), r.Record.SetName("李伟"), r.Record.SetUnitNumber("440300010000"),
		r.Record.SetUnitName("南山执法大队")); err != nil {
		panic(err) // constants
	}
	return r
}

// Start is New().Start.
func Start(t testing.TB) string { return New().Start(t) }

// Start serves on a Unix socket until the test ends, and returns its address for vendors.Dial.
func (r *Recorder) Start(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recorder")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		if err := r.Listen(l); err != nil {
			t.Errorf("simulated recorder: %v", err)
		}
	})
	t.Cleanup(func() {
		l.Close()
		served.Wait()
	})
	return "unix:" + path
}

// Listen serves each connection to l, and returns nil once l is closed and they all have ended.
func (r *Recorder) Listen(l net.Listener) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	open := map[net.Conn]bool{}
	var mu sync.Mutex
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		for c := range open {
			c.Close()
		}
	}()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		mu.Lock()
		open[c] = true
		mu.Unlock()
		serving.Go(func() {
			_ = r.Serve(c) // the other side hung up, mostly
			c.Close()
			mu.Lock()
			defer mu.Unlock()
			delete(open, c)
		})
	}
}

// Asked returns the questions that came so far.
func (r *Recorder) Asked() []vendors.Command {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]vendors.Command(nil), r.asked...)
}

// Officer returns the officer's record as it is now.
func (r *Recorder) Officer() vendors.OfficerRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Record
}

// Clock returns what the recorder's clock shows now.
func (r *Recorder) Clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.Offset)
}

// SetClock sets it.
func (r *Recorder) SetClock(t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Offset = time.Until(t)
}

// Serve answers questions until it has become a disk or a fault ends it, which gives nil, or reading fails.
func (r *Recorder) Serve(conn io.ReadWriter) error {
	for {
		c, payload, err := vendors.ReadFrame(conn)
		if err != nil {
			return err // whoever asks nonsense gets no answer
		}
		status, answer := r.answer(c, payload)
		r.mu.Lock()
		r.asked = append(r.asked, c)
		fault := r.Fault
		if r.On != c && (r.On != 0 || c == vendors.CommandInit) {
			fault = Sound
		}
		r.mu.Unlock()
		answer = append([]byte{byte(status)}, answer...)
		if r.Answer != nil && c != vendors.CommandInit {
			answer = r.Answer
		}
		if !reply(conn, fault, c, answer) {
			return nil
		}
		if c == vendors.CommandStorage && fault == Sound {
			if r.Storage != nil {
				r.Storage()
			}
			return nil
		}
	}
}

// reply reports whether the recorder goes on.
func reply(conn io.Writer, fault Fault, c vendors.Command, payload []byte) bool {
	switch fault {
	case Hangs:
		return true
	case Rubbish:
		_, err := conn.Write([]byte("\xDE\xADAT+CGMI\r\nERROR\r\n\x00\x00\x00"))
		return err == nil
	case Oversized:
		for _, err := conn.Write([]byte{0xFF, 0xFF}); ; _, err = conn.Write(bytes.Repeat([]byte{0xA5}, 4096)) {
			if err != nil {
				return false
			}
		}
	case WrongAnswer:
		c++
	case Nonsense:
		payload = append(payload[:1], bytes.Repeat([]byte{0xFF}, len(payload)-1)...)
	case Short:
		payload = payload[:len(payload)-1]
	case Busy:
		payload = []byte{byte(vendors.StatusBusy)}
	}
	frame, err := vendors.AppendFrame(nil, c|0x80, payload)
	if err != nil {
		return false
	}
	switch fault {
	case BadChecksum:
		frame[len(frame)-1] ^= 1
	case Cut:
		frame = frame[:len(frame)/2]
	}
	_, err = conn.Write(frame)
	return err == nil && fault != Cut
}

const clockLayout = "20060102150405.000"

func (r *Recorder) answer(c vendors.Command, payload []byte) (vendors.Status, []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch c {
	case vendors.CommandInit:
		if r.Password != "" && string(payload) != r.Password {
			return vendors.StatusPassword, nil
		}
		return vendors.StatusOK, nil
	case vendors.CommandIdentify:
		id, err := simplifiedchinese.GBK.NewEncoder().String(strings.Join([]string{r.Identity.Serial, r.Identity.Model, r.Identity.Firmware}, "\x00"))
		if err != nil {
			return vendors.StatusInvalid, nil
		}
		return vendors.StatusOK, []byte(id)
	case vendors.CommandOfficer:
		return vendors.StatusOK, bytes.Clone(r.Record[:])
	case vendors.CommandSetOfficer:
		record, err := vendors.ParseOfficerRecord(payload)
		if err != nil {
			return vendors.StatusInvalid, nil
		}
		if r.Fault != Forgets {
			r.Record = record
		}
		return vendors.StatusOK, nil
	case vendors.CommandBattery:
		return vendors.StatusOK, []byte{byte(r.Battery)}
	case vendors.CommandResolution:
		return vendors.StatusOK, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, r.Width), r.Height)
	case vendors.CommandClock:
		return vendors.StatusOK, []byte(strings.Replace(time.Now().Add(r.Offset).In(r.Zone).Format(clockLayout), ".", "", 1))
	case vendors.CommandSetClock:
		if len(payload) != len(clockLayout)-1 {
			return vendors.StatusInvalid, nil
		}
		t, err := time.ParseInLocation(clockLayout, string(payload[:14])+"."+string(payload[14:]), r.Zone)
		if err != nil {
			return vendors.StatusInvalid, nil
		}
		r.Offset = time.Until(t)
		return vendors.StatusOK, nil
	case vendors.CommandStorage:
		return vendors.StatusOK, nil
	}
	return vendors.StatusUnknown, nil
}
