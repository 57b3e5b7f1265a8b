package ledger_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
	merkle "golang.org/x/mod/sumdb/tlog"
	_ "modernc.org/sqlite"

	"camseal/pkg/tlog"
	"camseal/scripts/freeport"
	"camseal/server/internal/ledger"
)

// until waits for something that happens in the background.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// witnessed is a configuration with a clock and witnesses, that tries again soon.
func witnessed(t testing.TB, quorum int, ww ...ledger.Witness) (c ledger.Config, log note.Verifier, clock tlog.Cosigner) {
	t.Helper()
	c = config(t, folder(t, t.TempDir()))
	vkey, err := tlog.VerifierKey(c.SignerKey)
	if err != nil {
		t.Fatal(err)
	}
	var clockKey string
	if c.ClockKey, clockKey, err = ledger.NewClockKey(vkey); err != nil {
		t.Fatal(err)
	}
	if got, err := ledger.ClockVKey(c.ClockKey); err != nil || got != clockKey {
		t.Fatalf("%s, %v", got, err)
	}
	c.Witnesses, c.Quorum, c.WitnessInterval, c.RetryAfter = ww, quorum, 20*time.Millisecond, 20*time.Millisecond
	if log, err = tlog.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	return c, log, cosigner(t, clockKey)
}

