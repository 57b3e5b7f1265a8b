// Package pgtest runs a real PostgreSQL for tests and measurements. It needs Debian's postgresql-15 or a newer one.
package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// User and Password are those of the catalog's owner.
const (
	User     = "camseal"
	Password = "a secret/of %tests"
)

const startTimeout = 30 * time.Second

// New starts a PostgreSQL with an empty database of its own, and stops it after the test. It returns the database's URL, password included.
func New(t testing.TB) string {
	t.Helper()
	where, stop, err := Start("-c", "fsync=off", "-c", "synchronous_commit=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return where
}

// Start starts one in a folder of its own, with further options for the server; stop ends it and removes all of it.
func Start(options ...string) (where string, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "pg") // short: a socket's path has 107 bytes
	if err != nil {
		return "", nil, err
	}
	s := &server{dir: dir, exited: make(chan struct{})}
	if err := s.start(options); err != nil {
		return "", nil, fmt.Errorf("start PostgreSQL: %w\n%s", errors.Join(err, s.stop()), s.output.String())
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, Password), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}
	return u.String(), s.stop, nil
}

type server struct {
	dir    string
	attr   *syscall.SysProcAttr
	cmd    *exec.Cmd // nil before it runs
	output bytes.Buffer
	exited chan struct{}
}

func (s *server) start(options []string) error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	if err := s.asSomebody(); err != nil {
		return err
	}
	data, pw := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "pw")
	if err := os.WriteFile(pw, []byte(Password+"\n"), 0o644); err != nil {
		return err
	}
	make := s.command(filepath.Join(bin, "initdb"), "-D", data, "-U", User, "--pwfile", pw, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	if err := make.Run(); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	s.cmd = s.command(filepath.Join(bin, "postgres"), append([]string{"-D", data, "-k", s.dir, "-c", "listen_addresses="}, options...)...)
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	go func() {
		_ = s.cmd.Wait() // how it ended does not matter
		close(s.exited)
	}()
	return s.ready(filepath.Join(bin, "pg_isready"))
}

// binaries finds the newest installed PostgreSQL.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return "", errors.Join(errors.New("there is no /usr/lib/postgresql/*/bin: install postgresql-15"), err)
	}
	return found[len(found)-1], nil
}

// asSomebody has the server run as the Debian package's user if this is root, who may not run it.
func (s *server) asSomebody() error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	s.attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return errors.Join(err1, err2, os.Chown(s.dir, int(uid), int(gid)))
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir, c.Stdout, c.Stderr, c.SysProcAttr = s.dir, &s.output, &s.output, s.attr
	return c
}

func (s *server) ready(isReady string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(startTimeout)
	for {
		if exec.Command(isReady, "-q", "-h", s.dir).Run() == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return errors.New("it ended")
		case <-late:
			return fmt.Errorf("not ready within %v", startTimeout)
		}
	}
}

func (s *server) stop() error {
	var err error
	if s.cmd != nil {
		err = s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
		<-s.exited
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
