// Package durable writes small files that a power cut leaves whole or as they were.
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
