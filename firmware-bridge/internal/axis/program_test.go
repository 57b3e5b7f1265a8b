package axis_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncw/swift/v2"

	"camseal/firmware-bridge/internal/permit/permittest"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/scripts/freeport"
)

// nobody is who the program runs as in these tests.
const nobody = 65534

const programKey = "a key of some length"

// program is camseal-bridge axis in a process of its own, without root.
type program struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	addr string
	pool *x509.CertPool
	log  *bytes.Buffer
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build makes the program, and its folder that nobody else has.
func build(t *testing.T) *program {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "camseal-axis-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	p := &program{t: t, dir: dir, log: &bytes.Buffer{}}
	out, err := exec.Command("go", "build", "-o", p.path("camseal-bridge"), "camseal/firmware-bridge").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, d := range []string{"state", "run"} {
		must(t, os.Mkdir(p.path(d), 0o750))
		must(t, os.Chown(p.path(d), nobody, nobody))
	}
	must(t, os.Chmod(dir, 0o755))
	p.certificate()
	hash := exec.Command(p.path("camseal-bridge"), "axis", "user", "bws-1")
	hash.Stdin = strings.NewReader(programKey + "\n")
	line, err := hash.Output()
	must(t, err)
	p.write("users", line)
	p.write("log.vkey", []byte(permittest.Log().VKey+"\n"))
	return p
}

func (p *program) path(name string) string { return filepath.Join(p.dir, name) }

func (p *program) write(name string, b []byte) {
	p.t.Helper()
	must(p.t, os.WriteFile(p.path(name), b, 0o400))
	must(p.t, os.Chown(p.path(name), nobody, nobody))
}

func (p *program) certificate() {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(p.t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "content destination"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(p.t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	must(p.t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.write("cert.pem", certificate)
	p.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	p.pool = x509.NewCertPool()
	p.pool.AppendCertsFromPEM(certificate)
}

// command is the program with arguments, as nobody.
func (p *program) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.path("camseal-bridge"), append([]string{"axis", "--state", p.path("state"), "--socket", p.path("run/s"), "--users", p.path("users"), "--agent-user", "0", "--reserve", "0"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// start runs it with TLS and waits until it listens.
func (p *program) start(args ...string) {
	p.t.Helper()
	var err error
	p.addr, _, err = freeport.New()
	must(p.t, err)
	p.cmd = p.command(append([]string{"--listen", p.addr, "--certificate", p.path("cert.pem"), "--key", p.path("key.pem")}, args...)...)
	p.cmd.Stderr = p.log
	must(p.t, p.cmd.Start())
	p.t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // it may have ended
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); ; {
		if c, err := net.Dial("tcp", p.addr); err == nil {
			_ = c.Close() // it was only to see that somebody answers
			return
		}
		select {
		case <-tick.C:
		case <-late:
			p.t.Fatalf("it does not listen: %s", p.log)
		}
	}
}

// stop ends it as systemd does; only then its log may be read.
func (p *program) stop() {
	p.t.Helper()
	must(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it ended with %v: %s", err, p.log)
	}
}

func (p *program) connect() *swift.Connection {
	p.t.Helper()
	c := &swift.Connection{UserName: "bws-1", ApiKey: programKey, AuthUrl: "https://" + p.addr + "/auth/v1.0", AuthVersion: 1, Retries: 1, Timeout: 5 * time.Minute, ConnectTimeout: 5 * time.Minute,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.pool}}}
	must(p.t, c.Authenticate(context.Background()))
	return c
}

// ask is one request over the socket.
func (p *program) ask(method, path string, body []byte) (int, []byte) {
	p.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.path("run/s"))
	}}}
	r, err := http.NewRequest(method, "http://bridge"+path, bytes.NewReader(body))
	must(p.t, err)
	resp, err := client.Do(r)
	must(p.t, err)
	defer resp.Body.Close()
	if path == "/v1/dockings" { // lines without end
		for dec := json.NewDecoder(resp.Body); ; {
			var raw json.RawMessage
			must(p.t, dec.Decode(&raw))
			return resp.StatusCode, raw
		}
	}
	b, err := io.ReadAll(resp.Body)
	must(p.t, err)
	return resp.StatusCode, b
}

const container = "4e9f1a7c_B8A44F123456_20240503T113411Z"

