package app

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
	"camseal/server/internal/ledger"
)

// With these set, the test binary is a server that kills itself: at the nth time that a durable step is done, or never.
const (
	envState = "CAMSEAL_TEST_STATE"
	envStep  = "CAMSEAL_TEST_STEP"
	envTimes = "CAMSEAL_TEST_TIMES"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envState); dir != "" {
		os.Exit(serveUntilKilled(dir))
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // the tests wait for checkpoints more than they compute
		panic(err)
	}
	os.Exit(m.Run())
}

func serveUntilKilled(dir string) int {
	var times int64
	_, _ = fmt.Sscan(os.Getenv(envTimes), &times)
	var count atomic.Int64
	testSteps = func(step string) {
		if step == os.Getenv(envStep) && count.Add(1) == times {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	e := &env{ctx: context.Background(), settings: testSettings(dir), out: os.Stdout, now: time.Now, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if err := (runCommand{}).Run(e); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// victim is a server process that may be killed and started again.
type victim struct {
	t     *testing.T
	rig   *rig
	cmd   *exec.Cmd
	step  string
	times int
	kills int

	moment func() time.Duration // not nil: killed that long after its start, at most maxKills times
}

const maxKills = 5

func (v *victim) start() {
	v.t.Helper()
	v.cmd = exec.Command(os.Args[0])
	v.cmd.Env = append(os.Environ(), envState+"="+v.rig.env.settings.State, envStep+"="+v.step, fmt.Sprintf("%s=%d", envTimes, v.times))
	out, err := v.cmd.StdoutPipe()
	check(v.t, err)
	v.cmd.Stderr = &syncWriter{w: &v.rig.log}
	check(v.t, v.cmd.Start())
	v.rig.agents = ""
	if v.moment != nil && v.kills < maxKills {
		cmd := v.cmd
		time.AfterFunc(v.moment(), func() { _ = cmd.Process.Kill() })
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "agents: https://"); ok {
			v.rig.agents = addr
			go io.Copy(io.Discard, out)
			return
		}
	}
	v.died()
}

// died waits for the process and lets the next one live longer.
func (v *victim) died() {
	_ = v.cmd.Wait()
	v.kills++
	v.step = "" // killed once at this step; from now on it lives
}

func (v *victim) kill() {
	_ = v.cmd.Process.Kill()
	_ = v.cmd.Wait()
}

// until tries f again, with a new server after each death, as an agent does.
func (v *victim) until(d *device, f func(c *client) error) {
	v.t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		for v.rig.agents == "" {
			v.start()
		}
		err := f(d.client(v.rig))
		var e *transport.Error
		switch {
		case err == nil:
			return
		case time.Now().After(deadline):
			v.t.Fatalf("after %d kills: %v", v.kills, err)
		case errors.As(err, &e) && e.Final():
			v.t.Fatalf("after %d kills: %+v", v.kills, e)
		case errors.As(err, &e):
			<-time.After(20 * time.Millisecond)
		default: // the connection broke off: the process is dead, or about to be
			_ = v.cmd.Process.Kill()
			v.died()
			v.rig.agents = ""
		}
	}
}

func newVictim(t *testing.T, step string, times int) (*victim, *device) {
	t.Helper()
	r := &rig{t: t, shutdown: true}
	r.env = &env{ctx: context.Background(), settings: testSettings(filepath.Join(t.TempDir(), "state")), out: io.Discard, now: time.Now,
		log: slog.New(slog.NewTextHandler(&syncWriter{w: &r.log}, nil))}
	r.init()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("server's log:\n%s", r.log.String())
		}
	})
	r.start()
	d := r.registerCounting(t.Name())
	r.stop()
	r.agents = ""
	return &victim{t: t, rig: r, step: step, times: times}, d
}

// ingestAll sends two recordings in several batches, through all deaths.
func (v *victim) ingestAll(d *device) map[evidence.RecordingID]transport.Stored {
	v.t.Helper()
	out := map[evidence.RecordingID]transport.Stored{}
	send := func(from uint64) {
		v.until(d, func(c *client) error {
			h, err := c.head()
			if err != nil {
				return err
			}
			if h.Seq != nil && *h.Seq+1 > from {
				from = *h.Seq + 1
			}
			if from == uint64(len(d.lines)) {
				from = 0 // all of it again: it must get the same answer
			}
			a, err := c.statements(d.batch(from, evidence.MaxInt))
			if err == nil {
				v.rig.receipt(a.Seen)
			}
			return err
		})
	}
	for i, size := range []int{5*testChunk + 1, 2 * testChunk} {
		from := uint64(len(d.lines))
		if i > 0 { // another software from now on
			d.sealer.PowerCycle()
			d.sealer.Values[0] = evidence.Sum([]byte("firmware 2"))
			boot := d.boot(nil)
			d.seal()
			d.count(boot)
		}
		rec := d.take(fmt.Sprintf("%d.mp4", i), "video/mp4", evidence.WhyComplete, content(size, byte(i)))
		send(from * uint64(min(i, 1)))
		for n := range (size + testChunk - 1) / testChunk {
			v.until(d, func(c *client) error { return c.put(rec, n, d.chunk(rec, n)) })
		}
		v.until(d, func(c *client) error {
			s, err := c.stored(rec)
			out[rec] = s
			return err
		})
	}
	return out
}

