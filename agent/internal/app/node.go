package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"camseal/agent/internal/dock"
	"camseal/agent/internal/seal"
	"camseal/agent/internal/source"
	"camseal/agent/internal/spool"
	"camseal/agent/internal/uplink"
	"camseal/pkg/attestation/device"
	"camseal/pkg/evidence"
)

// bootWait is how long a start waits for its boot statement. A TPM that takes longer does not keep footage from being taken in.
const bootWait = 20 * time.Second

// node is a running agent: spool, TPM, sealer, uplink and what takes files in.
type node struct {
	set    *settings
	log    *slog.Logger
	spool  *spool.Spool
	tpm    chip
	uplink *uplink.Uplink
	client *uplink.Client
	taker  *source.Taker
	dock   *dock.Dock      // nil: this agent follows no bridge
	ctx    context.Context // of the whole run: work that others asked for ends with it

	found      spool.Recovery // what the start found
	recorderMu sync.Mutex
	recorder   *capturer // nil: this agent captures nothing

	openMu sync.Mutex
	open   []evidence.RecordingID // that an earlier run left

	sealerMu   sync.Mutex // guards the next three
	sealer     *seal.Sealer
	stopSealer context.CancelFunc
	replaced   chan struct{} // closed when sealer is replaced
	sealing    sync.WaitGroup

	again      chan evidence.RecordingID // that stayed behind a fork, to be taken in again
	stopUplink context.CancelFunc
	up         sync.WaitGroup
	socket     io.Closer
	kiosk      *http.Server
	serving    sync.WaitGroup
}

// inUseWait is how long an opener waits for one that holds the spool for a moment, such as a status command, and how often it tries.
const (
	inUseWait = 3 * time.Second
	inUseTry  = 50 * time.Millisecond
)

// openSpool opens the spool; key is asked for its key once nobody else holds it.
func openSpool(ctx context.Context, set *settings, log *slog.Logger, key func() ([]byte, error)) (*spool.Spool, spool.Recovery, error) {
	ctx, cancel := context.WithTimeout(ctx, inUseWait)
	defer cancel()
	tick := time.NewTicker(inUseTry)
	defer tick.Stop()
	for {
		sp, found, err := spool.Open(spool.Config{Dir: filepath.Join(set.State, "spool"), MaxBytes: int64(set.SpoolMax), Reserve: int64(set.SpoolReserve),
			Locks: set.Lock, Now: now, Log: log, Key: key})
		if !errors.Is(err, spool.ErrInUse) {
			return sp, found, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, spool.Recovery{}, err
		}
	}
}

func tpmConfig(set *settings, path string) device.Config {
	return device.Config{Path: path, ChainPCR: set.ChainPCR, State: set.State}
}

// start opens everything and sets it to work. After an error nothing is left running.
func start(ctx context.Context, set *settings, log *slog.Logger) (*node, error) {
	if err := set.check(); err != nil {
		return nil, err
	}
	path, err := set.tpm()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(set.path("spool")); err != nil {
		return nil, fmt.Errorf("%w in %s; nothing was changed; run camseal-agent enrol first, or give the right --state", spool.ErrNotEnrolled, set.State)
	}
	n := &node{set: set, log: log, ctx: ctx, again: make(chan evidence.RecordingID, 1024)}
	if err := n.start(ctx, path); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *node) start(ctx context.Context, path string) error {
	sp, found, err := openSpool(ctx, n.set, n.log, func() (key []byte, err error) {
		if n.tpm, err = openTPM(ctx, n.set, path); err != nil {
			return nil, err
		}
		return spoolKey(ctx, n.set, n.tpm)
	})
	if err != nil {
		return err
	}
	n.spool, n.found, n.open = sp, found, found.Open
	if err := sameDevice(sp, n.tpm); err != nil {
		return err
	}
	if n.uplink, err = n.newUplink(); err != nil {
		return err
	}
	n.startSealer(ctx)
	if err := n.declare(ctx, found); err != nil {
		return err
	}
	n.taker = &source.Taker{Spool: sp, ChunkSize: int64(n.set.ChunkSize), Settle: n.set.Settle, Readers: n.set.Readers, Now: now, Log: n.log,
		Anchor: n.uplink.Anchor, Counted: n.counted}
	if err := n.newDock(); err != nil {
		return err
	}
	if err := n.serveKiosk(); err != nil {
		return err
	}
	if err := n.serve(); err != nil {
		return err
	}
	up, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stopUplink = stop
	n.up.Go(func() { n.uplink.Run(up) })
	n.up.Go(func() { n.takeAgain(up) })
	return nil
}

