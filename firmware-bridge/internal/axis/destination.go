package axis

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"camseal/firmware-bridge/internal/erase"
)

// Config says how a destination works. All fields but Step are needed.
type Config struct {
	State     string        // folder for what is staged, and nothing else; one process at a time
	Users     *Users        // who may send
	Slot      string        // what the dockings call their slot
	Reserve   int64         // bytes of the disk that stay free
	MaxObject int64         // bytes of one object at most
	Uploads   int           // objects received at once at most
	TokenLife time.Duration // how long a sign-in lasts
	Idle      time.Duration // how long a sender may be silent in the middle of an object
	Erases    bool          // dockings say that permits are taken
	Step      func(string)  // called between the steps of erasing, for tests of what a kill does; may be nil
	Now       func() time.Time
	Log       *slog.Logger
}

// Destination receives recordings over HTTP (ServeHTTP) and hands them to the agent (it is a serve.Source). Safe for concurrent use.
type Destination struct {
	Config
	store
	hub
	folder   *os.File // held while the folder is ours
	journal  *erase.Journal
	tokenKey [32]byte
	uploads  chan struct{}
	draining atomic.Bool

	mu       sync.Mutex
	attempts attempts
}

var _ http.Handler = (*Destination)(nil)

// Open takes the state folder, clears away what a kill left half done, and finds the recordings that are complete. It fails while another process has the folder.
func Open(c Config) (*Destination, error) {
	var err error
	if c.State, err = filepath.Abs(c.State); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(c.State, "accounts"), dirMode); err != nil {
		return nil, err
	}
	lock, err := own(c.State)
	if err != nil {
		return nil, err
	}
	journal, err := erase.OpenJournal(c.State)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	d := &Destination{Config: c, folder: lock, journal: journal, uploads: make(chan struct{}, c.Uploads), hub: newHub(),
		store: store{dir: c.State, space: &space{dir: c.State, reserve: c.Reserve}, count: map[string]int64{}}}
	d.offer = d.offerOnce
	_, _ = rand.Read(d.tokenKey[:]) // never fails (crypto/rand)
	if err := d.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("look through %s: %w", c.State, err), d.Close())
	}
	return d, nil
}

// Drain refuses every further request with 503; those that run go on.
func (d *Destination) Drain() { d.draining.Store(true) }

// Close gives the state folder back. Nothing may be served any more.
func (d *Destination) Close() error { return errors.Join(d.journal.Close(), d.folder.Close()) }

// day is how long a transfer may take before somebody should look.
const day = 24 * time.Hour

// recover looks at every container.
func (d *Destination) recover() error {
	accounts, err := os.ReadDir(filepath.Join(d.State, "accounts"))
	if err != nil {
		return err
	}
	for _, a := range accounts {
		root := filepath.Join(d.State, "accounts", a.Name())
		dirs, err := os.ReadDir(root)
		if err != nil {
			return err
		}
		for _, e := range dirs {
			if err := d.recoverContainer(filepath.Join(root, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Destination) recoverContainer(dir string) error {
	c, err := d.container(dir)
	if errors.Is(err, errNoContainer) { // its making was never answered
		d.Log.Info("a container that was only begun is cleared away", slog.String("folder", dir))
		return os.RemoveAll(dir)
	}
	if err != nil {
		return err
	}
	d.count[c.Account]++
	if err := clearNew(dir); err != nil {
		return err
	}
	if err := clearNew(filepath.Join(dir, "objects")); err != nil {
		return err
	}
	if !c.complete() {
		if age := d.Now().Sub(time.UnixMilli(c.Created)); age > day && !special(c.Name) {
			d.Log.Warn("a recording is still not complete; look at the body-worn system", slog.String("container", c.Name), slog.String("account", c.Account), slog.Duration("age", age))
		}
		return d.recoverOpen(dir)
	}
	if err := os.RemoveAll(filepath.Join(dir, "parts")); err != nil {
		return err
	}
	if !c.Gone {
		if err := d.leave(dir, &c); err != nil { // if its last file was erased right before a kill
			return err
		}
	}
	if !c.Gone {
		d.publish(dir, c)
	}
	return nil
}

// recoverOpen removes bytes that no object has, and what a completion had begun.
func (d *Destination) recoverOpen(dir string) error {
	used := map[string]bool{}
	if err := d.each(dir, func(o object) error { used[o.Part] = true; return nil }); err != nil {
		return err
	}
	parts, err := os.ReadDir(filepath.Join(dir, "parts"))
	if err != nil {
		return err
	}
	for _, p := range parts {
		if !used[p.Name()] {
			d.Log.Info("an upload that was cut off is cleared away", slog.String("folder", dir), slog.String("part", p.Name()))
			if err := os.Remove(filepath.Join(dir, "parts", p.Name())); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(filepath.Join(dir, "files"))
}

func clearNew(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newName) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
