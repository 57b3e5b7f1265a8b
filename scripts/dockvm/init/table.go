package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"camseal/scripts/dockvm/guest"
)

var environment = []string{"PATH=" + guest.Programs + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME=/root", "LANG=C.UTF-8", "TMPDIR=/tmp"}

// table is all processes that the host started. As the first process we also bury those that nobody else buries.
type table struct {
	mu  sync.Mutex
	enc *json.Encoder
	ids map[int]uint64 // by process id
}

func newTable(enc *json.Encoder) *table {
	t := &table{enc: enc, ids: map[int]uint64{}}
	os.Clearenv()
	if err := os.Setenv("PATH", environment[0][len("PATH="):]); err != nil {
		fmt.Println("dock:", err)
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	go func() {
		for range died {
			t.bury()
		}
	}()
	return t
}

func (t *table) say(e guest.Event) {
	if err := t.enc.Encode(e); err != nil {
		fmt.Println("dock: the host's line:", err)
	}
}

// bury tells the host of every process that ended.
func (t *table) bury() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		id, ours := t.ids[pid]
		delete(t.ids, pid)
		if !ours {
			continue
		}
		code := status.ExitStatus()
		if status.Signaled() {
			code = 128 + int(status.Signal())
		}
		t.say(guest.Event{ID: id, Status: code})
	}
}

func (t *table) start(r guest.Request) {
	t.mu.Lock() // so that its end is not seen before its beginning
	defer t.mu.Unlock()
	pid, err := spawn(r)
	if err != nil {
		t.say(guest.Event{ID: r.ID, Status: 127, Error: err.Error()})
		return
	}
	t.ids[pid] = r.ID
}

func spawn(r guest.Request) (int, error) {
	if len(r.Argv) == 0 {
		return 0, errors.New("no program")
	}
	path, err := exec.LookPath(r.Argv[0])
	if err != nil {
		return 0, err
	}
	files := make([]*os.File, 0, 3)
	defer func() {
		for _, f := range files {
			_ = f.Close() // the process has its own
		}
	}()
	for _, name := range []string{os.DevNull, r.Out, r.Err} {
		if len(files) == 2 && r.Out == r.Err {
			break
		}
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return 0, err
		}
		files = append(files, f)
	}
	fds := []uintptr{files[0].Fd(), files[1].Fd(), files[len(files)-1].Fd()}
	return syscall.ForkExec(path, r.Argv, &syscall.ProcAttr{Dir: "/root", Env: append(environment[:len(environment):len(environment)], r.Env...),
		Files: fds, Sys: &syscall.SysProcAttr{Setsid: true}})
}

func (t *table) signal(r guest.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for pid, id := range t.ids {
		if id == r.ID {
			_ = unix.Kill(-pid, unix.Signal(r.Signal)) // it may just have ended
		}
	}
}

// off ends every process, at first kindly, and unmounts the disk.
func (t *table) off() error {
	_ = unix.Kill(-1, unix.SIGTERM) // ESRCH: there is none
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(10 * time.Second); t.running() > 0; {
		select {
		case <-tick.C:
		case <-limit:
			_ = unix.Kill(-1, unix.SIGKILL) // as above
			limit = nil
		}
	}
	unix.Sync()
	if err := unix.Unmount(guest.State, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", guest.State, err)
	}
	return nil
}

func (t *table) running() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.ids)
}
