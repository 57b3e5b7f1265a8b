package device

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
)

const socketPrefix = "swtpm:"

func openTransport(path string, timeout time.Duration) (transport.TPMCloser, error) {
	if name, ok := strings.CutPrefix(path, socketPrefix); ok {
		return &socket{path: name, timeout: timeout}, nil
	}
	return linuxtpm.Open(path)
}

// direct reports whether no resource manager stands between: what a crash left loaded must be flushed by us.
func direct(path string) bool {
	return strings.HasPrefix(path, socketPrefix) || path == "/dev/tpm0"
}

// lockState takes the exclusive lock of a state folder, until the returned function or the end of the process.
func lockState(dir string) (unlock func() error, err error) {
	if dir == "" {
		return func() error { return nil }, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, "tpm.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock TPM state: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("%w (%s)", ErrLocked, dir)
	}
	return f.Close, nil
}
