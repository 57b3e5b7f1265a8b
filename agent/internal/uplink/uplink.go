// Package uplink brings what the spool holds to the server: statements first, in batches from seal to seal, then the
// chunks that the server asks for, several at once, then the question for stored receipts. Every receipt is checked against the device's
// home log before it counts, and only the spool frees bytes by one. Whatever fails is tried again later, with growing waits;
// nothing is given up and nothing is dropped.
package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

const (
	batchBytes  = 1 << 20   // a batch of statements is cut at the first seal from here on,
	narrowBatch = 64 << 10  // away from the dock and on narrow links from here on
	minAsk      = 256 << 20 // bytes sent of an open import before its first receipt is asked for
	maxAsks     = 32        // requests for receipts at once; each waits for the log
	narrowAsks  = 2         // where little should be on its way at once
)

// Config says what an Uplink works with.
type Config struct {
	Spool   *spool.Spool
	Client  *Client
	Log     note.Verifier    // of the home log
	Server  string           // for words
	Uploads int              // chunks sent at once, where the link is wide
	Rates   map[string]int64 // bytes a second that chunks may take of each kind of link; 0 or none: any
	Now     func() time.Time
	Logger  *slog.Logger

	FullAlarm int // percent of the spool that are taken, from which on that is an alarm; 0: 80

	// Renewed keeps a certificate that the server issued anew, durably, and returns what to show the server from then on; nil: none
	// is asked for.
	Renewed func(der []byte) (tls.Certificate, error)
	// GoOn makes the chain go on there, by a boot statement; it returns when that is said.
	GoOn func(context.Context, spool.Adoption) error
	// Again takes in again, in its turn, what is held of a recording that stayed behind.
	Again func(context.Context, evidence.RecordingID)
}

// Uplink runs from Run to the end of its context. The other methods are safe for concurrent use.
type Uplink struct {
	Config
	q       *queue
	alarms  alarms
	says    gate // of statements
	device  gate // shut when the server does not want this device, or is not ours
	chunks  gate
	asks    gate
	later   sync.WaitGroup
	mu      sync.Mutex
	next    uint64        // seq of the next statement to send; valid when synced
	synced  bool          // the server's head is known
	rescan  bool          // wanted lists were cut: ask for everything pending once the queue is empty
	receipt time.Time     // when the last receipt came
	wake    chan struct{} // has a value when the server's head is to be asked for again
	met     chan struct{} // has a value when the server's head was got

	down      atomic.Bool // nothing has got through since the last failure
	anchoring sync.Mutex  // guards the next two
	anchored  time.Time   // when the newest anchor was made by this process
	branch    int         // the spool's then
}

// New returns an uplink that does nothing yet.
func New(c Config) *Uplink {
	u := &Uplink{Config: c, rescan: true, wake: make(chan struct{}, 1), met: make(chan struct{}, 1)}
	u.q = newQueue(u.about)
	c.Client.link.changed = u.pace
	u.SetLink(LinkDock)
	u.alarms = alarms{now: c.Now, log: c.Logger}
	for _, g := range []*gate{&u.says, &u.device, &u.chunks, &u.asks} {
		g.now = c.Now
	}
	return u
}

// Online reports whether the server answers.
func (u *Uplink) Online() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.synced && !u.down.Load()
}

// Kick makes everything that waits after a failure try again now.
func (u *Uplink) Kick() {
	for _, g := range []*gate{&u.says, &u.device, &u.chunks, &u.asks} {
		g.open()
	}
}

// Run works until the context ends, and returns when nothing is on its way any more.
func (u *Uplink) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { u.statements(ctx) })
	for range max(1, u.Uploads) {
		all.Go(func() {
			for u.upload(ctx) {
			}
		})
	}
	for range maxAsks {
		all.Go(func() { u.receipts(ctx) })
	}
	all.Go(func() { u.scan(ctx) })
	all.Go(func() { u.upkeep(ctx) })
	all.Wait()
	u.later.Wait()
	u.Client.Close()
}

