package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// place is a folder for one measurement, with the processes that were started there.
type place struct {
	dir, bin string
	quote    time.Duration // how long the TPM takes for a quote; 0: as long as swtpm takes
	procs    []*proc
}

func newPlace(bench string) (*place, error) {
	abs, err := filepath.Abs(bench)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(abs, "run-")
	return &place{dir: dir, bin: filepath.Join(abs, "bin")}, err
}

func (p *place) path(parts ...string) string {
	return filepath.Join(append([]string{p.dir}, parts...)...)
}

// close ends what was started and removes the folder; the vault's files are read-only.
func (p *place) close() {
	for i := len(p.procs) - 1; i >= 0; i-- {
		p.procs[i].stop()
	}
	if err := os.RemoveAll(p.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// proc is a running program whose memory is watched.
type proc struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan struct{}
	err  error
	peak int64 // RssAnon, bytes
	wall time.Duration
}

func (p *place) start(env []string, name string, args ...string) (*proc, error) {
	path := filepath.Join(p.bin, name)
	if _, err := os.Stat(path); err != nil {
		path = name
	}
	r := &proc{cmd: exec.Command(path, args...), done: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begin := time.Now()
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.procs = append(p.procs, r)
	go func() {
		r.err = r.cmd.Wait()
		r.wall = time.Since(begin)
		close(r.done)
	}()
	go r.watch()
	return r, nil
}

// watch samples RssAnon until the program ends.
func (r *proc) watch() {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-tick.C:
			r.peak = max(r.peak, anonymous(r.cmd.Process.Pid))
		}
	}
}

// anonymous is RssAnon of a process in bytes, 0 once it is gone.
func anonymous(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// cpu is the processor time of a running program so far.
func (r *proc) cpu() time.Duration {
	select {
	case <-r.done:
		return r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime()
	default:
		return processor(r.cmd.Process.Pid)
	}
}

// processor is the processor time of a process so far, 0 once it is gone.
func processor(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // 100 ticks a second
}

func (r *proc) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-r.done:
	case <-time.After(10 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.done
	}
}

// do runs a program to its end and returns what it said.
func (p *place) do(env []string, name string, args ...string) (*proc, error) {
	r, err := p.start(env, name, args...)
	if err != nil {
		return nil, err
	}
	<-r.done
	if r.err != nil {
		return r, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), r.err, r.out.Bytes())
	}
	return r, nil
}

// until waits for a condition for at most 30 s.
func until(what string, ok func() bool) error { return within(30*time.Second, what, ok) }

// within waits for a condition for at most that long.
func within(most time.Duration, what string, ok func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(most)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			return fmt.Errorf("waited %v for %s", most, what)
		}
	}
	return nil
}
