package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
	"camseal/server/internal/durable"
)

type initCommand struct{}

// Run makes what is missing, and leaves what is there.
func (initCommand) Run(e *env) error {
	s := e.settings
	if err := os.MkdirAll(s.State, 0o700); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	if _, err := ensureServerCert(s, e.now()); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	_, vkey, err := ensureLogKey(s)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	_, clock, err := ensureClockKey(s)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	v, err := openVault(e.ctx, s)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	if f, ok := v.(io.Closer); ok {
		defer f.Close()
	}
	_, err = fmt.Fprintf(e.out, "vault %s (lock: %s)\nlog %s\nclock %s\nfor the agents: %s and %s\n", v.ID(), v.Lock(), vkey, clock,
		s.path(fileCA), s.path(fileLogVKey))
	return err
}

type exportCommand struct {
	Recording string `arg:"" help:"Id of the recording (32 hexadecimal digits)."`
	Output    string `short:"o" required:"" help:"File or folder to make." placeholder:"PATH"`
	Folder    bool   `help:"Write a folder instead of a zip file."`
}

// Run exports a bundle.
func (c exportCommand) Run(e *env) error {
	rec, err := evidence.ParseRecordingID(c.Recording)
	if err != nil {
		return usagef("recording: %v", err)
	}
	path, err := filepath.Abs(c.Output)
	if err != nil {
		return err
	}
	err = withAdmin(e, func(a admin) error { return a.export(e.ctx, exportRequest{Rec: rec, Path: path, Folder: c.Folder}) })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, path)
	return err
}

type reindexCommand struct{}

// Run makes a new catalog beside the old one and puts it in its place.
func (reindexCommand) Run(e *env) (err error) {
	s := e.settings
	if reach(s) != nil {
		return usagef("a server is running on %s; nothing was changed; stop it first", s.State)
	}
	c := &core{slog: e.log, cancel: func() {}}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.lockState(s); err != nil {
		return err
	}
	_, vkey, err := ensureLogKey(s)
	if err != nil {
		return err
	}
	if err := c.openVault(e.ctx, s); err != nil {
		return err
	}
	n, err := rebuild(e, c.vault, vkey)
	if err != nil {
		return fmt.Errorf("reindex: the old catalog was left as it is: %w", err)
	}
	_, err = fmt.Fprintf(e.out, "%d log leaves applied\n", n)
	return err
}

func rebuild(e *env, v archive.Vault, vkey string) (size uint64, err error) {
	path := e.settings.path(fileCatalog)
	fresh := path + ".new"
	if err := removeDatabase(fresh); err != nil {
		return 0, err
	}
	cat, err := catalog.Open(e.ctx, fresh)
	if err != nil {
		return 0, err
	}
	p, err := catalog.NewProjector(e.ctx, cat, v, nil, vkey, e.settings.RememberedChunks, e.log)
	if err == nil {
		err = p.Rebuild(e.ctx)
	}
	if err == nil {
		takeOver(e, cat, path)
	}
	if err = errors.Join(err, cat.Close()); err != nil {
		return 0, errors.Join(err, removeDatabase(fresh))
	}
	// The new file is whole without its write-ahead log, which closing has emptied. The old one's must not be taken for its.
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := remove(path + suffix); err != nil {
			return 0, err
		}
	}
	if err := os.Rename(fresh, path); err != nil {
		return 0, err
	}
	return p.Size(), durable.SyncDir(filepath.Dir(path))
}

// takeOver keeps passwords, links and sessions, if the old catalog can still be read. Without them people need new links, and all else is as it was.
func takeOver(e *env, fresh *catalog.Catalog, path string) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err := fresh.TakeOver(e.ctx, path); err != nil {
		e.log.WarnContext(e.ctx, "passwords and sessions could not be taken over; accounts are as they were: give each a new link (camseal-server account link)",
			slog.Any("error", err))
	}
}

func removeDatabase(path string) error {
	return errors.Join(remove(path), remove(path+"-wal"), remove(path+"-shm"))
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

type checkArchiveCommand struct{}

// Run tries out the vault and prints a line for each point.
func (checkArchiveCommand) Run(e *env) error {
	v, err := openVault(e.ctx, e.settings)
	if err != nil {
		return err
	}
	if f, ok := v.(io.Closer); ok {
		defer f.Close()
	}
	wrong := 0
	archive.Check(e.ctx, v, e.now, func(point string, err error) {
		if err != nil {
			wrong++
			fmt.Fprintf(e.out, "✗ %s: %v\n", point, err)
			return
		}
		fmt.Fprintf(e.out, "✓ %s\n", point)
	})
	if wrong > 0 {
		return fmt.Errorf("%d points do not hold: this vault is not fit for evidence", wrong)
	}
	return nil
}
