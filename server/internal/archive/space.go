package archive

import (
	"fmt"
	"syscall"
)

// Space says how much room a vault has, bytes.
type Space struct{ Free, Total uint64 }

// Space returns the room of the disk that the folder is on: Free is what this process may still use of it. An S3 store tells nobody; such a
// vault has no Space method.
func (f *Folder) Space() (Space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(f.root, &s); err != nil {
		return Space{}, fmt.Errorf("space of %s: %w", f.root, err)
	}
	size := uint64(s.Bsize)
	return Space{Free: s.Bavail * size, Total: s.Blocks * size}, nil
}
