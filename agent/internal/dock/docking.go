package dock

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"camseal/agent/internal/source"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/transport"
)

// docking is one volume of a recorder, from when it is plugged in until it is pulled out.
type docking struct {
	*Dock
	bridge *bridge
	whole  context.Context // of the whole dock
	ctx    context.Context // ends when it is pulled out
	end    context.CancelFunc
	out    chan struct{} // closed when it is pulled out

	// Guarded by Dock.mu.
	is     handoff.Docking
	begun  bool
	gone   bool
	fault  string // what went wrong here, in words
	listed bool
	files  int
	done   int
	bytes  uint64
	read   uint64            // of files that are done
	part   map[string]uint64 // of those being read
	since  time.Time         // when reading began
	fresh  uint64            // bytes that were really read
	recs   []evidence.RecordingID
	heard  int           // of recs, how many were listened to
	more   chan struct{} // has a value when there are more, closed when there will be none
	state  map[evidence.RecordingID]*progress
	groups map[evidence.RecordingID]bool // of its footage
	order  []evidence.RecordingID        // the same, in order
	known  int                           // files that another dock has stored
	ready  bool                          // all of it is read
	tip    uint64                        // number of statements then
	sealed bool                          // all of these are sealed
	oldest int64                         // when the oldest file that is not stored was filmed, by the recorder, milliseconds; 0: none
	kept   int                           // files that stay on the recorder, for a person to look at; the log says why
}

// progress is what became of a recording of this docking.
type progress struct {
	stored, released, refused, faulty bool
	path                              string
}

func newDocking(ctx context.Context, d *Dock, b *bridge, g handoff.Docking) *docking {
	k := &docking{Dock: d, bridge: b, is: g, out: make(chan struct{}), more: make(chan struct{}, 1),
		part: map[string]uint64{}, state: map[evidence.RecordingID]*progress{}, groups: map[evidence.RecordingID]bool{}}
	k.whole = ctx
	k.ctx, k.end = context.WithCancel(ctx)
	return k
}

// leave ends the docking: the recorder is gone. What it was being read of stays open.
func (k *docking) leave() {
	k.Dock.mu.Lock()
	defer k.Dock.mu.Unlock()
	if k.gone {
		return
	}
	k.gone = true
	close(k.out)
	k.end()
	delete(k.dockings, k.is.ID)
	still := false
	for _, other := range k.dockings {
		still = still || other.is.Slot == k.is.Slot
	}
	if !still {
		delete(k.first, k.is.Slot)
	}
	k.change()
	k.Logger.Info("recorder pulled out", slog.String("slot", k.is.Slot), slog.String("recorder", k.is.Serial))
}

// run takes in what the volume holds, listens to what was spoken, and has released what may be.
func (k *docking) run() {
	var listening sync.WaitGroup
	listening.Go(k.listenAll)
	err := k.take()
	close(k.more)
	k.taken(err)
	listening.Wait()
	k.Dock.mu.Lock()
	erases := k.ready && k.is.Erases
	k.Dock.mu.Unlock()
	if erases {
		k.eraseAll()
	}
}

// goneWait is how long a recorder that can't be read any more may take until the bridge says that it was pulled out.
const goneWait = 10 * time.Second

// taken notes that all is read, or why not.
func (k *docking) taken(err error) {
	if errors.Is(err, source.ErrGone) { // the bridge says so too, in a moment
		timer := time.NewTimer(goneWait)
		defer timer.Stop()
		select {
		case <-k.out:
		case <-timer.C:
			err = errors.New("the recorder does not answer any more, and was not pulled out")
		}
	}
	if k.ctx.Err() != nil {
		return
	}
	tip, errTip := k.Spool.Tip(k.ctx)
	err = errors.Join(err, errTip)
	k.Dock.mu.Lock()
	defer k.Dock.mu.Unlock()
	if k.ready, k.tip = err == nil, tip; err != nil {
		k.fault = "reading stopped: " + err.Error() + "; what was read is kept; pull the recorder out and dock it again"
		k.Logger.ErrorContext(k.ctx, "a recorder can't be taken in", slog.String("slot", k.is.Slot), slog.Any("error", err))
	}
	k.change()
}

