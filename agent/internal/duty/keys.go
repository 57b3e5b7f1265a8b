package duty

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Keys says where a recorder's own keys are read. Without codes the file has lines: start, stop, toggle, mark, header-end. With codes it is a
// Linux input device, and a press of that key acts.
type Keys struct {
	Path   string // empty: none
	Toggle int    // code (linux/input-event-codes.h) of the key that begins a recording, finishes its header, ends it; 0: none
	Mark   int    // of the one that marks a moment
	Header int    // of the one that finishes the spoken header
}

func (k Keys) codes() bool { return k.Toggle > 0 || k.Mark > 0 || k.Header > 0 }

// A struct input_event of a 64-bit system: two times of 8 bytes, type, code, value; of a 32-bit one the times have 4 bytes each.
const (
	inputTimes = 2 * (4 << (^uintptr(0) >> 63))
	inputEvent = inputTimes + 8
	typeKey    = 1 // EV_KEY
	pressed    = 1 // not 0, released, nor 2, held
)

const (
	keysAgain  = 2 * time.Second // between attempts to open the file
	maxKeyLine = 1 << 10         // bytes
)

// keys does what the keys say until ctx ends.
func (d *Duty) keys(ctx context.Context) {
	if d.Keys.Path == "" {
		return
	}
	for ctx.Err() == nil {
		err := d.readKeys(ctx)
		if ctx.Err() != nil {
			return
		}
		d.trouble("keys", fmt.Sprintf("the recorder's keys can't be read: %v; use its page, or HTTP, meanwhile", err))
		timer := time.NewTimer(keysAgain)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// readKeys reads until the file fails or ctx ends.
func (d *Duty) readKeys(ctx context.Context) error {
	f, err := openEvents(d.Keys.Path, !d.Keys.codes())
	if err != nil {
		return err
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	d.trouble("keys", "")
	if d.Keys.codes() {
		return d.readInput(ctx, f)
	}
	return d.readLines(ctx, f)
}

// openEvents opens a FIFO or a device; a FIFO that is not there is made if wanted. A FIFO stays open when its writers go.
func openEvents(path string, make bool) (*os.File, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && make {
		if err := unix.Mkfifo(path, 0o620); err != nil {
			return nil, &fs.PathError{Op: "mkfifo", Path: path, Err: err}
		}
		if err := os.Chmod(path, 0o620); err != nil { // whatever the umask: a vendor's program writes to it by the group
			return nil, err
		}
		st, err = os.Stat(path)
	}
	switch {
	case err != nil:
		return nil, err
	case st.Mode()&fs.ModeNamedPipe != 0:
		return os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0) // to write too: then no reader sees an end
	case st.Mode()&fs.ModeCharDevice != 0:
		return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	}
	return nil, fmt.Errorf("%s is neither a FIFO nor a device", path)
}

func (d *Duty) readInput(ctx context.Context, r io.Reader) error {
	var event [inputEvent]byte
	for {
		if _, err := io.ReadFull(r, event[:]); err != nil {
			return err
		}
		kind, code := binary.NativeEndian.Uint16(event[inputTimes:]), int(binary.NativeEndian.Uint16(event[inputTimes+2:]))
		if kind != typeKey || binary.NativeEndian.Uint32(event[inputTimes+4:]) != pressed || code == 0 {
			continue
		}
		switch code {
		case d.Keys.Toggle:
			d.key(ctx, "toggle")
		case d.Keys.Mark:
			d.key(ctx, "mark")
		case d.Keys.Header:
			d.key(ctx, "header-end")
		}
	}
}

func (d *Duty) readLines(ctx context.Context, r io.Reader) error {
	lines := bufio.NewReaderSize(r, maxKeyLine)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // no line of ours is so long
			continue
		case err != nil:
			return err
		}
		if word := strings.TrimSpace(string(line)); word != "" {
			d.key(ctx, word)
		}
	}
}

// keyTime is how long what a key wants may take.
const keyTime = 30 * time.Second

// key does what a key says. What can't be done is shown until the next key.
func (d *Duty) key(ctx context.Context, word string) {
	ctx, cancel := context.WithTimeout(ctx, keyTime)
	defer cancel()
	word, text, _ := strings.Cut(word, " ")
	var err error
	switch word {
	case "start":
		_, err = d.Start(ctx, ByKey)
	case "stop":
		_, err = d.Stop(ctx, ByKey)
	case "toggle":
		err = d.Toggle(ctx, ByKey)
	case "mark":
		_, err = d.Mark(ctx, ByKey, text)
	case "header-end":
		err = d.EndHeader(ctx, ByKey)
	default:
		err = fmt.Errorf("%q is none of start, stop, toggle, mark, header-end", clean(word, maxBy))
	}
	if err != nil {
		d.trouble("key", "not done by key: "+err.Error())
		return
	}
	d.trouble("key", "")
}
