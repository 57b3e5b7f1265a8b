package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/scripts/camera/recorder"
	"camseal/scripts/crashfs"
)

// powered is a system whose disks forget, when the power goes, whatever was not synced. The recorder's keeps no name without an fsync of the
// file or its folder; the server's keeps a journal, as ext4 and xfs do: the log's storage rests on that.
type powered struct {
	*system
	disk, servers *crashfs.FS
	tpm           *process
}

func newPowered(t *testing.T) *powered {
	t.Helper()
	mount := func(journal bool) (*crashfs.FS, string) {
		dir := t.TempDir()
		disk, err := crashfs.New(dir, journal)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := disk.Close(); err != nil {
				t.Error(err)
			}
		})
		return disk, dir
	}
	p := &powered{}
	var dir, agents string
	p.servers, dir = mount(true)
	p.disk, agents = mount(false)
	p.system, p.tpm = newSystemAt(t, dir, agents, t.TempDir())
	return p
}

// cut waits for the power to go, kills everything, and brings up disk, TPM and server again.
func (p *powered) cut(others ...*process) {
	p.t.Helper()
	p.disk.Cut()
	p.servers.Cut()
	for _, o := range append(others, p.server, p.tpm) {
		o.kill()
	}
	if err := errors.Join(p.disk.Restore(), p.servers.Restore()); err != nil {
		p.t.Fatal(err)
	}
	_, p.tpm = powerTPM(p.t, p.tpmDir)
	p.startServer()
}

// TestPowerCutDuringImport cuts the power of everything at seeded changes of the disk; afterwards all goes on, and nothing is lost.
func TestPowerCutDuringImport(t *testing.T) {
	t.Parallel()
	p := newPowered(t)
	files := crashFiles(p.system)
	random := rand.New(rand.NewPCG(6, 1))
	for i := range seeds() {
		disk := p.disk
		if i%2 == 1 {
			disk = p.servers
		}
		gone := disk.CutAt(disk.Steps() + 1 + random.Int64N(1500))
		agent := start(t, "camseal-agent", p.importing()...)
		select {
		case <-gone:
		case <-agent.done:
		case <-time.After(time.Minute):
			t.Fatalf("neither cut nor done\n%s", &agent.out)
		}
		p.cut(agent)
		name := fmt.Sprintf("more%d.mp4", i)
		p.film(filepath.Base(name), 900_000)
		files[name] = footage(name, 900_000)
	}
	mustRun(t, "camseal-agent", p.importing()...)
	p.allSound(files)
}

// capturing starts an agent that records a camera from its start on.
func (p *powered) capturing(camera, segment string) (agent *process, control string) {
	p.t.Helper()
	control = freeAddress(p.t)
	agent = start(p.t, "camseal-agent", p.agent("run", "--recorder", "LIVE-0001", "--camera", camera, "--capture-listen", control, "--capture-always", "--segment", segment,
		"--pre-event", "2s", "--speech", "none", "--no-live")...)
	return agent, control
}

// agentSays asks a running agent for its status; ok is false if it does not answer.
func (s *system) agentSays() (st agentState, ok bool) {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.agentDir, "agent.sock"))
	}}}
	resp, err := c.Get("http://agent/status")
	if err != nil {
		return st, false
	}
	defer resp.Body.Close()
	return st, json.NewDecoder(resp.Body).Decode(&st) == nil
}

type agentState struct {
	Spool struct{ Statements, Sealed, Recordings, Stored, Forks uint64 }
}

