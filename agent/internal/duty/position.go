package duty

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

const (
	positionAgain = 5 * time.Second // between attempts to reach the receiver
	positionQuiet = time.Minute     // without a word from it
	positionOld   = 2 * time.Minute // then it is not said any more
	farEnough     = 300             // millionths of a degree, some 30 m: a move that is told at once
	maxSentence   = 1 << 10         // bytes; NMEA 0183 allows 82
)

// locate follows the recorder's receiver of satellites until ctx ends.
func (d *Duty) locate(ctx context.Context) {
	if d.Position == "" {
		return
	}
	for ctx.Err() == nil {
		err := d.readPosition(ctx)
		if ctx.Err() != nil {
			return
		}
		d.trouble("position", fmt.Sprintf("where this recorder is can't be read: %v", err))
		timer := time.NewTimer(positionAgain)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (d *Duty) readPosition(ctx context.Context) error {
	in, err := openPosition(ctx, d.Position)
	if err != nil {
		return err
	}
	defer in.Close()
	defer context.AfterFunc(ctx, func() { in.Close() })()
	limit, _ := in.(interface{ SetReadDeadline(time.Time) error })
	lines := bufio.NewReaderSize(in, maxSentence)
	for {
		if err := limit.SetReadDeadline(d.Now().Add(positionQuiet)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
			return err
		}
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("nothing has come from it for %s", positionQuiet)
		case err != nil:
			return err
		}
		if p, ok := parseNMEA(strings.TrimSpace(string(line))); ok {
			p.At = d.Now().UnixMilli()
			d.moved(p)
		}
	}
}

// openPosition opens the receiver, or asks gpsd for its sentences.
func openPosition(ctx context.Context, where string) (io.ReadCloser, error) {
	host, ok := strings.CutPrefix(where, "gpsd://")
	if !ok {
		return openReceiver(where)
	}
	conn, err := (&net.Dialer{Timeout: positionAgain}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, "?WATCH={\"enable\":true,\"nmea\":true};\n"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// openReceiver opens a FIFO, or a serial device as it is set already (stty, or the system's default of 4800 or 9600 baud).
func openReceiver(path string) (io.ReadCloser, error) {
	f, err := openEvents(path, false)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		tio, none := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if none != nil { // no terminal
			return
		}
		tio.Iflag &^= unix.ICRNL | unix.IXON
		tio.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG // what it sends is data, and is not sent back
		set = unix.IoctlSetTermios(int(fd), unix.TCSETS, tio)
	})
	if err := errors.Join(err, set); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// moved takes a new position.
func (d *Duty) moved(p transport.Position) {
	d.trouble("position", "")
	d.mu.Lock()
	old := d.place
	d.position = &p
	d.mu.Unlock()
	if old == nil || apart(old.Lat, p.Lat) > farEnough || apart(old.Lon, p.Lon) > farEnough {
		d.update(func() { d.place = &p })
	}
}

func signed(v int64) evidence.Signed {
	if v < 0 {
		return evidence.Signed{Sign: "-", Value: uint64(-v)}
	}
	return evidence.Signed{Sign: "+", Value: uint64(v)}
}

func value(s evidence.Signed) int64 {
	if s.Sign == "-" {
		return -int64(s.Value)
	}
	return int64(s.Value)
}

func apart(a, b evidence.Signed) int64 {
	v := value(a) - value(b)
	return max(v, -v)
}

// parseNMEA reads a position from a sentence of NMEA 0183 with its checksum: RMC, GGA or GLL of any talker, with a fix.
func parseNMEA(line string) (p transport.Position, ok bool) {
	body, sum, found := strings.Cut(strings.TrimPrefix(line, "$"), "*")
	if !strings.HasPrefix(line, "$") || !found || len(sum) != 2 {
		return p, false
	}
	var x byte
	for _, c := range []byte(body) {
		x ^= c
	}
	if want, err := strconv.ParseUint(sum, 16, 8); err != nil || byte(want) != x {
		return p, false
	}
	f := strings.Split(body, ",")
	if len(f[0]) != 5 {
		return p, false
	}
	var at int // where the latitude stands
	switch kind := f[0][2:]; {
	case kind == "RMC" && len(f) > 6 && f[2] == "A":
		at = 3
	case kind == "GGA" && len(f) > 6 && f[6] != "0" && f[6] != "":
		at = 2
	case kind == "GLL" && len(f) > 6 && f[6] == "A":
		at = 1
	default:
		return p, false
	}
	lat, okLat := degrees(f[at], f[at+1], "N", "S", 2, 90)
	lon, okLon := degrees(f[at+2], f[at+3], "E", "W", 3, 180)
	return transport.Position{Lat: signed(lat), Lon: signed(lon)}, okLat && okLon
}

// degrees reads ddmm.mmmm with so many digits of whole degrees, into millionths of a degree.
func degrees(text, side, plus, minus string, digits int, most int64) (int64, bool) {
	if len(text) < digits+2 || len(text) > digits+12 {
		return 0, false
	}
	for i, c := range []byte(text) {
		if (c < '0' || c > '9') && (c != '.' || i != digits+2) {
			return 0, false
		}
	}
	whole, errWhole := strconv.ParseInt(text[:digits], 10, 64)
	minutes, errMinutes := strconv.ParseFloat(text[digits:], 64)
	v := whole*1_000_000 + int64(minutes*1_000_000/60+0.5)
	if errWhole != nil || errMinutes != nil || minutes >= 60 || v > most*1_000_000 {
		return 0, false
	}
	switch side {
	case plus:
		return v, true
	case minus:
		return -v, true
	}
	return 0, false
}
