// Package ingest takes in what devices say and the bytes of what they recorded. Statements are checked before anything is
// archived; a chunk is taken only after a sealed statement spoke of it, and hashed while it is written.
package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/archive"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

// Config says what a Service works with. All members must be set.
type Config struct {
	Catalog    *catalog.Catalog
	Log        *catalog.Projector
	VKey       string // of the log
	Vault      archive.Vault
	Quarantine *Quarantine
	Book       *casework.Book
	TempDir    string // for manifests while they are made
	Retention  time.Duration
	LogUntil   func() time.Time // retention of statements
	Now        func() time.Time
	Slog       *slog.Logger
	MaxChunks  int                                                                                           // whose places in the vault are remembered
	Patience   time.Duration                                                                                 // how long an accepted request may wait for vault and log
	Checkpoint func() []byte                                                                                 // the log's newest, as agents are to see it; nil before the first
	Register   func(ctx context.Context) (*transport.Register, error)                                        // of officers, in force; nil if there is none
	Poll       func(ctx context.Context, id evidence.DeviceID, r transport.Report) (transport.Orders, error) // of a recorder on duty
	Ready      <-chan struct{}                                                                               // closed once all that a former run logged is in the catalog
	Live       Live
}

// Live is where devices show live what they see (RFC 9725); a stream has its device's name.
type Live interface {
	WHIP(w http.ResponseWriter, r *http.Request, stream, base string)
	WHIPSession(w http.ResponseWriter, r *http.Request, stream, session string)
}

// Service takes in statements and chunks. It is safe for concurrent use.
type Service struct {
	Config
	holdings *holdings

	mu      sync.Mutex
	devices map[evidence.DeviceID]*deviceState
	telling sync.Mutex    // one at a time, so that nothing is told twice
	bodies  chan struct{} // as many batches are in memory at once as fit into it
	reading chan struct{} // as many are checked at once
}

const (
	bodiesAtOnce  = 12
	batchesAtOnce = 4
)

// New makes a Service.
func New(c Config) *Service {
	return &Service{Config: c, holdings: newHoldings(c.Vault, c.MaxChunks), devices: map[evidence.DeviceID]*deviceState{},
		bodies: make(chan struct{}, bodiesAtOnce), reading: make(chan struct{}, batchesAtOnce)}
}

// deviceState lets one batch of a device in at a time.
type deviceState struct {
	turn    chan struct{} // holds one token
	pending *uint64       // log index of a seen leaf that was not applied yet
}

// enter waits for the device's turn, and until its last seen leaf is applied. leave must be called after it if err is nil.
func (s *Service) enter(ctx context.Context, id evidence.DeviceID) (st *deviceState, err error) {
	s.mu.Lock()
	st = s.devices[id]
	if st == nil {
		st = &deviceState{turn: make(chan struct{}, 1)}
		st.turn <- struct{}{}
		s.devices[id] = st
	}
	s.mu.Unlock()
	if err := s.caughtUp(); err != nil {
		return nil, err
	}
	select {
	case <-st.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for device %s: %w", id.Short(), ctx.Err())
	}
	if st.pending != nil {
		if err := s.Log.Wait(ctx, *st.pending); err != nil {
			st.leave()
			return nil, err
		}
		st.pending = nil
	}
	return st, nil
}

// caughtUp returns an error while the catalog may not know all that a former run logged.
func (s *Service) caughtUp() error {
	select {
	case <-s.Ready:
		return nil
	default:
		return fmt.Errorf("just started: %w", catalog.ErrNotApplied)
	}
}

func (st *deviceState) leave() { st.turn <- struct{}{} }

// Head says where the server stands with a device.
func (s *Service) Head(ctx context.Context, id evidence.DeviceID) (transport.Head, error) {
	st, err := s.enter(ctx, id) // not before what is under way is known
	if err != nil {
		return transport.Head{}, err
	}
	defer st.leave()
	dev, err := s.Catalog.Device(ctx, id)
	if err != nil {
		return transport.Head{}, err
	}
	h := transport.Head{Owed: []uint64{}}
	if err := h.Head.UnmarshalText([]byte(dev.Head)); err != nil {
		return h, fmt.Errorf("head of device %s: %w", id.Short(), err)
	}
	if dev.NextSeq > 0 {
		seq := uint64(dev.NextSeq - 1)
		h.Seq = &seq
		state, err := catalog.ChainState(dev)
		if err != nil {
			return h, err
		}
		h.N, h.Owed = state.N, catalog.OwedIn(state.Counter)
		h.Seen, err = s.seenAt(ctx, id, seq)
		return h, err
	}
	return h, nil
}

// seenAt returns the receipt of a device's head.
func (s *Service) seenAt(ctx context.Context, id evidence.DeviceID, seq uint64) (*transport.Receipt, error) {
	row, err := s.Catalog.BatchAt(ctx, id, seq)
	if err != nil {
		return nil, fmt.Errorf("receipt of head %d: %w", seq, err)
	}
	r, err := s.Log.Receipt(ctx, uint64(row.LogIndex), []byte(row.Leaf))
	if err != nil {
		return nil, fmt.Errorf("receipt of head %d: %w", seq, err)
	}
	seen := sent(r)
	return &seen, nil
}

// until is when the retention of bytes taken in now ends: whole seconds.
func (s *Service) until() time.Time {
	return s.Now().Add(s.Retention).UTC().Truncate(time.Second).Add(time.Second)
}

// settled is a context for work that was begun and must not stop half way only because the client hangs up.
func (s *Service) settled(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.Patience)
}
