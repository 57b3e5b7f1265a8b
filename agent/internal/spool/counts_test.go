package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"camseal/agent/internal/seal"
	"camseal/pkg/attestation/device"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
)

func countingTPM(t *testing.T) device.TPM {
	t.Helper()
	s := swtpmtest.Start(t)
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	if p, err := device.Provision(t.Context(), config); err != nil || p.CounterError != nil {
		t.Fatal(p.CounterError, err)
	}
	d, err := device.Open(t.Context(), config)
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	return d
}

// receiver is what a server does with batches: it walks them with the verifier's code.
type receiver struct {
	chain *verify.Chain
	next  uint64
	gaps  int
}

// take takes all that the spool hands out, batch by batch.
func (r *receiver) take(t *testing.T, s *Spool) {
	t.Helper()
	for {
		b, ok, err := s.Batch(r.next, 1)
		check(t, err)
		if !ok {
			if c := r.chain.State().Counter; len(c.Owed) != 0 {
				t.Fatalf("all that is handed out, up to %d, lacks %d records", r.next, len(c.Owed))
			}
			return
		}
		for line := range bytes.Lines(b.Lines) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if a, err := evidence.ParseSealUnverified(line); err == nil && a.Count != nil {
				check(t, r.chain.Count(*a.Count))
			} else if err == nil {
				sealed, err := r.chain.Seal(*a.Seal)
				check(t, err)
				r.gaps += len(sealed.Gaps)
			} else {
				_, err := r.chain.Statement(line)
				check(t, err)
			}
		}
		r.next = b.Last + 1
	}
}

// What a server gets is complete with its count records, whatever step of counting the agent is killed at, and no statement is
// handed out before its record is there.
func TestBatchesHoldTheirCounts(t *testing.T) {
	d := countingTPM(t)
	ref, _, err := d.(device.Identity).Counter(t.Context())
	check(t, err)
	config := Config{Dir: t.TempDir()}
	s, _ := open(t, config)
	check(t, s.Enrol(t.Context(), d.Key().Name(), &evidence.Enrol{AK: d.Key().Bytes(), Class: d.Key().Class(), Counter: ref, HomeLog: "x", TLSKey: []byte{1}}))
	r := &receiver{chain: verify.NewChain(d.Key())}
	errKilled := errors.New("killed")
	killed := 0
	for i, at := range []string{"", "sealed", "count", "increment", "certify", "counted", ""} {
		said := 0
		step := func(name string) error {
			c, err := s.Counts(t.Context())
			check(t, err)
			if len(c.Owed) > 0 {
				b, ok, err := s.Batch(c.Owed[0].Seq, 1<<20)
				if check(t, err); ok {
					t.Errorf("%s: statement %d is handed out up to %d without its record", name, c.Owed[0].Seq, b.Last)
				}
			}
			if name == at && said > 0 {
				killed++
				return errKilled
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		sealer := seal.New(seal.Config{TPM: d, Store: s, Software: "test", Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
			Retry: time.Millisecond, Step: step})
		ended := make(chan error, 1)
		go func() { ended <- sealer.Run(ctx) }()
		for range 3 {
			err := sealer.Counted(ctx, func(value string) error {
				said++
				_, err := s.Append(ctx, Entry{Body: &evidence.Intake{Counter: value, Slot: "import"}}, Entry{Body: &evidence.Anchor{Checkpoint: fmt.Sprint(i)}})
				return err
			})
			if errors.Is(err, seal.ErrStopped) {
				break
			}
			check(t, err)
		}
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		r.take(t, s)
		check(t, s.Close())
		s, _ = open(t, config)
	}
	_, value, err := d.(device.Identity).Counter(t.Context())
	check(t, err)
	tip, err := s.Tip(t.Context())
	check(t, err)
	if state := r.chain.State(); killed != 5 || r.next != tip || *state.Counter.Value != value || r.gaps != 0 {
		t.Fatalf("%d kills, %d of %d statements, the chain is at %d, the TPM at %d, %d gaps", killed, r.next, tip, *state.Counter.Value, value, r.gaps)
	}
}

// The spool takes no counted statement that does not name the next value, and no record out of turn.
func TestOnlyTheNextCountIsTaken(t *testing.T) {
	s, _ := open(t, Config{Dir: t.TempDir()})
	check(t, s.Enrol(t.Context(), testDevice, &evidence.Enrol{AK: []byte{1}, Class: evidence.ClassTPM, Counter: &evidence.CounterRef{Index: 1, Name: []byte{1}}, HomeLog: "x", TLSKey: []byte{1}}))
	intake := func(value string) error {
		_, err := s.Append(t.Context(), Entry{Body: &evidence.Intake{Counter: value, Slot: "import"}})
		return err
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, errOrder) {
			t.Errorf("%s: %v", what, err)
		}
	}
	put := func(seq uint64) error {
		return s.PutCount(t.Context(), evidence.Count{Seq: seq, Type: "count", Attest: []byte{1}, Sig: []byte{1}}, 5)
	}
	refused("before the first boot", intake("1"))
	refused("a boot that names nothing", s.AppendBoot(t.Context(), evidence.Boot{}))
	check(t, s.AppendBoot(t.Context(), evidence.Boot{Counter: "5"}))
	refused("while records are owed", intake("6"))
	refused("a record before its seal", put(0))
	upto, head, _, err := s.NextHead(t.Context())
	check(t, err)
	check(t, s.PutSeal(t.Context(), evidence.Seal{Upto: upto, Head: head, Type: "seal", Attest: []byte{1}, Sig: []byte{1}}))
	refused("a record out of turn", put(1))
	check(t, put(0))
	refused("a record twice", put(0))
	check(t, put(1))
	for _, value := range []string{"", "5", "7"} {
		refused("value "+value, intake(value))
	}
	check(t, intake("6"))
	refused("two at a time", intake("7"))
	before, err := s.Tip(t.Context())
	check(t, err)
	if before != 3 {
		t.Errorf("%d statements", before)
	}
}
