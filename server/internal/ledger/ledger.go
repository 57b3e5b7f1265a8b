// Package ledger is the server's transparency log: Tessera on a folder (POSIX driver, C2SP tlog-tiles), mirrored into
// the vault before anything is signed.
//
// The order is fixed, and each step is safe to repeat: a leaf is sequenced durably (Append returns) -> leaves mirrored
// into the vault -> checkpoint signed and published -> checkpoint mirrored -> receipts written to the vault -> Follow
// hands the entries on. So whatever a signature covers can be read back from the vault alone (Mirrored).
//
// Formats: https://c2sp.org/tlog-tiles, https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-proof.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"

	"camseal/pkg/durable"
	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
)

// Steps are the names that Config.Step is called with. After each the process may be killed.
var Steps = []string{
	"leaves-mirrored",     // all leaves up to the next checkpoint are in the vault
	"signed",              // the checkpoint is signed, not yet published
	"published",           // the checkpoint is in the log's folder
	"checkpoint-mirrored", // and in the vault
	"receipts-written",    // the receipts of a batch of entries are in the vault
}

// What a caller decides by.
var (
	// ErrClosed: the ledger was closed, or the context that it was opened with has ended.
	ErrClosed = errors.New("the ledger is closed")
	// ErrInUse: another process uses the log's folder.
	ErrInUse = errors.New("the log's folder is in use by another process")
	// ErrFork: the log's folder and its mirror in the vault do not fit together. Going on would fork the log.
	ErrFork = errors.New("the log's folder does not fit its mirror in the vault")
	// ErrLeaf: the leaf is empty or too large for a log.
	ErrLeaf = errors.New("not a leaf for the log")
)

// Ledger is an open log. All its methods are safe for concurrent use.
type Ledger struct {
	cfg      Config
	log      *slog.Logger
	vkey     string
	logID    string
	verifier note.Verifier
	lock     *os.File

	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
	add      tessera.AddFn
	shutdown func(context.Context) error
	files    client.FileFetcher
	mirror   *mirror
	replay   uint64 // receipts of leaves below this may be in the vault already

	sequenced atomic.Uint64 // one more than the greatest index that Append returned

	clock  *tlog.CosignerKey // nil: none
	found  checkpoint        // the newest one in the vault when the ledger was opened
	rounds *rounds           // nil: no witnesses
	stamps *stamps           // nil: no time stamping authority

	mu        sync.Mutex
	closed    bool
	appends   sync.WaitGroup
	latest    checkpoint    // newest one that is published and mirrored
	witnessed checkpoint    // newest one that has the quorum and is mirrored
	changed   chan struct{} // closed and made anew when latest or witnessed changes
	status    Status
}

// checkpoint is a signed checkpoint.
type checkpoint struct {
	tlog.Checkpoint
	raw []byte
}

func (c checkpoint) size() uint64 { return uint64(c.Size) }

// Open opens the log in cfg.Dir, or makes it. It demands that folder, key and mirror belong together (ErrFork), so the
// vault must be there. The ledger works until Close is called or ctx ends.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	l, err := prepare(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if err := l.start(); err != nil {
		l.cancel()
		return nil, errors.Join(fmt.Errorf("ledger: %w", err), l.lock.Close())
	}
	return l, nil
}

