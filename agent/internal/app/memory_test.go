package app

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
)

// TestSparse takes in a sparse file much larger than the spool, and holds that memory stays flat. CAMSEAL_TEST_SPARSE is its
// size in GiB, to try 20.
func TestSparse(t *testing.T) {
	gib := 0.375
	if v := os.Getenv("CAMSEAL_TEST_SPARSE"); v != "" {
		if _, err := fmt.Sscan(v, &gib); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, "software")
	s.server.Forget = true
	s.extra = []string{"--chunk-size", "8MiB", "--spool-max", "256MiB", "--gather", "100ms"}
	p := s.file("sparse.mp4", nil)
	if err := os.Truncate(p, int64(gib*(1<<30))+1); err != nil {
		t.Fatal(err)
	}
	cmd := s.process("import", p)
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	peak := 0
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		case <-tick.C:
			peak = max(peak, anon(cmd.Process.Pid))
		}
	}
	took := time.Since(begun)
	t.Logf("%.2f GiB in %s: %.0f MB/s; peak RssAnon %d MiB", gib, took.Round(time.Millisecond), gib*(1<<30)/1e6/took.Seconds(), peak>>10)
	if peak > 128<<10 {
		t.Errorf("peak RssAnon is %d MiB", peak>>10)
	}
	s.server.With(func() {
		for _, r := range s.server.Recordings {
			if r.Close == nil || r.Close.Why != evidence.WhyComplete || r.Stored == 0 {
				t.Errorf("%+v, %d receipts", r.Close, r.Stored)
			}
		}
	})
	s.empty()
}

// anon reads a process's RssAnon in KiB.
func anon(pid int) (kib int) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), "RssAnon:")
	fmt.Sscan(rest, &kib)
	return kib
}
