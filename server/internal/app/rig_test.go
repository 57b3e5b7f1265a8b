package app

import (
	"bytes"
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/scripts/visitor"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/pgtest"
	"camseal/server/internal/people"
)

// rig is a server in this process, with its state in a folder of the test.
type rig struct {
	t        testing.TB
	env      *env
	core     *core
	servers  []server
	ca       *x509.Certificate
	vkey     string
	agents   string // address
	page     string
	log      bytes.Buffer
	shutdown bool
	callers  map[string]caller
	visitors map[auth.Role]*visitor.Visitor
	ahead    atomic.Int64 // of the true time, nanoseconds
}

// pass lets time go by for the server.
func (r *rig) pass(d time.Duration) { r.ahead.Add(int64(d)) }

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

func testSettings(dir string) *settings {
	return &settings{State: dir, Listen: "127.0.0.1:0", Web: "127.0.0.1:0", Names: []string{"localhost", "127.0.0.1"}, Retention: days(24 * time.Hour),
		LogRetention: days(48 * time.Hour), HeaderDeadline: days(24 * time.Hour), BatchAge: 5 * time.Millisecond, CheckpointInterval: 100 * time.Millisecond,
		QuarantineBytes: 32 << 20, QuarantineEntries: 8, MaxConnections: 64, RememberedChunks: 1000, EKRoots: filepath.Join(dir, "ek-roots"), TSAInterval: time.Hour,
		Timezone:   "Asia/Shanghai",
		MediaBytes: 64 << 20,
		LiveListen: "127.0.0.1:0", LiveViewers: 50, LiveLinger: 15 * time.Second,
		SweepInterval: time.Hour, ExportDeadline: days(48 * time.Hour),
		SessionIdle: days(30 * time.Minute), SessionLife: days(12 * time.Hour),
	}
}

