// Package durable writes small files that a power cut leaves whole or as they were, and makes folders that it leaves in their place.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write makes or replaces a file in one step: temporary file, fsync, rename, fsync of the folder. It is durable when it returns nil; on
// an error the old file is as it was.
func Write(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes what was made, renamed and removed in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MkdirAll makes a folder and those above it that are missing, as os.MkdirAll does, and returns once a power cut keeps their names. A folder
// that is there already may be one whose maker the power left no time: its name is made durable, too.
func MkdirAll(dir string, mode fs.FileMode) error {
	var above []string // whose names must be kept, the folder that was there last
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		above = append(above, filepath.Dir(at))
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	for i := len(above) - 1; i >= 0; i-- {
		if err := SyncDir(above[i]); err != nil && !errors.Is(err, fs.ErrPermission) { // not ours to read: it was there long ago
			return err
		}
	}
	return nil
}
