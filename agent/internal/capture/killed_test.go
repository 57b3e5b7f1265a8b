package capture

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"camseal/agent/internal/spool"
	"camseal/pkg/attestation/device"
	"camseal/pkg/evidence"
)

// TestKilledChild is the process that is killed at a step of durable writing, when it is started so by TestKilled.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv("CAMSEAL_TEST_CAPTURE")
	if dir == "" {
		return
	}
	left, err := strconv.Atoi(os.Getenv("CAMSEAL_TEST_STEP"))
	must(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "clip.mp4"))
	must(t, err)
	c := demux(t, raw)
	s, _, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "spool"), Key: func() ([]byte, error) { return key, nil }, Now: time.Now, Step: func(string) {
		if left--; left == 0 {
			must(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
		}
	}})
	must(t, err)
	g := &rig{t: t, spool: s}
	var hangs atomic.Bool
	g.rec, err = New(Config{Spool: s, Now: time.Now, Buffer: 30 * time.Second, CountWait: time.Millisecond, Counted: func(ctx context.Context, say func(string) error) error {
		if !hangs.Load() {
			return say("")
		}
		<-ctx.Done()
		return ctx.Err()
	}})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.rec.Run(ctx) }()
	g.until("intake", func(State) bool { return s.LastIntake() != 0 })
	hangs.Store(os.Getenv("CAMSEAL_TEST_HANG") != "") // the TPM hangs: it is an import
	g.rec.Tracks(c.tracks)
	c.play(g.rec, 0, 3*time.Second)
	g.until("buffered", func(s State) bool { return s.Buffered > 2*time.Second })
	_, err = g.rec.Start(t.Context(), "")
	must(t, err)
	c.play(g.rec, 3*time.Second, time.Minute)
	g.stop()
	stop()
	must(t, <-ended)
	must(t, s.Close())
}

// Whatever step the agent is killed at: what is under a statement is there, the recording ends as complete or interrupted, and what was
// written of the segment under way is kept as a recording of its own that plays.
func TestKilled(t *testing.T) {
	t.Parallel()
	clipPath := filepath.Join(t.TempDir(), "clip.mp4")
	run(t, "ffmpeg", "-v", "error", "-stream_loop", "100", "-i", small(t), "-t", "7", "-r", "30", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-bf", "0",
		"-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "1M", "-x264-params", "nal-hrd=cbr", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+default_base_moof", clipPath)
	raw, err := os.ReadFile(clipPath)
	must(t, err)
	var interrupted, partials, imports atomic.Int64
	t.Run("", func(t *testing.T) {
		for step := 5; step <= 25; step++ {
			t.Run(strconv.Itoa(step), func(t *testing.T) {
				t.Parallel()
				for id, r := range killedAt(t, raw, step, step%3 == 0) {
					switch {
					case r.Close == nil || len(r.Lost) > 0:
						t.Errorf("%s is open or lacks chunks: %v", id, r.faults())
					case r.Open.Continues != nil:
						partials.Add(1)
						if r.Open.Mode != evidence.ModeImport || !strings.HasSuffix(r.Open.Source.Name, ".partial.mp4") || frames(t, r.file) == "0" {
							t.Errorf("%+v", r.Open)
						}
						continue
					case r.Open.Mode == evidence.ModeImport:
						imports.Add(1)
					case len(r.Chunks) > 2 && step%4 == 0:
						frames(t, r.file)
					}
					if r.Close != nil && r.Close.Why == evidence.WhyInterrupted {
						interrupted.Add(1)
					}
				}
			})
		}
	})
	if interrupted.Load() < 8 || partials.Load() < 2 || imports.Load() < 2 {
		t.Errorf("%d interrupted, %d partial segments, %d in import mode", interrupted.Load(), partials.Load(), imports.Load())
	}
}

// killedAt kills an agent at a step while it records, starts it again, and returns what the chain says then. With hangs, the TPM does not answer.
func killedAt(t *testing.T, raw []byte, step int, hangs bool) map[evidence.RecordingID]recording {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "clip.mp4"), raw, 0o600))
	g := &rig{t: t}
	var err error
	g.tpm, err = device.OpenSoftware(filepath.Join(dir, "key"))
	must(t, err)
	g.enrol(filepath.Join(dir, "spool"), nil)
	must(t, g.spool.Close())
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
	child.Env = append(os.Environ(), "CAMSEAL_TEST_CAPTURE="+dir, "CAMSEAL_TEST_STEP="+strconv.Itoa(step))
	if hangs {
		child.Env = append(child.Env, "CAMSEAL_TEST_HANG=1")
	}
	if out, err := child.CombinedOutput(); err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v: %s", err, out)
	}
	if step%2 == 0 { // what was not synced may be gone after a power cut
		live, err := filepath.Glob(filepath.Join(g.conf.Dir, "tmp", "live-*"))
		must(t, err)
		for _, path := range live {
			info, err := os.Stat(path)
			must(t, err)
			must(t, os.Truncate(path, max(0, info.Size()-int64(step)*10007)))
		}
	}
	g.open()
	g.start()
	g.until("ended", func(State) bool {
		open := 0
		must(t, g.spool.Pending(t.Context(), func(r spool.Recording) bool {
			if r.Live && !r.Closed {
				open++
			}
			return true
		}))
		return open == 0 && g.spool.LastIntake() != 0
	})
	must(t, g.end())
	if names, err := os.ReadDir(filepath.Join(g.conf.Dir, "tmp")); err != nil || len(names) > 0 {
		t.Errorf("%d files are left, %v; found %+v", len(names), err, g.found)
	}
	return g.walk()
}
