package axis

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncw/swift/v2"

	"camseal/firmware-bridge/internal/permit"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// Variables that make this test binary a destination of its own, which can be killed.
const (
	envState = "CAMSEAL_TEST_AXIS_STATE"
	envStep  = "CAMSEAL_TEST_AXIS_STEP"
	envErase = "CAMSEAL_TEST_AXIS_ERASE"
)

func TestMain(m *testing.M) {
	if state := os.Getenv(envState); state != "" {
		if err := child(state); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child serves until it is killed, or erases a file and kills itself at a step.
func child(state string) error {
	t := &testing.T{}
	s := &site{t: t, clock: &clock{}, log: &bytes.Buffer{}}
	c := config(state, s)
	c.Users = testUsersIn(t, filepath.Dir(state))
	c.Step = func(name string) {
		if name == os.Getenv(envStep) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	d, err := Open(c)
	if err != nil {
		return err
	}
	if name := os.Getenv(envErase); name != "" {
		e, ok := d.find(func(handoff.Docking) bool { return true })
		if !ok {
			return errors.New("nothing is docked")
		}
		_, err := d.Erase(context.Background(), permitFor(e, name))
		return err
	}
	srv := httptest.NewServer(d)
	fmt.Println(srv.URL)
	select {}
}

// permitFor is what a checked permit for a staged file says.
func permitFor(e entry, name string) permit.Permit {
	b, err := os.ReadFile(filepath.Join(e.dir, "files", name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		panic(err)
	}
	if err != nil { // as it was read before
		b = fill(1000, 1)
	}
	p := permit.Permit{Leaf: evidence.Sum([]byte(name)), Hash: evidence.Sum(b), Source: evidence.Source{Serial: e.docking.Serial, Volume: e.docking.Volume, Size: uint64(len(b))}}
	p.Source.SetPath([]byte("/"+name), []byte(name))
	return p
}

// spawn starts a destination in a process of its own.
func spawn(t *testing.T, state string, env ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(append(os.Environ(), envState+"="+state), env...)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have ended
	return cmd, bufio.NewReader(out)
}

func killed(cmd *exec.Cmd) bool {
	var exit *exec.ExitError
	err := cmd.Wait()
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// TestKilledInTheMiddleOfAnUpload: kill -9 leaves the object that was being sent absent, or as it was before; what had been answered is there, and
// the same upload again works.
func TestKilledInTheMiddleOfAnUpload(t *testing.T) {
	state := t.TempDir()
	cmd, out := spawn(t, state)
	line, err := out.ReadString('\n')
	must(t, err)
	url := strings.TrimSpace(line)
	c := &swift.Connection{UserName: testUser, ApiKey: testKey, AuthUrl: url + "/auth/v1.0", AuthVersion: 1, Retries: 1}
	ctx := context.Background()
	must(t, c.Authenticate(ctx))
	must(t, c.ContainerCreate(ctx, recording, metaHeaders("Container", "Status", "Transferring")))
	put(t, c, recording, clip1, fill(100_000, 1), nil)
	var pipes []*io.PipeWriter
	ended := make(chan error, 2)
	for _, name := range []string{clip1, clip2} { // one in place of another, one new
		r, w := io.Pipe()
		pipes = append(pipes, w)
		go func() {
			_, err := c.ObjectPut(ctx, recording, name, r, true, "", "", nil)
			ended <- err
		}()
		if _, err := w.Write(fill(3<<20, 9)); err != nil {
			t.Fatal(err)
		}
	}
	parts := filepath.Join(state, "accounts", testUser, fileName(recording), "parts")
	w := &site{t: t}
	w.waitFor(func() bool {
		entries, err := os.ReadDir(parts)
		return err == nil && len(entries) == 3
	})
	must(t, cmd.Process.Kill())
	if !killed(cmd) {
		t.Fatal("it ended by itself")
	}
	for _, p := range pipes {
		_ = p.CloseWithError(io.ErrUnexpectedEOF) // nobody reads any more
		if err := <-ended; err == nil {
			t.Error("an upload to a killed destination was answered")
		}
	}

	s := newSite(t, func(c *Config) { c.State = state })
	c = s.connect()
	info, _, err := c.Object(ctx, recording, clip1)
	must(t, err)
	if info.Bytes != 100_000 || info.Hash != hash5(fill(100_000, 1)) {
		t.Errorf("what had been answered: %+v", info)
	}
	if _, _, err := c.Object(ctx, recording, clip2); code(err) != 404 {
		t.Errorf("half an object: %v", err)
	}
	if left := s.staged(); len(left) != 1 {
		t.Errorf("staged: %v", left)
	}
	put(t, c, recording, clip2, fill(3<<20, 9), nil)
	complete(t, c, recording)
	if list, _ := s.agent(nil).files(s.agent(nil).watch()().ID); len(list) != 3 {
		t.Errorf("files: %+v", list)
	}
}

// TestKilledAtAnyRecord: a folder as any kill between two writes leaves it is cleared up: temporary records, bytes without a record, a container
// without its record, files of a completion that was not durable.
func TestKilledAtAnyRecord(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), recording, nil))
	put(t, c, recording, clip1, fill(1000, 1), nil)
	dir := s.containerDir(testUser, recording)
	must(t, os.WriteFile(filepath.Join(dir, "parts", "0123"), []byte("half"), 0o640))
	must(t, os.WriteFile(filepath.Join(dir, "objects", newName+"1"), []byte("{"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, newName+"2"), []byte("{"), 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, "files"), 0o750))
	must(t, os.WriteFile(filepath.Join(dir, "files", clip1), []byte("x"), 0o640))
	must(t, os.MkdirAll(filepath.Join(s.accountDir(testUser), "begun", "objects"), 0o750))
	s.clock.ahead.Add(int64(25 * time.Hour))
	s.again()
	if !strings.Contains(s.logged(), "still not complete") {
		t.Error("nobody is told of a recording that has been coming for a day")
	}
	c = s.connect()
	if left := s.staged(); len(left) != 1 {
		t.Errorf("staged: %v", left)
	}
	names, err := c.ContainerNames(context.Background(), nil)
	must(t, err)
	if len(names) != 1 || names[0] != recording {
		t.Errorf("containers: %q", names)
	}
	complete(t, c, recording)
	first := s.agent(nil).watch()()
	// Killed after the record of completion, before the parts were gone.
	must(t, os.MkdirAll(filepath.Join(dir, "parts"), 0o750))
	must(t, os.Link(filepath.Join(dir, "files", clip1), filepath.Join(dir, "parts", "4567")))
	s.again()
	again := s.agent(nil).watch()()
	if again.ID != first.ID || len(s.staged()) != 2 {
		t.Errorf("docking %s became %s; staged %v", first.ID, again.ID, s.staged())
	}
	got, err := os.ReadFile(filepath.Join(string(again.Root), clip1))
	must(t, err)
	if !bytes.Equal(got, fill(1000, 1)) {
		t.Error("the file is another one")
	}
}

// TestOneProcessAFolder: a second destination on the same folder is refused.
func TestOneProcessAFolder(t *testing.T) {
	s := newSite(t)
	if d, err := Open(s.Config); err == nil {
		t.Error("opened twice", d.Close())
	} else if !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

// TestKilledAtEachStepOfErasing: whatever step a kill comes after, the same permit again gets the same answer, the file is gone, and no other is.
func TestKilledAtEachStepOfErasing(t *testing.T) {
	for _, step := range []string{"read", "intent noted", "unlinked", "synced", "done noted"} {
		for _, name := range []string{clip1, "last one"} {
			t.Run(step+"/"+name, func(t *testing.T) {
				s := newSite(t)
				c := s.connect()
				must(t, c.ContainerCreate(context.Background(), recording, nil))
				put(t, c, recording, clip1, fill(1000, 1), nil)
				put(t, c, recording, clip2, fill(1000, 2), nil)
				complete(t, c, recording)
				e, _ := s.find(func(handoff.Docking) bool { return true })
				if name == "last one" {
					must(t, os.Remove(filepath.Join(e.dir, "files", clip2)))
					must(t, os.Remove(filepath.Join(e.dir, "files", metadataFile)))
				}
				must(t, s.Close())
				cmd, _ := spawn(t, s.State, envStep+"="+step, envErase+"="+clip1)
				if !killed(cmd) {
					t.Fatal("it was not killed")
				}
				s.open(s.Config)
				p := permitFor(e, clip1)
				done, err := s.Erase(context.Background(), p)
				must(t, err)
				before := step != "read" && step != "intent noted"
				if done.Before != before || done.Hash != p.Hash || done.Permit != p.Leaf {
					t.Errorf("answer %+v", done)
				}
				again, err := s.Erase(context.Background(), p)
				must(t, err)
				if !again.Before || again.Hash != p.Hash {
					t.Errorf("answer again %+v", again)
				}
				left, err := os.ReadDir(filepath.Join(e.dir, "files"))
				must(t, err)
				_, docked := s.find(func(handoff.Docking) bool { return true })
				if want := name != "last one"; docked != want || want != (len(left) == 2) {
					t.Errorf("docked %v; left %v", docked, left)
				}
			})
		}
	}
}
