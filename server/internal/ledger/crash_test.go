package ledger_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
	"camseal/server/internal/ledger"
)

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o444); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, v archive.Vault, key func(hash string) string, b []byte) {
	t.Helper()
	if _, err := archive.PutBytes(t.Context(), v, func(h evidence.Digest) string { return key(h.String()) }, b, lockUntil()); err != nil {
		t.Fatal(err)
	}
}

func newVKey(t testing.TB) string {
	t.Helper()
	_, vkey, err := note.GenerateKey(nil, "example.com/other")
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

// crashVar tells the test binary to be the process that is killed: "<step> <how often before> <folder> <signer key>".
const crashVar = "CAMSEAL_TEST_CRASH"

func TestMain(m *testing.M) {
	if v := os.Getenv(crashVar); v != "" {
		f := strings.Fields(v)
		fmt.Fprintln(os.Stderr, "not killed:", victim(f[0], f[1], f[2], f[3]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim appends without end, and says on standard output what was acknowledged, until it is killed.
func victim(step, times, dir, skey string) error {
	left, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	v, err := archive.OpenFolder(filepath.Join(dir, "vault"), archive.FolderOptions{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	l, err := ledger.Open(context.Background(), ledger.Config{Dir: filepath.Join(dir, "ledger"), SignerKey: skey, Vault: v, Until: lockUntil, Log: quiet,
		Step: func(name string) {
			mu.Lock()
			defer mu.Unlock()
			if name == step {
				if left--; left <= 0 {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
			}
		}})
	if err != nil {
		return err
	}
	say := make(chan string)
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				leaf := fmt.Sprintf("worker-%d-%d-%d", os.Getpid(), w, i)
				index, err := l.Append(context.Background(), []byte(leaf))
				if err != nil {
					return
				}
				say <- fmt.Sprintf("appended %d %s\n", index, leaf)
			}
		}()
	}
	go func() {
		_ = l.Follow(context.Background(), 0, func(_ context.Context, entries []ledger.Entry) error {
			for _, e := range entries {
				say <- fmt.Sprintf("receipt %d %s %x\n", e.Index, e.Leaf, e.Receipt.Proof)
			}
			return nil
		})
	}()
	for s := range say {
		if _, err := os.Stdout.WriteString(s); err != nil {
			return err
		}
	}
	return errors.New("ended")
}

type acknowledged struct {
	leaves map[uint64]string // by Append
	proofs map[uint64][]byte // handed on by Follow
}

// crash runs a victim, kills it after lines lines or lets it be killed at its step, and adds what it said.
func crash(t *testing.T, ack *acknowledged, step string, times int, dir, skey string, lines int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s %s", crashVar, step, times, dir, skey))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	for n := 0; s.Scan(); n++ {
		var index uint64
		var leaf string
		var proof []byte
		if _, err := fmt.Sscanf(s.Text(), "appended %d %s", &index, &leaf); err == nil {
			ack.leaves[index] = leaf
		} else if _, err := fmt.Sscanf(s.Text(), "receipt %d %s %x", &index, &leaf, &proof); err == nil {
			ack.leaves[index], ack.proofs[index] = leaf, proof
		}
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%v: %s", err, stderr.String())
	}
}

// sound reopens the log and demands everything that was acknowledged.
func sound(t *testing.T, ack *acknowledged, dir, skey string) {
	t.Helper()
	v := folder(t, filepath.Join(dir, "vault"))
	l, err := ledger.Open(t.Context(), ledger.Config{Dir: filepath.Join(dir, "ledger"), SignerKey: skey, Vault: v, Until: lockUntil, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	last := appendLeaf(t, l, "after the crash")
	entries := follow(t, l, 0, int(last)+1)
	verify(t, l.VKey(), entries, 0)
	for index, leaf := range ack.leaves {
		if index >= last || string(entries[index].Leaf) != leaf {
			t.Errorf("leaf %d was acknowledged as %s, and is %s", index, leaf, entries[min(index, last)].Leaf)
		}
	}
	verifier, err := tlog.NewVerifier(l.VKey())
	if err != nil {
		t.Fatal(err)
	}
	for index, proof := range ack.proofs {
		if !bytes.Equal(entries[index].Receipt.Proof, proof) {
			t.Errorf("receipt %d is not the one in the vault", index)
		}
		if _, err := (tlog.Receipt{Leaf: entries[index].Leaf, Proof: proof}).Verify(verifier); err != nil {
			t.Error(err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := mirrored(t, v, l.VKey())
	if err != nil || len(got) != len(entries) {
		t.Fatalf("mirrored %d of %d: %v", len(got), len(entries), err)
	}
	verify(t, l.VKey(), got, 0)
}

func TestKilledAtEachStep(t *testing.T) {
	for _, step := range ledger.Steps {
		t.Run(step, func(t *testing.T) {
			dir, skey := t.TempDir(), newKey(t)
			ack := &acknowledged{leaves: map[uint64]string{}, proofs: map[uint64][]byte{}}
			for times := 1; times <= 3; times++ {
				crash(t, ack, step, times, dir, skey, -1)
			}
			sound(t, ack, dir, skey)
		})
	}
}

func TestKilledInTheMiddleOfAppends(t *testing.T) {
	dir, skey := t.TempDir(), newKey(t)
	ack := &acknowledged{leaves: map[uint64]string{}, proofs: map[uint64][]byte{}}
	for _, lines := range []int{1, 10, 57, 200} {
		crash(t, ack, "-", 1, dir, skey, lines)
	}
	if len(ack.leaves) == 0 || len(ack.proofs) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	sound(t, ack, dir, skey)
	t.Logf("%d leaves and %d receipts acknowledged by %s, none lost", len(ack.leaves), len(ack.proofs), time.Now().Format(time.TimeOnly))
}
