package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"camseal/firmware-bridge/internal/permit/permittest"
	"camseal/firmware-bridge/internal/storage"
	"camseal/firmware-bridge/internal/storage/looptest"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// TestMain also plays the bridge as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("CAMSEAL_TEST_BRIDGE") != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

const agentUID = 1234

// site is a bridge as a process of its own, with one slot.
type site struct {
	t                     *testing.T
	dir, config, loop     string
	socket, mounts, state string
	cmd                   *exec.Cmd
	client                *http.Client
}

func newSite(t *testing.T, more string) *site {
	t.Helper()
	looptest.Root(t)
	dir, err := os.MkdirTemp("", "camseal-bridge-test-") // not t.TempDir(): other users must get in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, dir: dir, config: filepath.Join(dir, "bridge.yaml"), loop: looptest.Free(t), socket: filepath.Join(dir, "s"), mounts: filepath.Join(dir, "m"), state: filepath.Join(dir, "j")}
	yaml := fmt.Sprintf("socket: %s\nmounts: %s\nstate: %s\nagent-user: %d\nrescan: 100ms\nslots: {\"3\": %s}\n%s", s.socket, s.mounts, s.state, agentUID, s.loop, more)
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(s.config, []byte(yaml), 0o600)); err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	t.Cleanup(func() {
		s.kill(syscall.SIGTERM)
		if err := storage.Clean(s.mounts); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	return s
}

func (s *site) start() {
	s.t.Helper()
	s.cmd = exec.Command("setpriv", append(s.unitsRights(), os.Args[0], "run", "--config", s.config)...)
	s.cmd.Env = append(os.Environ(), "CAMSEAL_TEST_BRIDGE=1")
	s.cmd.Stderr = s.t.Output()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// unitsRights makes setpriv(1) leave root no more than the systemd unit does.
func (s *site) unitsRights() []string {
	s.t.Helper()
	raw, err := os.ReadFile("../../../deploy/systemd/camseal-bridge.service")
	if err != nil {
		s.t.Fatal(err)
	}
	_, set, ok := strings.Cut(string(raw), "\nCapabilityBoundingSet=")
	if !ok {
		s.t.Fatal("the unit bounds no capabilities")
	}
	set, _, _ = strings.Cut(set, "\n")
	return []string{"--no-new-privs", "--bounding-set", "-all,+" + strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(set, "CAP_", ""), " ", ",+"))}
}

func (s *site) kill(sig syscall.Signal) {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Error(err)
	}
	if err := s.cmd.Wait(); sig == syscall.SIGTERM && err != nil {
		s.t.Errorf("ended with %v", err)
	}
	s.cmd = nil
}

// ready waits for a docking that is ready.
func (s *site) ready() handoff.Docking {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://bridge/v1/dockings", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		resp, err := s.client.Do(req)
		if err != nil { // it does not listen yet
			<-time.After(20 * time.Millisecond)
			continue
		}
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			var d handoff.Docking
			if len(lines.Bytes()) == 0 {
				continue
			}
			if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
				s.t.Fatal(err)
			}
			if d.State == handoff.StateReady {
				return d
			}
		}
	}
	s.t.Fatal("no docking became ready")
	return handoff.Docking{}
}

func (s *site) erase(request []byte) (handoff.Erased, *handoff.Error) {
	s.t.Helper()
	resp, err := s.client.Post("http://bridge/v1/erase", "application/jsonl", bytes.NewReader(request))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var done handoff.Erased
	var refused handoff.Error
	if resp.StatusCode == http.StatusOK {
		err = json.NewDecoder(resp.Body).Decode(&done)
	} else {
		err = json.NewDecoder(resp.Body).Decode(&refused)
	}
	if err != nil || resp.StatusCode != http.StatusOK && refused.Status != resp.StatusCode {
		s.t.Fatalf("%d: %+v %v", resp.StatusCode, refused, err)
	}
	return done, &refused
}

const volume = "11111111-1111-4111-8111-111111111111"

var footage = bytes.Repeat([]byte("one frame after another "), 9_000)

func image(t *testing.T) string {
	tree := looptest.Tree(t, map[string][]byte{"DCIM/v.mp4": footage, "DCIM/w.mp4": []byte("more"), "root/secret.mp4": []byte("for root alone"), "other": []byte("somebody's")})
	if err := errors.Join(os.Chmod(filepath.Join(tree, "root/secret.mp4"), 0o600), os.Chmod(filepath.Join(tree, "root"), 0o700), os.Chown(filepath.Join(tree, "other"), agentUID, 5)); err != nil {
		t.Fatal(err)
	}
	return looptest.Image(t, tree, volume)
}

