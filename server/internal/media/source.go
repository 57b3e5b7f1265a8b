package media

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/export"
)

// spare is how much of the disk with the temporary files stays free whatever is made.
const spare = 256 << 20

var errSpace = errors.New("there is not enough room for a temporary copy")

// original is a copy of a recording's bytes in a file that has no name: nothing of it is left behind, whatever happens. Every chunk was found to
// be what was sealed. Errors: *archive.WrongBytes, errSpace.
func (m *Maker) original(ctx context.Context, r db.Recording) (*os.File, error) {
	stored, err := export.StoredLeaf(r)
	if err != nil {
		return nil, err
	}
	view, err := m.Log.Recordings.View(ctx, catalog.RecordingKey{Device: stored.Device, Rec: stored.Rec})
	if err != nil {
		return nil, err
	}
	o, err := export.OpenOriginal(ctx, m.Vault, &view, stored)
	if err != nil {
		return nil, err
	}
	if free, err := m.free(); err != nil || o.Size() > free {
		return nil, errors.Join(err, fmt.Errorf("%d bytes: %w", o.Size(), errSpace))
	}
	w, f, err := m.temporary()
	if err != nil {
		return nil, err
	}
	err = o.WriteRange(ctx, w, 0, o.Size())
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("copy the original: %w", err), f.Close())
	}
	return f, nil
}

// temporary is a file without a name: one end to write, which may be opened by its path too, one to read.
func (m *Maker) temporary() (w, r *os.File, err error) {
	w, err = os.CreateTemp(m.TempDir, "media-*")
	if err != nil {
		return nil, nil, err
	}
	r, err = os.Open(w.Name())
	if err = errors.Join(err, os.Remove(w.Name())); err != nil {
		return nil, nil, errors.Join(err, w.Close())
	}
	return w, r, nil
}

// free is how many bytes temporary files may take up.
func (m *Maker) free() (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(m.TempDir, &s); err != nil {
		return 0, fmt.Errorf("look for room: %w", err)
	}
	return max(int64(s.Bavail)*int64(s.Bsize)-spare, 0), nil
}

// ids parses a row's ids.
func ids(r db.Recording) (evidence.DeviceID, evidence.RecordingID, error) {
	device, err := evidence.ParseDeviceID(r.Device)
	if err != nil {
		return device, evidence.RecordingID{}, err
	}
	rec, err := evidence.ParseRecordingID(r.Rec)
	return device, rec, err
}
