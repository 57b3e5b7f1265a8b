package app

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"camseal/pkg/durable"
	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
)

type initCommand struct{}

// Run makes what is missing, and leaves what is there.
func (initCommand) Run(e *env) error {
	s := e.settings
	if err := durable.MkdirAll(s.State, 0o700); err != nil {
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

// Run makes the catalog anew and puts it in the place of the old one. What is not from the log (sign-ins, saved searches) is kept.
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
	where, err := e.settings.catalogPlace()
	if err != nil {
		return 0, err
	}
	err = catalog.Renew(e.ctx, where, func(c *catalog.Catalog) error {
		p, err := catalog.NewProjector(e.ctx, c, v, nil, vkey, e.settings.RememberedChunks, e.log)
		if err == nil {
			err = p.Rebuild(e.ctx)
			size = p.Size()
		}
		return err
	})
	return size, err
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
