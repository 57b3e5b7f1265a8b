package dockvm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// TPM is a swtpm that waits for a dock. One dock at a time can use it, until Close.
type TPM struct {
	Socket string // for Config.TPM

	cmd *exec.Cmd
}

// StartTPM starts a swtpm with its state in a folder, which is made if it is not there. A state that is there is used: so the same TPM serves a
// dock that is booted again.
func StartTPM(ctx context.Context, state string) (*TPM, error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	t := &TPM{Socket: filepath.Join(state, "ctrl")}
	if err := os.Remove(t.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	t.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--ctrl", "type=unixio,path="+t.Socket)
	var said strings.Builder
	t.cmd.Stdout, t.cmd.Stderr = &said, &said
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := t.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a TPM: %w", err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(20 * time.Second); ; {
		if _, err := os.Stat(t.Socket); err == nil {
			return t, nil
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Close()
			return nil, fmt.Errorf("start a TPM: swtpm does not come up: %s", &said)
		case <-ctx.Done():
			t.Close()
			return nil, fmt.Errorf("start a TPM: %w", ctx.Err())
		}
	}
}

// Close ends the TPM; its state stays. Switch the dock off before.
func (t *TPM) Close() {
	_ = t.cmd.Process.Kill() // it may have ended already
	_ = t.cmd.Wait()         // as above
}
