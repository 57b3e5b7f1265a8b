// Package station is a whole docking station to try things on: a server on this machine, and a virtual dock in which the bridge and the agent
// run, with a software TPM and USB recorders that are plugged in and pulled out.
package station

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"camseal/scripts/dockvm"
	"camseal/scripts/freeport"
)

// Config says what a station is made of.
type Config struct {
	Dir      string // folder for all state
	Programs string // folder with the camseal programs
	Erase    bool   // the bridge erases on permits
	Register string // YAML for `camseal-server register set`; "": none
	Agent    []string
	Bridge   []string
	Server   []string // flags of init and run
	Log      io.Writer
}

// Station runs from Start to Close.
type Station struct {
	Config
	VM    *dockvm.VM
	Kiosk string // http address on this machine
	Web   string // the server's page
	api   string
	tpm   *dockvm.TPM

	server        *exec.Cmd
	agent, bridge *dockvm.Process
}

const patience = 3 * time.Minute

// Start starts the server, boots the dock, enrols its agent and starts bridge and agent. After an error nothing is left running.
func Start(ctx context.Context, c Config) (s *Station, err error) {
	s = &Station{Config: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, dir := range []string{"tpm", "makers", "maker"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return s, err
		}
	}
	if err := s.makeTPM(ctx); err != nil {
		return s, err
	}
	if err := s.startServer(ctx); err != nil {
		return s, err
	}
	_, port, err := freeport.New()
	if err != nil {
		return s, err
	}
	s.Kiosk = fmt.Sprintf("http://127.0.0.1:%d", port)
	if s.tpm, err = dockvm.StartTPM(ctx, s.path("tpm")); err != nil {
		return s, err
	}
	s.VM, err = dockvm.Start(ctx, dockvm.Config{Dir: s.path("dock"), Programs: c.Programs, TPM: s.tpm.Socket, Forward: map[int]int{port: 8090}, Log: c.Log})
	if err != nil {
		return s, err
	}
	begun := time.Now()
	if err := s.enrol(ctx); err != nil {
		return s, err
	}
	s.say("agent enrolled after %v", time.Since(begun).Round(time.Millisecond))
	if err := s.StartBridge(ctx, c.Erase); err != nil {
		return s, err
	}
	s.say("bridge runs after %v", time.Since(begun).Round(time.Millisecond))
	err = s.StartAgent(ctx)
	s.say("agent runs after %v", time.Since(begun).Round(time.Millisecond))
	return s, err
}

// say says what was done.
func (s *Station) say(format string, args ...any) {
	if s.Log != nil {
		fmt.Fprintf(s.Log, "station: "+format+"\n", args...)
	}
}

func (s *Station) path(name string) string { return filepath.Join(s.Dir, name) }

func (s *Station) program(name string) string { return filepath.Join(s.Programs, name) }

