package duty

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"camseal/pkg/transport"
)

// Limits of the journal.
const (
	journalMax = 256 << 10                 // bytes; then a new one is begun, and one old one is kept
	maxOpen    = 2 * transport.MaxCommands // commands that wait
	maxUnsaid  = 4 * transport.MaxCommands // results that the server does not have yet; the oldest go first
	maxNumber  = 1 << 53                   // what JSON numbers hold exactly everywhere
	maxLine    = 64 << 10                  // bytes of one line
)

// unknownEnd is the result of a command that a former run began.
const unknownEnd = "the agent ended while this was being carried out; whether it took effect is not known. What is recorded is kept. Look at the recorder's state, and order it again if need be."

// entry is one line of the journal: exactly one of its members besides At is there.
type entry struct {
	At      int64              `json:"at"`                // ms since 1970
	Known   uint64             `json:"known,omitempty"`   // numbers up to it came before this file began
	Command *transport.Command `json:"command,omitempty"` // it came
	Begun   uint64             `json:"begun,omitempty"`   // it is carried out now
	Result  *transport.Result  `json:"result,omitempty"`  // it was, or was refused
	Said    []uint64           `json:"said,omitempty"`    // the server has these results
}

// ordered is a command without a result.
type ordered struct {
	transport.Command
	begun bool
}

// journal is the durable memory of commands: each is carried out at most once, whatever is killed.
type journal struct {
	path string
	now  func() time.Time
	log  *slog.Logger

	mu     sync.Mutex
	f      *os.File
	size   int64
	torn   bool // the file may not end with a line's end
	known  uint64
	open   []ordered
	unsaid []transport.Result
}

// openJournal reads the journal, or makes it. Commands that a former run began get a result that says so.
func openJournal(path string, now func() time.Time, log *slog.Logger) (*journal, error) {
	j := &journal{path: path, now: now, log: log}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal of commands: %w", err)
	}
	j.f = f
	if err := j.read(f); err != nil {
		return nil, errors.Join(fmt.Errorf("journal of commands: %w", err), f.Close())
	}
	var lost []entry
	for _, o := range j.open {
		if o.begun {
			lost = append(lost, entry{Result: &transport.Result{Number: o.Number, Text: unknownEnd}})
		}
	}
	if err := errors.Join(j.append(true, lost...), syncFolder(path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func (j *journal) read(f *os.File) error {
	lines := bufio.NewReaderSize(f, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		j.size += int64(len(line))
		if len(bytes.TrimSpace(line)) > 0 {
			var e entry
			if bad := json.Unmarshal(line, &e); bad != nil || err != nil { // what a power cut left
				j.torn = errors.Is(err, io.EOF)
				j.log.Warn("a line in the journal of commands is not whole; it is kept and passed over", slog.String("file", j.path))
			} else {
				j.note(e)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// note brings what is remembered up to an entry.
func (j *journal) note(e entry) {
	drop := func(n uint64) {
		for i, o := range j.open {
			if o.Number == n {
				j.open = append(j.open[:i:i], j.open[i+1:]...)
				return
			}
		}
	}
	switch {
	case e.Command != nil:
		j.known = max(j.known, e.Command.Number)
		j.open = append(j.open, ordered{Command: *e.Command})
	case e.Begun > 0:
		for i := range j.open {
			if j.open[i].Number == e.Begun {
				j.open[i].begun = true
			}
		}
	case e.Result != nil:
		drop(e.Result.Number)
		j.unsaid = append(j.unsaid, *e.Result)
		j.unsaid = j.unsaid[max(0, len(j.unsaid)-maxUnsaid):]
	case e.Said != nil:
		for _, n := range e.Said {
			for i, r := range j.unsaid {
				if r.Number == n {
					j.unsaid = append(j.unsaid[:i:i], j.unsaid[i+1:]...)
					break
				}
			}
		}
	default:
		j.known = max(j.known, e.Known)
	}
}

// append writes entries, durably if wanted, and then remembers them. j.mu is held, or nobody else has j.
func (j *journal) append(durable bool, entries ...entry) error {
	if len(entries) == 0 {
		return nil
	}
	if j.size > journalMax {
		if err := j.rotate(); err != nil {
			return err
		}
	}
	raw, err := j.lines(entries)
	if err != nil {
		return err
	}
	if j.torn {
		raw = append([]byte("\n"), raw...)
	}
	n, err := j.f.Write(raw)
	j.size += int64(n)
	j.torn = err != nil
	if err == nil && durable {
		err = j.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("journal of commands: %w", err)
	}
	for _, e := range entries {
		j.note(e)
	}
	return nil
}

func (j *journal) lines(entries []entry) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, e := range entries {
		e.At = j.now().UnixMilli()
		if err := enc.Encode(e); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// rotate begins a new file with what is not finished. There is a whole one at every moment.
func (j *journal) rotate() error {
	entries := []entry{{Known: j.known}}
	for _, o := range j.open {
		entries = append(entries, entry{Command: &o.Command})
		if o.begun {
			entries = append(entries, entry{Begun: o.Number})
		}
	}
	for _, r := range j.unsaid {
		entries = append(entries, entry{Result: &r})
	}
	raw, err := j.lines(entries)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("journal of commands: %w", err)
	}
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync())
	if gone := os.Remove(j.path + ".old"); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if err == nil {
		err = os.Link(j.path, j.path+".old")
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err == nil {
		err = syncFolder(j.path)
	}
	if err != nil {
		return fmt.Errorf("journal of commands: %w", errors.Join(err, f.Close()))
	}
	j.f, f = f, j.f
	j.size, j.torn = int64(len(raw)), false
	return f.Close()
}

func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// came writes down commands that are new, and returns how many there were.
func (j *journal) came(commands []transport.Command) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var entries []entry
	last := j.known
	for _, c := range commands {
		if c.Number <= last || c.Number >= maxNumber || len(j.open)+len(entries) >= maxOpen {
			continue
		}
		last = c.Number
		entries = append(entries, entry{Command: &c})
	}
	return len(entries), j.append(true, entries...)
}

// next returns the oldest command that is not begun.
func (j *journal) next() (transport.Command, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, o := range j.open {
		if !o.begun {
			return o.Command, true
		}
	}
	return transport.Command{}, false
}

// begin writes down that a command is carried out now.
func (j *journal) begin(number uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.append(true, entry{Begun: number})
}

// finish writes down what became of a command. The result is said to the server in any case.
func (j *journal) finish(r transport.Result) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := entry{Result: &r}
	err := j.append(true, e)
	if err != nil {
		j.note(e)
	}
	return err
}

// said notes that the server has these results. If that is lost, they are said once more.
func (j *journal) said(results []transport.Result) error {
	if len(results) == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var e entry
	for _, r := range results {
		e.Said = append(e.Said, r.Number)
	}
	err := j.append(false, e)
	if err != nil {
		j.note(e)
	}
	return err
}

// standing returns the greatest number that came, and at most MaxCommands results that the server does not have yet.
func (j *journal) standing() (uint64, []transport.Result) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.known, append([]transport.Result(nil), j.unsaid[:min(len(j.unsaid), transport.MaxCommands)]...)
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.f.Sync(), j.f.Close())
}