func (k *docking) take() error {
	k.Dock.mu.Lock()
	g := k.is
	k.Dock.mu.Unlock()
	var seqs sequences
	err := k.bridge.files(k.ctx, g.ID, func(f handoff.File) error {
		if f.Error == "" {
			seqs.add(f)
		}
		k.count(f)
		return k.ctx.Err()
	})
	if err != nil {
		return err
	}
	seqs.order(g.Serial, g.Volume, k.SequenceGap)
	k.Dock.mu.Lock()
	k.listed, k.since = true, k.Now()
	k.change()
	k.Dock.mu.Unlock()
	volume := &source.Volume{Root: string(g.Root), ID: g.Volume, Firmware: g.Firmware, Officer: g.Officer, ClockOffset: g.ClockOffset, Gone: k.out}
	return k.Taker.Take(k.ctx, nil, source.Options{Serial: g.Serial, Slot: g.Slot, Except: k.Except, Ready: true, Volume: volume, Gate: k.gate,
		Prior: k.prior, Report: k.report, Find: func(ctx context.Context, emit func(source.Found) error) error { return k.find(ctx, g, &seqs, emit) }})
}

func (k *docking) count(f handoff.File) {
	k.Dock.mu.Lock()
	defer k.Dock.mu.Unlock()
	k.files++
	k.bytes += f.Size
	if f.Kind.Footage() {
		made := f.Begun
		if made == 0 {
			made = f.Modified
		}
		if made > 0 && (k.oldest == 0 || made < k.oldest) {
			k.oldest = made
		}
	}
	if k.files%512 == 0 {
		k.change()
	}
}

// prior puts an officer's slot before others, the one that was asked for last in front, and important files before others of a slot.
func (k *docking) prior(f source.Found) int {
	// Called with the gate's lock held, never with Dock.mu.
	k.Dock.mu.Lock()
	p := 2 * int(k.first[k.is.Slot])
	k.Dock.mu.Unlock()
	if f.Docked != nil && f.Docked.Important {
		p++
	}
	return p
}