// makeTPM makes a TPM's state, with its maker's certificate.
func (s *Station) makeTPM(ctx context.Context) error {
	maker := s.path("maker")
	for name, text := range map[string]string{
		"ca.conf": fmt.Sprintf("statedir = %[1]s\nsigningkey = %[1]s/signkey.pem\nissuercert = %[1]s/issuercert.pem\ncertserial = %[1]s/certserial\n", maker),
		"options": "--platform-manufacturer Camseal\n--platform-version 1\n--platform-model virtual dock\n",
		"setup.conf": fmt.Sprintf("create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = %[1]s/ca.conf\ncreate_certs_tool_options = %[1]s/options\n"+
			"active_pcr_banks = sha256\n", maker),
	} {
		if err := os.WriteFile(filepath.Join(maker, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if _, err := output(ctx, "swtpm_setup", "--tpm2", "--tpmstate", s.path("tpm"), "--create-ek-cert", "--lock-nvram", "--pcr-banks", "sha256",
		"--config", filepath.Join(maker, "setup.conf")); err != nil {
		return err
	}
	for from, to := range map[string]string{"swtpm-localca-rootca-cert.pem": "root.pem", "issuercert.pem": "issuer.pem"} {
		raw, err := os.ReadFile(filepath.Join(maker, from))
		if err == nil {
			err = os.WriteFile(filepath.Join(s.path("makers"), to), raw, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), err
}

// RunServer runs a command of the server's program on its state, and returns what it said.
func (s *Station) RunServer(ctx context.Context, args ...string) (string, error) {
	args = append(args, "--state", s.path("server"), "--ek-roots-trial", s.path("makers"), "--names", "localhost,127.0.0.1,10.0.2.2")
	return output(ctx, s.program("camseal-server"), append(args, s.Server...)...)
}

func (s *Station) startServer(ctx context.Context) error {
	if _, err := s.RunServer(ctx, "init"); err != nil {
		return err
	}
	_, api, err1 := freeport.New()
	_, web, err2 := freeport.New()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	s.api, s.Web = fmt.Sprintf("127.0.0.1:%d", api), fmt.Sprintf("http://127.0.0.1:%d", web)
	log, err := os.Create(s.path("server.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.server = exec.Command(s.program("camseal-server"), append([]string{"run", "--state", s.path("server"), "--ek-roots-trial", s.path("makers"),
		"--names", "localhost,127.0.0.1,10.0.2.2", "--listen", s.api, "--web", strings.TrimPrefix(s.Web, "http://")}, s.Server...)...)
	s.server.Stdout, s.server.Stderr = log, log
	s.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.server.Start(); err != nil {
		return err
	}
	if err := s.Until(ctx, "the server", func() (bool, error) {
		_, err := os.Stat(s.path("server/admin.sock"))
		return err == nil, nil
	}); err != nil {
		return err
	}
	if s.Register == "" {
		return nil
	}
	if err := os.WriteFile(s.path("register.yaml"), []byte(s.Register), 0o600); err != nil {
		return err
	}
	_, err = s.RunServer(ctx, "register", "set", s.path("register.yaml"))
	return err
}

// agentCommand is a command line of the agent in the dock. Its state is on the dock's own disk.
func (s *Station) agentCommand(words ...string) []string {
	_, port, _ := net.SplitHostPort(s.api)
	return append(append([]string{"camseal-agent"}, words...), "--state", "/var/lib/camseal-agent", "--server", "https://10.0.2.2:"+port,
		"--log-key", "/dock/log.vkey", "--ca", "/dock/ca.pem")
}

func (s *Station) enrol(ctx context.Context) error {
	for _, name := range []string{"log.vkey", "ca.pem"} {
		raw, err := os.ReadFile(filepath.Join(s.path("server"), name))
		if err == nil {
			err = os.WriteFile(s.VM.Path(name), raw, 0o644)
		}
		if err != nil {
			return err
		}
	}
	token, err := s.RunServer(ctx, "enrol-token", "--model", "dock")
	if err != nil {
		return err
	}
	_, err = s.VM.Run(ctx, s.agentCommand("enrol", "--token", token)...)
	return err
}

// StartBridge starts the bridge in the dock.
func (s *Station) StartBridge(ctx context.Context, erase bool) (err error) {
	args := []string{"camseal-bridge", "run", "--agent-user", "root"}
	for slot, port := range s.VM.Ports() {
		args = append(args, "--slots", slot+"="+port)
	}
	if erase {
		args = append(args, "--erase", "--log-key", "/dock/log.vkey")
	}
	if s.bridge, err = s.VM.Start("bridge", append(args, s.Bridge...)...); err != nil {
		return err
	}
	return s.Until(ctx, "the bridge", func() (bool, error) {
		_, err := s.VM.Run(ctx, "test", "-S", "/run/camseal/bridge.sock")
		return err == nil, s.alive(s.bridge)
	})
}

// StopBridge ends the bridge.
func (s *Station) StopBridge(ctx context.Context) error {
	if err := s.bridge.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.bridge.Wait(ctx)
}

// StartAgent starts the agent in the dock.
func (s *Station) StartAgent(ctx context.Context) (err error) {
	args := s.agentCommand("run", "--bridges", "/run/camseal/bridge.sock", "--station", "Station 3", "--slots", "1,2,3,4,5,6,7,8", "--kiosk", "0.0.0.0:8090")
	if s.agent, err = s.VM.Start("agent", append(args, s.Agent...)...); err != nil {
		return err
	}
	return s.Until(ctx, "the agent", func() (bool, error) {
		_, err := s.Snapshot(ctx)
		return err == nil, s.alive(s.agent)
	})
}

// KillAgent kills the agent, as a power cut does.
func (s *Station) KillAgent(ctx context.Context) error {
	if err := s.agent.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	var exit *dockvm.ExitError
	if err := s.agent.Wait(ctx); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// alive returns what a program said if it has ended.
func (s *Station) alive(p *dockvm.Process) error {
	select {
	case <-p.Done():
		said, err := os.ReadFile(p.Log)
		return errors.Join(fmt.Errorf("it ended: %s", bytes.TrimSpace(said[max(0, len(said)-4096):])), err)
	default:
		return nil
	}
}

// Until waits until ok holds. An error of ok ends it.
func (s *Station) Until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if done {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited for: %s: %w", what, ctx.Err())
		}
	}
}

// Close ends everything.
func (s *Station) Close() error {
	var errs []error
	if s.VM != nil {
		s.VM.Kill()
	}
	if s.tpm != nil {
		s.tpm.Close()
	}
	if s.server != nil && s.server.Process != nil {
		errs = append(errs, s.server.Process.Signal(syscall.SIGTERM))
		var exit *exec.ExitError
		if err := s.server.Wait(); err != nil && !errors.As(err, &exit) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
