// Package e2e_test runs the real programs against each other: swtpm, agent, server, verifier, and foreign tools as judges.
package e2e_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"camseal/scripts/freeport"
	"camseal/scripts/visitor"
)

var bin string // folder of the programs under test

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "camseal-e2e-")
	if err != nil {
		log.Fatal(err)
	}
	bin = dir
	for name, pkg := range map[string]string{"camseal-agent": "camseal/agent", "camseal-server": "camseal/server",
		"camseal-verify": "camseal/pkg/cmd/camseal-verify", "camseal-bridge": "camseal/firmware-bridge", "camseal-camera": "camseal/scripts/camera", "s3serve": "camseal/server/internal/archive/s3/s3test/serve"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			log.Fatalf("build %s: %v", name, err)
		}
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		log.Print(err)
	}
	os.Exit(code)
}

// system is a server, a software TPM and an agent, each with its state in a folder of the test.
type system struct {
	t        *testing.T
	dir      string
	api, web string // addresses
	server   *process
	storage  []string // flags that say where the vault is
	agentTPM string
	agentDir string // the agent's state folder
	via      string // address that the agent uses, api unless a test puts a proxy before it
	recorder string // folder of footage
	tpmDir   string // state folder of the agent's TPM
	visitors map[string]*visitor.Visitor
}

// process is a program that was started.
type process struct {
	cmd  *exec.Cmd
	out  output
	done chan struct{}
	err  error
}

// output is what a program said so far. It is safe for concurrent use.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return begin(t, exec.Command(program(name), args...))
}

// begin starts a command, which ends with the test at the latest.
func begin(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.done
}

// program finds one of ours in bin, any other on the path.
func program(name string) string {
	if strings.HasPrefix(name, "camseal-") || name == "s3serve" {
		return filepath.Join(bin, name)
	}
	return name
}

// run runs a program to its end and returns its exit status and what it said.
func run(t *testing.T, name string, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program(name), args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	if exit != nil {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}

func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	code, out := run(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit %d\n%s", name, strings.Join(args, " "), code, out)
	}
	return out
}

// eventually waits until ok holds, looking at most every 20 ms.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited 60 s for: %s", what)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, _, err := freeport.New()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// newSystem starts a server and enrols an agent with a software TPM. Storage are flags that say where the vault is.
func newSystem(t *testing.T, storage ...string) *system {
	t.Helper()
	dir := t.TempDir()
	s, _ := newSystemAt(t, dir, dir, dir, storage...)
	return s
}

// newSystemAt is newSystem with the state of the server in dir, of the agent in agents, and TPM and recorder outside. It returns the TPM, too.
func newSystemAt(t *testing.T, dir, agents, outside string, storage ...string) (*system, *process) {
	t.Helper()
	s := &system{t: t, dir: dir, api: freeAddress(t), web: freeAddress(t), storage: storage, visitors: map[string]*visitor.Visitor{}}
	s.via, s.recorder, s.agentDir = s.api, filepath.Join(outside, "recorder"), filepath.Join(agents, "agent")
	if err := os.Mkdir(s.recorder, 0o755); err != nil {
		t.Fatal(err)
	}
	s.tpmDir = filepath.Join(outside, "tpm")
	if err := os.MkdirAll(s.tpmDir, 0o755); err != nil {
		t.Fatal(err)
	}
	certify(t, s.tpmDir)
	socket, tpm := powerTPM(t, s.tpmDir)
	s.agentTPM = "swtpm:" + socket
	mustRun(t, "camseal-server", s.serverCommand("init")...)
	s.startServer()
	s.enrol()
	return s, tpm
}

// enrol enrols the agent with a new token.
func (s *system) enrol() {
	s.t.Helper()
	mustRun(s.t, "camseal-agent", s.agent("enrol", "--token", s.token())...)
}