// after calls f later, unless the context ends before.
func (u *Uplink) after(ctx context.Context, d time.Duration, f func()) {
	u.later.Go(func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
			f()
		}
	})
}

// failed raises the alarm for an error and shuts the gates. It reports whether the error is final.
func (u *Uplink) failed(ctx context.Context, key string, g *gate, err error) (final bool) {
	if ctx.Err() != nil {
		return false
	}
	al, final := explain(key, u.Server, err)
	u.alarms.raise(ctx, al)
	u.down.Store(true)
	g.fail(final)
	return final
}

// deviceWide reports whether a refusal is about the device and not about what was sent.
func deviceWide(err error) bool {
	var refusal *transport.Error
	if errors.As(err, &refusal) {
		return refusal.Code == transport.CodeUnknownDevice || refusal.Code == transport.CodeRevoked || refusal.Code == transport.CodeCertificate
	}
	_, final := explain("", "", err)
	return final
}

// parted reports whether the server refused a batch because it has other statements.
func parted(err error) bool {
	var refusal *transport.Error
	if !errors.As(err, &refusal) || refusal.Status == 0 {
		return false
	}
	return refusal.Code == transport.CodeFork || refusal.Code == transport.CodeBehind || refusal.Code == transport.CodeChainBroken
}

// Keys of alarms. A bad receipt's alarm stands until a good one comes.
const (
	keyStatements = "statements"
	keyReceipt    = "seen receipt"
)

func keyFor(err error) string {
	var bad *badReceipt
	if errors.As(err, &bad) {
		return keyReceipt
	}
	return keyStatements
}

// statements sends what is sealed and not sent.
func (u *Uplink) statements(ctx context.Context) {
	const key = keyStatements
	g := &u.says
	for {
		if u.device.wait(ctx) != nil || g.wait(ctx) != nil {
			return
		}
		changed := u.Spool.Changed()
		sent, err := u.batch(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			u.mu.Lock()
			u.synced = false
			u.mu.Unlock()
			if parted(err) { // the server's head says where to go on
				u.alarms.raise(ctx, Alarm{Key: key, What: err.Error(), Kept: allKept, Do: byItsel})
				g.fail(false)
			} else if u.failed(ctx, keyFor(err), g, err) {
				g.open()
				u.device.fail(true) // nothing else of this device can go on either
			}
		case sent:
			u.cleared(ctx, key, g)
			u.alarms.clear(ctx, keyReceipt)
		default:
			u.cleared(ctx, key, g)
			select {
			case <-ctx.Done():
				return
			case <-changed:
			case <-u.wake:
			}
		}
	}
}

