package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"camseal/scripts/kiosk"
)

// station is a dock: an agent of a system's server with a bridge of its own, and loop devices in the place of USB storage.
type station struct {
	*system
	dir     string
	state   string // the agent's
	tpm     string
	kiosk   string // address
	flags   []string
	erase   bool
	loops   map[string]string // by slot
	bridge  *process
	running *process
}

const officersRegister = `departments: [Market Supervision Bureau, 市场监督管理局]
officers:
  - {name: Li Wei, certificate: "110041", valid_until: 2099-12-31, department: Market Supervision Bureau, number: "011314", card: "0004829913", pin: 48291735}
  - {name: Wang Fang, certificate: "110042", valid_until: 2020-01-31, department: Market Supervision Bureau, pin: 48291736}
causes: [unlicensed sale, food safety inspection]
places: [East Market, River Street]
activities: [on-site inspection]
`

// newStation makes a dock of this server's. The first one of a system uses the system's own agent.
func (s *system) newStation(name string, erase bool, flags ...string) *station {
	s.t.Helper()
	d := &station{system: s, dir: s.t.TempDir(), state: s.agentDir, tpm: s.agentTPM, kiosk: freeAddress(s.t), erase: erase, flags: flags, loops: map[string]string{}}
	if name != "" {
		d.state, d.tpm = filepath.Join(d.dir, "agent"), "swtpm:"+startTPM(s.t, filepath.Join(d.dir, "tpm"))
		mustRun(s.t, "camseal-agent", d.command("enrol", "--token", s.token())...)
	}
	s.t.Cleanup(func() {
		mounted, err := filepath.Glob(filepath.Join(d.dir, "mounts", "*"))
		if err != nil {
			s.t.Error(err)
		}
		for _, m := range mounted { // of a bridge that was killed
			_ = syscall.Unmount(m, syscall.MNT_DETACH)
		}
		for _, loop := range d.loops {
			_ = exec.Command("blockdev", "--setrw", loop).Run() // a bridge that was killed left it read-only
			_ = exec.Command("losetup", "-d", loop).Run()       // may be gone
		}
	})
	return d
}

// command is the command line of the dock's agent.
func (d *station) command(name string, more ...string) []string {
	return append([]string{name, "--state", d.state, "--tpm", d.tpm, "--log-key", d.path("server/log.vkey"),
		"--server", "https://" + d.via, "--ca", d.path("server/ca.pem")}, more...)
}

// start starts bridge and agent. Slots are loop devices that are empty until something is docked.
func (d *station) start(slots ...string) {
	d.t.Helper()
	for _, slot := range slots {
		d.loops[slot] = freeLoop(d.t)
	}
	d.startBridge()
	d.startAgent()
}

func (d *station) startBridge() {
	d.t.Helper()
	args := []string{"run", "--socket", d.socket(), "--mounts", filepath.Join(d.dir, "mounts"), "--state", filepath.Join(d.dir, "bridge"), "--agent-user", "root"}
	for slot, loop := range d.loops {
		args = append(args, "--slots", slot+"="+filepath.Base(loop)+",no-such-port-"+slot) // a slot may have two ports
	}
	if d.erase {
		args = append(args, "--erase", "--log-key", d.path("server/log.vkey"))
	}
	d.bridge = start(d.t, "camseal-bridge", args...)
	bridge := d.bridge
	eventually(d.t, "the bridge", func() bool {
		select {
		case <-bridge.done:
			d.t.Fatalf("the bridge ended: %v\n%s", bridge.err, &bridge.out)
		default:
		}
		_, err := os.Stat(d.socket())
		return err == nil
	})
}

func (d *station) socket() string { return filepath.Join(d.dir, "b.sock") }

func (d *station) startAgent() {
	d.t.Helper()
	d.running = start(d.t, "camseal-agent", d.command("run", append([]string{"--bridges", d.socket(), "--slots", "1,2,3", "--kiosk", d.kiosk, "--lang", "en",
		"--chunk-size", "64KiB"}, d.flags...)...)...)
	agent := d.running
	eventually(d.t, "the agent", func() bool {
		select {
		case <-agent.done:
			d.t.Fatalf("the agent ended: %v\n%s", agent.err, &agent.out)
		default:
		}
		resp, err := http.Get("http://" + d.kiosk + "/")
		return err == nil && resp.Body.Close() == nil
	})
}

// freeLoop finds a loop device that nothing uses.
func freeLoop(t *testing.T) string {
	t.Helper()
	loop := strings.TrimSpace(mustRun(t, "losetup", "--find"))
	// Held by an empty file until it is wanted, so that nobody else takes it.
	hold := filepath.Join(t.TempDir(), "hold")
	if err := os.WriteFile(hold, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "losetup", loop, hold)
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", loop).Run() }) // may be gone
	return loop
}

