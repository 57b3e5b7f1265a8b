package capture

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"camseal/agent/internal/seal"
	"camseal/agent/internal/spool"
	"camseal/pkg/attestation/device"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
)

// rig is a recorder with a spool, a sealer and a TPM.
type rig struct {
	t      testing.TB
	tpm    device.TPM
	chip   *swtpmtest.TPM
	spool  *spool.Spool
	found  spool.Recovery
	conf   spool.Config
	config Config
	rec    *Recorder
	end    func() error // ends recorder and sealer
}

var key = bytes.Repeat([]byte{7}, spool.KeySize)

// newRig makes a device with a TPM and its counter. change alters the recorder's configuration.
func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	g := &rig{t: t, chip: swtpmtest.Start(t)}
	config := device.Config{Path: g.chip.Path(), State: t.TempDir()}
	if p, err := device.Provision(t.Context(), config); err != nil || p.CounterError != nil {
		t.Fatal(p.CounterError, err)
	}
	var err error
	g.tpm, err = device.Open(t.Context(), config)
	must(t, err)
	return g.enrol(t.TempDir(), change)
}

// newSoftRig makes a device without a TPM.
func newSoftRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	g := &rig{t: t}
	var err error
	g.tpm, err = device.OpenSoftware(filepath.Join(t.TempDir(), "key"))
	must(t, err)
	return g.enrol(t.TempDir(), change)
}

func (g *rig) enrol(dir string, change func(*Config)) *rig {
	g.t.Helper()
	g.t.Cleanup(func() { must(g.t, g.tpm.Close()) })
	g.conf = spool.Config{Dir: dir, Key: func() ([]byte, error) { return key, nil }, Now: time.Now}
	g.config = Config{Now: time.Now, Log: slog.New(slog.NewTextHandler(g.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), Serial: "R1", Buffer: 30 * time.Second}
	if change != nil {
		change(&g.config)
	}
	g.open()
	body := &evidence.Enrol{AK: g.tpm.Key().Bytes(), Class: g.tpm.Key().Class(), HomeLog: "x", TLSKey: []byte{1}}
	if id, ok := g.tpm.(device.Identity); ok && g.chip != nil {
		var err error
		body.Counter, _, err = id.Counter(g.t.Context())
		must(g.t, err)
	}
	must(g.t, g.spool.Enrol(g.t.Context(), g.tpm.Key().Name(), body))
	return g
}

func (g *rig) open() {
	g.t.Helper()
	var err error
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for range 500 { // a process that is being started may hold the lock of a spool that is closed, until it runs
		if g.spool, g.found, err = spool.Open(g.conf); !errors.Is(err, spool.ErrInUse) {
			break
		}
		<-every.C
	}
	must(g.t, err)
	s := g.spool
	g.t.Cleanup(func() { s.Close() })
}

// start sets sealer and recorder to work.
func (g *rig) start() {
	g.t.Helper()
	sealer := seal.New(seal.Config{TPM: g.tpm, Store: g.spool, Software: "test", Log: g.config.Log, Now: time.Now})
	sealing, stopSealing := context.WithCancel(context.Background())
	sealed := make(chan error, 1)
	go func() { sealed <- sealer.Run(sealing) }()
	g.config.Spool, g.config.Found = g.spool, g.found
	if g.config.Counted == nil {
		g.config.Counted = sealer.Counted
	}
	var err error
	g.rec, err = New(g.config)
	must(g.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.rec.Run(ctx) }()
	g.end = sync.OnceValue(func() error {
		stop()
		err := <-ended
		stopSealing()
		if err := <-sealed; err != nil {
			g.t.Error(err)
		}
		return err
	})
	g.t.Cleanup(func() { _ = g.end() })
}

// until waits for a state of the recorder.
func (g *rig) until(what string, ok func(State) bool) {
	g.t.Helper()
	every := time.NewTicker(10 * time.Millisecond) // Buffered changes without notice
	defer every.Stop()
	late := time.After(20 * time.Second)
	for !ok(g.rec.State()) {
		select {
		case <-every.C:
		case <-late:
			g.t.Fatalf("%s: %+v", what, g.rec.State())
		}
	}
}

// recording is what the chain says of a recording, and its file.
type recording struct {
	*verify.Recording
	file       []byte
	statements []evidence.Statement
}

func (r recording) kinds(k evidence.Kind) (n int) {
	for _, s := range r.statements {
		if s.Kind == k {
			n++
		}
	}
	return n
}

func (r recording) faults() (out []string) {
	for _, s := range r.statements {
		if f, ok := s.Body.(*evidence.Fault); ok {
			out = append(out, f.Why+": "+f.Detail)
		}
	}
	return out
}

// walk seals what is there, walks the chain by the verifier's rules, and returns the recordings.
func (g *rig) walk() map[evidence.RecordingID]recording {
	g.t.Helper()
	chain := verify.NewChain(g.tpm.Key())
	out := map[evidence.RecordingID]recording{}
	var next uint64
	for {
		b, ok, err := g.spool.Batch(next, 1<<20)
		must(g.t, err)
		if !ok {
			break
		}
		for line := range bytes.Lines(b.Lines) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if a, err := evidence.ParseSealUnverified(line); err == nil && a.Count != nil {
				must(g.t, chain.Count(*a.Count))
			} else if err == nil {
				sealed, err := chain.Seal(*a.Seal)
				must(g.t, err)
				if len(sealed.Gaps) > 0 || sealed.Unproven != nil {
					g.t.Fatal("gaps in the chain", sealed)
				}
			} else {
				l, err := chain.Statement(line)
				must(g.t, err)
				g.add(out, l)
			}
		}
		next = b.Last + 1
	}
	tip, err := g.spool.Tip(g.t.Context())
	must(g.t, err)
	if next != tip {
		g.t.Fatalf("%d of %d statements are sealed and counted", next, tip)
	}
	for id, r := range out {
		for i, c := range r.Chunks {
			if r.Lost[uint64(i)] {
				continue
			}
			f, _, err := g.spool.OpenChunk(id, uint64(i))
			must(g.t, err)
			b, err := io.ReadAll(f)
			must(g.t, err)
			must(g.t, f.Close())
			if evidence.Sum(b) != c.Hash {
				g.t.Fatalf("chunk %d of %s is another", i, id)
			}
			r.file = append(r.file, b...)
		}
		if r.Close != nil && len(r.Lost) == 0 && (r.Close.Hash != evidence.Sum(r.file) || r.Close.Size != uint64(len(r.file))) {
			g.t.Fatalf("%s: the file is not what close says", id)
		}
		out[id] = r
	}
	return out
}

func (g *rig) add(out map[evidence.RecordingID]recording, l evidence.Line) {
	g.t.Helper()
	if l.Rec.IsZero() {
		return
	}
	r, ok := out[l.Rec]
	if !ok {
		r = recording{Recording: verify.NewRecording(g.tpm.Key().Name(), l.Rec)}
	}
	must(g.t, r.Add(l.Statement, l.Digest))
	r.statements = append(r.statements, *l.Statement)
	out[l.Rec] = r
}