func newRig(t testing.TB, change ...func(*settings)) *rig {
	t.Helper()
	r := &rig{t: t}
	r.env = &env{ctx: context.Background(), settings: testSettings(filepath.Join(t.TempDir(), "state")), out: io.Discard, now: r.now,
		log: slog.New(slog.NewTextHandler(&syncWriter{w: &r.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range change {
		f(r.env.settings)
	}
	r.init()
	r.start()
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("server's log:\n%s", r.log.String())
		}
	})
	return r
}

// syncWriter makes one writer safe for many.
type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func (r *rig) start() {
	r.t.Helper()
	cert, err := ensureServerCert(r.env.settings, r.env.now())
	check(r.t, err)
	r.ca, _, err = ensureCA(r.env.settings, r.env.now())
	check(r.t, err)
	_, r.vkey, err = ensureLogKey(r.env.settings)
	check(r.t, err)
	r.core, err = openCore(r.env)
	check(r.t, err)
	r.servers, err = listen(r.env, r.core, cert)
	check(r.t, err)
	for _, s := range r.servers {
		go s.http.Serve(s.on)
	}
	r.agents, r.page, r.shutdown = r.servers[0].on.Addr().String(), "http://"+r.servers[1].on.Addr().String(), false
	check(r.t, r.core.wait(context.Background()))
}

func (r *rig) stop() {
	r.t.Helper()
	if r.shutdown {
		return
	}
	r.shutdown = true
	check(r.t, stop(r.servers))
	check(r.t, r.core.close())
}

// init makes the state folder, with the root of the test devices' maker.
func (r *rig) init() {
	r.t.Helper()
	check(r.t, r.env.settings.check())
	check(r.t, initCommand{}.Run(r.env))
	check(r.t, os.MkdirAll(r.env.settings.EKRoots, 0o700))
	check(r.t, os.WriteFile(filepath.Join(r.env.settings.EKRoots, "root.pem"), sharedEK().root, 0o600))
}

// place is where the catalog is.
func (r *rig) place() string {
	r.t.Helper()
	where, err := r.env.settings.catalogPlace()
	check(r.t, err)
	return where
}

// loseCatalog removes the catalog of a stopped server.
func (r *rig) loseCatalog() {
	r.t.Helper()
	if where := r.place(); catalog.OnPostgreSQL(where) {
		conn, err := sql.Open("pgx", where)
		check(r.t, err)
		_, err = conn.Exec("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
		check(r.t, errors.Join(err, conn.Close()))
		return
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(r.env.settings.path(fileCatalog) + suffix); !errors.Is(err, fs.ErrNotExist) {
			check(r.t, err)
		}
	}
}

// onPostgreSQL puts the catalog of a rig into a PostgreSQL of its own, whose password is in a file.
func onPostgreSQL(t testing.TB) func(*settings) {
	t.Helper()
	u, err := url.Parse(pgtest.New(t))
	check(t, err)
	u.User = url.User(pgtest.User)
	file := filepath.Join(t.TempDir(), "password")
	check(t, os.WriteFile(file, []byte(pgtest.Password+"\n"), 0o600))
	return func(s *settings) { s.Catalog, s.CatalogPassword = u.String(), file }
}

// onBoth runs a test with a rig on each database.
func onBoth(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { f(t, newRig(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { f(t, newRig(t, onPostgreSQL(t))) })
}

// register makes a new device and enrols it.
func (r *rig) register(seed string) *device {
	r.t.Helper()
	d := newDevice(r.t, seed, r.vkey)
	check(r.t, d.enrol(r, r.token(enrolTokenCommand{For: days(time.Hour)})))
	return d
}

// says runs a command of the administrator and returns what it prints.
func (r *rig) says(c interface{ Run(*env) error }) (string, error) {
	r.t.Helper()
	var out bytes.Buffer
	e := *r.env
	e.out = &out
	err := c.Run(&e)
	return out.String(), err
}

// token makes an enrolment token as the administrator does.
func (r *rig) token(c enrolTokenCommand) string {
	r.t.Helper()
	out, err := r.says(c)
	check(r.t, err)
	return strings.TrimSpace(out)
}

// receipt verifies a receipt as an agent does.
func (r *rig) receipt(x transport.Receipt) tlog.Verified {
	r.t.Helper()
	v, err := tlog.NewVerifier(r.vkey)
	check(r.t, err)
	got, err := x.Tlog().Verify(v)
	check(r.t, err)
	return got
}

// storedLeaf verifies a stored receipt against what the device said.
func (r *rig) storedLeaf(d *device, rec evidence.RecordingID, s transport.Stored) *evidence.Stored {
	r.t.Helper()
	rules := verify.NewRecording(d.id(), rec)
	for _, l := range d.lines {
		st, digest, err := evidence.ParseUnverified(l)
		check(r.t, err)
		if st.Rec == rec {
			check(r.t, rules.Add(&st, digest))
		}
	}
	leaf, err := verify.Stored(r.receipt(s.Receipt), rules.Exhibit())
	check(r.t, err)
	return leaf
}

// testPassword is everybody's.
const testPassword = "correct horse battery"

// testBody is the body that the accounts of tests belong to.
const testBody = "市文化市场综合行政执法总队"

// as returns somebody with a role, signed in; the same one every time.
func (r *rig) as(role auth.Role) *visitor.Visitor {
	r.t.Helper()
	if v := r.visitors[role]; v != nil {
		v.Base = r.page
		return v
	}
	v, err := visitor.New(r.page)
	check(r.t, err)
	if r.visitors == nil {
		r.visitors = map[auth.Role]*visitor.Visitor{}
	}
	r.visitors[role] = v
	r.signIn(role)
	return v
}

// signIn gives somebody with a role a new session.
func (r *rig) signIn(role auth.Role) {
	r.t.Helper()
	v := r.visitors[role]
	v.Base = r.page
	r.enter(v, auth.Account{Login: "the-" + string(role), Name: "王 " + string(role), Role: role, Body: testBody, Certificate: "NJ0137"})
}

// enter signs somebody in with an account, which is made when there is none, and returns it.
func (r *rig) enter(v *visitor.Visitor, a auth.Account) auth.Account {
	r.t.Helper()
	p, err := r.core.people.FindLogin(r.t.Context(), a.Login)
	if errors.Is(err, people.ErrUnknown) {
		p.Account, err = r.core.people.Make(r.t.Context(), "test", a)
	}
	check(r.t, err)
	if p.Hash != "" {
		check(r.t, v.SignIn(a.Login, testPassword))
		return p.Account
	}
	link, err := r.core.people.Link(r.t.Context(), p.ID)
	check(r.t, err)
	check(r.t, v.UseLink(r.page+"/link/"+link, testPassword))
	return p.Account
}

// visitor returns somebody with an account of the test's own, signed in.
func (r *rig) visitor(a auth.Account) (*visitor.Visitor, auth.Account) {
	r.t.Helper()
	v, err := visitor.New(r.page)
	check(r.t, err)
	if a.Body == "" {
		a.Body = testBody
	}
	return v, r.enter(v, a)
}

// get reads a page as a custodian.
func (r *rig) get(path string, header ...string) (int, http.Header, []byte, error) {
	r.t.Helper()
	v := r.as(auth.Custodian)
	for again := false; ; again = true {
		req, err := http.NewRequest("GET", r.page+path, nil)
		check(r.t, err)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := v.Do(req)
		if err != nil {
			return 0, nil, nil, err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if visitor.SignedOut(resp) && !again { // the session ended, or the test took it away
			r.signIn(auth.Custodian)
			continue
		}
		return resp.StatusCode, resp.Header, body, err
	}
}

// post sends a form as a custodian does, and returns where the answer leads to and what it holds.
func (r *rig) post(path string, form url.Values) (status int, to, body string) {
	r.t.Helper()
	v := r.as(auth.Custodian)
	req, err := http.NewRequest("POST", r.page+path, strings.NewReader(form.Encode()))
	check(r.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", r.page)
	for _, c := range v.Jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	resp, err := v.RoundTrip(req)
	check(r.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	check(r.t, err)
	return resp.StatusCode, resp.Header.Get("Location"), string(raw)
}

// verified checks a bundle with the rig's own log key and expects the given verdict.
func (r *rig) verified(path string, want verify.Verdict) *verify.Report {
	r.t.Helper()
	src, err := verify.OpenBundle(path)
	check(r.t, err)
	trust := &verify.Trust{V: 1, Logs: []verify.TrustedLog{{Key: r.vkey}}}
	report, err := verify.Bundle(context.Background(), src, verify.Options{Trust: trust, Now: time.Now})
	check(r.t, err)
	if report.Verdict != want {
		raw, _ := json.MarshalIndent(report, "", " ")
		r.t.Fatalf("verdict %s, want %s\n%s", report.Verdict, want, raw)
	}
	return report
}

func (r *rig) export(rec evidence.RecordingID, folder bool) (string, error) {
	path := filepath.Join(r.t.TempDir(), "bundle")
	return path, exportCommand{Recording: rec.String(), Output: path, Folder: folder}.Run(r.env)
}

func content(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed) + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