func cosigner(t testing.TB, vkey string) tlog.Cosigner {
	t.Helper()
	c, err := tlog.NewCosigner(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// litewitness is filippo.io/torchwood's witness, as another process.
type litewitness struct {
	ledger.Witness
	args []string
	cmd  *exec.Cmd
}

// newLitewitness gives it a key in an ssh-agent and a database that knows the log; it does not run yet.
func newLitewitness(t testing.TB, log string) *litewitness {
	t.Helper()
	dir, err := os.MkdirTemp("", "litewitness") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	sock, err := net.Listen("unix", filepath.Join(dir, "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	go func() {
		for {
			conn, err := sock.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keys, conn)
		}
	}()
	sshKey, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	w := &litewitness{}
	if w.Key, err = note.NewEd25519VerifierKey("witness.example/lite", public); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, "db")
	prepare(t, db, log)
	addr, _, err := freeport.New()
	if err != nil {
		t.Fatal(err)
	}
	w.URL = "http://" + addr
	w.args = []string{"-name", "witness.example/lite", "-db", db, "-ssh-agent", filepath.Join(dir, "agent.sock"), "-listen", addr,
		"-key", ssh.FingerprintSHA256(sshKey)}
	t.Cleanup(func() { w.kill(t) })
	return w
}

// prepare does what `witnessctl add-log` and `add-key` do.
func prepare(t testing.TB, path, log string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	origin, _, _ := strings.Cut(log, "+")
	empty, err := merkle.TreeHash(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range [][]any{
		{"CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL)"},
		{"CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin))"},
		{"INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", origin, empty.String()},
		{"INSERT INTO key (origin, key) VALUES (?, ?)", origin, log},
	} {
		if _, err := db.ExecContext(t.Context(), q[0].(string), q[1:]...); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *litewitness) start(t testing.TB) {
	t.Helper()
	w.cmd = exec.Command("litewitness", w.args...)
	var out bytes.Buffer
	w.cmd.Stderr = &out
	if err := w.cmd.Start(); err != nil {
		t.Fatalf("litewitness (scripts/test builds it into .tools): %v", err)
	}
	until(t, "litewitness answers", func() bool {
		resp, err := http.Get(w.URL + "/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
}

func (w *litewitness) kill(t testing.TB) {
	t.Helper()
	if w.cmd == nil {
		return
	}
	if err := w.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = w.cmd.Wait() // killed
	w.cmd = nil
}

// TestLitewitnessCosigns has the log cosigned by a real witness, which is killed and comes back.
func TestLitewitnessCosigns(t *testing.T) {
	c, log, clock := witnessed(t, 1)
	vkey, err := tlog.VerifierKey(c.SignerKey)
	if err != nil {
		t.Fatal(err)
	}
	w := newLitewitness(t, vkey)
	w.start(t)
	c.Witnesses = []ledger.Witness{w.Witness}
	witness := cosigner(t, w.Key)
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(signed []byte) (size int64) {
		cp, err := tlog.OpenCheckpoint(signed, log, clock, witness)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []tlog.Cosigner{clock, witness} {
			if at, ok, err := k.Verify(signed); err != nil || !ok || time.Since(at).Abs() > time.Minute {
				t.Fatalf("%s: %s, %v, %v\n%s", k.Name(), at, ok, err, signed)
			}
		}
		return cp.Size
	}
	covered := func(index uint64) func() bool { return func() bool { return l.Status().Witnessed > index } }
	for i := range 5 {
		until(t, "the witness cosigns", covered(appendLeaf(t, l, fmt.Sprint("leaf ", i))))
	}
	signed(l.Newest())
	best := func(index uint64) tlog.Verified {
		e, err := l.BestReceipt(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		v, err := e.Receipt.VerifyStrict(log, clock, witness)
		if err != nil || v.Index != int64(index) {
			t.Fatalf("%+v, %v", v, err)
		}
		signed(v.Signed)
		return v
	}
	first := best(0)
	if first.Size > 2 || best(4).Size < 5 {
		t.Fatalf("leaf 0 is proven at %d, leaf 4 at %d", first.Size, best(4).Size)
	}

	w.kill(t)
	for i := range 3 {
		appendLeaf(t, l, fmt.Sprint("without a witness ", i))
	}
	verify(t, l.VKey(), follow(t, l, 5, 3), 5) // receipts go out all the same
	until(t, "the failure is shown", func() bool { s := l.Status(); return s.Witnesses[0].Err != "" && s.Witnesses[0].Failures > 1 })
	if e, err := l.BestReceipt(t.Context(), 7); err != nil {
		t.Fatal(err)
	} else if v, err := e.Receipt.VerifyStrict(log, clock); err != nil || v.Index != 7 {
		t.Fatalf("the receipt without a witness: %+v, %v", v, err)
	}
	if l.AwaitWitnesses(t.Context(), 7) {
		t.Fatal("a witness that is down cosigned")
	}
	w.start(t)
	until(t, "the witness that came back cosigns", covered(7))
	if s := l.Status(); s.Witnesses[0].Err != "" || s.Witnesses[0].Failures != 0 || s.Witnesses[0].Size < 8 {
		t.Fatalf("%+v", s.Witnesses[0])
	}
	best(7)
	newest := signed(l.Newest())
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	w.kill(t)
	l = open(t, c)
	if got := signed(l.Newest()); got != newest {
		t.Fatalf("opened again, the newest witnessed checkpoint is over %d leaves, it was %d", got, newest)
	}
	if again := best(0); again.Size != first.Size {
		t.Fatalf("opened again, leaf 0 is proven at %d, was at %d", again.Size, first.Size)
	}
	w.start(t)
	until(t, "a witness that knows more than the server remembers", covered(appendLeaf(t, l, "leaf 8")))
}

// byHand is a witness written by hand, that does what a test wants.
type byHand struct {
	ledger.Witness
	key    *tlog.CosignerKey
	secret string
	answer func(w http.ResponseWriter, r *http.Request, checkpoint []byte)
	now    atomic.Int64 // requests under way
	most   atomic.Int64
	asked  atomic.Int64
}

func newByHand(t testing.TB, name string) *byHand {
	t.Helper()
	skey, vkey, err := tlog.GenerateCosigner(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	w := &byHand{secret: skey}
	if w.key, err = tlog.NewCosignerKey(skey, time.Now); err != nil {
		t.Fatal(err)
	}
	w.answer = func(out http.ResponseWriter, _ *http.Request, cp []byte) { w.sign(out, w.key, cp) }
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		defer w.now.Add(-1)
		for n := w.now.Add(1); n > w.most.Load(); {
			w.most.Store(n)
		}
		body, err := io.ReadAll(r.Body)
		_, cp, ok := bytes.Cut(body, []byte("\n\n"))
		if err != nil || !ok || r.URL.Path != "/sub/add-checkpoint" {
			http.Error(out, "bad", http.StatusBadRequest)
			return
		}
		w.answer(out, r, cp)
	}))
	t.Cleanup(s.Close)
	w.Witness = ledger.Witness{URL: s.URL + "/sub/", Key: vkey}
	return w
}

func (w *byHand) sign(out io.Writer, key *tlog.CosignerKey, cp []byte) {
	signed, err := key.Cosign(cp)
	if err == nil {
		_, err = out.Write(signed[len(cp):])
	}
	if err != nil {
		panic(err)
	}
}

// TestWitnessThatIsNoHelp holds that nothing that a witness does stops receipts or gets into a checkpoint, and that it is shown.
func TestWitnessThatIsNoHelp(t *testing.T) {
	other, late := newByHand(t, "witness.example/bad").key, newByHand(t, "witness.example/bad")
	status := func(code int, body string) func(*byHand, http.ResponseWriter, *http.Request, []byte) {
		return func(_ *byHand, out http.ResponseWriter, _ *http.Request, _ []byte) {
			out.WriteHeader(code)
			_, _ = io.WriteString(out, body)
		}
	}
	for name, c := range map[string]struct {
		answer func(w *byHand, out http.ResponseWriter, r *http.Request, cp []byte)
		want   string
	}{
		"another key": {func(w *byHand, out http.ResponseWriter, _ *http.Request, cp []byte) { w.sign(out, other, cp) }, "another key"},
		"another checkpoint": {func(w *byHand, out http.ResponseWriter, _ *http.Request, cp []byte) {
			forged := bytes.Replace(cp, []byte("\n"), []byte("x\n"), 1)
			w.sign(out, w.key, forged)
		}, "it lies"},
		"a clock that is far off": {func(w *byHand, out http.ResponseWriter, _ *http.Request, cp []byte) {
			skewed, err := late.key.Cosign(cp)
			if err != nil {
				panic(err)
			}
			_, _ = out.Write(skewed[len(cp):])
		}, "its clock says"},
		"rubbish":             {status(http.StatusOK, "fine\n"), "no signature line"},
		"nothing":             {status(http.StatusOK, ""), "no signature line"},
		"too much":            {status(http.StatusOK, strings.Repeat("x", 1<<20)), "more than"},
		"a log unknown to it": {status(http.StatusNotFound, "who?"), "does not know this log"},
		"a key unknown to it": {status(http.StatusForbidden, "no"), "trusts no key"},
		"a proof refused":     {status(http.StatusUnprocessableEntity, "no"), "does not go on"},
		"a size from ahead":   {status(http.StatusConflict, "999999\n"), "an older copy of the log"},
		"conflict for ever":   {status(http.StatusConflict, "0\n"), "it has cosigned a log of 0 leaves"},
		"a redirect":          {status(http.StatusFound, ""), "status 302"},
		"never an answer":     {func(_ *byHand, _ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			good, bad := newByHand(t, "witness.example/good"), newByHand(t, "witness.example/bad")
			bad.answer = func(out http.ResponseWriter, r *http.Request, cp []byte) { c.answer(bad, out, r, cp) }
			if name == "a clock that is far off" {
				bad.Key = late.Key
				skewed, err := tlog.NewCosignerKey(late.secret, func() time.Time { return time.Now().Add(-time.Hour) })
				if err != nil {
					t.Fatal(err)
				}
				late.key = skewed
			}
			cfg, log, clock := witnessed(t, 1, bad.Witness, good.Witness)
			l := open(t, cfg)
			for i := range 4 {
				index := appendLeaf(t, l, fmt.Sprint("leaf ", i))
				until(t, "the good one cosigns", func() bool { return l.Status().Witnessed > index })
			}
			verify(t, l.VKey(), follow(t, l, 0, 4), 0)
			if _, err := tlog.OpenCheckpoint(l.Newest(), log, clock, cosigner(t, good.Key)); err != nil {
				t.Fatal(err)
			}
			if c.want != "" {
				until(t, "it is shown", func() bool { return strings.Contains(l.Status().Witnesses[0].Err, c.want) })
			}
			if s := l.Status(); s.Witnesses[0].Size != 0 || s.Witnesses[1].Size < 4 || s.Witnesses[1].Err != "" {
				t.Fatalf("%+v", s)
			}
			if bad.most.Load() != 1 || good.most.Load() != 1 {
				t.Fatalf("%d and %d requests at once", bad.most.Load(), good.most.Load())
			}
		})
	}
}

// TestQuorum holds that a proof is made at the earliest checkpoint that two of three cosigned, and that a late third is taken in.
func TestQuorum(t *testing.T) {
	a, b, slow := newByHand(t, "witness.example/a"), newByHand(t, "witness.example/b"), newByHand(t, "witness.example/slow")
	var mu sync.Mutex
	gate := make(chan struct{})
	b.answer = func(out http.ResponseWriter, r *http.Request, cp []byte) {
		mu.Lock()
		g := gate
		mu.Unlock()
		select {
		case <-g:
			b.sign(out, b.key, cp)
		case <-r.Context().Done():
		}
	}
	late := make(chan struct{})
	slow.answer = func(out http.ResponseWriter, r *http.Request, cp []byte) {
		select {
		case <-late:
			slow.sign(out, slow.key, cp)
		case <-r.Context().Done():
		}
	}
	cfg, log, clock := witnessed(t, 2, a.Witness, b.Witness, slow.Witness)
	l := open(t, cfg)
	appendLeaf(t, l, "first")
	follow(t, l, 0, 1)
	until(t, "a cosigned", func() bool { return l.Status().Witnesses[0].Size == 1 })
	for i := range 5 {
		appendLeaf(t, l, fmt.Sprint("more ", i))
		follow(t, l, 0, i+2)
	}
	if s := l.Status(); s.Witnessed != 0 || s.Quorum != 2 {
		t.Fatalf("one of two is no quorum: %+v", s)
	}
	close(gate)
	until(t, "the quorum goes on", func() bool { return l.Status().Witnessed >= 6 })
	e, err := l.BestReceipt(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Receipt.VerifyStrict(log, clock, cosigner(t, a.Key), cosigner(t, b.Key))
	if err != nil || v.Size != 1 {
		t.Fatalf("%+v, %v: the round waits for whoever is still busy", v, err)
	}
	close(late)
	until(t, "a late line counts for its checkpoint", func() bool {
		e, err := l.BestReceipt(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		_, ok, err := cosigner(t, slow.Key).Verify(e.Receipt.Proof[bytes.Index(e.Receipt.Proof, []byte("\n\n"))+2:])
		return ok && err == nil
	})

	// Tessera removes partial tiles once they are full.
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() { appendLeaf(t, l, fmt.Sprint("many ", i)) })
	}
	wg.Wait()
	follow(t, l, 0, 306)
	for _, dir := range []string{"tile/0/000.p", "tile/entries/000.p"} {
		if err := os.RemoveAll(filepath.Join(cfg.Dir, "log", dir)); err != nil {
			t.Fatal(err)
		}
	}
	again, err := l.BestReceipt(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := again.Receipt.Verify(log); err != nil || v.Size != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	if e, err := l.ReceiptAt(t.Context(), 0, l.Newest()); err != nil {
		t.Fatal(err)
	} else if v, err := e.Receipt.Verify(log); err != nil || v.Size < 6 || !bytes.Equal(v.Signed, l.Newest()) {
		t.Fatalf("%+v, %v", v, err)
	}
}

func TestWitnessesMisconfigured(t *testing.T) {
	w := newByHand(t, "witness.example/a")
	for name, change := range map[string]func(*ledger.Config){
		"a quorum of none":        func(c *ledger.Config) { c.Witnesses = nil },
		"a quorum of too many":    func(c *ledger.Config) { c.Quorum = 2 },
		"one stands twice":        func(c *ledger.Config) { c.Witnesses = append(c.Witnesses, w.Witness) },
		"no URL":                  func(c *ledger.Config) { c.Witnesses[0].URL = "witness.example" },
		"no key":                  func(c *ledger.Config) { c.Witnesses[0].Key = "witness.example" },
		"another log's clock":     func(c *ledger.Config) { c.ClockKey, _, _ = ledger.NewClockKey("example.com/other+0+0") },
		"no clock key":            func(c *ledger.Config) { c.ClockKey = "clock" },
		"no URL of a TSA":         func(c *ledger.Config) { c.TSA.URL = "tsa" },
		"an ftp URL of a TSA":     func(c *ledger.Config) { c.TSA.URL = "ftp://tsa.example" },
		"an ftp URL of a witness": func(c *ledger.Config) { c.Witnesses[0].URL = "ftp://witness.example" },
	} {
		c, _, _ := witnessed(t, 1, w.Witness)
		change(&c)
		if _, err := ledger.Open(t.Context(), c); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
