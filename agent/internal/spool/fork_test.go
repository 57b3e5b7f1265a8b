package spool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/evidence"
)

// forkKey is the key of the spools that go on elsewhere.
func forkKey(fork bool) func() ([]byte, error) {
	if !fork {
		return nil
	}
	return func() ([]byte, error) { return bytes.Repeat([]byte{9}, KeySize), nil }
}

var elsewhere = Adoption{Seq: 5, Head: evidence.Digest{5, 5}, N: 3}

func goElsewhere(s *Spool) error {
	s.Adopt(elsewhere)
	return s.AppendBoot(context.Background(), evidence.Boot{Software: "test"})
}

// TestForkKilledAtEachStep kills the process while the chain goes on elsewhere: after it, the chain is either the old one, whole, or the new
// one, with nothing of the old in it; what was left is in quarantine, in whole.
func TestForkKilledAtEachStep(t *testing.T) {
	for _, at := range []string{"1 fork-in-quarantine", "1 committed", "2 committed", "3 committed"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "spool")
			s := enrolled(t, Config{Dir: dir, Key: forkKey(true)})
			id := evidence.RecordingID{7}
			check(t, takeIn(t.Context(), s, id, content(3500), false))
			for range 3 {
				beats := make([]Entry, 200)
				for i := range beats {
					beats[i] = Entry{Rec: id, Body: &evidence.Beat{}}
				}
				_, err := s.Append(t.Context(), beats...)
				check(t, err)
			}
			old := len(walkChain(t, s))
			check(t, s.Close())
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "CAMSEAL_TEST_SPOOL="+dir, "CAMSEAL_TEST_STEP="+at, "CAMSEAL_TEST_FORK=1")
			var exit *exec.ExitError
			if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
				t.Fatalf("not killed: %v %s", err, out)
			}
			s, rec := open(t, Config{Dir: dir, Key: forkKey(true)})
			if len(rec.Lost) != 0 || len(rec.Aside) != 0 {
				t.Errorf("%+v", rec)
			}
			if s.Branch() == 0 {
				if n := len(walkChain(t, s)); n != old || at != "1 fork-in-quarantine" {
					t.Fatalf("%d statements, were %d", n, old)
				}
				check(t, goElsewhere(s))
			}
			wentOn(t, s, old)
			r, err := s.Recording(id)
			check(t, err)
			if _, err := s.Append(t.Context(), Entry{Rec: id, Body: &evidence.Beat{}}); !errors.Is(err, ErrForked) || !s.Forked(r) {
				t.Errorf("a recording that stayed behind goes on: %v", err)
			}
		})
	}
}

// wentOn checks a chain that went on elsewhere by a boot, and the quarantine.
func wentOn(t *testing.T, s *Spool, old int) {
	t.Helper()
	tip, err := s.Tip(t.Context())
	check(t, err)
	head, err := s.HeadAt(elsewhere.Seq)
	check(t, err)
	line, err := s.Statement(elsewhere.Seq + 1)
	check(t, err)
	st, d, err := evidence.ParseUnverified(line)
	check(t, err)
	boot, ok := st.Body.(*evidence.Boot)
	if !ok || boot.Last == nil || *boot.Last != uint64(old-1) || st.N != elsewhere.N || tip != elsewhere.Seq+2 || head != elsewhere.Head {
		t.Fatalf("tip %d, %s, %+v", tip, line, boot)
	}
	upto, next, ok, err := s.NextHead(t.Context())
	if err != nil || !ok || upto != st.Seq || next != evidence.NextHead(st.Seq, st.Rec, elsewhere.Head, d) {
		t.Errorf("to be sealed: up to %d, %v", upto, err)
	}
	for seq := range uint64(old) {
		if _, err := s.Statement(seq); seq != st.Seq && !errors.Is(err, ErrNotFound) {
			t.Fatalf("statement %d is still there", seq)
		}
	}
	if last, err := s.LastSeal(t.Context()); err != nil || last != nil {
		t.Errorf("last seal %v %v", last, err)
	}
	if _, err := s.Enrolment(); err != nil {
		t.Error(err)
	}
	out := t.TempDir()
	if n, err := s.WriteQuarantine(out); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	names, err := s.Quarantine()
	check(t, err)
	raw, err := os.ReadFile(filepath.Join(out, names[0]))
	if err != nil || bytes.Count(raw, []byte("\n")) != old || !bytes.Contains(raw, []byte(`"kind":"enrol"`)) {
		t.Errorf("%d lines in quarantine of %d statements, %v", bytes.Count(raw, []byte("\n")), old, err)
	}
	hidden, err := os.ReadFile(filepath.Join(s.cfg.Dir, "quarantine", names[0]))
	if err != nil || bytes.Contains(hidden, []byte("kind")) {
		t.Error("the quarantine is not encrypted")
	}
}

// TestAnchorsGoForward: an anchor is never older than the last, and one size has one root.
func TestAnchorsGoForward(t *testing.T) {
	s := enrolled(t, Config{Dir: t.TempDir()})
	upto, head, _, err := s.NextHead(t.Context())
	check(t, err)
	check(t, s.PutSeal(t.Context(), evidence.Seal{Type: "seal", Upto: upto, Head: head, PCRs: []evidence.Digest{}}))
	check(t, s.Anchor(t.Context(), "a", 7, tlog.Hash{1}))
	check(t, s.Anchor(t.Context(), "a", 7, tlog.Hash{1}))
	check(t, s.Anchor(t.Context(), "b", 9, tlog.Hash{2}))
	if err := s.Anchor(t.Context(), "a", 8, tlog.Hash{1}); !errors.Is(err, ErrOldAnchor) {
		t.Error(err)
	}
	var split *SplitError
	if err := s.Anchor(t.Context(), "c", 9, tlog.Hash{3}); !errors.As(err, &split) {
		t.Error(err)
	}
	check(t, s.AppendBoot(t.Context(), evidence.Boot{Software: "test"}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Anchor(ctx, "d", 10, tlog.Hash{4}); !errors.Is(err, context.Canceled) {
		t.Errorf("an anchor ahead of the boot's seal: %v", err)
	}
}