// TestPowerCutWhileCapturing cuts the power of everything at seeded moments while a camera is being recorded. Afterwards nothing that was sealed
// is lost, every recording ends, and none is wrong.
func TestPowerCutWhileCapturing(t *testing.T) {
	t.Parallel()
	camera, err := recorder.Start(t.Context(), recorder.Config{Size: "320x240", Bitrate: "300k", GOP: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := camera.Close(); err != nil {
			t.Error(err)
		}
	}()
	n := 10
	if os.Getenv("CAMSEAL_TEST") == "long" {
		n = 200
	}
	p := newPowered(t)
	random := rand.New(rand.NewPCG(6, 2))
	var sealed uint64
	for i := range n {
		disk := p.disk
		if i%3 == 2 {
			disk = p.servers
		}
		gone := disk.CutAt(disk.Steps() + 1 + random.Int64N(500))
		agent, _ := p.capturing(camera.URL(), []string{"500ms", "3s"}[i%2])
		sealed = p.watchSealed(agent, gone, time.Duration(2000+random.Int64N(4000))*time.Millisecond, sealed)
		p.cut(agent)
	}
	agent, control := p.capturing(camera.URL(), "500ms")
	eventually(t, "the agent to record again", func() bool {
		resp, err := http.Get("http://" + control + "/state")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var now struct{ Segments uint64 }
		return json.NewDecoder(resp.Body).Decode(&now) == nil && now.Segments > 3
	})
	last, ok := p.agentSays()
	if !ok {
		t.Fatalf("the agent does not answer\n%s", &agent.out)
	}
	if last.Spool.Statements < sealed || last.Spool.Forks != 0 {
		t.Errorf("%d statements were sealed, now there are %d; forks: %d", sealed, last.Spool.Statements, last.Spool.Forks)
	}
	resp, err := http.Post("http://"+control+"/stop", "application/json", strings.NewReader("{}"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("stop: %v %v\n%s", resp, err, &agent.out)
	}
	_ = resp.Body.Close()
	eventually(t, "everything to be stored", func() bool {
		st, ok := p.agentSays()
		return ok && st.Spool.Recordings > 0 && st.Spool.Stored == st.Spool.Recordings
	})
	p.allEnded()
}

// watchSealed notes how much is sealed until the power goes, and cuts it after a while if it does not.
func (p *powered) watchSealed(agent *process, gone <-chan struct{}, longest time.Duration, sealed uint64) uint64 {
	p.t.Helper()
	tick, late := time.NewTicker(50*time.Millisecond), time.After(longest)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			return sealed
		case <-late:
			return sealed
		case <-agent.done:
			p.t.Fatalf("the agent ended: %v\n%s", agent.err, &agent.out)
		case <-tick.C:
			st, ok := p.agentSays()
			if !ok {
				continue
			}
			if st.Spool.Statements < sealed || st.Spool.Forks != 0 {
				p.t.Fatalf("%d statements were sealed, now there are %d; forks: %d\n%s", sealed, st.Spool.Statements, st.Spool.Forks, &agent.out)
			}
			sealed = max(sealed, st.Spool.Sealed)
		}
	}
}

// allEnded checks that every recording has ended, that none is wrong or lacks a chunk, and that its exhibit can be played.
func (p *powered) allEnded() {
	p.t.Helper()
	list, trust := p.recordings(), p.trust()
	why, partial := map[string]int{}, 0
	for _, r := range list {
		why[r.Why]++
		if strings.HasSuffix(r.Name, ".partial.mp4") {
			partial++
		}
		bundle := p.export(r.Rec)
		code, out := run(p.t, "camseal-verify", "--trust", trust, bundle)
		if r.Why == "" || code != 0 && code != 4 || strings.Contains(out, "declared lost") {
			p.t.Errorf("%s ended by %q, exit %d:\n%s", r.Name, r.Why, code, out)
			continue
		}
		exhibit := original(p.t, bundle)
		if r.Why == evidence.WhyInterrupted && !bytes.Contains(exhibit, []byte("moof")) {
			continue // the power went before its first segment: there is nothing to decode
		}
		film := filepath.Join(p.t.TempDir(), "film.mp4")
		if err := os.WriteFile(film, exhibit, 0o600); err != nil {
			p.t.Fatal(err)
		}
		if said := mustRun(p.t, "ffmpeg", "-v", "error", "-i", film, "-f", "null", "-"); said != "" {
			p.t.Errorf("%s (%s) does not play: %s", r.Name, r.Why, said)
		}
	}
	p.t.Logf("%d recordings, %d of a segment that was under way: %v", len(list), partial, why)
	if why["interrupted"] == 0 {
		p.t.Error("no recording was interrupted: the test cuts nothing")
	}
}
