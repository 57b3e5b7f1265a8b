package verify

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// TimeFound is what is known about when the recording was sealed. Times are milliseconds since 1970 UTC. SPEC.md section 8.
type TimeFound struct {
	After  *TimeBound `json:"sealed_not_before"` // open and all that follows; null: not proven
	Before *TimeBound `json:"sealed_not_after"`  // close, or the newest statement while there is none; null: not proven
	Last   *TimeBound `json:"last_not_after"`    // all statements about it, notes included; null: not proven
	Stamp  *TimeBound `json:"time_stamp"`        // what the time stamps alone prove of Before; null: nothing

	Contradict bool `json:"contradict"` // the lower bound is above the upper one: somebody's clock is wrong, and no time is proven

	ServerAfter  *int64 `json:"server_says_not_before"` // by the clock of the log's keeper; null: it does not say, or no key was given
	ServerBefore *int64 `json:"server_says_not_after"`

	OpenedAt int64  `json:"claimed_opened_at"` // by the device's clock
	ClosedAt *int64 `json:"claimed_closed_at"`
	Filming  bool   `json:"filming_unproven"` // it was imported: none of this is about when it was filmed
	Anchor   *int64 `json:"anchor_size"`      // leaves of the log that the chain anchors ahead of open; null: none

	MadeFrom *uint64 `json:"made_not_before_from_chunk"` // capture mode: this chunk and all later ones were made after the anchor; null: not claimed

	Clock        []ClockFinding `json:"clock"` // where the device's clock and the TPM's do not agree, or it went back
	ClockFurther int            `json:"clock_further"`
}

// TimeBound is one end of the bracket.
type TimeBound struct {
	At      int64    `json:"at"`
	By      Prover   `json:"by"`
	Names   []string `json:"names"`   // who says so
	Size    int64    `json:"size"`    // leaves of the log whose checkpoint they signed
	Receipt *int64   `json:"receipt"` // index of the receipt that it is about; null: an anchor
}

// Prover says what proves a time.
type Prover string

// The provers.
const (
	ByWitnesses Prover = "witnesses"
	ByStamp     Prover = "time-stamp" // RFC 3161
)

// anchored is an anchor whose checkpoint is the home log's.
type anchored struct {
	checkpoint tlog.Checkpoint
	signed     []byte
}

// clocks are those whose word on time the verifier takes.
type clocks struct {
	witnesses []tlog.Cosigner
	quorum    int // at least 1
	server    *tlog.Cosigner

	known map[string]signers // by signed checkpoint: a bundle's receipts share many
}

// signers are the witnesses that signed a checkpoint, earliest first; err is that of a line that does not hold.
type signers struct {
	all []said
	err error
}

// clocksOf reads the trust given, for the log with this key. Keys that are none were refused by ParseTrust, and count for nothing here.
func clocksOf(t *Trust, log tlog.Key) clocks {
	k := clocks{quorum: 1, known: map[string]signers{}}
	if t == nil || !slices.ContainsFunc(t.Logs, func(l TrustedLog) bool { return l.Key == log }) {
		return k
	}
	k.witnesses, _ = t.witnesses()
	k.quorum = max(1, t.Quorum)
	for _, l := range t.Logs {
		if l.Key == log && l.Clock != "" {
			if s, err := tlog.NewCosigner(l.Clock); err == nil {
				k.server = &s
			}
		}
	}
	return k
}

// said is what one cosigner says.
type said struct {
	name string
	at   time.Time
}

// signers returns who of the witnesses signed a checkpoint, earliest first. err is that of a line that does not hold.
func (k clocks) signers(signed []byte) (out []said, err error) {
	if s, ok := k.known[string(signed)]; ok {
		return s.all, s.err
	}
	for _, w := range k.witnesses {
		at, ok, e := w.Verify(signed)
		if e != nil {
			err = e
		} else if ok {
			out = append(out, said{w.Name(), at})
		}
	}
	slices.SortStableFunc(out, func(a, b said) int { return a.at.Compare(b.at) })
	if k.known != nil {
		k.known[string(signed)] = signers{out, err}
	}
	return out, err
}

func (k clocks) serverSays(signed []byte) *int64 {
	if k.server == nil {
		return nil
	}
	at, ok, err := k.server.Verify(signed)
	if !ok || err != nil {
		return nil
	}
	ms := at.UnixMilli()
	return &ms
}

