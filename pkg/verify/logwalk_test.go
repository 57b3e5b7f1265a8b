package verify_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

var testDevices = []evidence.DeviceID{{0, 11, 1}, {0, 11, 2}}

func ref(i int64) *uint64 { n := uint64(i); return &n }

func appendAll(t testing.TB, l *verifytest.Log, leaves ...evidence.Leaf) {
	t.Helper()
	for _, x := range leaves {
		if _, err := l.Append(x); err != nil {
			t.Fatal(err)
		}
	}
}

func seen(device int, seq uint64, prev *uint64) *evidence.Seen {
	return &evidence.Seen{Device: testDevices[device], Head: evidence.Sum(binary.BigEndian.AppendUint64(nil, seq)), Prev: prev, Seq: seq}
}

func stored(chunks uint64, until int64, closed *evidence.Digest) *evidence.Stored {
	return &evidence.Stored{Chunks: chunks, Close: closed, Device: testDevices[0], List: evidence.Sum([]byte{byte(chunks)}), Lock: evidence.LockFolder, Rec: testRec, Until: until, Vault: "v"}
}

func newTestLog(t testing.TB) *verifytest.Log {
	t.Helper()
	l, err := verifytest.NewLog("camseal.test/log", "monitor")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Cosign(verifytest.Clock, verifytest.WitnessOne, verifytest.WitnessTwo); err != nil {
		t.Fatal(err)
	}
	return l
}

func trustOf(l *verifytest.Log) *verify.Trust { return (&verifytest.Bundle{Log: l}).Trust() }

