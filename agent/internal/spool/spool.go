// Package spool is what the agent holds until the server has it: the device's chain, its seals, the recordings and their
// chunks. It is the only place that says when a byte of evidence may go, and it lets go only by a verified stored receipt.
//
// Chunk bytes lie in files, everything about them in Badger with synchronous writes. A chunk's file is durable (written,
// synced, renamed, folder synced) before the statement about it is committed, and goes only after the receipt that frees it is
// committed. So after a crash there may be a file that no statement names, which is removed, unless it is of a recording that was made as it
// went, whose bytes are nowhere else; and never a statement without its file, unless the disk itself lost it; that is declared by a fault.
//
// One process at a time holds a spool. All of it is safe for concurrent use.
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"camseal/pkg/durable"
	"camseal/pkg/evidence"
)

// Sentinels for decisions.
var (
	// ErrFull says that there is no room now. Nothing was written; what is held stays held. See WaitRoom.
	ErrFull = errors.New("the spool is full")
	// ErrInUse says that another process holds this spool.
	ErrInUse = errors.New("another agent is using this state folder")
	// ErrNotEnrolled says that the chain has no first statement yet.
	ErrNotEnrolled = errors.New("this device has no identity yet")
	// ErrNotFound says that there is no such recording, chunk, seal or statement.
	ErrNotFound = errors.New("not in the spool")
)

// floor is how many bytes of the file system stay free even of statements: Badger maps its files, and a full disk
// below a mapped page kills the process.
const floor = 24 << 20

// ballast is the size of a file that is given up when the disk is full and the index must still be written out: when the
// spool is closed, and when it is opened again.
const ballast = floor + 8<<20

// Config says where a spool lies and how much it may hold.
type Config struct {
	Dir      string          // made if missing, 0700
	MaxBytes int64           // bytes of chunks held at most; 0: as much as the disk takes
	Reserve  int64           // bytes of the file system that chunks leave free; at least twice floor is taken
	Locks    []evidence.Lock // locks that a stored receipt may name; empty: both
	Now      func() time.Time
	Log      *slog.Logger
	Key      func() ([]byte, error) // asked once the spool is locked: KeySize bytes, under which all in it is encrypted; nil: not encrypted
	Step     func(step string)      // called between the steps of durable writing; nil: nothing. For tests that crash
}

// Spool is an open spool.
type Spool struct {
	cfg    Config
	key    []byte // nil: not encrypted
	db     *badger.DB
	lock   *os.File
	chunks *os.File // the folder of chunk files, to sync it

	mu      sync.Mutex // guards all below, and the order of commits
	meta    meta
	held    int64 // bytes of unreleased chunks
	promise int64 // bytes of temporary files not yet committed
	broken  error // a commit failed: what is on disk is not known until the next start
	changed chan struct{}

	adoption *Adoption // where the next boot is to go on; nil: here
	notify   chan struct{}
}

// meta is the end of the chain and what is counted, committed together with every statement.
type meta struct {
	Device     evidence.DeviceID `json:"device"`
	Next       uint64            `json:"next"`   // seq of the next statement
	Head       evidence.Digest   `json:"head"`   // H(Next-1)
	N          uint64            `json:"n"`      // of the next statement of the device itself
	Sealed     uint64            `json:"sealed"` // number of statements under a seal
	Recordings uint64            `json:"recordings"`
	Stored     uint64            `json:"stored"` // recordings whose whole is under a stored receipt
	Released   uint64            `json:"released"`
	Anchor     anchor            `json:"anchor"`
	Boot       uint64            `json:"boot"`            // seq of the newest boot
	Intake     uint64            `json:"intake"`          // seq of the newest intake; 0: none since the chain went on elsewhere
	Base       *base             `json:"base,omitempty"`  // where the chain went on elsewhere last
	Parts      []uint64          `json:"parts,omitempty"` // seq from which statements were left, each time
	Stale      *span             `json:"stale,omitempty"` // statements that were left and still lie in the index
}