// TestProgramWithoutRoot: over TLS, as a user without rights, a recording comes in; the agent reads it, and erases it on a real permit that the program checks itself;
// with a permit of another log it does not.
func TestProgramWithoutRoot(t *testing.T) {
	p := build(t)
	p.start("--erase", "--log-key", p.path("log.vkey"), "--erase-days", "30")
	c := p.connect()
	ctx := context.Background()
	must(t, c.ContainerCreate(ctx, container, nil))
	clip := bytes.Repeat([]byte("footage!"), 2000)
	_, err := c.ObjectPut(ctx, container, "clip.mp4", bytes.NewReader(clip), true, "", "", nil)
	must(t, err)
	must(t, c.ContainerUpdate(ctx, container, swift.Headers{"X-Container-Meta-Status": "Complete"}))

	var d handoff.Docking
	_, raw := p.ask("GET", "/v1/dockings", nil)
	must(t, json.Unmarshal(raw, &d))
	got, err := os.ReadFile(filepath.Join(string(d.Root), "clip.mp4"))
	must(t, err)
	if !bytes.Equal(got, clip) || d.Serial != "B8A44F123456" || !d.Erases {
		t.Errorf("%+v", d)
	}
	info, err := os.Stat(filepath.Join(string(d.Root), "clip.mp4"))
	must(t, err)
	if s := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != 0o640 || s.Uid != nobody || s.Nlink != 1 {
		t.Errorf("mode %v, %d, %d names", info.Mode(), s.Uid, s.Nlink)
	}

	spec := permittest.Spec{Content: clip, Source: evidence.Source{Serial: d.Serial, Volume: d.Volume}, Leaf: func(l *evidence.Stored) { l.Until = time.Now().Add(40 * 24 * time.Hour).UnixMilli() }}
	spec.Source.SetPath([]byte("/clip.mp4"), []byte("clip.mp4"))
	bad := spec
	bad.Sent = func(s *handoff.Permit) {
		s.Proof = bytes.Replace(s.Proof, []byte("example.com"), []byte("example.net"), 1)
	}
	request, _ := permittest.Request(bad)
	status, answer := p.ask("POST", "/v1/erase", request)
	var no handoff.Error
	must(t, json.Unmarshal(answer, &no))
	if status != http.StatusUnprocessableEntity || no.Code != handoff.CodeBadPermit {
		t.Errorf("permit of another log: %d %s", status, answer)
	}
	request, leaf := permittest.Request(spec)
	for i := range 2 {
		status, answer = p.ask("POST", "/v1/erase", request)
		var done handoff.Erased
		must(t, json.Unmarshal(answer, &done))
		if status != http.StatusOK || done.Permit != leaf || done.Hash != evidence.Sum(clip) || done.Before != (i == 1) {
			t.Errorf("permit, time %d: %d %s", i, status, answer)
		}
	}
	if _, err := os.Stat(filepath.Join(string(d.Root), "clip.mp4")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the staged copy: %v", err)
	}
	p.stop()
	if strings.Contains(p.log.String(), programKey) {
		t.Error("the log holds the key")
	}
}

// TestProgramRefusesWhatIsUnsafe: in words, and with nothing started.
func TestProgramRefusesWhatIsUnsafe(t *testing.T) {
	p := build(t)
	p.write("axis.yaml", []byte("listne: 1\n"))
	must(t, os.WriteFile(p.path("public"), nil, 0o644))
	for words, args := range map[string][]string{
		"for everybody to read":      {"--listen", "0.0.0.0:0"},
		"Give certificate and key":   {"--listen", "content.example:8090"},
		"give both":                  {"--certificate", p.path("cert.pem")},
		"can be read by everybody":   {"--users", p.path("public")},
		"nobody is named":            {"--users", ""},
		`there is no key "listne"`:   {"--config", p.path("axis.yaml")},
		"without log-key no permit":  {"--erase"},
		"no user \"no-such-agent\"":  {"--agent-user", "no-such-agent"},
		"token-life, of a minute":    {"--token-life", "1s"},
		"uploads: 0 is not between":  {"--uploads", "0"},
		"lock: \"x\" is neither":     {"--lock", "x"},
		"certificate: open /nothing": {"--certificate", "/nothing", "--key", "/nothing"},
	} {
		out, err := p.command(args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), words) {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
}

// TestLargeUploadKeepsMemoryFlat: an object of 1 GiB takes no more memory than one of a MiB.
func TestLargeUploadKeepsMemoryFlat(t *testing.T) {
	size := int64(1 << 30)
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		size = 128 << 20
	}
	p := build(t)
	p.start()
	c := p.connect()
	ctx := context.Background()
	must(t, c.ContainerCreate(ctx, container, nil))
	send := func(name string, n int64) {
		_, err := c.ObjectPut(ctx, container, name, io.LimitReader(endless{}, n), true, "", "", nil)
		must(t, err)
	}
	send("small.mp4", 1<<20)
	before := anon(t, p.cmd.Process.Pid)
	peak, done := before, make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, anon(t, p.cmd.Process.Pid))
			case <-done:
				return
			}
		}
	}()
	begun := time.Now()
	send("large.mp4", size)
	took := time.Since(begun)
	close(done)
	<-watched
	t.Logf("%d MiB in %s, %.0f MB/s over TLS; RssAnon %d KiB before, %d KiB at most", size>>20, took.Round(time.Millisecond), float64(size)/1e6/took.Seconds(), before, peak)
	if peak > before+16<<10 {
		t.Errorf("RssAnon grew from %d to %d KiB", before, peak)
	}
	p.stop()
}

type endless struct{}

// Read implements io.Reader.
func (endless) Read(b []byte) (int, error) { return len(b), nil }

// anon is a process's RssAnon in KiB.
func anon(t *testing.T, pid int) (kib int) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(raw), "RssAnon:")
	if _, err2 := fmt.Sscan(rest, &kib); err != nil || err2 != nil {
		t.Error(err, err2)
	}
	return kib
}
