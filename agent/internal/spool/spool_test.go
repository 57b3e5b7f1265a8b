package spool

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"camseal/agent/internal/segment"
	"camseal/pkg/evidence"
)

var testDevice = evidence.DeviceID{0, 0x0b, 1, 2, 3}

// TestMain also plays the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CAMSEAL_TEST_SPOOL"); dir != "" {
		killed(dir, os.Getenv("CAMSEAL_TEST_STEP"), os.Getenv("CAMSEAL_TEST_FORK") != "")
		return
	}
	os.Exit(m.Run())
}

func open(t testing.TB, c Config) (*Spool, Recovery) {
	t.Helper()
	s, rec, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, rec
}

func enrolled(t testing.TB, c Config) *Spool {
	t.Helper()
	s, _ := open(t, c)
	check(t, s.Enrol(t.Context(), testDevice, &evidence.Enrol{AK: []byte{1}, Class: evidence.ClassSoftware, HomeLog: "x", TLSKey: []byte{1}}))
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const testChunk = 1000

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	return b
}

// takeIn writes a recording as the agent does: open with the first chunk, close with the last. Closed or not.
func takeIn(ctx context.Context, s *Spool, id evidence.RecordingID, file []byte, closed bool) error {
	cut, r := segment.New(testChunk), bytes.NewReader(file)
	entries := []Entry{{Rec: id, Body: &evidence.Open{ChunkSize: testChunk, Mode: evidence.ModeImport, MediaType: "x/y",
		Source: evidence.Source{Name: "a", Path: "/a", Size: uint64(len(file))}}, Origin: &Origin{Size: uint64(len(file))}}}
	for cut.Offset() < uint64(len(file)) {
		tmp, err := s.Temp(id, cut.Index(), testChunk)
		if err != nil {
			return err
		}
		c, err := cut.Next(ctx, r, testChunk, tmp)
		if err != nil && c.Size == 0 {
			return err
		}
		state, err := cut.State()
		if err != nil {
			return err
		}
		entries = append(entries, Entry{Rec: id, Body: &c, File: tmp, HashState: state})
		if cut.Offset() < uint64(len(file)) || !closed {
			if _, err := s.Append(ctx, entries...); err != nil {
				return err
			}
			entries = nil
		}
	}
	if closed {
		entries = append(entries, Entry{Rec: id, Body: &evidence.Close{Chunks: cut.Index(), Hash: cut.Sum(), Size: cut.Offset(), Why: evidence.WhyComplete}})
	}
	_, err := s.Append(ctx, entries...)
	return err
}

// walkChain checks the whole chain from its first statement on and returns it.
func walkChain(t testing.TB, s *Spool) []evidence.Statement {
	t.Helper()
	head, n := evidence.FirstHead(testDevice), map[evidence.RecordingID]uint64{}
	var out []evidence.Statement
	tip, err := s.Tip(t.Context())
	check(t, err)
	for seq := range tip {
		line, err := s.Statement(seq)
		check(t, err)
		st, d, err := evidence.ParseUnverified(line)
		check(t, err)
		head = evidence.NextHead(seq, st.Rec, head, d)
		if own, err := s.HeadAt(seq); err != nil || own != head || st.Seq != seq || st.N != n[st.Rec] {
			t.Fatalf("statement %d: seq %d, n %d, head %s, %v", seq, st.Seq, st.N, own, err)
		}
		n[st.Rec]++
		out = append(out, st)
	}
	return out
}

func chunkFiles(t testing.TB, s *Spool) []string {
	t.Helper()
	names, err := os.ReadDir(filepath.Join(s.cfg.Dir, "chunks"))
	check(t, err)
	var out []string
	for _, n := range names {
		out = append(out, n.Name())
	}
	return out
}

func TestChainSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, Config{Dir: dir})
	for i := range byte(20) {
		check(t, takeIn(t.Context(), s, evidence.RecordingID{1, i}, content(int(i)*700), true))
	}
	before := walkChain(t, s)
	check(t, s.Close())
	s, rec := open(t, Config{Dir: dir})
	if after := walkChain(t, s); len(after) != len(before) || len(after) < 60 {
		t.Errorf("%d statements, were %d", len(after), len(before))
	}
	if rec.Removed != 0 || rec.Lost != nil || rec.Open != nil || rec.Aside != nil {
		t.Errorf("recovery %+v", rec)
	}
	if st, err := s.Status(); err != nil || st.Held != 700*19*20/2 || st.Recordings != 20 {
		t.Errorf("status %+v, %v", st, err)
	}
	if err := s.Enrol(t.Context(), testDevice, &evidence.Enrol{AK: []byte{1}, Class: evidence.ClassSoftware, HomeLog: "x"}); err == nil {
		t.Error("enrolled twice")
	}
}