// Open opens the spool, or makes it, and clears what an interrupted write left. What it found is in the Recovery; lost chunks are
// to be declared with DeclareLost once the chain has its boot statement. Errors: ErrInUse.
func Open(cfg Config) (*Spool, Recovery, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Step == nil {
		cfg.Step = func(string) {}
	}
	cfg.Reserve = max(cfg.Reserve, 2*floor)
	s := &Spool{cfg: cfg, changed: make(chan struct{}), notify: make(chan struct{}, 1)}
	rec, err := s.open()
	if err != nil {
		return nil, Recovery{}, errors.Join(fmt.Errorf("open spool %s: %w", cfg.Dir, err), s.Close())
	}
	return s, rec, nil
}

func (s *Spool) open() (Recovery, error) {
	for _, d := range []string{"", "chunks", "tmp", "index", "quarantine"} {
		if err := durable.MkdirAll(filepath.Join(s.cfg.Dir, d), 0o700); err != nil {
			return Recovery{}, err
		}
	}
	if err := s.takeLock(); err != nil {
		return Recovery{}, err
	}
	var err error
	if s.cfg.Key != nil {
		if s.key, err = s.cfg.Key(); err != nil {
			return Recovery{}, err
		}
	}
	if s.chunks, err = os.Open(filepath.Join(s.cfg.Dir, "chunks")); err != nil {
		return Recovery{}, err
	}
	if err := s.dropBallast(); err != nil {
		return Recovery{}, err
	}
	if free, err := s.free(); err != nil {
		return Recovery{}, err
	} else if free < floor {
		return Recovery{}, fmt.Errorf("%w: %d MiB are free on its disk, it needs %d MiB to start; everything in it is kept; make room and start again",
			ErrFull, free>>20, floor>>20)
	}
	if err := clearEmpty(filepath.Join(s.cfg.Dir, "index")); err != nil {
		return Recovery{}, err
	}
	options := dbOptions(filepath.Join(s.cfg.Dir, "index"))
	if s.key != nil {
		if options.EncryptionKey, err = s.subkey("index"); err != nil {
			return Recovery{}, err
		}
		options.BlockCacheSize = 1 << 20 // blocks decrypted
	}
	db, err := badger.Open(options)
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return Recovery{}, fmt.Errorf("%w: its key is another, or it is not encrypted; nothing was changed", ErrDamaged)
	}
	if err != nil {
		return Recovery{}, fmt.Errorf("its index can't be read; nothing was changed or removed; keep this folder for repair: %w", err)
	}
	s.db = db
	s.takeBallast()
	if err := s.view(func(t txn) error { return t.json(keyMeta, &s.meta) }); err != nil && !errors.Is(err, ErrNotFound) {
		return Recovery{}, err
	}
	if err := s.clearStale(); err != nil {
		return Recovery{}, err
	}
	return s.recover()
}

