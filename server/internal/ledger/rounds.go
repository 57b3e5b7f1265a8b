package ledger

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
)

// rounds asks the witnesses, in the background: a round is one checkpoint that all of them are to cosign. One that is down, slow or
// lies never holds up more than its own line. Only run touches what is not under the ledger's mutex.
type rounds struct {
	l       *Ledger
	quorum  int
	all     []*witness
	current *round
	unkept  []*round // with lines that are not in the vault yet
	keep    retry
	answers chan answer
}

// round is a checkpoint being cosigned.
type round struct {
	c     checkpoint
	lines map[*witness][]byte
	begun time.Time
}

// answer is what a witness said.
type answer struct {
	w    *witness
	r    *round
	line []byte
	at   time.Time
	err  error
}

// newRounds returns nil if there are no witnesses.
func newRounds(l *Ledger) (*rounds, error) {
	cfg := &l.cfg
	if len(cfg.Witnesses) == 0 {
		if cfg.Quorum != 0 {
			return nil, fmt.Errorf("a quorum of %d witnesses, and there are none", cfg.Quorum)
		}
		return nil, nil
	}
	if cfg.WitnessInterval == 0 {
		cfg.WitnessInterval = defaultWitness
	}
	x := &rounds{l: l, quorum: max(cfg.Quorum, 1), keep: retry{first: cfg.RetryAfter}, answers: make(chan answer, len(cfg.Witnesses))}
	if cfg.Quorum < 0 || cfg.Quorum > len(cfg.Witnesses) {
		return nil, fmt.Errorf("a quorum of %d of %d witnesses", cfg.Quorum, len(cfg.Witnesses))
	}
	for _, one := range cfg.Witnesses {
		w, err := newWitness(one)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(x.all, func(o *witness) bool { return o.cosigner.VKey() == w.cosigner.VKey() }) {
			return nil, fmt.Errorf("witness %s stands twice", w.cosigner.Name())
		}
		w.retry.first = cfg.RetryAfter
		x.all = append(x.all, w)
	}
	x.publish()
	return x, nil
}

func (x *rounds) run() {
	l := x.l
	for l.ctx.Err() == nil {
		l.mu.Lock()
		latest, changed := l.latest, l.changed
		l.mu.Unlock()
		now := l.cfg.Now()
		x.begin(latest, now)
		x.ask(now)
		x.keepAll(now)
		x.publish()
		x.wait(changed, x.due(latest))
	}
}

// wait returns when there may be something to do.
func (x *rounds) wait(changed <-chan struct{}, due time.Time) {
	var timer <-chan time.Time
	if !due.IsZero() {
		t := time.NewTimer(max(due.Sub(x.l.cfg.Now()), time.Millisecond))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-changed:
	case a := <-x.answers:
		x.take(a)
	case <-timer:
	case <-x.l.ctx.Done():
	}
}

// due says when something is to be done even if nothing happens; zero: never.
func (x *rounds) due(latest checkpoint) (at time.Time) {
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if x.current == nil {
		return at
	}
	if latest.size() > x.current.c.size() && x.settled() {
		sooner(x.current.begun.Add(x.l.cfg.WitnessInterval))
	}
	for _, w := range x.all {
		if w.busy == nil && x.current.lines[w] == nil {
			sooner(w.retry.at)
		}
	}
	if len(x.unkept) > 0 {
		sooner(x.keep.at)
	}
	return at
}

// begin goes on to the latest checkpoint, once the current one has its quorum or nobody who could give it is still busy.
func (x *rounds) begin(latest checkpoint, now time.Time) {
	if latest.size() == 0 || x.current != nil &&
		(latest.size() <= x.current.c.size() || !x.settled() || now.Before(x.current.begun.Add(x.l.cfg.WitnessInterval))) {
		return
	}
	x.current = &round{c: latest, lines: map[*witness][]byte{}, begun: now}
}

func (x *rounds) settled() bool {
	return len(x.current.lines) >= x.quorum || !slices.ContainsFunc(x.all, func(w *witness) bool { return w.busy == x.current })
}

// ask sends the current checkpoint to all who have not cosigned it, are not busy and need not be left alone.
func (x *rounds) ask(now time.Time) {
	for _, w := range x.all {
		if x.current == nil || w.busy != nil || x.current.lines[w] != nil || now.Before(w.retry.at) {
			continue
		}
		w.busy = x.current
		r, old := x.current, min(w.known, x.current.c.size())
		x.l.work.Go(func() {
			line, at, err := x.l.cosign(x.l.ctx, w, old, r.c)
			x.answers <- answer{w, r, line, at, err}
		})
	}
}

// take notes what a witness said. A late line counts for the checkpoint that it is about.
func (x *rounds) take(a answer) {
	a.w.busy = nil
	if a.err != nil {
		if x.l.ctx.Err() != nil {
			return
		}
		a.w.retry.failed(x.l.cfg.Now())
		a.w.status.Err, a.w.status.Failures = a.err.Error(), a.w.retry.failures
		x.l.log.WarnContext(x.l.ctx, "a witness has not cosigned; receipts go out all the same", slog.String("witness", a.w.cosigner.Name()),
			slog.Int64("size", a.r.c.Size), slog.Any("error", a.err))
		return
	}
	a.w.retry.succeeded()
	a.w.known = max(a.w.known, a.r.c.size())
	a.w.status.Size, a.w.status.At, a.w.status.Err, a.w.status.Failures = a.w.known, a.at, "", 0
	a.r.lines[a.w] = a.line
	if !slices.Contains(x.unkept, a.r) {
		x.unkept = append(x.unkept, a.r)
	}
}

// keepAll mirrors cosigned checkpoints under new names. While the vault is in trouble it tries again later.
func (x *rounds) keepAll(now time.Time) {
	for len(x.unkept) > 0 && !now.Before(x.keep.at) {
		if err := x.keepOne(x.unkept[0]); err != nil {
			x.keep.failed(now)
			x.unkept = x.unkept[max(0, len(x.unkept)-maxUnkept):]
			x.l.log.WarnContext(x.l.ctx, "cosigned checkpoint not mirrored yet", slog.Any("error", err))
			return
		}
		x.keep.succeeded()
		x.unkept = x.unkept[1:]
	}
}

func (x *rounds) keepOne(r *round) error {
	l, lines := x.l, [][]byte{}
	for _, w := range x.all { // in the order of the configuration
		if line := r.lines[w]; line != nil {
			lines = append(lines, line)
		}
	}
	raw, err := tlog.AddLines(r.c.raw, lines...)
	if err != nil {
		return err
	}
	c := checkpoint{r.c.Checkpoint, raw}
	key, whole := archive.CheckpointKey, len(lines) >= x.quorum
	if whole {
		key = archive.WitnessedKey
	}
	if _, err := archive.PutBytes(l.ctx, l.cfg.Vault, func(h evidence.Digest) string { return key(l.logID, c.size(), h) }, raw, l.cfg.Until()); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if whole && c.size() >= l.witnessed.size() {
		l.witnessed = c
		l.tell()
	}
	return nil
}
