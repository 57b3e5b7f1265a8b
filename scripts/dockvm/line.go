package dockvm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"camseal/scripts/dockvm/guest"
)

// line is the host's end of the serial line to the dock's first process.
type line struct {
	conn net.Conn
	up   chan error // one: the dock is up, or why it does not come up

	mu    sync.Mutex
	enc   *json.Encoder
	last  uint64
	procs map[uint64]*Process
	err   error // why the line is closed
}

func newLine(conn net.Conn) *line {
	l := &line{conn: conn, up: make(chan error, 1), enc: json.NewEncoder(conn), procs: map[uint64]*Process{}}
	go l.read()
	return l
}

func (l *line) read() {
	dec := json.NewDecoder(l.conn)
	for {
		var e guest.Event
		if err := dec.Decode(&e); err != nil {
			l.fail(fmt.Errorf("the dock is off: %w", err))
			return
		}
		if e.ID == 0 {
			var err error
			if e.Error != "" {
				err = errors.New(e.Error)
			}
			select {
			case l.up <- err:
			default: // it said so before
			}
			continue
		}
		l.mu.Lock()
		p := l.procs[e.ID]
		delete(l.procs, e.ID)
		l.mu.Unlock()
		if p != nil {
			p.status = e.Status
			if e.Error != "" {
				p.err = errors.New(e.Error)
			}
			close(p.done)
		}
	}
}

// fail ends all that waits for the dock.
func (l *line) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	for id, p := range l.procs {
		p.status, p.err = -1, err
		close(p.done)
		delete(l.procs, id)
	}
}

func (l *line) send(r guest.Request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sendLocked(r)
}

func (l *line) sendLocked(r guest.Request) error {
	if l.err != nil {
		return l.err
	}
	return l.enc.Encode(r)
}

// Process is a program that runs in the dock.
type Process struct {
	Log string // host's path of the file with its output

	vm     *VM
	id     uint64
	name   string
	done   chan struct{}
	status int
	err    error
}

// Start starts a program in the dock: argv[0] is searched for on the dock's path, with the programs under test first. Its output and
// its errors go into one file, in the host's folder and named after name, while it runs; a second process of the same name adds to it.
func (vm *VM) Start(name string, argv ...string) (*Process, error) {
	out := "run/" + name + ".log"
	return vm.start(name, out, out, argv)
}

func (vm *VM) start(name, out, errors string, argv []string) (*Process, error) {
	l := vm.line
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	p := &Process{Log: vm.Path(out), vm: vm, id: l.last, name: name, done: make(chan struct{})}
	if err := l.sendLocked(guest.Request{ID: p.id, Op: guest.OpStart, Argv: argv, Out: guest.Shared + "/" + out, Err: guest.Shared + "/" + errors}); err != nil {
		return nil, fmt.Errorf("start %s in the dock: %w", name, err)
	}
	l.procs[p.id] = p
	return p, nil
}

// ExitError is the end of a program in the dock with a status other than 0.
type ExitError struct {
	Name   string
	Status int    // 128 and the signal if one ended it
	Said   []byte // the last of what it wrote to its standard error
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s in the dock: exit status %d: %s", e.Name, e.Status, e.Said)
}

// Done is closed when the program has ended, or the dock is off.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the program's end, and returns an *ExitError if its status is not 0. When ctx ends, the program is killed.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		err := p.Signal(syscall.SIGKILL)
		return errors.Join(fmt.Errorf("%s in the dock: %w", p.name, ctx.Err()), err)
	}
	if p.err != nil {
		return fmt.Errorf("%s in the dock: %w", p.name, p.err)
	}
	if p.status != 0 {
		return &ExitError{Name: p.name, Status: p.status}
	}
	return nil
}

// Signal sends a signal to the program and those that it started.
func (p *Process) Signal(s syscall.Signal) error {
	return p.vm.line.send(guest.Request{ID: p.id, Op: guest.OpSignal, Signal: int(s)})
}

// Run runs a program in the dock to its end and returns what it wrote to its standard output. The error of a program that fails is an
// *ExitError.
func (vm *VM) Run(ctx context.Context, argv ...string) ([]byte, error) {
	if len(argv) == 0 {
		return nil, errors.New("run in the dock: no program")
	}
	dir, err := os.MkdirTemp(vm.Path("run"), "run-")
	if err != nil {
		return nil, err
	}
	base := strings.TrimPrefix(dir, vm.Path("")+"/")
	p, err := vm.start(argv[0], base+"/out", base+"/err", argv)
	if err != nil {
		return nil, err
	}
	failed := p.Wait(ctx)
	out, err := os.ReadFile(dir + "/out")
	if err != nil && failed == nil {
		return nil, err
	}
	var exit *ExitError
	if errors.As(failed, &exit) {
		said, err := os.ReadFile(dir + "/err")
		if err != nil {
			return out, errors.Join(failed, err)
		}
		exit.Said = bytes.TrimSpace(said[max(0, len(said)-2000):])
	}
	if failed != nil {
		return out, failed
	}
	return out, os.RemoveAll(dir)
}
