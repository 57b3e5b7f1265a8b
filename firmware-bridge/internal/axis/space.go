package axis

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
)

// step is how much is promised at a time to a sender who does not say how much is coming.
const step = 1 << 20

// space keeps the disk from running full: what is being received was promised before, and the reserve stays free. Safe for concurrent use.
type space struct {
	dir     string
	reserve int64 // bytes

	mu       sync.Mutex
	promised int64
}

func (s *space) free() (free, size uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &st); err != nil {
		return 0, 0, fmt.Errorf("look for space: %w", err)
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}

// promise sets bytes aside, or refuses.
func (s *space) promise(n int64) error {
	free, _, err := s.free()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > int64(free)-s.promised-s.reserve {
		return errFull
	}
	s.promised += n
	return nil
}

// settle takes back a promise: the bytes are written, or won't come.
func (s *space) settle(n int64) {
	s.mu.Lock()
	s.promised -= n
	s.mu.Unlock()
}

// check refuses when the reserve is touched.
func (s *space) check() error { return s.promise(0) }

// note turns a full disk's error into its refusal.
func (s *space) note(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(errFull, err)
	}
	return err
}
