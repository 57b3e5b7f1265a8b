package e2e_test

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// seeds is how many moments a kill test tries.
func seeds() int {
	if os.Getenv("CAMSEAL_TEST") == "long" {
		return 50
	}
	return 10
}

// crashFiles are small and large, so that every part of the way is under a kill at some moment.
func crashFiles(s *system) map[string][]byte {
	files := map[string][]byte{}
	for i := range 6 {
		name, size := fmt.Sprintf("%02d.mp4", i), 300_000*(1+i*i)
		s.film(name, size)
		files[name] = footage(name, size)
	}
	s.film("empty.mp4", 0)
	files["empty.mp4"] = []byte{}
	return files
}

// TestAgentKilled kills the agent at seeded moments of an import; each time the next agent goes on.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	files := crashFiles(s)
	for i, at := range moments(1, seeds(), 700*time.Millisecond) {
		p := start(t, "camseal-agent", s.importing()...)
		select {
		case <-time.After(at + time.Duration(i)*10*time.Millisecond):
			p.kill()
		case <-p.done: // it was quicker
		}
		if i%3 == 2 { // more to do for the later kills
			name := fmt.Sprintf("more%d.mp4", i)
			s.film(name, 900_000)
			files[name] = footage(name, 900_000)
		}
	}
	mustRun(t, "camseal-agent", s.importing()...)
	s.allSound(files)
}

// TestServerKilled kills the server at seeded moments of an import; the agent waits and goes on.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	files := crashFiles(s)
	agent := start(t, "camseal-agent", s.importing()...)
	for _, at := range moments(2, seeds(), 900*time.Millisecond) {
		select {
		case <-time.After(at):
			s.server.kill()
		case <-agent.done: // more to do for the later kills
			name := fmt.Sprintf("more%d.mp4", len(files))
			s.film(name, 900_000)
			files[name] = footage(name, 900_000)
			agent = start(t, "camseal-agent", s.importing()...)
			continue
		}
		s.startServer()
	}
	select {
	case <-agent.done:
	case <-time.After(2 * time.Minute):
		agent.kill()
		t.Fatalf("the import did not end\n%s", &agent.out)
	}
	mustRun(t, "camseal-agent", s.importing()...)
	s.allSound(files)
}
