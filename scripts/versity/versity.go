// Package versity starts a real S3 server with object lock (versitygw) for end-to-end tests and measurements.
package versity

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Gateway is a running store with one bucket. Access and Secret are the credentials for the server, which can't delete.
type Gateway struct {
	Endpoint   string `json:"endpoint"`
	CAFile     string `json:"ca_file"`
	Bucket     string `json:"bucket"`
	Access     string `json:"access"`
	Secret     string `json:"secret"`
	RootAccess string `json:"root_access"`
	RootSecret string `json:"root_secret"`
	PID        int    `json:"pid"`

	cmd   *exec.Cmd
	stdin io.Closer
	dir   string
}

// Start runs a store with its data in dir. serve is the program server/internal/archive/s3/s3test/serve, built.
func Start(serve, dir string) (*Gateway, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	g := &Gateway{cmd: exec.Command(serve, dir), dir: dir}
	g.cmd.Stderr = os.Stderr
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := g.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	g.stdin = in
	if err := json.NewDecoder(out).Decode(g); err != nil {
		g.Stop()
		return nil, fmt.Errorf("versitygw: %w", err)
	}
	return g, nil
}

// Stop ends the store.
func (g *Gateway) Stop() {
	_ = g.stdin.Close() // this is what ends it
	_ = g.cmd.Wait()    // its exit status says nothing more
}

// ServerFlags returns the flags that make a camseal-server keep its vault here.
func (g *Gateway) ServerFlags() ([]string, error) {
	file := filepath.Join(g.dir, "server.secret")
	if err := os.WriteFile(file, []byte(g.Secret+"\n"), 0o600); err != nil {
		return nil, err
	}
	return []string{"--s3-endpoint", g.Endpoint, "--s3-bucket", g.Bucket, "--s3-ca", g.CAFile, "--s3-access-key", g.Access, "--s3-secret-file", file}, nil
}