// find lists the files again, in batches, so that the server is asked about many at once.
func (k *docking) find(ctx context.Context, g handoff.Docking, seqs *sequences, emit func(source.Found) error) error {
	var batch []handoff.File
	flush := func() error {
		known := k.elsewhere(ctx, g, batch)
		for i, f := range batch {
			if err := emit(k.foundOf(g, seqs, f, known[i])); err != nil {
				return err
			}
		}
		batch = batch[:0]
		return nil
	}
	err := k.bridge.files(ctx, g.ID, func(f handoff.File) error {
		if f.Error == "" && !inside(f.Path) {
			f.Error = "its path leads out of the volume"
		}
		if f.Error != "" {
			k.report(source.Event{Kind: source.EventFailed, Path: f.Path, Text: f.Error})
			return nil
		}
		batch = append(batch, f)
		if len(batch) < transport.MaxKnown {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// inside reports whether a path that the bridge told of stays below the volume's root.
func inside(path []byte) bool {
	rest, ok := strings.CutPrefix(string(path), "/")
	return ok && filepath.IsLocal(rest)
}

func (k *docking) foundOf(g handoff.Docking, seqs *sequences, f handoff.File, known string) source.Found {
	docked := &spool.Docked{Slot: g.Slot, Kind: string(f.Kind), Important: f.Important, Begun: f.Begun, Footage: f.Kind.Footage()}
	if seq, ok := seqs.of(f.Path); ok {
		docked.Sequence, docked.Index = &seq.ID, seq.Index
	}
	if f.Header != nil || len(f.Marks) > 0 || f.Note != "" {
		docked.Supplied = &spool.Supplied{Header: f.Header, Marks: f.Marks, Note: f.Note}
	}
	return source.Found{Path: filepath.Join(string(g.Root), string(f.Path)), Docked: docked, Elsewhere: known}
}

// report follows a file's way.
func (k *docking) report(e source.Event) {
	var group evidence.RecordingID
	if !e.Rec.IsZero() && e.Kind != source.EventReading && e.Kind != source.EventWaiting {
		r, err := k.newest(e.Rec)
		if err != nil {
			k.Logger.ErrorContext(k.ctx, "a recording can't be looked up", slog.Any("error", err))
		}
		group = r.Group
	}
	k.Dock.mu.Lock()
	defer k.Dock.mu.Unlock()
	path := string(e.Path)
	switch e.Kind {
	case source.EventReading:
		k.fresh += e.Bytes - min(e.Bytes, k.part[path])
		k.part[path] = e.Bytes
	case source.EventTaken, source.EventKnown, source.EventFaulty:
		if e.Kind != source.EventKnown {
			k.fresh += e.Bytes - min(e.Bytes, k.part[path])
		}
		delete(k.part, path)
		k.done++
		k.read += e.Size
		if e.Rec.IsZero() {
			k.known++
			break
		}
		if k.state[e.Rec] == nil {
			k.recs = append(k.recs, e.Rec)
			k.state[e.Rec] = &progress{path: path, faulty: e.Kind == source.EventFaulty}
		}
		if e.Kind == source.EventFaulty {
			k.kept++
			k.Logger.WarnContext(k.ctx, "a file could not be read as a whole", slog.String("path", path), slog.String("what", e.Text))
		}
		if !group.IsZero() && !k.groups[group] {
			k.groups[group] = true
			k.order = append(k.order, group)
		}
		select {
		case k.more <- struct{}{}:
		default:
		}
	case source.EventFailed, source.EventSkipped:
		k.done++
		k.kept++
		k.Logger.WarnContext(k.ctx, "not taken in: "+e.Text, slog.String("path", path), slog.String("slot", k.is.Slot))
	}
	k.change()
}

// lookAt is how many recordings of a docking are looked at in one go; they are stored about in this order.
const lookAt = 256

// look brings what became of this docking's recordings up to date.
func (k *docking) look(ctx context.Context) {
	k.Dock.mu.Lock()
	var open []evidence.RecordingID
	for _, id := range k.recs {
		if p := k.state[id]; !p.stored || k.is.Erases && !p.released && !p.refused && !p.faulty {
			open = append(open, id)
		}
		if len(open) == lookAt {
			break
		}
	}
	k.Dock.mu.Unlock()
	sealed := k.Spool.Sealed()
	type news struct {
		id evidence.RecordingID
		p  progress
	}
	var all []news
	for _, id := range open {
		if ctx.Err() != nil {
			return
		}
		r, err := k.newest(id)
		if err != nil {
			k.Logger.ErrorContext(ctx, "a recording can't be looked up", slog.Any("error", err))
			continue
		}
		all = append(all, news{id, progress{stored: r.Done, released: r.Released}})
	}
	k.Dock.mu.Lock()
	defer k.Dock.mu.Unlock()
	changed := k.ready && !k.sealed && sealed >= k.tip
	k.sealed = k.sealed || changed
	for _, n := range all {
		p := k.state[n.id]
		changed = changed || p.stored != n.p.stored || p.released != n.p.released
		p.stored, p.released = n.p.stored, n.p.released
	}
	if changed {
		k.change()
	}
}

// newest is the recording under which a file's bytes are now: after a fork they are taken in again.
func (d *Dock) newest(id evidence.RecordingID) (spool.Recording, error) {
	r, err := d.Spool.Recording(id)
	for err == nil && r.Gone && !r.Again.IsZero() {
		r, err = d.Spool.Recording(r.Again)
	}
	return r, err
}

// open opens a recording's file on the volume.
func (k *docking) open(id evidence.RecordingID) (*os.File, error) {
	k.Dock.mu.Lock()
	p := k.state[id]
	k.Dock.mu.Unlock()
	if p == nil {
		return nil, ErrNoGroup
	}
	return os.OpenFile(p.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
