// Package media makes what people look at from originals that nobody vouches for: a poster, a strip of pictures, a waveform, and, when
// somebody asks, a copy that browsers can play. ffmpeg does it in a sandbox, from a copy that was checked against the seals.
//
// There is no queue of jobs. The work to do is the difference between what is stored and what was made, so a crash loses nothing.
package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"camseal/pkg/sandbox"
	"camseal/server/internal/archive"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// Actor is how custody events name this part of the server.
const Actor = "camseal-server"

// Tries is how often something is tried at all.
const Tries = 3

const (
	page       = 64
	lookAgain  = time.Minute     // for what is due, when nothing happens
	later      = 5 * time.Minute // when space or vault are missing, which counts as no try
	usedOften  = time.Hour       // within which a use is not noted again
	askingWait = 30 * time.Second
)

// Failures, as the table of media keeps them.
const (
	FailureUnreadable  = "unreadable"  // ffmpeg can't read it
	FailureTime        = "time"        // it took too long
	FailureFlood       = "flood"       // it gave more than it may
	FailureWrong       = "wrong-bytes" // the vault holds bytes that are not what was sealed
	FailureSpace       = "space"       // no room for the temporary copy
	FailureVault       = "vault"       // the vault can't be reached
	FailureSandbox     = "sandbox"     // the sandbox or ffmpeg itself is not fit
	FailureInterrupted = "interrupted" // the server was ended meanwhile
	FailureOther       = "trouble"
)

// Config says where things are. Catalog, Log, Vault, Book, Dir, TempDir, Now and Slog must be set.
type Config struct {
	Catalog *catalog.Catalog
	Log     *catalog.Projector
	Vault   archive.Vault
	Book    *casework.Book

	Dir      string // for the files made; may be emptied while no server runs
	TempDir  string // for originals while ffmpeg reads them
	MaxBytes int64  // in Dir, about
	Workers  int    // pictures of so many recordings at once, and one derived copy beside them; 0: nothing is made
	Always   bool   // make playable copies without being asked

	Now  func() time.Time
	Slog *slog.Logger
}

// Maker makes. It is safe for concurrent use.
type Maker struct {
	Config

	mu      sync.Mutex
	woken   chan struct{} // closed when there may be work
	queue   []db.Recording
	busy    map[key]bool
	swept   int64           // everything that a log leaf up to this one stored was looked into or is in the queue
	bytes   int64           // of the files made
	checked map[string]bool // hashes of derived copies that the vault read back
	trouble error           // why nothing can be made

	asking sync.Mutex
}

// key names work: pictures of a recording, or its derived copy.
type key struct {
	device, rec string
	derived     bool
}

// New opens the folder. Run does the work.
func New(ctx context.Context, c Config) (*Maker, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	n, err := c.Catalog.MediaBytes(ctx)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	return &Maker{Config: c, woken: make(chan struct{}), busy: map[key]bool{}, checked: map[string]bool{}, swept: -1, bytes: n}, nil
}

// Trouble says why nothing is made, nil if all is well. What was made before is still there.
func (m *Maker) Trouble() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.trouble
}

// Run works until ctx ends; then programs under way are ended and what they did is forgotten. Without ffmpeg or its sandbox it says so once
// and returns: everything else works without.
func (m *Maker) Run(ctx context.Context) {
	if m.Workers == 0 {
		return
	}
	if _, err := Tool(ctx); err != nil {
		if ctx.Err() == nil {
			m.mu.Lock()
			m.trouble = err
			m.mu.Unlock()
			m.Slog.WarnContext(ctx, "no posters, waveforms and derived copies are made: ffmpeg does not run in its sandbox. Evidence is not affected. "+
				"Install ffmpeg and bubblewrap, and start the server again", slog.Any("error", err))
		}
		return
	}
	var work sync.WaitGroup
	work.Go(func() { m.follow(ctx) })
	for range m.Workers {
		work.Go(func() { m.work(ctx, m.nextLook, m.look) })
	}
	work.Go(func() { m.work(ctx, m.nextDerived, m.derive) }) // copies take long, and must not keep pictures waiting
	work.Wait()
}

// follow wakes the workers at each change of the catalog.
func (m *Maker) follow(ctx context.Context) {
	for ctx.Err() == nil {
		size := m.Log.Size()
		m.wake()
		_ = m.Log.Wait(ctx, size) // it fails only when ctx ends
	}
}

