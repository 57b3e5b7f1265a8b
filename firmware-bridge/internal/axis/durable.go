package axis

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Folders and files may be read by the group: the agent's user belongs to it.
const (
	dirMode  = 0o750
	fileMode = 0o640
	newName  = ".new-"
)

var errUncertain = errors.New("the disk gave an error when it was told to keep a change")

// maxRecord bounds a record that is read back, bytes.
const maxRecord = 1 << 20

// writeRecord makes or replaces a file in one step: temporary file, fsync, rename, fsync of the folder. It is durable when it returns nil. With
// errUncertain the new file is there and may not outlast a power cut; on any other error the old file is as it was.
func writeRecord(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), newName+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(fileMode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%w: %w", errUncertain, err)
	}
	return nil
}

func readRecord(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, maxRecord)).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes one folder, durably; it may be there.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, dirMode); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}
