//go:build unix

// Package swtpmtest runs real software TPMs (swtpm) for tests. A test fails if swtpm is missing; it never skips.
package swtpmtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TPM is a running swtpm with its state in a folder of its own.
type TPM struct {
	tb      testing.TB
	dir     string
	command *exec.Cmd
	output  *bytes.Buffer
	done    chan struct{}
}

// Start starts a swtpm with fresh state. It ends with the test.
func Start(tb testing.TB) *TPM {
	tb.Helper()
	s := prepare(tb)
	s.PowerOn()
	return s
}

func prepare(tb testing.TB) *TPM {
	tb.Helper()
	dir, err := os.MkdirTemp("", "swtpm") // short: socket paths have 108 bytes
	if err != nil {
		tb.Fatal(err)
	}
	s := &TPM{tb: tb, dir: dir}
	tb.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Maker is a local authority that certifies the endorsement keys of software TPMs.
type Maker struct{ dir string }

// NewMaker makes an authority; it gets its keys with the first TPM.
func NewMaker(tb testing.TB) *Maker {
	tb.Helper()
	m := &Maker{dir: tb.TempDir()}
	for name, text := range map[string]string{
		"ca.conf":    fmt.Sprintf("statedir = %[1]s\nsigningkey = %[1]s/signkey.pem\nissuercert = %[1]s/issuercert.pem\ncertserial = %[1]s/certserial\n", m.dir),
		"ca.options": "--platform-manufacturer Camseal\n--platform-version 1\n--platform-model test\n",
		"setup.conf": fmt.Sprintf("create_certs_tool = swtpm_localca\ncreate_certs_tool_config = %[1]s/ca.conf\ncreate_certs_tool_options = %[1]s/ca.options\n", m.dir),
	} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return m
}

// Start is Start for a TPM with a certified RSA 2048 endorsement key, at the places where makers put key and certificate. It takes about a second.
func (m *Maker) Start(tb testing.TB) *TPM {
	tb.Helper()
	s := prepare(tb)
	out, err := exec.Command("swtpm_setup", "--tpm2", "--tpmstate", s.dir, "--create-ek-cert", "--lock-nvram",
		"--pcr-banks", "sha256", "--config", filepath.Join(m.dir, "setup.conf")).CombinedOutput()
	if err != nil {
		tb.Fatalf("swtpm_setup is needed for this test (apt-get install swtpm-tools): %v\n%s", err, out)
	}
	s.PowerOn()
	return s
}

// Root returns the authority's root certificate, and Intermediate the one that issues certificates: PEM, as a trust folder's ek-roots hold
// them. There must have been a TPM.
func (m *Maker) Root(tb testing.TB) []byte { return m.read(tb, "swtpm-localca-rootca-cert.pem") }

// Intermediate is described at Root.
func (m *Maker) Intermediate(tb testing.TB) []byte { return m.read(tb, "issuercert.pem") }

func (m *Maker) read(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// Path is what device.Config.Path wants.
func (s *TPM) Path() string { return "swtpm:" + s.Socket() }

// Socket is the path of swtpm's command socket.
func (s *TPM) Socket() string { return filepath.Join(s.dir, "sock") }

// PowerOn starts swtpm on its state and returns when it answers.
func (s *TPM) PowerOn() {
	s.tb.Helper()
	if err := os.Remove(s.Socket()); err != nil && !os.IsNotExist(err) {
		s.tb.Fatal(err)
	}
	s.output = new(bytes.Buffer)
	s.command = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+s.dir,
		"--server", "type=unixio,path="+s.Socket(), "--flags", "not-need-init,startup-clear")
	s.command.Stdout, s.command.Stderr = s.output, s.output
	if err := s.command.Start(); err != nil {
		s.tb.Fatalf("swtpm is needed for this test (apt-get install swtpm): %v", err)
	}
	s.done = make(chan struct{})
	go func(c *exec.Cmd, done chan struct{}) {
		_ = c.Wait() // killed, as a rule
		close(done)
	}(s.command, s.done)
	s.await()
}

// await returns when the socket takes connections: commands wait there until swtpm is ready.
func (s *TPM) await() {
	s.tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		if conn, err := net.Dial("unix", s.Socket()); err == nil {
			if err := conn.Close(); err != nil {
				s.tb.Fatal(err)
			}
			return
		}
		select {
		case <-tick.C:
		case <-s.done:
			s.tb.Fatalf("swtpm ended: %s", s.output)
		case <-limit.C:
			s.tb.Fatal("swtpm does not listen")
		}
	}
}

// Kill ends swtpm at once, as a power cut ends a TPM. It may be called again.
func (s *TPM) Kill() {
	s.tb.Helper()
	if s.command == nil {
		return
	}
	_ = s.command.Process.Kill() // it may have ended
	<-s.done
	s.command = nil
}

// PowerCycle kills swtpm and starts it on the same state: the reset count grows, PCRs are zeros.
func (s *TPM) PowerCycle() {
	s.tb.Helper()
	s.Kill()
	s.PowerOn()
}

// Replace puts another TPM, fresh from its maker and without certificates, in the place of this one.
func (s *TPM) Replace() {
	s.tb.Helper()
	s.Kill()
	if err := os.Remove(filepath.Join(s.dir, "tpm2-00.permall")); err != nil {
		s.tb.Fatal(err)
	}
	s.PowerOn()
}

// Stop halts the process, so that the TPM hangs, until Continue.
func (s *TPM) Stop() { s.signal(syscall.SIGSTOP) }

// Continue lets a stopped TPM go on.
func (s *TPM) Continue() { s.signal(syscall.SIGCONT) }

func (s *TPM) signal(sig os.Signal) {
	s.tb.Helper()
	if err := s.command.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}
