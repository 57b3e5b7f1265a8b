package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
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
	v, err := openVault(e.ctx, s)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	if f, ok := v.(io.Closer); ok {
		defer f.Close()
	}
	_, err = fmt.Fprintf(e.out, "vault %s (lock: %s)\nlog %s\nfor the agents: %s and %s\n", v.ID(), v.Lock(), vkey, s.path(fileCA), s.path(fileLogVKey))
	return err
}

type deviceCommand struct {
	Register registerCommand `cmd:"" help:"Make a device known: FILE is what 'camseal-agent identity' wrote, - is the standard input."`
	List     listCommand     `cmd:"" help:"List the devices that are known."`
}

type registerCommand struct {
	File string `arg:"" help:"Registration (JSON)."`
}

// Run registers a device.
func (c registerCommand) Run(e *env) error {
	raw, err := readSmall(c.File)
	if err != nil {
		return fmt.Errorf("register device: %w", err)
	}
	var reg transport.Registration
	if err := json.Unmarshal(raw, &reg); err != nil {
		return usagef("%s is no registration: %v", c.File, err)
	}
	return withAdmin(e, func(a admin) error {
		id, err := a.register(e.ctx, reg)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(e.out, id)
		return err
	})
}

func readSmall(path string) ([]byte, error) {
	in := os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, maxAdmin))
}

type listCommand struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// Run lists devices.
func (c listCommand) Run(e *env) error {
	return withAdmin(e, func(a admin) error {
		list, err := a.devices(e.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(e.out).Encode(list)
		}
		for _, d := range list {
			state := "registered"
			if d.Revoked {
				state = "revoked"
			}
			if _, err := fmt.Fprintf(e.out, "%s  %-8s  %-10s  %s  %d statements\n", d.Device, d.Class, state, stamp(d.Registered), d.Statements); err != nil {
				return err
			}
		}
		return nil
	})
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

type trustExportCommand struct {
	Dir string `arg:"" help:"Folder to make."`
}

// Run writes the log's key as a trust folder. Whoever verifies should get it from somebody else than a bundle's sender.
func (c trustExportCommand) Run(e *env) error {
	raw, err := os.ReadFile(e.settings.path(fileLogVKey))
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("%s is no state folder of a server; run `camseal-server init` first", e.settings.State)
	}
	if err != nil {
		return err
	}
	for _, d := range []string{"ek-roots", "tsa-roots"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, d), 0o755); err != nil {
			return err
		}
	}
	type logKey struct {
		Key  string `json:"key"`
		From int64  `json:"from"`
		To   *int64 `json:"to"`
	}
	trust, err := json.MarshalIndent(map[string]any{"v": 1, "logs": []logKey{{Key: string(raw[:len(raw)-1])}}, "witnesses": []string{}, "quorum": 0}, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(c.Dir, "trust.json"), append(trust, '\n'), 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, c.Dir)
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
	return p.Size(), syncDir(filepath.Dir(path))
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