func TestSecondAgentIsRefused(t *testing.T) {
	s := enrolled(t, Config{Dir: t.TempDir()})
	if _, _, err := Open(Config{Dir: s.cfg.Dir}); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
	if _, err := s.Tip(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// killed is the process that is killed at a step: the nth time that the named step is reached.
func killed(dir, at string, fork bool) {
	var left int
	var step string
	fmt.Sscanf(at, "%d %s", &left, &step)
	s, _, err := Open(Config{Dir: dir, Key: forkKey(fork), Step: func(name string) {
		if strings.ReplaceAll(name, " ", "-") == step {
			if left--; left == 0 {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	}})
	if err != nil {
		fmt.Println(err)
		os.Exit(9)
	}
	id := evidence.RecordingID{7}
	if fork {
		err = goElsewhere(s)
	} else if err = takeIn(context.Background(), s, id, content(3500), true); err == nil {
		raw, errR := os.ReadFile(filepath.Join(dir, "..", "log.skey"))
		signer, errS := note.NewSigner(string(raw))
		if err = errors.Join(errR, errS); err == nil {
			var r StoredReceipt
			if r, err = makeReceipt(s, id, signer, nil); err == nil {
				err = s.Release(context.Background(), r)
			}
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(9)
	}
}

func TestKilledAtEachStep(t *testing.T) {
	skey, _, err := note.GenerateKey(rand.Reader, "example.com/log")
	check(t, err)
	for _, at := range []string{"1 chunk-synced", "3 chunk-synced", "1 chunk-in-place", "2 chunk-in-place", "4 chunk-in-place", "1 committed", "2 committed", "4 committed",
		"5 committed", "1 receipt-kept", "1 chunk-released", "3 chunk-released", "4 chunk-released"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			dir := filepath.Join(root, "spool")
			check(t, os.WriteFile(filepath.Join(root, "log.skey"), []byte(skey), 0o600))
			s := enrolled(t, Config{Dir: dir})
			check(t, s.Close())
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "CAMSEAL_TEST_SPOOL="+dir, "CAMSEAL_TEST_STEP="+at)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("not killed: %v %s", err, out)
			}
			s, rec := open(t, Config{Dir: dir})
			if rec.Lost != nil || rec.Aside != nil {
				t.Errorf("recovery %+v", rec)
			}
			walkChain(t, s)
			r, err := s.Recording(evidence.RecordingID{7})
			if errors.Is(err, ErrNotFound) {
				if n := len(chunkFiles(t, s)); n != 0 {
					t.Errorf("%d files of a recording that does not exist", n)
				}
				return
			}
			check(t, err)
			if n := len(chunkFiles(t, s)); uint64(n) != r.Next-r.Covered {
				t.Errorf("%d chunk files, the chain has %d, %d of them released", n, r.Next, r.Covered)
			}
			if !r.Closed { // go on where it stopped
				cut, err := segment.Resume(testChunk, r.Next, r.Offset, r.HashState)
				check(t, err)
				src := bytes.NewReader(content(3500)[r.Offset:])
				for cut.Offset() < 3500 {
					tmp, err := s.Temp(r.ID, cut.Index(), testChunk)
					check(t, err)
					c, _ := cut.Next(t.Context(), src, testChunk, tmp)
					state, err := cut.State()
					check(t, err)
					_, err = s.Append(t.Context(), Entry{Rec: r.ID, Body: &c, File: tmp, HashState: state})
					check(t, err)
				}
				if cut.Sum() != evidence.Sum(content(3500)) {
					t.Error("the resumed hash is wrong")
				}
			}
		})
	}
}

func TestBoundedByBytes(t *testing.T) {
	s := enrolled(t, Config{Dir: t.TempDir(), MaxBytes: 2500})
	check(t, takeIn(t.Context(), s, evidence.RecordingID{1}, content(2000), false))
	if _, err := s.Temp(evidence.RecordingID{}, 0, testChunk); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	small, err := s.Temp(evidence.RecordingID{}, 0, 500)
	check(t, err)
	if _, err := s.Temp(evidence.RecordingID{}, 0, 1); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- s.WaitRoom(t.Context(), 400) }()
	small.Discard()
	check(t, <-waited)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.WaitRoom(ctx, 4000); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestLostAndUnexplainedFiles(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, Config{Dir: dir})
	id := evidence.RecordingID{1}
	check(t, takeIn(t.Context(), s, id, content(3500), true))
	check(t, s.Close())
	check(t, os.Remove(filepath.Join(dir, "chunks", chunkName(id, 1))))
	check(t, os.Truncate(filepath.Join(dir, "chunks", chunkName(id, 2)), 5))
	for _, name := range []string{"readme", chunkName(id, 9), chunkName(evidence.RecordingID{5}, 3)} {
		check(t, os.WriteFile(filepath.Join(dir, "chunks", name), []byte("x"), 0o600))
	}
	s, rec := open(t, Config{Dir: dir})
	if len(rec.Lost) != 1 || fmt.Sprint(rec.Lost[0].Chunks) != "[1 2]" || len(rec.Aside) != 3 || rec.Removed != 0 {
		t.Fatalf("%+v", rec)
	}
	check(t, s.DeclareLost(t.Context(), id, rec.Lost[0].Chunks, "gone"))
	check(t, s.DeclareLost(t.Context(), id, rec.Lost[0].Chunks, "gone")) // once is enough
	all := walkChain(t, s)
	last, ok := all[len(all)-1].Body.(*evidence.Fault)
	if !ok || last.Why != evidence.WhyLost || fmt.Sprint(last.Chunks) != "[1 2]" {
		t.Errorf("%+v", last)
	}
	if st, err := s.Status(); err != nil || st.Held != 1500 {
		t.Errorf("%+v %v", st, err)
	}
	check(t, s.Close())
	if _, rec = open(t, Config{Dir: dir}); rec.Lost != nil {
		t.Errorf("%+v", rec)
	}
}