// dock plugs an image into a slot.
func (d *station) dock(slot, image string) {
	d.t.Helper()
	eventually(d.t, "slot "+slot+" to be free", func() bool {
		_ = exec.Command("losetup", "-d", d.loops[slot]).Run()
		return exec.Command("losetup", d.loops[slot], image).Run() == nil
	})
}

// pull pulls out what is in a slot. A loop device that is mounted goes only with its mount.
func (d *station) pull(slot string) {
	d.t.Helper()
	mustRun(d.t, "losetup", "-d", d.loops[slot])
	eventually(d.t, "slot "+slot+" empty", func() bool { return d.tile(slot).State == "empty" })
}

// makeImage makes a recorder's storage: ext4 with these files, since this kernel has no FAT. FAT, exFAT and real pull-outs are in the virtual dock's tests.
func makeImage(t *testing.T, uuid string, files map[string][]byte) string {
	t.Helper()
	from, image := t.TempDir(), filepath.Join(t.TempDir(), "recorder.img")
	size := int64(16 << 20)
	for name, content := range files {
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		size += int64(len(content)) * 5 / 4
	}
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "mkfs.ext4", "-q", "-U", uuid, "-d", from, image)
	return image
}

// tile is one slot as the agent's status shows it.
type tile struct {
	Slot     string `json:"slot"`
	State    string `json:"state"`
	Files    int    `json:"files"`
	Done     int    `json:"done"`
	Read     uint64 `json:"read"`
	Stored   int    `json:"stored"`
	Released int    `json:"released"`
	Headers  int    `json:"headers"`
	Kept     int    `json:"kept"`
	Fault    string `json:"fault"`
}

func (d *station) tile(slot string) tile {
	d.t.Helper()
	var st struct {
		Dock struct {
			Tiles []tile `json:"tiles"`
		} `json:"dock"`
	}
	out := mustRun(d.t, "camseal-agent", d.command("status", "--json")...)
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	for _, t := range st.Dock.Tiles {
		if t.Slot == slot {
			return t
		}
	}
	return tile{}
}

// until waits until a slot's tile is as wanted.
func (d *station) until(slot, what string, holds func(tile) bool) tile {
	d.t.Helper()
	var last tile
	defer func() {
		if d.t.Failed() {
			d.t.Logf("slot %s is %+v\nbridge: %s\nagent: %s", slot, last, &d.bridge.out, &d.running.out)
		}
	}()
	eventually(d.t, "slot "+slot+": "+what, func() bool {
		last = d.tile(slot)
		return holds(last)
	})
	return last
}

// signIn signs an officer in by card.
func (d *station) signIn() *kiosk.Officer {
	d.t.Helper()
	o, err := kiosk.New("http://" + d.kiosk)
	if err != nil {
		d.t.Fatal(err)
	}
	eventually(d.t, "the register at the dock", func() bool {
		ok, err := o.SignIn(d.t.Context(), "0004829913")
		return err == nil && ok
	})
	return o
}

// typed is a header that an officer types.
var typed = url.Values{"department": {"Market Supervision Bureau"}, "officer": {"Li Wei"}, "certificate": {"110041"},
	"cause": {"unlicensed sale"}, "time": {"2026-11-20 09:00"}, "place": {"East Market"}}

// catalogued is one recording with what the catalog says of it.
type catalogued struct {
	Rec      string `json:"rec"`
	Device   string `json:"device"`
	Name     string `json:"name"`
	State    string `json:"state"`
	Original string `json:"original"`
	Released bool   `json:"released"`
}

func (s *system) catalogue() (list []catalogued) {
	s.t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(mustRun(s.t, "camseal-server", s.serverCommand("recordings", "--json")...)), "\n") {
		if line == "" {
			continue
		}
		var c catalogued
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			s.t.Fatalf("%v: %s", err, line)
		}
		list = append(list, c)
	}
	return list
}

// setRegister brings the officers' register into force.
func (s *system) setRegister() {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "register.yaml")
	if err := os.WriteFile(file, []byte(officersRegister), 0o600); err != nil {
		s.t.Fatal(err)
	}
	mustRun(s.t, "camseal-server", s.serverCommand("register", "set", file)...)
}

// content is what a file in an image holds, read with e2fsprogs and not with the kernel; nil: it is not there.
func content(t *testing.T, image, path string) []byte {
	t.Helper()
	to := filepath.Join(t.TempDir(), strconv.Itoa(len(path)))
	mustRun(t, "debugfs", "-R", fmt.Sprintf("dump -p %s %s", path, to), image)
	raw, err := os.ReadFile(to)
	if err != nil || len(raw) == 0 {
		return nil
	}
	return raw
}
