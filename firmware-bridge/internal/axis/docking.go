package axis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"camseal/firmware-bridge/internal/serve"
	"camseal/pkg/handoff"
)

var _ serve.Source = (*Destination)(nil)

// publish hands a complete container over. The same docking goes on after a restart: its id is in the container's record.
func (d *Destination) publish(dir string, c container) {
	free, size, err := d.store.space.free()
	if err != nil {
		d.Log.Warn("a docking says nothing of the space left", slog.Any("error", err))
	}
	state, root := handoff.StateReady, filepath.Join(dir, "files")
	if c.Gone {
		state, root = handoff.StateGone, ""
	}
	model := c.Meta.text("bwcmodel")
	if model == "" {
		model = c.Device.text("model")
	}
	d.hub.set(handoff.Docking{ID: c.Docking, Slot: d.Slot, State: state, Root: []byte(root), Serial: c.camera(), Volume: volumeOf(c.Account, c.Name),
		System: "swift", Size: size, Free: free, Profile: "axis", Model: model, Erases: d.Erases, Firmware: c.Meta.text("firmwareversion"),
		Officer: c.officer(), OfficerName: c.User.text("name"), Unit: c.system()}, dir)
}

// offerOnce hands a container over if that was not done.
func (d *Destination) offerOnce(dir string, c container) {
	if _, known := d.find(func(dk handoff.Docking) bool { return dk.ID == c.Docking }); known || c.Gone {
		return
	}
	d.publish(dir, c)
	d.Log.Info("a recording is complete", slog.String("container", c.Name), slog.String("account", c.Account), slog.Int64("objects", c.Objects), slog.Int64("bytes", c.Bytes))
}

// leave notes that a container's last file is gone.
func (d *Destination) leave(dir string, c *container) error {
	files := filepath.Join(dir, "files")
	left, err := os.ReadDir(files)
	if err != nil || len(left) > 0 {
		return err
	}
	if err := syncDir(files); err != nil {
		return err
	}
	c.Gone = true
	if err := writeRecord(filepath.Join(dir, "container.json"), c); err != nil {
		return err
	}
	d.Log.Info("every file of a recording is released; its name is remembered", slog.String("container", c.Name), slog.String("account", c.Account))
	d.publish(dir, *c)
	return nil
}

var errNoDocking = &handoff.Error{Status: http.StatusNotFound, Code: handoff.CodeNoDocking, Message: "There is no such recording here, or all of it was released.",
	Kept: "Nothing was changed.", Do: "Look at the list of dockings again."}

// Files implements serve.Source: clips first, in their order; then track, bookmarks, and what came as metadata.
func (d *Destination) Files(ctx context.Context, id string, emit func(handoff.File) error) error {
	e, ok := d.find(func(dk handoff.Docking) bool { return dk.ID == id })
	if !ok {
		return errNoDocking
	}
	c, err := d.container(e.dir)
	if err != nil {
		return err
	}
	act, err := d.describe(e.dir, c)
	if err != nil {
		return err
	}
	for _, f := range act.files(c) {
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := os.Lstat(filepath.Join(e.dir, "files", f.name))
		if errors.Is(err, fs.ErrNotExist) { // it was released
			continue
		}
		if err != nil {
			return err
		}
		f.Path = []byte("/" + f.name)
		f.Size, f.Modified = uint64(info.Size()), info.ModTime().UnixMilli()
		if err := fit(&f.File); err != nil {
			return err
		}
		if err := emit(f.File); err != nil {
			return err
		}
	}
	return nil
}

// fit leaves out what would make the line longer than either side takes in. Nothing is lost by that: bookmarks are files of their own.
func fit(f *handoff.File) error {
	for {
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		switch {
		case len(b) < handoff.MaxLine:
			return nil
		case len(f.Marks) > 0:
			f.Marks = f.Marks[:len(f.Marks)/2]
		case f.Note != "":
			f.Note = ""
		case f.Header != nil:
			f.Header = nil
		default:
			return fmt.Errorf("what is known of %q has %d bytes", f.Path, len(b))
		}
	}
}
