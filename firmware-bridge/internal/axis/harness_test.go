package axis

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncw/swift/v2"

	"camseal/firmware-bridge/internal/serve"
	"camseal/pkg/handoff"
)

const (
	testUser = "bws-1"
	testKey  = "a key of a test 0123"
)

// testUsers has one user, with the cheapest hash that is allowed.
func testUsers(t *testing.T) *Users { return testUsersIn(t, t.TempDir()) }

func testUsersIn(t *testing.T, dir string) *Users {
	t.Helper()
	h := hash{memory: 8 << 10, time: 1, threads: 1, salt: []byte("saltsalt")}
	h.sum = h.of([]byte(testKey), 32)
	path := filepath.Join(dir, fmt.Sprint("users-", os.Getpid()))
	if err := os.WriteFile(path, []byte(testUser+":"+h.String()+"\nother:"+h.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := ReadUsers(path)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// clock is one that tests can set.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// site is a destination that listens.
type site struct {
	*Destination
	t     *testing.T
	clock *clock
	url   string
	log   *bytes.Buffer
}

func newSite(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	s := &site{t: t, clock: &clock{}, log: &bytes.Buffer{}}
	c := config(t.TempDir(), s)
	c.Users = testUsers(t)
	for _, f := range change {
		f(&c)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("log:\n" + s.logged())
		}
	})
	s.open(c)
	return s
}

func config(state string, s *site) Config {
	return Config{State: state, Slot: "axis", Reserve: 1 << 20, MaxObject: 64 << 20, Uploads: 8, TokenLife: time.Hour, Idle: 20 * time.Second, Erases: true,
		Now: s.clock.now, Log: slog.New(slog.NewTextHandler(&locked{w: s.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

func (s *site) open(c Config) {
	s.t.Helper()
	d, err := Open(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Destination = d
	web := httptest.NewServer(d)
	s.url = web.URL
	s.t.Cleanup(func() { web.Close(); _ = d.Close() }) // a test may have closed it
}

// again stops the destination and starts it on the same folder.
func (s *site) again() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.open(s.Config)
}

func (s *site) connect() *swift.Connection {
	s.t.Helper()
	c := &swift.Connection{UserName: testUser, ApiKey: testKey, AuthUrl: s.url + "/auth/v1.0", AuthVersion: 1, Retries: 1, ConnectTimeout: time.Minute, Timeout: time.Minute}
	if err := c.Authenticate(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// status makes a request as it stands: what the client library would not send.
func (s *site) status(c *swift.Connection, method, path string, body io.Reader, headers ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.URL.Opaque = "//" + r.URL.Host + path
	if c != nil {
		r.Header.Set("X-Auth-Token", c.AuthToken)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// want fails unless the answer has the status and says all of the words.
func (s *site) want(status int, text string, code int, words ...string) {
	s.t.Helper()
	if status != code {
		s.t.Errorf("status %d, want %d: %s", status, code, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			s.t.Errorf("%q does not say %q", text, w)
		}
	}
}

// status code of an error of the client library.
func code(err error) int {
	var e *swift.Error
	if errors.As(err, &e) {
		return e.StatusCode
	}
	return 0
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const originals = "/usr/share/forensics-samples/original-files/"

func footage(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(originals + name)
	if err != nil {
		t.Fatalf("%v: install forensics-samples-files", err)
	}
	return b
}

// agent asks over the socket, as the agent does.
type agent struct {
	t    *testing.T
	http http.Client
}

func (s *site) agent(check serve.Check) *agent {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "s")
	l, err := serve.Listen(path, os.Geteuid(), os.Getegid(), s.Log)
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- serve.Run(ctx, l, serve.New(serve.Config{Source: s.Destination, Check: check, Log: s.Log, Now: s.clock.now}))
	}()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	return &agent{s.t, http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}}
}

// watch returns a function that waits for the next docking.
func (a *agent) watch() func() handoff.Docking {
	a.t.Helper()
	resp, err := a.http.Get("http://bridge/v1/dockings")
	must(a.t, err)
	a.t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, handoff.MaxLine)
	return func() handoff.Docking {
		a.t.Helper()
		for lines.Scan() {
			if len(lines.Bytes()) == 0 {
				continue
			}
			var d handoff.Docking
			must(a.t, json.Unmarshal(lines.Bytes(), &d))
			return d
		}
		a.t.Fatalf("no more dockings: %v", lines.Err())
		return handoff.Docking{}
	}
}

// files lists a docking by name.
func (a *agent) files(id string) (list []handoff.File, byName map[string]handoff.File) {
	a.t.Helper()
	resp, err := a.http.Get("http://bridge/v1/dockings/" + id + "/files")
	must(a.t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		a.t.Fatalf("%s: %s", resp.Status, text)
	}
	byName = map[string]handoff.File{}
	for dec := json.NewDecoder(resp.Body); ; {
		var f handoff.File
		must(a.t, dec.Decode(&f))
		if f.End {
			return list, byName
		}
		list = append(list, f)
		byName[strings.TrimPrefix(string(f.Path), "/")] = f
	}
}

// locked is a log that several goroutines write and a test reads at its end.
type locked struct{ w io.Writer }

var logMu sync.Mutex

// Write implements io.Writer.
func (l *locked) Write(b []byte) (int, error) {
	logMu.Lock()
	defer logMu.Unlock()
	return l.w.Write(b)
}

func (s *site) logged() string {
	logMu.Lock()
	defer logMu.Unlock()
	return s.log.String()
}

func metaHeaders(kind string, kv ...string) swift.Headers {
	h := swift.Headers{}
	for i := 0; i < len(kv); i += 2 {
		h["X-"+kind+"-Meta-"+kv[i]] = kv[i+1]
	}
	return h
}

func put(t *testing.T, c *swift.Connection, container, name string, b []byte, h swift.Headers) {
	t.Helper()
	if _, err := c.ObjectPut(context.Background(), container, name, bytes.NewReader(b), true, "", "", h); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func fill(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i*7919%251)
	}
	return b
}

// write makes a file with just this mode, and returns its path.
func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), mode))
	must(t, os.Chmod(path, mode))
	return path
}