// quorumOf picks the quorum that proves most: for a lower bound the latest signers, whose earliest counts; for an upper bound
// the earliest signers, whose latest counts.
func (k clocks) quorumOf(signed []byte, size int64, lower bool) *TimeBound {
	all, _ := k.signers(signed)
	if len(all) < k.quorum {
		return nil
	}
	b := &TimeBound{By: ByWitnesses, Size: size}
	if lower {
		all = all[len(all)-k.quorum:]
		b.At = all[0].at.UnixMilli()
	} else {
		all = all[:k.quorum]
		b.At = all[k.quorum-1].at.UnixMilli()
	}
	for _, s := range all {
		b.Names = append(b.Names, shown(s.name))
	}
	return b
}

// checkAnchor reads an anchor of this chain.
func (w *walk) checkAnchor(seq uint64, a *evidence.Anchor) {
	c := w.c
	log, err := tlog.NewVerifier(c.enrol.HomeLog)
	if err != nil {
		return // checkReceipts says so
	}
	signed := []byte(a.Checkpoint)
	p, err := tlog.OpenCosigned(signed, log)
	if err != nil {
		w.failed = true
		c.broken(CodeAnchor, Place{File: FileChain, Line: w.lines.no, Seq: &seq}, "", err.Error())
		return
	}
	c.trees = append(c.trees, tree{size: p.Size, root: p.Root, file: FileChain, seq: &seq, value: "anchor"})
	if c.rec == nil {
		c.anchor = &anchored{checkpoint: p, signed: signed}
	}
	if b := c.clocks.quorumOf(signed, p.Size, true); b != nil {
		w.drift.floor = b.At
	} else if at := c.clocks.serverSays(signed); at != nil {
		w.drift.floor = *at
	}
}

// checkTime draws the bracket.
func (c *check) checkTime() {
	t := &TimeFound{OpenedAt: c.rec.OpenAt.At, Filming: c.rec.Open.Mode == evidence.ModeImport, Clock: c.walk.drift.found, ClockFurther: c.walk.drift.further}
	if t.Clock == nil {
		t.Clock = []ClockFinding{}
	}
	c.report.Time = t
	if c.rec.Close != nil {
		t.ClosedAt = &c.rec.CloseAt.At
	}
	if a := c.anchor; a != nil {
		t.Anchor = &a.checkpoint.Size
		if c.inRange(a.checkpoint.Size) {
			t.After = c.clocks.quorumOf(a.signed, a.checkpoint.Size, true)
			t.ServerAfter = c.clocks.serverSays(a.signed)
		}
		t.MadeFrom = c.madeAfterAnchor()
	}
	for _, p := range c.seen {
		if s := p.leaf.(*evidence.Seen); s.Seq >= c.lastSealed() {
			t.Before = earlier(t.Before, c.boundOf(p))
			t.Stamp = earlier(t.Stamp, c.stampOf(p))
			if at := c.clocks.serverSays(p.v.Signed); at != nil && (t.ServerBefore == nil || *at < *t.ServerBefore) {
				t.ServerBefore = at
			}
			if s.Seq >= c.rec.LastSeq {
				t.Last = earlier(t.Last, c.boundOf(p))
			}
		}
	}
	t.settle()
}

// Bracket is the bracket of a recording for whoever holds the archive and not a bundle: anchor is the checkpoint of the newest anchor ahead of
// open, seen that of the proof of the seen leaf that covers close, or the newest statement while there is none; both signed, nil where there is none. Witnesses and
// the server's clock count as trust says; time stamps, and the device's clock against its TPM's, are for a bundle's check. A checkpoint that the log did not sign is an error.
func Bracket(trust *Trust, log tlog.Key, anchor, seen []byte, mode evidence.Mode, opened int64, closed *int64) (*TimeFound, error) {
	v, err := tlog.NewVerifier(log)
	if err != nil {
		return nil, err
	}
	k := clocksOf(trust, log)
	t := &TimeFound{OpenedAt: opened, ClosedAt: closed, Filming: mode == evidence.ModeImport, Clock: []ClockFinding{}}
	if anchor != nil {
		p, err := tlog.OpenCosigned(anchor, v)
		if err != nil {
			return nil, fmt.Errorf("anchor: %w", err)
		}
		t.Anchor, t.After, t.ServerAfter = &p.Size, k.quorumOf(anchor, p.Size, true), k.serverSays(anchor)
	}
	if seen != nil {
		p, err := tlog.OpenCosigned(seen, v)
		if err != nil {
			return nil, fmt.Errorf("receipt: %w", err)
		}
		t.Before, t.ServerBefore = k.quorumOf(seen, p.Size, false), k.serverSays(seen)
	}
	t.settle()
	return t, nil
}