func (m *Maker) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.woken)
	m.woken = make(chan struct{})
}

// work does what next finds, as long as it finds something, and then waits. What is wrong with a file is no error of do: it is kept with the recording.
func (m *Maker) work(ctx context.Context, next func(context.Context) (key, db.Recording, error), do func(context.Context, db.Recording) error) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for ctx.Err() == nil {
		m.mu.Lock()
		woken := m.woken
		k, r, err := next(ctx)
		if k != (key{}) {
			m.busy[k] = true
		}
		m.mu.Unlock()
		if err == nil && k != (key{}) {
			err = do(ctx, r)
			m.mu.Lock()
			delete(m.busy, k)
			m.mu.Unlock()
			if err == nil {
				continue
			}
		}
		if err != nil && ctx.Err() == nil {
			m.Slog.ErrorContext(ctx, "work on media not done", slog.String("rec", k.rec), slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-woken:
		case <-tick.C:
		}
	}
}

// nextDerived finds a wish for a copy that nobody is at; the zero key: there is none. m.mu is held.
func (m *Maker) nextDerived(ctx context.Context) (k key, r db.Recording, err error) {
	list, err := m.Catalog.DerivedWanted(ctx, m.Now().UnixMilli(), Tries, m.Workers+1)
	for _, r := range list {
		if k := (key{r.Device, r.Rec, true}); !m.busy[k] {
			return k, r, nil
		}
	}
	return key{}, r, err
}

// nextLook finds a recording to look into that nobody is at; the zero key: there is none. m.mu is held.
func (m *Maker) nextLook(ctx context.Context) (k key, r db.Recording, err error) {
	if len(m.queue) == 0 {
		if err := m.sweep(ctx); err != nil {
			return key{}, r, err
		}
	}
	for len(m.queue) > 0 {
		r, m.queue = m.queue[0], m.queue[1:]
		if k = (key{r.Device, r.Rec, false}); !m.busy[k] {
			return k, r, nil
		}
	}
	return key{}, r, nil
}

// sweep looks for what has to be looked into: what is due first, then what was never looked into, the newest first.
func (m *Maker) sweep(ctx context.Context) (err error) {
	size := m.Log.Size()
	if m.queue, err = m.Catalog.MediaDue(ctx, m.Now().UnixMilli(), page); err != nil {
		return err
	}
	missing, err := m.Catalog.MediaMissing(ctx, m.swept, page)
	if err == nil && len(missing) == 0 {
		m.swept = int64(size) - 1
	}
	m.queue = append(m.queue, missing...)
	return err
}

// failed puts an error into the words of the table; counts says whether it was a try.
func (m *Maker) failed(ctx context.Context, r db.Recording, err error) (failure, detail string, counts bool) {
	var wrong *archive.WrongBytes
	var failed *sandbox.Failed
	failure, counts = FailureOther, true
	switch {
	case err == nil:
		return "", "", true
	case errors.As(err, &wrong):
		m.Slog.ErrorContext(ctx, "the vault holds bytes that are not what was sealed; nothing was made of them", slog.String("rec", r.Rec), slog.Any("error", err))
		return FailureWrong, cut(err.Error()), true
	case errors.Is(err, errSpace) || errors.Is(err, archive.ErrFull):
		failure, counts = FailureSpace, false
	case archive.Retryable(err) || errors.Is(err, catalog.ErrNotApplied):
		failure, counts = FailureVault, false
	case errors.Is(err, sandbox.ErrTime):
		failure = FailureTime
	case errors.Is(err, sandbox.ErrFlood):
		failure = FailureFlood
	case errors.As(err, &failed) && unfit(failed):
		failure = FailureSandbox
	case errors.As(err, &failed) || errors.Is(err, errNoPicture):
		failure = FailureUnreadable
	}
	m.Slog.WarnContext(ctx, "not everything could be made from a recording", slog.String("rec", r.Rec), slog.String("failure", failure), slog.Any("error", err))
	return failure, cut(err.Error()), counts
}

// cut bounds what is kept of an error.
func cut(s string) string {
	const most = 500
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// retry is when the next try may begin, after so many.
func (m *Maker) retry(tries int64) catalog.Time {
	if tries >= Tries {
		return catalog.Never
	}
	return catalog.Moment(m.Now().Add(time.Duration(tries*tries) * time.Minute))
}