// TestKilledWhileMounted kills the bridge with a recorder plugged in and a file of it open. The next one takes the old mount away and shows the same
// recorder as another docking, once the file is closed.
func TestKilledWhileMounted(t *testing.T) {
	s := newSite(t, "")
	looptest.Plug(t, s.loop, image(t))
	s.start()
	before := s.ready()
	open, err := os.Open(filepath.Join(string(before.Root), "DCIM/v.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	s.kill(syscall.SIGKILL)
	if _, err := os.Stat(filepath.Join(string(before.Root), "DCIM")); err != nil {
		t.Fatalf("the mount is not there any more, so this test shows nothing: %v", err)
	}
	s.start()
	for range 200 {
		if _, err := os.Stat(string(before.Root)); errors.Is(err, os.ErrNotExist) {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	if err := open.Close(); err != nil {
		t.Error(err)
	}
	after := s.ready()
	if after.ID == before.ID || after.Volume != before.Volume {
		t.Errorf("%+v", after)
	}
	mounts, err := storage.Mounts()
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, m := range mounts {
		if filepath.Dir(m.At) == s.mounts {
			ours = append(ours, m.At)
		}
	}
	if len(ours) != 1 || ours[0] != string(after.Root) {
		t.Errorf("mounted: %v", ours)
	}
	s.kill(syscall.SIGTERM)
	if left, err := os.ReadDir(s.mounts); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestEraseOverTheSocket goes the whole way of a permit.
func TestEraseOverTheSocket(t *testing.T) {
	key := filepath.Join(t.TempDir(), "log.vkey")
	if err := os.WriteFile(key, []byte(permittest.Log().VKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "erase: true\nlock: [folder]\nlog-key: "+key+"\n")
	looptest.Plug(t, s.loop, image(t))
	s.start()
	d := s.ready()
	if !d.Erases {
		t.Errorf("%+v", d)
	}
	request := func(content []byte, until time.Duration) []byte {
		spec := permittest.Spec{Content: content, Source: evidence.Source{Volume: volume}, Leaf: func(l *evidence.Stored) { l.Until = time.Now().Add(until).UnixMilli() }}
		spec.Source.SetPath([]byte("/DCIM/v.mp4"), []byte("v.mp4"))
		request, _ := permittest.Request(spec)
		return request
	}
	const day = 24 * time.Hour
	if _, refused := s.erase(request(footage, 29*day)); refused.Code != handoff.CodeBadPermit {
		t.Errorf("too short: %+v", refused)
	}
	if _, refused := s.erase(request(append([]byte("x"), footage[1:]...), 31*day)); refused.Code != handoff.CodeChanged {
		t.Errorf("other bytes: %+v", refused)
	}
	good := request(footage, 31*day)
	done, refused := s.erase(good) // from a folder that the recorder's root owns
	if done.Hash != evidence.Sum(footage) || done.Before {
		t.Fatalf("%+v %+v", done, refused)
	}
	s.kill(syscall.SIGKILL)
	s.start()
	s.ready()
	if again, refused := s.erase(good); again.Hash != done.Hash || again.Permit != done.Permit || !again.Before {
		t.Errorf("%+v %+v", again, refused)
	}
}

func TestBridgeErasesNothingByDefault(t *testing.T) {
	s := newSite(t, "")
	looptest.Plug(t, s.loop, image(t))
	s.start()
	if d := s.ready(); d.Erases {
		t.Errorf("%+v", d)
	}
	request, _ := permittest.Request(permittest.Spec{Content: footage})
	if _, refused := s.erase(request); refused.Code != handoff.CodeNotAllowed || refused.Status != http.StatusForbidden {
		t.Errorf("%+v", refused)
	}
}

// TestOnlyRootAndTheAgentGetIn tries socket and mounts as the agent's user and as another one. The socket turns strangers away even when its mode
// would let them in.
func TestOnlyRootAndTheAgentGetIn(t *testing.T) {
	s := newSite(t, "")
	looptest.Plug(t, s.loop, image(t))
	s.start()
	d := s.ready()
	as := func(uid uint32, name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = "/"
		cmd.Stdin = strings.NewReader("GET /v1/dockings/x/files HTTP/1.0\r\n\r\n")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	file := filepath.Join(string(d.Root), "DCIM/w.mp4")
	if out, err := as(agentUID, "cat", file); err != nil || out != "more" {
		t.Errorf("agent: %q %v", out, err)
	}
	if out, err := as(agentUID, "cat", filepath.Join(string(d.Root), "root/secret.mp4")); err != nil || out != "for root alone" {
		t.Errorf("agent, a file of the recorder's root: %q %v", out, err)
	}
	if out, err := as(agentUID, "touch", file); err == nil || !strings.Contains(out, "Read-only") {
		t.Errorf("agent, writing: %q %v", out, err)
	}
	if out, err := as(4321, "cat", file); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("stranger: %q %v", out, err)
	}
	if out, err := as(agentUID, "socat", "-t5", "-", "UNIX-CONNECT:"+s.socket); err != nil || !strings.Contains(out, "no-docking") {
		t.Errorf("agent: %q %v", out, err)
	}
	if out, err := as(4321, "socat", "-t5", "-", "UNIX-CONNECT:"+s.socket); err == nil || strings.Contains(out, "no-docking") {
		t.Errorf("stranger: %q %v", out, err)
	}
	if err := os.Chmod(s.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, _ := as(4321, "socat", "-t5", "-", "UNIX-CONNECT:"+s.socket); strings.Contains(out, "HTTP") {
		t.Errorf("stranger, through an open mode: %q", out)
	}
}

func TestTwoBridgesOnOneFolder(t *testing.T) {
	s := newSite(t, "")
	looptest.Plug(t, s.loop, image(t))
	s.start()
	s.ready()
	var out bytes.Buffer
	if code := Main([]string{"run", "--config", s.config}, io.Discard, &out); code != exitFault || !strings.Contains(out.String(), "another bridge") {
		t.Errorf("%d %s", code, &out)
	}
	s.ready() // the first one did not notice
}

func TestConfigurationIsRefusedWithAReason(t *testing.T) {
	looptest.Root(t)
	dir := t.TempDir()
	base := fmt.Sprintf("socket: %[1]s/s\nmounts: %[1]s/m\nstate: %[1]s/j\n", dir)
	for config, says := range map[string]string{
		"erase-everything: true":                                    `no key "erase-everything"`,
		"agent-user: nobody-of-this-name":                           "there is no user",
		"agent-user: root\nerase: true":                             "without log-key no permit can be checked",
		"agent-user: root\nerase: true\nlog-key: " + dir + "/none":  "no such file",
		"agent-user: root\nerase: true\nlog-key: /etc/hostname":     "log-key /etc/hostname",
		"agent-user: root\nslots: {\"1\": 1-1, \"2\": 1-1}":         `both the port "1-1"`,
		"agent-user: root\nslots: {\"1\": \"1-1,2-1\", \"2\": 2-1}": `both the port "2-1"`,
		"agent-user: root\ncontrols: {\"9\": /dev/ttyACM0}":         `no slot "9"`,
		"agent-user: root\nwitness-quorum: 1":                       "1 of 0 witnesses",
		"agent-user: root\nlock: [paper]":                           "neither compliance nor folder",
		"agent-user: root\nrescan: 0s":                              "rescan",
		"agent-user: root\nerase-days: -1":                          "erase-days",
		"agent-user: root\nprofiles: " + dir + "/none":              "profiles",
		"agent-user: root\nmounts: relative":                        "absolute paths",
	} {
		at := filepath.Join(dir, "bridge.yaml")
		text := base
		if strings.Contains(config, "mounts:") {
			text = ""
		}
		if err := os.WriteFile(at, []byte(text+config+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if code := Main([]string{"run", "--config", at}, io.Discard, &out); code != exitUsage || !strings.Contains(out.String(), says) {
			t.Errorf("%s: %d %s", config, code, &out)
		}
	}
}

// TestCommentedConfigurationIsTheDefault holds deploy/bridge.yaml: every key stands there, as a comment, with its default.
func TestCommentedConfigurationIsTheDefault(t *testing.T) {
	raw, err := os.ReadFile("../../../deploy/bridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := Main([]string{"--help"}, &out, io.Discard); code != exitOK {
		t.Fatal(code)
	}
	for _, line := range strings.Split(out.String(), "\n") {
		_, flag, ok := strings.Cut(line, "--")
		name := strings.FieldsFunc(flag, func(r rune) bool { return r == '=' || r == ' ' || r == '[' })
		if !ok || !strings.Contains(line, "  --") || len(name) == 0 || name[0] == "help" || name[0] == "config" {
			continue
		}
		if !strings.Contains(string(raw), "\n#"+name[0]+": ") {
			t.Errorf("%s is not in bridge.yaml", name[0])
		}
	}
}
