package axis

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"camseal/firmware-bridge/internal/permit"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// docked has a complete recording of two files, and its metadata.
func docked(t *testing.T) (*site, entry) {
	t.Helper()
	s := newSite(t)
	c := s.connect()
	must(t, c.ContainerCreate(context.Background(), recording, nil))
	put(t, c, recording, clip1, fill(1000, 1), nil)
	put(t, c, recording, clip2, fill(2000, 2), nil)
	complete(t, c, recording)
	e, ok := s.find(func(handoff.Docking) bool { return true })
	if !ok {
		t.Fatal("not docked")
	}
	return s, e
}

// TestErasingRefusals: each refusal by name; the files stay as they were.
func TestErasingRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, p *permit.Permit, path string)
		code   handoff.Code
	}{
		"another volume":   {func(_ *testing.T, p *permit.Permit, _ string) { p.Source.Volume = "0" }, handoff.CodeNoDocking},
		"another recorder": {func(_ *testing.T, p *permit.Permit, _ string) { p.Source.Serial = "X" }, handoff.CodeNoDocking},
		"no such file":     {func(_ *testing.T, p *permit.Permit, _ string) { p.Source.SetPath([]byte("/x.mp4"), []byte("x.mp4")) }, handoff.CodeNoFile},
		"path that leaves the folder": {func(_ *testing.T, p *permit.Permit, _ string) {
			p.Source.SetPath([]byte("/../container.json"), []byte("container.json"))
		}, handoff.CodeNoFile},
		"dots":         {func(_ *testing.T, p *permit.Permit, _ string) { p.Source.SetPath([]byte("/.."), []byte("..")) }, handoff.CodeNoFile},
		"another size": {func(_ *testing.T, p *permit.Permit, _ string) { p.Source.Size++ }, handoff.CodeChanged},
		"another hash": {func(_ *testing.T, p *permit.Permit, _ string) { p.Hash[0]++ }, handoff.CodeChanged},
		"byte changed": {func(t *testing.T, _ *permit.Permit, path string) { must(t, os.WriteFile(path, fill(1000, 9), 0o640)) }, handoff.CodeChanged},
		"grown":        {func(t *testing.T, _ *permit.Permit, path string) { must(t, os.WriteFile(path, fill(1001, 1), 0o640)) }, handoff.CodeChanged},
		"a folder now": {func(t *testing.T, _ *permit.Permit, path string) {
			must(t, errors.Join(os.Remove(path), os.Mkdir(path, 0o750)))
		}, handoff.CodeChanged},
		"a link now": {func(t *testing.T, _ *permit.Permit, path string) {
			must(t, errors.Join(os.Rename(path, path+".was"), os.Symlink(filepath.Base(path)+".was", path)))
		}, handoff.CodeChanged},
	} {
		t.Run(name, func(t *testing.T) {
			s, e := docked(t)
			p := permitFor(e, clip1)
			path := filepath.Join(e.dir, "files", clip1)
			c.change(t, &p, path)
			_, err := s.Erase(context.Background(), p)
			var no *handoff.Error
			if !errors.As(err, &no) || no.Code != c.code || no.Kept == "" || no.Do == "" {
				t.Errorf("%v", err)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("the file is gone: %v", err)
			}
			if left := s.staged(); len(left) < 3 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// TestReleasedRecordingIsRemembered: when every file is erased on its permit the docking is gone, also after a restart; the same recording sent again is
// answered as stored and neither staged nor handed over again, and other bytes are refused.
func TestReleasedRecordingIsRemembered(t *testing.T) {
	s, e := docked(t)
	next := s.agent(nil).watch()
	if d := next(); d.State != handoff.StateReady {
		t.Fatalf("%+v", d)
	}
	ctx := context.Background()
	var permits []permit.Permit
	for _, name := range []string{clip1, clip2, metadataFile} {
		p := permitFor(e, name)
		permits = append(permits, p)
		done, err := s.Erase(ctx, p)
		must(t, err)
		if done.Before || done.Permit != p.Leaf || done.Hash != p.Hash {
			t.Errorf("%+v", done)
		}
	}
	if d := next(); d.State != handoff.StateGone || d.ID != e.docking.ID {
		t.Errorf("%+v", d)
	}
	s.again()
	if _, ok := s.find(func(handoff.Docking) bool { return true }); ok {
		t.Error("docked again after a restart")
	}
	for _, p := range permits {
		done, err := s.Erase(ctx, p)
		must(t, err)
		if !done.Before || done.Hash != p.Hash {
			t.Errorf("again: %+v", done)
		}
	}
	c := s.connect()
	must(t, c.ContainerCreate(ctx, recording, nil))
	put(t, c, recording, clip1, fill(1000, 1), nil)
	put(t, c, recording, clip2, fill(2000, 2), nil)
	complete(t, c, recording)
	if _, err := c.ObjectPut(ctx, recording, clip2, bytes.NewReader(fill(2000, 3)), true, "", "", nil); code(err) != 400 {
		t.Errorf("other bytes: %v", err)
	}
	if _, ok := s.find(func(handoff.Docking) bool { return true }); ok || len(s.staged()) > 0 {
		t.Errorf("handed over again; staged %v", s.staged())
	}
	fresh := permitFor(e, clip1)
	fresh.Leaf = evidence.Sum([]byte("another receipt"))
	var no *handoff.Error
	if _, err := s.Erase(ctx, fresh); !errors.As(err, &no) || no.Code != handoff.CodeNoDocking {
		t.Errorf("another permit: %v", err)
	}
}

// TestErasedFilesAreNotListed, and the others still are.
func TestErasedFilesAreNotListed(t *testing.T) {
	s, e := docked(t)
	if _, err := s.Erase(context.Background(), permitFor(e, clip1)); err != nil {
		t.Fatal(err)
	}
	a := s.agent(nil)
	list, byName := a.files(e.docking.ID)
	if _, ok := byName[clip1]; ok || len(list) != 2 || byName[clip2].Number != 2 {
		t.Errorf("%+v", list)
	}
}