// clearEmpty removes files of no bytes from the index: Badger makes a log and then gives it its size, and if it is killed
// in between it refuses to start. What has no bytes holds nothing that was acknowledged.
func clearEmpty(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		name := f.Name()
		info, err := f.Info()
		if err != nil {
			return err
		}
		switch ext := filepath.Ext(name); {
		case info.Size() != 0:
		case ext == ".mem", ext == ".vlog", name == "KEYREGISTRY":
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Spool) dropBallast() error {
	err := os.Remove(filepath.Join(s.cfg.Dir, "ballast"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// takeBallast makes the ballast if there is plenty of room for it.
func (s *Spool) takeBallast() {
	if free, err := s.free(); err != nil || free < ballast+floor {
		return
	}
	f, err := os.OpenFile(filepath.Join(s.cfg.Dir, "ballast"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, ballast); err != nil {
		s.cfg.Log.Warn("no room is set aside for a full disk; this file system does not offer it", slog.Any("error", err))
	}
}

func dbOptions(dir string) badger.Options {
	o := badger.DefaultOptions(dir)
	o.SyncWrites = true
	o.DetectConflicts = false // one writer at a time
	o.Logger = nil
	o.MetricsEnabled = false
	o.Compression = options.None
	o.MemTableSize = 1 << 20
	o.BaseTableSize = 512 << 10
	o.ValueThreshold = 96 << 10 // of what a transaction may hold: 15 % of MemTableSize
	o.NumMemtables = 2
	o.NumLevelZeroTables = 2
	o.NumLevelZeroTablesStall = 6
	o.NumCompactors = 2
	o.NumGoroutines = 2
	o.BlockCacheSize = 0 // nothing is compressed: blocks are read from the mapped file
	o.IndexCacheSize = 2 << 20
	o.ValueLogFileSize = 4 << 20 // nearly all values stay in the tree
	o.CompactL0OnClose = false
	return o
}

func (s *Spool) takeLock() error {
	f, err := os.OpenFile(filepath.Join(s.cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("%w: nothing was changed; stop the other one, or use `camseal-agent status` and `import`, which talk to it", ErrInUse)
		}
		return err
	}
	s.lock = f
	return nil
}

// Close closes the spool. Everything acknowledged before is durable.
func (s *Spool) Close() error {
	var errs []error
	if s.db != nil {
		if free, err := s.free(); err != nil || free < floor {
			errs = append(errs, s.dropBallast())
		}
		errs = append(errs, s.db.Close())
		s.db = nil
	}
	for _, f := range []*os.File{s.chunks, s.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	s.chunks, s.lock = nil, nil
	return errors.Join(errs...)
}

// Device returns the device whose chain this is. Errors: ErrNotEnrolled.
func (s *Spool) Device() (evidence.DeviceID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meta.Next == 0 {
		return evidence.DeviceID{}, ErrNotEnrolled
	}
	return s.meta.Device, nil
}

// Changed returns a channel that is closed at the next change: statements, seals, receipts, room.
func (s *Spool) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// wake tells those who wait on Changed. s.mu is held.
func (s *Spool) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Status is how much the spool holds.
type Status struct {
	Device     evidence.DeviceID `json:"device"`
	Statements uint64            `json:"statements"`
	Sealed     uint64            `json:"sealed"` // of them
	Recordings uint64            `json:"recordings"`
	Stored     uint64            `json:"stored"` // of them
	Held       int64             `json:"held"`   // bytes of chunks not released
	Max        int64             `json:"max"`    // bytes; 0: as much as the disk takes
	Free       int64             `json:"free"`   // bytes that can still be taken in
	Encrypted  bool              `json:"encrypted"`
	Forks      int               `json:"forks"`                // how often the chain went on elsewhere
	Quarantine []string          `json:"quarantine,omitempty"` // files in its quarantine folder
	Broken     string            `json:"broken,omitempty"`
}

// Status counts.
func (s *Spool) Status() (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.meta
	st := Status{Device: m.Device, Statements: m.Next, Sealed: m.Sealed, Recordings: m.Recordings, Stored: m.Stored, Held: s.held, Max: s.cfg.MaxBytes,
		Encrypted: s.key != nil, Forks: len(m.Parts)}
	if s.broken != nil {
		st.Broken = s.broken.Error()
	}
	var err error
	if st.Quarantine, err = s.Quarantine(); err != nil {
		return st, err
	}
	room, err := s.room()
	st.Free = max(room, 0)
	return st, err
}

// free returns the bytes of the file system that this process may still use.
func (s *Spool) free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(s.chunks.Fd()), &st); err != nil {
		return 0, fmt.Errorf("free space: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// room returns how many bytes of chunks may still be taken in. s.mu is held.
func (s *Spool) room() (int64, error) {
	free, err := s.free()
	if err != nil {
		return 0, err
	}
	room := free - s.promise - s.cfg.Reserve
	if s.cfg.MaxBytes > 0 {
		room = min(room, s.cfg.MaxBytes-s.held-s.promise)
	}
	return room, nil
}

// WaitRoom returns once n bytes can be taken in, or with the context's error.
func (s *Spool) WaitRoom(ctx context.Context, n int64) error {
	again := time.NewTicker(time.Second) // the disk may be shared with others
	defer again.Stop()
	for {
		s.mu.Lock()
		room, err := s.room()
		changed := s.changed
		s.mu.Unlock()
		if err != nil || room >= n {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-again.C:
		}
	}
}
