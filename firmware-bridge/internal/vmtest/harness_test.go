// Package vmtest_test runs camseal-bridge in a virtual dock, with USB storage that is plugged in and pulled out, and Debian's kernel drivers.
package vmtest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"camseal/firmware-bridge/internal/permit/permittest"
	"camseal/pkg/handoff"
	"camseal/scripts/dockvm"
	"camseal/scripts/dockvm/image"
	"camseal/scripts/freeport"
)

var (
	vm     *dockvm.VM
	bridge *client
)

func TestMain(m *testing.M) {
	code, err := withBridge(m)
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

// withBridge runs the tests with a dock in which a bridge runs.
func withBridge(m *testing.M) (code int, err error) {
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		fmt.Println("left out: these tests boot a VM")
		return 0, nil
	}
	dir, err := os.MkdirTemp("", "bridge-vm-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs := filepath.Join(dir, "programs")
	build := exec.Command("go", "build", "-o", filepath.Join(programs, "camseal-bridge"), "camseal/firmware-bridge")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build: %w\n%s", err, out)
	}
	address, port, err := freeport.New()
	if err != nil {
		return 1, err
	}
	vm, err = dockvm.Start(context.Background(), dockvm.Config{Dir: filepath.Join(dir, "dock"), Programs: programs, Forward: map[int]int{port: 7000}, Log: os.Stdout})
	if err != nil {
		return 1, err
	}
	defer vm.Kill()
	log, err := startBridge()
	if err != nil {
		return 1, err
	}
	if bridge, err = watch("http://" + address); err == nil {
		code = m.Run()
	}
	if code != 0 || err != nil {
		said, err := os.ReadFile(log)
		fmt.Printf("the bridge said:\n%s%v\n", said[max(0, len(said)-8000):], err)
	}
	return code, errors.Join(err, vm.Close())
}

// startBridge starts the bridge, and what carries the host's questions to its socket.
func startBridge() (log string, err error) {
	config := &strings.Builder{}
	fmt.Fprintf(config, "agent-user: \"1000\"\nerase: true\nlog-key: /dock/log.vkey\nlock: [folder]\nslots:\n")
	for slot, port := range vm.Ports() {
		fmt.Fprintf(config, "  %q: %q\n", slot, port)
	}
	for name, text := range map[string]string{"bridge.yaml": config.String(), "log.vkey": permittest.Log().VKey + "\n"} {
		if err := os.WriteFile(vm.Path(name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	p, err := vm.Start("bridge", "camseal-bridge", "--config", "/dock/bridge.yaml", "run")
	if err != nil {
		return "", err
	}
	_, err = vm.Start("relay", "socat", "TCP-LISTEN:7000,fork,reuseaddr", "UNIX-CONNECT:/run/camseal/bridge.sock")
	return p.Log, err
}

// client speaks handoff with the bridge, and remembers every docking that it was told.
type client struct {
	url string

	mu       sync.Mutex
	told     []handoff.Docking // all that was ever told, in order
	now      map[string]handoff.Docking
	err      error
	received chan struct{} // closed, and made anew, with each
}

// watch begins to remember, once the bridge answers.
func watch(url string) (*client, error) {
	c := &client{url: url, now: map[string]handoff.Docking{}, received: make(chan struct{})}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(60 * time.Second); ; {
		answer, err := http.Get(url + "/v1/dockings")
		if err == nil {
			go c.read(answer.Body)
			return c, nil
		}
		select {
		case <-tick.C:
		case <-limit:
			return nil, fmt.Errorf("the bridge does not answer: %w", err)
		}
	}
}

func (c *client) read(body io.ReadCloser) {
	defer body.Close()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var d handoff.Docking
		err := json.Unmarshal(lines.Bytes(), &d)
		c.mu.Lock()
		c.err = errors.Join(c.err, err)
		c.told, c.now[d.ID] = append(c.told, d), d
		close(c.received)
		c.received = make(chan struct{})
		c.mu.Unlock()
	}
}

// find returns the newest docking as it stands for which ok holds.
func (c *client) find(ok func(handoff.Docking) bool) (d handoff.Docking, found bool, changed chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.told) - 1; i >= 0; i-- {
		if d := c.now[c.told[i].ID]; ok(d) {
			return d, true, nil, c.err
		}
	}
	return d, false, c.received, c.err
}

// next is closed when the next docking is told.
func (c *client) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.received
}

// await waits for a docking.
func await(t *testing.T, what string, ok func(handoff.Docking) bool) handoff.Docking {
	t.Helper()
	for limit := time.After(45 * time.Second); ; {
		d, found, changed, err := bridge.find(ok)
		if err != nil {
			t.Fatal(err)
		}
		if found {
			return d
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("waited 45 s for: %s", what)
		}
	}
}

// ready waits for the recorder with this serial number.
func ready(t *testing.T, slot int, serial string) handoff.Docking {
	t.Helper()
	return await(t, serial+" is ready", func(d handoff.Docking) bool {
		return d.Serial == serial && d.State == handoff.StateReady && d.Slot == fmt.Sprint(slot)
	})
}

// files lists a docking's files, which must end as handoff has it.
func files(t *testing.T, d handoff.Docking) map[string]handoff.File {
	t.Helper()
	answer, err := http.Get(bridge.url + "/v1/dockings/" + d.ID + "/files")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	all := map[string]handoff.File{}
	for dec := json.NewDecoder(answer.Body); ; {
		var f handoff.File
		if err := dec.Decode(&f); err != nil {
			t.Fatalf("status %d, after %d files: %v", answer.StatusCode, len(all), err)
		}
		if f.End {
			return all
		}
		all[string(f.Path)] = f
	}
}

// erase asks for an erasure.
func erase(t *testing.T, request []byte) (handoff.Erased, *handoff.Error) {
	t.Helper()
	answer, err := http.Post(bridge.url+"/v1/erase", "application/jsonl", bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var done handoff.Erased
	refusal := new(handoff.Error)
	if answer.StatusCode == http.StatusOK {
		refusal, err = nil, json.Unmarshal(body, &done)
	} else {
		err = json.Unmarshal(body, refusal)
	}
	if err != nil {
		t.Fatalf("%d: %v: %s", answer.StatusCode, err, body)
	}
	return done, refusal
}

// sh runs a script in the dock.
func sh(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := try(script, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func try(script string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := vm.Run(ctx, append([]string{"busybox", "sh", "-ec", script, "sh"}, args...)...)
	return string(out), err
}

// medium makes an image.
func medium(t *testing.T, v image.Volume) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := image.Make(t.Context(), path, v); err != nil {
		t.Fatal(err)
	}
	return path
}

// plug plugs a recorder in, until the test ends or unplugs it.
func plug(t *testing.T, slot int, r dockvm.Recorder) {
	t.Helper()
	if err := vm.PlugRecorder(slot, r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vm.Unplug(slot) }) // the test may have done so
}

// unplug pulls a recorder out, and waits until the bridge says so.
func unplug(t *testing.T, slot int) {
	t.Helper()
	if err := vm.Unplug(slot); err != nil {
		t.Fatal(err)
	}
	for limit := time.After(45 * time.Second); ; {
		next := bridge.next()
		_, there, _, err := bridge.find(func(d handoff.Docking) bool { return d.Slot == fmt.Sprint(slot) && d.State != handoff.StateGone })
		if err != nil {
			t.Fatal(err)
		}
		if !there {
			return
		}
		select {
		case <-next:
		case <-limit:
			t.Fatalf("waited 45 s for slot %d to be empty", slot)
		}
	}
}