// sound expects that everything promised is there, once, and that the catalog made anew is the one that grew.
func (v *victim) sound(d *device, receipts map[evidence.RecordingID]transport.Stored) {
	v.t.Helper()
	v.kill()
	folder, err := archive.OpenFolder(v.rig.env.settings.vaultDir(), archive.FolderOptions{})
	check(v.t, err)
	for rec, s := range receipts {
		leaf := v.rig.storedLeaf(d, rec, s)
		var keys []string
		for held, err := range folder.List(context.Background(), archive.RecordingPrefix(d.id(), rec)+"chunks/") {
			check(v.t, err)
			got, err := folder.Stat(context.Background(), held.Ref())
			check(v.t, err)
			if got.Until.UnixMilli() < leaf.Until {
				v.t.Errorf("%s is locked until %s, the receipt says %d", held.Key, got.Until, leaf.Until)
			}
			keys = append(keys, held.Key)
		}
		if uint64(len(keys)) != leaf.Chunks {
			v.t.Errorf("%d chunk objects, the receipt covers %d", len(keys), leaf.Chunks)
		}
	}
	v.oneSeenLeafEach(folder, d)
	check(v.t, folder.Close())
	v.rig.start()
	if n := len(v.rig.events(d.id(), catalog.ActSoftwareChanged)); n != 1 {
		v.t.Errorf("the change of software is on record %d times", n)
	}
	for rec := range receipts {
		path, err := v.rig.export(rec, true)
		check(v.t, err)
		v.rig.verified(path, verify.Verified)
	}
	recs := slices.Collect(keysOf(receipts))
	tables, _ := everything(v.t, v.rig, recs)
	v.rig.loseCatalog()
	check(v.t, reindexCommand{}.Run(v.rig.env))
	if again := v.rig.dump(); cutMeta(again) != cutMeta(tables) {
		v.t.Errorf("reindexed, the catalog is another:\n%s\nwas\n%s", again, tables)
	}
	v.rig.start()
	everything(v.t, v.rig, recs)
}

// oneSeenLeafEach expects that no statement was logged twice.
func (v *victim) oneSeenLeafEach(vault archive.Vault, d *device) {
	v.t.Helper()
	seen := map[uint64]uint64{}
	verifier, err := tlog.NewVerifier(v.rig.vkey)
	check(v.t, err)
	for e, err := range ledger.Mirrored(context.Background(), vault, v.rig.vkey) {
		check(v.t, err)
		if len(e.Receipt.Proof) > 0 {
			_, err := e.Receipt.Verify(verifier)
			check(v.t, err)
		}
		leaf, err := evidence.ParseLeafUnverified(e.Leaf)
		check(v.t, err)
		s, ok := leaf.(*evidence.Seen)
		if !ok {
			continue
		}
		if other, twice := seen[s.Seq]; twice {
			v.t.Errorf("statement %d of the device is logged at %d and %d", s.Seq, other, e.Index)
		}
		seen[s.Seq] = e.Index
	}
}

// cutMeta leaves out the server's own starts and the size that grows with them.
func cutMeta(dump string) string {
	var out []string
	for l := range strings.Lines(dump) {
		if !strings.Contains(l, `"log-size"`) && !strings.Contains(l, "server-started") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "")
}

func keysOf[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestKilledAtEachStep(t *testing.T) {
	for _, step := range append(slices.Clone(archive.FolderSteps), ledger.Steps...) {
		at := []int{1, 9, 22, 38} // objects: batches, chunks, manifests, leaves, receipts
		if slices.Contains(ledger.Steps, step) {
			at = []int{1, 2, 4}
		}
		for _, times := range at {
			t.Run(fmt.Sprintf("%s/%d", step, times), func(t *testing.T) {
				t.Parallel()
				v, d := newVictim(t, step, times)
				v.sound(d, v.ingestAll(d))
				if v.kills == 0 {
					t.Logf("%s came fewer than %d times", step, times)
				}
			})
		}
	}
}

func TestKilledAtAnyMoment(t *testing.T) {
	seeds := 10
	if os.Getenv("CAMSEAL_TEST") == "long" {
		seeds = 50
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(seed), 7))
			v, d := newVictim(t, "", 0)
			v.moment = func() time.Duration { return time.Duration(random.IntN(600)) * time.Millisecond }
			v.sound(d, v.ingestAll(d))
			t.Logf("killed %d times", v.kills)
		})
	}
}