func files(t testing.TB, l *verifytest.Log) fstest.MapFS {
	t.Helper()
	m, err := l.Tiles()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func walkLog(t testing.TB, m fs.FS, trust *verify.Trust) *verify.LogReport {
	t.Helper()
	r, err := verify.Log(t.Context(), m, verify.LogOptions{Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		if p.Text(verify.English) == "" || p.Text(verify.Chinese) == "" {
			t.Errorf("no text: %+v", p)
		}
	}
	return r
}

func wantLog(t testing.TB, r *verify.LogReport, want verify.Verdict, code verify.Code) {
	t.Helper()
	got := verify.Code("")
	if r.First != nil {
		got = r.First.Code
	}
	if r.Verdict != want || got != code || r.Exit != want.Exit() {
		t.Fatalf("verdict %s (%d), %+v; want %s, %s", r.Verdict, r.Exit, r.Problems, want, code)
	}
}

// TestLogSizes walks logs around the sizes at which tiles fill up.
func TestLogSizes(t *testing.T) {
	l := newTestLog(t)
	for n := 0; n <= 256*3+1; n++ {
		if n%256 <= 2 || n%256 == 255 || n == 100 {
			r := walkLog(t, files(t, l), trustOf(l))
			wantLog(t, r, verify.Verified, "")
			if r.Size != int64(n) || r.Leaves["custody"] != n || r.Witnesses != 2 || len(r.NotGiven) != 0 {
				t.Errorf("%d leaves: %+v", n, r)
			}
		}
		appendAll(t, l, &evidence.Custody{Event: evidence.Sum([]byte{byte(n)})})
	}
	wantLog(t, walkLog(t, files(t, l), nil), verify.SelfVouched, "")
	stranger, err := verifytest.NewLog("camseal.test/log", "stranger")
	if err != nil {
		t.Fatal(err)
	}
	wantLog(t, walkLog(t, files(t, l), trustOf(stranger)), verify.Broken, verify.CodeCheckpoint)
	if stranger, err = verifytest.NewLog("elsewhere.test/log", "stranger"); err != nil {
		t.Fatal(err)
	}
	wantLog(t, walkLog(t, files(t, l), trustOf(stranger)), verify.Broken, verify.CodeUnknownLog)
	trust := trustOf(l)
	trust.Witnesses, trust.Quorum = trust.Witnesses[:1], 1
	trust.Witnesses[0] = trust.Logs[0].Clock
	trust.Logs[0].To = new(int64)
	wantLog(t, walkLog(t, files(t, l), trust), verify.Broken, verify.CodeLogRange)
}

// TestLogGrown walks a log that has grown since its checkpoint was read: wider files stand in the place of those that are gone.
func TestLogGrown(t *testing.T) {
	l := newTestLog(t)
	for n := range 300 {
		appendAll(t, l, &evidence.Custody{Event: evidence.Sum([]byte{byte(n)})})
	}
	old := files(t, l)
	for n := range 400 {
		appendAll(t, l, &evidence.Custody{Event: evidence.Sum([]byte{byte(n), 1})})
	}
	grown := files(t, l)
	grown["checkpoint"] = old["checkpoint"]
	r := walkLog(t, grown, trustOf(l))
	wantLog(t, r, verify.Verified, "")
	if r.Size != 300 {
		t.Errorf("%+v", r)
	}
}

func TestLogEveryByte(t *testing.T) {
	l := newTestLog(t)
	for n := range 258 {
		appendAll(t, l, &evidence.Custody{Event: evidence.Sum([]byte{byte(n)})})
	}
	m, trust := files(t, l), trustOf(l)
	wantLog(t, walkLog(t, m, trust), verify.Verified, "")
	for path, f := range m {
		step := 1
		if len(f.Data) > 2000 {
			step = 97
		}
		for i := 0; i < len(f.Data); i += step {
			f.Data[i] ^= 1
			r := walkLog(t, m, trust)
			cosigned := path == "checkpoint" && len(r.NotGiven) > 0 // a witness's name that is changed is a stranger's
			clock := path == "checkpoint" && strings.Contains(string(f.Data[:i]), "— camseal.test/log ")
			if r.Exit != 3 && !cosigned && !clock {
				t.Errorf("%s byte %d: %s", path, i, r.Verdict)
			}
			f.Data[i] ^= 1
		}
		delete(m, path)
		if r := walkLog(t, m, trust); r.Exit != 3 && path != "checkpoint" || r.Exit != 2 && path == "checkpoint" {
			t.Errorf("without %s: %s", path, r.Verdict)
		}
		m[path] = &fstest.MapFile{Data: f.Data[:len(f.Data)-1]}
		if r := walkLog(t, m, trust); r.Exit != 3 {
			t.Errorf("%s cut: %s", path, r.Verdict)
		}
		m[path] = f
	}
}

func TestLogContradictions(t *testing.T) {
	closed, other := evidence.Sum([]byte("close")), evidence.Sum([]byte("another close"))
	fork := seen(0, 5, ref(0))
	fork.Head = evidence.Sum([]byte("fork"))
	changed := stored(2, 10, nil)
	changed.Open = evidence.Sum([]byte("open"))
	for name, c := range map[string]struct {
		leaves []evidence.Leaf
		code   verify.Code
		value  string
	}{
		"good": {[]evidence.Leaf{seen(0, 5, nil), seen(1, 5, nil), seen(0, 9, ref(0)), stored(2, 10, nil), stored(3, 10, nil), stored(3, 11, &closed), stored(3, 11, &closed)}, "", ""},
		// The fork's prev is honest, so that seq alone shows it.
		"two heads":            {[]evidence.Leaf{seen(0, 5, nil), fork}, verify.CodeTwoHeads, "0, 1"},
		"two heads, long ago":  {[]evidence.Leaf{seen(0, 5, nil), seen(0, 9, ref(0)), seen(1, 1, nil), func() evidence.Leaf { f := *fork; f.Prev = ref(1); return &f }()}, verify.CodeTwoHeads, "0, 3"},
		"the same again":       {[]evidence.Leaf{seen(0, 5, nil), seen(0, 5, ref(0))}, verify.CodeSeenBack, "1"},
		"seq goes back":        {[]evidence.Leaf{seen(0, 5, nil), seen(0, 4, ref(0))}, verify.CodeSeenBack, "1"},
		"prev left out":        {[]evidence.Leaf{seen(0, 5, nil), seen(0, 9, nil)}, verify.CodeSeenBack, "1"},
		"prev of another":      {[]evidence.Leaf{seen(0, 5, nil), seen(1, 5, nil), seen(0, 9, ref(1))}, verify.CodeSeenBack, "2"},
		"prev of nothing":      {[]evidence.Leaf{seen(0, 5, ref(0))}, verify.CodeSeenBack, "0"},
		"prev goes back":       {[]evidence.Leaf{seen(0, 5, nil), seen(0, 9, ref(0)), seen(0, 12, ref(0))}, verify.CodeSeenBack, "2"},
		"until lowered":        {[]evidence.Leaf{stored(2, 10, nil), stored(2, 9, nil)}, verify.CodeStoredBack, "1"},
		"chunks lowered":       {[]evidence.Leaf{stored(2, 10, nil), stored(1, 10, nil)}, verify.CodeStoredBack, "1"},
		"opened again":         {[]evidence.Leaf{stored(2, 10, &closed), stored(2, 10, nil)}, verify.CodeStoredBack, "1"},
		"closed otherwise":     {[]evidence.Leaf{stored(2, 10, &closed), stored(2, 10, &other)}, verify.CodeStoredBack, "1"},
		"another open":         {[]evidence.Leaf{stored(2, 10, nil), changed}, verify.CodeStoredBack, "1"},
		"lowered in two steps": {[]evidence.Leaf{stored(5, 10, nil), stored(3, 10, nil), stored(4, 10, nil)}, verify.CodeStoredBack, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t)
			appendAll(t, l, c.leaves...)
			r := walkLog(t, files(t, l), trustOf(l))
			if c.code == "" {
				wantLog(t, r, verify.Verified, "")
				if r.Devices != 2 || r.Recordings != 1 {
					t.Errorf("%+v", r)
				}
				return
			}
			wantLog(t, r, verify.Broken, c.code)
			if r.First.Value != c.value {
				t.Errorf("named %q, want %q", r.First.Value, c.value)
			}
		})
	}
	t.Run("form", func(t *testing.T) {
		l := newTestLog(t)
		if _, err := l.AppendRaw([]byte(`{"type": "seen"}`)); err != nil {
			t.Fatal(err)
		}
		wantLog(t, walkLog(t, files(t, l), trustOf(l)), verify.Broken, verify.CodeLeafForm)
	})
	t.Run("cancelled", func(t *testing.T) {
		l := newTestLog(t)
		appendAll(t, l, seen(0, 5, nil))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := verify.Log(gone, files(t, l), verify.LogOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// TestLogMemory walks two logs, one of ten times as many leaves about the same device: the heap does not grow with it.
func TestLogMemory(t *testing.T) {
	peak := func(n int) uint64 {
		l := newTestLog(t)
		for i := range n {
			prev := ref(int64(i) - 1)
			if i == 0 {
				prev = nil
			}
			appendAll(t, l, seen(0, uint64(i), prev))
		}
		m := files(t, l)
		trust := trustOf(l)
		var most uint64
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := verify.Log(t.Context(), m, verify.LogOptions{Trust: trust, Progress: func(done, _ int64) {
			if done%(256*16) == 0 {
				runtime.GC()
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc)
			}
		}})
		if err != nil || r.Verdict != verify.Verified {
			t.Fatal(fmt.Sprint(err), r.Problems)
		}
		return most - min(most, before.HeapAlloc)
	}
	small, large := peak(2_000), peak(20_000)
	if large > small+256<<10 {
		t.Errorf("%d bytes with 2,000 leaves, %d with 20,000", small, large)
	}
}