func prepare(ctx context.Context, cfg Config) (*Ledger, error) {
	cfg.setDefaults()
	klog.SetSlogLogger(cfg.Log) // what Tessera has to say goes where everything goes; klog knows one place a process
	signer, err := note.NewSigner(cfg.SignerKey)
	if err != nil {
		return nil, err
	}
	vkey, err := tlog.VerifierKey(cfg.SignerKey)
	if err != nil {
		return nil, err
	}
	v, err := tlog.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	l := &Ledger{cfg: cfg, log: cfg.Log, vkey: vkey, logID: archive.LogID(vkey), verifier: v, changed: make(chan struct{}),
		files: client.FileFetcher{Root: filepath.Join(cfg.Dir, "log")}}
	if err := l.outside(); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(l.files.Root, 0o755); err != nil {
		return nil, err
	}
	if l.lock, err = lockFile(filepath.Join(cfg.Dir, "lock")); err != nil {
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.mirror = &mirror{l: l, signer: signer, signed: make(chan struct{}, 1)}
	return l, nil
}

// outside prepares what signs beside the log's key.
func (l *Ledger) outside() (err error) {
	if err := l.openClock(); err != nil {
		return err
	}
	if l.rounds, err = newRounds(l); err != nil {
		return err
	}
	l.stamps, err = newStamps(l)
	return err
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (l *Ledger) start() error {
	local, err := l.readLocal()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := l.mirror.begin(l.ctx, local.size()); err != nil {
		return err
	}
	driver, err := posix.New(l.ctx, posix.Config{Path: l.files.Root})
	if err != nil {
		return err
	}
	opts := tessera.NewAppendOptions().WithCheckpointSigner(l.mirror).WithBatching(batchSize, l.cfg.BatchAge).
		WithCheckpointInterval(l.cfg.CheckpointInterval).WithCheckpointRepublishInterval(0)
	appender, shutdown, reader, err := tessera.NewAppender(l.ctx, driver, opts)
	if err != nil {
		return err
	}
	integrated, err := reader.IntegratedSize(l.ctx)
	if err != nil {
		return err
	}
	if err := l.checkFork(integrated); err != nil {
		return err
	}
	l.add, l.shutdown, l.replay = appender.Add, shutdown, integrated
	l.sequenced.Store(integrated)
	if err := l.findWitnessed(); err != nil {
		return err
	}
	if err := l.findStamp(); err != nil {
		return err
	}
	l.mirror.release()
	l.work.Go(l.publish)
	if l.rounds != nil {
		l.work.Go(l.rounds.run)
	}
	if l.stamps != nil {
		l.work.Go(l.stamps.run)
	}
	return nil
}

// checkFork compares the folder with the newest checkpoint in the vault: the folder must hold that tree and maybe more.
func (l *Ledger) checkFork(integrated uint64) error {
	m, err := newestMirrored(l.ctx, l.cfg.Vault, l.logID, l.verifier)
	if errors.Is(err, archive.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("newest checkpoint in the vault: %w", err)
	}
	if m.size() > integrated {
		return fmt.Errorf("%w: the vault has a checkpoint over %d leaves, %s holds %d; nothing was written: put the newest copy of that folder back, or begin a new log with a new key",
			ErrFork, m.Size, l.cfg.Dir, integrated)
	}
	r, err := l.rangeAt(l.ctx, m.size())
	if err != nil {
		return err
	}
	l.found = m
	if root, err := rootOf(r); err != nil || root != m.Root {
		return errors.Join(fmt.Errorf("%w: the roots over %d leaves differ; nothing was written: put the right copy of %s back", ErrFork, m.Size, l.cfg.Dir), err)
	}
	return nil
}

// readLocal reads the published checkpoint. The error wraps fs.ErrNotExist if there is none yet.
func (l *Ledger) readLocal() (checkpoint, error) {
	raw, err := l.files.ReadCheckpoint(l.ctx)
	if err != nil {
		return checkpoint{}, err
	}
	c, err := tlog.OpenCosigned(raw, l.verifier)
	if err != nil {
		return checkpoint{}, fmt.Errorf("%w: %s: %w", ErrFork, l.cfg.Dir, err)
	}
	return checkpoint{c, raw}, nil
}

// VKey is the log's verifier key.
func (l *Ledger) VKey() string { return l.vkey }

// LogID names the log in the vault's keys.
func (l *Ledger) LogID() string { return l.logID }

// Append takes a leaf into the log and returns its index when it is durably sequenced: whatever is killed then, it is
// in the log at that index. It waits while the vault is down and very many leaves are unsigned. When ctx ends first,
// the leaf may or may not be in the log. Errors: ErrClosed, ErrLeaf, ctx's, or of the disk.
func (l *Ledger) Append(ctx context.Context, leaf []byte) (uint64, error) {
	if len(leaf) == 0 || len(leaf) > tlog.MaxLeaf {
		return 0, fmt.Errorf("append: %w: %d bytes", ErrLeaf, len(leaf))
	}
	if err := l.enter(); err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	defer l.appends.Done()
	if err := l.waitFor(ctx, func(c checkpoint) bool { return l.sequenced.Load() < c.size()+maxUnsigned }); err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	type result struct {
		tessera.Index
		err error
	}
	done := make(chan result, 1)
	entry := tessera.NewEntry(append([]byte(nil), leaf...))
	go func() {
		index, err := l.add(l.ctx, entry)() // waits for the batch; it does not heed a context
		done <- result{index, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return 0, fmt.Errorf("append: %w", r.err)
		}
		for old := l.sequenced.Load(); old <= r.Index.Index && !l.sequenced.CompareAndSwap(old, r.Index.Index+1); old = l.sequenced.Load() {
		}
		return r.Index.Index, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("append: %w", ctx.Err())
	case <-l.ctx.Done():
		return 0, fmt.Errorf("append: %w", ErrClosed)
	}
}

func (l *Ledger) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.ctx.Err() != nil {
		return ErrClosed
	}
	l.appends.Add(1)
	return nil
}

// waitFor waits until ok holds for the latest checkpoint.
func (l *Ledger) waitFor(ctx context.Context, ok func(checkpoint) bool) error {
	for {
		l.mu.Lock()
		latest, changed := l.latest, l.changed
		l.mu.Unlock()
		if ok(latest) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.ctx.Done():
			return ErrClosed
		}
	}
}

// Close takes no more leaves, waits until a published and mirrored checkpoint covers all, and ends. When ctx ends
// first (the vault may be down), it ends all the same and says so: the leaves are durable, and are signed after the
// next Open.
func (l *Ledger) Close(ctx context.Context) error {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	l.mu.Unlock()
	if again {
		return nil
	}
	err := wait(ctx, &l.appends)
	if err == nil {
		err = l.shutdown(ctx)
	}
	if err == nil {
		err = l.waitFor(ctx, func(c checkpoint) bool { return c.size() >= l.sequenced.Load() })
	}
	if err != nil {
		err = fmt.Errorf("close ledger: no checkpoint covers the last leaves yet; they are durable and are signed after the next start: %w", err)
	}
	l.mirror.close()
	l.cancel()
	l.work.Wait()
	return errors.Join(err, l.lock.Close())
}

func wait(ctx context.Context, g *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		g.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause waits for d and returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