// TestDiskFull runs on a file system of its own that another process fills up.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	s := enrolled(t, Config{Dir: filepath.Join(dir, "spool")})
	check(t, takeIn(t.Context(), s, evidence.RecordingID{1}, content(3500), false))
	other := filepath.Join(dir, "other")
	fill(t, other)
	if _, err := s.Temp(evidence.RecordingID{}, 0, testChunk); !errors.Is(err, ErrFull) {
		t.Errorf("chunk on a full disk: %v", err)
	}
	if _, err := s.Append(t.Context(), Entry{Rec: evidence.RecordingID{1}, Body: &evidence.Beat{}}); !errors.Is(err, ErrFull) {
		t.Errorf("statement on a full disk: %v", err)
	}
	tip := len(walkChain(t, s))
	check(t, s.Close())
	fill(t, other)
	if _, _, err := Open(s.cfg); !errors.Is(err, ErrFull) {
		t.Errorf("start on a full disk: %v", err)
	}
	check(t, os.Remove(other))
	s, rec := open(t, s.cfg)
	if len(walkChain(t, s)) != tip || rec.Lost != nil || len(rec.Open) != 1 {
		t.Errorf("%d statements, were %d; %+v", len(walkChain(t, s)), tip, rec)
	}
	_, err := s.Append(t.Context(), Entry{Rec: evidence.RecordingID{1}, Body: &evidence.Beat{}})
	check(t, err)
}

// fill writes to the file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	check(t, err)
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	check(t, f.Close())
}

func TestBatchesEndAtSeals(t *testing.T) {
	s := enrolled(t, Config{Dir: t.TempDir()})
	for i := range byte(6) {
		check(t, takeIn(t.Context(), s, evidence.RecordingID{i + 1}, content(100), true))
		upto, head, ok, err := s.NextHead(t.Context())
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if i == 5 {
			break // stays unsealed
		}
		check(t, s.PutSeal(t.Context(), evidence.Seal{Type: "seal", Upto: upto, Head: head, PCRs: []evidence.Digest{}}))
	}
	var next, batches uint64
	for {
		b, ok, err := s.Batch(next, 1500)
		check(t, err)
		if !ok {
			break
		}
		lines := bytes.Split(bytes.TrimSpace(b.Lines), []byte("\n"))
		a, err := evidence.ParseSealUnverified(lines[len(lines)-1])
		if err != nil || a.Seal.Upto != b.Last || a.Seal.Head != b.Head || b.First != next {
			t.Fatalf("batch %d-%d: %v", b.First, b.Last, err)
		}
		next, batches = b.Last+1, batches+1
	}
	if next != s.Sealed() || batches < 2 {
		t.Errorf("sent up to %d in %d batches, sealed are %d", next, batches, s.Sealed())
	}
	if err := s.PutSeal(t.Context(), evidence.Seal{Type: "seal", Upto: 2, PCRs: []evidence.Digest{}}); err == nil {
		t.Error("a seal of another head is taken")
	}
}
