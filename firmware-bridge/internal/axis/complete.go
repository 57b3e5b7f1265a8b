package axis

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// metadataFile holds, beside the objects, all metadata that came with them: headers are in no object's bytes. No object's file has this name.
const metadataFile = "~metadata.json"

// maxSystems bounds how many systems' names are noted with a recording.
const maxSystems = 16

// seal makes the folder that the agent reads, of the objects as they are now. Nothing is handed over before the container's record, with what is
// set here, is durable; done again after a kill, it begins anew.
func (s *store) seal(dir string, c *container) error {
	files := filepath.Join(dir, "files")
	if err := os.RemoveAll(files); err != nil {
		return err
	}
	if err := s.space.note(makeDir(files)); err != nil {
		return err
	}
	c.Objects, c.Bytes = 0, 0
	err := s.each(dir, func(o object) error {
		c.Objects++
		c.Bytes += o.Size
		return os.Link(filepath.Join(dir, "parts", o.Part), filepath.Join(files, fileName(o.Name)))
	})
	if err != nil {
		return s.space.note(err)
	}
	if err := s.people(c); err != nil {
		return err
	}
	if err := s.space.note(s.writeMetadata(filepath.Join(files, metadataFile), dir, *c)); err != nil {
		return err
	}
	c.Docking = randomID()
	return s.space.note(errors.Join(syncDir(files), syncDir(dir)))
}

// people notes what the system said of the user and the camera, and of itself.
func (s *store) people(c *container) error {
	for _, p := range []struct {
		to              *meta
		container, name string
	}{{&c.User, "Users", c.user()}, {&c.Device, "Devices", c.camera()}} {
		if p.name == "" {
			continue
		}
		o, err := s.object(s.containerDir(c.Account, p.container), p.name)
		if err != nil && !errors.Is(err, errNoObject) {
			return err
		}
		*p.to = o.Meta
	}
	dir := s.containerDir(c.Account, "System")
	if _, err := s.container(dir); errors.Is(err, errNoContainer) {
		return nil
	} else if err != nil {
		return err
	}
	c.Systems = nil
	return s.each(dir, func(o object) error {
		if len(c.Systems) < maxSystems && o.Meta["systemname"] != "" {
			c.Systems = append(c.Systems, o.Meta)
		}
		return nil
	})
}

// writeMetadata writes one JSON text that depends on what was sent and on nothing else, such as when.
func (s *store) writeMetadata(path, dir string, c container) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = s.encodeMetadata(w, dir, c)
	return errors.Join(err, w.Flush(), f.Sync(), f.Close())
}

func (s *store) encodeMetadata(w io.Writer, dir string, c container) error {
	head, err := json.Marshal(struct {
		Account   string `json:"account"`
		Container string `json:"container"`
		Metadata  meta   `json:"metadata"`
		User      meta   `json:"user"`
		Device    meta   `json:"device"`
		Systems   []meta `json:"systems"`
	}{c.Account, c.Name, c.Meta, c.User, c.Device, c.Systems})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s,\n\"objects\":[", strings.TrimSuffix(string(head), "}")); err != nil {
		return err
	}
	comma := "\n"
	err = s.each(dir, func(o object) error {
		line, err := json.Marshal(struct {
			Name string `json:"name"`
			File string `json:"file"`
			Size int64  `json:"size"`
			MD5  string `json:"md5"`
			Hash string `json:"sha256"`
			Type string `json:"content_type"`
			Meta meta   `json:"metadata"`
		}{o.Name, fileName(o.Name), o.Size, o.MD5, o.Hash.String(), o.Type, o.Meta})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s%s", comma, line)
		comma = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "]}\n")
	return err
}

// user returns the id of who wore the camera.
func (c *container) user() string {
	if u := c.Meta.text("userid"); u != "" {
		return u
	}
	user, _, _ := c.parts()
	return user
}

// camera returns its serial number.
func (c *container) camera() string {
	if s := c.Meta.text("bwcserialnumber"); s != "" {
		return s
	}
	_, camera, _ := c.parts()
	return camera
}

// parts cuts USER_CAMERA_TIME, where the time is one part (20240503T113411Z) or two (20240503_113411).
func (c *container) parts() (user, camera, time string) {
	at := stamp.FindStringIndex(c.Name)
	if at == nil || at[1] != len(c.Name) || at[0] == 0 {
		return "", "", ""
	}
	i := strings.LastIndexByte(c.Name[:at[0]], '_')
	if i < 0 {
		return "", clean(c.Name[:at[0]], 256), c.Name[at[0]:]
	}
	return clean(c.Name[:i], 256), clean(c.Name[i+1:at[0]], 256), c.Name[at[0]:]
}

// own takes a folder for this process alone, until the file is closed.
func own(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is in use by another process: %w", dir, err), f.Close())
	}
	return f, nil
}