// forgotten notes that the server does not have what it had: its head is asked for again, and then what it wants.
func (u *Uplink) forgotten() {
	u.mu.Lock()
	u.synced, u.rescan = false, true
	u.mu.Unlock()
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

func (u *Uplink) cleared(ctx context.Context, key string, g *gate) {
	g.ok()
	u.device.ok()
	u.down.Store(false)
	u.alarms.clear(ctx, key)
}

// batch sends the next batch, if there is one.
func (u *Uplink) batch(ctx context.Context) (sent bool, err error) {
	next, err := u.sync(ctx)
	if err != nil {
		return false, err
	}
	size := batchBytes
	if kind, _, narrow := u.Client.link.how(); narrow || kind != LinkDock {
		size = narrowBatch
	}
	b, ok, err := u.Spool.Batch(next, size)
	if err != nil || !ok {
		return false, err
	}
	answer, err := u.Client.Statements(ctx, b.Lines)
	if err != nil {
		return false, err
	}
	if answer.Seq != b.Last || answer.Head != b.Head {
		return false, fmt.Errorf("the server answers for statement %d, sent was up to %d", answer.Seq, b.Last)
	}
	if err := u.keepSeen(answer.Seen, b); err != nil {
		return false, err
	}
	u.Logger.DebugContext(ctx, "statements sent", slog.Uint64("first", b.First), slog.Uint64("last", b.Last), slog.Int("bytes", len(b.Lines)))
	u.q.want(answer.Wanted)
	u.mu.Lock()
	u.next, u.receipt = b.Last+1, u.Now()
	u.rescan = u.rescan || len(answer.Wanted) >= transport.MaxWanted
	u.mu.Unlock()
	return true, u.saidIn(ctx, b)
}

// sync asks for the server's head when it is not known, and returns the seq to send next.
func (u *Uplink) sync(ctx context.Context) (uint64, error) {
	u.mu.Lock()
	next, synced := u.next, u.synced
	u.mu.Unlock()
	if synced {
		return next, nil
	}
	head, err := u.Client.Head(ctx)
	if err != nil {
		return 0, err
	}
	next = 0
	if head.Seq != nil {
		own, err := u.Spool.HeadAt(*head.Seq)
		if err != nil || own != head.Head || *head.Seq >= u.Spool.Sealed() {
			if err := u.elsewhere(ctx, head); err != nil {
				return 0, err
			}
		}
		next = *head.Seq + 1
	}
	u.mu.Lock()
	u.next, u.synced, u.rescan = next, true, true
	u.mu.Unlock()
	u.q.poke() // for scan
	select {
	case u.met <- struct{}{}:
	default:
	}
	return next, nil
}

// tight reports whether the spool is over half full, and how many bytes it holds.
func (u *Uplink) tight() (tight bool, held int64, err error) {
	st, err := u.Spool.Status()
	return st.Held > st.Free, st.Held, err
}

// keepSeen checks a seen receipt and keeps it.
func (u *Uplink) keepSeen(r transport.Receipt, b spool.Batch) error {
	device, err := u.Spool.Device()
	if err != nil {
		return err
	}
	if err := u.checkSeen(r, evidence.Seen{Device: device, Seq: b.Last, Head: b.Head}); err != nil {
		return &badReceipt{fmt.Errorf("seen receipt up to %d: %w", b.Last, err)}
	}
	return u.Spool.KeepSeen(b.Last, r.Tlog())
}

// checkSeen checks that a receipt is the home log's, and says what want says of device, seq and head.
func (u *Uplink) checkSeen(r transport.Receipt, want evidence.Seen) error {
	v, err := r.Tlog().Verify(u.Log)
	if err != nil {
		return err
	}
	leaf, err := evidence.ParseLeafUnverified(v.Leaf)
	if err != nil {
		return err
	}
	if seen, ok := leaf.(*evidence.Seen); !ok || seen.Device != want.Device || seen.Seq != want.Seq || seen.Head != want.Head {
		return errors.New("it speaks of something else")
	}
	return nil
}

// badReceipt is a receipt that does not hold.
type badReceipt struct{ err error }

func (b *badReceipt) Error() string {
	return "the server's receipt does not hold: " + b.err.Error()
}
func (b *badReceipt) Unwrap() error { return b.err }

// saidIn acts on what the statements of a batch say: it asks for the receipts of recordings without chunks on their way that were closed, and
// puts first what was marked.
func (u *Uplink) saidIn(ctx context.Context, b spool.Batch) error {
	for seq := b.First; seq <= b.Last; seq++ {
		line, err := u.Spool.Statement(seq)
		if err != nil {
			return err
		}
		st, _, err := evidence.ParseUnverified(line)
		if err != nil {
			return err
		}
		switch st.Kind { // after any of these all of a recording may have been said; consider waits for the newest
		case evidence.KindMark:
			u.q.reorder(st.Rec)
			fallthrough
		case evidence.KindClose, evidence.KindFault, evidence.KindHeader, evidence.KindNote, evidence.KindRelease:
			u.consider(ctx, st.Rec)
		}
	}
	return nil
}