// token has the administrator make a token.
func (s *system) token() string {
	s.t.Helper()
	return strings.TrimSpace(mustRun(s.t, "camseal-server", "enrol-token", "--state", s.path("server")))
}

// makers is the folder with the roots of swtpm's own authority, which every software TPM here is certified by.
func makers() string { return filepath.Join(bin, "makers") }

var oneMaker sync.Mutex // the maker's authority certifies one at a time

// certify makes a fresh TPM state with an endorsement certificate, as a maker does.
func certify(t *testing.T, dir string) {
	t.Helper()
	oneMaker.Lock()
	defer oneMaker.Unlock()
	authority := filepath.Join(bin, "authority")
	conf := filepath.Join(authority, "setup.conf")
	if _, err := os.Stat(conf); err != nil {
		if err := os.MkdirAll(authority, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"ca.conf": fmt.Sprintf("statedir = %[1]s\nsigningkey = %[1]s/signkey.pem\nissuercert = %[1]s/issuercert.pem\ncertserial = %[1]s/certserial\n", authority),
			"options": "--platform-manufacturer Camseal\n--platform-version 1\n--platform-model test\n",
			"setup.conf": fmt.Sprintf("create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = %[1]s/ca.conf\n"+
				"create_certs_tool_options = %[1]s/options\nactive_pcr_banks = sha256\n", authority),
		} {
			if err := os.WriteFile(filepath.Join(authority, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustRun(t, "swtpm_setup", "--tpm2", "--tpmstate", dir, "--create-ek-cert", "--lock-nvram", "--pcr-banks", "sha256", "--config", conf)
	if err := os.MkdirAll(makers(), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"swtpm-localca-rootca-cert.pem": "root.pem", "issuercert.pem": "issuer.pem"} {
		raw, err := os.ReadFile(filepath.Join(authority, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(makers(), to), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// startTPM starts a software TPM that its maker certified, and returns its socket.
func startTPM(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	certify(t, dir)
	return runTPM(t, dir)
}

func runTPM(t *testing.T, dir string) string {
	t.Helper()
	socket, _ := powerTPM(t, dir)
	return socket
}

// powerTPM starts a TPM that has its state already, and returns its socket and what can be killed.
func powerTPM(t *testing.T, dir string) (string, *process) {
	t.Helper()
	socket := filepath.Join(dir, "s")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	p := start(t, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket,
		"--ctrl", "type=unixio,path="+filepath.Join(dir, "c"), "--flags", "not-need-init,startup-clear")
	eventually(t, "swtpm", func() bool { _, err := os.Stat(socket); return err == nil })
	return socket, p
}

func (s *system) path(name string) string { return filepath.Join(s.dir, name) }

func (s *system) startServer() {
	s.t.Helper()
	s.server = start(s.t, "camseal-server", s.serverCommand("run", "--listen", s.api, "--web", s.web)...)
	server := s.server
	eventually(s.t, "the server", func() bool {
		select {
		case <-server.done:
			s.t.Fatalf("the server ended: %v\n%s", server.err, &server.out)
		default:
		}
		c, err := net.Dial("tcp", s.web)
		if err != nil {
			return false
		}
		_ = c.Close()
		if c, err = net.Dial("unix", s.path("server/admin.sock")); err != nil { // one that was killed leaves its socket
			return false
		}
		return c.Close() == nil
	})
}

// serverCommand returns the command line of a server's subcommand.
func (s *system) serverCommand(words ...string) []string {
	return append(append(words, "--state", s.path("server"), "--ek-roots-trial", makers()), s.storage...)
}

// agent returns the command line of an agent's subcommand.
func (s *system) agent(command string, more ...string) []string {
	return append([]string{command, "--state", s.agentDir, "--tpm", s.agentTPM, "--log-key", s.path("server/log.vkey"),
		"--server", "https://" + s.via, "--ca", s.path("server/ca.pem")}, more...)
}

// importing returns the command line that takes in the recorder's folder.
func (s *system) importing(more ...string) []string {
	return s.agent("import", append([]string{"--recorder", "E2E-0001", "--chunk-size", "64KiB", "--settle", "0s", "--json", s.recorder}, more...)...)
}

// film puts a file of numbered blocks on the recorder.
func (s *system) film(name string, size int) {
	s.t.Helper()
	path := filepath.Join(s.recorder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, footage(name, size), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func footage(name string, size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%s block %012d\n", name, i)
	}
	return b.Bytes()[:size]
}

// as returns somebody with a role, signed in; the same one every time.
func (s *system) as(role string) *visitor.Visitor {
	s.t.Helper()
	if v := s.visitors[role]; v != nil {
		return v
	}
	v, err := visitor.New("http://" + s.web)
	if err != nil {
		s.t.Fatal(err)
	}
	code, link := run(s.t, "camseal-server", s.serverCommand("account", "add", "--login", "the-"+role, "--name", "王 "+role, "--role", role,
		"--body", "市文化市场综合行政执法总队", "--certificate", "NJ0137")...)
	if code != 0 { // there is one already
		link = mustRun(s.t, "camseal-server", s.serverCommand("account", "link", "the-"+role)...)
	}
	if err := v.UseLink(strings.TrimSpace(link), "correct horse battery"); err != nil {
		s.t.Fatal(err)
	}
	s.visitors[role] = v
	return v
}

// recording is what the catalog tells of one.
type recording struct {
	Rec   string `json:"rec"`
	Name  string `json:"name"`
	State string `json:"state"`
	Why   string `json:"why"` // how it was closed
}

// recordings asks the server which recordings it has.
func (s *system) recordings() []recording {
	s.t.Helper()
	var list []recording
	sc := bufio.NewScanner(strings.NewReader(mustRun(s.t, "camseal-server", s.serverCommand("recordings", "--json")...)))
	for sc.Scan() {
		var r recording
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			s.t.Fatalf("%v: %s", err, sc.Text())
		}
		list = append(list, r)
	}
	return list
}

// export writes the bundle of a recording and returns its path.
func (s *system) export(rec string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), rec+".zip")
	mustRun(s.t, "camseal-server", s.serverCommand("export", rec, "-o", path)...)
	return path
}

// trust writes the server's trust folder and returns its path.
func (s *system) trust() string {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "trust")
	mustRun(s.t, "camseal-server", s.serverCommand("trust-export", dir)...)
	return dir
}

// verify runs the verifier and compares its exit status.
func verify(t *testing.T, want int, args ...string) string {
	t.Helper()
	code, out := run(t, "camseal-verify", args...)
	if code != want {
		t.Fatalf("camseal-verify %s: exit %d, want %d\n%s", strings.Join(args, " "), code, want, out)
	}
	return out
}

// allSound checks that there is one stored recording a file, and that the bundle of each verifies and holds the file.
func (s *system) allSound(files map[string][]byte) {
	s.t.Helper()
	list, trust := s.recordings(), s.trust()
	if len(list) != len(files) {
		s.t.Fatalf("%d recordings of %d files: %v", len(list), len(files), list)
	}
	for _, r := range list {
		verify(s.t, 0, "--trust", trust, s.export(r.Rec))
		if got := original(s.t, s.export(r.Rec)); !bytes.Equal(got, files[r.Name]) {
			s.t.Errorf("%s: %d bytes came back, and not those that went in", r.Name, len(got))
		}
	}
}

func original(t *testing.T, bundle string) []byte {
	t.Helper()
	z, err := zip.OpenReader(bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.Contains(f.Name, "data/original/") {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("%s holds no original", bundle)
	return nil
}

// moments returns n seeded moments between 0 and the given time.
func moments(seed uint64, n int, within time.Duration) []time.Duration {
	r := rand.New(rand.NewPCG(seed, 0))
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = time.Duration(r.Int64N(int64(within)))
	}
	return out
}