// settle claims nothing where bounds contradict each other.
func (t *TimeFound) settle() {
	if t.After != nil && t.Before != nil && t.After.At > t.Before.At {
		t.Contradict, t.After, t.Before, t.Last, t.Stamp = true, nil, nil, nil, nil
	}
}

// lastSealed is the statement that the upper bound is about: what was filmed ends with close, notes may follow for years.
func (c *check) lastSealed() uint64 {
	if c.rec.Close != nil {
		return c.rec.CloseAt.Seq
	}
	return c.rec.LastSeq
}

// madeAfterAnchor returns the first chunk from which on nothing was made before the anchor, in capture mode.
func (c *check) madeAfterAnchor() *uint64 {
	if c.rec.Open.Mode != evidence.ModeCapture {
		return nil
	}
	from := uint64(0)
	for i, ch := range c.rec.Chunks {
		if ch.Early {
			from = uint64(i) + 1
		}
	}
	if from >= uint64(len(c.rec.Chunks)) {
		return nil
	}
	return &from
}

// boundOf returns by when what a seen receipt speaks of existed.
func (c *check) boundOf(p proven) *TimeBound {
	b := c.clocks.quorumOf(p.v.Signed, p.v.Size, false)
	if b != nil {
		b.Receipt = &p.v.Index
	}
	return earlier(b, c.stampOf(p))
}

// stampOf is boundOf by time stamps alone.
func (c *check) stampOf(p proven) (b *TimeBound) {
	for _, s := range c.stamps {
		if s.proves(p) {
			b = earlier(b, &TimeBound{At: s.at.UnixMilli(), By: ByStamp, Names: []string{shown(s.name)}, Size: s.size, Receipt: &p.v.Index})
		}
	}
	return b
}

func earlier(a, b *TimeBound) *TimeBound {
	if a == nil || b != nil && b.At < a.At {
		return b
	}
	return a
}

// checkCosigners refuses what a witness that is trusted, or the server's clock, is said to have signed and has not.
func (c *check) checkCosigners(signed []byte) error {
	if _, err := c.clocks.signers(signed); err != nil {
		return err
	}
	if c.clocks.server != nil {
		if _, _, err := c.clocks.server.Verify(signed); err != nil {
			return err
		}
	}
	return nil
}

// all returns every key whose lines a checkpoint may hold where nothing may stand that nobody checks.
func (k clocks) all() []tlog.Cosigner {
	all := slices.Clone(k.witnesses)
	if k.server != nil {
		all = append(all, *k.server)
	}
	return all
}

// witnessed reports whether the quorum signed a seen receipt that covers the recording, and the newest stored one: the log can't have
// shown others something else.
func (c *check) witnessed() bool {
	if len(c.clocks.witnesses) == 0 || c.rec == nil || c.stored == nil {
		return false
	}
	seen, stored := false, false
	for _, p := range c.proofs {
		if c.cosigned(p.v.Signed) < c.clocks.quorum {
			continue
		}
		switch l := p.leaf.(type) {
		case *evidence.Seen:
			seen = seen || l.Seq >= c.rec.LastSeq
		case *evidence.Stored:
			stored = stored || p.v.Index == c.storedAt
		}
	}
	return seen && stored
}

// cosigned counts the witnesses given that signed a checkpoint.
func (c *check) cosigned(signed []byte) int {
	all, _ := c.clocks.signers(signed)
	return len(all)
}

// tree is what one checkpoint says about the log.
type tree struct {
	size  int64
	root  [32]byte
	file  string
	seq   *uint64
	value string // what the text about it speaks of
}

// oneLog refuses checkpoints of which two show different logs of the same size.
func (c *check) oneLog() {
	first := map[int64][32]byte{}
	slices.SortStableFunc(c.trees, func(a, b tree) int { return cmp.Compare(a.size, b.size) })
	for _, t := range c.trees {
		if root, ok := first[t.size]; ok && root != t.root {
			c.broken(CodeReceiptOrder, Place{File: t.file, Seq: t.seq}, t.value, fmt.Sprintf("two roots of one log with %d leaves", t.size))
		}
		first[t.size] = t.root
	}
}
