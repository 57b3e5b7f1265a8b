package erase_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"camseal/firmware-bridge/internal/erase"
	"camseal/firmware-bridge/internal/permit"
	"camseal/firmware-bridge/internal/permit/permittest"
	"camseal/firmware-bridge/internal/storage"
	"camseal/firmware-bridge/internal/storage/looptest"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

var (
	footage = bytes.Repeat([]byte("one frame after another "), 9_000)
	other   = bytes.Repeat([]byte("another recording "), 1_000)
)

func permitFor(t testing.TB, path string, content []byte) permit.Permit {
	t.Helper()
	p, err := makePermit(path, content)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func makePermit(path string, content []byte) (permit.Permit, error) {
	s := permittest.Spec{Content: content, Source: evidence.Source{Volume: "here"}}
	s.Source.SetPath([]byte(path), []byte(filepath.Base(path)))
	request, _ := permittest.Request(s)
	return permittest.Checker().Read(bytes.NewReader(request))
}

// recorder is an ext4 image that may be plugged in.
type recorder struct {
	Image, Name, Mounts string
	Seq                 uint64
}

func (r recorder) volume() erase.Volume {
	return erase.Volume{Mount: filepath.Join(r.Mounts, "one"), Devices: func() ([]*storage.Device, error) {
		d, err := storage.OpenDevice("/dev/"+r.Name, r.Seq)
		return []*storage.Device{d}, err
	}}
}

func newImage(t *testing.T) string {
	return looptest.Image(t, looptest.Tree(t, map[string][]byte{"DCIM/v.mp4": footage, "DCIM/w.mp4": other}), "")
}

func plugIn(t *testing.T, image string) recorder {
	t.Helper()
	looptest.Root(t)
	r := recorder{Image: image, Name: looptest.Attach(t, image), Mounts: t.TempDir()}
	r.Seq = looptest.Seq(t, r.Name)
	r.mount(t)
	t.Cleanup(func() {
		if err := storage.Clean(r.Mounts); err != nil {
			t.Error(err)
		}
	})
	return r
}

// mount does what the bridge does, after whatever was left mounted was taken away.
func (r recorder) mount(t *testing.T) {
	t.Helper()
	d, err := storage.OpenDevice("/dev/"+r.Name, r.Seq)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := storage.Probe(d)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(r.Mounts, "one")
	if err := errors.Join(os.Mkdir(at, 0o700), d.ReadOnly(true), storage.Mount("/dev/"+r.Name, at, s, storage.Reader{})); err != nil {
		t.Fatal(err)
	}
}

func (r recorder) pullOut(t *testing.T) {
	t.Helper()
	if err := storage.Clean(r.Mounts); err != nil {
		t.Fatal(err)
	}
	looptest.Do(t, "blockdev", "--setrw", "/dev/"+r.Name)
	looptest.Pull(t, r.Name)
}

func newEraser(t testing.TB, state string) *erase.Eraser {
	t.Helper()
	j, err := erase.OpenJournal(state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return &erase.Eraser{Journal: j, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
}

func code(err error) handoff.Code {
	var e *handoff.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestErasedOnceAndAnsweredAgain(t *testing.T) {
	r, state := plugIn(t, newImage(t)), t.TempDir()
	e, p := newEraser(t, state), permitFor(t, "/DCIM/v.mp4", footage)
	done, err := e.Erase(t.Context(), r.volume(), p)
	if want := (handoff.Erased{Hash: evidence.Sum(footage), Permit: p.Leaf}); err != nil || done != want {
		t.Fatalf("%+v %v", done, err)
	}
	r.pullOut(t)
	before := handoff.Erased{Hash: evidence.Sum(footage), Permit: p.Leaf, Before: true}
	if done, ok := e.Before(p); !ok || done != before {
		t.Errorf("without the recorder: %+v %v", done, ok)
	}
	e = newEraser(t, state) // as after a power cut of the dock
	if done, ok := e.Before(p); !ok || done != before {
		t.Errorf("after a restart: %+v %v", done, ok)
	}
	looptest.Do(t, "e2fsck", "-fn", r.Image)
	if names := looptest.Do(t, "debugfs", "-R", "ls -p /DCIM", r.Image); strings.Contains(names, "v.mp4") || !strings.Contains(names, "w.mp4") {
		t.Errorf("%s", names)
	}
}

// TestRefusalsEraseNothing tries each way in which the medium is not what the permit says.
func TestRefusalsEraseNothing(t *testing.T) {
	image := looptest.Image(t, looptest.Tree(t, map[string][]byte{"v.mp4": footage, "grown.mp4": append(footage[:len(footage):len(footage)], '!'), "two.mp4": footage}), "")
	for _, change := range []string{"symlink link.mp4 v.mp4", "ln two.mp4 three.mp4", "set_inode_field two.mp4 links_count 2"} {
		looptest.Do(t, "debugfs", "-w", "-R", change, image)
	}
	r := plugIn(t, image)
	e := newEraser(t, t.TempDir())
	changed := append([]byte("X"), footage[1:]...)
	for name, c := range map[string]struct {
		p    permit.Permit
		want handoff.Code
		says string
	}{
		"a changed byte":       {permitFor(t, "/v.mp4", changed), handoff.CodeChanged, "SHA-256"},
		"grown":                {permitFor(t, "/grown.mp4", footage), handoff.CodeChanged, "216001 bytes, 216000 were sealed"},
		"replaced by a link":   {permitFor(t, "/link.mp4", footage), handoff.CodeChanged, "link"},
		"with a second name":   {permitFor(t, "/two.mp4", footage), handoff.CodeChanged, "2 names"},
		"a folder":             {permitFor(t, "/lost+found", footage), handoff.CodeChanged, "no regular file"},
		"out of the volume":    {permitFor(t, "/../etc/hostname", footage), handoff.CodeChanged, "no path"},
		"not there, not by us": {permitFor(t, "/none.mp4", footage), handoff.CodeNoFile, "was not erased on this permit"},
		"no permit at all":     {permit.Permit{}, handoff.CodeChanged, "no path"},
	} {
		done, err := e.Erase(t.Context(), r.volume(), c.p)
		if code(err) != c.want || !strings.Contains(err.Error(), c.says) || done != (handoff.Erased{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.pullOut(t)
	names := looptest.Do(t, "debugfs", "-R", "ls -p /", image)
	for _, n := range []string{"/v.mp4/", "/grown.mp4/", "/link.mp4/", "/two.mp4/", "/three.mp4/"} {
		if !strings.Contains(names, n) {
			t.Errorf("%s is gone:\n%s", n, names)
		}
	}
}

func TestWriteProtectedOrSwappedRecorderIsLeftAlone(t *testing.T) {
	looptest.Root(t)
	one, two := newImage(t), newImage(t)
	r := recorder{Image: one, Name: looptest.Attach(t, one, "--read-only"), Mounts: t.TempDir()}
	r.Seq = looptest.Seq(t, r.Name)
	r.mount(t)
	t.Cleanup(func() {
		if err := storage.Clean(r.Mounts); err != nil {
			t.Error(err)
		}
	})
	e, p := newEraser(t, t.TempDir()), permitFor(t, "/DCIM/v.mp4", footage)
	if _, err := e.Erase(t.Context(), r.volume(), p); code(err) != handoff.CodeMedium || !strings.Contains(err.Error(), "medium gave an error") {
		t.Errorf("write-protected: %v", err)
	}
	if phase, _ := e.Journal.Look(p.Leaf); phase != erase.PhaseNone {
		t.Errorf("the journal says %q: should somebody remove the file, it would be counted as ours", phase)
	}
	e.Step = func(name string) {
		if name == "intent noted" {
			looptest.Change(t, r.Name, two)
		}
	}
	if _, err := e.Erase(t.Context(), r.volume(), p); code(err) != handoff.CodeNoDocking {
		t.Errorf("swapped: %v", err)
	}
	for _, image := range []string{one, two} {
		if names := looptest.Do(t, "debugfs", "-R", "ls -p /DCIM", image); !strings.Contains(names, "v.mp4") {
			t.Errorf("%s", names)
		}
	}
}

// TestErasingWhileItIsReadByTheAgent: whoever has the file open loses nothing of it, and the rest stays as it is.
func TestErasingWhileItIsReadByTheAgent(t *testing.T) {
	r := plugIn(t, newImage(t))
	reader, err := os.Open(filepath.Join(r.Mounts, "one/DCIM/v.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	e, p := newEraser(t, t.TempDir()), permitFor(t, "/DCIM/v.mp4", footage)
	if done, err := e.Erase(t.Context(), r.volume(), p); err != nil || done.Before {
		t.Errorf("%+v %v", done, err)
	}
	if err := os.WriteFile(filepath.Join(r.Mounts, "one/new"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
		t.Errorf("the agent's mount became writable: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	if _, err := e.Erase(t.Context(), r.volume(), permitFor(t, "/DCIM/w.mp4", other)); err != nil {
		t.Error(err)
	}
	r.pullOut(t)
	looptest.Do(t, "e2fsck", "-fn", r.Image)
}

// steps of an erasure, in order.
var steps = []string{"read", "intent noted", "writable", "unlinked", "removed", "done noted"}

// child is what the process that is killed does.
type child struct {
	Recorder  recorder
	State     string
	Step, Cut string
}

func TestMain(m *testing.M) {
	if raw := os.Getenv("CAMSEAL_TEST_ERASE"); raw != "" {
		var c child
		if err := json.Unmarshal([]byte(raw), &c); err != nil {
			panic(err)
		}
		c.run()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func (c child) run() {
	p, errP := makePermit("/DCIM/v.mp4", footage)
	j, errJ := erase.OpenJournal(c.State)
	if err := errors.Join(errP, errJ); err != nil {
		panic(err)
	}
	e := &erase.Eraser{Journal: j, Log: slog.Default()}
	e.Step = func(name string) {
		if name != c.Step {
			return
		}
		if out, err := exec.Command("cp", c.Recorder.Image, c.Cut).CombinedOutput(); err != nil { // what the medium holds now
			panic(string(out))
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
	}
	_, err := e.Erase(context.Background(), c.Recorder.volume(), p)
	panic(err)
}

// TestKilledAtEachStep kills the bridge between any two steps, and cuts the recorder's power at the same moment: once the recorder was
// plugged in again the same request gets its answer, the file is gone, and nothing else is. In the other half of the cases only the
// bridge was killed, and the recorder was never unplugged.
func TestKilledAtEachStep(t *testing.T) {
	for i, step := range steps {
		for _, cut := range []bool{true, false} {
			name := step
			if cut {
				name += ", power cut"
			}
			t.Run(name, func(t *testing.T) {
				r := plugIn(t, newImage(t))
				c := child{r, t.TempDir(), step, filepath.Join(t.TempDir(), "cut")}
				raw, err := json.Marshal(c)
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(os.Args[0], "-test.run=^$")
				cmd.Env = append(os.Environ(), "CAMSEAL_TEST_ERASE="+string(raw))
				out, err := cmd.CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("%v\n%s", err, out)
				}
				if cut {
					r.pullOut(t)
					r = switchedOn(t, c.Cut)
				} else {
					if err := storage.Clean(r.Mounts); err != nil {
						t.Fatal(err)
					}
					r.mount(t)
				}
				_, err = os.Stat(filepath.Join(r.Mounts, "one/DCIM/v.mp4"))
				gone := errors.Is(err, fs.ErrNotExist)
				if gone != (i >= 3) && !(step == "unlinked") { // unlinked, and not brought to the medium yet or just so: both are right
					t.Errorf("the file is gone: %v", gone)
				}
				p := permitFor(t, "/DCIM/v.mp4", footage)
				done, err := newEraser(t, c.State).Erase(t.Context(), r.volume(), p)
				if want := (handoff.Erased{Hash: evidence.Sum(footage), Permit: p.Leaf, Before: gone}); err != nil || done != want {
					t.Errorf("%+v %v", done, err)
				}
				if got, err := os.ReadFile(filepath.Join(r.Mounts, "one/DCIM/w.mp4")); err != nil || !bytes.Equal(got, other) {
					t.Errorf("the other file: %v", err)
				}
				if _, err := os.Stat(filepath.Join(r.Mounts, "one/DCIM/v.mp4")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the file: %v", err)
				}
				r.pullOut(t)
				looptest.Do(t, "e2fsck", "-fn", r.Image)
			})
		}
	}
}

// switchedOn is what a recorder does by itself after a power cut: its system works the journal off. Then it is plugged in.
func switchedOn(t *testing.T, image string) recorder {
	t.Helper()
	name, at := looptest.Attach(t, image), t.TempDir()
	looptest.Do(t, "mount", "/dev/"+name, at)
	looptest.Do(t, "umount", at)
	looptest.Pull(t, name)
	return plugIn(t, image)
}

func TestJournalForgetsFinishedOnesOnlyAndSurvivesHalfALine(t *testing.T) {
	dir := t.TempDir()
	e := newEraser(t, dir)
	at := filepath.Join(dir, "erased.jsonl")
	one, two, three := evidence.Digest{1}, evidence.Digest{2}, evidence.Digest{3}
	for _, n := range []struct {
		permit evidence.Digest
		phase  erase.Phase
	}{{one, erase.PhaseIntent}, {two, erase.PhaseIntent}, {two, erase.PhaseDone}, {three, erase.PhaseIntent}, {three, erase.PhaseNone}} {
		if err := e.Journal.Note(n.permit, evidence.Digest{9}, n.phase); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(at, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"permit":"0404`)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	j := newEraser(t, dir).Journal
	for permit, want := range map[evidence.Digest]erase.Phase{one: erase.PhaseIntent, two: erase.PhaseDone, three: erase.PhaseNone, {4}: erase.PhaseNone} {
		if got, hash := j.Look(permit); got != want || want != erase.PhaseNone && hash != (evidence.Digest{9}) {
			t.Errorf("%s: %s", permit, got)
		}
	}
	raw, err := os.ReadFile(at)
	if err != nil || bytes.Count(raw, []byte("\n")) != 2 {
		t.Errorf("it was not tidied up: %v\n%s", err, raw)
	}
	if err := os.WriteFile(at, append([]byte("rubbish\n"), raw...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := erase.OpenJournal(dir); err == nil || !strings.Contains(err.Error(), "line 1 can't be read") {
		t.Errorf("%v", err)
	}
}