// newClient returns a client of the configured server; it sends nothing.
func newClient(set *settings, cert tls.Certificate) (*uplink.Client, error) {
	pem, err := os.ReadFile(set.caFile())
	if err != nil {
		return nil, usagef("the authority of the server's certificate: %w; give the server's ca.pem with --ca", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usagef("%s holds no certificate", set.caFile())
	}
	client, err := uplink.NewClient(uplink.ClientConfig{Server: set.Server, CA: pool, Device: cert, Now: now})
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

func (n *node) newUplink() (*uplink.Uplink, error) {
	cert, err := readCertificate(n.set, n.tpm.TLSKey())
	if err != nil {
		return nil, err
	}
	if n.client, err = newClient(n.set, cert); err != nil {
		return nil, err
	}
	log, err := homeLog(n.spool)
	if err != nil {
		return nil, err
	}
	return uplink.New(uplink.Config{Spool: n.spool, Client: n.client, Log: log, Server: n.set.Server, Uploads: n.set.Uploads, Rates: n.set.rates(), FullAlarm: n.set.SpoolAlarm, Now: now, Logger: n.log,
		Renewed: n.renewed, GoOn: n.goOn, Again: n.queueAgain}), nil
}

// renewed keeps a new certificate and returns what to show the server from now on.
func (n *node) renewed(der []byte) (tls.Certificate, error) {
	cert, err := deviceCertificate(der, n.tpm.TLSKey())
	if err != nil {
		return cert, err
	}
	return cert, keepCertificate(n.set, der)
}

// startSealer sets the sealer to work and waits until its boot statement is in the chain. It reports whether it is.
func (n *node) startSealer(ctx context.Context) bool {
	sealer := seal.New(seal.Config{TPM: n.tpm, Store: n.spool, Software: software(), Log: n.log, Now: now, Gather: n.set.Gather})
	sealing, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.sealerMu.Lock()
	if n.replaced != nil {
		close(n.replaced)
	}
	n.sealer, n.stopSealer, n.replaced = sealer, stop, make(chan struct{})
	n.sealerMu.Unlock()
	before, _ := n.spool.Head()
	n.sealing.Go(func() {
		if err := sealer.Run(sealing); err != nil {
			n.log.Error("sealing ended with statements unsealed; they are kept and are sealed at the next start", slog.Any("error", err))
		}
	})
	timer := time.NewTimer(bootWait)
	defer timer.Stop()
	for {
		changed := n.spool.Changed()
		if head, _ := n.spool.Head(); head != before {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			n.log.WarnContext(ctx, "the TPM does not answer; what is taken in stays unsealed until it does")
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// declare says in the chain, and in the log, what was found wrong at the start.
func (n *node) declare(ctx context.Context, found spool.Recovery) error {
	if found.Removed > 0 {
		n.log.InfoContext(ctx, "cleared what an interrupted write left", slog.Int("files", found.Removed))
	}
	for _, name := range found.Aside {
		n.log.WarnContext(ctx, "a file in the spool that nothing explains was put aside", slog.String("file", name))
	}
	for _, l := range found.Lost {
		n.log.ErrorContext(ctx, "chunks are gone from this machine's disk; the chain says so; import the file again if the recorder still has it",
			slog.String("rec", l.Rec.String()), slog.Int("chunks", len(l.Chunks)))
		if err := n.spool.DeclareLost(ctx, l.Rec, l.Chunks, "their files were gone from the spool, or had another size, when the agent started"); err != nil {
			return err
		}
	}
	return nil
}

// own is the state folder as a walk sees it.
func (n *node) own() string {
	abs, err := filepath.Abs(n.set.State)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return ""
	}
	return abs
}

// close ends everything in reverse order. What is taken in is sealed, as far as the TPM answers, and all of it is durable.
func (n *node) close() error {
	var errs []error
	if n.kiosk != nil {
		errs = append(errs, n.kiosk.Close())
	}
	if n.socket != nil {
		errs = append(errs, n.socket.Close())
	}
	n.serving.Wait()
	if n.stopUplink != nil {
		n.stopUplink()
		n.up.Wait()
	}
	n.endSealer()
	if n.tpm != nil {
		errs = append(errs, n.tpm.Close())
	}
	if n.spool != nil {
		errs = append(errs, n.spool.Close())
	}
	return errors.Join(errs...)
}
