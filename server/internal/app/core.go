package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/durable"
	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
	"camseal/server/internal/archive/s3"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/devices"
	"camseal/server/internal/duty"
	"camseal/server/internal/export"
	"camseal/server/internal/ingest"
	"camseal/server/internal/ledger"
	"camseal/server/internal/live"
	"camseal/server/internal/media"
	"camseal/server/internal/officers"
	"camseal/server/internal/people"
	"camseal/server/internal/web"
)

// core is everything below the network: vault, log, catalog and what works on them.
type core struct {
	vault    archive.Vault
	ledger   *ledger.Ledger
	clock    tlog.Cosigner // the server's own, on its checkpoints
	catalog  *catalog.Catalog
	log      *catalog.Projector
	book     *casework.Book
	registry *devices.Registry
	exporter *export.Exporter
	ingest   *ingest.Service
	officers *officers.Store
	cases    *casework.Cases
	media    *media.Maker
	keeping  *casework.Retention
	space    func() (archive.Space, error) // of the vault; nil: it does not tell
	disposer archive.Disposer              // nil: nothing can be disposed of here
	people   *people.Keeper
	duty     *duty.Board // recorders on duty
	live     *live.Relay
	linger   linger
	page     *web.Page     // nil: it is not served yet
	origin   string        // by which people reach the web page
	ready    chan struct{} // closed when all that a former run logged is applied

	headerDeadline time.Duration
	liveLinger     time.Duration

	slog    *slog.Logger
	cancel  context.CancelFunc
	work    sync.WaitGroup
	closers []func() error // in the order of opening
}

// testSteps is called between the durable steps of vault and log; crash tests set it.
var testSteps func(string)

// testVault wraps the vault; tests set it.
var testVault func(archive.Vault) archive.Vault

const (
	patience   = 2 * time.Minute // for vault and log, once a request is accepted
	closeWait  = 20 * time.Second
	retryReady = time.Second
)

// openCore opens everything and begins to follow the log. The state folder is locked until close.
func openCore(e *env) (c *core, err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.ctx))
	c = &core{slog: e.log, cancel: cancel, ready: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
			c = nil
		}
	}()
	s := e.settings
	if _, err := os.Stat(s.path(fileLogKey)); errors.Is(err, fs.ErrNotExist) {
		return c, usagef("%s is no state folder of a server; nothing was changed; run `camseal-server init` first", s.State)
	}
	if err := c.lockState(s); err != nil {
		return c, err
	}
	_, vkey, err := ensureLogKey(s)
	if err != nil {
		return c, err
	}
	if err := c.openVault(ctx, s); err != nil {
		return c, err
	}
	logUntil := func() time.Time { return e.now().Add(time.Duration(s.LogRetention)) }
	if err := c.openLedger(ctx, e, logUntil); err != nil {
		return c, err
	}
	if err := c.openCatalog(ctx, e, vkey); err != nil {
		return c, err
	}
	if err := c.assemble(e, vkey, logUntil); err != nil {
		return c, err
	}
	c.work.Go(func() {
		if err := c.log.Run(ctx); err != nil {
			c.slog.ErrorContext(ctx, "the catalog stopped following the log", slog.Any("error", err))
		}
	})
	c.work.Go(func() { c.catchUp(ctx) })
	c.work.Go(func() { c.media.Run(ctx) })
	c.work.Go(func() {
		if c.wait(ctx) == nil {
			c.keeping.Run(ctx)
		}
	})
	return c, nil
}

func (c *core) lockState(s *settings) error {
	f, err := os.OpenFile(s.path(fileLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("%s is in use by another camseal-server; nothing was changed; stop that one, or give this one a state folder of its own", s.State), f.Close())
	}
	c.closers = append(c.closers, f.Close)
	for _, d := range []string{dirTemp, dirHeld} {
		if err := durable.MkdirAll(s.path(d), 0o700); err != nil {
			return err
		}
	}
	return clearDir(s.path(dirTemp))
}

// clearDir removes the temporary files that a killed run left.
func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.Remove(dir+"/"+e.Name()))
	}
	return err
}

func (c *core) openVault(ctx context.Context, s *settings) (err error) {
	v, err := openVault(ctx, s)
	if err != nil {
		return err
	}
	if f, ok := v.(io.Closer); ok {
		c.closers = append(c.closers, f.Close)
	}
	if f, ok := v.(interface{ Space() (archive.Space, error) }); ok {
		c.space = f.Space
	}
	if c.disposer, err = openDisposer(s, v); err != nil {
		return err
	}
	if c.vault = v; testVault != nil {
		c.vault = testVault(v)
	}
	return nil
}

