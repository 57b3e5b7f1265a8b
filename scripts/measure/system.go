package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// system is a server with a software TPM and an agent that is enrolled with it.
type system struct {
	server *proc
	flags  []string // of the agent
	ends   []func()
}

func (s *system) stop() {
	for i := len(s.ends) - 1; i >= 0; i-- {
		s.ends[i]()
	}
}

// enrolled makes one in a folder. storage says where the server's vault is, more how else the server runs.
func (p *place) enrolled(dir string, storage []string, more ...string) (s *system, err error) {
	s = &system{}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	server, agent := filepath.Join(dir, "server"), filepath.Join(dir, "agent")
	if err := os.MkdirAll(filepath.Join(dir, "tpm"), 0o755); err != nil {
		return s, err
	}
	if _, err := p.do(nil, "camseal-server", append([]string{"init", "--state", server}, storage...)...); err != nil {
		return s, err
	}
	const api, web = "127.0.0.1:18443", "127.0.0.1:18080"
	run := append([]string{"run", "--state", server, "--listen", api, "--web", web, "--allow-unknown-maker"}, storage...)
	s.server, err = p.start(nil, "camseal-server", append(run, more...)...)
	if err != nil {
		return s, err
	}
	s.ends = append(s.ends, s.server.stop)
	tpm := filepath.Join(dir, "tpm", "s")
	chip, err := p.start(nil, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+filepath.Dir(tpm), "--server", "type=unixio,path="+tpm,
		"--ctrl", "type=unixio,path="+tpm+".ctrl", "--flags", "not-need-init,startup-clear")
	if err != nil {
		return s, err
	}
	s.ends = append(s.ends, chip.stop)
	if err := until("server and TPM", func() bool {
		_, err1 := os.Stat(tpm)
		_, err2 := os.Stat(filepath.Join(server, "admin.sock"))
		return err1 == nil && err2 == nil
	}); err != nil {
		return s, fmt.Errorf("%w\n%s", err, s.server.out.Bytes())
	}
	if p.quote > 0 {
		slow, err := slowTPM(tpm+".slow", tpm, p.quote)
		if err != nil {
			return s, err
		}
		s.ends = append(s.ends, func() { _ = slow.Close() }) // the listener is gone with the process anyhow
		tpm += ".slow"
	}
	s.flags = []string{"--state", agent, "--tpm", "swtpm:" + tpm, "--log-key", filepath.Join(server, "log.vkey"),
		"--server", "https://" + api, "--ca", filepath.Join(server, "ca.pem")}
	token, err := p.do(nil, "camseal-server", "enrol-token", "--state", server)
	if err != nil {
		return s, err
	}
	_, err = p.do(nil, "camseal-agent", append([]string{"enrol", "--token", strings.TrimSpace(token.out.String())}, s.flags...)...)
	return s, err
}
