// Package sandbox runs one program on material that nobody vouches for, by bubblewrap: no network, no other process, no file but
// the system's programs and the descriptors that it is handed, no capability, bounded time, memory and output.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Box holds the bounds of a run. Its zero value is ready; it is safe for concurrent use.
type Box struct {
	Time   time.Duration // of the wall clock, and of the processor; 0: 30 s
	Memory uint64        // bytes of address space; 0: 1 GiB
	Output int64         // bytes of standard output; 0: 64 MiB
	Nice   int           // how far everything else goes before it, 0 to 19
}

// Command is a program and all that it is given.
type Command struct {
	Name string   // a program of /usr/bin
	Args []string //
	In   *os.File // standard input, such as footage: open for reading, and it can't be opened for writing there; nil: nothing
	Data [][]byte // copies of these can be read at Path(0), Path(1), …
	// ToPath lets the program open its own standard output for writing by a path, as some must. Not together with an In that must not be changed.
	ToPath bool
	// Out, if it is not nil, is standard output: a file of its own, which the program can open at OutPath, write in any order and read back. It
	// goes with ToPath; there is nothing to read for out then, and a file that grows beyond Output ends the program.
	Out *os.File
}

// OutPath is where a program finds Out.
const OutPath = "/proc/self/fd/1"

// Path is where a program finds Data[i].
func Path(i int) string { return "/proc/self/fd/" + strconv.Itoa(3+i) }

// Ends of a run that are no fault of the one who started it.
var (
	ErrTime  = errors.New("it took too long and was ended")
	ErrFlood = errors.New("it wrote too much and was ended")
)

// Failed says that the program ended by itself, and not well.
type Failed struct {
	Name   string
	Status string // "exit status 1", "signal: killed"
	Said   string // the beginning of standard error
}

func (e *Failed) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", e.Name, e.Status, e.Said), ": ")
}

const said = 4 << 10 // bytes of standard error that are kept

// Run starts the program and calls out with its standard output. When out returns, the program and all its kin are ended: with out's error
// if it has one; without an error if out returned before the end of the output; else with the program's own end (*Failed, ErrTime, ErrFlood, or
// the context's error).
func (b Box) Run(ctx context.Context, c Command, out func(io.Reader) error) error {
	limit := b.Time
	if limit == 0 {
		limit = 30 * time.Second
	}
	timed, cancel := context.WithTimeoutCause(ctx, limit, ErrTime)
	defer cancel()
	cmd, closeFiles, err := b.command(timed, c, limit)
	if err != nil {
		return err
	}
	defer closeFiles()
	stderr := &head{}
	cmd.Stderr = stderr
	var stdout io.Reader = strings.NewReader("")
	if c.Out != nil {
		cmd.Stdout = c.Out
	} else if stdout, err = cmd.StdoutPipe(); err != nil {
		return fmt.Errorf("start %s in its sandbox: %w", c.Name, err)
	}
	if err := cmd.Start(); err != nil {
		if timed.Err() != nil { // it was too late before it began
			return context.Cause(timed)
		}
		return fmt.Errorf("start %s in its sandbox: %w", c.Name, err)
	}
	r := &bounded{r: stdout, left: b.output()}
	errOut := out(r)
	r.ended = r.ended || c.Out != nil
	if errOut != nil || !r.ended {
		cancel()
	}
	errWait := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(context.Cause(timed), ErrTime):
		return ErrTime
	case errOut != nil:
		return errOut
	case errWait != nil && c.Out != nil && sizeOf(c.Out) >= b.output():
		return ErrFlood
	case !r.ended || errWait == nil:
		return nil
	}
	var exit *exec.ExitError
	if errors.As(errWait, &exit) {
		return &Failed{Name: c.Name, Status: exit.Error(), Said: printable(stderr.kept)}
	}
	return fmt.Errorf("run %s in its sandbox: %w", c.Name, errWait)
}

func (b Box) output() int64 {
	if b.Output == 0 {
		return 64 << 20
	}
	return b.Output
}

// sizeOf is a file's size; -1 if it can't be told.
func sizeOf(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return -1
	}
	return info.Size()
}

// command makes the command line; prlimit sets bounds before anything runs, and everything below inherits them.
func (b Box) command(ctx context.Context, c Command, limit time.Duration) (*exec.Cmd, func(), error) {
	memory := b.Memory
	if memory == 0 {
		memory = 1 << 30
	}
	var files []*os.File
	closeFiles := func() {
		for _, f := range files {
			f.Close()
		}
	}
	for _, data := range append(append([][]byte(nil), c.Data...), filter(c.ToPath)) {
		f, err := inMemory(data)
		if err != nil {
			closeFiles()
			return nil, nil, fmt.Errorf("hand data to %s: %w", c.Name, err)
		}
		files = append(files, f)
	}
	fileSize := int64(0)
	if c.Out != nil {
		fileSize = b.output()
	}
	args := []string{
		"-n", strconv.Itoa(b.Nice), "prlimit",
		"--cpu=" + strconv.FormatInt(int64(limit/time.Second)+1, 10), "--as=" + strconv.FormatUint(memory, 10),
		"--fsize=" + strconv.FormatInt(fileSize, 10), "--core=0", "--nofile=64", "bwrap",
		"--unshare-all", "--cap-drop", "ALL", "--new-session", "--die-with-parent",
		"--ro-bind", "/usr", "/usr", "--ro-bind", "/etc/alternatives", "/etc/alternatives",
		"--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dev", "/dev", "--chdir", "/",
		"--clearenv", "--setenv", "PATH", "/usr/bin", "--setenv", "LC_ALL", "C.UTF-8",
		"--seccomp", strconv.Itoa(2 + len(files)), "--", "/usr/bin/" + c.Name,
	}
	cmd := exec.CommandContext(ctx, "nice", append(args, c.Args...)...)
	if c.In != nil { // not merely if it is nil inside: an interface that holds nil is not nil
		cmd.Stdin = c.In
	}
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	return cmd, closeFiles, nil
}

// inMemory is a file with data that lies nowhere.
func inMemory(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("data", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "data")
	if _, err = f.Write(data); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// bounded reads at most left bytes and remembers whether the output's end was seen.
type bounded struct {
	r     io.Reader
	left  int64
	ended bool
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrFlood
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil {
		b.ended = true
		if !errors.Is(err, io.EOF) { // the pipe of a program that was ended
			err = io.EOF
		}
	}
	return n, err
}

// head keeps the beginning of what is written, and takes all of it.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), said-len(h.kept))]...)
	return len(p), nil
}

// printable makes one line of what a program said.
func printable(text []byte) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(text), "?"), func(r rune) bool {
		return r <= ' ' || r == 0x7f || r >= 0x80 && r <= 0x9f || r == '\u2028' || r == '\u202e'
	}), " ")
}