// openVault opens the vault that the settings name.
func openVault(ctx context.Context, s *settings) (archive.Vault, error) {
	if s.S3Endpoint == "" {
		return archive.OpenFolder(s.vaultDir(), archive.FolderOptions{Step: testSteps})
	}
	file := s.S3Secret
	if file == "" {
		file = s.path(fileS3Key)
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("s3-secret-file: %w", err)
	}
	return s3.Open(ctx, s3.Config{Endpoint: s.S3Endpoint, Bucket: s.S3Bucket, Region: s.S3Region, AccessKey: s.S3AccessKey,
		SecretKey: s3.Secret(strings.TrimSpace(string(secret))), CAFile: s.S3CA})
}

func (c *core) openLedger(ctx context.Context, e *env, until func() time.Time) error {
	s := e.settings
	skey, _, err := ensureLogKey(s)
	if err != nil {
		return err
	}
	clock, vkey, err := ensureClockKey(s)
	if err != nil {
		return err
	}
	if c.clock, err = tlog.NewCosigner(vkey); err != nil {
		return err
	}
	witnesses, err := s.witnesses()
	if err != nil {
		return err
	}
	c.ledger, err = ledger.Open(ctx, ledger.Config{Dir: s.path(dirLedger), SignerKey: skey, Vault: c.vault, Until: until, ClockKey: clock,
		Witnesses: witnesses, Quorum: s.Quorum, TSA: ledger.TSA{URL: s.TSA, Interval: s.TSAInterval}, Now: e.now,
		BatchAge: s.BatchAge, CheckpointInterval: s.CheckpointInterval, Log: e.log, Step: testSteps})
	if err != nil {
		return err
	}
	c.closers = append(c.closers, c.closeLedger)
	return nil
}

func (c *core) closeLedger() error {
	ctx, done := context.WithTimeout(context.Background(), closeWait)
	defer done()
	return c.ledger.Close(ctx)
}

func (c *core) openCatalog(ctx context.Context, e *env, vkey string) (err error) {
	where, err := e.settings.catalogPlace()
	if err != nil {
		return err
	}
	if c.catalog, err = catalog.Open(ctx, where); err != nil {
		return err
	}
	c.closers = append(c.closers, c.catalog.Close)
	c.log, err = catalog.NewProjector(ctx, c.catalog, c.vault, c.ledger, vkey, e.settings.RememberedChunks, e.log)
	return err
}

func (c *core) assemble(e *env, vkey string, logUntil func() time.Time) error {
	s := e.settings
	c.headerDeadline = time.Duration(s.HeaderDeadline)
	ca, caKey, err := ensureCA(s, e.now())
	if err != nil {
		return err
	}
	roots, err := loadRoots(s.EKRoots)
	if err != nil {
		return err
	}
	trial, err := loadRoots(s.EKRootsTrial)
	if err != nil {
		return err
	}
	c.book = &casework.Book{Vault: c.vault, Log: c.log, Until: logUntil, Now: e.now}
	c.registry = devices.New(devices.Config{Catalog: c.catalog, Log: c.log, Book: c.book, Tokens: tokensOf(e), HomeLog: vkey, CA: ca, CAKey: caKey,
		Roots: roots, TrialRoots: trial, AllowUnknownMaker: s.AllowUnknownMaker, Rand: rand.Reader, Now: e.now, Slog: e.log})
	c.people, c.origin = &people.Keeper{Catalog: c.catalog, Book: c.book, Now: e.now}, s.origin(s.Web)
	c.officers = &officers.Store{Vault: c.vault, Catalog: c.catalog, Book: c.book, Until: logUntil}
	zone, err := s.zone()
	if err != nil {
		return err
	}
	c.cases = &casework.Cases{Book: c.book, Catalog: c.catalog, Zone: zone, Register: c.officers.Current, TempDir: s.path(dirTemp)}
	trust, err := s.trust(vkey)
	if err != nil {
		return err
	}
	c.exporter = &export.Exporter{Catalog: c.catalog, Log: c.log, Ledger: c.ledger, VKey: vkey, Trust: trust, Vault: c.vault, Book: c.book,
		TempDir: s.path(dirTemp), Slog: e.log}
	quarantine := &ingest.Quarantine{Dir: s.path(dirHeld), MaxBytes: int64(s.QuarantineBytes), MaxEntries: s.QuarantineEntries, Book: c.book, Now: e.now, Slog: e.log}
	c.duty = duty.New(duty.Config{Book: c.book, Past: c.commanded, Now: e.now, Slog: e.log})
	if err := c.openLive(e); err != nil {
		return err
	}
	c.ingest = ingest.New(ingest.Config{Catalog: c.catalog, Log: c.log, VKey: vkey, Vault: c.vault, Quarantine: quarantine, Book: c.book, TempDir: s.path(dirTemp),
		Checkpoint: c.ledger.Newest, Retention: time.Duration(s.Retention), LogUntil: logUntil, Now: e.now, Slog: e.log,
		MaxChunks: s.RememberedChunks, Patience: patience, Register: c.officers.Current, Poll: c.duty.Poll, Live: c.live, Ready: c.ready})
	c.keeping = &casework.Retention{Book: c.book, Catalog: c.catalog, Vault: c.vault, Disposer: c.disposer, Lengthen: c.ingest.Lengthen,
		Longest: time.Duration(s.LogRetention), Interval: s.SweepInterval, Now: e.now, Slog: e.log}
	c.media, err = media.New(e.ctx, media.Config{Catalog: c.catalog, Log: c.log, Vault: c.vault, Book: c.book, Dir: s.path(dirMedia), TempDir: s.path(dirTemp),
		MaxBytes: int64(s.MediaBytes), Workers: s.MediaWorkers, Always: s.MediaDerive, Now: e.now, Slog: e.log})
	return err
}

