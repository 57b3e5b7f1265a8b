package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
	"camseal/server/internal/ledger"
	"camseal/server/internal/ledger/ledgertest"
)

// TestTimeStampsOfOpenSSL stamps the log by openssl, which also says that the tokens hold.
func TestTimeStampsOfOpenSSL(t *testing.T) {
	a, w := ledgertest.NewAuthority(t), newByHand(t, "witness.example/a")
	c, log, clock := witnessed(t, 1, w.Witness)
	c.TSA = ledger.TSA{URL: a.URL, Interval: time.Millisecond}
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.StampAfter(t.Context(), 0); !errors.Is(err, archive.ErrNotFound) {
		t.Fatalf("a stamp of nothing: %v", err)
	}
	sizes := []int64{}
	for i := range 3 {
		index := appendLeaf(t, l, fmt.Sprint("leaf ", i))
		until(t, "the log is stamped", func() bool { return l.Status().TSA.Size > index })
		s, err := l.StampAfter(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		a.Verify(t, s.Checkpoint, s.Token)
		cp, err := tlog.OpenCosigned(s.Checkpoint, log)
		if err != nil || cp.Size <= int64(index) {
			t.Fatalf("%+v, %v", cp, err)
		}
		sizes = append(sizes, cp.Size)
	}
	if s := l.Status().TSA; s.Err != "" || time.Since(s.At).Abs() > time.Minute {
		t.Fatalf("%+v", s)
	}
	asked := a.Asked.Load()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l = open(t, c)
	until(t, "the witness is there", func() bool { return l.Status().Witnesses[0].Size > 0 })
	if s, err := l.StampAfter(t.Context(), 0); err != nil {
		t.Fatal(err)
	} else if cp, err := tlog.OpenCosigned(s.Checkpoint, log); err != nil || cp.Size != sizes[0] {
		t.Fatalf("%+v, %v, want size %d", cp, err, sizes[0])
	}
	if got := l.Status().TSA.Size; got != uint64(sizes[2]) || a.Asked.Load() != asked {
		t.Fatalf("opened again: stamped up to %d, asked %d times; was %d and %d", got, a.Asked.Load(), sizes[2], asked)
	}
	_ = clock
}

// TestAuthorityThatIsNoHelp holds that a time stamping authority that is down or answers rubbish stops nothing, is shown, and is
// taken up again when it comes back.
func TestAuthorityThatIsNoHelp(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(t testing.TB, a *ledgertest.Authority, w http.ResponseWriter, query []byte)
		want   string
	}{
		"down": {func(_ testing.TB, _ *ledgertest.Authority, w http.ResponseWriter, _ []byte) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "status 503"},
		"rubbish": {func(_ testing.TB, _ *ledgertest.Authority, w http.ResponseWriter, _ []byte) {
			_, _ = io.WriteString(w, "12:00")
		}, "no time stamp"},
		"refused": {func(t testing.TB, a *ledgertest.Authority, w http.ResponseWriter, _ []byte) {
			_, _ = w.Write(a.Reply(t, []byte("x")))
		}, "rejected"},
		"too much": {func(_ testing.TB, _ *ledgertest.Authority, w http.ResponseWriter, _ []byte) {
			_, _ = w.Write(make([]byte, 1<<20))
		}, "more than"},
		"over something else": {func(t testing.TB, a *ledgertest.Authority, w http.ResponseWriter, q []byte) {
			_, _ = w.Write(a.Reply(t, changed(t, q, func(r *timestamp.Request) { r.HashedMessage[0] ^= 1 })))
		}, "over something else"},
		"an old answer": {func(t testing.TB, a *ledgertest.Authority, w http.ResponseWriter, q []byte) {
			_, _ = w.Write(a.Reply(t, changed(t, q, func(r *timestamp.Request) { r.Nonce.SetInt64(7) })))
		}, "another request"},
		"without a certificate": {func(t testing.TB, a *ledgertest.Authority, w http.ResponseWriter, q []byte) {
			_, _ = w.Write(a.Reply(t, changed(t, q, func(r *timestamp.Request) { r.Certificates = false })))
		}, "no certificate"},
		"signature changed": {func(t testing.TB, a *ledgertest.Authority, w http.ResponseWriter, q []byte) {
			token := a.Reply(t, q)
			token[len(token)-1] ^= 1
			_, _ = w.Write(token)
		}, "no time stamp"},
	} {
		t.Run(name, func(t *testing.T) {
			a := ledgertest.NewAuthority(t)
			bad := func(w http.ResponseWriter, q []byte) { c.answer(t, a, w, q) }
			a.Answer.Store(&bad)
			cfg, _, _ := witnessed(t, 0)
			cfg.TSA = ledger.TSA{URL: a.URL, Interval: time.Millisecond}
			l := open(t, cfg)
			for i := range 3 {
				appendLeaf(t, l, fmt.Sprint("leaf ", i))
			}
			verify(t, l.VKey(), follow(t, l, 0, 3), 0)
			until(t, "it is shown", func() bool { s := l.Status().TSA; return s.Failures > 1 && strings.Contains(s.Err, c.want) })
			if _, err := l.StampAfter(t.Context(), 0); !errors.Is(err, archive.ErrNotFound) {
				t.Fatalf("kept: %v", err)
			}
			a.Answer.Store(nil)
			until(t, "it came back", func() bool { return l.Status().TSA.Size == 3 })
			s, err := l.StampAfter(t.Context(), 2)
			if err != nil || !bytes.Equal(s.Checkpoint, l.Newest()) {
				t.Fatalf("%v\n%s", err, s.Checkpoint)
			}
			a.Verify(t, s.Checkpoint, s.Token)
		})
	}
}

func changed(t testing.TB, query []byte, change func(*timestamp.Request)) []byte {
	r, err := timestamp.ParseRequest(query)
	if err != nil {
		t.Error(err)
		return nil
	}
	change(r)
	out, err := r.Marshal()
	if err != nil {
		t.Error(err)
	}
	return out
}

// TestFsck has Tessera's own checker go over the log's folder.
func TestFsck(t *testing.T) {
	c, _, _ := witnessed(t, 0)
	l := open(t, c)
	for i := range 300 {
		go func() { _, _ = l.Append(t.Context(), fmt.Appendf(nil, "leaf %d", i)) }()
	}
	follow(t, l, 0, 300)
	key := filepath.Join(t.TempDir(), "log.vkey")
	write(t, key, []byte(l.VKey()))
	fsck := func() string {
		// With fewer workers than tiles it waits for ever once a tile is wrong.
		out, err := exec.CommandContext(t.Context(), "tessera-fsck", "--N=8", "--storage_url=file://"+filepath.Join(c.Dir, "log")+"/", "--public_key="+key, "--ui=false", "--logtostderr").CombinedOutput()
		if err != nil {
			t.Fatalf("tessera-fsck (scripts/test builds it into .tools): %v\n%s", err, out)
		}
		return string(out)
	}
	if out := fsck(); !strings.Contains(out, "Successfully fsck'd") { // its exit status says nothing
		t.Fatal(out)
	}
	tile := filepath.Join(c.Dir, "log", "tile", "0", "000")
	raw, err := os.ReadFile(tile)
	if err != nil {
		t.Fatal(err)
	}
	raw[40] ^= 1
	write(t, tile, raw)
	if out := fsck(); strings.Contains(out, "Successfully fsck'd") {
		t.Fatalf("it says that a damaged log is sound:\n%s", out)
	}
}