// loadRoots reads a folder of roots; none has no roots.
func loadRoots(dir string) (*attestation.Roots, error) {
	if dir == "" {
		return nil, nil
	}
	roots, err := attestation.LoadRoots(dir)
	if err != nil {
		return nil, err
	}
	if roots.Len() == 0 {
		return nil, usagef("%s holds no root certificate (*.pem)", dir)
	}
	return roots, nil
}

func tokensOf(e *env) *devices.Tokens {
	return &devices.Tokens{Dir: e.settings.path(dirTokens), Now: e.now}
}

// loggedAt is the server's own time on the checkpoint of a leaf's receipt; nil if there is none on it.
func (c *core) loggedAt(ctx context.Context, index uint64) (*time.Time, error) {
	r, err := c.log.ReceiptAt(ctx, index)
	if err != nil {
		return nil, err
	}
	log, err := tlog.NewVerifier(c.ledger.VKey())
	if err != nil {
		return nil, err
	}
	v, err := r.Verify(log)
	if err != nil {
		return nil, fmt.Errorf("receipt of log leaf %d: %w", index, err)
	}
	at, ok, err := c.clock.Verify(v.Signed)
	if err != nil || !ok {
		return nil, err
	}
	return &at, nil
}

// catchUp puts a leaf of its own behind everything that a former run may have logged, and waits until it is applied: then
// the catalog knows all, and the same statements can't be logged twice.
func (c *core) catchUp(ctx context.Context) {
	for {
		_, err := c.book.Record(ctx, casework.Act{Name: casework.ActStarted, Actor: "camseal-server", Detail: evidence.Detail{"version": Version}})
		if err == nil {
			if err := c.ingest.Resume(ctx); err != nil && ctx.Err() == nil {
				c.slog.ErrorContext(ctx, "what a former run refused is not all logged", slog.Any("error", err))
			}
			c.sayLost(ctx)
			close(c.ready)
			return
		}
		if ctx.Err() != nil {
			return
		}
		c.slog.ErrorContext(ctx, "not ready to take anything in", slog.Any("error", err))
		t := time.NewTimer(retryReady)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// sayLost says which recordings' statements are missing in the vault without the log knowing of a disposal.
func (c *core) sayLost(ctx context.Context) {
	lost, err := c.catalog.LostWords(ctx)
	for _, k := range lost {
		err = errors.Join(err, fmt.Errorf("recording %s of device %s", k.Rec, k.Device.Short()))
	}
	if err != nil {
		c.slog.ErrorContext(ctx, "statements are missing in the vault and the log knows no disposal; put the vault's objects back from a copy", slog.Any("error", err))
	}
}

// wait returns once the catalog has caught up.
func (c *core) wait(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close stops following and closes everything in reverse order.
func (c *core) close() error {
	if c.page != nil {
		c.page.Close() // what it records needs the log
	}
	if c.duty != nil {
		c.duty.Close()
	}
	c.cancel()
	c.work.Wait() // nothing may use the catalog once it is closed
	var err error
	for i := len(c.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, c.closers[i]())
	}
	c.closers = nil
	return err
}
